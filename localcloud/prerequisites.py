"""What a machine must have before the local cloud touches it; each lack is one sentence."""

from __future__ import annotations

import os
import platform
import shutil
import socket
import subprocess
from pathlib import Path

from localcloud.network import NetworkError, clashing_route
from localcloud.settings import Settings

# Programs and the Debian packages that have them.
PROGRAMS = {
    "podman": "podman",
    "nft": "nftables",
    "ip": "iproute2",
    "dnsmasq": "dnsmasq-base",
}
ABILITIES = {12: "CAP_NET_ADMIN", 21: "CAP_SYS_ADMIN"}


class PrerequisiteError(RuntimeError):
    """Something is missing; the text is one sentence for the user."""


def check(settings: Settings) -> None:
    """Look for everything that ``up`` needs; touches nothing.

    Raises:
        PrerequisiteError: With what to do about it.
    """
    check_platform()
    check_programs()
    check_podman()
    check_nftables()
    check_port(settings.port)
    check_network(settings)


def check_platform() -> None:
    """Linux, and root with the capabilities that networks and machines need."""
    if platform.system() != "Linux":
        raise PrerequisiteError(f"The local cloud needs Linux, and this is {platform.system()}.")
    if os.geteuid() != 0:
        raise PrerequisiteError("The local cloud needs root: run it with sudo.")
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    effective = next(int(line.split()[1], 16) for line in status.splitlines() if line.startswith("CapEff:"))
    for number, name in ABILITIES.items():
        if not effective >> number & 1:
            raise PrerequisiteError(
                f"The local cloud needs {name}, which this root lacks: do not run it in a container."
            )


def check_programs() -> None:
    """The programs it calls."""
    missing = {program: package for program, package in PROGRAMS.items() if shutil.which(program) is None}
    if missing:
        raise PrerequisiteError(
            f"{_words(list(missing))} {'is' if len(missing) == 1 else 'are'} missing: "
            f"install {_words(sorted(set(missing.values())))}."
        )


def check_podman() -> None:
    """Podman answers, with the network backend that gives containers their addresses."""
    done = _run(["podman", "info", "--format={{.Host.NetworkBackend}}"])
    if done.returncode:
        raise PrerequisiteError(f"podman does not work for root: {_last_line(done.stderr)}")
    if done.stdout.strip() != "netavark":
        raise PrerequisiteError(
            f"podman uses the network backend {done.stdout.strip()!r} here: install netavark and set "
            'network_backend = "netavark" in /etc/containers/containers.conf.'
        )


def check_nftables() -> None:
    """The kernel takes nft rules."""
    done = _run(["nft", "list", "tables"])
    if done.returncode:
        raise PrerequisiteError(f"nftables does not work here: {_last_line(done.stderr)}")


def check_port(port: int) -> None:
    """Nobody listens on the API's port."""
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind(("127.0.0.1", port))
        except OSError:
            raise PrerequisiteError(
                f"Port {port} of 127.0.0.1 is in use: set LOCALCLOUD_PORT to a free one, or end what listens there."
            ) from None


def check_network(settings: Settings) -> None:
    """The default VPC's range does not clash with what this machine already reaches."""
    cidr = settings.default_vpc_cidr
    own = set(_run(["podman", "network", "ls", "--format={{.Name}}"]).stdout.split())
    if any(name.startswith(settings.network_name("")) for name in own):
        # A cloud that is being started again: these networks are its own.
        return
    try:
        clash = clashing_route(cidr)
    except NetworkError as error:
        raise PrerequisiteError(str(error)) from error
    if clash:
        raise PrerequisiteError(
            f"The default VPC's range {cidr} clashes with a network of this machine ({clash}): "
            "set LOCALCLOUD_DEFAULT_VPC_CIDR to a private /16 that is free, such as 172.29.0.0/16."
        )


def _run(command: list[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def _last_line(text: str) -> str:
    lines = [line for line in text.splitlines() if line.strip()]
    return lines[-1].rstrip(".") + "." if lines else "it says nothing."


def _words(items: list[str]) -> str:
    return items[0] if len(items) == 1 else f"{', '.join(items[:-1])} and {items[-1]}"
