"""An unmodified `packer build` on the local cloud, the image from outside, and machines that boot from it.

The machines boot with nginx as their application: it is in the image, and needs neither database nor file system. A
whole WordPress stack from a baked image is the business of tests/stacks.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from support.figures import record
from support.local_cloud import REPOSITORY, TestCloud, TestMachine
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
    assert described["Public"] is False
    assert described["DeregistrationProtection"].startswith("enabled")
    permission = cloud.client("ec2").describe_image_attribute(ImageId=golden_image, Attribute="launchPermission")
    assert permission["LaunchPermissions"] == [{"UserId": "210987654321"}]
    assert described["ImdsSupport"] == "v2.0"
    assert described["DeprecationTime"] > time.strftime("%Y-%m-%d")
    assert described["BlockDeviceMappings"][0]["Ebs"]["Encrypted"] is True
    size = cloud.podman("image", "inspect", "--format={{.Size}}", f"{cloud.settings.image_repository}:{golden_image}")
    record("images", image_mb=int(size) / 1e6)


def test_the_build_leaves_nothing_behind(cloud: TestCloud, golden_image: str) -> None:
    ec2 = cloud.client("ec2")
    instances = [
        instance["InstanceId"]
        for reservation in ec2.describe_instances(Filters=[{"Name": "tag-key", "Values": ["stackyard:build"]}])[
            "Reservations"
        ]
        for instance in reservation["Instances"]
        if instance["State"]["Name"] != "terminated"
    ]
    assert instances == []
    assert [key for key in ec2.describe_key_pairs()["KeyPairs"] if key["KeyName"].startswith("packer")] == []
    assert [
        group for group in ec2.describe_security_groups()["SecurityGroups"] if group["GroupName"].startswith("packer")
    ] == []


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
