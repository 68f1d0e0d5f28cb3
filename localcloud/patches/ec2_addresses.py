"""Private addresses: handed out in turn, never a reserved one, never one in use.

moto walks an iterator that starts anew when its state is restored: it then gives out the addresses that AWS reserves,
and those of other interfaces. AWS reserves the first four addresses and the last of each subnet.

https://docs.aws.amazon.com/vpc/latest/userguide/subnet-sizing.html
"""

from __future__ import annotations

import ipaddress
from typing import Any

from moto.ec2.exceptions import EC2ClientError
from moto.ec2.models.subnets import Subnet

RESERVED_FIRST = 4


class InsufficientFreeAddressesInSubnet(EC2ClientError):  # noqa: N818 (named as the API's error code)
    """Every address of the subnet is in use."""

    def __init__(self, subnet_id: str) -> None:
        super().__init__(
            "InsufficientFreeAddressesInSubnet",
            f"There are not enough free addresses in subnet '{subnet_id}'.",
        )


def apply() -> None:
    """Replace moto's way to find a free address."""
    Subnet.get_available_subnet_ip = _get_available_subnet_ip


def _get_available_subnet_ip(self: Subnet, instance: Any) -> str:
    """The next free address after the one given out last: a machine that is just ending still holds its own."""
    address = next_address(self.cidr, _in_use(self), getattr(self, "localcloud_last_address", None))
    if address is None:
        raise InsufficientFreeAddressesInSubnet(self.id)
    self.localcloud_last_address = address
    self._subnet_ips[address] = instance
    return address


def next_address(cidr: ipaddress.IPv4Network, used: set[str], last: str | None) -> str | None:
    """The first free address after ``last``, going round once; None if there is none."""
    base, size = int(cidr.network_address), cidr.num_addresses
    usable = size - RESERVED_FIRST - 1
    begin = int(ipaddress.IPv4Address(last)) - base + 1 - RESERVED_FIRST if last else 0
    for step in range(usable):
        address = str(ipaddress.IPv4Address(base + RESERVED_FIRST + (begin + step) % usable))
        if address not in used:
            return address
    return None


def _in_use(subnet: Subnet) -> set[str]:
    interfaces = {
        entry["PrivateIpAddress"]
        for interface in subnet.ec2_backend.enis.values()
        if interface.subnet.id == subnet.id
        for entry in interface.private_ip_addresses
    }
    held = {
        address
        for address, holder in subnet._subnet_ips.items()
        # moto keeps a terminated instance's address until its object is collected.
        if getattr(holder, "state", None) != "terminated"
    }
    return interfaces | held
