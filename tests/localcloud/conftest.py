"""A local cloud for the tests: its own name, port and address ranges, and nothing left behind.

``cloud`` is one cloud for the whole session, ``vpc`` a VPC of its own for a test module, and ``launch`` starts
machines there that are gone when the module ends. ``golden_image`` is an image of WordPress that Packer baked, once for
the session. All need root and podman.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from demo.stack import Demo
from localcloud import base_images
from support.figures import record
from support.local_cloud import REPOSITORY, TestCloud, TestMachine, Vpc, built_image, new_cloud
from support.waiting import until

BAKE_SECONDS = 1500
# An account that the image is shared with, and a region that gets a copy.
SHARED_WITH = "210987654321"
COPIED_TO = "eu-west-1"


@pytest.fixture(scope="session")
def cloud() -> Iterator[TestCloud]:
    """A running cloud; its server's log is shown when it could not be removed cleanly."""
    assert os.geteuid() == 0, "these tests need root: run them with sudo"
    base_images.build("debian-13", print)
    running = new_cloud()
    running.command("up")
    try:
        yield running
    finally:
        log = running.log() if (running.settings.state / "server.log").exists() else ""
        running.command("down")
        assert "Traceback" not in log, log[-5000:]


@pytest.fixture(scope="module")
def vpc(cloud: TestCloud) -> Vpc:
    """A VPC with subnets in two zones, of this module alone."""
    ec2, cidr = cloud.client("ec2"), next(cloud.ranges)
    vpc_id = ec2.create_vpc(CidrBlock=str(cidr))["Vpc"]["VpcId"]
    ec2.modify_vpc_attribute(VpcId=vpc_id, EnableDnsHostnames={"Value": True})
    zones = [f"{cloud.settings.region}{letter}" for letter in "ab"]
    subnets = [
        ec2.create_subnet(VpcId=vpc_id, CidrBlock=str(block), AvailabilityZone=zone)["Subnet"]["SubnetId"]
        for zone, block in zip(zones, cidr.subnets(new_prefix=24), strict=False)
    ]
    return Vpc(vpc_id, cidr, subnets)


@pytest.fixture(scope="module")
def security_group(cloud: TestCloud, vpc: Vpc) -> Callable[..., str]:
    """Make a security group: ``security_group("web", [(80, "0.0.0.0/0"), (22, other_group)])``."""
    ec2 = cloud.client("ec2")

    def make(name: str, rules: list[tuple[int, str]] | None = None, vpc_id: str = vpc.id) -> str:
        group: str = ec2.create_security_group(GroupName=name, Description=name, VpcId=vpc_id)["GroupId"]
        for port, source in rules or []:
            permission: dict[str, Any] = {"IpProtocol": "tcp", "FromPort": port, "ToPort": port}
            if source.startswith("sg-"):
                permission["UserIdGroupPairs"] = [{"GroupId": source}]
            else:
                permission["IpRanges"] = [{"CidrIp": source}]
            ec2.authorize_security_group_ingress(GroupId=group, IpPermissions=[permission])
        return group

    return make


@pytest.fixture(scope="module")
def key_pair(cloud: TestCloud, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path]:
    """A key pair: its name and the file with the private half."""
    name = f"key-{secrets.token_hex(3)}"
    material = cloud.client("ec2").create_key_pair(KeyName=name, KeyType="ed25519")["KeyMaterial"]
    path = tmp_path_factory.mktemp("key") / "key.pem"
    path.write_text(material)
    path.chmod(0o600)
    return name, path


@pytest.fixture(scope="module")
def launch(
    cloud: TestCloud, vpc: Vpc, security_group: Callable[..., str], key_pair: tuple[str, Path]
) -> Iterator[Callable[..., TestMachine]]:
    """Start a machine; keyword arguments are those of RunInstances."""
    ec2, machines = cloud.client("ec2"), []
    ssh_group = security_group(f"ssh-{secrets.token_hex(3)}", [(22, "0.0.0.0/0")])

    def run(**arguments: Any) -> TestMachine:
        given = {
            "ImageId": cloud.image(),
            "InstanceType": "t3.micro",
            "MinCount": 1,
            "MaxCount": 1,
            "SubnetId": vpc.subnets[0],
            "SecurityGroupIds": [ssh_group],
            "KeyName": key_pair[0],
            **arguments,
        }
        instance = ec2.run_instances(**given)["Instances"][0]
        machine = TestMachine(cloud, instance["InstanceId"], instance["PrivateIpAddress"], key_pair[1])
        machines.append(machine.id)
        return machine

    yield run
    for machine in machines:
        # One by one: of a list nothing is ended if one of them is no longer known.
        with contextlib.suppress(ec2.exceptions.ClientError):
            ec2.terminate_instances(InstanceIds=[machine])
    until(
        "the end of the module's machines",
        lambda: not {entry.name for entry in cloud.podman.containers("machine")} & set(machines),
        120,
    )


