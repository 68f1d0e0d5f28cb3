"""EFS: folders of the state, reached through mount targets that have real addresses.

A mount target is a container that holds the address of its network interface, so that security groups guard it like
any other, and a socket of this process inside it on port 2049. A machine's mount helper (``mount_helper``, given to it
at run time) asks there for a file system, path and access point, and binds the folder that the answer names. A machine
with a kernel of its own speaks NFS to the same socket, which hands it on to ``nfs_server``. Access points are honoured:
their root folder is made with the owner and permissions of its creation info. Data outlives machines, mount targets and
the server; DeleteFileSystem removes it.

Left out: NFS for containers, so that a host without it will do: whoever is root in one can reach all file systems; the
POSIX user of an access point is not imposed; quotas, throughput, lifecycle, automatic backups, replication. Of a file
system policy only "deny without TLS" is honoured.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import socketserver
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from localcloud import base_images
from localcloud.base_images import BaseImageError
from localcloud.cloud import Cloud
from localcloud.namespaces import listening_socket
from localcloud.network import NetworkError
from localcloud.nfs_server import NfsServers, relay
from localcloud.patches import efs
from localcloud.podman import Container, PodmanError, limit_options

KIND = "mount-target"
PORT = 2049
HELPERS = ("mount.efs", "mount.nfs", "mount.nfs4")
HELPER_FOLDER, SHARED_FOLDER = "/run/localcloud/mount", "/run/localcloud/efs"
REQUEST_LIMIT, REQUEST_SECONDS = 65536, 10
DENIED = "access denied by server while mounting {server}"
MISSING = "mounting {server} failed, reason given by server: No such file or directory"


@dataclass(frozen=True)
class MountTarget:
    """What the API says of a mount target.

    Attributes:
        id: Its id.
        file_system: The id of its file system.
        address: Its private address.
        mac: Its hardware address.
        vpc_id: Its VPC.
        status: Its life cycle state.
    """

    id: str
    file_system: str
    address: str
    mac: str
    vpc_id: str
    status: str


class MountRefusedError(Exception):
    """A mount that the server does not allow; the text is the helper's message."""


