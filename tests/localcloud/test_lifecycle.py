"""The whole cloud: its state outlives the server, and nothing outlives ``down``."""

from __future__ import annotations

import json
import os
import subprocess
import time
from pathlib import Path

import pytest

from localcloud import base_images
from localcloud.network import clashing_route
from support.figures import record
from support.local_cloud import new_cloud
from support.waiting import until


def _server_ticks(cloud) -> int:
    """Processor time of the server and the processes it started, in clock ticks."""
    pid = json.loads(cloud.command("status", "--json", check=False).stdout)["pid"]
    children = subprocess.run(["pgrep", "-P", str(pid)], capture_output=True, text=True, check=False).stdout.split()
    total = 0
    for process in [str(pid), *children]:
        fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
        total += int(fields[11]) + int(fields[12])
    return total


def test_restart_keeps_machines_state_and_credentials(cloud, launch):
    ec2, s3 = cloud.client("ec2"), cloud.client("s3")
    machine = launch(MetadataOptions={"HttpTokens": "required"}).booted()
    s3.create_bucket(Bucket="kept")
    s3.put_object(Bucket="kept", Key="large", Body=b"x" * 3_000_000)
    cloud.client("secretsmanager").create_secret(Name="kept", SecretString="value")
    pid = cloud.podman.container(machine.id).pid
    cloud.command("restart")
    assert machine.describe()["State"]["Name"] == "running"
    assert cloud.podman.container(machine.id).pid == pid
    assert s3.get_object(Bucket="kept", Key="large")["Body"].read() == b"x" * 3_000_000
    assert cloud.client("secretsmanager").get_secret_value(SecretId="kept")["SecretString"] == "value"
    assert machine.metadata("meta-data/instance-id") == machine.id
    until("DNS", lambda: machine.address in machine.run("getent", "hosts", machine.describe()["PrivateDnsName"],
                                                           check=False))  # fmt: skip
    assert launch().booted().run("true") == ""
    ec2.terminate_instances(InstanceIds=[machine.id])
    until("the end of the machine", lambda: cloud.podman.container(machine.id) is None)


def test_a_killed_server_comes_back_with_its_state(cloud):
    cloud.client("secretsmanager").create_secret(Name="crash", SecretString="value")
    time.sleep(1)
    os.kill(json.loads(cloud.command("status", "--json").stdout)["pid"], 9)
    assert cloud.command("status", check=False).returncode == 3
    cloud.command("up")
    assert cloud.client("secretsmanager").get_secret_value(SecretId="crash")["SecretString"] == "value"


def test_an_idle_cloud_uses_next_to_no_processor(cloud):
    before = _server_ticks(cloud)
    time.sleep(6)
    share = (_server_ticks(cloud) - before) / os.sysconf("SC_CLK_TCK") / 6
    record("localcloud", idle_processor_share=share)
    # About a hundredth on an idle machine.
    assert share < 0.1


def test_the_request_log_tells_reads_from_writes(cloud):
    cloud.client("ec2").describe_vpcs()
    cloud.client("ec2").create_key_pair(KeyName="logged")
    lines = [json.loads(line) for line in (cloud.settings.state / "requests.jsonl").read_text().splitlines()]
    assert ("DescribeVpcs", False) in {(line["action"], line["write"]) for line in lines}
    assert ("CreateKeyPair", True) in {(line["action"], line["write"]) for line in lines}


def test_a_deleted_vpc_takes_its_network_along(cloud, launch):
    ec2, cidr = cloud.client("ec2"), next(cloud.ranges)
    vpc_id = ec2.create_vpc(CidrBlock=str(cidr))["Vpc"]["VpcId"]
    subnet = ec2.create_subnet(VpcId=vpc_id, CidrBlock=str(next(cidr.subnets(new_prefix=24))))["Subnet"]["SubnetId"]
    machine = launch(SubnetId=subnet, SecurityGroupIds=[])
    name = cloud.settings.network_name(vpc_id)
    networks = lambda: cloud.podman("network", "ls", "--format={{.Name}}").split()  # noqa: E731
    until("the network", lambda: name in networks())
    ec2.terminate_instances(InstanceIds=[machine.id])
    ec2.delete_subnet(SubnetId=subnet)
    ec2.delete_vpc(VpcId=vpc_id)
    until("the end of the network", lambda: name not in networks(), 60)


def test_up_twice_is_harmless(cloud):
    assert "already answers" in cloud.command("up").stdout


@pytest.fixture
def other():
    """A second cloud beside the first."""
    cloud = new_cloud()
    yield cloud
    cloud.command("down")


def _traces(cloud) -> list[str]:
    """Whatever this machine still has of a cloud."""
    name = cloud.settings.name
    commands = [
        ["podman", "ps", "--all", "--format={{.Names}} {{.Labels}}"],
        ["podman", "images", "--format={{.Repository}}:{{.Tag}}"],
        ["podman", "network", "ls", "--format={{.Name}}"],
        ["podman", "volume", "ls", "--format={{.Name}} {{.Labels}}"],
        ["nft", "list", "tables"],
        ["ps", "-eo", "args"],
    ]
    found = []
    for command in commands:
        output = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        found += [line for line in output.splitlines() if name in line]
    if cloud.settings.state.exists():
        found.append(str(cloud.settings.state))
    return found


def test_down_leaves_nothing(other):
    other.command("up")
    ec2 = other.client("ec2")
    subnet = ec2.describe_subnets()["Subnets"][0]["SubnetId"]
    instance = ec2.run_instances(ImageId=other.image(), InstanceType="t3.micro", MinCount=1, MaxCount=1,
                                 SubnetId=subnet)["Instances"][0]["InstanceId"]  # fmt: skip
    until("the machine", lambda: other.podman.container(instance))
    image = ec2.create_image(InstanceId=instance, Name="left", NoReboot=True)["ImageId"]
    ec2.get_waiter("image_available").wait(ImageIds=[image], WaiterConfig={"Delay": 1})
    assert clashing_route(other.settings.default_vpc_cidr)
    assert _traces(other)
    assert other.command("down").stdout.endswith("is gone\n")
    assert _traces(other) == []
    assert clashing_route(other.settings.default_vpc_cidr) is None
    assert "there is no local cloud" in other.command("down").stdout


def test_down_keeps_the_base_images_for_another_cloud(other, cloud):
    other.command("up")
    said = other.command("down", "--base-images").stdout
    assert cloud.settings.name in said.partition("keeping the base images, which ")[2]
    listed = subprocess.run(["podman", "images", "--format={{.Repository}}:{{.Tag}}"], capture_output=True, text=True,
                            check=True).stdout  # fmt: skip
    assert base_images.reference("debian-13") in listed.split()


def test_a_network_that_clashes_is_refused_before_anything_is_touched(other, cloud, vpc, launch):
    launch()
    taken = vpc.cidr.supernet(new_prefix=16)
    other.environment["LOCALCLOUD_DEFAULT_VPC_CIDR"] = str(taken)
    done = other.command("up", check=False)
    assert done.returncode == 1
    assert done.stderr.startswith(f"localcloud: The default VPC's range {taken} clashes with a network")
    assert _traces(other) == []


def test_a_port_in_use_is_refused_before_anything_is_touched(other, cloud):
    other.environment["LOCALCLOUD_PORT"] = str(cloud.settings.port)
    done = other.command("up", check=False)
    assert done.returncode == 1
    assert done.stderr.startswith(f"localcloud: Port {cloud.settings.port} of 127.0.0.1 is in use: set LOCALCLOUD_PORT")
    assert _traces(other) == []
