"""Base machine images: Debian as its own cloud images have it, made with mmdebstrap.

What Debian's AMIs hold in spirit: systemd, cloud-init, an SSH server, sudo, Python, the user ``admin``, no host
identity. What only the local cloud needs is given to a machine at run time (see ``machines``), so that an image baked
from one of these holds nothing of it. Packages come from the archive that this machine uses itself, or from Debian's
own. molecule boots the same images.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import platform
import re
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

REPOSITORY = "localhost/stackyard-base"
# Made by every local cloud of a machine in the same way, and shared by them.
SHARED = (
    REPOSITORY, "localhost/localcloud-balancer", "localhost/localcloud-database", "localhost/localcloud-nfs",
    "localhost/localcloud-virtual-machine",
)  # fmt: skip
RECIPE_LABEL = "stackyard.recipe"
# The account by which Debian publishes its images on AWS.
DEBIAN_ACCOUNT = "136693071363"
SUITES = {"debian-12": "bookworm", "debian-13": "trixie"}
PACKAGES = (
    "apt-utils", "ca-certificates", "cloud-init", "cron", "curl", "dbus", "e2fsprogs", "file", "gpg", "ifupdown",
    "iproute2", "iputils-ping", "kmod", "less", "libpam-systemd", "logrotate", "nano", "netbase", "openssh-server",
    "procps", "python3", "python3-apt", "rsync", "sudo", "systemd", "systemd-sysv", "tzdata", "udev", "wget",
    "xz-utils",
)  # fmt: skip
# Debian's images for EC2: the user admin, UTF-8 without generated locales, archives as the image has them.
CLOUD_CONFIG = """\
# As in Debian's machine images for EC2.
datasource_list: [Ec2]
locale: C.UTF-8
apt: {preserve_sources_list: true}
system_info:
  distro: debian
  default_user:
    name: admin
    gecos: Debian
    lock_passwd: true
    groups: [adm, audio, cdrom, dialout, dip, floppy, netdev, plugdev, sudo, video]
    sudo: ["ALL=(ALL) NOPASSWD:ALL"]
    shell: /bin/bash
"""
CLEAN = (
    'rm -f "$1"/etc/ssh/ssh_host_*',
    ': >"$1/etc/machine-id"',
    'rm -f "$1/var/lib/dbus/machine-id" "$1/etc/hostname" "$1/etc/resolv.conf"',
    'test -e "$1/etc/environment" || : >"$1/etc/environment"',
    # Interfaces are the platform's business: cloud-init writes them on AWS, podman sets them up here.
    'rm -f "$1/etc/network/interfaces.d/"*',
)


class BaseImageError(RuntimeError):
    """A base image could not be made; the text is one sentence for the user."""


@dataclass(frozen=True)
class Archive:
    """A Debian package archive.

    Attributes:
        uri: Its address.
        suffixes: What follows a release's code name in its suites: empty, ``-updates``, ``-security``.
        components: Such as ``main``.
    """

    uri: str
    suffixes: tuple[str, ...]
    components: tuple[str, ...]


def reference(name: str) -> str:
    """Podman's name of a base image."""
    return f"{REPOSITORY}:{name}"


def recipe_digest(name: str, sources: str) -> str:
    """What a base image is made of, as a short digest."""
    recipe = [name, SUITES[name], PACKAGES, CLOUD_CONFIG, CLEAN, sources]
    return hashlib.sha256(json.dumps(recipe).encode()).hexdigest()[:16]


@contextlib.contextmanager
def one_at_a_time(module: str) -> Iterator[None]:
    """Let one thread of one process at a time make images: clouds share them and may need one at the same moment.

    Two clones of the project do not wait for each other, and at worst make the same image twice.

    Args:
        module: File of the module that makes the images; it is the lock, so that none is left behind.
    """
    with Path(module).open(encoding="utf-8") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@one_at_a_time(__file__)
