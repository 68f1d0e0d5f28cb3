"""Launch templates: versions, and what a launch takes from them.

moto keeps templates as documents and uses only some of their fields for a launch. These work-rounds follow

- https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_CreateLaunchTemplateVersion.html (``SourceVersion``;
  user data of later versions)
- https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_CreateLaunchTemplate.html (``TagSpecification`` of the
  request tags the template and is no part of its data)
- https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_DeleteLaunchTemplateVersions.html
- https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_DescribeLaunchTemplateVersions.html (all versions are
  answered, not only the first fifteen)
- https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_RunInstances.html (``LaunchTemplate``: instance profile,
  metadata options, network interface, volumes and monitoring come from the template unless the request has them)
- https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/create-launch-template.html#use-an-ssm-parameter-instead-of-an-ami-id
  (``resolve:ssm:``)

Left out: instance requirements (attribute-based selection), spot and capacity options.
"""

from __future__ import annotations

import copy
import functools
from typing import Any

from moto.core.responses import ActionResult
from moto.ec2.exceptions import EC2ClientError, InvalidLaunchTemplateVersionNotFound
from moto.ec2.models.instances import InstanceBackend
from moto.ec2.models.launch_templates import LaunchTemplate, LaunchTemplateBackend, LaunchTemplateVersion
from moto.ec2.responses.launch_templates import LaunchTemplates
from moto.ec2.utils import convert_tag_spec, parse_user_data

# What DescribeLaunchTemplates and DescribeLaunchTemplateVersions answer in one page.
PAGE = 200


@functools.cache
def apply() -> None:
    """Apply the work-rounds to the moto of this process."""
    LaunchTemplate.get_version = _get_version
    LaunchTemplate.default_version = lambda self: _get_version(self, self.default_version_number)
    LaunchTemplate.create_version = _create_version
    LaunchTemplates.create_launch_template = _create_launch_template(LaunchTemplates.create_launch_template)
    LaunchTemplates.create_launch_template_version = _create_launch_template_version
    LaunchTemplates.delete_launch_template_versions = _delete_launch_template_versions
    LaunchTemplates.describe_launch_templates = _whole_pages(LaunchTemplates.describe_launch_templates)
    LaunchTemplates.describe_launch_template_versions = _whole_pages(LaunchTemplates.describe_launch_template_versions)
    LaunchTemplateBackend.describe_launch_template_versions = _newest_first(
        LaunchTemplateBackend.describe_launch_template_versions
    )
    InstanceBackend.run_instances = _run_instances(InstanceBackend.run_instances)


def resolve_image(backend: Any, image_id: str) -> str:
    """The AMI that an image id means, looked up in SSM if it is a ``resolve:ssm:`` reference.

    Args:
        backend: moto's EC2 backend.
        image_id: An AMI id or ``resolve:ssm:NAME[:VERSION-OR-LABEL]``.

    Raises:
        EC2ClientError: There is no such parameter.
    """
    prefix = "resolve:ssm:"
    if not image_id.startswith(prefix):
        return image_id
    from moto.ssm.models import ssm_backends  # noqa: PLC0415 (moto loads services lazily)

    parameter = ssm_backends[backend.account_id][backend.region_name].get_parameter(image_id.removeprefix(prefix))
    if parameter is None:
        raise EC2ClientError("InvalidParameterValue", f"The parameter of {image_id} does not exist")
    return str(parameter.value)


def _get_version(self: LaunchTemplate, num: Any) -> LaunchTemplateVersion:
    """Find a version by its number, which is no index once versions can be deleted."""
    alias = str(num).lower()
    if alias == "$latest":
        return self.versions[-1]
    wanted = str(self.default_version_number) if alias == "$default" else str(num)
    for version in self.versions:
        if str(version.number) == wanted:
            return version
    raise InvalidLaunchTemplateVersionNotFound(template_id=self.id, version=num)


def _create_version(self: LaunchTemplate, data: dict[str, Any], description: str) -> LaunchTemplateVersion:
    """Number versions on from the newest ever made, and keep user data in the form that launches expect."""
    number = getattr(self, "newest_number", len(self.versions)) + 1
    if data.get("UserData") is not None:
        data["UserData"] = parse_user_data(str(data["UserData"]))
    version = LaunchTemplateVersion(self, number, data, description)
    self.versions.append(version)
    self.newest_number = number
    return version


