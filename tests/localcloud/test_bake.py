"""An unmodified `packer build` on the local cloud, the image from outside, and machines that boot from it.

The machines boot with nginx as their application: it is in the image, and needs neither database nor file system. A
whole WordPress stack from a baked image is the business of tests/stacks.
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
import yaml

from demo.stack import Demo
from localcloud import base_images
from support.figures import record
from support.local_cloud import REPOSITORY, TestCloud, TestMachine, built_image
from support.waiting import until

# Generous: a machine that has no credentials yet asks for a minute.
BOOT_SECONDS = 240


def test_the_image_says_what_it_is(cloud: TestCloud, golden_image: str) -> None:
    described = cloud.client("ec2").describe_images(ImageIds=[golden_image])["Images"][0]
    tags = {tag["Key"]: tag["Value"] for tag in described["Tags"]}
    assert tags["stackyard:application"] == "wordpress"
    assert tags["stackyard:keep"] == "true"
    assert tags["stackyard:source-image"] == cloud.image()
    assert tags["stackyard:source-image-name"].startswith("debian-13-amd64-")
    assert re.fullmatch(r"[0-9a-f]{40}", tags["stackyard:revision"])
    assert tags["stackyard:version"] in described["Name"]
    assert tags["stackyard:collection"] == yaml.safe_load((REPOSITORY / "galaxy.yml").read_text())["version"]
    assert tags["stackyard:built"].startswith("20")
    assert described["DeregistrationProtection"].startswith("enabled")
    size = cloud.podman("image", "inspect", "--format={{.Size}}", f"{cloud.settings.image_repository}:{golden_image}")
    record("images", image_mb=int(size) / 1e6)


@pytest.mark.parametrize("region", ["us-east-1", "eu-west-1"])
def test_the_image_is_safe_and_so_is_its_copy(cloud: TestCloud, golden_image: str, region: str) -> None:
    name = cloud.client("ec2").describe_images(ImageIds=[golden_image])["Images"][0]["Name"]
    ec2 = cloud.client("ec2", region)
    [described] = ec2.describe_images(Owners=["self"], Filters=[{"Name": "name", "Values": [name]}])["Images"]
    assert {"Key": "stackyard:application", "Value": "wordpress"} in described["Tags"]
    assert described["Public"] is False
    permission = ec2.describe_image_attribute(ImageId=described["ImageId"], Attribute="launchPermission")
    assert permission["LaunchPermissions"] == [{"UserId": "210987654321"}]
    assert described["ImdsSupport"] == "v2.0"
    assert described["DeprecationTime"] > time.strftime("%Y-%m-%d")
    assert described["BlockDeviceMappings"][0]["Ebs"]["Encrypted"] is True


def left_of_builds(cloud: TestCloud) -> list[str]:
    """Instances, key pairs, security groups, volumes and snapshots that belong to no image."""
    ec2 = cloud.client("ec2")
    tagged = [{"Name": "tag-key", "Values": ["stackyard:build"]}]
    instances = [
        instance["InstanceId"]
        for reservation in ec2.describe_instances(Filters=tagged)["Reservations"]
        for instance in reservation["Instances"]
        if instance["State"]["Name"] != "terminated"
    ]
    keys = [key["KeyName"] for key in ec2.describe_key_pairs()["KeyPairs"] if key["KeyName"].startswith("packer")]
    groups = [
        group["GroupName"]
        for group in ec2.describe_security_groups()["SecurityGroups"]
        if group["GroupName"].startswith("packer")
    ]
    volumes = [volume["VolumeId"] for volume in ec2.describe_volumes(Filters=tagged)["Volumes"]]
    snapshots = {found["SnapshotId"] for found in ec2.describe_snapshots(OwnerIds=["self"])["Snapshots"]}
    # Debian's too: the control plane takes their snapshots for the account's own.
    for image in ec2.describe_images(IncludeDeprecated=True)["Images"]:
        snapshots -= {device["Ebs"]["SnapshotId"] for device in image["BlockDeviceMappings"]}
    return [*instances, *keys, *groups, *volumes, *snapshots]


def test_the_build_leaves_nothing_behind(cloud: TestCloud, golden_image: str) -> None:
    assert golden_image
    assert left_of_builds(cloud) == []


@pytest.fixture
def cut_off(cloud: TestCloud, start_packer: Callable[..., subprocess.Popen[str]]) -> Callable[..., str]:
    """Sends a build a signal once its instance is there, and to all that it started; returns its output."""

    def run(number: signal.Signals) -> str:
        with start_packer() as process:
            until("the build's instance", lambda: [name for name in left_of_builds(cloud) if name[:2] == "i-"], 120)
            os.killpg(process.pid, number)
            output, _ = process.communicate(timeout=180)
        return output

    return run


def test_an_interrupted_build_tidies_up(cloud: TestCloud, cut_off: Callable[..., str]) -> None:
    output = cut_off(signal.SIGINT)
    assert left_of_builds(cloud) == [], output[-3000:]


def test_what_a_killed_build_has_left_can_be_removed(cloud: TestCloud, cut_off: Callable[..., str]) -> None:
    cut_off(signal.SIGKILL)
    instance = next(name for name in left_of_builds(cloud) if name[:2] == "i-")
    # By itself too, only later.
    behaviour = cloud.client("ec2").describe_instance_attribute(
        InstanceId=instance, Attribute="instanceInitiatedShutdownBehavior"
    )
    assert behaviour["InstanceInitiatedShutdownBehavior"] == {"Value": "terminate"}
    until(
        "the planned end",
        lambda: "poweroff" in cloud.podman("exec", instance, "cat", "/run/systemd/shutdown/scheduled", check=False),
        60,
    )
    demo = Demo("wordpress", settings=cloud.settings)
    pruned = subprocess.run(
        demo.playbook_command("image_builds_prune", image_builds_prune_hours=0),
        cwd=REPOSITORY, env={**os.environ, **demo.aws_environment}, capture_output=True, text=True, timeout=180,
        check=False,
    )  # fmt: skip
    assert pruned.returncode == 0, pruned.stdout[-3000:]
    assert left_of_builds(cloud) == []


def test_a_failed_build_makes_no_image(cloud: TestCloud, packer: Callable[..., Any], tmp_path: Path) -> None:
    ec2 = cloud.client("ec2")
    before = {entry["ImageId"] for entry in ec2.describe_images(Owners=["self"])["Images"]}
    broken = tmp_path / "broken.yml"
    broken.write_text("base_log_days: 0\n")
    done, manifest = packer(f'-var=variable_files=["{broken}"]')
    assert done.returncode != 0
    assert "base_log_days" in done.stdout
    assert manifest is None
    assert {entry["ImageId"] for entry in ec2.describe_images(Owners=["self"])["Images"]} == before


@pytest.mark.skipif(not os.environ.get("STACKYARD_SOAK"), reason="two builds more; set STACKYARD_SOAK")
def test_builds_run_side_by_side(
    cloud: TestCloud, start_packer: Callable[..., subprocess.Popen[str]], tmp_path: Path
) -> None:
    """On both Debian releases at once."""
    base_images.build("debian-12", print)
    suites = ("debian-12", "debian-13")
    builds = [start_packer(f"-var=suite={suite}", f"-var=manifest={tmp_path / suite}.json") for suite in suites]
    outputs = [build.communicate(timeout=1500)[0] for build in builds]
    for build, output, suite in zip(builds, outputs, suites, strict=True):
        assert build.returncode == 0, output[-6000:]
        image = built_image(json.loads((tmp_path / f"{suite}.json").read_text()), cloud.settings.region)
        [described] = cloud.client("ec2").describe_images(ImageIds=[image])["Images"]
        tags = {tag["Key"]: tag["Value"] for tag in described["Tags"]}
        assert tags["stackyard:source-image-name"].startswith(suite)
    assert left_of_builds(cloud) == []


def user_data(**document: Any) -> str:
    """What a fleet's launch template carries."""
    content = json.dumps({"application": "nginx", "environment": "test", "region": "us-east-1", **document})
    files = [{"path": "/etc/stackyard/boot.json", "owner": "root:root", "permissions": "0600", "content": content}]
    return "#cloud-config\n" + json.dumps({"write_files": files})


