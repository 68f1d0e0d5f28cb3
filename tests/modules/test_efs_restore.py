"""efs_restore: one job for each token, into the same file system. How jobs are awaited is a unit test."""

import pytest

from support.module_life import ModuleLife

VAULT, TOKEN = "demo-jenkins", "incident-17"
ROLE = "arn:aws:iam::123456789012:role/backup"


@pytest.fixture
def system(cloud):
    return cloud.client("efs").create_file_system(CreationToken="home", Encrypted=True)


@pytest.fixture
def point(cloud, system):
    backup = cloud.client("backup")
    backup.create_backup_vault(BackupVaultName=VAULT)
    started = backup.start_backup_job(BackupVaultName=VAULT, ResourceArn=system["FileSystemArn"], IamRoleArn=ROLE)
    return started["RecoveryPointArn"]


@pytest.fixture
def life(ansible, cloud, point):
    common = {"recovery_point_arn": point, "vault": VAULT, "iam_role_arn": ROLE, "token": TOKEN}
    return ModuleLife(ansible, cloud, "stackyard.aws.efs_restore", common)


def restores(cloud):
    return cloud.client("backup").list_restore_jobs()["RestoreJobs"]


def test_a_restore_is_done_once_and_bounds_its_directory_s_name(life, cloud, system):
    done = life.live({"items": ["/jobs"]})
    assert done["changes"] == [{"action": "create", "type": "efs restore", "name": TOKEN}]
    [job] = restores(cloud)
    assert (done["restore_job_id"], done["file_system_id"]) == (job["RestoreJobId"], system["FileSystemId"])
    assert job["CreatedResourceArn"] == system["FileSystemArn"]
    made = f"aws-backup-restore_{job['CompletionDate']:%Y-%m-%dT%H-%M-%S-000Z}"
    assert done["directory_not_before"] <= made <= done["directory_not_after"]
    assert life.run({"token": "incident-18"})["changed"]
    assert len(restores(cloud)) == 2


def test_a_run_cut_off_before_the_job_was_noted_takes_it_up(life, cloud, point, system):
    started = cloud.client("backup").start_restore_job(
        RecoveryPointArn=point,
        Metadata={"file-system-id": system["FileSystemId"], "newFileSystem": "false"},
        IamRoleArn=ROLE,
        IdempotencyToken=TOKEN,
    )
    assert life.live({})["restore_job_id"] == started["RestoreJobId"]
    assert len(restores(cloud)) == 1


def test_a_job_that_failed_is_started_anew(life, cloud, point):
    backup = cloud.client("backup")
    failed = backup.start_restore_job(
        RecoveryPointArn=point,
        Metadata={"file-system-id": "fs-00000000", "newFileSystem": "false"},
        IamRoleArn=ROLE,
        IdempotencyToken=TOKEN,
    )["RestoreJobId"]
    backup.tag_resource(ResourceArn=point, Tags={f"stackyard:restore:{TOKEN}": failed})
    assert life.live({})["restore_job_id"] != failed
    assert [job["Status"] for job in restores(cloud)] == ["COMPLETED", "FAILED"]


def test_what_cannot_be_restored_is_refused(life, cloud, point, system):
    assert "does not exist there" in life.refused({"recovery_point_arn": point[:-1] + "g"})
    assert "paths from the root" in life.refused({"items": ["jobs"]})
    assert "letters, digits" in life.refused({"token": "a b"})
    backup = cloud.client("backup")
    backup.tag_resource(ResourceArn=point, Tags={f"stackyard:restore:{TOKEN}": "long-ago"})
    assert "use another token" in life.refused({})
    backup.untag_resource(ResourceArn=point, TagKeyList=[f"stackyard:restore:{TOKEN}"])
    cloud.client("efs").delete_file_system(FileSystemId=system["FileSystemId"])
    assert "does not exist any more" in life.refused({})