def _create_launch_template(stock: Any) -> Any:
    @functools.wraps(stock)
    def create_launch_template(self: Any) -> ActionResult:
        result = stock(self)
        template = self.ec2_backend.get_launch_template_by_name(self._get_param("LaunchTemplateName"))
        data = template.versions[0].data
        specifications = [
            entry for entry in data.get("TagSpecifications", []) if entry["ResourceType"] != "launch-template"
        ]
        data.pop("TagSpecifications", None)
        if specifications:
            data["TagSpecifications"] = specifications
        if data.get("UserData") is None:
            data.pop("UserData", None)
        return result

    return create_launch_template


def _create_launch_template_version(self: Any) -> ActionResult:
    template = _template(self)
    data = self._get_param("LaunchTemplateData", {})
    if source := self._get_param("SourceVersion"):
        data = copy.deepcopy(template.get_version(source).data) | data
    self.error_on_dryrun()
    version = template.create_version(data, self._get_param("VersionDescription"))
    return ActionResult({"LaunchTemplateVersion": _version_fields(self, version)})


def _delete_launch_template_versions(self: Any) -> ActionResult:
    template = _template(self)
    self.error_on_dryrun()
    deleted, failed = [], []
    for number in self._get_param("Versions", []):
        fields = {
            "LaunchTemplateId": template.id,
            "LaunchTemplateName": template.name,
            "VersionNumber": int(number),
        }
        version = next((entry for entry in template.versions if str(entry.number) == str(number)), None)
        if version is None:
            code, message = "launchTemplateVersionDoesNotExist", "The specified launch template version does not exist."
        elif template.is_default(version):
            code = "launchTemplateVersionCannotBeDeleted"
            message = "The default version of a launch template cannot be deleted."
        else:
            template.versions.remove(version)
            deleted.append(fields)
            continue
        failed.append(fields | {"ResponseError": {"Code": code, "Message": message}})
    return ActionResult(
        {
            "SuccessfullyDeletedLaunchTemplateVersions": deleted,
            "UnsuccessfullyDeletedLaunchTemplateVersions": failed,
        }
    )


def _template(response: Any) -> LaunchTemplate:
    if template_id := response._get_param("LaunchTemplateId"):
        return response.ec2_backend.get_launch_template(template_id)
    return response.ec2_backend.get_launch_template_by_name(response._get_param("LaunchTemplateName"))


def _version_fields(response: Any, version: LaunchTemplateVersion) -> dict[str, Any]:
    return {
        "CreateTime": version.create_time,
        "CreatedBy": f"arn:{response.partition}:iam::{response.current_account}:root",
        "DefaultVersion": version.template.is_default(version),
        "LaunchTemplateData": version.data,
        "LaunchTemplateId": version.template.id,
        "LaunchTemplateName": version.template.name,
        "VersionDescription": version.description,
        "VersionNumber": version.number,
    }


def _whole_pages(stock: Any) -> Any:
    @functools.wraps(stock)
    def describe(self: Any) -> ActionResult:
        self.params.setdefault("MaxResults", PAGE)
        return stock(self)

    return describe


def _newest_first(stock: Any) -> Any:
    @functools.wraps(stock)
    def describe_launch_template_versions(self: Any, *arguments: Any, **options: Any) -> Any:
        listed = stock(self, *arguments, **options)
        if options.get("versions"):
            return listed
        return sorted(listed, key=lambda entry: -entry[1].number)

    return describe_launch_template_versions


def _run_instances(stock: Any) -> Any:
    @functools.wraps(stock)
    def run_instances(
        self: Any, image_id: str, count: int, user_data: Any, security_group_names: Any, **kwargs: Any
    ) -> Any:
        data: dict[str, Any] = {}
        if kwargs.get("launch_template"):
            data = self._get_template_from_args(kwargs["launch_template"]).data
        image_id = resolve_image(self, image_id or data.get("ImageId", ""))
        if data:
            _merge(self, data, image_id, kwargs)
        reservation = stock(self, image_id, count, user_data, security_group_names, **kwargs)
        _attach_profile(self, reservation, data, kwargs)
        _size_volumes(reservation, kwargs.get("block_device_mappings") or [])
        return reservation

    return run_instances


