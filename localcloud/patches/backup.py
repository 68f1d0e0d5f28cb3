"""AWS Backup: the vault that EFS's automatic backups go into, and recovery points.

What is left out: plans do not run, so that a recovery point comes from StartBackupJob alone, at once and without data.
"""

from __future__ import annotations

import fnmatch
import json
import re
import uuid
from collections.abc import Callable
from typing import Any
from urllib.parse import unquote

from moto.backup import urls
from moto.backup.exceptions import InvalidParameterValueException, ResourceNotFoundException
from moto.backup.models import BackupBackend, Vault, backup_backends
from moto.backup.responses import BackupResponse
from moto.core.exceptions import JsonRESTError
from moto.core.utils import unix_time
from moto.efs.models import EFSBackend, efs_backends

from localcloud.patches._tools import add, wrap

AUTOMATIC_VAULT = "aws/efs/automatic-backup-vault"

# Nobody may delete what is in the automatic vault until somebody puts another policy in the place of this one.
AUTOMATIC_POLICY = json.dumps(
    {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Effect": "Deny",
                "Principal": {"AWS": "*"},
                "Action": [
                    "backup:DeleteBackupVault",
                    "backup:DeleteBackupVaultAccessPolicy",
                    "backup:DeleteRecoveryPoint",
                    "backup:StartCopyJob",
                    "backup:StartRestoreJob",
                    "backup:UpdateRecoveryPointLifecycle",
                ],
                "Resource": "*",
            }
        ],
    }
)


_PATH = re.compile(
    r"/backup-vaults/(?P<BackupVaultName>.+)/(?P<part>access-policy|recovery-points)(/(?P<RecoveryPointArn>.+)?)?"
)
_ACTIONS = {
    ("GET", "access-policy"): "GetBackupVaultAccessPolicy",
    ("PUT", "access-policy"): "PutBackupVaultAccessPolicy",
    ("GET", "recovery-points"): "ListRecoveryPointsByBackupVault",
    ("DELETE", "recovery-points"): "DeleteRecoveryPoint",
}


class AccessDeniedError(JsonRESTError):
    """The vault's policy refuses."""

    code = 403

    def __init__(self, action: str) -> None:
        super().__init__(
            "AccessDeniedException", f"not authorized to perform: {action} with an explicit deny in a vault policy"
        )


def apply() -> None:
    """Apply all work-rounds of this service."""
    for path in (
        "{0}/backup-jobs$",
        "{0}/backup-vaults/(?P<name>.+)/access-policy$",
        "{0}/backup-vaults/(?P<name>.+)/recovery-points/$",
        "{0}/backup-vaults/(?P<name>.+)/recovery-points/(?P<arn>.+)$",
    ):
        urls.url_paths.setdefault(path, urls.response.dispatch)
    add(BackupResponse, "start_backup_job", _start_backup_job)
    add(BackupResponse, "list_recovery_points_by_backup_vault", _list_recovery_points)
    add(BackupResponse, "delete_recovery_point", _delete_recovery_point)
    add(BackupResponse, "get_backup_vault_access_policy", _get_access_policy)
    add(BackupResponse, "put_backup_vault_access_policy", _put_access_policy)
    wrap(BackupResponse, "_get_action_from_method_and_request_uri", _action)
    wrap(EFSBackend, "create_file_system", _create_file_system)


def _action(original: Callable[..., Any], self: BackupResponse, request: Any) -> Any:
    """The name of AWS's own vault holds slashes, which moto's router takes for parts of the path.

    https://docs.aws.amazon.com/aws-backup/latest/devguide/API_ListRecoveryPointsByBackupVault.html
    """
    match = _PATH.fullmatch(unquote(self.path))
    if match is None:
        return original(self, request)
    self.uri_match = match.groupdict()
    return _ACTIONS[self.method, match["part"]]


def _create_file_system(original: Callable[..., Any], self: EFSBackend, *arguments: Any, **named: Any) -> Any:
    """The first file system with automatic backups brings the vault for them.

    https://docs.aws.amazon.com/efs/latest/ug/automatic-backups.html
    """
    file_system = original(self, *arguments, **named)
    backend: BackupBackend = backup_backends[self.account_id][self.region_name]
    if named.get("backup") and AUTOMATIC_VAULT not in backend.vaults:
        vault = backend.create_backup_vault(AUTOMATIC_VAULT, {}, "", "")
        _contents(vault)["policy"] = AUTOMATIC_POLICY
    return file_system


