"""AWS Backup's recovery points of EFS and EBS, and the jobs that make them and restore from those of EFS.

A data part behind the API (``backups``) sets ``backed`` to its region: there a job of EFS stays ``CREATED`` until that
part has copied what it is about. Elsewhere (module tests, other regions) it is ``COMPLETED`` at once. So is one of EBS
everywhere: its recovery point is a snapshot.

What is left out: other services, restores of EBS (a volume is made of the snapshot), copies to other vaults, legal
holds, restore testing, and time: nothing moves to cold storage or expires.
"""

from __future__ import annotations

import json
import posixpath
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from moto.backup.exceptions import InvalidParameterValueException, ResourceNotFoundException
from moto.backup.models import BackupBackend, Vault
from moto.backup.responses import BackupResponse
from moto.core.utils import unix_time
from moto.ec2.models import EC2Backend, ec2_backends
from moto.efs.exceptions import EFSError
from moto.efs.models import EFSBackend, efs_backends

from localcloud.patches._backup import InvalidResourceStateError, contents, points, refuse_denied, route, vault_of
from localcloud.patches._tools import add

# The region whose jobs something behind the API carries out.
backed = ""

DAY = 86400
SNAPSHOT = ":snapshot/"
NAMES_OF_STATE = {"backup": "State", "restore": "Status"}


def apply() -> None:
    """Apply all work-rounds of this service."""
    point = "/backup-vaults/(?P<BackupVaultName>.+)/recovery-points/(?P<RecoveryPointArn>arn:.+)"
    for method, path, action, handler in (
        ("GET", f"{point}/restore-metadata", "GetRecoveryPointRestoreMetadata", _get_restore_metadata),
        ("GET", point, "DescribeRecoveryPoint", _describe_point),
        ("DELETE", point, "DeleteRecoveryPoint", _delete_point),
        (
            "GET",
            "/backup-vaults/(?P<BackupVaultName>.+)/recovery-points/",
            "ListRecoveryPointsByBackupVault",
            _list_points_of_vault,
        ),
        (
            "GET",
            "/resources/(?P<ResourceArn>.+)/recovery-points/",
            "ListRecoveryPointsByResource",
            _list_points_of_resource,
        ),
        ("PUT", "/backup-jobs", "StartBackupJob", _start_backup),
        ("GET", "/backup-jobs/", "ListBackupJobs", _list_backups),
        ("GET", "/backup-jobs/(?P<JobId>[^/]+)", "DescribeBackupJob", _describe_backup),
        ("PUT", "/restore-jobs", "StartRestoreJob", _start_restore),
        ("GET", "/restore-jobs/", "ListRestoreJobs", _list_restores),
        ("GET", "/restore-jobs/(?P<JobId>[^/]+)", "DescribeRestoreJob", _describe_restore),
    ):
        route(method, path, action)
        add(BackupResponse, _underscored(action), handler)


def _underscored(action: str) -> str:
    return "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in action).lstrip("_")


# For the data part


def jobs(backend: BackupBackend, kind: str) -> dict[str, dict[str, Any]]:
    """The jobs of a kind, ``backup`` or ``restore``, by their ids: the API's fields, and ours in small letters."""
    known: dict[str, dict[str, Any]] = backend.__dict__.setdefault("localcloud_jobs", {"backup": {}, "restore": {}})[
        kind
    ]
    return known


def waiting(backend: BackupBackend, kind: str) -> list[dict[str, Any]]:
    """The jobs of a kind that have not ended."""
    return [job for job in jobs(backend, kind).values() if _unfinished(job)]


def begin(backend: BackupBackend, kind: str, job_id: str) -> None:
    """A job is under way."""
    jobs(backend, kind)[job_id][NAMES_OF_STATE[kind]] = "RUNNING"


def writes_to(backend: BackupBackend, job_id: str, folder: str) -> None:
    """A restore fills a folder, which is worth nothing until it is complete."""
    jobs(backend, "restore")[job_id]["folder"] = folder


