"""Security groups, enforced by nftables for every network interface that the API knows.

Connections are tracked, as on AWS: what a rule let begin may answer. Machines reach DNS, the API and metadata whatever
their rules say (on AWS the API needs an egress rule). VPCs are kept apart. Rules whose source or destination is a
prefix list let nothing through, and IPv6 is not modelled; network ACLs are not either.

An interface's public address leads to it, from this host and from machines. What a machine sends comes from its
private address all the same, and it does not reach itself by its public one.

Bridged packets only pass these chains where the bridge asks for it (``nf_call_iptables``); it is set for this cloud's
bridges alone.
"""

from __future__ import annotations

import hashlib
import ipaddress
import subprocess
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from localcloud.cloud import Cloud
from localcloud.machines import ADDRESS_LABEL
from localcloud.network import METADATA_PORT, Network

METADATA_ADDRESS = "169.254.169.254"
ICMP = {"icmp", "1"}
NAMED_PROTOCOLS = {"6": "tcp", "17": "udp", "tcp": "tcp", "udp": "udp"}


class FirewallError(RuntimeError):
    """nft refused the rules; the text holds what it said."""


@dataclass(frozen=True)
class Rule:
    """One permission of a security group.

    Attributes:
        protocol: ``tcp``, ``udp``, ``icmp``, a protocol's number, or ``-1`` for all.
        from_port: First port; the ICMP type for ICMP. None or -1: all.
        to_port: Last port; the ICMP code for ICMP.
        cidrs: IPv4 ranges on the other side.
        groups: Ids of security groups on the other side.
    """

    protocol: str
    from_port: int | None
    to_port: int | None
    cidrs: tuple[str, ...]
    groups: tuple[str, ...]


@dataclass(frozen=True)
class Group:
    """A security group.

    Attributes:
        id: Its id.
        ingress: What may come in.
        egress: What may go out.
    """

    id: str
    ingress: tuple[Rule, ...]
    egress: tuple[Rule, ...]


@dataclass(frozen=True)
class Interface:
    """A network interface.

    Attributes:
        address: Its private address.
        groups: Ids of its security groups.
        public: Its public address, or nothing.
    """

    address: str
    groups: tuple[str, ...]
    public: str = ""


class Firewall:
    """Keeps one nft table in line with the API's security groups."""

    name = "firewall"

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud
        self._applied: str | None = None
        self._known: dict[str, Interface] = {}
        cloud.networks.on_create.append(self._network_created)

    def reconcile(self) -> None:
        """Load the rules again if they changed."""
        networks = self._cloud.networks.existing()
        with self._cloud.lock:
            backend = self._cloud.backend("ec2")
            vpcs = {network.vpc_id for network in networks}
            interfaces = [
                Interface(
                    eni.private_ip_address, tuple(sorted(group.id for group in eni.group_set)), eni.public_ip or ""
                )
                for eni in backend.enis.values()
                if eni.subnet.vpc_id in vpcs and eni.private_ip_address
            ]
            groups = [
                Group(
                    group.id,
                    tuple(_rule(rule) for rule in group.ingress_rules),
                    tuple(_rule(rule) for rule in group.egress_rules),
                )
                for vpc_id in vpcs
                for group in backend.groups.get(vpc_id, {}).values()
            ]
        interfaces = self._with_ending(interfaces)
        text = render(self._cloud.settings.table, self._cloud.settings.port, networks, groups, interfaces)
        if text != self._applied:
            load(text)
            self._applied = text

    def close(self) -> None:
        """Rules stay: the containers do too."""

    def _with_ending(self, interfaces: list[Interface]) -> list[Interface]:
        """Add those of machines that the API has terminated but that are still shutting down.

        On AWS an instance keeps its interface until it has shut down, and may need the network to do so.
        """
        present = {interface.address: interface for interface in interfaces}
        if self._known.keys() - present.keys():
            for container in self._cloud.podman.containers():
                address = container.labels.get(ADDRESS_LABEL)
                if container.running and address in self._known:
                    present.setdefault(address, self._known[address])
        self._known = present
        return list(present.values())

    def _network_created(self, network: Network) -> None:
        """Rules come before the first machine."""
        _filter_bridged(network)
        self.reconcile()


