"""AWS Backup's vaults, with their policies, and the one that EFS's automatic backups go into.

What is left out: vault locks beyond moto's own, logically air-gapped vaults, notifications.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable
from typing import Any
from urllib.parse import unquote

from moto.backup.exceptions import InvalidRequestException, ResourceNotFoundException
from moto.backup.models import BackupBackend, Vault, backup_backends
from moto.backup.responses import BackupResponse
from moto.efs.models import EFSBackend

from localcloud.patches._backup import AccessDeniedError, contents, refuse_denied, route, vault_of
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


def apply() -> None:
    """Apply all work-rounds of this service."""
    for method, action in (
        ("GET", "GetBackupVaultAccessPolicy"),
        ("PUT", "PutBackupVaultAccessPolicy"),
        ("DELETE", "DeleteBackupVaultAccessPolicy"),
    ):
        route(method, "/backup-vaults/(?P<BackupVaultName>.+)/access-policy", action)
    route("GET", f"/backup-vaults/(?P<BackupVaultName>{AUTOMATIC_VAULT})", "DescribeBackupVault")
    add(BackupResponse, "get_backup_vault_access_policy", _get_access_policy)
    add(BackupResponse, "put_backup_vault_access_policy", _put_access_policy)
    add(BackupResponse, "delete_backup_vault_access_policy", _delete_access_policy)
    wrap(BackupResponse, "describe_backup_vault", _describe_vault)
    wrap(BackupResponse, "list_backup_vaults", _list_vaults)
    wrap(BackupBackend, "delete_backup_vault", _delete_vault)
    wrap(BackupBackend, "create_backup_vault", _create_vault)
    wrap(EFSBackend, "create_file_system", _create_file_system)


def _create_file_system(original: Callable[..., Any], self: EFSBackend, *arguments: Any, **named: Any) -> Any:
    """The first file system with automatic backups brings the vault for them.

    https://docs.aws.amazon.com/efs/latest/ug/automatic-backups.html
    """
    file_system = original(self, *arguments, **named)
    backend: BackupBackend = backup_backends[self.account_id][self.region_name]
    if named.get("backup") and AUTOMATIC_VAULT not in backend.vaults:
        vault = backend.create_backup_vault(AUTOMATIC_VAULT, {}, "", "")
        contents(vault)["policy"] = AUTOMATIC_POLICY
    return file_system


def _create_vault(original: Callable[..., Vault], self: BackupBackend, *arguments: Any, **named: Any) -> Vault:
    """Without a key the vault is encrypted with AWS's own one for backups.

    https://docs.aws.amazon.com/aws-backup/latest/devguide/API_CreateBackupVault.html
    """
    vault = original(self, *arguments, **named)
    if not vault.encryption_key_arn:
        key = uuid.uuid5(uuid.NAMESPACE_URL, f"aws/backup/{self.account_id}/{self.region_name}")
        vault.encryption_key_arn = f"arn:aws:kms:{self.region_name}:{self.account_id}:key/{key}"
    return vault


def _vault(vault: Vault) -> dict[str, Any]:
    shown: dict[str, Any] = vault.to_list_dict()
    return shown | {"NumberOfRecoveryPoints": len(contents(vault)["points"]), "VaultType": "BACKUP_VAULT"}


def _describe_vault(_original: Callable[..., Any], self: BackupResponse) -> str:
    """Of a vault that is not there AWS says that access is denied, and moto leaves the number of points out.

    https://docs.aws.amazon.com/aws-backup/latest/devguide/API_DescribeBackupVault.html
    """
    vault = self.backup_backend.vaults.get(unquote(self.path).partition("/backup-vaults/")[2])
    if vault is None:
        raise AccessDeniedError("Insufficient privileges to perform this action.")
    return json.dumps(_vault(vault))


def _list_vaults(_original: Callable[..., Any], self: BackupResponse) -> str:
    """The number of recovery points is counted.

    https://docs.aws.amazon.com/aws-backup/latest/devguide/API_ListBackupVaults.html
    """
    return json.dumps({"BackupVaultList": [_vault(vault) for vault in self.backup_backend.list_backup_vaults()]})


def _delete_vault(original: Callable[..., None], self: BackupBackend, backup_vault_name: str) -> None:
    """Only an empty vault can be deleted.

    https://docs.aws.amazon.com/aws-backup/latest/devguide/API_DeleteBackupVault.html
    """
    vault = self.describe_backup_vault(backup_vault_name)
    refuse_denied(vault, "backup:DeleteBackupVault")
    if held := len(contents(vault)["points"]):
        raise InvalidRequestException(f"Backup vault cannot be deleted (contains {held} recovery points)")
    original(self, backup_vault_name)
    self.tagger.delete_all_tags_for_resource(vault.backup_vault_arn)


def _get_access_policy(self: BackupResponse) -> str:
    """A vault without a policy is an error of the caller.

    https://docs.aws.amazon.com/aws-backup/latest/devguide/API_GetBackupVaultAccessPolicy.html
    """
    vault = vault_of(self, self.uri_match["BackupVaultName"])
    policy = contents(vault)["policy"]
    if policy is None:
        raise ResourceNotFoundException("The vault has no policy")
    return json.dumps(
        {"BackupVaultName": vault.backup_vault_name, "BackupVaultArn": vault.backup_vault_arn, "Policy": policy}
    )


def _put_access_policy(self: BackupResponse) -> str:
    """Puts one policy in the place of another.

    https://docs.aws.amazon.com/aws-backup/latest/devguide/API_PutBackupVaultAccessPolicy.html
    """
    contents(vault_of(self, self.uri_match["BackupVaultName"]))["policy"] = json.loads(self.body)["Policy"]
    return ""


def _delete_access_policy(self: BackupResponse) -> str:
    """Leaves the vault without a policy, which may be repeated.

    https://docs.aws.amazon.com/aws-backup/latest/devguide/API_DeleteBackupVaultAccessPolicy.html
    """
    vault = vault_of(self, self.uri_match["BackupVaultName"])
    refuse_denied(vault, "backup:DeleteBackupVaultAccessPolicy")
    contents(vault)["policy"] = None
    return ""
