"""recovery_point: made once under its name, and gone with it."""

import pytest

from support.module_life import ModuleLife

NAME, VAULT = "before-upgrade", "demo-jenkins"
ROLE = "arn:aws:iam::123456789012:role/backup"


@pytest.fixture
def life(ansible, cloud):
    return ModuleLife(ansible, cloud, "stackyard.aws.recovery_point", {"name": NAME, "vault": VAULT})


@pytest.fixture
def wanted(cloud):
    cloud.client("backup").create_backup_vault(BackupVaultName=VAULT)
    tags = [{"Key": "stackyard:application", "Value": "jenkins"}]
    system = cloud.client("efs").create_file_system(CreationToken="home", Tags=tags)["FileSystemArn"]
    return {"resource_arn": system, "iam_role_arn": ROLE, "delete_after_days": 7, "tags": {"by": "me"}}


def points(cloud):
    found = cloud.client("backup").list_recovery_points_by_backup_vault(BackupVaultName=VAULT)["RecoveryPoints"]
    return {entry["RecoveryPointArn"]: entry for entry in found}


def test_a_recovery_point_from_nothing_to_nothing_and_again(life, cloud, wanted):
    backup = cloud.client("backup")
    # Of a schedule, and without a name.
    backup.start_backup_job(BackupVaultName=VAULT, ResourceArn=wanted["resource_arn"], IamRoleArn=ROLE)
    made = life.live(wanted)
    assert made["changes"] == [{"action": "create", "type": "recovery point", "name": f"{VAULT}/{NAME}"}]
    point = points(cloud)[made["arn"]]
    assert point["Lifecycle"] == {"DeleteAfterDays": 7}
    assert made["created_at"] == f"{point['CreationDate']:%Y-%m-%dT%H:%M:%SZ}"
    assert backup.list_tags(ResourceArn=made["arn"])["Tags"] == {
        "stackyard:application": "jenkins",
        "stackyard:name": NAME,
        "by": "me",
    }
    assert len(points(cloud)) == 2
    deleted = life.live({"state": "absent"})
    assert deleted["changes"] == [{"action": "delete", "type": "recovery point", "name": f"{VAULT}/{NAME}"}]
    assert len(points(cloud)) == 1
    # AWS still knows the job under the token of then.
    again = life.run(wanted)
    assert again["changed"]
    assert again["arn"] in points(cloud)
    assert again["arn"] != made["arn"]


def test_another_name_is_another_recovery_point(life, cloud, wanted):
    first = life.run(wanted)["arn"]
    second = life.run(wanted | {"name": "after-upgrade"})["arn"]
    assert set(points(cloud)) == {first, second}


def test_what_cannot_be_backed_up_is_refused(life, wanted):
    none = wanted | {"resource_arn": wanted["resource_arn"][:-4] + "0000"}
    assert "not one that can be backed up" in life.run(none, expect_failure=True)["msg"]
    assert "resource_arn" in life.refused({})
    # To delete from a vault that is gone is to find nothing.
    assert life.run({"state": "absent", "vault": "none"})["changed"] is False