def render(
    table: str, api_port: int, networks: Sequence[Network], groups: Iterable[Group], interfaces: Iterable[Interface]
) -> str:
    """The whole table as text for ``nft -f``, replacing an earlier one in one step."""
    interfaces = sorted(set(interfaces), key=lambda entry: entry.address)
    members: dict[str, list[str]] = {}
    for interface in interfaces:
        for group_id in interface.groups:
            members.setdefault(group_id, []).append(interface.address)
    lines = [f"table ip {table}", f"delete table ip {table}"]
    if not networks:
        return "\n".join([*lines, ""])
    ordered = sorted(groups, key=lambda entry: entry.id)
    known = {group.id for group in ordered}
    lines.append(f"table ip {table} {{")
    for group in ordered:
        elements = ", ".join(sorted(members.get(group.id, [])))
        lines.append(
            f"set {_name(group.id)} {{ type ipv4_addr;" + (f" elements = {{ {elements} }};" if elements else "") + " }"
        )
    for group in ordered:
        for direction, rules in (("in", group.ingress), ("out", group.egress)):
            lines.append(f"chain {direction}_{_name(group.id)} {{")
            lines += [line for rule in rules for line in _rule_lines(rule, direction, known)]
            lines.append("}")
    for combination in sorted({interface.groups for interface in interfaces}):
        for direction in ("in", "out"):
            lines.append(f"chain {direction}_{_digest(combination)} {{")
            lines += [f"jump {direction}_{_name(group_id)}" for group_id in combination if group_id in known]
            lines += ["drop", "}"]
    for direction in ("in", "out"):
        elements = ", ".join(f"{entry.address} : goto {direction}_{_digest(entry.groups)}" for entry in interfaces)
        lines.append(
            f"map {direction}bound {{ type ipv4_addr : verdict;"
            + (f" elements = {{ {elements} }};" if elements else "")
            + " }"
        )
    lines += _base_chains(api_port, networks)
    lines += _public_chains(interfaces)
    lines.append("}")
    return "\n".join([*lines, ""])


def _base_chains(api_port: int, networks: Sequence[Network]) -> list[str]:
    bridges = ", ".join(f'"{network.bridge}"' for network in networks)
    ranges = ", ".join(str(network.cidr) for network in networks)
    apart = [
        f'iifname "{one.bridge}" oifname "{other.bridge}" drop'
        for one in networks
        for other in networks
        if one != other
    ]
    services = [
        line
        for network in networks
        for line in (
            f'iifname "{network.bridge}" ip daddr {network.resolver} udp dport 53 accept',
            f'iifname "{network.bridge}" ip daddr {network.resolver} tcp dport '
            f"{{ 53, {api_port}, {METADATA_PORT} }} accept",
        )
    ]
    own_addresses = ", ".join(f"{network.gateway}, {network.resolver}" for network in networks)
    translations = [
        line
        for network in networks
        for line in (
            f'iifname "{network.bridge}" ip daddr {METADATA_ADDRESS} tcp dport 80 '
            f"dnat to {network.resolver}:{METADATA_PORT}",
            # Names of S3 are answered with this address, without a port.
            f'iifname "{network.bridge}" ip daddr {network.resolver} tcp dport 80 '
            f"dnat to {network.resolver}:{api_port}",
        )
    ]
    return [
        # What one base chain accepts still has to pass the next: out of one machine, then into another.
        "chain leaving { type filter hook forward priority filter - 1; policy accept;",
        f"iifname != {{ {bridges} }} accept",
        "ct state established,related accept",
        *apart,
        f"ip saddr != {{ {ranges} }} drop",
        "ip saddr vmap @outbound",
        # Nobody has this address.
        "drop",
        "}",
        "chain entering { type filter hook forward priority filter; policy accept;",
        f"oifname != {{ {bridges} }} accept",
        "ct state established,related accept",
        "ip daddr vmap @inbound",
        "drop",
        "}",
        "chain output { type filter hook output priority filter; policy accept;",
        # Sent to a public address, so that it was on its way out of the host.
        "ct state new ct status dnat ip daddr vmap @inbound",
        f"oifname != {{ {bridges} }} accept",
        "ct state established,related accept",
        "ip daddr vmap @inbound",
        "}",
        "chain input { type filter hook input priority filter; policy accept;",
        f"iifname != {{ {bridges} }} accept",
        "ct state established,related accept",
        *services,
        "icmp type echo-request accept",
        f"ip daddr {{ {own_addresses} }} drop",
        # The host's other addresses are outside, as far as a machine is concerned.
        "ip saddr vmap @outbound",
        "}",
        "chain prerouting { type nat hook prerouting priority dstnat; policy accept;",
        *translations,
        "}",
    ]


