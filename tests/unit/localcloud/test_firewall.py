"""Security groups as nft rules: the text is what nft accepts, and every kind of permission is in it."""

from __future__ import annotations

import ipaddress
import os
import shutil
import subprocess

import pytest

from localcloud.firewall import Group, Interface, Rule, render
from localcloud.network import Network

ANYWHERE = ("0.0.0.0/0",)
NETWORKS = [
    Network(f"vpc-{number}", f"n{number}", f"bridge{number}", ipaddress.IPv4Network(f"10.{number}.0.0/16"))
    for number in (1, 2)
]
EVERYTHING = Rule("-1", None, None, ANYWHERE, ())
GROUPS = [
    Group("sg-web", (Rule("tcp", 80, 80, ANYWHERE, ()), Rule("tcp", 8000, 8100, (), ("sg-web",))), (EVERYTHING,)),
    Group("sg-db", (Rule("tcp", 3306, 3306, (), ("sg-web",)),), ()),
    Group(
        "sg-odd",
        (
            Rule("icmp", 8, -1, ANYWHERE, ()),
            Rule("icmp", -1, -1, ANYWHERE, ()),
            Rule("udp", None, None, ("10.1.2.3/16",), ()),
            Rule("50", None, None, ANYWHERE, ()),
            Rule("icmpv6", -1, -1, ANYWHERE, ()),
            Rule("tcp", 22, 22, (), ("sg-elsewhere",)),
        ),
        (),
    ),
]
INTERFACES = [
    Interface("10.1.1.4", ("sg-web",)),
    Interface("10.1.1.5", ("sg-db", "sg-web"), "198.18.0.7"),
    Interface("10.2.1.4", ("sg-odd",)),
]


def _chain(text: str, name: str) -> list[str]:
    """The rules of a chain, without what hooks it in."""
    body = text.split(f"chain {name} {{", 1)[1].split("\n}", 1)[0]
    return body.splitlines()[1:]


@pytest.fixture
def text() -> str:
    return render("localcloud-test", 4566, NETWORKS, GROUPS, INTERFACES)


@pytest.mark.skipif(os.geteuid() != 0 or shutil.which("nft") is None, reason="nft only checks rules for root")
def test_nft_accepts_the_rules(text: str) -> None:
    done = subprocess.run(["nft", "--check", "-f", "-"], input=text, capture_output=True, text=True, check=False)
    assert done.stderr == ""


def test_permissions(text: str) -> None:
    assert _chain(text, "in_sg_web") == [
        "ip saddr 0.0.0.0/0 tcp dport 80 accept",
        "ip saddr @sg_web tcp dport 8000-8100 accept",
    ]
    assert _chain(text, "in_sg_db") == ["ip saddr @sg_web tcp dport 3306 accept"]
    assert _chain(text, "out_sg_web") == ["ip daddr 0.0.0.0/0 accept"]
    # Neither IPv6 nor a group of another VPC lets anything in.
    assert _chain(text, "in_sg_odd") == [
        "ip saddr 0.0.0.0/0 icmp type 8 accept",
        "ip saddr 0.0.0.0/0 ip protocol icmp accept",
        "ip saddr 10.1.0.0/16 ip protocol udp accept",
        "ip saddr 0.0.0.0/0 ip protocol 50 accept",
    ]


def test_a_group_is_the_addresses_of_its_members(text: str) -> None:
    assert "set sg_web { type ipv4_addr; elements = { 10.1.1.4, 10.1.1.5 }; }" in text


def test_what_no_rule_lets_through_is_dropped(text: str) -> None:
    chains = [line.split()[1] for line in text.splitlines() if line.startswith("chain in_") and "sg_" not in line]
    assert len(chains) == 3
    assert all(_chain(text, name)[-1] == "drop" for name in chains)
    for name in ("leaving", "entering"):
        chain = text.split(f"chain {name} ", 1)[1].split("\n}", 1)[0]
        assert chain.endswith("\ndrop")


def test_vpcs_are_apart(text: str) -> None:
    assert 'iifname "bridge1" oifname "bridge2" drop' in text
    assert 'iifname "bridge2" oifname "bridge1" drop' in text


def test_a_cloud_without_networks_has_no_rules() -> None:
    assert render("t", 4566, [], GROUPS, []) == "table ip t\ndelete table ip t\n"


def test_a_public_address_leads_to_its_machine_and_the_rules_hold(text: str) -> None:
    translation = "dnat to ip daddr map { 198.18.0.7 : 10.1.1.5 }"
    for chain in ("public_from_machines", "public_from_host"):
        assert _chain(text, chain) == [translation]
    output = _chain(text, "output")
    # The host sends it out by another interface, as far as nft knows.
    assert output.index("ct state new ct status dnat ip daddr vmap @inbound") < output.index(
        'oifname != { "bridge1", "bridge2" } accept'
    )


def test_without_public_addresses_nothing_is_translated() -> None:
    assert "dnat to ip daddr" not in render("localcloud-test", 4566, NETWORKS, GROUPS, INTERFACES[:1])