def complete(backend: BackupBackend, kind: str, job_id: str, size: int) -> None:
    """A job has done its work on so many bytes."""
    job = jobs(backend, kind)[job_id]
    done = {"CompletionDate": unix_time(), "BackupSizeInBytes": size}
    job |= {**done, NAMES_OF_STATE[kind]: "COMPLETED", "PercentDone": "100.0"}
    point = points(backend).get(job["RecoveryPointArn"])
    if kind == "backup":
        job["BytesTransferred"] = size
        if point is not None:
            point |= {**done, "Status": "COMPLETED"}
    elif point is not None:
        point["LastRestoreTime"] = done["CompletionDate"]


def fail(backend: BackupBackend, kind: str, job_id: str, message: str) -> None:
    """A job has failed; a backup leaves no recovery point."""
    job = jobs(backend, kind)[job_id]
    job |= {NAMES_OF_STATE[kind]: "FAILED", "StatusMessage": message, "CompletionDate": unix_time()}
    if kind == "backup":
        for vault in backend.vaults.values():
            contents(vault)["points"].pop(job["RecoveryPointArn"], None)


# Recovery points


def _shown(entry: dict[str, Any]) -> dict[str, Any]:
    """A job or recovery point as the API tells it."""
    return {key: value for key, value in entry.items() if key[0].isupper() and value is not None}


def _point(self: BackupResponse) -> tuple[Vault, dict[str, Any]]:
    vault = vault_of(self, self.uri_match["BackupVaultName"])
    point = contents(vault)["points"].get(self.uri_match["RecoveryPointArn"])
    if point is None:
        raise ResourceNotFoundException("There is no such recovery point")
    return vault, point


def _describe_point(self: BackupResponse) -> str:
    """All that is known of a recovery point.

    https://docs.aws.amazon.com/aws-backup/latest/devguide/API_DescribeRecoveryPoint.html
    """
    return json.dumps(_shown(_point(self)[1]))


def _get_restore_metadata(self: BackupResponse) -> str:
    """What StartRestoreJob has to be told of the resource as it was.

    https://docs.aws.amazon.com/aws-backup/latest/devguide/API_GetRecoveryPointRestoreMetadata.html
    """
    _, point = _point(self)
    shown = {key: point[key] for key in ("BackupVaultArn", "RecoveryPointArn", "ResourceType")}
    return json.dumps(shown | {"RestoreMetadata": point["metadata"]})


def _list_points_of_vault(self: BackupResponse) -> str:
    """The recovery points of one vault, of one resource where that is asked for.

    https://docs.aws.amazon.com/aws-backup/latest/devguide/API_ListRecoveryPointsByBackupVault.html
    """
    found = contents(vault_of(self, self.uri_match["BackupVaultName"]))["points"].values()
    filters = {"resourceArn": "ResourceArn", "resourceType": "ResourceType"}
    return json.dumps({"RecoveryPoints": _filtered(self, found, filters)})


def _list_points_of_resource(self: BackupResponse) -> str:
    """The recovery points of a resource, in whichever vault; fewer fields, and the size under another name.

    https://docs.aws.amazon.com/aws-backup/latest/devguide/API_ListRecoveryPointsByResource.html
    """
    names = ("RecoveryPointArn", "CreationDate", "Status", "EncryptionKeyArn", "BackupVaultName", "ResourceName")
    listed = [
        {name: point[name] for name in names if point.get(name)} | {"BackupSizeBytes": point["BackupSizeInBytes"]}
        for point in points(self.backup_backend).values()
        if point["ResourceArn"] == self.uri_match["ResourceArn"]
    ]
    return json.dumps({"RecoveryPoints": listed})


def _delete_point(self: BackupResponse) -> str:
    """Deleting takes that the vault's policy does not deny it, and that nothing is made of or from the point.

    https://docs.aws.amazon.com/aws-backup/latest/devguide/API_DeleteRecoveryPoint.html
    """
    vault = vault_of(self, self.uri_match["BackupVaultName"])
    refuse_denied(vault, "backup:DeleteRecoveryPoint")
    _, point = _point(self)
    arn = point["RecoveryPointArn"]
    restores = jobs(self.backup_backend, "restore").values()
    if point["Status"] == "CREATING" or any(j["RecoveryPointArn"] == arn and _unfinished(j) for j in restores):
        raise InvalidResourceStateError("AWS Backup is already performing an action on this recovery point")
    if SNAPSHOT in arn:
        _ec2(self).delete_snapshot(arn.rpartition("/")[2])
    del contents(vault)["points"][arn]
    self.backup_backend.tagger.delete_all_tags_for_resource(arn)
    return ""


