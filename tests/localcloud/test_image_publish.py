"""An image is published when a machine of it has made itself healthy and is complete; nothing is left of the proof.

A proof takes a minute or two.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from demo.stack import Demo
from localcloud import database_images
from support.figures import record
from support.local_cloud import REPOSITORY, TestCloud, TestMachine
from support.waiting import until

PARAMETER = "/stackyard/demo/wordpress/image"
PUBLISH_SECONDS = 900


@pytest.fixture(scope="module")
def start_publication(cloud: TestCloud, baked: Path) -> Callable[..., subprocess.Popen[str]]:
    """Starts the playbook as an operator does after a build, in a session of its own."""
    database_images.build("mariadb", print)
    cloud.client("s3").create_bucket(Bucket="software-lists")
    demo = Demo("wordpress", settings=cloud.settings)
    network = str(next(cloud.ranges))

    def start(**given: Any) -> subprocess.Popen[str]:
        variables = {
            "image_application": "wordpress",
            "image_manifest": str(baked / "manifest.json"),
            "image_proof_network_cidr": network,
            **given,
        }
        return subprocess.Popen(
            demo.playbook_command("image_publish", **variables),
            cwd=REPOSITORY, env={**os.environ, **demo.aws_environment}, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, text=True, start_new_session=True,
        )  # fmt: skip

    return start


@pytest.fixture(scope="module")
def publish(start_publication: Callable[..., Any]) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Runs the playbook to its end."""

    def run(**given: Any) -> subprocess.CompletedProcess[str]:
        with start_publication(**given) as process:
            output, _ = process.communicate(timeout=PUBLISH_SECONDS)
        return subprocess.CompletedProcess(process.args, process.returncode, output)

    return run


def published(cloud: TestCloud) -> str | None:
    try:
        return str(cloud.client("ssm").get_parameter(Name=PARAMETER)["Parameter"]["Value"])
    except ClientError:
        return None


PROOF = [{"Name": "tag:stackyard:environment", "Values": ["demo-proof"]}]


def machines_of_the_proof(cloud: TestCloud) -> list[str]:
    return [
        instance["InstanceId"]
        for reservation in cloud.client("ec2").describe_instances(Filters=PROOF)["Reservations"]
        for instance in reservation["Instances"]
        if instance["State"]["Name"] != "terminated"
    ]


def left_of_the_proof(cloud: TestCloud) -> list[str]:
    """Whatever carries the proof's tags or lives in its network."""
    networks = [found["VpcId"] for found in cloud.client("ec2").describe_vpcs(Filters=PROOF)["Vpcs"]]
    databases = [
        found["DBInstanceIdentifier"] for found in cloud.client("rds").describe_db_instances()["DBInstances"]
        if found["DBInstanceIdentifier"].startswith("demo-proof")
    ]  # fmt: skip
    files = [
        found["FileSystemId"] for found in cloud.client("efs").describe_file_systems()["FileSystems"]
        if found.get("Name", "").startswith("demo-proof")
    ]  # fmt: skip
    secrets = [
        found["Name"]
        for found in cloud.client("secretsmanager").list_secrets()["SecretList"]
        if "-proof/" in found["Name"]
    ]
    roles = [
        found["RoleName"]
        for found in cloud.client("iam").list_roles()["Roles"]
        if found["RoleName"].startswith("demo-proof")
    ]
    return [*machines_of_the_proof(cloud), *networks, *databases, *files, *secrets, *roles]


def changed(run: subprocess.CompletedProcess[str]) -> int:
    found = re.search(r"^localhost\s+:.*changed=(\d+)", run.stdout, re.MULTILINE)
    assert found, run.stdout[-3000:]
    return int(found.group(1))


@pytest.fixture(scope="module")
def derived(cloud: TestCloud, golden_image: str, launch: Callable[..., TestMachine]) -> Callable[..., str]:
    """Makes an image that differs from the baked one by what a command does."""

    def make(name: str, *command: str) -> str:
        machine = launch(ImageId=golden_image).booted()
        machine.run(*command)
        ec2 = cloud.client("ec2")
        image: str = ec2.create_image(InstanceId=machine.id, Name=name)["ImageId"]
        until("the image", lambda: ec2.describe_images(ImageIds=[image])["Images"][0]["State"] == "available", 60)
        ec2.create_tags(Resources=[image], Tags=[{"Key": "stackyard:application", "Value": "wordpress"}])
        ec2.terminate_instances(InstanceIds=[machine.id])
        return image

    return make


# What is done to the baked image, and what its proof says.
FLAWS = {
    "is not complete": (
        ("rm", "/etc/logrotate.d/nginx"),
        "changed a machine of it, in 'stackyard.aws.nginx : install | Rotate the logs",
    ),
    "cannot start": (("systemctl", "mask", "nginx.service"), "did not make the machine healthy"),
}


@pytest.mark.long
@pytest.mark.parametrize("flaw", FLAWS)
def test_a_flawed_image_is_not_published(
    cloud: TestCloud, publish: Callable[..., Any], derived: Callable[..., str], flaw: str
) -> None:
    command, words = FLAWS[flaw]
    image, before = derived(flaw, *command), published(cloud)
    run = publish(image_id=image)
    assert run.returncode != 0
    assert words in run.stdout, run.stdout[-6000:]
    assert published(cloud) == before
    assert left_of_the_proof(cloud) == []


@pytest.mark.long
def test_a_good_image_is_proven_and_published_once(
    cloud: TestCloud,
    publish: Callable[..., Any],
    start_publication: Callable[..., Any],
    golden_image: str,
    software_list: Path,
) -> None:
    """The first run is killed while its machine is there; the second takes up what that has left."""
    with start_publication() as killed:
        until("the machine of the proof", lambda: machines_of_the_proof(cloud), 180)
        os.killpg(killed.pid, signal.SIGKILL)
        killed.communicate(timeout=60)
    assert published(cloud) is None
    assert left_of_the_proof(cloud)

    started = time.monotonic()
    run = publish(image_software_bucket="software-lists")
    assert run.returncode == 0, run.stdout[-6000:]
    record("images", prove_s=time.monotonic() - started)
    assert published(cloud) == golden_image
    assert left_of_the_proof(cloud) == []
    kept = (
        cloud.client("s3").get_object(Bucket="software-lists", Key=f"wordpress/{golden_image}.cdx.json")["Body"].read()
    )
    assert json.loads(kept) == json.loads(software_list.read_text())

    again = publish(image_software_bucket="software-lists")
    assert again.returncode == 0, again.stdout[-6000:]
    assert changed(again) == 0