@pytest.fixture(scope="session")
def variable_files(cloud: TestCloud) -> list[str]:
    """Files of the role variables that images are baked with."""
    fetched = Demo("wordpress", settings=cloud.settings).fetch()
    return [str(REPOSITORY / "inventory/local/image.yml"), str(REPOSITORY / fetched)]


@pytest.fixture(scope="session")
def manifest(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file that tells of the last build; the software list is beside it."""
    return tmp_path_factory.mktemp("manifest") / "manifest.json"


@pytest.fixture(scope="session")
def start_packer(cloud: TestCloud, variable_files: list[str], manifest: Path) -> Callable[..., subprocess.Popen[str]]:
    """Starts `packer build` as an operator does, with the local cloud's var-file, in a session of its own."""
    command = subprocess.run(
        [REPOSITORY / "tools/packer/obtain"], capture_output=True, text=True, check=True, timeout=BAKE_SECONDS
    ).stdout.strip()
    environment = {
        **cloud.environment,
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "AWS_ENDPOINT_URL": cloud.endpoint,
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_POLL_DELAY_SECONDS": "1",
    }
    gateway = next(cloud.settings.default_vpc_cidr.hosts())

    def start(*arguments: str, template: str | Path = "packer/") -> subprocess.Popen[str]:
        return subprocess.Popen(
            [
                command, "build", "-color=false", "-var-file=packer/wordpress.pkrvars.hcl",
                "-var-file=inventory/local/packer.pkrvars.hcl", f'-var=source_cidrs=["{gateway}/32"]',
                f"-var=manifest={manifest}", f"-var=variable_files={json.dumps(variable_files)}", *arguments, template,
            ],
            cwd=REPOSITORY, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            start_new_session=True,
        )  # fmt: skip

    return start


@pytest.fixture(scope="session")
def packer(start_packer: Callable[..., subprocess.Popen[str]], manifest: Path) -> Callable[..., Any]:
    """Runs `packer build` to its end; returns the run and its manifest."""

    def build(
        *arguments: str, template: str | Path = "packer/"
    ) -> tuple[subprocess.CompletedProcess[str], dict[str, Any] | None]:
        manifest.unlink(missing_ok=True)
        with start_packer(*arguments, template=template) as process:
            output, _ = process.communicate(timeout=BAKE_SECONDS)
        done = subprocess.CompletedProcess(process.args, process.returncode, output)
        return done, json.loads(manifest.read_text()) if manifest.exists() else None

    return build


@pytest.fixture(scope="session")
def bake_options(cloud: TestCloud) -> list[str]:
    """Packer's variables for an image that is shared, copied and protected."""
    here, there = (cloud.client("kms", region).create_key()["KeyMetadata"]["KeyId"] for region in (None, COPIED_TO))
    return [
        "-var=deregistration_protection=true", f'-var=share_with_accounts=["{SHARED_WITH}"]',
        f'-var=copy_to_regions=["{COPIED_TO}"]', f"-var=kms_key_id={here}",
        f'-var=copy_kms_key_ids={{"{COPIED_TO}"="{there}"}}',
    ]  # fmt: skip


@pytest.fixture(scope="session")
def baked(
    packer: Callable[..., Any], bake_options: list[str], manifest: Path, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """A folder with the manifest and the software list of a build, which no later build writes to."""
    started = time.monotonic()
    done, _ = packer(*bake_options)
    assert done.returncode == 0, done.stdout[-8000:]
    record("images", bake_s=time.monotonic() - started)
    return Path(shutil.copytree(manifest.parent, tmp_path_factory.mktemp("baked"), dirs_exist_ok=True))


@pytest.fixture(scope="session")
def golden_image(cloud: TestCloud, baked: Path) -> str:
    """Id of an image of WordPress that a build has made."""
    return built_image(json.loads((baked / "manifest.json").read_text()), cloud.settings.region)


@pytest.fixture(scope="session")
def software_list(baked: Path) -> Path:
    """What the build says is in the image."""
    return baked / "manifest.cdx.json"


@pytest.fixture
def image_copy(cloud: TestCloud, golden_image: str) -> Iterator[Path]:
    """The image's file system from outside, as a copy that may be written to."""
    name = f"{cloud.settings.name}-copy"
    cloud.podman("create", f"--name={name}", f"{cloud.settings.image_repository}:{golden_image}")
    try:
        yield Path(cloud.podman("mount", name).strip())
    finally:
        cloud.podman("rm", "--force", name)
