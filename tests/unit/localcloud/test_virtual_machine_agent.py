"""What a virtual machine is told of itself, and how its disk is laid out."""

from __future__ import annotations

import re
import uuid

from localcloud import virtual_machine_agent as agent
from localcloud.filesystems import is_nfs

MACHINE = {
    "id": "i-0123456789abcdef0",
    "type": "t3.small",
    "address": "10.9.1.4",
    "mac": "02:aa:bb:cc:dd:ee",
    "host_name": "ip-10-9-1-4.ec2.internal",
    "subnet": "10.9.0.0",
    "netmask": "255.255.0.0",
    "gateway": "10.9.0.1",
    "resolver": "10.9.0.2",
}


def test_the_system_s_uuid_is_one_of_ec2_s() -> None:
    """systemd and cloud-init know EC2 by it."""
    found = agent.system_uuid(MACHINE["id"])
    assert found.startswith("ec2")
    assert str(uuid.UUID(found)) == found == agent.system_uuid(MACHINE["id"])
    assert found != agent.system_uuid("i-0123456789abcdef1")


def test_qemu_has_the_api_s_hardware_address_and_ec2_s_names() -> None:
    command = " ".join(agent.qemu_command(MACHINE, "tcg"))
    assert f"mac={MACHINE['mac']}" in command
    assert re.search(r"type=1,manufacturer=Amazon EC2,product=t3.small,serial=(ec2\S+),uuid=\1 ", command)


def test_dhcp_gives_the_api_s_address_to_this_machine_alone() -> None:
    command = agent.dhcp_command(MACHINE)
    assert "--dhcp-range=10.9.0.0,static,255.255.0.0,infinite" in command
    assert "--dhcp-host=02:aa:bb:cc:dd:ee,id:*,10.9.1.4,ip-10-9-1-4,infinite" in command


def test_the_disk_has_an_efi_partition_and_a_root() -> None:
    """In sectors of 512 bytes: what mkfs and mtools are told is where the partitions are."""
    head, *partitions = agent.partitions().splitlines()
    assert head == "label: gpt"
    assert [re.findall(r"start=(\d+)|type=(\w+)", line) for line in partitions] == [
        [("2048", ""), ("", "uefi")],
        [("264192", ""), ("", "linux")],
    ]


def test_nfs_is_told_from_the_mount_helper() -> None:
    assert is_nfs(b"\x80")
    assert not is_nfs(b"{")
    assert not is_nfs(b"")
