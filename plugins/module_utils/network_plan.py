# Copyright: stackyard contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""How a VPC's addresses are shared out, and what is wrong with a network that is asked for."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping, Sequence
from typing import Any

TIERS = ("public", "private", "data")

# What a machine without a way to the internet needs to be reachable, to read its secrets and to report itself ready.
NEEDED_ENDPOINTS = ("ssm", "ssmmessages", "ec2messages", "secretsmanager", "autoscaling")


def subnets(cidr: str, zones: Sequence[str]) -> list[dict[str, str]]:
    """Share out a VPC's addresses.

    The VPC is cut into quarters: public, private, data, and one that is kept free for later. Each quarter is cut
    into four again, one for each zone in the order given, so that a third zone can be added without moving anything.
    10.42.0.0/16 gives public 10.42.0.0/20, 10.42.16.0/20, private 10.42.64.0/20 and so on.
    """
    network = ipaddress.ip_network(cidr)
    quarters = list(network.subnets(prefixlen_diff=2))
    return [
        {"name": f"{tier}-{zone}", "tier": tier, "zone": zone, "cidr": str(block)}
        for tier, quarter in zip(TIERS, quarters, strict=False)
        for zone, block in zip(zones, quarter.subnets(prefixlen_diff=2), strict=False)
    ]


def cidr_problem(name: str, value: Any, shortest: int = 16, longest: int = 24) -> str | None:
    """Return what is wrong with the addresses of a VPC, or None."""
    accepted = (
        f"private IPv4 addresses of a prefix length from /{shortest} to /{longest} are accepted, such as 10.42.0.0/16"
    )
    try:
        network = ipaddress.IPv4Network(value if isinstance(value, str) else "")
    except ValueError:
        return f"{name} is {value!r}, which is no network: {accepted}."
    if "/" not in value or not shortest <= network.prefixlen <= longest:
        return f"{name} is {value}: {accepted}."
    if not network.is_private:
        return f"{name} is {value}, which are public addresses: {accepted}."
    return None


def subnet_problems(name: str, cidr: str, given: Sequence[Mapping[str, Any]], zones: Sequence[str]) -> list[str]:
    """Return what is wrong with subnets that were given rather than computed."""
    problems: list[str] = []
    vpc = ipaddress.IPv4Network(cidr)
    seen: list[tuple[str, ipaddress.IPv4Network]] = []
    accepted = "each entry is a mapping of name, tier (public, private or data), cidr and zone"
    for index, subnet in enumerate(given):
        where = f"{name}[{index}]"
        if not isinstance(subnet, Mapping) or set(subnet) != {"name", "tier", "cidr", "zone"}:
            problems.append(f"{where} is not understood: {accepted}.")
            continue
        if subnet["tier"] not in TIERS:
            problems.append(f"{where}.tier is {subnet['tier']!r}: public, private or data is accepted.")
        if subnet["zone"] not in zones:
            problems.append(
                f"{where}.zone is {subnet['zone']!r}: one of the stack's zones is accepted: {', '.join(zones)}."
            )
        try:
            network = ipaddress.IPv4Network(subnet["cidr"])
        except ValueError:
            problems.append(
                f"{where}.cidr is {subnet['cidr']!r}, which is no network: one such as 10.42.0.0/20 is accepted."
            )
            continue
        if not network.subnet_of(vpc):
            problems.append(
                f"{where}.cidr is {network}, which does not fit into the VPC's {vpc}: a part of it is accepted."
            )
        if not 16 <= network.prefixlen <= 28:
            problems.append(f"{where}.cidr is {network}: a prefix length from /16 to /28 is accepted.")
        for other, taken in seen:
            if network.overlaps(taken):
                problems.append(
                    f"{where}.cidr is {network}, which overlaps {taken} of subnet {other}: addresses that no other"
                    " subnet has are accepted."
                )
        seen.append((str(subnet["name"]), network))
    missing = [
        f"{tier} in {zone}"
        for tier in TIERS
        for zone in zones
        if not any(isinstance(s, Mapping) and s.get("tier") == tier and s.get("zone") == zone for s in given)
    ]
    if missing and not problems:
        problems.append(f"{name} lacks a subnet {missing[0]}: one of every tier in every zone is accepted.")
    return problems


def endpoint_problem(nat_name: str, endpoints_name: str, nat: str, endpoints: Sequence[str]) -> str | None:
    """Return a sentence when machines in the private subnets could not reach AWS, or None."""
    missing = [service for service in NEEDED_ENDPOINTS if service not in endpoints]
    if nat != "none" or not missing:
        return None
    return (
        f"{nat_name} is none and {endpoints_name} lacks {', '.join(missing)}, so the machines could not reach AWS: "
        f"NAT (one or zone), or all of the endpoints {', '.join(NEEDED_ENDPOINTS)}, is accepted."
    )


def network_problems(values: Mapping[str, Any], prefix: str = "network_") -> list[str]:
    """Return what is wrong with the variables of a network, in the words of whoever set them.

    Args:
        values: The role's variables without their prefix.
        prefix: What the operator's variables begin with, for the sentences.
    """
    problems: list[str] = []
    zones = values["zones"]
    wanted = (
        f"{prefix}zones is {zones!r}: a list of two or three different availability zones of one region is accepted"
    )
    if values.get("vpc_id") or values.get("vpc_tags"):
        return problems
    if not isinstance(zones, (list, tuple)) or not all(isinstance(zone, str) and zone for zone in zones):
        return [f"{wanted}, such as [us-east-1a, us-east-1b]."]
    if not 2 <= len(zones) <= 3 or len(set(zones)) != len(zones):
        problems.append(f"{wanted}.")
    problem = cidr_problem(f"{prefix}cidr", values["cidr"])
    if problem:
        problems.append(problem)
    elif values.get("subnets"):
        problems += subnet_problems(f"{prefix}subnets", values["cidr"], values["subnets"], zones)
    if values.get("machines_tier") == "public":
        return problems
    problem = endpoint_problem(
        f"{prefix}nat", f"{prefix}interface_endpoints", values["nat"], values["interface_endpoints"]
    )
    if problem:
        problems.append(problem)
    return problems
