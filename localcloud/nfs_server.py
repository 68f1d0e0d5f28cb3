"""NFSv4.1 for machines with a kernel of their own: nfs-ganesha on a file system's folder, started when first asked.

There is one server for each file system, so that locks hold between its mount targets. Its container has no network
but a loopback interface: the socket of a mount target (see ``filesystems``) hands connections on to it, so that names,
addresses and security groups are those of EFS.
"""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from pathlib import Path

from localcloud.cloud import Cloud
from localcloud.namespaces import visit
from localcloud.podman import limit_options
from localcloud.service_images import ServiceImage

KIND = "nfs-server"
PORT = 2049
IMAGE = ServiceImage("localhost/localcloud-nfs", ("nfs-ganesha", "nfs-ganesha-vfs"))
CONFIGURATION = Path(__file__).with_name("data") / "ganesha.conf"
START_SECONDS = 60
CHUNK = 1 << 16


class NfsServers:
    """The NFS servers of a cloud, by file system."""

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud
        self._lock = threading.Lock()

    def connect(self, file_system: str, folder: Path) -> socket.socket:
        """A connection to a file system's server, which is started if need be.

        Raises:
            TimeoutError: It did not answer in time.
            PodmanError: It could not be started.
            BaseImageError: Its image could not be made.
        """
        pid = self._keep_running(file_system, folder)
        deadline = time.monotonic() + START_SECONDS
        while True:
            try:
                return visit(pid, lambda: socket.create_connection(("127.0.0.1", PORT)))
            except OSError as error:
                if time.monotonic() > deadline:
                    raise TimeoutError(
                        f"the NFS server of {file_system} did not answer within {START_SECONDS} s ({error}): "
                        f"see podman logs {self._name(file_system)}"
                    ) from error
                time.sleep(0.2)

    def remove_others(self, file_systems: set[str]) -> None:
        """Remove the servers of all other file systems."""
        for container in self._cloud.podman.containers(KIND):
            if container.id not in file_systems:
                self._cloud.podman.remove(container.name)

    def _keep_running(self, file_system: str, folder: Path) -> int:
        """Returns the server's process."""
        name, podman = self._name(file_system), self._cloud.podman
        with self._lock:
            container = podman.container(name)
            if container is not None and container.running:
                return container.pid
            IMAGE.build(self._cloud.log.info)
            podman.remove(name)
            podman(
                "run", "--detach", f"--name={name}", *podman.labels(KIND, file_system), "--network=none",
                # Files are opened by their handles.
                "--cap-add=DAC_READ_SEARCH", *limit_options(), "--stop-signal=SIGTERM", "--log-opt=max-size=4mb",
                f"--volume={folder}:/export", f"--volume={CONFIGURATION}:/etc/ganesha/ganesha.conf:ro",
                IMAGE.reference,
                "ganesha.nfsd", "-F", "-L", "/dev/stdout", "-p", "/run/ganesha.pid", "-f", "/etc/ganesha/ganesha.conf",
            )  # fmt: skip
            self._cloud.log.info("file system %s has an NFS server", file_system)
            return int(podman.inspect(name)["State"]["Pid"])

    def _name(self, file_system: str) -> str:
        return f"localcloud-{self._cloud.settings.name}-{file_system}"


def relay(client: socket.socket, server: socket.socket) -> None:
    """Carry bytes both ways until both sides have ended, or one is gone."""
    back = threading.Thread(target=_pump, args=(server, client), name="nfs-relay", daemon=True)
    back.start()
    _pump(client, server)
    back.join()


def _pump(source: socket.socket, target: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(CHUNK):
            target.sendall(data)
    with contextlib.suppress(OSError):
        target.shutdown(socket.SHUT_WR)
