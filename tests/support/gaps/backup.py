"""AWS Backup."""

import json
from typing import Any

import pytest
from botocore.exceptions import ClientError

from support.control_plane import Cloud
from support.gaps import gap

VAULT = "aws/efs/automatic-backup-vault"
ROLE = "arn:aws:iam::123456789012:role/backup"
RULE = {"RuleName": "daily", "TargetBackupVaultName": "ours", "ScheduleExpression": "cron(0 5 ? * * *)"}


def _point(cloud: Cloud) -> tuple[Any, str]:
    """A recovery point of a file system with automatic backups."""
    tags = [{"Key": "owner", "Value": "web"}]
    system = cloud.client("efs").create_file_system(CreationToken="token", Backup=True, Tags=tags)
    backup = cloud.client("backup")
    job = backup.start_backup_job(BackupVaultName=VAULT, ResourceArn=system["FileSystemArn"], IamRoleArn=ROLE)
    return backup, job["RecoveryPointArn"]


def _own_point(cloud: Cloud, **arguments: Any) -> tuple[Any, str, dict[str, Any]]:
    """A file system and a backup of it in a vault of our own."""
    system = cloud.client("efs").create_file_system(CreationToken="token")["FileSystemArn"]
    backup = cloud.client("backup")
    backup.create_backup_vault(BackupVaultName="ours")
    job = backup.start_backup_job(BackupVaultName="ours", ResourceArn=system, IamRoleArn=ROLE, **arguments)
    return backup, system, job


def _role(cloud: Cloud, service: str = "backup.amazonaws.com") -> str:
    trust = {"Statement": [{"Effect": "Allow", "Principal": {"Service": service}, "Action": "sts:AssumeRole"}]}
    name = service.partition(".")[0]
    role = cloud.client("iam").create_role(RoleName=name, AssumeRolePolicyDocument=json.dumps(trust))
    return str(role["Role"]["Arn"])


def _plan(cloud: Cloud) -> tuple[Any, dict[str, Any]]:
    backup = cloud.client("backup")
    return backup, backup.create_backup_plan(BackupPlan={"BackupPlanName": "daily", "Rules": [RULE]})


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


@gap("backup")
def a_vault_s_policy_can_be_taken_away(cloud: Cloud) -> None:
    backup = cloud.client("backup")
    backup.create_backup_vault(BackupVaultName="ours")
    backup.put_backup_vault_access_policy(BackupVaultName="ours", Policy=json.dumps({"Statement": []}))
    for _ in range(2):
        backup.delete_backup_vault_access_policy(BackupVaultName="ours")
    with pytest.raises(ClientError, match="ResourceNotFound"):
        backup.get_backup_vault_access_policy(BackupVaultName="ours")


@gap("backup")
def a_missing_vault_is_denied(cloud: Cloud) -> None:
    with pytest.raises(ClientError, match="AccessDenied"):
        cloud.client("backup").describe_backup_vault(BackupVaultName="ours")


@gap("backup")
def a_vault_has_a_key_and_counts_what_it_holds(cloud: Cloud) -> None:
    backup, _, _ = _own_point(cloud)
    described = backup.describe_backup_vault(BackupVaultName="ours")
    [listed] = backup.list_backup_vaults()["BackupVaultList"]
    cloud.client("efs").create_file_system(CreationToken="automatic", Backup=True)
    assert backup.describe_backup_vault(BackupVaultName=VAULT)["NumberOfRecoveryPoints"] == 0
    assert described["NumberOfRecoveryPoints"] == listed["NumberOfRecoveryPoints"] == 1
    assert ":kms:" in described["EncryptionKeyArn"]


@gap("backup")
def only_an_empty_vault_can_be_deleted(cloud: Cloud) -> None:
    backup, _, job = _own_point(cloud)
    with pytest.raises(ClientError, match="contains 1 recovery points"):
        backup.delete_backup_vault(BackupVaultName="ours")
    backup.delete_recovery_point(BackupVaultName="ours", RecoveryPointArn=job["RecoveryPointArn"])
    backup.delete_backup_vault(BackupVaultName="ours")
    with pytest.raises(ClientError, match="ResourceNotFound"):
        backup.delete_backup_vault(BackupVaultName="ours")