# Jobs


def _unfinished(job: dict[str, Any]) -> bool:
    return (job.get("State") or job.get("Status")) in ("CREATED", "PENDING", "RUNNING")


def _efs(self: BackupResponse) -> EFSBackend:
    backend: EFSBackend = efs_backends[self.current_account][self.region]
    return backend


def _ec2(self: BackupResponse) -> EC2Backend:
    backend: EC2Backend = ec2_backends[self.current_account][self.region]
    return backend


def _again(self: BackupResponse, kind: str, request: dict[str, Any]) -> dict[str, Any] | None:
    """The job that was started with the same token."""
    token = request.get("IdempotencyToken")
    known = jobs(self.backup_backend, kind).values()
    return next((job for job in known if token and job["token"] == token), None)


def _start_backup(self: BackupResponse) -> str:
    """A recovery point carries the tags of its resource beside those of the job; a token starts one job.

    https://docs.aws.amazon.com/aws-backup/latest/devguide/API_StartBackupJob.html
    """
    request = json.loads(self.body)
    vault = vault_of(self, request["BackupVaultName"])
    if (job := _again(self, "backup", request)) is None:
        job = _new_backup(self, vault, request)
        jobs(self.backup_backend, "backup")[job["BackupJobId"]] = job
        if self.region != backed or job["ResourceType"] == "EBS":
            complete(self.backup_backend, "backup", job["BackupJobId"], job["size"])
    return json.dumps({key: job[key] for key in ("BackupJobId", "RecoveryPointArn", "CreationDate")})


@dataclass(frozen=True)
class Resource:
    """What is backed up.

    Attributes:
        kind: The service.
        tags: Its tags.
        metadata: What a restore has to be told of it.
        encryption: What AWS tells of a recovery point's encryption.
        size: Bytes, as far as they are known before it was copied.
    """

    kind: str
    tags: dict[str, str]
    metadata: dict[str, str]
    encryption: dict[str, Any]
    size: int = 0


def _resource(self: BackupResponse, vault: Vault, arn: str) -> Resource:
    """Look a resource up by its ARN.

    Raises:
        InvalidParameterValueException: There is none, or of another service.
    """
    name = arn.rpartition("/")[2]
    if name in _efs(self).file_systems_by_id:
        tags = {tag["Key"]: tag["Value"] for tag in _efs(self).list_tags_for_resource(name)}
        # A recovery point of EFS is always encrypted, and by its vault's key.
        encryption = {"EncryptionKeyArn": vault.encryption_key_arn, "IsEncrypted": True}
        return Resource("EFS", tags, {"file-system-id": name}, encryption)
    if name in _ec2(self).volumes:
        volume = _ec2(self).volumes[name]
        tags = {tag["key"]: tag["value"] for tag in volume.get_tags()}
        # One of EBS is encrypted as the volume is.
        encryption = {"EncryptionKeyArn": volume.kms_key_id, "IsEncrypted": bool(volume.encrypted)}
        return Resource("EBS", tags, {"volumeId": name}, encryption, int(volume.size) << 30)
    raise InvalidParameterValueException(f"Resource {arn} is not one that can be backed up")


def _new_point_arn(self: BackupResponse, resource: Resource, tags: dict[str, str]) -> str:
    """The ARN of a new recovery point; of a volume it is that of a snapshot, which is made."""
    if resource.kind == "EFS":
        return f"arn:aws:backup:{self.region}:{self.current_account}:recovery-point:{uuid.uuid4()}"
    description = "This snapshot is created by the AWS Backup service."
    snapshot = _ec2(self).create_snapshot(resource.metadata["volumeId"], description, owner_id=self.current_account)
    snapshot.add_tags(tags)
    return f"arn:aws:ec2:{self.region}:{SNAPSHOT}{snapshot.id}"


