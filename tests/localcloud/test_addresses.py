"""Elastic IPs lead to their machines, from the host and from others, as far as the security groups let."""

from __future__ import annotations

import subprocess

import pytest

from support.waiting import until

SERVER = ["systemd-run", "--unit=web", "python3", "-m", "http.server", "8080"]


def page(address: str) -> str:
    """What the host is answered within a second; nothing where it is not."""
    done = subprocess.run(
        ["curl", "-sf", "-m", "1", f"http://{address}:8080/"], capture_output=True, text=True, check=False
    )
    return done.stdout.strip()


@pytest.fixture(scope="module")
def machines(launch, security_group):
    web = security_group("web", [(8080, "0.0.0.0/0")])
    started = [launch(SecurityGroupIds=[web]) for _ in range(2)]
    for machine in started:
        machine.booted().run(*SERVER)
        machine.run("sh", "-c", f"echo {machine.id} >/index.html")
    return started


def test_an_address_follows_its_association(machines, cloud):
    first, second = machines
    ec2 = cloud.client("ec2")
    address = ec2.allocate_address(Domain="vpc")
    ip, allocation = address["PublicIp"], address["AllocationId"]
    assert not page(ip)

    for machine in (first, second):
        ec2.associate_address(AllocationId=allocation, InstanceId=machine.id, AllowReassociation=True)
        until("the address", lambda machine=machine: page(ip) == machine.id, 10)
        assert machine.metadata("meta-data/public-ipv4") == ip
    other = first.run("curl", "-s", "-m", "2", f"http://{ip}:8080/")
    assert other.strip() == second.id

    group = second.describe()["SecurityGroups"][0]["GroupId"]
    anybody = {"IpProtocol": "tcp", "FromPort": 8080, "ToPort": 8080, "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}
    ec2.revoke_security_group_ingress(GroupId=group, IpPermissions=[anybody])
    until("the closed door", lambda: not page(ip), 5)
    ec2.authorize_security_group_ingress(GroupId=group, IpPermissions=[anybody])
    until("the way in", lambda: page(ip), 5)

    ec2.disassociate_address(PublicIp=ip)
    until("the end of the association", lambda: not page(ip), 5)
    ec2.release_address(AllocationId=allocation)
