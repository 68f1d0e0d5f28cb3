"""A patched moto in this process with the data part of AWS Backup beside it, for tests without machines."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from moto import mock_aws
from moto.backends import get_backend

from localcloud.backups import Backups
from localcloud.cloud import Cloud
from localcloud.patches import apply_all, backup_jobs, efs
from localcloud.settings import Settings
from unit.localcloud.scaling_world import ACCOUNT, REGION, client

ROLE = f"arn:aws:iam::{ACCOUNT}:role/backup"


class Account:
    """A moto in this process with the data part beside it, whose passes the test makes."""

    def __init__(self, state: Path) -> None:
        self.state = state
        self.backup, self.efs = client("backup"), client("efs")
        self.part = self.start()
        self.backup.create_backup_vault(BackupVaultName="ours")

    def start(self) -> Backups:
        """What a start of the server makes."""
        # Nothing of it but the data part asks for the API or for containers.
        self.part = Backups(Cloud(Settings(state=self.state, region=REGION, account=ACCOUNT), application=None))
        return self.part

    def file_system(self, token: str = "home") -> tuple[str, Path]:
        """A file system and its folder, which another part of the cloud makes."""
        arn = self.efs.create_file_system(CreationToken=token)["FileSystemArn"]
        return arn, self.folder(arn)

    def folder(self, arn: str) -> Path:
        path = self.state / "filesystems" / arn.rpartition("/")[2]
        path.mkdir(parents=True, exist_ok=True)
        return path

    def back_up(self, arn: str) -> dict[str, Any]:
        job: dict[str, Any] = self.backup.start_backup_job(BackupVaultName="ours", ResourceArn=arn, IamRoleArn=ROLE)
        return job

    def restore(self, point: str, **metadata: str) -> str:
        started = self.backup.start_restore_job(RecoveryPointArn=point, Metadata=metadata, IamRoleArn=ROLE)
        return str(started["RestoreJobId"])

    def settle(self) -> None:
        """Let the part do what there is to do."""
        self.part.reconcile()
        backend = get_backend("backup")[ACCOUNT][REGION]
        deadline = time.monotonic() + 10
        while any(backup_jobs.waiting(backend, kind) for kind in ("backup", "restore")):
            assert time.monotonic() < deadline, "the jobs did not end"
            time.sleep(0.01)
        self.part.reconcile()

    def state_of(self, job: dict[str, Any]) -> str:
        return str(self.backup.describe_backup_job(BackupJobId=job["BackupJobId"])["State"])

    def copies(self) -> list[str]:
        return [path.name for path in (self.state / "backups").iterdir()]


@pytest.fixture(name="account")
def account_of_a_test(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Account]:
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    monkeypatch.setattr(backup_jobs, "backed", "")
    monkeypatch.setattr(efs, "backed", True)
    apply_all()
    with mock_aws():
        account = Account(tmp_path)
        yield account
        account.part.close()