@gap("backup_plans")
def a_plan_can_be_changed_and_keeps_its_versions(cloud: Cloud) -> None:
    backup, made = _plan(cloud)
    plan = made["BackupPlanId"]
    changed = {"BackupPlanName": "daily", "Rules": [RULE | {"Lifecycle": {"DeleteAfterDays": 7}}]}
    updated = backup.update_backup_plan(BackupPlanId=plan, BackupPlan=changed)
    assert updated["VersionId"] != made["VersionId"]
    now = backup.get_backup_plan(BackupPlanId=plan)
    assert (now["VersionId"], now["BackupPlan"]["Rules"][0]["Lifecycle"]) == (
        updated["VersionId"],
        {"DeleteAfterDays": 7},
    )
    before = backup.get_backup_plan(BackupPlanId=plan, VersionId=made["VersionId"])
    assert (before["VersionId"], "Lifecycle" in before["BackupPlan"]["Rules"][0]) == (made["VersionId"], False)
    versions = backup.list_backup_plan_versions(BackupPlanId=plan)["BackupPlanVersionsList"]
    assert [version["VersionId"] for version in versions] == [updated["VersionId"], made["VersionId"]]


@gap("backup_plans")
def a_selection_is_made_listed_and_deleted(cloud: Cloud) -> None:
    backup, made = _plan(cloud)
    plan, role = made["BackupPlanId"], _role(cloud)
    wanted = {"SelectionName": "home", "IamRoleArn": role, "Resources": ["arn:aws:elasticfilesystem:*:*:file-system/*"]}
    selection = backup.create_backup_selection(BackupPlanId=plan, BackupSelection=wanted)["SelectionId"]
    with pytest.raises(ClientError, match="AlreadyExists"):
        backup.create_backup_selection(BackupPlanId=plan, BackupSelection=wanted)
    [listed] = backup.list_backup_selections(BackupPlanId=plan)["BackupSelectionsList"]
    assert (listed["SelectionId"], listed["SelectionName"], listed["IamRoleArn"]) == (selection, "home", role)
    found = backup.get_backup_selection(BackupPlanId=plan, SelectionId=selection)["BackupSelection"]
    assert found["Resources"] == wanted["Resources"]
    assert (found["ListOfTags"], found["Conditions"]["StringLike"]) == ([], [])
    backup.delete_backup_selection(BackupPlanId=plan, SelectionId=selection)
    with pytest.raises(ClientError, match="ResourceNotFound"):
        backup.get_backup_selection(BackupPlanId=plan, SelectionId=selection)


@gap("backup_plans")
def a_selection_needs_a_role_that_trusts_aws_backup(cloud: Cloud) -> None:
    backup, made = _plan(cloud)
    for role in (ROLE, _role(cloud, "ec2.amazonaws.com")):
        with pytest.raises(ClientError, match="cannot be assumed by AWS Backup"):
            backup.create_backup_selection(
                BackupPlanId=made["BackupPlanId"], BackupSelection={"SelectionName": "home", "IamRoleArn": role}
            )


@gap("backup_plans")
def a_plan_is_deleted_after_its_selections_and_leaves_its_name(cloud: Cloud) -> None:
    backup, made = _plan(cloud)
    plan = made["BackupPlanId"]
    selection = backup.create_backup_selection(
        BackupPlanId=plan, BackupSelection={"SelectionName": "home", "IamRoleArn": _role(cloud)}
    )["SelectionId"]
    with pytest.raises(ClientError, match="selections must be deleted"):
        backup.delete_backup_plan(BackupPlanId=plan)
    backup.delete_backup_selection(BackupPlanId=plan, SelectionId=selection)
    backup.delete_backup_plan(BackupPlanId=plan)
    with pytest.raises(ClientError, match="ResourceNotFound"):
        backup.delete_backup_plan(BackupPlanId=plan)
    _, again = _plan(cloud)
    [listed] = backup.list_backup_plans()["BackupPlansList"]
    assert listed["BackupPlanId"] == again["BackupPlanId"] != plan