class FileSystems:
    """Keeps a folder for every file system and an address for every mount target."""

    name = "filesystems"

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud
        folder = cloud.state / "filesystems"
        folder.mkdir(parents=True, exist_ok=True)
        # It may be a link to a disk with more room.
        self._folder = folder.resolve()
        self._doors: dict[str, Door] = {}
        self._nfs = NfsServers(cloud)
        self._pool = ThreadPoolExecutor(2, thread_name_prefix="filesystem")
        self._lock = threading.Lock()
        self._busy: set[str] = set()
        self._told = False
        efs.backed = True
        cloud.machine_volumes += self._write_helper()

    def reconcile(self) -> None:
        """Bring folders, addresses, sockets and names in line with the API."""
        containers = {entry.id: entry for entry in self._cloud.podman.containers(KIND)}
        with self._cloud.lock:
            backend, interfaces = self._cloud.backend("efs"), self._cloud.backend("ec2").enis
            file_systems = set(backend.file_systems_by_id)
            targets = [
                MountTarget(
                    entry.mount_target_id,
                    entry.file_system_id,
                    entry.ip_address,
                    interfaces[entry.network_interface_id].mac_address,
                    entry.vpc_id,
                    entry.life_cycle_state,
                )
                for entry in backend.mount_targets_by_id.values()
            ]
        for file_system in file_systems:
            self._make_folder(file_system)
        for path in self._folder.iterdir():
            if path.name not in file_systems:
                shutil.rmtree(path, ignore_errors=True)
        self._nfs.remove_others(file_systems)
        names: dict[str, list[str]] = {}
        for target in targets:
            host = f"{target.file_system}.efs.{self._cloud.settings.region}.amazonaws.com"
            names.setdefault(host, []).append(target.address)
            self._keep(target, containers.get(target.id))
        for target_id in (containers.keys() | self._doors.keys()) - {target.id for target in targets}:
            self._close_door(target_id)
            if target_id in containers:
                self._start_job(target_id, containers[target_id].name, None)
        self._cloud.dns.set(self.name, names)

    def close(self) -> None:
        """Close the sockets; the addresses stay."""
        self._pool.shutdown(wait=True)
        for target_id in list(self._doors):
            self._close_door(target_id)

    def folder_of(self, target_file_system: str, request: dict[str, Any]) -> str:
        """The folder that a mount request means, relative to the shared folder.

        Args:
            target_file_system: The file system of the mount target that was asked.
            request: ``host``, ``path``, ``access_point`` and ``tls``.

        Raises:
            MountRefusedError: It is not allowed, or there is no such thing.
        """
        host, path = str(request.get("host", "")), str(request.get("path") or "/")
        if host.startswith("fs-") and host.partition(".")[0] != target_file_system:
            raise MountRefusedError(DENIED)
        with self._cloud.lock:
            backend = self._cloud.backend("efs")
            file_system = backend.file_systems_by_id.get(target_file_system)
            point = backend.access_points.get(request.get("access_point") or "")
            policy = getattr(file_system, "file_system_policy", None)
            root: dict[str, Any] = dict(point.root_directory) if point is not None else {}
        if file_system is None or (_insists_on_tls(policy) and not request.get("tls")):
            raise MountRefusedError(DENIED)
        if request.get("access_point") and (point is None or point.file_system_id != target_file_system):
            raise MountRefusedError(DENIED)
        base = self._folder / target_file_system
        start = _inside(base, base, root.get("Path", "/"))
        if not start.is_dir():
            if "CreationInfo" not in root:
                raise MountRefusedError(DENIED)
            _create(base, start, root["CreationInfo"])
        wanted = _inside(base, start, path)
        if not wanted.is_dir():
            raise MountRefusedError(MISSING)
        return str(wanted.relative_to(self._folder))

    def serve_nfs(self, file_system: str, client: socket.socket) -> None:
        """Hand a connection to a mount target on to the file system's NFS server, until it ends."""
        try:
            server = self._nfs.connect(file_system, self._folder / file_system)
        except (PodmanError, BaseImageError, OSError) as error:
            self._cloud.log.warning("file system %s: %s", file_system, error)
            return
        with server:
            relay(client, server)

    # Machines

    def _write_helper(self) -> list[str]:
        """Write what machines get; returns their volumes."""
        folder = self._cloud.state / "mount_helper"
        source = Path(__file__).with_name("mount_helper")
        # The folder of helpers is searched by libmount after /sbin; its name is in util-linux.
        for name in (*HELPERS, "helper", "override", "generator"):
            target = folder / ("fs.d" if name in HELPERS else "mount") / name
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes((source / ("helper" if name in HELPERS else name)).read_bytes())
            target.chmod(0o755)
        (folder / "mount" / "region").write_text(f"{self._cloud.settings.region}\n", encoding="utf-8")
        return [
            f"{folder / 'mount'}:{HELPER_FOLDER}:ro",
            f"{folder / 'fs.d'}:/usr/sbin/fs.d:ro",
            f"{folder / 'mount' / 'generator'}:/run/systemd/system-generators/localcloud-mount:ro",
            f"{self._folder}:{SHARED_FOLDER}",
        ]

    # File systems and mount targets

    def _make_folder(self, file_system: str) -> None:
        path = self._folder / file_system
        if not path.exists():
            path.mkdir()
            # As EFS makes it: root's, readable by all.
            path.chmod(0o755)

    def _keep(self, target: MountTarget, container: Container | None) -> None:
        name = f"localcloud-{self._cloud.settings.name}-{target.id}"
        if container is None or not container.running:
            self._close_door(target.id)
            self._start_job(target.id, name, target)
            return
        door = self._doors.get(target.id)
        if door is None or door.pid != container.pid:
            self._close_door(target.id)
            try:
                self._doors[target.id] = Door(self, target, container.pid)
            except FileNotFoundError:
                # The container has ended since it was listed; the next look sees it as it is by then.
                return
        if target.status == "creating":
            with self._cloud.lock:
                entry = self._cloud.backend("efs").mount_targets_by_id.get(target.id)
                if entry is not None:
                    entry.life_cycle_state = "available"
            self._cloud.changed()

    def _close_door(self, target_id: str) -> None:
        door = self._doors.pop(target_id, None)
        if door is not None:
            door.close()

    def _start_job(self, target_id: str, name: str, target: MountTarget | None) -> None:
        with self._lock:
            if target_id in self._busy:
                return
            self._busy.add(target_id)
        self._pool.submit(self._run_job, target_id, name, target)

    def _run_job(self, target_id: str, name: str, target: MountTarget | None) -> None:
        try:
            self._cloud.podman.remove(name)
            if target is not None:
                self._hold_address(name, target)
        except (PodmanError, NetworkError) as error:
            self._cloud.log.warning("mount target %s: %s", target_id, error)
        except Exception:
            self._cloud.log.exception("mount target %s", target_id)
        finally:
            with self._lock:
                self._busy.discard(target_id)
            self._cloud.podman.forget()
            self._cloud.dirty()

    def _hold_address(self, name: str, target: MountTarget) -> None:
        """Run a container that does nothing but have the mount target's address."""
        images = [base_images.reference(suite) for suite in reversed(base_images.SUITES)]
        image = next((entry for entry in images if self._cloud.podman.image_exists(entry)), None)
        if image is None:
            if not self._told:
                self._cloud.log.warning("mount targets need a base image: run `localcloud base-image debian-13`")
            self._told = True
            return
        network = self._cloud.network(target.vpc_id)
        self._cloud.podman(
            "run", "--detach", f"--name={name}", *self._cloud.podman.labels(KIND, target.id),
            f"--network={network.name}", f"--ip={target.address}", f"--mac-address={target.mac}",
            "--no-hosts", "--read-only", "--cap-drop=ALL",
            "--security-opt=no-new-privileges", *limit_options(), "--stop-signal=SIGKILL",
            image, "/usr/bin/sleep", "infinity",
        )  # fmt: skip


