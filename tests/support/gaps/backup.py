"""AWS Backup."""

import json
from typing import Any

import pytest
from botocore.exceptions import ClientError

from support.control_plane import Cloud
from support.gaps import gap

VAULT = "aws/efs/automatic-backup-vault"
ROLE = "arn:aws:iam::123456789012:role/backup"


def _point(cloud: Cloud) -> tuple[Any, str]:
    """A recovery point of a file system with automatic backups."""
    tags = [{"Key": "owner", "Value": "web"}]
    system = cloud.client("efs").create_file_system(CreationToken="token", Backup=True, Tags=tags)
    backup = cloud.client("backup")
    job = backup.start_backup_job(BackupVaultName=VAULT, ResourceArn=system["FileSystemArn"], IamRoleArn=ROLE)
    return backup, job["RecoveryPointArn"]


@gap("backup")
def a_recovery_point_is_listed_with_its_resource_s_tags(cloud: Cloud) -> None:
    backup, point = _point(cloud)
    [found] = backup.list_recovery_points_by_backup_vault(BackupVaultName=VAULT)["RecoveryPoints"]
    assert (found["RecoveryPointArn"], found["Status"]) == (point, "COMPLETED")
    assert backup.list_tags(ResourceArn=point)["Tags"] == {"owner": "web"}
    elsewhere = "arn:aws:elasticfilesystem:us-east-1:123456789012:file-system/fs-12345678"
    others = backup.list_recovery_points_by_backup_vault(BackupVaultName=VAULT, ByResourceArn=elsewhere)
    assert others["RecoveryPoints"] == []


@gap("backup")
def the_automatic_vault_lets_nothing_be_deleted_until_its_policy_is_another(cloud: Cloud) -> None:
    backup, point = _point(cloud)
    assert "backup:DeleteRecoveryPoint" in backup.get_backup_vault_access_policy(BackupVaultName=VAULT)["Policy"]
    with pytest.raises(ClientError, match="AccessDenied"):
        backup.delete_recovery_point(BackupVaultName=VAULT, RecoveryPointArn=point)
    backup.put_backup_vault_access_policy(BackupVaultName=VAULT, Policy=json.dumps({"Statement": []}))
    backup.delete_recovery_point(BackupVaultName=VAULT, RecoveryPointArn=point)
    assert backup.list_recovery_points_by_backup_vault(BackupVaultName=VAULT)["RecoveryPoints"] == []
    with pytest.raises(ClientError, match="ResourceNotFound"):
        backup.delete_recovery_point(BackupVaultName=VAULT, RecoveryPointArn=point)


@gap("backup")
def without_automatic_backups_there_is_no_vault_for_them(cloud: Cloud) -> None:
    cloud.client("efs").create_file_system(CreationToken="token")
    with pytest.raises(ClientError, match="ResourceNotFound"):
        cloud.client("backup").list_recovery_points_by_backup_vault(BackupVaultName=VAULT)