def unit(machine: TestMachine, name: str = "stackyard-boot.service") -> str:
    return machine.run("systemctl", "show", "--property=ActiveState", "--value", name, check=False).strip()


def journal(machine: TestMachine, name: str = "stackyard-boot.service") -> str:
    return machine.run("journalctl", "--unit", name, "--output=cat", "--no-pager", check=False)


def boot(machine: TestMachine) -> str:
    """Wait for the end of the boot unit; returns its state."""
    return until("the boot unit", lambda: unit(machine) if unit(machine) in {"active", "failed"} else "", BOOT_SECONDS)


@pytest.fixture(scope="module")
def machine(golden_image: str, launch: Callable[..., TestMachine]) -> TestMachine:
    """A machine of no group, configured."""
    started = time.monotonic()
    launched = launch(ImageId=golden_image, UserData=user_data())
    state = boot(launched)
    assert state == "active", journal(launched)
    record("bake", boot_to_configured_s=time.monotonic() - started)
    return launched


def test_a_machine_configures_itself(machine: TestMachine) -> None:
    assert unit(machine, "nginx.service") == "active"
    assert "failed=0" in journal(machine)


def test_a_machine_of_no_group_has_nothing_to_drain(machine: TestMachine) -> None:
    assert "nothing to do" in journal(machine, "stackyard-drain.service")


def test_each_machine_has_an_identity_of_its_own(
    machine: TestMachine, launch: Callable[..., TestMachine], golden_image: str
) -> None:
    other = launch(ImageId=golden_image).booted()
    for path in ("/etc/machine-id", "/etc/ssh/ssh_host_ed25519_key.pub"):
        mine, its = machine.run("cat", path), other.run("cat", path)
        assert mine.strip()
        assert its.strip()
        assert mine != its
    assert unit(other) == "inactive", "a machine without a boot document configures nothing"


@pytest.mark.long
@pytest.mark.parametrize(
    ("document", "words"),
    [
        ({"application": "no_such_role"}, "no_such_role"),
        ({"variables": {"nginx_client_max_body_mb": "many"}, "unknown": 1}, "has the unknown entries unknown"),
        (
            {"secrets": {"nginx_password": {"secret": "stackyard/none"}}},
            "There are no AWS credentials to read the secret 'stackyard/none'",
        ),
    ],
)
def test_a_machine_that_cannot_boot_says_why(
    golden_image: str, launch: Callable[..., TestMachine], document: dict, words: str
) -> None:
    failed = launch(ImageId=golden_image, UserData=user_data(**document))
    assert boot(failed) == "failed"
    assert words in journal(failed)
