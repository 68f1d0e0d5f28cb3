"""What must not be in a machine image, looked for below any folder that is a machine's root.

One list for both looks at an image: Packer's build runs this file on the machine (tests/testinfra/test_image.py), and
from outside it is called with the mounted file system of the finished image (tests/localcloud/test_clean_image.py).
Alone it is a program: ``python3 tests/support/leftovers.py /mnt`` prints what it finds, a line each, and ends with 1 if
that is anything. Standard library only, since the machine has nothing else.

It knows nothing of the role image_cleanup, which it judges. Left out: what an application's own configuration would
leave; the tests of the application look for that.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

# A whole image's logs. A machine that is stopped for its picture still writes a few lines.
LOG_BYTES = 64 * 1024

# What is a leftover wherever it lies, empty or not.
FORBIDDEN = {
    "SSH host key": ("etc/ssh/ssh_host_*",),
    "SSH keys of a person or of the build": ("root/.ssh/*", "home/*/.ssh/*", "etc/ssh/authorized_keys*"),
    "instance data of cloud-init": (
        "var/lib/cloud/*",
        "etc/netplan/50-cloud-init.yaml",
        "etc/network/interfaces.d/50-cloud-init*",
    ),
    "boot document": ("etc/stackyard/boot.json",),
    "identity of the machine": (
        "var/lib/systemd/random-seed",
        "var/lib/systemd/credential.secret",
        "var/lib/dhcp/*",
        "etc/ssl/private/ssl-cert-snakeoil.key",
    ),
    "package cache": (
        "var/lib/apt/lists/*",
        "var/cache/apt/*.bin",
        "var/cache/apt/archives/*.deb",
        "var/cache/apt/archives/partial/*",
        "root/.cache/*",
        "home/*/.cache/*",
    ),
    "history": (
        "root/.*_history",
        "home/*/.*_history",
        "root/.lesshst",
        "home/*/.lesshst",
        "root/.viminfo",
        "home/*/.viminfo",
        "root/.wget-hsts",
        "home/*/.wget-hsts",
    ),
    "credentials": tuple(
        f"{home}/{name}"
        for home in ("root", "home/*")
        for name in (
            ".aws/*",
            ".netrc",
            ".pgpass",
            ".my.cnf",
            ".git-credentials",
            ".docker/config.json",
            ".gnupg/*.d/*",
        )
    ),
    "trace of Ansible": ("root/.ansible/*", "home/*/.ansible/*", "tmp/ansible*", "var/tmp/ansible*", "tmp/.ansible*"),
    "journal": ("var/log/journal/*/*",),
    "core dump": ("var/lib/systemd/coredump/*", "var/crash/*"),
}

# What is a leftover only if something is in it.
EMPTY = {"machine id": ("etc/machine-id", "var/lib/dbus/machine-id")}

# Where services keep a private folder while they run; systemd removes it when they stop.
SCRATCH = ("tmp", "var/tmp")
SCRATCH_OF_SERVICES = re.compile(r"systemd-private-|snap-private-")

# Contents that nobody but an operator or a build brings: names of examples in documentation are no such thing.
CREDENTIALS = re.compile(
    rb"-----BEGIN (?:[A-Z0-9]+ )*PRIVATE KEY-----\s+[A-Za-z0-9+/=]{40}"
    rb"|\b(?:AKIA|ASIA)(?!IOSFODNN7EXAMPLE|I44QH8DHBEXAMPLE)[A-Z0-9]{16}\b"
    rb"|aws_secret_access_key\s*=\s*[A-Za-z0-9+/]{40}"
    rb"|\bgh[pousr]_[A-Za-z0-9]{36}"
)
# Where a machine's own files lie, rather than those of packages.
CREDENTIAL_FOLDERS = ("etc", "root", "home", "srv", "opt", "usr/local", "var/backups", "var/lib/stackyard", "var/www")
CREDENTIAL_BYTES = 1024 * 1024
# Of Python and Node: pinned by hashes, and full of examples.
LIBRARIES = {"site-packages", "node_modules"}


class Leftover(NamedTuple):
    """Something that must not be in an image.

    Attributes:
        kind: What it is.
        path: Where, from the image's root.
    """

    kind: str
    path: str


def leftovers(root: Path) -> list[Leftover]:
    """Return what must not be in the image whose file system begins at a folder."""
    found = [*_forbidden(root), *_not_empty(root), *_scratch(root), *_logs(root), *_credentials(root)]
    return sorted({Leftover(entry.kind, f"/{entry.path}") for entry in found})


def _forbidden(root: Path) -> Iterator[Leftover]:
    for kind, patterns in FORBIDDEN.items():
        for pattern in patterns:
            for path in root.glob(pattern):
                yield Leftover(kind, str(path.relative_to(root)))


def _not_empty(root: Path) -> Iterator[Leftover]:
    for kind, names in EMPTY.items():
        for name in names:
            path = root / name
            # A link of the image is followed nowhere: its target is absolute, and that is another machine's.
            if path.is_file() and not path.is_symlink() and path.read_bytes().strip():
                yield Leftover(kind, name)


def _scratch(root: Path) -> Iterator[Leftover]:
    for folder in SCRATCH:
        for path in _files(root / folder):
            if not SCRATCH_OF_SERVICES.search(str(path.relative_to(root))):
                yield Leftover("temporary file", str(path.relative_to(root)))


def _logs(root: Path) -> Iterator[Leftover]:
    sizes = {path: _size(path) for path in _files(root / "var/log")}
    if sum(sizes.values()) > LOG_BYTES:
        largest = max(sizes, key=lambda path: sizes[path])
        yield Leftover(f"more than {LOG_BYTES} bytes of logs", str(largest.relative_to(root)))


def _credentials(root: Path) -> Iterator[Leftover]:
    for folder in CREDENTIAL_FOLDERS:
        for path in _files(root / folder):
            if LIBRARIES & set(path.parts) or _size(path) > CREDENTIAL_BYTES:
                continue
            if CREDENTIALS.search(path.read_bytes()):
                yield Leftover("credentials", str(path.relative_to(root)))


def _files(folder: Path) -> Iterator[Path]:
    """Yield every regular file below a folder; links are not followed."""
    for parent, _, names in os.walk(folder):
        for name in names:
            path = Path(parent, name)
            if path.is_file() and not path.is_symlink():
                yield path


def _size(path: Path) -> int:
    """Bytes of a file; none if it is gone, as on a machine that runs it may be."""
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


if __name__ == "__main__":
    left = leftovers(Path(sys.argv[1]))
    for entry in left:
        print(f"{entry.path}: {entry.kind}")
    sys.exit(1 if left else 0)
