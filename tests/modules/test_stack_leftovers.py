"""stack_leftovers: what AWS Backup keeps, for its own sake or a stack's; all else is seen in test_stacks."""

import json

import pytest

from support.module_life import ModuleLife

VAULT = "aws/efs/automatic-backup-vault"
ROLE = "arn:aws:iam::123456789012:role/backup"


@pytest.fixture
def life(ansible, cloud):
    common = {"environment_name": "demo", "application": "wordpress"}
    return ModuleLife(ansible, cloud, "stackyard.aws.stack_leftovers", common)


@pytest.fixture
def point(cloud):
    """Backs up a file system with the tags of a stack and deletes it; what remains is the recovery point."""

    def make(application="wordpress"):
        tags = {"stackyard:environment": "demo", "stackyard:application": application}
        system = cloud.client("efs").create_file_system(
            CreationToken=application, Backup=True, Tags=[{"Key": key, "Value": value} for key, value in tags.items()]
        )
        job = cloud.client("backup").start_backup_job(
            BackupVaultName=VAULT, ResourceArn=system["FileSystemArn"], IamRoleArn=ROLE
        )
        cloud.client("efs").delete_file_system(FileSystemId=system["FileSystemId"])
        return job["RecoveryPointArn"]

    return make


def points(cloud):
    found = cloud.client("backup").list_recovery_points_by_backup_vault(BackupVaultName=VAULT)["RecoveryPoints"]
    return {entry["RecoveryPointArn"] for entry in found}


def allow(cloud, *denied):
    statements = [{"Effect": "Deny", "Principal": {"AWS": "*"}, "Action": list(denied), "Resource": "*"}]
    policy = json.dumps({"Version": "2012-10-17", "Statement": statements if denied else []})
    cloud.client("backup").put_backup_vault_access_policy(BackupVaultName=VAULT, Policy=policy)


def test_without_a_vault_there_is_nothing_to_tell(life):
    result = life.run({"purge": True})
    assert (result["kept"], result["left"], result["changed"]) == ([], [], False)


def test_recovery_points_are_kept_and_purged_where_the_vault_lets_them_go(life, cloud, point):
    ours, another = point(), point("etherpad")
    kept = [{"type": "recovery-point", "id": ours}]
    listed = life.run({})
    assert (listed["kept"], listed["left"], listed["changed"]) == (kept, [], False)

    # As AWS has made it, the vault refuses; what it refuses in other words is found by trying.
    refused = life.sequence([({"purge": True}, True), ({"purge": True}, False)])
    allow(cloud, "backup:Delete*")
    refused.append(life.run({"purge": True}))
    assert [(result["kept"], result["changes"]) for result in refused] == [(kept, [])] * 3
    assert points(cloud) == {ours, another}

    allow(cloud)
    purged = life.live({"purge": True})
    assert purged["changes"] == [{"action": "delete", "type": "recovery-point", "name": ours}]
    assert (purged["kept"], points(cloud)) == ([], {another})


def test_a_stack_s_own_vault_is_kept_with_what_it_holds(life, cloud):
    tags = {"stackyard:environment": "demo", "stackyard:application": "wordpress"}
    backup = cloud.client("backup")
    for name, owner in (("demo-wordpress", tags), ("empty", tags), ("foreign", {})):
        backup.create_backup_vault(BackupVaultName=name, BackupVaultTags=owner)
    system = cloud.client("efs").create_file_system(
        CreationToken="home", Tags=[{"Key": key, "Value": value} for key, value in tags.items()]
    )
    job = backup.start_backup_job(
        BackupVaultName="demo-wordpress", ResourceArn=system["FileSystemArn"], IamRoleArn=ROLE
    )
    cloud.client("efs").delete_file_system(FileSystemId=system["FileSystemId"])
    rule = {"RuleName": "daily", "TargetBackupVaultName": "demo-wordpress"}
    backup.create_backup_plan(BackupPlan={"BackupPlanName": "left", "Rules": [rule]}, BackupPlanTags=tags)
    cloud.client("iam").create_role(
        RoleName="demo-wordpress-backup",
        AssumeRolePolicyDocument="{}",
        Tags=[{"Key": key, "Value": value} for key, value in tags.items()],
    )
    kept = [
        {"type": "recovery-point", "id": job["RecoveryPointArn"]},
        {"type": "backup-vault", "id": "demo-wordpress"},
    ]
    listed = life.run({})
    assert listed["kept"] == kept
    assert sorted((entry["type"], entry["id"]) for entry in listed["left"]) == [
        ("backup-plan", "left"),
        ("backup-vault", "empty"),
        ("role", "demo-wordpress-backup"),
    ]
    purged = life.live({"purge": True})
    assert [(change["type"], change["name"]) for change in purged["changes"]] == [
        (entry["type"], entry["id"]) for entry in kept
    ]
    assert purged["kept"] == []
    names = {vault["BackupVaultName"] for vault in backup.list_backup_vaults()["BackupVaultList"]}
    assert names == {"empty", "foreign"}


def test_alarms_their_topic_and_its_key_are_left_by_mistake(life, cloud, ansible):
    tags = {"stackyard:environment": "demo", "stackyard:application": "wordpress"}
    alarm = {
        "name": "slow",
        "namespace": "AWS/EFS",
        "metric": "BurstCreditBalance",
        "statistic": "Minimum",
        "threshold": 1,
        "comparison": "LessThanThreshold",
    }
    made = {"alarms_name": "demo-wordpress", "alarms_tags": tags, "alarms_alarms": [alarm]}
    ansible.run_role("alarms", made)
    ansible.run_role("alarms", made | {"alarms_name": "demo-wordpress-blue", "alarms_tags": {}})
    assert [(entry["type"], entry["id"]) for entry in life.run({})["left"]] == [
        ("alarm", "demo-wordpress-slow"),
        ("topic", "demo-wordpress-alarms"),
        ("key", "alias/demo-wordpress-alarms"),
    ]
    ansible.run_role("alarms", made | {"alarms_state": "absent"})
    assert life.run({})["left"] == []
