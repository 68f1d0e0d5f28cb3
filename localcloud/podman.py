"""podman, by argument lists.

Labels on containers are the only observed state. The list of containers is kept between calls, since asking
podman costs a process, and is dropped as soon as this object changes one or ``forget()`` is called (the
reconciler calls it when a container's first process ends).
"""

from __future__ import annotations

import functools
import json
import os
import re
import resource
import shutil
import subprocess
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from localcloud.settings import Settings

# Calls that change nothing about which containers exist and run.
_READS = frozenset({"exec", "image", "info", "inspect", "logs", "mount", "network", "port", "ps", "unmount"})
CAP_SYS_RESOURCE = 24


class PodmanError(RuntimeError):
    """podman failed; the text holds the command and what it said."""


@dataclass(frozen=True)
class Container:
    """A container of this cloud, as podman lists it.

    Attributes:
        name: Its name, for a machine the instance's id.
        kind: ``machine``, ``balancer`` or ``database``.
        id: The id of the resource behind it (label ``localcloud.id``).
        running: Whether its first process runs.
        pid: The first process on the host; 0 if not running.
        labels: All labels.
    """

    name: str
    kind: str
    id: str
    running: bool
    pid: int
    labels: dict[str, str]


class Podman:
    """The containers of one local cloud."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._lock = threading.Lock()
        self._containers: list[Container] | None = None

    def __call__(self, *arguments: str, check: bool = True, timeout: float = 120, input: str | None = None) -> str:
        """Run podman and return its standard output.

        Args:
            arguments: As on the command line, without the program.
            check: Raise when it fails.
            timeout: Seconds.
            input: Text for its standard input.

        Raises:
            PodmanError: It failed or took too long.
        """
        command = ["podman", *runtime_options(), *arguments]
        try:
            done = subprocess.run(
                command, capture_output=True, text=True, timeout=timeout, input=input, check=False, errors="replace"
            )
        except subprocess.TimeoutExpired as error:
            raise PodmanError(f"{' '.join(command)} did not end within {timeout:g} s") from error
        finally:
            if arguments[0] not in _READS:
                self.forget()
        if check and done.returncode:
            raise PodmanError(f"{' '.join(command)} failed ({done.returncode}): {done.stderr.strip()}")
        return done.stdout

    def labels(self, kind: str, resource_id: str) -> list[str]:
        """The options that mark a container as this cloud's."""
        return [
            f"--label=localcloud={self._settings.name}",
            f"--label=localcloud.kind={kind}",
            f"--label=localcloud.id={resource_id}",
        ]

    def containers(self, kind: str | None = None) -> list[Container]:
        """The containers of this cloud, running or not."""
        with self._lock:
            known = self._containers
        if known is None:
            listing = json.loads(
                self("ps", "--all", f"--filter=label=localcloud={self._settings.name}", "--format=json") or "[]"
            )
            known = [_container(entry) for entry in listing]
            with self._lock:
                self._containers = known
        return [entry for entry in known if kind in (None, entry.kind)]

    def container(self, name: str) -> Container | None:
        """The container of this name, or None."""
        return next((entry for entry in self.containers() if entry.name == name), None)

    def inspect(self, name: str) -> dict[str, Any]:
        """All that podman knows of one container."""
        result: dict[str, Any] = json.loads(self("inspect", "--type=container", name))[0]
        return result

    def image_exists(self, reference: str) -> bool:
        """Whether an image of this name is in the store."""
        return subprocess.run(["podman", "image", "exists", reference], check=False).returncode == 0

    def remove(self, name: str, grace: int = 0) -> None:
        """Stop and remove a container; fine when there is none.

        Args:
            name: Its name.
            grace: Seconds it may take to stop by itself before it is killed.
        """
        self("rm", "--force", "--ignore", "--volumes", f"--time={grace}", name, timeout=120 + grace)

    def forget(self) -> None:
        """Ask podman again at the next look."""
        with self._lock:
            self._containers = None


def _container(entry: dict[str, Any]) -> Container:
    labels = entry.get("Labels") or {}
    running = entry.get("State") in {"running", "paused"}
    return Container(
        name=entry["Names"][0],
        kind=labels.get("localcloud.kind", ""),
        id=labels.get("localcloud.id", ""),
        running=running,
        pid=int(entry.get("Pid") or 0) if running else 0,
        labels=labels,
    )


@functools.cache
def runtime_options() -> tuple[str, ...]:
    """Global options that this host needs.

    A host with cgroup v1 controllers beside v2 cannot use crun; runc copes.
    """
    if not Path("/sys/fs/cgroup/cgroup.controllers").exists() and shutil.which("runc"):
        return ("--runtime=runc",)
    return ()


@functools.cache
def limit_options() -> tuple[str, ...]:
    """Options of ``podman run`` that this host needs.

    Without CAP_SYS_RESOURCE (a container host that dropped it) podman's default limits cannot be raised, so that
    explicit ones at or below the hard limits are needed.
    """
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    match = re.search(r"^CapEff:\s*([0-9a-f]+)", status, re.MULTILINE)
    if match and int(match.group(1), 16) >> CAP_SYS_RESOURCE & 1:
        return ()

    def at_most(limit: int) -> int:
        hard = resource.getrlimit(limit)[1]
        return 4096 if hard == resource.RLIM_INFINITY else min(4096, hard)

    files, processes = at_most(resource.RLIMIT_NOFILE), at_most(resource.RLIMIT_NPROC)
    return (f"--ulimit=nofile={files}:{files}", f"--ulimit=nproc={processes}:{processes}")


def is_root() -> bool:
    """Whether this process may run rootful containers."""
    return os.geteuid() == 0
