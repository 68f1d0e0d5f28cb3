"""Volumes that are disks: in one place at a time, in their zone, never smaller, and with what their snapshots hold.

https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_AttachVolume.html
https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_DetachVolume.html
https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_ModifyVolume.html
https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_CreateSnapshot.html
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from moto.ec2.exceptions import EC2ClientError, InvalidParameterValueError
from moto.ec2.models.elastic_block_store import EBSBackend, Snapshot, Volume, VolumeAttachment

from localcloud.patches._tools import wrap


def _nothing(_source: str, _target: str) -> None:
    pass


# Set by the part that keeps the disks: copies the disk of a volume or snapshot, both by id.
copy_disk: Callable[[str, str], None] = _nothing


def apply() -> None:
    """Refuse what EC2 refuses, and have disks copied."""
    wrap(EBSBackend, "attach_volume", _attach_volume)
    wrap(EBSBackend, "detach_volume", _detach_volume)
    wrap(EBSBackend, "modify_volume", _modify_volume)
    wrap(EBSBackend, "create_volume", _create_volume)
    wrap(EBSBackend, "create_snapshot", _create_snapshot)


def _attach_volume(
    original: Callable[..., VolumeAttachment], self: Any, volume_id: str, instance_id: str, *rest: Any, **named: Any
) -> VolumeAttachment:
    """Moto takes a volume from the instance that has it, into any zone."""
    volume, instance = self.get_volume(volume_id), self.get_instance(instance_id)
    if volume.attachment:
        raise EC2ClientError("VolumeInUse", f"{volume_id} is already attached to an instance")
    zone = instance.placement.availability_zone
    if volume.zone and volume.zone.name != zone:
        raise EC2ClientError(
            "InvalidVolume.ZoneMismatch",
            f"The volume '{volume_id}' is not in the same availability zone as instance '{instance_id}'",
        )
    if instance.state not in {"running", "stopped"}:
        raise EC2ClientError("IncorrectState", f"Instance '{instance_id}' is not 'running'.")
    return original(self, volume_id, instance_id, *rest, **named)


def _detach_volume(
    original: Callable[..., VolumeAttachment],
    self: Any,
    volume_id: str,
    instance_id: str | None,
    device_path: str | None,
) -> VolumeAttachment:
    """Moto ends with an error of its own where the instance is not named."""
    attachment = self.get_volume(volume_id).attachment
    return original(self, volume_id, instance_id or (attachment.instance.id if attachment else ""), device_path)


def _modify_volume(
    original: Callable[..., Volume], self: Any, volume_id: str, target_size: int | None = None, *rest: Any, **named: Any
) -> Volume:
    """Moto makes it smaller."""
    if target_size is not None and int(target_size) < int(self.get_volume(volume_id).size):
        raise InvalidParameterValueError("New size cannot be smaller than existing size")
    return original(self, volume_id, target_size, *rest, **named)


def _create_volume(original: Callable[..., Volume], self: Any, *arguments: Any, **named: Any) -> Volume:
    """Moto leaves the snapshot out of the answer where there is none; EC2 has an empty one."""
    volume = original(self, *arguments, **named)
    volume.snapshot_id = volume.snapshot_id or ""
    if volume.snapshot_id:
        copy_disk(volume.snapshot_id, volume.id)
    return volume


def _create_snapshot(
    original: Callable[..., Snapshot], self: Any, volume_id: str, *arguments: Any, **named: Any
) -> Snapshot:
    snapshot = original(self, volume_id, *arguments, **named)
    copy_disk(volume_id, snapshot.id)
    return snapshot
