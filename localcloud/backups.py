"""AWS Backup's data of EFS: copies of folders, and restores from them. Of EBS it is snapshots, which ``volumes`` keeps.

A recovery point is a folder of the state that holds what was in the file system's folder when the job ran, as copies
that share blocks where the host's file system can (``cp --reflink=auto``). It outlives the file system; when the
recovery point is deleted, it goes. A restore writes into a folder ``aws-backup-restore_<time>`` of a file system, which
is where AWS puts it too. A job that the server's end cut off begins anew.

Left out: plans do not run, and nothing expires. A copy is no snapshot: files that are written meanwhile may be caught
in different moments, as on AWS.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

from localcloud.cloud import Cloud
from localcloud.patches import backup_jobs
from localcloud.patches._backup import points

WORKERS = 2
RESTORED, FAILED = "aws-backup-restore_", "aws-backup-failed-restore_"
# A file that its owner removed between listing and copying is simply not in the copy.
VANISHED = "No such file or directory"


class CopyError(RuntimeError):
    """Data could not be copied; the text is the job's status message."""


class Backups:
    """Carries out the jobs of AWS Backup, and keeps what its recovery points hold."""

    name = "backups"

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud
        self._folder = cloud.state / "backups"
        self._folder.mkdir(parents=True, exist_ok=True)
        # Of everybody's data, with the owners and permissions of the machines'.
        self._folder.chmod(0o700)
        self._file_systems = cloud.state / "filesystems"
        self._pool = ThreadPoolExecutor(WORKERS, thread_name_prefix="backup")
        self._lock = threading.Lock()
        self._busy: set[str] = set()
        backup_jobs.backed = cloud.settings.region

    def reconcile(self) -> None:
        """Begin the jobs that wait, and remove what belongs to no recovery point."""
        with self._cloud.lock:
            backend = self._cloud.backend("backup")
            backups = [dict(job) for job in backup_jobs.waiting(backend, "backup")]
            restores = [dict(job) for job in backup_jobs.waiting(backend, "restore")]
            kept = {_folder_name(arn) for arn in points(backend)}
        for job in backups:
            self._start("backup", job["BackupJobId"], partial(self._back_up, job))
        for job in restores:
            self._start("restore", job["RestoreJobId"], partial(self._restore, job))
        for path in self._folder.iterdir():
            if path.name.partition(".")[0] not in kept:
                shutil.rmtree(path, ignore_errors=True)

    def close(self) -> None:
        """Let what is under way finish."""
        self._pool.shutdown(wait=True, cancel_futures=True)

    def _start(self, kind: str, job_id: str, work: Callable[[], int]) -> None:
        with self._lock:
            if job_id in self._busy:
                return
            self._busy.add(job_id)
        self._pool.submit(self._run, kind, job_id, work)

    def _run(self, kind: str, job_id: str, work: Callable[[], int]) -> None:
        try:
            self._note(lambda backend: backup_jobs.begin(backend, kind, job_id))
            size = work()
            self._note(lambda backend: backup_jobs.complete(backend, kind, job_id, size))
        except (CopyError, OSError) as error:
            self._cloud.log.warning("%s job %s: %s", kind, job_id, error)
            message = str(error)
            self._note(lambda backend: backup_jobs.fail(backend, kind, job_id, message))
        except Exception:
            self._cloud.log.exception("%s job %s", kind, job_id)
            self._note(lambda backend: backup_jobs.fail(backend, kind, job_id, "Internal error"))
        finally:
            with self._lock:
                self._busy.discard(job_id)

    def _note(self, change: Callable[[Any], None]) -> None:
        with self._cloud.lock:
            change(self._cloud.backend("backup"))
        self._cloud.changed()

    def _back_up(self, job: dict[str, Any]) -> int:
        """Copy a file system's folder; returns the copy's size in bytes."""
        source = self._file_systems / _id_of(job["ResourceArn"])
        target = self._folder / _folder_name(job["RecoveryPointArn"])
        # Under another name until it is whole.
        unfinished = target.with_suffix(".partial")
        shutil.rmtree(unfinished, ignore_errors=True)
        if not source.is_dir():
            raise CopyError(f"File system {source.name} does not exist.")
        unfinished.mkdir(mode=0o700)
        _copy(source, ["."], unfinished)
        if not source.is_dir():
            raise CopyError(f"File system {source.name} was deleted meanwhile.")
        unfinished.replace(target)
        return _size(target)

    def _restore(self, job: dict[str, Any]) -> int:
        """Write all of a recovery point, or items of it, into a new folder; returns the bytes written."""
        source = self._folder / _folder_name(job["RecoveryPointArn"])
        root = self._file_systems / _id_of(job["CreatedResourceArn"])
        if job["folder"]:
            # Of an earlier attempt, which the server's end cut off.
            shutil.rmtree(job["folder"], ignore_errors=True)
        if not (source.is_dir() and root.is_dir()):
            raise CopyError(f"{'The recovery point' if root.is_dir() else 'The file system'} does not exist.")
        missing = [item for item in job["items"] if not _is_inside(source, item)]
        if missing:
            raise CopyError(f"Not in the recovery point: {', '.join(missing)}")
        target = _new_folder(root)
        self._note(lambda backend: backup_jobs.writes_to(backend, job["RestoreJobId"], str(target)))
        try:
            _copy(source, [f".{item}" for item in job["items"]] or ["."], target, "--parents")
        except CopyError:
            with contextlib.suppress(OSError):
                target.rename(root / target.name.replace(RESTORED, FAILED, 1))
            raise
        return _size(target)


def _folder_name(recovery_point: str) -> str:
    return recovery_point.rpartition(":")[2]


def _id_of(file_system: str) -> str:
    return file_system.rpartition("/")[2]


def _new_folder(root: Path) -> Path:
    """Make a restore's folder, named by the moment as AWS does; two in the same millisecond get a name each."""
    while True:
        now = datetime.now(UTC)
        path = root / f"{RESTORED}{now:%Y-%m-%dT%H-%M-%S}-{now.microsecond // 1000:03d}Z"
        try:
            path.mkdir()
        except FileExistsError:
            continue
        path.chmod(0o755)
        return path


def _is_inside(root: Path, item: str) -> bool:
    """Whether there is such a path below a folder, not by way of a symbolic link: that could lead out of it."""
    path = root / item.lstrip("/")
    return os.path.realpath(path.parent) == str(path.parent) and os.path.lexists(path)


def _copy(source: Path, paths: list[str], target: Path, *options: str) -> None:
    """Copy paths of a folder with owners, permissions, times, links and attributes.

    Raises:
        CopyError: Something could not be copied, other than what vanished meanwhile.
    """
    done = subprocess.run(
        ["cp", "--archive", "--reflink=auto", *options, "--", *paths, str(target)],
        cwd=source,
        env={**os.environ, "LC_ALL": "C.UTF-8"},
        capture_output=True,
        text=True,
        check=False,
    )
    wrong = [line for line in done.stderr.splitlines() if not line.endswith(VANISHED)]
    if done.returncode and (wrong or not done.stderr):
        raise CopyError(wrong[0] if wrong else f"cp ended with {done.returncode}")


def _size(folder: Path) -> int:
    return sum((Path(path) / name).lstat().st_size for path, _, names in os.walk(folder) for name in names)
