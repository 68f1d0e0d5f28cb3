"""Security groups: what is not allowed does not pass, between machines, from the host, and between VPCs."""

from __future__ import annotations

import subprocess

import pytest

from support.waiting import until

SERVER = ["systemd-run", "--unit=web", "python3", "-m", "http.server", "8080"]


def _reaches(machine, address: str, port: int = 8080) -> bool:
    return machine.run("curl", "-s", "-m", "1", "-o", "/dev/null", "-w", "%{http_code}",
                       f"http://{address}:{port}/", check=False) == "200"  # fmt: skip


@pytest.fixture(scope="module")
def groups(security_group):
    client = security_group("client")
    return client, security_group("server", [(8080, client)])


@pytest.fixture(scope="module")
def machines(launch, groups, vpc):
    client, server = groups
    inside = launch(SecurityGroupIds=[client])
    outside = launch(SecurityGroupIds=[server], SubnetId=vpc.subnets[1])
    target = launch(SecurityGroupIds=[server])
    for machine in (inside, outside, target):
        machine.booted()
    target.run(*SERVER)
    until("the web server", lambda: _reaches(target, "127.0.0.1"))
    return inside, outside, target


def test_a_group_lets_its_members_in_and_nobody_else(machines):
    inside, outside, target = machines
    assert _reaches(inside, target.address)
    assert not _reaches(outside, target.address)


def test_the_host_is_held_to_the_rules_too(machines):
    target = machines[2]
    done = subprocess.run(["curl", "-s", "-m", "1", f"http://{target.address}:8080/"], capture_output=True, check=False)
    assert done.returncode == 28


def test_a_rule_added_and_taken_away_counts_at_once(machines, groups, cloud):
    _, outside, target = machines
    ec2 = cloud.client("ec2")
    permission = {
        "IpProtocol": "tcp", "FromPort": 8080, "ToPort": 8080, "IpRanges": [{"CidrIp": f"{outside.address}/32"}],
    }  # fmt: skip
    ec2.authorize_security_group_ingress(GroupId=groups[1], IpPermissions=[permission])
    until("the way in", lambda: _reaches(outside, target.address), 5)
    ec2.revoke_security_group_ingress(GroupId=groups[1], IpPermissions=[permission])
    until("the closed door", lambda: not _reaches(outside, target.address), 5)


def test_egress_is_enforced(launch, security_group, machines, cloud):
    inside, _, target = machines
    ec2 = cloud.client("ec2")
    everything = [{"IpProtocol": "-1", "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}]
    group = inside.describe()["SecurityGroups"][0]["GroupId"]
    ec2.revoke_security_group_egress(GroupId=group, IpPermissions=everything)
    until("the closed door", lambda: not _reaches(inside, target.address), 5)
    assert inside.metadata("meta-data/instance-id") == inside.id
    ec2.authorize_security_group_egress(GroupId=group, IpPermissions=everything)
    until("the way out", lambda: _reaches(inside, target.address), 5)


def test_vpcs_are_apart(launch, security_group, machines, cloud):
    target, ec2 = machines[2], cloud.client("ec2")
    cidr = next(cloud.ranges)
    vpc_id = ec2.create_vpc(CidrBlock=str(cidr))["Vpc"]["VpcId"]
    subnet = ec2.create_subnet(VpcId=vpc_id, CidrBlock=str(next(cidr.subnets(new_prefix=24))))["Subnet"]["SubnetId"]
    stranger = launch(SubnetId=subnet, SecurityGroupIds=[security_group("any", vpc_id=vpc_id)]).booted()
    group = target.describe()["SecurityGroups"][0]["GroupId"]
    everyone = [{"IpProtocol": "tcp", "FromPort": 8080, "ToPort": 8080, "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}]
    ec2.authorize_security_group_ingress(GroupId=group, IpPermissions=everyone)
    until("the open door", lambda: _reaches(machines[1], target.address), 5)
    assert not _reaches(stranger, target.address)
    assert stranger.metadata("meta-data/instance-id") == stranger.id
