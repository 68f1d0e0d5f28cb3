"""Private DNS: one dnsmasq per network on its resolver address, all with the same names.

The parts say which names they own; what is not theirs is forwarded to the host's resolvers, so that machines reach
package archives. Names of this region's services are never forwarded: a machine of the local cloud must not talk to
the real AWS by accident. Names are the same in every VPC (AWS's private zones are not modelled).
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import threading
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from localcloud.network import Network
from localcloud.settings import Settings


class Dns:
    """The names of one cloud and the servers that answer them."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._folder = settings.state / "dns"
        self._lock = threading.Lock()
        self._names: dict[str, dict[str, list[str]]] = {}
        self._written: str | None = None
        self._servers: dict[str, subprocess.Popen[bytes]] = {}

    def set(self, owner: str, names: Mapping[str, Sequence[str]]) -> None:
        """Replace all names of one owner.

        Args:
            owner: Name of the part.
            names: Host name to its IPv4 addresses.
        """
        with self._lock:
            self._names[owner] = {name.lower(): list(addresses) for name, addresses in names.items()}

    def lookup(self, name: str) -> list[str]:
        """The addresses of a name of this cloud; empty if it is unknown."""
        with self._lock:
            return [address for names in self._names.values() for address in names.get(name.lower(), [])]

    def apply(self, networks: Iterable[Network]) -> None:
        """Bring the servers in line with the names and networks."""
        with self._lock:
            lines = sorted(
                f"{address} {name}"
                for names in self._names.values()
                for name, addresses in names.items()
                for address in addresses
            )
        text = "\n".join([*lines, ""])
        if text != self._written:
            self._folder.mkdir(parents=True, exist_ok=True)
            temporary = self._folder / "hosts.new"
            temporary.write_text(text, encoding="utf-8")
            temporary.replace(self._hosts)
            self._written = text
            for server in self._servers.values():
                server.send_signal(signal.SIGHUP)
        wanted = {network.vpc_id: network for network in networks}
        for vpc_id in self._servers.keys() - wanted.keys():
            _end(self._servers.pop(vpc_id))
        for vpc_id, network in wanted.items():
            if vpc_id not in self._servers or self._servers[vpc_id].poll() is not None:
                self._servers[vpc_id] = self._serve(network)

    def close(self) -> None:
        """End the servers."""
        for server in self._servers.values():
            _end(server)
        self._servers.clear()

    @property
    def _hosts(self) -> Path:
        return self._folder / "hosts"

    def _serve(self, network: Network) -> subprocess.Popen[bytes]:
        pid_file = self._folder / f"{network.vpc_id}.pid"
        end_stale(pid_file)
        region = self._settings.region
        own_zones = (
            "ec2.internal", "compute.internal", f"{region}.amazonaws.com", f"{region}.elb.amazonaws.com",
            f"{region}.rds.amazonaws.com", "cache.amazonaws.com",
        )  # fmt: skip
        return subprocess.Popen(
            [
                "dnsmasq", "--keep-in-foreground", "--conf-file=/dev/null", "--no-hosts", "--no-poll",
                f"--pid-file={pid_file}", f"--addn-hosts={self._hosts}", f"--listen-address={network.resolver}",
                "--bind-interfaces", f"--log-facility={self._folder / network.vpc_id}.log", "--cache-size=1000",
                # It reads the hosts file again on SIGHUP, from a folder that only root may enter.
                "--user=root",
                *(f"--local=/{zone}/" for zone in own_zones),
                f"--address=/s3.{region}.amazonaws.com/{network.resolver}",
                f"--address=/s3.amazonaws.com/{network.resolver}",
                # RDS's bundle of authorities: see ``certificates``.
                f"--address=/truststore.pki.rds.amazonaws.com/{network.resolver}",
            ],
            stdin=subprocess.DEVNULL,
        )  # fmt: skip


def end_stale(pid_file: Path) -> None:
    """End the process of an earlier server that a pid file names, if it is still that process."""
    with contextlib.suppress(FileNotFoundError, ValueError, ProcessLookupError):
        pid = int(pid_file.read_text(encoding="utf-8"))
        if os.fsencode(pid_file) in Path(f"/proc/{pid}/cmdline").read_bytes():
            os.kill(pid, signal.SIGTERM)
            pid_file.unlink()


def _end(server: subprocess.Popen[bytes]) -> None:
    server.terminate()
    try:
        server.wait(timeout=5)
    except subprocess.TimeoutExpired:
        server.kill()
        server.wait(timeout=5)