def _merge(backend: Any, data: dict[str, Any], image_id: str, kwargs: dict[str, Any]) -> None:
    """Fill what the request leaves open from the template's data."""
    kwargs["metadata_options"] = (data.get("MetadataOptions") or {}) | (kwargs.get("metadata_options") or {})
    if (data.get("Monitoring") or {}).get("Enabled") and kwargs.get("monitoring_state") != "enabled":
        kwargs["monitoring_state"] = "enabled"
    for field, argument in (
        ("EbsOptimized", "ebs_optimized"),
        ("DisableApiTermination", "disable_api_termination"),
        ("DisableApiStop", "disable_api_stop"),
        ("InstanceInitiatedShutdownBehavior", "instance_initiated_shutdown_behavior"),
    ):
        if data.get(field) and not kwargs.get(argument):
            kwargs[argument] = data[field]
    interfaces = data.get("NetworkInterfaces") or []
    if interfaces and not kwargs.get("nics"):
        primary = interfaces[0]
        if not kwargs.get("subnet_id"):
            kwargs["subnet_id"] = primary.get("SubnetId")
        if kwargs.get("associate_public_ip") is None:
            kwargs["associate_public_ip"] = primary.get("AssociatePublicIpAddress")
        if primary.get("Groups") and not kwargs.get("security_group_ids"):
            kwargs["security_group_ids"] = list(primary["Groups"])
    tags = kwargs.setdefault("tags", {})
    volume_tags = convert_tag_spec(data.get("TagSpecifications") or []).get("volume", {})
    if volume_tags:
        tags["volume"] = volume_tags | tags.get("volume", {})
    if data.get("BlockDeviceMappings") and not kwargs.get("block_device_mappings"):
        kwargs["block_device_mappings"] = _devices(backend, data["BlockDeviceMappings"], image_id)


def _devices(backend: Any, mappings: list[dict[str, Any]], image_id: str) -> list[dict[str, Any]]:
    """Volumes of a launch: the template's, and the image's root volume if the template does not name it."""
    images = backend.describe_images(filters={"image-id": image_id})
    root = images[0].root_device_name if images else "/dev/sda1"
    devices = []
    for mapping in mappings:
        if "Ebs" not in mapping:
            continue
        ebs = dict(mapping["Ebs"])
        ebs.setdefault("DeleteOnTermination", mapping["DeviceName"] == root)
        devices.append(mapping | {"Ebs": ebs})
    if root not in {device["DeviceName"] for device in devices}:
        devices.insert(0, {"DeviceName": root, "Ebs": {"VolumeSize": 8, "DeleteOnTermination": True}})
    return devices


def _attach_profile(backend: Any, reservation: Any, data: dict[str, Any], kwargs: dict[str, Any]) -> None:
    """Give every instance its profile; moto's response gives the request's to the first instance only."""
    profile = data.get("IamInstanceProfile") or {}
    requested = {"Name": kwargs.get("iam_instance_profile_name"), "Arn": kwargs.get("iam_instance_profile_arn")}
    of_request = any(requested.values())
    chosen = requested if of_request else profile
    if not any(chosen.values()):
        return
    for instance in reservation.instances[1 if of_request else 0 :]:
        backend.associate_iam_instance_profile(
            instance_id=instance.id,
            iam_instance_profile_name=chosen.get("Name"),
            iam_instance_profile_arn=chosen.get("Arn"),
        )


def _size_volumes(reservation: Any, mappings: list[dict[str, Any]]) -> None:
    wanted = {mapping["DeviceName"]: mapping["Ebs"] for mapping in mappings if "Ebs" in mapping}
    for instance in reservation.instances:
        for name, device in instance.get_block_device_mapping:
            settings = wanted.get(name, {})
            volume = instance.ec2_backend.volumes.get(device.volume_id)
            for field in ("Iops", "Throughput"):
                if volume is not None and settings.get(field) is not None:
                    setattr(volume, field.lower(), settings[field])