@gap("backup_jobs")
def a_recovery_point_is_listed_with_its_resource_s_tags(cloud: Cloud) -> None:
    backup, point = _point(cloud)
    [found] = backup.list_recovery_points_by_backup_vault(BackupVaultName=VAULT)["RecoveryPoints"]
    assert (found["RecoveryPointArn"], found["Status"]) == (point, "COMPLETED")
    assert backup.list_tags(ResourceArn=point)["Tags"] == {"owner": "web"}
    elsewhere = "arn:aws:elasticfilesystem:us-east-1:123456789012:file-system/fs-12345678"
    others = backup.list_recovery_points_by_backup_vault(BackupVaultName=VAULT, ByResourceArn=elsewhere)
    assert others["RecoveryPoints"] == []
    assert backup.list_recovery_points_by_resource(ResourceArn=elsewhere)["RecoveryPoints"] == []
    [of_resource] = backup.list_recovery_points_by_resource(ResourceArn=found["ResourceArn"])["RecoveryPoints"]
    assert (of_resource["RecoveryPointArn"], of_resource["BackupVaultName"]) == (point, VAULT)


@gap("backup_jobs")
def a_recovery_point_tells_its_retention_and_what_a_restore_needs(cloud: Cloud) -> None:
    backup, system, job = _own_point(cloud, Lifecycle={"DeleteAfterDays": 7}, RecoveryPointTags={"name": "first"})
    where = {"BackupVaultName": "ours", "RecoveryPointArn": job["RecoveryPointArn"]}
    point = backup.describe_recovery_point(**where)
    assert (point["ResourceArn"], point["Status"], point["IsEncrypted"]) == (system, "COMPLETED", True)
    assert (point["CalculatedLifecycle"]["DeleteAt"] - point["CreationDate"]).days == 7
    assert backup.list_tags(ResourceArn=job["RecoveryPointArn"])["Tags"] == {"name": "first"}
    metadata = backup.get_recovery_point_restore_metadata(**where)["RestoreMetadata"]
    assert metadata["file-system-id"] == system.rpartition("/")[2]


@gap("backup_jobs")
def a_backup_job_is_done_once_per_token_and_described(cloud: Cloud) -> None:
    backup, system, job = _own_point(cloud, IdempotencyToken="once")
    again = backup.start_backup_job(
        BackupVaultName="ours", ResourceArn=system, IamRoleArn=ROLE, IdempotencyToken="once"
    )
    assert again["BackupJobId"] == job["BackupJobId"]
    described = backup.describe_backup_job(BackupJobId=job["BackupJobId"])
    assert (described["State"], described["RecoveryPointArn"]) == ("COMPLETED", job["RecoveryPointArn"])
    assert [entry["BackupJobId"] for entry in backup.list_backup_jobs(ByResourceArn=system)["BackupJobs"]] == [
        job["BackupJobId"]
    ]
    assert backup.list_backup_jobs(ByState="RUNNING")["BackupJobs"] == []
    assert backup.list_backup_jobs(ByCreatedAfter=described["CompletionDate"])["BackupJobs"] == []
    with pytest.raises(ClientError, match="ResourceNotFound"):
        backup.describe_backup_job(BackupJobId="none")


