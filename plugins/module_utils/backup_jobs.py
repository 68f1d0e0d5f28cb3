# Copyright: stackyard contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Waiting for jobs of AWS Backup."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from ansible_collections.stackyard.aws.plugins.module_utils.plan import wait_until

FAILED = ("ABORTED", "ABORTING", "EXPIRED", "FAILED", "PARTIAL")
UNFINISHED = ("CREATED", "PENDING", "RUNNING")


def utc(moment: datetime) -> str:
    """Return a time of the API in UTC, to the second."""
    return f"{moment.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"


class JobFailed(Exception):  # noqa: N818 - named for what happened, as plan.WaitTimeout
    """A job ended without success; the message says why."""


def await_job(describe: Callable[[], dict[str, Any]], state: str, what: str, timeout: float) -> dict[str, Any]:
    """Wait until a job is complete and return its description.

    Args:
        describe: Returns the job as the API describes it.
        state: The key of its state: a backup's is `State`, a restore's `Status`.
        what: What the job does, as the subject of the error sentence.
        timeout: Seconds until giving up.

    Raises:
        JobFailed: It failed.
        WaitTimeout: It was not complete in time.
    """
    job: dict[str, Any] = {}

    def probe() -> tuple[bool, str]:
        job.update(describe())
        if job[state] in FAILED:
            why = job.get("StatusMessage", "AWS Backup does not say why").rstrip(".")
            raise JobFailed(f"{what} {job[state].lower()}: {why}.")
        return job[state] == "COMPLETED", f"{job[state]}, {job.get('PercentDone', '0.0')} per cent"

    wait_until(probe, f"The end of {what[0].lower()}{what[1:]}", timeout, hint="Running again takes the same job up.")
    return job
