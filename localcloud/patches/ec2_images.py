"""Machine images: one name once, tags of the snapshot, sizes, and an image that takes a while to be made.

moto refuses tags for a new image's snapshot and drops those of a copy, knows neither ``NoReboot`` nor the sizes asked
for, and lets two images have one name.

https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_CreateImage.html
https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_CopyImage.html
https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_DeregisterImage.html
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from moto.core.responses import ActionResult
from moto.ec2.exceptions import EC2ClientError
from moto.ec2.models import ec2_backends
from moto.ec2.models.amis import Ami
from moto.ec2.responses.amis import AmisResponse

# Called with each new image, its source (an instance or an image) and whether the instance may be stopped for it.
# Set by the part that makes the file systems; without one, an image is available at once.
on_new_image: Callable[[Ami, Any, bool], None] | None = None


class InvalidAMINameDuplicate(EC2ClientError):  # noqa: N818 (named as the API's error code)
    """Another image has this name."""

    def __init__(self, name: str, image_id: str) -> None:
        super().__init__("InvalidAMIName.Duplicate", f"AMI name {name} is already in use by AMI {image_id}")


def apply() -> None:
    """Replace moto's actions."""
    AmisResponse.create_image = _create_image
    AmisResponse.copy_image = _copy_image
    AmisResponse.deregister_image = _deregister_image
    Ami.block_device_mappings = property(_block_device_mappings)


def _create_image(self: AmisResponse) -> ActionResult:
    self.error_on_dryrun()
    backend, name = self.ec2_backend, self._get_param("Name")
    _check_name(backend, name)
    tags = _tags(self._get_param("TagSpecifications", []))
    instance = backend.get_instance(self._get_param("InstanceId"))
    image = backend.create_image(instance.id, name, self._get_param("Description", ""), tag_specifications=[])
    # The image has the root device that its source has, not moto's default.
    image.root_device_name, image.root_device_type = instance.root_device_name, "ebs"
    source = backend.amis.get(instance.image_id)
    image.boot_mode = source.boot_mode if source else image.boot_mode
    asked = _root_mapping(self._get_param("BlockDeviceMappings", []), image)
    _finish(self, image, tags, _root_volume(backend, instance) | asked)
    if on_new_image:
        on_new_image(image, instance, not self._get_bool_param("NoReboot"))
    return ActionResult({"ImageId": image.id})


def _copy_image(self: AmisResponse) -> ActionResult:
    self.error_on_dryrun()
    backend, name = self.ec2_backend, self._get_param("Name")
    _check_name(backend, name)
    source_region = self._get_param("SourceRegion")
    source_backend = _other_region(backend, source_region)
    source = source_backend.describe_images(ami_ids=[self._get_param("SourceImageId")])[0]
    image = backend.copy_image(source.id, source_region, name, self._get_param("Description"))
    image.root_device_name, image.root_device_type = source.root_device_name, source.root_device_type
    image.boot_mode = source.boot_mode
    tags = _tags(self._get_param("TagSpecifications", []))
    if self._get_bool_param("CopyImageTags"):
        tags["image"] = {tag["key"]: tag["value"] for tag in source.get_tags()} | tags["image"]
    original = source.block_device_mappings[0]["Ebs"]
    # A copy may add encryption and never takes it away.
    encrypted = original["Encrypted"] or self._get_bool_param("Encrypted")
    ebs = {"VolumeSize": original["VolumeSize"], "Encrypted": encrypted}
    _finish(self, image, tags, ebs)
    if on_new_image:
        on_new_image(image, source, False)
    return ActionResult({"ImageId": image.id})


def _deregister_image(self: AmisResponse) -> ActionResult:
    """Snapshots go along only when asked."""
    self.error_on_dryrun()
    backend, image_id = self.ec2_backend, self._get_param("ImageId")
    image = backend.amis.get(image_id)
    backend.deregister_image(image_id)
    results = []
    if self._get_bool_param("DeleteAssociatedSnapshots") and image is not None:
        snapshot = image.ebs_snapshot
        if snapshot.id in backend.snapshots:
            backend.delete_snapshot(snapshot.id)
            results.append({"SnapshotId": snapshot.id, "ReturnCode": "success"})
    return ActionResult({"Return": True, "DeleteSnapshotResults": results})


def _finish(response: AmisResponse, image: Ami, tags: dict[str, dict[str, str]], ebs: dict[str, Any]) -> None:
    image.image_location = f"{response.ec2_backend.account_id}/{image.name}"
    image.add_tags(tags["image"])
    image.ebs_snapshot.add_tags(tags["snapshot"])
    image.localcloud_ebs = ebs
    image.ebs_snapshot.volume.size = ebs.get("VolumeSize", 8)
    if ebs.get("Encrypted"):
        image.ebs_snapshot.encrypted = True


def _block_device_mappings(self: Ami) -> list[dict[str, Any]]:
    """Moto gives every image a magnetic disk of 15 GB."""
    ebs = {"VolumeSize": 8, "VolumeType": "gp3", "DeleteOnTermination": True, "Encrypted": False}
    ebs |= getattr(self, "localcloud_ebs", {})
    return [{"DeviceName": self.root_device_name, "Ebs": {**ebs, "SnapshotId": self.ebs_snapshot.id}}]


def _root_volume(backend: Any, instance: Any) -> dict[str, Any]:
    """What an image takes over from the volume that it is made of: an encrypted one makes an encrypted image."""
    device = instance.block_device_mapping.get(instance.root_device_name)
    volume = backend.volumes.get(device.volume_id) if device else None
    return {"VolumeSize": volume.size, "Encrypted": bool(volume.encrypted)} if volume else {}


def _root_mapping(mappings: Iterable[dict[str, Any]], image: Ami) -> dict[str, Any]:
    for mapping in mappings:
        if mapping.get("DeviceName") == image.root_device_name and "Ebs" in mapping:
            wanted = {"VolumeSize", "VolumeType", "Encrypted", "DeleteOnTermination", "Iops", "Throughput"}
            return {key: value for key, value in mapping["Ebs"].items() if key in wanted}
    return {}


def _tags(specifications: Iterable[dict[str, Any]]) -> dict[str, dict[str, str]]:
    tags: dict[str, dict[str, str]] = {"image": {}, "snapshot": {}}
    for specification in specifications:
        kind = specification.get("ResourceType")
        if kind not in tags:
            raise EC2ClientError(
                "InvalidParameterValue", f"'{kind}' is not a valid taggable resource type for this operation."
            )
        tags[kind].update({tag["Key"]: tag.get("Value", "") for tag in specification.get("Tags", [])})
    return tags


def _check_name(backend: Any, name: str) -> None:
    for image in backend.amis.values():
        if image.name == name and image.owner_id == backend.account_id:
            raise InvalidAMINameDuplicate(name, image.id)


def _other_region(backend: Any, region: str) -> Any:
    return ec2_backends[backend.account_id][region]
