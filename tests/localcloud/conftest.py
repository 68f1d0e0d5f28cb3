"""A local cloud for the tests: its own name, port and address ranges, and nothing left behind.

``cloud`` is one cloud for the whole session, ``vpc`` a VPC of its own for a test module, and ``launch`` starts
machines there that are gone when the module ends. All need root and podman.
"""

from __future__ import annotations

import contextlib
import ipaddress
import os
import secrets
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import boto3
import pytest

from localcloud import base_images
from localcloud.network import clashing_route
from localcloud.podman import Podman
from localcloud.settings import Settings

REPOSITORY = Path(__file__).resolve().parents[2]
DEBIAN = "136693071363"
BOOT_SECONDS = 60

T = TypeVar("T")


def wait_for(what: str, look: Callable[[], T], seconds: float = 30, every: float = 0.2) -> T:
    """Wait until ``look`` returns something true, and return it."""
    deadline = time.monotonic() + seconds
    seen: Any = None
    while time.monotonic() < deadline:
        seen = look()
        if seen:
            return seen
        time.sleep(every)
    raise AssertionError(f"{what} did not happen within {seconds:g} s; last seen: {seen!r}")


@dataclass
class TestCloud:
    """A running local cloud."""

    __test__ = False

    settings: Settings
    environment: dict[str, str]
    ranges: Iterator[ipaddress.IPv4Network]
    _clients: dict[str, Any] = field(default_factory=dict)

    @property
    def endpoint(self) -> str:
        return self.settings.endpoint

    @property
    def session(self) -> boto3.session.Session:
        return boto3.session.Session(
            aws_access_key_id="test", aws_secret_access_key="test", region_name=self.settings.region
        )

    @property
    def podman(self) -> Podman:
        return Podman(self.settings)

    def client(self, service: str) -> Any:
        """A boto3 client at the endpoint."""
        if service not in self._clients:
            self._clients[service] = self.session.client(service, endpoint_url=self.endpoint)
        return self._clients[service]

    def command(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run the command line."""
        done = subprocess.run(
            [sys.executable, "-m", "localcloud", *arguments],
            env=self.environment, capture_output=True, text=True, timeout=180, check=False, cwd=REPOSITORY,
        )  # fmt: skip
        assert not check or done.returncode == 0, done.stdout + done.stderr
        return done

    def image(self, suite: str = "debian-13") -> str:
        """The newest of Debian's own images, as a stack finds it on AWS."""
        images = self.client("ec2").describe_images(
            Owners=[DEBIAN], Filters=[{"Name": "name", "Values": [f"{suite}-amd64-*"]}]
        )["Images"]
        return str(max(images, key=lambda image: image["CreationDate"])["ImageId"])

    def log(self) -> str:
        return (self.settings.state / "server.log").read_text()


@dataclass
class Vpc:
    """A VPC with one subnet per zone."""

    id: str
    cidr: ipaddress.IPv4Network
    subnets: list[str]


@dataclass
class TestMachine:
    """A machine of the local cloud."""

    __test__ = False

    cloud: TestCloud
    id: str
    address: str
    key: Path | None

    def run(self, *command: str, check: bool = True) -> str:
        """Run a command inside, beside the network."""
        done = subprocess.run(
            ["podman", "exec", self.id, *command], capture_output=True, text=True, timeout=120, check=False
        )
        assert not check or done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def ssh(self, *command: str) -> subprocess.CompletedProcess[str]:
        """Run a command as a person would, with the key pair."""
        return subprocess.run(
            [
                "ssh", "-i", str(self.key), "-o", "BatchMode=yes", "-o", "StrictHostKeyChecking=no", "-o",
                "UserKnownHostsFile=/dev/null", "-o", "ConnectTimeout=2", "-o", "LogLevel=ERROR",
                f"admin@{self.address}", *command,
            ],
            capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip

    def metadata(self, path: str, version: int = 2) -> str:
        """Ask the metadata service from inside."""
        script = f"curl -sf -m 5 http://169.254.169.254/latest/{path}"
        if version == 2:
            token = "curl -sf -m 5 -X PUT -H 'X-aws-ec2-metadata-token-ttl-seconds: 60' http://169.254.169.254/latest/api/token"
            script = f'token=$({token}) && {script} -H "X-aws-ec2-metadata-token: $token"'
        return self.run("bash", "-c", script)

    def booted(self) -> TestMachine:
        """Wait until cloud-init has finished."""
        wait_for(
            f"the boot of {self.id}",
            lambda: "done" in self.run("cloud-init", "status", check=False),
            BOOT_SECONDS,
        )
        return self

    def describe(self) -> dict[str, Any]:
        reservations = self.cloud.client("ec2").describe_instances(InstanceIds=[self.id])["Reservations"]
        instance: dict[str, Any] = reservations[0]["Instances"][0]
        return instance

    def wait_state(self, state: str, seconds: float = 30) -> None:
        wait_for(f"state {state} of {self.id}", lambda: self.describe()["State"]["Name"] == state, seconds)


def _free_range(candidates: Iterator[str]) -> ipaddress.IPv4Network:
    for candidate in candidates:
        network = ipaddress.IPv4Network(candidate)
        if clashing_route(network) is None:
            return network
    raise AssertionError("this machine has no free private /16 network left")


def free_port() -> int:
    """A TCP port that nobody uses."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def new_cloud() -> TestCloud:
    """Settings for a cloud of its own; not started."""
    start = secrets.randbelow(60)
    cidr = _free_range(f"10.{130 + (start + i) % 60}.0.0/16" for i in range(60))
    default = _free_range(f"172.{16 + (start + i) % 16}.0.0/16" for i in range(16))
    name = f"test-{secrets.token_hex(3)}"
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "LOCALCLOUD_"))}
    environment |= {
        "LOCALCLOUD_NAME": name,
        "LOCALCLOUD_PORT": str(free_port()),
        "LOCALCLOUD_DEFAULT_VPC_CIDR": str(default),
    }
    return TestCloud(Settings.from_environment(environment), environment, cidr.subnets(new_prefix=20))


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
def vpc(cloud: TestCloud) -> Iterator[Vpc]:
    """A VPC with subnets in two zones, of this module alone."""
    ec2, cidr = cloud.client("ec2"), next(cloud.ranges)
    vpc_id = ec2.create_vpc(CidrBlock=str(cidr))["Vpc"]["VpcId"]
    ec2.modify_vpc_attribute(VpcId=vpc_id, EnableDnsHostnames={"Value": True})
    zones = [f"{cloud.settings.region}{letter}" for letter in "ab"]
    subnets = [
        ec2.create_subnet(VpcId=vpc_id, CidrBlock=str(block), AvailabilityZone=zone)["Subnet"]["SubnetId"]
        for zone, block in zip(zones, cidr.subnets(new_prefix=24), strict=False)
    ]
    yield Vpc(vpc_id, cidr, subnets)


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
    with contextlib.suppress(ec2.exceptions.ClientError):
        if machines:
            ec2.terminate_instances(InstanceIds=machines)
    wait_for(
        "the end of the module's machines",
        lambda: not {entry.name for entry in cloud.podman.containers("machine")} & set(machines),
        60,
    )