def _public_chains(interfaces: Iterable[Interface]) -> list[str]:
    """What is sent to a public address goes to the private one, and is then judged like everything else."""
    elements = ", ".join(f"{entry.public} : {entry.address}" for entry in interfaces if entry.public)
    if not elements:
        return []
    translation = [f"dnat to ip daddr map {{ {elements} }}", "}"]
    return [
        "chain public_from_machines { type nat hook prerouting priority dstnat; policy accept;",
        *translation,
        "chain public_from_host { type nat hook output priority -100; policy accept;",
        *translation,
    ]


def _rule_lines(rule: Rule, direction: str, known: set[str]) -> list[str]:
    """A permission as nft rules, one for each range and group on the other side."""
    side = "saddr" if direction == "in" else "daddr"
    match = _match(rule)
    if match is None:
        return []
    peers = [f"ip {side} {ipaddress.IPv4Network(cidr, strict=False)}" for cidr in rule.cidrs]
    peers += [f"ip {side} @{_name(group_id)}" for group_id in rule.groups if group_id in known]
    return [" ".join(filter(None, [peer, match, "accept"])) for peer in peers]


def _match(rule: Rule) -> str | None:
    """What traffic a permission is about; None for traffic that there is none of (IPv6)."""
    if rule.protocol == "-1":
        return ""
    if rule.protocol in {"icmpv6", "58"}:
        return None
    if rule.protocol in ICMP and rule.from_port not in (None, -1):
        code = "" if rule.to_port in (None, -1) else f" icmp code {rule.to_port}"
        return f"icmp type {rule.from_port}{code}"
    protocol = NAMED_PROTOCOLS.get(rule.protocol, rule.protocol)
    if protocol not in NAMED_PROTOCOLS or rule.from_port in (None, -1):
        return f"ip protocol {protocol}"
    ports = str(rule.from_port) if rule.from_port == rule.to_port else f"{rule.from_port}-{rule.to_port}"
    return f"{protocol} dport {ports}"


def _rule(rule: Any) -> Rule:
    cidr, group_id = rule.ip_range.get("CidrIp"), rule.source_group.get("GroupId")
    return Rule(
        protocol=str(rule.ip_protocol),
        from_port=_number(rule.from_port),
        to_port=_number(rule.to_port),
        cidrs=(cidr,) if cidr else (),
        groups=(group_id,) if group_id else (),
    )


def _number(value: Any) -> int | None:
    return None if value is None else int(value)


def _name(group_id: str) -> str:
    return group_id.replace("-", "_")


def _digest(combination: tuple[str, ...]) -> str:
    return hashlib.sha256(" ".join(combination).encode()).hexdigest()[:16]


def load(text: str) -> None:
    """Give rules to the kernel in one step.

    Raises:
        FirewallError: nft refused them; the earlier ones still hold.
    """
    done = subprocess.run(["nft", "-f", "-"], input=text, capture_output=True, text=True, timeout=30, check=False)
    if done.returncode:
        raise FirewallError(f"nft refused the rules: {done.stderr.strip()}")


def remove(table: str) -> bool:
    """Remove a cloud's table; returns whether there was one."""
    done = subprocess.run(["nft", "delete", "table", "ip", table], capture_output=True, text=True, check=False)
    return done.returncode == 0


def _filter_bridged(network: Network) -> None:
    """Let packets between two machines of a VPC pass the chains, on this bridge only."""
    everywhere = Path("/proc/sys/net/bridge/bridge-nf-call-iptables")
    if not everywhere.exists():
        subprocess.run(["modprobe", "br_netfilter"], check=False, capture_output=True)
        if everywhere.exists():
            # Loading the module switches it on for every bridge of this machine: none of our business.
            for kind in ("iptables", "ip6tables", "arptables"):
                everywhere.with_name(f"bridge-nf-call-{kind}").write_text("0", encoding="utf-8")
    switch = Path(f"/sys/class/net/{network.bridge}/bridge/nf_call_iptables")
    if not everywhere.exists() or not switch.exists():
        raise FirewallError("this kernel has no br_netfilter: security groups cannot be enforced")
    switch.write_text("1", encoding="utf-8")