@gap("backup_jobs")
def a_restore_goes_into_the_file_system_or_a_new_one_once_per_token(cloud: Cloud) -> None:
    backup, system, job = _own_point(cloud)
    point, file_system = job["RecoveryPointArn"], system.rpartition("/")[2]
    old = {"file-system-id": file_system, "newFileSystem": "false", "ItemsToRestore": '["/jobs"]'}
    new = {
        "file-system-id": file_system,
        "newFileSystem": "true",
        "CreationToken": "restored",
        "Encrypted": "true",
        "PerformanceMode": "generalPurpose",
    }

    def start(metadata: dict[str, str], token: str) -> str:
        started = backup.start_restore_job(
            RecoveryPointArn=point, Metadata=metadata, IamRoleArn=ROLE, IdempotencyToken=token
        )
        return str(started["RestoreJobId"])

    first, again, other = start(old, "one"), start(old, "one"), start(new, "two")
    assert first == again != other
    into = {entry["RestoreJobId"]: entry for entry in backup.list_restore_jobs(ByStatus="COMPLETED")["RestoreJobs"]}
    assert into[first]["CreatedResourceArn"] == system
    [restored] = cloud.client("efs").describe_file_systems(CreationToken="restored")["FileSystems"]
    assert backup.describe_restore_job(RestoreJobId=other)["CreatedResourceArn"] == restored["FileSystemArn"]
    assert restored["Encrypted"] is True


@gap("backup_jobs")
def a_restore_refuses_what_it_cannot_do(cloud: Cloud) -> None:
    backup, system, job = _own_point(cloud)
    point, target = job["RecoveryPointArn"], {"file-system-id": system.rpartition("/")[2], "newFileSystem": "false"}

    def start(metadata: dict[str, str], recovery_point: str = point) -> dict[str, Any]:
        started = backup.start_restore_job(RecoveryPointArn=recovery_point, Metadata=metadata, IamRoleArn=ROLE)
        return dict(backup.describe_restore_job(RestoreJobId=started["RestoreJobId"]))

    with pytest.raises(ClientError, match="ResourceNotFound"):
        start(target, point[:-1] + "g")
    lacking = start(target | {"newFileSystem": "true", "Encrypted": "true", "PerformanceMode": "maxIO"})
    assert (lacking["Status"], lacking["StatusMessage"]) == ("FAILED", "Metadata lacks CreationToken")
    for items in ("/jobs", '["jobs"]', '["/../etc"]', '["/"]'):
        with pytest.raises(ClientError, match="ItemsToRestore"):
            start(target | {"ItemsToRestore": items})
    cloud.client("efs").delete_file_system(FileSystemId=target["file-system-id"])
    failed = start(target)
    assert failed["Status"] == "FAILED"
    assert "does not exist" in failed["StatusMessage"]
    _, automatic = _point(cloud)
    with pytest.raises(ClientError, match="AccessDenied"):
        start(target, automatic)


@gap("backup_jobs")
def a_backup_of_a_volume_is_a_snapshot_and_goes_with_it(cloud: Cloud) -> None:
    ec2, backup = cloud.client("ec2"), cloud.client("backup")
    tags = [{"ResourceType": "volume", "Tags": [{"Key": "owner", "Value": "web"}]}]
    volume = ec2.create_volume(Size=2, AvailabilityZone="us-east-1a", TagSpecifications=tags)["VolumeId"]
    backup.create_backup_vault(BackupVaultName="ours")
    job = backup.start_backup_job(
        BackupVaultName="ours",
        ResourceArn=f"arn:aws:ec2:us-east-1:123456789012:volume/{volume}",
        IamRoleArn=ROLE,
        RecoveryPointTags={"by": "me"},
    )
    point = backup.describe_recovery_point(BackupVaultName="ours", RecoveryPointArn=job["RecoveryPointArn"])
    assert (point["Status"], point["ResourceType"], point["BackupSizeInBytes"]) == ("COMPLETED", "EBS", 2 << 30)
    of_the_volume = [{"Name": "volume-id", "Values": [volume]}]
    [snapshot] = ec2.describe_snapshots(Filters=of_the_volume)["Snapshots"]
    assert point["RecoveryPointArn"] == f"arn:aws:ec2:us-east-1::snapshot/{snapshot['SnapshotId']}"
    assert {tag["Key"]: tag["Value"] for tag in snapshot["Tags"]} == {"owner": "web", "by": "me"}
    backup.delete_recovery_point(BackupVaultName="ours", RecoveryPointArn=point["RecoveryPointArn"])
    assert ec2.describe_snapshots(Filters=of_the_volume)["Snapshots"] == []
