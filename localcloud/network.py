"""One podman bridge network per VPC, made when something in the VPC first needs it.

The bridge has the VPC's whole range: route tables, NAT gateways and network ACLs are not modelled. The base
address + 1 is the gateway, + 2 answers DNS, the API and instance metadata, as AWS reserves these two in a subnet
at the start of a VPC. The way out is podman's masquerading.
"""

from __future__ import annotations

import hashlib
import ipaddress
import json
import subprocess
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from localcloud.cloud import Cloud

METADATA_PORT = 1338


class NetworkError(RuntimeError):
    """A network could not be made; the text is one sentence."""


@dataclass(frozen=True)
class Network:
    """The bridge behind a VPC.

    Attributes:
        vpc_id: The VPC.
        name: podman's name of the network.
        bridge: The interface.
        cidr: Its range.
    """

    vpc_id: str
    name: str
    bridge: str
    cidr: ipaddress.IPv4Network

    @property
    def gateway(self) -> str:
        """Address of the host on the bridge."""
        return str(self.cidr[1])

    @property
    def resolver(self) -> str:
        """Address of DNS, API and metadata."""
        return str(self.cidr[2])


class Networks:
    """All networks of a cloud."""

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud
        self._lock = threading.RLock()
        self._networks: dict[str, Network] = {}
        # Called with each network once it is up: the server listens there, the firewall adds its rules.
        self.on_create: list[Callable[[Network], None]] = []
        # Called with each network before it is taken down.
        self.on_remove: list[Callable[[Network], None]] = []

    def existing(self) -> list[Network]:
        """The networks that are up."""
        with self._lock:
            return list(self._networks.values())

    def get(self, vpc_id: str) -> Network:
        """The network of a VPC, made if need be.

        Raises:
            KeyError: There is no such VPC.
            NetworkError: It clashes with another network of this machine.
        """
        with self._lock:
            if vpc_id in self._networks:
                return self._networks[vpc_id]
            with self._cloud.lock:
                cidr = ipaddress.IPv4Network(self._cloud.backend("ec2").vpcs[vpc_id].cidr_block)
            network = self._create(vpc_id, cidr)
            self._networks[vpc_id] = network
            for callback in self.on_create:
                callback(network)
            return network

    def adopt(self) -> None:
        """Bring back the networks of an earlier server process; remove those whose VPC is gone."""
        with self._cloud.lock:
            known = set(self._cloud.backend("ec2").vpcs)
        prefix = self._cloud.settings.network_name("")
        for name in self._cloud.podman("network", "ls", "--format={{.Name}}").split():
            if not name.startswith(prefix):
                continue
            vpc_id = name.removeprefix(prefix)
            if vpc_id in known:
                self.get(vpc_id)
            else:
                remove_podman_network(self._cloud.podman, name)

    def remove_unused(self) -> None:
        """Take down the networks of VPCs that were deleted, once their last container has left."""
        with self._cloud.lock:
            known = set(self._cloud.backend("ec2").vpcs)
        with self._lock:
            for vpc_id, network in list(self._networks.items()):
                if vpc_id not in known and not _ports(network):
                    for callback in self.on_remove:
                        callback(network)
                    del self._networks[vpc_id]
                    remove_podman_network(self._cloud.podman, network.name)
                    self._cloud.log.info("network %s (%s) of %s is gone", network.bridge, network.cidr, vpc_id)

    def _create(self, vpc_id: str, cidr: ipaddress.IPv4Network) -> Network:
        podman, name = self._cloud.podman, self._cloud.settings.network_name(vpc_id)
        if name not in podman("network", "ls", "--format={{.Name}}").split():
            if clash := clashing_route(cidr):
                raise NetworkError(
                    f"VPC {vpc_id} has the range {cidr}, which this machine already reaches by {clash}: "
                    "choose another range for the VPC."
                )
            podman(
                "network", "create", "--disable-dns", f"--label=localcloud={self._cloud.settings.name}",
                f"--subnet={cidr}", f"--gateway={cidr[1]}", name,
            )  # fmt: skip
        bridge = json.loads(podman("network", "inspect", name))[0]["network_interface"]
        network = Network(vpc_id, name, bridge, cidr)
        _raise_bridge(network)
        self._cloud.log.info("network %s (%s) of %s is up", bridge, cidr, vpc_id)
        return network


def _raise_bridge(network: Network) -> None:
    """Give the bridge its addresses, and a port of its own.

    netavark takes down a bridge without ports when the last container leaves; DNS, API and metadata listen on it.
    """
    anchor = _anchor(network.bridge)
    links = {entry["ifname"] for entry in json.loads(ip("-json", "link", "show"))}
    if network.bridge not in links:
        ip("link", "add", network.bridge, "type", "bridge")
    if anchor not in links:
        ip("tuntap", "add", "dev", anchor, "mode", "tap")
    ip("link", "set", anchor, "master", network.bridge, "up")
    # A bridge without an address of its own takes the lowest of its ports', and changes it when that port leaves: the
    # machines' neighbour tables would be wrong, and DNS and API unreachable, for half a minute.
    ip("link", "set", network.bridge, "address", _hardware_address(network.name))
    ip("link", "set", network.bridge, "up")
    for address in (network.gateway, network.resolver):
        ip("address", "replace", f"{address}/{network.cidr.prefixlen}", "dev", network.bridge)


def _hardware_address(name: str) -> str:
    """A locally administered MAC address for a network's bridge; the same for the same name."""
    return "02:" + ":".join(f"{byte:02x}" for byte in hashlib.sha256(name.encode()).digest()[:5])


def _anchor(bridge: str) -> str:
    """Name of the port that keeps a bridge up."""
    return f"{bridge[:12]}-lc"


def _ports(network: Network) -> set[str]:
    """The bridge's ports of containers."""
    folder = Path(f"/sys/class/net/{network.bridge}/brif")
    return {port.name for port in folder.glob("*")} - {_anchor(network.bridge)}


def remove_podman_network(podman: Callable[..., str], name: str) -> None:
    """Remove a podman network with its bridge and the containers on it."""
    bridge = json.loads(podman("network", "inspect", name))[0]["network_interface"]
    podman("network", "rm", "--force", name)
    for interface in (_anchor(bridge), bridge):
        if Path(f"/sys/class/net/{interface}").exists():
            ip("link", "delete", interface)


def clashing_route(cidr: ipaddress.IPv4Network) -> str | None:
    """The interface by which this machine already reaches a part of the range, or None."""
    for route in json.loads(ip("-json", "-4", "route", "show", "table", "all")):
        destination = route.get("dst", "default")
        if destination == "default" or route.get("type") in {"broadcast", "multicast", "local"}:
            continue
        if ipaddress.IPv4Network(destination, strict=False).overlaps(cidr):
            return str(route.get("dev", "another route"))
    return None


def ip(*arguments: str) -> str:
    """Run ``ip`` and return its output.

    Raises:
        NetworkError: It failed.
    """
    done = subprocess.run(["ip", *arguments], capture_output=True, text=True, timeout=30, check=False)
    if done.returncode:
        raise NetworkError(f"ip {' '.join(arguments)} failed: {done.stderr.strip()}")
    return done.stdout
