"""An unmodified `packer build` on the local cloud, the image from outside, and machines that boot from it.

The machines boot with nginx as their application: it is in the image, and needs neither database nor file system. A
whole WordPress stack from a baked image is the business of tests/stacks.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from support.figures import record
from support.local_cloud import REPOSITORY, TestCloud, TestMachine
from support.waiting import until

sys.path.insert(0, str(REPOSITORY))
from demo import artefacts

BAKE_SECONDS = 1500
# Generous: a machine that has no credentials yet asks for a minute.
BOOT_SECONDS = 240


@pytest.fixture(scope="module")
def variable_files(cloud: TestCloud, tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Role variables for the bake: archive and certificate out of a bucket, like an operator's mirror."""
    folder = tmp_path_factory.mktemp("variables")
    s3, region = cloud.client("s3"), cloud.settings.region
    bundle = folder / "bundle.pem"
    bundle.write_bytes(Path("/etc/ssl/certs/ca-certificates.crt").read_bytes())
    variables = artefacts.wordpress(s3, region)
    variables |= {
        "wordpress_database_ca_url": artefacts.upload(s3, region, bundle),
        "wordpress_database_ca_checksum": f"sha256:{hashlib.sha256(bundle.read_bytes()).hexdigest()}",
    }
    path = folder / "wordpress.yml"
    path.write_text(yaml.safe_dump(variables))
    return [str(REPOSITORY / "inventory/local/image.yml"), str(path)]


@pytest.fixture(scope="module")
def packer(cloud: TestCloud, variable_files: list[str], tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Any]:
    """Runs `packer build` as an operator does, with the local cloud's var-file."""
    command = subprocess.run(
        [REPOSITORY / "tools/packer/obtain"], capture_output=True, text=True, check=True, timeout=BAKE_SECONDS
    ).stdout.strip()
    manifest = tmp_path_factory.mktemp("manifest") / "manifest.json"
    environment = {
        **cloud.environment,
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "AWS_ENDPOINT_URL": cloud.endpoint,
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_POLL_DELAY_SECONDS": "1",
    }
    gateway = next(cloud.settings.default_vpc_cidr.hosts())

    def build(*arguments: str) -> tuple[subprocess.CompletedProcess[str], dict[str, Any] | None]:
        manifest.unlink(missing_ok=True)
        done = subprocess.run(
            [
                command, "build", "-color=false", "-var-file=packer/wordpress.pkrvars.hcl",
                "-var-file=inventory/local/packer.pkrvars.hcl", f'-var=source_cidrs=["{gateway}/32"]',
                f"-var=manifest={manifest}", f"-var=variable_files={json.dumps(variable_files)}", *arguments, "packer/",
            ],
            cwd=REPOSITORY, env=environment, capture_output=True, text=True, timeout=BAKE_SECONDS, check=False,
        )  # fmt: skip
        return done, json.loads(manifest.read_text()) if manifest.exists() else None

    return build


@pytest.fixture(scope="module")
def image(cloud: TestCloud, packer: Callable[..., Any]) -> str:
    """The baked image's id."""
    started = time.monotonic()
    done, manifest = packer()
    assert done.returncode == 0, done.stdout[-8000:]
    record("bake", bake_s=time.monotonic() - started)
    region, image_id = manifest["builds"][-1]["artifact_id"].split(":")
    assert region == cloud.settings.region
    return image_id


@pytest.fixture(scope="module")
def root(cloud: TestCloud, image: str) -> Iterator[Path]:
    """The image's file system, seen from outside."""
    reference = f"{cloud.settings.image_repository}:{image}"
    path = subprocess.run(["podman", "image", "mount", reference], capture_output=True, text=True, check=True).stdout
    yield Path(path.strip())
    subprocess.run(["podman", "image", "unmount", reference], capture_output=True, check=True)


def test_the_image_says_what_it_is(cloud: TestCloud, image: str) -> None:
    described = cloud.client("ec2").describe_images(ImageIds=[image])["Images"][0]
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
    assert described["ImdsSupport"] == "v2.0"
    assert described["DeprecationTime"] > time.strftime("%Y-%m-%d")
    assert described["BlockDeviceMappings"][0]["Ebs"]["Encrypted"] is True


def test_the_build_leaves_nothing_behind(cloud: TestCloud, image: str) -> None:
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


def test_the_image_is_clean(root: Path) -> None:
    def found(*patterns: str) -> list[str]:
        return [str(path.relative_to(root)) for pattern in patterns for path in root.glob(pattern)]

    assert (root / "etc/machine-id").read_text() == ""
    assert found("etc/ssh/ssh_host_*", "root/.ssh", "home/*/.ssh", "root/.*_history", "home/*/.*_history") == []
    assert found("root/.aws", "home/*/.aws", "root/.cache", "root/.ansible", "etc/stackyard/boot.json") == []
    assert found("var/lib/cloud/*", "var/lib/apt/lists/*", "var/cache/apt/archives/*.deb", "var/log/journal/*") == []
    assert sum(path.stat().st_size for path in (root / "var/log").rglob("*") if path.is_file()) < 64 * 1024


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
def machine(image: str, launch: Callable[..., TestMachine]) -> TestMachine:
    """A machine of no group, configured."""
    started = time.monotonic()
    launched = launch(ImageId=image, UserData=user_data())
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
    machine: TestMachine, launch: Callable[..., TestMachine], image: str
) -> None:
    other = launch(ImageId=image).booted()
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
    image: str, launch: Callable[..., TestMachine], document: dict, words: str
) -> None:
    failed = launch(ImageId=image, UserData=user_data(**document))
    assert boot(failed) == "failed"
    assert words in journal(failed)
