"""Container images with the servers behind RDS: MariaDB and PostgreSQL out of Debian 13, made with mmdebstrap.

An image holds a prepared data folder at ``/srv/prepared``, so that a new instance starts by copying it. Images are
shared by all local clouds of a machine and carry the digest of their recipe.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from localcloud.base_images import RECIPE_LABEL, BaseImageError, host_archives, one_at_a_time, sources_list

SUITE = "trixie"
REPOSITORY = "localhost/localcloud-database"
PREPARED = "/srv/prepared"
# mmdebstrap's own variables (TMPDIR …) name places outside the root file system.
CLEAN = "env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin"


class DatabaseImageError(BaseImageError):
    """An image could not be made; the text is one sentence for the user."""


@dataclass(frozen=True)
class Recipe:
    """What an image is made of.

    Attributes:
        packages: Debian's packages.
        hooks: Commands that prepare the data folder, with the root file system as ``$1``.
    """

    packages: tuple[str, ...]
    hooks: tuple[str, ...]


RECIPES = {
    "mariadb": Recipe(
        ("mariadb-server", "mariadb-client", "mariadb-backup", "tzdata"),
        (
            'rm -rf "$1/var/lib/mysql" && mkdir -p "$1/srv/prepared" && chroot "$1" chown mysql:mysql /srv/prepared',
            # A small redo log: copying the folder is what a new instance waits for.
            f'chroot "$1" {CLEAN} mariadb-install-db --force --user=mysql --datadir=/srv/prepared --skip-test-db '
            "--auth-root-authentication-method=socket --innodb-log-file-size=16M --skip-log-bin >&2",
        ),
    ),
    "postgresql": Recipe(
        ("postgresql-17", "postgresql-17-pgvector", "tzdata"),
        (
            'rm -rf "$1"/var/lib/postgresql/17 "$1"/etc/postgresql/17',
            'mkdir -p "$1/srv/prepared" && chroot "$1" chown postgres:postgres /srv/prepared',
            'chroot "$1" chmod 0700 /srv/prepared',
            # RDS lets its administrators create these extensions.
            'sed -i "\\$ a trusted = true" "$1/usr/share/postgresql/17/extension/vector.control"',
            'sed -i "\\$ a trusted = true" "$1/usr/share/postgresql/17/extension/pg_stat_statements.control"',
            f'chroot "$1" {CLEAN} setpriv --reuid=postgres --regid=postgres --init-groups '
            "/usr/lib/postgresql/17/bin/initdb --pgdata=/srv/prepared --username=rdsadmin --encoding=UTF8 "
            "--locale=C.UTF-8 --wal-segsize=16 --auth-local=peer --auth-host=scram-sha-256 --no-sync >&2",
        ),
    ),
}


def reference(server: str) -> str:
    """The name for podman of a server's image."""
    return f"{REPOSITORY}:{server}-{_digest(server)}"


@one_at_a_time(__file__)
def build(server: str, progress: Callable[[str], None]) -> bool:
    """Make a server's image unless it is there.

    Args:
        server: ``mariadb`` or ``postgresql``.
        progress: Told what is being done.

    Returns:
        Whether it had to be made.

    Raises:
        DatabaseImageError: It could not be made.
    """
    name = reference(server)
    if subprocess.run(["podman", "image", "exists", name], check=False).returncode == 0:
        return False
    if shutil.which("mmdebstrap") is None:
        raise DatabaseImageError("mmdebstrap is missing: install the package mmdebstrap.")
    progress(f"making the {server} image (about half a minute, once)")
    with tempfile.TemporaryDirectory(prefix="localcloud-database-", dir="/var/tmp") as folder:
        archive = Path(folder, "root.tar")
        sources = _sources()
        recipe = RECIPES[server]
        _run(
            [
                "mmdebstrap", "--quiet", "--mode=root", "--variant=minbase",
                f"--include={','.join(recipe.packages)}", "--aptopt=APT::Install-Recommends false",
                # Documentation and translations are never read here.
                "--dpkgopt=path-exclude=/usr/share/doc/*", "--dpkgopt=path-exclude=/usr/share/man/*",
                "--dpkgopt=path-exclude=/usr/share/locale/*",
                *(f"--customize-hook={hook}" for hook in recipe.hooks), SUITE, str(archive),
                *(["-"] if sources else []),
            ],
            sources,
            server,
        )  # fmt: skip
        _run(
            ["podman", "import", "--quiet", f"--change=LABEL {RECIPE_LABEL}={_digest(server)}", str(archive), name],
            "",
            server,
        )
    return True


def remove_all() -> None:
    """Remove the images of all servers, today's recipe or an earlier one."""
    listing = subprocess.run(
        ["podman", "images", "--format={{.Repository}}:{{.Tag}}", f"--filter=reference={REPOSITORY}"],
        capture_output=True, text=True, check=False,
    ).stdout  # fmt: skip
    for name in listing.split():
        subprocess.run(["podman", "rmi", "--force", name], check=False, capture_output=True)


def _sources() -> str:
    return sources_list(host_archives(), SUITE)


def _digest(server: str) -> str:
    recipe = [SUITE, RECIPES[server].packages, RECIPES[server].hooks]
    return hashlib.sha256(json.dumps(recipe).encode()).hexdigest()[:12]


def _run(command: list[str], text: str, server: str) -> None:
    done = subprocess.run(command, input=text, capture_output=True, text=True, check=False)
    if done.returncode:
        last = [line for line in done.stderr.splitlines() if line.strip()][-3:]
        raise DatabaseImageError(f"The {server} image could not be made: {command[0]} said {' / '.join(last)}")
