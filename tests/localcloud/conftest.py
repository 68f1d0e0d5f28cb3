"""A local cloud for the tests: its own name, port and address ranges, and nothing left behind.

``cloud`` is one cloud for the whole session, ``vpc`` a VPC of its own for a test module, and ``launch`` starts
machines there that are gone when the module ends. All need root and podman.
"""

from __future__ import annotations

import contextlib
import os
import secrets
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from localcloud import base_images
from support.local_cloud import TestCloud, TestMachine, Vpc, new_cloud
from support.waiting import until


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
