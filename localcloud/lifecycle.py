"""Starting, stopping and removing a local cloud from outside its server."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from localcloud import base_images, database_images, firewall, volumes
from localcloud.dns import end_stale
from localcloud.environment import server_environment
from localcloud.network import remove_podman_network
from localcloud.podman import Podman
from localcloud.prerequisites import check
from localcloud.settings import Settings

START_SECONDS = 60
STOP_SECONDS = 90
LOG_LINES = 5


class LifecycleError(RuntimeError):
    """The server did not start or stop; the text is for the user."""


@dataclass(frozen=True)
class Server:
    """A running server.

    Attributes:
        pid: Its process.
    """

    pid: int


def running_server(settings: Settings) -> Server | None:
    """The cloud's server process, or None."""
    try:
        pid = int(pid_file(settings).read_text(encoding="utf-8"))
        command = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except (FileNotFoundError, ValueError, ProcessLookupError):
        return None
    # The number may have been given to another process since.
    return Server(pid) if b"localcloud" in command and b"serve" in command else None


def up(settings: Settings, progress: Callable[[str], None]) -> bool:
    """Start the server unless it runs; returns whether it was started.

    Raises:
        PrerequisiteError: Something is missing; nothing was touched.
        LifecycleError: It did not come up.
    """
    if running_server(settings):
        return False
    check(settings)
    settings.state.mkdir(parents=True, exist_ok=True, mode=0o700)
    progress(f"starting the local cloud {settings.name!r} at {settings.endpoint}")
    with log_file(settings).open("ab") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "localcloud", "serve"],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            # A session of its own: it outlives the terminal.
            start_new_session=True,
            cwd="/",
            env=server_environment(settings),
        )
    pid_file(settings).write_text(str(process.pid), encoding="utf-8")
    _wait(lambda: _answers(settings) or process.poll() is not None, START_SECONDS)
    if process.poll() is not None or not _answers(settings):
        pid_file(settings).unlink(missing_ok=True)
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        lines = log_file(settings).read_text(encoding="utf-8", errors="replace").splitlines()[-LOG_LINES:]
        raise LifecycleError("The local cloud did not start. Its log ends with:\n" + "\n".join(lines))
    return True


def stop(settings: Settings) -> bool:
    """End the server, leaving machines and state; returns whether it ran."""
    server = running_server(settings)
    if server is None:
        return False
    os.kill(server.pid, signal.SIGTERM)
    if not _wait(lambda: running_server(settings) is None or _is_zombie(server.pid), STOP_SECONDS):
        os.kill(server.pid, signal.SIGKILL)
        raise LifecycleError(f"The server {server.pid} did not end within {STOP_SECONDS} s and was killed.")
    pid_file(settings).unlink(missing_ok=True)
    return True


def down(settings: Settings, progress: Callable[[str], None], with_base_images: bool = False) -> bool:
    """Remove everything that this cloud made; returns whether there was anything.

    Args:
        settings: The cloud.
        progress: Called with a line per step.
        with_base_images: Remove the images of machines and databases too, unless another cloud of this host, whose
            state lies beside this one's, is there to use them.
    """
    podman = Podman(settings)
    found = stop(settings)
    for path in (settings.state / "dns").glob("*.pid"):
        end_stale(path)
    label = f"--filter=label=localcloud={settings.name}"
    containers = podman("ps", "--all", "--quiet", label).split()
    if containers:
        progress(f"removing {len(containers)} containers")
        podman("rm", "--force", "--volumes", "--time=0", *containers, timeout=300)
    for volume in podman("volume", "ls", "--quiet", label).split():
        podman("volume", "rm", "--force", volume)
        found = True
    networks = [
        name
        for name in podman("network", "ls", "--format={{.Name}}").split()
        if name.startswith(settings.network_name(""))
    ]
    if networks:
        progress(f"removing {len(networks)} networks")
    for name in networks:
        remove_podman_network(podman, name)
    images = podman(
        "images", "--format={{.Repository}}:{{.Tag}}", f"--filter=reference={settings.image_repository}"
    ).split()
    if images:
        progress(f"removing {len(images)} images")
        podman("rmi", "--force", *images)
    firewall.remove(settings.table)
    volumes.remove(settings.state)
    existed = settings.state.exists()
    shutil.rmtree(settings.state, ignore_errors=True)
    if with_base_images:
        if others := _other_clouds(settings):
            progress(f"keeping the base images, which {', '.join(others)} may use")
        else:
            base_images.remove_all()
            database_images.remove_all()
    with contextlib.suppress(OSError):
        # The folder of all clouds, when this was the last.
        settings.state.parent.rmdir()
    return bool(found or containers or networks or images or existed)


def _other_clouds(settings: Settings) -> list[str]:
    parent = settings.state.parent
    return sorted(path.name for path in parent.iterdir() if path != settings.state) if parent.exists() else []


def pid_file(settings: Settings) -> Path:
    """Where the running server's process id is."""
    return settings.state / "server.pid"


def log_file(settings: Settings) -> Path:
    """The server's log."""
    return settings.state / "server.log"


def _answers(settings: Settings) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", settings.port), timeout=2):
            return True
    except OSError:
        return False


def _is_zombie(pid: int) -> bool:
    """Whether the process has ended and only waits for its parent, which may be this one."""
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True


def _wait(condition: Callable[[], bool], seconds: float) -> bool:
    """Wait until the condition holds; returns whether it did in time."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.1)
    return True
