"""Waiting for jobs of AWS Backup, and the directory that a restore has made."""

from datetime import UTC, datetime, timedelta, timezone

import pytest
from ansible.errors import AnsibleFilterError
from ansible_collections.stackyard.aws.plugins.filter.restored_directory import restored_directory
from ansible_collections.stackyard.aws.plugins.module_utils import plan
from ansible_collections.stackyard.aws.plugins.module_utils.backup_jobs import JobFailed, await_job, utc

RESTORE = {
    "directory_not_before": "aws-backup-restore_2026-01-01T05-00-00",
    "directory_not_after": "aws-backup-restore_2026-01-01T05-07-31",
}
OLDER = "/mnt/aws-backup-restore_2026-01-01T04-59-59-999Z"
OURS = "/mnt/aws-backup-restore_2026-01-01T05-00-00-000Z"


@pytest.fixture(autouse=True)
def no_pause(monkeypatch):
    monkeypatch.setattr(plan.time, "sleep", lambda seconds: None)


def describe(*states, **more):
    left = list(states)
    return lambda: {"State": left.pop(0) if len(left) > 1 else left[0], "PercentDone": "40.0", **more}


def test_a_job_is_awaited_to_its_end():
    job = await_job(describe("CREATED", "RUNNING", "COMPLETED", Size=1), "State", "The backup a/b", 60)
    assert (job["State"], job["Size"]) == ("COMPLETED", 1)


@pytest.mark.parametrize("state", ["FAILED", "ABORTED", "EXPIRED", "PARTIAL"])
def test_a_job_that_failed_says_why(state):
    with pytest.raises(JobFailed, match=f"The backup a/b {state.lower()}: no rights"):
        await_job(describe("RUNNING", state, StatusMessage="no rights"), "State", "The backup a/b", 60)


def test_a_job_that_takes_too_long_can_be_taken_up():
    with pytest.raises(plan.WaitTimeout, match=r"The end of the backup a/b .* RUNNING, 40.0 per cent. Running again"):
        await_job(describe("RUNNING"), "State", "The backup a/b", 0)


def test_times_are_told_in_utc():
    assert utc(datetime(2026, 1, 1, 6, tzinfo=timezone(timedelta(hours=1)))) == "2026-01-01T05:00:00Z"
    assert utc(datetime(2026, 1, 1, 5, 0, 0, 900000, tzinfo=UTC)) == "2026-01-01T05:00:00Z"


def test_the_directory_of_a_restore_is_the_one_of_its_time():
    assert restored_directory(["/mnt/jobs", OLDER, OURS, "/mnt/aws-backup-restore_2026-01-02"], RESTORE) == OURS
    assert restored_directory([OURS + "/"], RESTORE) == OURS + "/"


def test_none_and_several_directories_are_an_error():
    with pytest.raises(AnsibleFilterError, match="is none"):
        restored_directory([OLDER], RESTORE)
    with pytest.raises(AnsibleFilterError, match=f"are {OURS}, "):
        restored_directory([OURS, OURS.replace("05-00-00", "05-00-01")], RESTORE)
    # In check mode nothing was restored.
    with pytest.raises(AnsibleFilterError, match="is none"):
        restored_directory([OURS], {"directory_not_before": "", "directory_not_after": ""})