class Door:
    """The socket of a mount target, inside the container that has its address."""

    def __init__(self, file_systems: FileSystems, target: MountTarget, pid: int) -> None:
        self.pid = pid

        class Handler(socketserver.StreamRequestHandler):
            timeout = REQUEST_SECONDS

            def handle(self) -> None:
                try:
                    if is_nfs(self.connection.recv(1, socket.MSG_PEEK)):
                        self.connection.settimeout(None)
                        file_systems.serve_nfs(target.file_system, self.connection)
                        return
                    request = json.loads(self.rfile.readline(REQUEST_LIMIT))
                    answer = {"folder": file_systems.folder_of(target.file_system, request)}
                except MountRefusedError as refused:
                    answer = {"error": str(refused)}
                except (ValueError, TypeError, AttributeError):
                    answer = {"error": "Protocol not supported"}
                except OSError:
                    # Nobody is there any more.
                    return
                self.wfile.write(json.dumps(answer).encode() + b"\n")

        self._server = socketserver.ThreadingTCPServer((target.address, PORT), Handler, bind_and_activate=False)
        self._server.daemon_threads = True
        self._server.socket.close()
        self._server.socket = listening_socket(pid, target.address, PORT)
        threading.Thread(target=self._server.serve_forever, name=f"door-{target.id}", daemon=True).start()

    def close(self) -> None:
        """Stop answering."""
        self._server.shutdown()
        self._server.server_close()


def is_nfs(first: bytes) -> bool:
    """Whether a connection begins as NFS does, with the mark of a record (RFC 5531), and not with the helper's JSON."""
    return first >= b"\x80"


def _inside(base: Path, start: Path, path: str) -> Path:
    """A path below a start, with symbolic links followed but never out of the base.

    Raises:
        MountRefusedError: It leads out.
    """
    resolved = Path(os.path.realpath(start / path.lstrip("/")))
    if resolved != base and base not in resolved.parents:
        raise MountRefusedError(MISSING)
    return resolved


def _create(base: Path, folder: Path, info: dict[str, Any]) -> None:
    """Make the root folder of an access point; folders above it are root's."""
    missing = [path for path in (folder, *folder.parents) if base in path.parents and not path.exists()]
    for path in reversed(missing):
        path.mkdir()
        path.chmod(0o755)
    os.chown(folder, int(info["OwnerUid"]), int(info["OwnerGid"]))
    folder.chmod(int(str(info["Permissions"]), 8))


def _insists_on_tls(policy: str | None) -> bool:
    """Whether a file system policy denies mounts without TLS."""
    if not policy:
        return False
    statements = json.loads(policy).get("Statement", [])
    for statement in statements if isinstance(statements, list) else [statements]:
        secure = statement.get("Condition", {}).get("Bool", {}).get("aws:SecureTransport")
        if statement.get("Effect") == "Deny" and str(secure).lower() == "false":
            return True
    return False
