"""EFS: the old tag actions, UpdateFileSystem, backup and file system policies, access points, default groups.

A file system part behind the API (``filesystems``) sets ``backed``: mount targets then stay ``creating`` until it has
made them reachable. Without one (module tests) they are ``available`` at once.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from moto.efs import urls
from moto.efs.exceptions import EFSError, FileSystemNotFound
from moto.efs.models import EFSBackend, MountTarget
from moto.efs.responses import EFSResponse

from localcloud.patches._tools import add, wrap

# Whether something behind the API makes mount targets reachable.
backed = False

JSON = {"Content-Type": "application/json"}


class AccessPointAlreadyExistsError(EFSError):
    """The client token was used before."""

    code = 409

    def __init__(self, access_point_id: str) -> None:
        super().__init__("AccessPointAlreadyExists", f"Access point {access_point_id} already exists with this token")


def apply() -> None:
    """Apply all work-rounds of this service."""
    for path in (
        "/2015-02-01/tags/<file_system_id>",
        "/2015-02-01/tags/<file_system_id>/",
        "/2015-02-01/create-tags/<file_system_id>",
        "/2015-02-01/delete-tags/<file_system_id>",
        "/2015-02-01/file-systems/<file_system_id>/protection",
    ):
        urls.url_paths.setdefault(path, urls.response.dispatch)
    add(EFSResponse, "describe_tags", _describe_tags)
    add(EFSResponse, "create_tags", _create_tags)
    add(EFSResponse, "delete_tags", _delete_tags)
    add(EFSResponse, "update_file_system", _update_file_system)
    add(EFSResponse, "update_file_system_protection", _update_file_system_protection)
    add(EFSResponse, "put_backup_policy", _put_backup_policy)
    add(EFSResponse, "delete_file_system_policy", _delete_file_system_policy)
    add(EFSResponse, "describe_replication_configurations", _describe_replication_configurations)
    wrap(EFSBackend, "describe_backup_policy", _describe_backup_policy)
    wrap(EFSBackend, "describe_file_system_policy", _known_file_system)
    wrap(EFSBackend, "put_file_system_policy", _known_file_system)
    wrap(EFSBackend, "create_access_point", _create_access_point)
    wrap(EFSBackend, "delete_file_system", _delete_file_system)
    wrap(EFSBackend, "create_mount_target", _create_mount_target)


def _file_system(self: EFSResponse) -> Any:
    file_system_id = self._get_param("FileSystemId") or self.uri.split("?")[0].rstrip("/").rsplit("/", 1)[-1]
    file_system = self.efs_backend.file_systems_by_id.get(file_system_id)
    if file_system is None:
        raise FileSystemNotFound(file_system_id)
    return file_system


def _describe_tags(self: EFSResponse) -> Any:
    """DescribeTags, deprecated and still used by community.aws.efs.

    https://docs.aws.amazon.com/efs/latest/ug/API_DescribeTags.html
    """
    tags = self.efs_backend.list_tags_for_resource(_file_system(self).file_system_id)
    return json.dumps({"Tags": tags}), JSON


def _create_tags(self: EFSResponse) -> Any:
    """CreateTags, deprecated and still used by community.aws.efs.

    https://docs.aws.amazon.com/efs/latest/ug/API_CreateTags.html
    """
    tags = {tag["Key"]: tag["Value"] for tag in self._get_param("Tags") or []}
    self.efs_backend.tag_resource(_file_system(self).file_system_id, tags)
    return "", {"status": 204, **JSON}


def _delete_tags(self: EFSResponse) -> Any:
    """DeleteTags, deprecated and still used by community.aws.efs.

    https://docs.aws.amazon.com/efs/latest/ug/API_DeleteTags.html
    """
    self.efs_backend.untag_resource(_file_system(self).file_system_id, self._get_param("TagKeys") or [])
    return "", {"status": 204, **JSON}


def _update_file_system(self: EFSResponse) -> Any:
    """UpdateFileSystem changes the throughput mode.

    https://docs.aws.amazon.com/efs/latest/ug/API_UpdateFileSystem.html
    """
    file_system = _file_system(self)
    mode = self._get_param("ThroughputMode")
    provisioned = self._get_param("ProvisionedThroughputInMibps")
    if mode == "provisioned" and not (provisioned or file_system.provisioned_throughput_in_mibps):
        raise EFSError("BadRequest", "Provisioned throughput mode needs ProvisionedThroughputInMibps.")
    if mode:
        file_system.throughput_mode = mode
    if provisioned:
        file_system.provisioned_throughput_in_mibps = provisioned
    if file_system.throughput_mode != "provisioned":
        file_system.provisioned_throughput_in_mibps = None
    return json.dumps(file_system.info_json()), {"status": 202, **JSON}


def _update_file_system_protection(self: EFSResponse) -> Any:
    """UpdateFileSystemProtection sets the replication overwrite protection.

    https://docs.aws.amazon.com/efs/latest/ug/API_UpdateFileSystemProtection.html
    """
    file_system = _file_system(self)
    value = self._get_param("ReplicationOverwriteProtection")
    file_system.file_system_protection = {"ReplicationOverwriteProtection": value}
    return json.dumps(file_system.file_system_protection), JSON


def _put_backup_policy(self: EFSResponse) -> Any:
    """PutBackupPolicy switches AWS Backup's daily backups on or off.

    https://docs.aws.amazon.com/efs/latest/ug/API_PutBackupPolicy.html
    """
    policy = self._get_param("BackupPolicy")
    file_system = _file_system(self)
    file_system._backup = policy["Status"] == "ENABLED"
    file_system.backup_status = policy["Status"]
    return json.dumps({"BackupPolicy": policy}), JSON


def _describe_backup_policy(original: Callable[..., Any], self: EFSBackend, file_system_id: str) -> dict[str, str]:
    """Once set, a disabled policy is reported as such; an unknown file system is an error of the caller.

    https://docs.aws.amazon.com/efs/latest/ug/API_DescribeBackupPolicy.html
    """
    file_system = self.file_systems_by_id.get(file_system_id)
    if file_system is None:
        raise FileSystemNotFound(file_system_id)
    if status := getattr(file_system, "backup_status", None):
        return {"Status": status}
    result: dict[str, str] = original(self, file_system_id)
    return result


def _known_file_system(
    original: Callable[..., Any], self: EFSBackend, file_system_id: str, *arguments: Any, **named: Any
) -> Any:
    """Policies of an unknown file system are an error of the caller.

    https://docs.aws.amazon.com/efs/latest/ug/API_DescribeFileSystemPolicy.html
    """
    if file_system_id not in self.file_systems_by_id:
        raise FileSystemNotFound(file_system_id)
    return original(self, file_system_id, *arguments, **named)


def _delete_file_system_policy(self: EFSResponse) -> Any:
    """DeleteFileSystemPolicy restores the default policy; harmless when there is none.

    https://docs.aws.amazon.com/efs/latest/ug/API_DeleteFileSystemPolicy.html
    """
    _file_system(self).file_system_policy = None
    return "", JSON


def _describe_replication_configurations(self: EFSResponse) -> Any:
    """No file system of the local cloud is replicated.

    https://docs.aws.amazon.com/efs/latest/ug/API_DescribeReplicationConfigurations.html
    """
    if self._get_param("FileSystemId"):
        raise _ReplicationNotFoundError(_file_system(self).file_system_id)
    return json.dumps({"Replications": []}), JSON


class _ReplicationNotFoundError(EFSError):
    code = 404

    def __init__(self, file_system_id: str) -> None:
        super().__init__("ReplicationNotFound", f"No replication of {file_system_id}")


def _create_access_point(
    original: Callable[..., Any], self: EFSBackend, client_token: str, *arguments: Any, **named: Any
) -> Any:
    """A client token makes CreateAccessPoint safe to repeat, and the file system must exist.

    https://docs.aws.amazon.com/efs/latest/ug/API_CreateAccessPoint.html
    """
    file_system_id = named["file_system_id"]
    if file_system_id not in self.file_systems_by_id:
        raise FileSystemNotFound(file_system_id)
    for access_point in self.access_points.values():
        if access_point.client_token == client_token:
            raise AccessPointAlreadyExistsError(access_point.access_point_id)
    return original(self, client_token, *arguments, **named)


def _delete_file_system(original: Callable[..., Any], self: EFSBackend, file_system_id: str) -> None:
    """Access points and tags go with their file system.

    https://docs.aws.amazon.com/efs/latest/ug/API_DeleteFileSystem.html
    """
    original(self, file_system_id)
    for access_point in list(self.access_points.values()):
        if access_point.file_system_id == file_system_id:
            self.delete_access_point(access_point.access_point_id)
    self.tagging_service.delete_all_tags_for_resource(file_system_id)


def _create_mount_target(original: Callable[..., Any], self: EFSBackend, *arguments: Any, **named: Any) -> MountTarget:
    """Without security groups a mount target gets the default group of its VPC.

    https://docs.aws.amazon.com/efs/latest/ug/API_CreateMountTarget.html
    """
    if not named.get("security_groups"):
        subnet_id = named.get("subnet_id") or arguments[1]
        subnets = [zone[subnet_id] for zone in self.ec2_backend.subnets.values() if subnet_id in zone]
        if subnets:
            default = self.ec2_backend.get_security_group_from_name("default", subnets[0].vpc_id)
            named["security_groups"] = [default.id]
    target: MountTarget = original(self, *arguments, **named)
    interface = self.ec2_backend.enis[target.network_interface_id]
    interface.description = f"EFS mount target for {target.file_system_id} ({target.mount_target_id})"
    interface.requester_managed = True
    interface.status = "in-use"
    if backed:
        target.life_cycle_state = "creating"
    return target