def _new_backup(self: BackupResponse, vault: Vault, request: dict[str, Any]) -> dict[str, Any]:
    resource = _resource(self, vault, request["ResourceArn"])
    tags = resource.tags | (request.get("RecoveryPointTags") or {})
    now = unix_time()
    both = {
        "RecoveryPointArn": _new_point_arn(self, resource, tags),
        "BackupVaultName": vault.backup_vault_name,
        "BackupVaultArn": vault.backup_vault_arn,
        "ResourceArn": request["ResourceArn"],
        "ResourceType": resource.kind,
        "ResourceName": resource.tags.get("Name"),
        "IamRoleArn": request["IamRoleArn"],
        "CreationDate": now,
        "BackupSizeInBytes": 0,
        **resource.encryption,
    }
    contents(vault)["points"][both["RecoveryPointArn"]] = {
        **both,
        "Status": "CREATING",
        "StorageClass": "WARM",
        **_lifecycle(request.get("Lifecycle"), now),
        "metadata": resource.metadata,
    }
    self.backup_backend.tag_resource(both["RecoveryPointArn"], tags)
    return {
        **both,
        "BackupJobId": str(uuid.uuid4()),
        "AccountId": self.current_account,
        "State": "CREATED",
        "PercentDone": "0.0",
        "RecoveryPointLifecycle": request.get("Lifecycle"),
        "token": request.get("IdempotencyToken"),
        "size": resource.size,
    }


def _lifecycle(lifecycle: dict[str, int] | None, now: float) -> dict[str, Any]:
    """When a recovery point is to be gone, as the API tells it.

    https://docs.aws.amazon.com/aws-backup/latest/devguide/API_CalculatedLifecycle.html
    """
    if not lifecycle:
        return {}
    moments = {"MoveToColdStorageAfterDays": "MoveToColdStorageAt", "DeleteAfterDays": "DeleteAt"}
    calculated = {moments[key]: now + days * DAY for key, days in lifecycle.items() if key in moments}
    return {"Lifecycle": lifecycle, "CalculatedLifecycle": calculated}


def _start_restore(self: BackupResponse) -> str:
    """EFS is restored into a folder of its own, of the file system or of a new one; a token starts one job.

    What the metadata lacks is found by the job, which then fails.

    https://docs.aws.amazon.com/aws-backup/latest/devguide/API_StartRestoreJob.html
    https://docs.aws.amazon.com/aws-backup/latest/devguide/restoring-efs.html
    """
    request = json.loads(self.body)
    if (job := _again(self, "restore", request)) is None:
        job = _new_restore(self, request)
        jobs(self.backup_backend, "restore")[job["RestoreJobId"]] = job
        if job["Status"] == "PENDING" and self.region != backed:
            complete(self.backup_backend, "restore", job["RestoreJobId"], job["BackupSizeInBytes"])
    return json.dumps({"RestoreJobId": job["RestoreJobId"]})


def _new_restore(self: BackupResponse, request: dict[str, Any]) -> dict[str, Any]:
    point = points(self.backup_backend).get(request["RecoveryPointArn"])
    if point is None:
        raise ResourceNotFoundException("There is no such recovery point")
    refuse_denied(self.backup_backend.vaults[point["BackupVaultName"]], "backup:StartRestoreJob")
    if point["Status"] != "COMPLETED":
        raise InvalidResourceStateError("The recovery point is not complete")
    if point["ResourceType"] != "EFS":
        raise InvalidParameterValueException("The local cloud restores EFS alone: make a volume of the snapshot")
    metadata = request["Metadata"]
    job = {
        "RestoreJobId": str(uuid.uuid4()),
        "AccountId": self.current_account,
        "RecoveryPointArn": point["RecoveryPointArn"],
        "SourceResourceArn": point["ResourceArn"],
        "BackupVaultArn": point["BackupVaultArn"],
        "RecoveryPointCreationDate": point["CreationDate"],
        "ResourceType": point["ResourceType"],
        "BackupSizeInBytes": point["BackupSizeInBytes"],
        "CreationDate": unix_time(),
        "Status": "PENDING",
        "PercentDone": "0.0",
        "IamRoleArn": request.get("IamRoleArn"),
        "token": request.get("IdempotencyToken"),
        "items": _items(metadata),
        "folder": "",
    }
    try:
        job["CreatedResourceArn"] = _target(self, metadata).file_system_arn
    except EFSError as error:
        job |= {"Status": "FAILED", "StatusMessage": str(error.message), "CompletionDate": unix_time()}
    return job


