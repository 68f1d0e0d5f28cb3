"""AWS Backup's data: recovery points hold real copies, restores really write, and nothing else is touched."""

from __future__ import annotations

import os
import shutil
import stat
import time
from pathlib import Path

import pytest
from moto.backends import get_backend

from localcloud.patches import backup_jobs
from unit.localcloud.backup_account import Account
from unit.localcloud.scaling_world import ACCOUNT, REGION


def folders(root: Path) -> list[Path]:
    return sorted(path for path in root.iterdir() if path.name.startswith("aws-backup-"))


def test_a_job_waits_until_its_data_is_copied(account: Account) -> None:
    arn, home = account.file_system()
    (home / "jobs").mkdir()
    (home / "jobs" / "config.xml").write_text("<project/>")
    (home / "jobs" / "config.xml").chmod(0o640)
    (home / "link").symlink_to("jobs/config.xml")
    home.chmod(0o750)
    job = account.back_up(arn)
    point = {"BackupVaultName": "ours", "RecoveryPointArn": job["RecoveryPointArn"]}
    assert account.state_of(job) == "CREATED"
    assert account.backup.describe_recovery_point(**point)["Status"] == "CREATING"
    with pytest.raises(account.backup.exceptions.InvalidResourceStateException):
        account.backup.delete_recovery_point(**point)
    with pytest.raises(account.backup.exceptions.ClientError, match="not complete"):
        account.restore(job["RecoveryPointArn"], newFileSystem="false")

    account.settle()
    assert account.state_of(job) == "COMPLETED"
    described = account.backup.describe_recovery_point(**point)
    assert (described["Status"], described["BackupSizeInBytes"]) == ("COMPLETED", len("<project/>jobs/config.xml"))
    copy = account.state / "backups" / job["RecoveryPointArn"].rpartition(":")[2]
    assert stat.S_IMODE((copy / "jobs" / "config.xml").stat().st_mode) == 0o640
    assert os.readlink(copy / "link") == "jobs/config.xml"
    # Nobody but root looks into everybody's data.
    assert stat.S_IMODE(copy.parent.stat().st_mode) == 0o700


def test_a_recovery_point_outlives_its_file_system_and_goes_when_it_is_deleted(account: Account) -> None:
    arn, home = account.file_system()
    (home / "file").write_text("old")
    job = account.back_up(arn)
    account.settle()
    (home / "file").write_text("new")
    account.efs.delete_file_system(FileSystemId=home.name)
    shutil.rmtree(home)
    restored = account.restore(
        job["RecoveryPointArn"], **{"file-system-id": home.name}, newFileSystem="true", CreationToken="again",
        Encrypted="true", PerformanceMode="generalPurpose",
    )  # fmt: skip
    described = account.backup.describe_restore_job(RestoreJobId=restored)
    assert (described["Status"], described["ResourceType"]) == ("PENDING", "EFS")
    root = account.folder(described["CreatedResourceArn"])
    account.settle()
    assert account.backup.describe_restore_job(RestoreJobId=restored)["Status"] == "COMPLETED"
    [folder] = folders(root)
    assert [path.name for path in root.iterdir()] == [folder.name]
    assert (folder / "file").read_text() == "old"

    assert len(account.copies()) == 1
    account.backup.delete_recovery_point(BackupVaultName="ours", RecoveryPointArn=job["RecoveryPointArn"])
    account.settle()
    assert account.copies() == []


def test_a_restore_into_the_same_file_system_adds_a_folder_and_touches_nothing_else(account: Account) -> None:
    arn, home = account.file_system()
    (home / "file").write_text("old")
    job = account.back_up(arn)
    account.settle()
    (home / "file").write_text("new")
    before = time.time()
    for _ in range(2):
        account.restore(job["RecoveryPointArn"], **{"file-system-id": home.name}, newFileSystem="false")
        account.settle()
    first, second = folders(home)
    assert [(path / "file").read_text() for path in (first, second)] == ["old", "old"]
    assert (home / "file").read_text() == "new"
    moment = time.strftime("aws-backup-restore_%Y-%m-%dT%H-%M-%S", time.gmtime(before))
    assert moment <= first.name < second.name
    assert stat.S_IMODE(first.stat().st_mode) == stat.S_IMODE(home.stat().st_mode)


def test_items_come_with_the_folders_above_them(account: Account) -> None:
    arn, home = account.file_system()
    for name in ("jobs/one", "jobs/two", "users"):
        (home / name).mkdir(parents=True)
        (home / name / "config.xml").write_text(name)
    (home / "users").chmod(0o700)
    job = account.back_up(arn)
    account.settle()
    items = '["/jobs/one", "/users/config.xml"]'
    account.restore(
        job["RecoveryPointArn"], **{"file-system-id": home.name}, newFileSystem="false", ItemsToRestore=items
    )
    account.settle()
    [folder] = folders(home)
    found = sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())
    assert found == ["jobs/one/config.xml", "users/config.xml"]
    assert stat.S_IMODE((folder / "users").stat().st_mode) == 0o700


@pytest.mark.parametrize("item", ["/none", "/out/passwd"])
def test_what_is_not_in_the_recovery_point_fails_the_restore(account: Account, item: str) -> None:
    arn, home = account.file_system()
    # A machine can make any link; it must not lead a restore to the host's files.
    (home / "out").symlink_to("/etc")
    job = account.back_up(arn)
    account.settle()
    restored = account.restore(
        job["RecoveryPointArn"], **{"file-system-id": home.name}, newFileSystem="false", ItemsToRestore=f'["{item}"]'
    )
    account.settle()
    described = account.backup.describe_restore_job(RestoreJobId=restored)
    assert described["Status"] == "FAILED"
    assert f"Not in the recovery point: {item}" in described["StatusMessage"]
    assert folders(home) == []


def test_a_backup_of_a_file_system_that_goes_meanwhile_fails_and_leaves_nothing(account: Account) -> None:
    arn, home = account.file_system()
    job = account.back_up(arn)
    account.efs.delete_file_system(FileSystemId=home.name)
    shutil.rmtree(home)
    account.settle()
    described = account.backup.describe_backup_job(BackupJobId=job["BackupJobId"])
    assert (described["State"], described["StatusMessage"]) == ("FAILED", f"File system {home.name} does not exist.")
    assert account.backup.list_recovery_points_by_backup_vault(BackupVaultName="ours")["RecoveryPoints"] == []
    assert account.copies() == []


def test_jobs_that_the_end_of_the_server_cut_off_begin_anew(account: Account) -> None:
    arn, home = account.file_system()
    (home / "file").write_text("whole")
    job = account.back_up(arn)
    account.settle()
    restored = account.restore(job["RecoveryPointArn"], **{"file-system-id": home.name}, newFileSystem="false")
    unfinished = account.back_up(arn)
    backend = get_backend("backup")[ACCOUNT][REGION]
    half = home / "aws-backup-restore_2026-01-01T00-00-00-000Z"
    half.mkdir()
    backup_jobs.begin(backend, "restore", restored)
    backup_jobs.writes_to(backend, restored, str(half))
    backup_jobs.begin(backend, "backup", unfinished["BackupJobId"])
    partial = account.state / "backups" / (unfinished["RecoveryPointArn"].rpartition(":")[2] + ".partial")
    partial.mkdir()
    (partial / "half").touch()

    account.start()
    account.settle()
    assert account.state_of(unfinished) == "COMPLETED"
    assert not partial.exists()
    assert sorted(path.name for path in partial.with_suffix("").glob("f*")) == ["file"]
    [folder] = folders(home)
    assert folder != half
    assert (folder / "file").read_text() == "whole"