def build(name: str, progress: Callable[[str], None], force: bool = False) -> bool:
    """Make a base image unless there is one of the same recipe.

    Args:
        name: ``debian-12`` or ``debian-13``.
        progress: Called with a line per step.
        force: Make it in any case.

    Returns:
        Whether it was made.

    Raises:
        BaseImageError: It could not be made.
    """
    if name not in SUITES:
        raise BaseImageError(f"There is no base image {name!r}: use one of {', '.join(SUITES)}.")
    sources = sources_list(host_archives(), SUITES[name])
    digest = recipe_digest(name, sources)
    if not force and _label(reference(name)) == digest:
        return False
    if shutil.which("mmdebstrap") is None:
        raise BaseImageError("mmdebstrap is missing: install the package mmdebstrap.")
    with tempfile.TemporaryDirectory(prefix="stackyard-base-", dir="/var/tmp") as folder:
        archive, config = Path(folder, "root.tar"), Path(folder, "stackyard.cfg")
        config.write_text(CLOUD_CONFIG, encoding="utf-8")
        progress(f"installing {SUITES[name]} into a root file system (about half a minute)")
        hooks = [f"--customize-hook=upload {config} /etc/cloud/cloud.cfg.d/90_ec2.cfg"]
        hooks += [f"--customize-hook={line}" for line in CLEAN]
        _run(
            [
                "mmdebstrap", "--quiet", "--mode=root", "--variant=minbase", f"--include={','.join(PACKAGES)}",
                "--aptopt=APT::Install-Recommends false", *hooks, SUITES[name], str(archive),
                *(["-"] if sources else []),
            ],
            sources,
            name,
        )  # fmt: skip
        progress("importing it into podman")
        _run(
            [
                "podman", "import", "--quiet", f"--change=LABEL {RECIPE_LABEL}={digest}",
                '--change=CMD ["/sbin/init"]', "--change=STOPSIGNAL SIGRTMIN+3", str(archive), reference(name),
            ],
            "",
            name,
        )  # fmt: skip
    return True


def is_current(name: str) -> bool:
    """Whether the base image exists and is of today's recipe."""
    return _label(reference(name)) == recipe_digest(name, sources_list(host_archives(), SUITES[name]))


def remove_all() -> list[str]:
    """Remove all base images and those of balancers and databases; returns those that there were."""
    listing = _output(["podman", "images", "--filter", f"label={RECIPE_LABEL}", "--format={{.Repository}}:{{.Tag}}"])
    found = [line for line in listing.split() if line.partition(":")[0] in SHARED]
    for line in found:
        subprocess.run(["podman", "rmi", "--force", line], check=False, capture_output=True)
    return found


def host_archives(etc: Path = Path("/etc")) -> list[Archive]:
    """The Debian archives that this machine uses; empty if it is not Debian.

    Args:
        etc: The folder of the configuration.
    """
    try:
        release = (etc / "os-release").read_text(encoding="utf-8")
    except FileNotFoundError:
        return []
    identity = dict(re.findall(r'^(ID|VERSION_CODENAME)="?([^"\n]+)', release, re.MULTILINE))
    codename = identity.get("VERSION_CODENAME")
    if identity.get("ID") != "debian" or not codename:
        return []
    archives = []
    files = [etc / "apt/sources.list", *sorted((etc / "apt/sources.list.d").glob("*"))]
    for path in files:
        if path.is_file() and path.suffix in {".list", ".sources"}:
            text = path.read_text(encoding="utf-8")
            for uris, suites, components in _deb822(text) if path.suffix == ".sources" else _one_line(text):
                suffixes = tuple(
                    suite.removeprefix(codename)
                    for suite in suites
                    if suite in {codename, f"{codename}-updates", f"{codename}-security"}
                )
                if suffixes and "main" in components:
                    archives += [Archive(uri, suffixes, ("main",)) for uri in uris]
    return archives


def sources_list(archives: Iterable[Archive], codename: str) -> str:
    """The archives as lines of a sources.list for a release; empty for Debian's own archive."""
    return "".join(
        f"deb {archive.uri} {codename}{suffix} {' '.join(archive.components)}\n"
        for archive in archives
        for suffix in archive.suffixes
    )


def _deb822(text: str) -> Iterable[tuple[list[str], list[str], list[str]]]:
    for stanza in re.split(r"\n\s*\n", text):
        lines = "\n".join(line for line in stanza.splitlines() if not line.startswith("#"))
        fields = {
            name.lower(): value.split()
            for name, value in re.findall(r"^([A-Za-z-]+):[ \t]*(.*(?:\n[ \t].*)*)", lines, re.MULTILINE)
        }
        if "deb" in fields.get("types", []) and fields.get("enabled", ["yes"]) != ["no"]:
            yield fields.get("uris", []), fields.get("suites", []), fields.get("components", [])


def _one_line(text: str) -> Iterable[tuple[list[str], list[str], list[str]]]:
    for uri, suite, components in re.findall(
        r"^deb[ \t]+(?:\[[^]]*\][ \t]+)?(\S+)[ \t]+(\S+)[ \t]+([^#\n]+)", text, re.MULTILINE
    ):
        yield [uri], [suite], components.split()


def architecture() -> str:
    """Debian's name of this machine's architecture."""
    return {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine(), platform.machine())


def _label(image: str) -> str:
    return _output(["podman", "image", "inspect", f'--format={{{{index .Labels "{RECIPE_LABEL}"}}}}', image]).strip()


def _output(command: list[str]) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout


def _run(command: list[str], text: str, name: str) -> None:
    done = subprocess.run(command, input=text, capture_output=True, text=True, check=False)
    if done.returncode:
        last = [line for line in done.stderr.splitlines() if line.strip()][-3:]
        raise BaseImageError(f"The base image {name} could not be made: {command[0]} said {' / '.join(last)}")