def _contents(vault: Vault) -> dict[str, Any]:
    """The policy and the recovery points of a vault, by their ARNs."""
    contents: dict[str, Any] = vault.__dict__.setdefault("contents", {"policy": None, "points": {}})
    return contents


def _vault(self: BackupResponse, name: str) -> Vault:
    vault: Vault = self.backup_backend.describe_backup_vault(name)
    return vault


def _start_backup_job(self: BackupResponse) -> str:
    """A recovery point carries the tags of its resource beside those of the job.

    https://docs.aws.amazon.com/aws-backup/latest/devguide/API_StartBackupJob.html
    """
    request = json.loads(self.body)
    vault = _vault(self, request["BackupVaultName"])
    resource = request["ResourceArn"]
    systems = efs_backends[self.current_account][self.region].file_systems_by_id
    file_system_id = resource.rpartition("/")[2]
    if file_system_id not in systems:
        raise InvalidParameterValueException(f"Resource {resource} is not one that can be backed up")
    arn = f"arn:aws:backup:{self.region}:{self.current_account}:recovery-point:{uuid.uuid4()}"
    now = unix_time()
    _contents(vault)["points"][arn] = {
        "RecoveryPointArn": arn,
        "BackupVaultName": vault.backup_vault_name,
        "BackupVaultArn": vault.backup_vault_arn,
        "ResourceArn": resource,
        "ResourceType": "EFS",
        "IamRoleArn": request["IamRoleArn"],
        "Status": "COMPLETED",
        "CreationDate": now,
        "CompletionDate": now,
    }
    copied = efs_backends[self.current_account][self.region].list_tags_for_resource(file_system_id)
    tags = {tag["Key"]: tag["Value"] for tag in copied} | (request.get("RecoveryPointTags") or {})
    self.backup_backend.tag_resource(arn, tags)
    return json.dumps({"BackupJobId": str(uuid.uuid4()), "RecoveryPointArn": arn, "CreationDate": now})


def _list_recovery_points(self: BackupResponse) -> str:
    """The recovery points of one vault, of one resource where that is asked for.

    https://docs.aws.amazon.com/aws-backup/latest/devguide/API_ListRecoveryPointsByBackupVault.html
    """
    points = _contents(_vault(self, self.uri_match["BackupVaultName"]))["points"].values()
    wanted = self._get_param("resourceArn")
    return json.dumps({"RecoveryPoints": [p for p in points if wanted in (None, p["ResourceArn"])]})


def _delete_recovery_point(self: BackupResponse) -> str:
    """Deleting takes that the vault's policy does not deny it.

    https://docs.aws.amazon.com/aws-backup/latest/devguide/API_DeleteRecoveryPoint.html
    """
    contents = _contents(_vault(self, self.uri_match["BackupVaultName"]))
    if _denies(contents["policy"], "backup:DeleteRecoveryPoint"):
        raise AccessDeniedError("backup:DeleteRecoveryPoint")
    if contents["points"].pop(self.uri_match["RecoveryPointArn"], None) is None:
        raise ResourceNotFoundException("There is no such recovery point")
    return ""


def _denies(policy: str | None, action: str) -> bool:
    statements = json.loads(policy)["Statement"] if policy else []
    denied = [pattern for entry in statements if entry["Effect"] == "Deny" for pattern in entry["Action"]]
    return any(fnmatch.fnmatchcase(action, pattern) for pattern in denied)


def _get_access_policy(self: BackupResponse) -> str:
    """A vault without a policy is an error of the caller.

    https://docs.aws.amazon.com/aws-backup/latest/devguide/API_GetBackupVaultAccessPolicy.html
    """
    vault = _vault(self, self.uri_match["BackupVaultName"])
    policy = _contents(vault)["policy"]
    if policy is None:
        raise ResourceNotFoundException("The vault has no policy")
    return json.dumps(
        {"BackupVaultName": vault.backup_vault_name, "BackupVaultArn": vault.backup_vault_arn, "Policy": policy}
    )


def _put_access_policy(self: BackupResponse) -> str:
    """Puts one policy in the place of another.

    https://docs.aws.amazon.com/aws-backup/latest/devguide/API_PutBackupVaultAccessPolicy.html
    """
    _contents(_vault(self, self.uri_match["BackupVaultName"]))["policy"] = json.loads(self.body)["Policy"]
    return ""
