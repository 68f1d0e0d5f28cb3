"""EBS volumes: the disks of machines beside the root, each a sparse file of the state behind a loop device.

A machine sees an attached volume as ``/dev/nvme<n>n1`` and, as udev names it there on AWS,
``/dev/disk/by-id/nvme-Amazon_Elastic_Block_Store_vol<id>``. A snapshot is a copy of the file, and of it a new volume is
made. A volume that still is mounted where it was waits for its end before it appears elsewhere.

Left out: root volumes (the root is the image's file system), encryption, IOPS and throughput, attachments of one volume
to several instances. A snapshot of a volume in use holds what has left the machine's memory by then, not of one moment.
"""

from __future__ import annotations

import os
import stat
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from localcloud.cloud import Cloud
from localcloud.machines import KIND
from localcloud.patches import ec2_volumes
from localcloud.podman import Container

GIB = 1 << 30
# What moto names the root volume, whatever the image says.
MOTO_ROOT = "/dev/sda1"
BY_ID = "nvme-Amazon_Elastic_Block_Store_"


@dataclass(frozen=True)
class Disk:
    """What the API says of a volume.

    Attributes:
        id: Its id.
        size: Bytes.
        instance_id: The running instance that it is attached to, or nothing.
    """

    id: str
    size: int
    instance_id: str


class Volumes:
    """Keeps a disk for every volume that a machine has, and for every snapshot of one."""

    name = "volumes"

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud
        self._folder = folder(cloud.state)
        self._folder.mkdir(parents=True, exist_ok=True)
        # Of everybody's data.
        self._folder.chmod(0o700)
        ec2_volumes.copy_disk = self._copy

    def reconcile(self) -> None:
        """Bring disks to the machines that have them, and take them from those that had."""
        with self._cloud.lock:
            backend = self._cloud.backend("ec2")
            disks = [_disk(volume) for volume in backend.volumes.values() if not _is_root(volume)]
            kept = backend.volumes.keys() | backend.snapshots.keys()
        wanted = {disk.id: disk for disk in disks if disk.instance_id}
        devices = loop_devices(self._folder)
        if not wanted and not devices and not any(self._folder.iterdir()):
            return
        containers = {entry.name: entry for entry in self._cloud.podman.containers(KIND)}
        for container in containers.values():
            if container.pid:
                _forget(container.pid, {disk.id for disk in wanted.values() if disk.instance_id == container.name})
        for volume_id, device in devices.items():
            # Where it is still mounted it goes with the mount.
            if not _has(containers, wanted.get(volume_id)) and not _goes(device):
                losetup("--detach", device)
        for disk in wanted.values():
            if _has(containers, disk):
                self._bring(disk, int(containers[disk.instance_id].pid or 0))
        for path in self._folder.iterdir():
            if path.name not in kept and path.name not in loop_devices(self._folder):
                path.unlink(missing_ok=True)

    def close(self) -> None:
        """Disks stay: the machines do too."""

    def _bring(self, disk: Disk, pid: int) -> None:
        file = self._folder / disk.id
        if not file.exists():
            file.touch(mode=0o600)
        grown = file.stat().st_size < disk.size
        if grown:
            os.truncate(file, disk.size)
        device = loop_devices(self._folder).get(disk.id)
        if device and _goes(device):
            return
        if device is None:
            device = losetup("--find", "--show", "--direct-io=off", str(file)).strip()
            self._cloud.log.info("volume %s is %s of machine %s", disk.id, device, disk.instance_id)
        elif grown:
            losetup("--set-capacity", device)
        _make_node(pid, disk.id, device)

    def _copy(self, source: str, target: str) -> None:
        """Copy a disk, of which there is none as long as no machine had the volume."""
        if (self._folder / source).exists():
            partial = self._folder / f"{target}.partial"
            subprocess.run(
                ["cp", "--sparse=always", "--reflink=auto", self._folder / source, partial], check=True, timeout=600
            )
            partial.replace(self._folder / target)


def folder(state: Path) -> Path:
    """Where a cloud keeps its disks."""
    return state / "volumes"


def remove(state: Path) -> None:
    """Free the loop devices of a cloud whose machines are gone."""
    for device in loop_devices(folder(state)).values():
        losetup("--detach", device)


def loop_devices(within: Path) -> dict[str, str]:
    """The loop devices whose file is in a folder: name of the file to device."""
    found = {}
    for entry in Path("/sys/block").glob("loop*/loop/backing_file"):
        try:
            file = Path(entry.read_text(encoding="utf-8").strip().removesuffix(" (deleted)"))
        except OSError:
            # It was freed meanwhile.
            continue
        if file.parent == within:
            found[file.name] = f"/dev/{entry.parent.parent.name}"
    return found


def losetup(*arguments: str) -> str:
    """Run ``losetup``; returns what it printed."""
    done = subprocess.run(["losetup", *arguments], capture_output=True, text=True, timeout=60, check=True)
    return done.stdout


def _disk(volume: Any) -> Disk:
    attached = volume.attachment and volume.attachment.instance.state == "running"
    return Disk(volume.id, int(volume.size) * GIB, volume.attachment.instance.id if attached else "")


def _is_root(volume: Any) -> bool:
    attachment = volume.attachment
    return bool(attachment and attachment.device in {attachment.instance.root_device_name, MOTO_ROOT})


def _has(containers: dict[str, Container], disk: Disk | None) -> bool:
    """Whether a disk's machine is there to have it."""
    container = containers.get(disk.instance_id) if disk else None
    return bool(container and container.pid)


def _goes(device: str) -> bool:
    """Whether a loop device goes as soon as nobody has it mounted any more."""
    try:
        return Path(f"/sys/block/{device.rpartition('/')[2]}/loop/autoclear").read_text(encoding="utf-8").strip() == "1"
    except FileNotFoundError:
        return True


def _devices(pid: int) -> Path:
    """A machine's ``/dev``, as the host reaches it."""
    return Path(f"/proc/{pid}/root/dev")


def _link_name(volume_id: str) -> str:
    return f"{BY_ID}{volume_id.replace('-', '')}"


def _node(link: Path) -> Path:
    """The device that a link in ``disk/by-id`` is of; the link itself would be followed on the host."""
    return link.parents[2] / os.readlink(link).rpartition("/")[2]


def _make_node(pid: int, volume_id: str, device: str) -> None:
    """Give a machine the nodes of a disk, unless it has them."""
    root = _devices(pid)
    link = root / "disk/by-id" / _link_name(volume_id)
    number = os.stat(device).st_rdev
    try:
        if link.is_symlink() and _node(link).stat().st_rdev == number:
            return
        for folder in (link.parents[1], link.parent):
            folder.mkdir(exist_ok=True)
        node = next(root / f"nvme{index}n1" for index in range(1, 128) if not (root / f"nvme{index}n1").exists())
        os.mknod(node, stat.S_IFBLK | 0o660, number)
        link.unlink(missing_ok=True)
        link.symlink_to(f"../../{node.name}")
    except FileNotFoundError:
        # The machine has ended meanwhile.
        return


def _forget(pid: int, volume_ids: set[str]) -> None:
    """Take the nodes of all other disks from a machine."""
    kept = {_link_name(volume_id) for volume_id in volume_ids}
    for link in _devices(pid).glob(f"disk/by-id/{BY_ID}*"):
        if link.name not in kept:
            _node(link).unlink(missing_ok=True)
            link.unlink(missing_ok=True)
