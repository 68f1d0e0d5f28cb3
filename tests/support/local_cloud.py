"""A local cloud for tests, its VPCs and its machines."""

from __future__ import annotations

import ipaddress
import os
import secrets
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import boto3

from localcloud.network import clashing_route
from localcloud.podman import Podman
from localcloud.settings import Settings
from support.waiting import until

REPOSITORY = Path(__file__).resolve().parents[2]
DEBIAN = "136693071363"
BOOT_SECONDS = 60


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

    def client(self, service: str, region: str | None = None) -> Any:
        """A boto3 client at the endpoint, in the cloud's own region or another."""
        key = service, region or self.settings.region
        if key not in self._clients:
            self._clients[key] = self.session.client(service, region_name=key[1], endpoint_url=self.endpoint)
        return self._clients[key]

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
        until(
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
        until(f"state {state} of {self.id}", lambda: self.describe()["State"]["Name"] == state, seconds)


# Until this process ends, for each range that it chose: see free_range.
_reservations: list[socket.socket] = []


def free_range(candidates: Iterator[str]) -> ipaddress.IPv4Network:
    """A private network that neither this machine nor another test process uses.

    A cloud makes its networks when something first needs them, so that no route tells of a range that was only just
    chosen. A socket in the abstract namespace does: its name can be bound once, no file of it stays behind, and the
    kernel frees it when the process ends, however it ends. It is as wide as the routes are, one network namespace.
    """
    for candidate in candidates:
        network = ipaddress.IPv4Network(candidate)
        if clashing_route(network) is None and _reserve(network):
            return network
    raise AssertionError("this machine has no free private /16 network left")


def _reserve(network: ipaddress.IPv4Network) -> bool:
    reservation = socket.socket(socket.AF_UNIX)
    try:
        reservation.bind(f"\0stackyard-tests/{network}")
    except OSError:
        reservation.close()
        return False
    _reservations.append(reservation)
    return True


def free_port() -> int:
    """A TCP port that nobody uses."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def new_cloud() -> TestCloud:
    """Settings for a cloud of its own; not started."""
    start = secrets.randbelow(60)
    cidr = free_range(f"10.{130 + (start + i) % 60}.0.0/16" for i in range(60))
    # Not 172.31: a local cloud without settings has it.
    default = free_range(f"172.{16 + (start + i) % 15}.0.0/16" for i in range(15))
    name = f"test-{secrets.token_hex(3)}"
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "LOCALCLOUD_"))}
    environment |= {
        "LOCALCLOUD_NAME": name,
        "LOCALCLOUD_PORT": str(free_port()),
        "LOCALCLOUD_DEFAULT_VPC_CIDR": str(default),
    }
    return TestCloud(Settings.from_environment(environment), environment, cidr.subnets(new_prefix=20))


def built_image(manifest: dict[str, Any], region: str) -> str:
    """Id of the image that Packer's manifest tells of, in one of its regions."""
    artifacts = manifest["builds"][-1]["artifact_id"].split(",")
    return dict(artifact.split(":") for artifact in artifacts)[region]