def _items(metadata: dict[str, str]) -> list[str]:
    """Paths from the root of the file system; none means all of it. Both spellings are in AWS's documentation."""
    text = metadata.get("ItemsToRestore") or metadata.get("itemsToRestore")
    try:
        items = json.loads(text) if text else []
    except ValueError:
        items = None
    if not isinstance(items, list) or not all(isinstance(item, str) for item in items):
        raise InvalidParameterValueException("ItemsToRestore has to be a list of paths in JSON")
    for item in items:
        if not item.startswith("/") or posixpath.normpath(item) != item or item == "/":
            raise InvalidParameterValueException(f"ItemsToRestore: {item} is no path from the root of the file system")
    return items


def _target(self: BackupResponse, metadata: dict[str, str]) -> Any:
    """The file system to restore into, made where a new one is asked for.

    Raises:
        EFSError: There is none, or none can be made.
    """
    needed = {"file-system-id", "newFileSystem"}
    new = metadata.get("newFileSystem", "").lower() == "true"
    if new:
        needed |= {"Encrypted", "PerformanceMode", "CreationToken"}
    if missing := sorted(needed - metadata.keys()):
        raise EFSError("BadRequest", f"Metadata lacks {', '.join(missing)}")
    if not new:
        file_system = _efs(self).file_systems_by_id.get(metadata["file-system-id"])
        if file_system is None:
            raise EFSError("FileSystemNotFound", f"File system {metadata['file-system-id']} does not exist.")
        return file_system
    return _efs(self).create_file_system(
        creation_token=metadata["CreationToken"],
        performance_mode=metadata["PerformanceMode"],
        encrypted=metadata["Encrypted"].lower() == "true",
        kms_key_id=metadata.get("KmsKeyId"),
        throughput_mode="bursting",
        provisioned_throughput_in_mibps=None,
        availability_zone_name=None,
        backup=False,
        tags=[],
    )


def _filtered(self: BackupResponse, entries: Any, filters: dict[str, str]) -> list[dict[str, Any]]:
    """What the filters of a list let through, newest first."""
    tests: list[Callable[[dict[str, Any]], bool]] = []
    for parameter, key in filters.items():
        if (wanted := self._get_param(parameter)) is not None:
            tests.append(lambda entry, key=key, wanted=wanted: entry.get(key) == wanted)  # type: ignore[misc]
    for parameter, sign in (("createdAfter", 1), ("createdBefore", -1)):
        if (text := self._get_param(parameter)) is not None:
            moment = datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp()
            tests.append(lambda entry, s=sign, m=moment: (entry["CreationDate"] - m) * s > 0)  # type: ignore[misc]
    found = [_shown(entry) for entry in entries if all(test(entry) for test in tests)]
    return sorted(found, key=lambda entry: -entry["CreationDate"])


def _list_backups(self: BackupResponse) -> str:
    """The jobs that make recovery points, newest first.

    https://docs.aws.amazon.com/aws-backup/latest/devguide/API_ListBackupJobs.html
    """
    filters = {
        "state": "State",
        "resourceArn": "ResourceArn",
        "backupVaultName": "BackupVaultName",
        "resourceType": "ResourceType",
    }
    return json.dumps({"BackupJobs": _filtered(self, jobs(self.backup_backend, "backup").values(), filters)})


def _list_restores(self: BackupResponse) -> str:
    """The jobs that restore, newest first.

    https://docs.aws.amazon.com/aws-backup/latest/devguide/API_ListRestoreJobs.html
    """
    filters = {"status": "Status", "resourceType": "ResourceType"}
    return json.dumps({"RestoreJobs": _filtered(self, jobs(self.backup_backend, "restore").values(), filters)})


def _job(self: BackupResponse, kind: str) -> str:
    job = jobs(self.backup_backend, kind).get(self.uri_match["JobId"])
    if job is None:
        raise ResourceNotFoundException("There is no such job")
    return json.dumps(_shown(job))


def _describe_backup(self: BackupResponse) -> str:
    """How far a backup is.

    https://docs.aws.amazon.com/aws-backup/latest/devguide/API_DescribeBackupJob.html
    """
    return _job(self, "backup")


def _describe_restore(self: BackupResponse) -> str:
    """How far a restore is; the folder that it makes is not told.

    https://docs.aws.amazon.com/aws-backup/latest/devguide/API_DescribeRestoreJob.html
    """
    return _job(self, "restore")
