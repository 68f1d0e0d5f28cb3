"""The modules recovery_point and efs_restore with jobs that take their time, and that a cut off run has left."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.stackyard.aws.plugins.filter.restored_directory import restored_directory
from ansible_collections.stackyard.aws.plugins.module_utils.backup_jobs import JobFailed
from ansible_collections.stackyard.aws.plugins.module_utils.plan import WaitTimeout
from ansible_collections.stackyard.aws.plugins.modules.efs_restore import EfsRestore
from ansible_collections.stackyard.aws.plugins.modules.recovery_point import RecoveryPoint

from unit.localcloud.backup_account import ROLE, Account, account_of_a_test
from unit.localcloud.scaling_world import client

# The fixture `account`.
__all__ = ["account_of_a_test"]

Work = Callable[..., dict[str, Any]]


class Module:
    """What the modules' classes need of AnsibleAWSModule."""

    check_mode = False

    def __init__(self, **params: Any) -> None:
        self.params = params

    def client(self, service: str) -> Any:
        return client(service)

    def fail_json(self, msg: str) -> None:
        raise AssertionError(msg)


@pytest.fixture
def home(account: Account) -> tuple[str, Path]:
    arn, folder = account.file_system()
    (folder / "jobs").mkdir()
    (folder / "jobs" / "config.xml").write_text("old")
    return arn, folder


@pytest.fixture
def back_up(home: tuple[str, Path]) -> Work:
    """Run recovery_point once."""

    def run(name: str = "first", wait_timeout: float = 10) -> dict[str, Any]:
        module = Module(
            name=name,
            state="present",
            vault="ours",
            resource_arn=home[0],
            iam_role_arn=ROLE,
            delete_after_days=None,
            tags={},
            wait_timeout=wait_timeout,
        )
        return dict(RecoveryPoint(module).work())

    return run


@pytest.fixture
def restore(account: Account) -> Work:
    """Run efs_restore once."""

    def run(point: str, *, items: list[str] | None = None, wait_timeout: float = 10) -> dict[str, Any]:
        module = Module(
            recovery_point_arn=point,
            vault="ours",
            iam_role_arn=ROLE,
            token="drill",
            items=items or [],
            wait_timeout=wait_timeout,
        )
        return dict(EfsRestore(module).work())

    return run


def beside(account: Account, work: Work, *arguments: Any, **named: Any) -> dict[str, Any]:
    """Run a module while the data part works."""
    timer = threading.Timer(0.3, account.settle)
    timer.start()
    try:
        return work(*arguments, **named)
    finally:
        timer.join()


def jobs(account: Account) -> list[str]:
    return [job["BackupJobId"] for job in account.backup.list_backup_jobs()["BackupJobs"]]


def test_a_backup_that_was_not_awaited_to_its_end_is_taken_up(account: Account, back_up: Work) -> None:
    with pytest.raises(WaitTimeout, match=r"backup ours/first .* CREATED, 0.0 per cent. Running again"):
        back_up(wait_timeout=0)
    begun = jobs(account)
    taken_up = beside(account, back_up)
    assert (taken_up["changed"], jobs(account)) == (True, begun)
    again = back_up()
    assert (again["changed"], again["arn"], again["size_bytes"]) == (False, taken_up["arn"], len("old"))
    assert beside(account, back_up, "second")["arn"] != taken_up["arn"]


def test_a_backup_that_failed_says_why_and_is_started_anew(
    account: Account, back_up: Work, home: tuple[str, Path]
) -> None:
    hidden = home[1].rename(home[1].with_name("hidden"))
    with pytest.raises(JobFailed, match=f"The backup ours/first failed: File system {home[1].name} does not exist"):
        beside(account, back_up)
    hidden.rename(home[1])
    assert beside(account, back_up)["changed"]
    assert len(jobs(account)) == 2


def test_a_restore_that_was_not_awaited_is_taken_up_and_its_directory_found(
    account: Account, back_up: Work, restore: Work, home: tuple[str, Path]
) -> None:
    point = beside(account, back_up)["arn"]
    with pytest.raises(WaitTimeout, match="The end of the restore drill"):
        restore(point, items=["/jobs"], wait_timeout=0)
    (home[1] / "aws-backup-restore_2026-01-01T00-00-00-000Z").mkdir()
    done = beside(account, restore, point, items=["/jobs"])
    # The first run has noted the job; this one has only waited.
    assert done["changed"] is False
    assert len(account.backup.list_restore_jobs()["RestoreJobs"]) == 1
    found = Path(restored_directory([str(path) for path in home[1].iterdir()], done))
    assert (found / "jobs" / "config.xml").read_text() == "old"
    assert restore(point, items=["/jobs"])["changed"] is False


def test_a_restore_that_failed_says_why_and_is_started_anew(
    account: Account, back_up: Work, restore: Work, home: tuple[str, Path]
) -> None:
    point = beside(account, back_up)["arn"]
    with pytest.raises(JobFailed, match="The restore drill failed: Not in the recovery point: /none"):
        beside(account, restore, point, items=["/none"])
    assert beside(account, restore, point, items=["/jobs"])["changed"]
    assert [job["Status"] for job in account.backup.list_restore_jobs()["RestoreJobs"]] == ["COMPLETED", "FAILED"]
