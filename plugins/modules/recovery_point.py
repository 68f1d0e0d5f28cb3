#!/usr/bin/python
# Copyright: stackyard contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
---
module: recovery_point
version_added: 0.1.0
short_description: Make and delete a recovery point of AWS Backup
description:
  - Backs one resource up into a vault, now and under a name, and waits until that is complete.
  - The recovery point is found again by its tag C(stackyard:name). A second run with the same name makes no other, and
    a run that was cut off is completed by the next one, which takes the same job up.
  - Tags and retention of a recovery point that exists are left as they are.
author:
  - stackyard contributors (@stackyard)
options:
  name:
    description: The tag C(stackyard:name), of one recovery point in the vault.
    type: str
    required: true
  state:
    description: Whether the recovery point exists.
    type: str
    choices: [present, absent]
    default: present
  vault:
    description: Name of the vault.
    type: str
    required: true
  resource_arn:
    description: ARN of what is backed up. Required when O(state=present).
    type: str
  iam_role_arn:
    description: The role that AWS Backup acts in. Required when O(state=present).
    type: str
  delete_after_days:
    description: Days after which AWS deletes the recovery point. It stays for ever when not given.
    type: int
  tags:
    description: Further tags of the recovery point, beside those of the resource.
    type: dict
    default: {}
  wait_timeout:
    description: Seconds after which waiting is given up. The job goes on, and running again takes it up.
    type: int
    default: 3600
extends_documentation_fragment:
  - stackyard.aws.stack
  - amazon.aws.common.modules
  - amazon.aws.region.modules
  - amazon.aws.boto3
"""

EXAMPLES = r"""
- name: Keep Jenkins' home as it is before the upgrade
  stackyard.aws.recovery_point:
    name: before-2.555.3
    vault: demo-jenkins
    resource_arn: arn:aws:elasticfilesystem:eu-central-1:123456789012:file-system/fs-0123456789abcdef0
    iam_role_arn: arn:aws:iam::123456789012:role/demo-jenkins-backup
    delete_after_days: 30
"""

RETURN = r"""
changes:
  description: What was changed, or would be in check mode.
  returned: success
  type: list
  elements: dict
  sample: [{action: create, type: recovery point, name: demo-jenkins/before-2.555.3}]
arn:
  description: ARN of the recovery point, empty in check mode when it would be made.
  returned: when O(state=present)
  type: str
  sample: arn:aws:backup:eu-central-1:123456789012:recovery-point:1EB3B5E7-9EB0-435A-A80B-108B488B0D45
created_at:
  description: When it was begun, in UTC. Empty in check mode when it would be made.
  returned: when O(state=present)
  type: str
  sample: "2026-01-01T05:00:00Z"
size_bytes:
  description: Its size.
  returned: when O(state=present)
  type: int
  sample: 6144
"""

import contextlib
import hashlib

with contextlib.suppress(ImportError):  # AnsibleAWSModule refuses to start without it
    import botocore.exceptions

from ansible_collections.amazon.aws.plugins.module_utils.modules import AnsibleAWSModule
from ansible_collections.stackyard.aws.plugins.module_utils.aws import Api, error_code, found_or_none, run
from ansible_collections.stackyard.aws.plugins.module_utils.backup_jobs import (
    UNFINISHED,
    JobFailed,
    await_job,
    utc,
)
from ansible_collections.stackyard.aws.plugins.module_utils.plan import Plan, wait_until
from ansible_collections.stackyard.aws.plugins.module_utils.recovery_points import (
    MISSING,
    MISSING_OR_DENIED,
    NAME_TAG,
    WHOLE,
    recovery_points,
)

KIND = "recovery point"

ARGUMENT_SPEC = {
    "name": {"required": True},
    "state": {"choices": ["present", "absent"], "default": "present"},
    "vault": {"required": True},
    "resource_arn": {},
    "iam_role_arn": {},
    "delete_after_days": {"type": "int"},
    "tags": {"type": "dict", "default": {}},
    "wait_timeout": {"type": "int", "default": 3600},
}


class RecoveryPoint:
    """One recovery point."""

    def __init__(self, module):
        self.module = module
        self.params = module.params
        self.vault = module.params["vault"]
        self.name = f"{self.vault}/{module.params['name']}"
        self.plan = Plan(module.check_mode)
        self.backup = Api(module, "backup")

    def work(self):
        """Look the recovery point up and bring it to the state asked for."""
        return self.present() if self.params["state"] == "present" else self.absent()

    def _found(self):
        """The recovery points of this name, of the resource where that is given."""
        # Making a recovery point fails anyhow with a vault that does not exist; deleting one must not take a vault that
        # may not be looked at for "there is none".
        missing = MISSING_OR_DENIED if self.params["state"] == "present" else MISSING
        for point, tags in recovery_points(self.backup, self.vault, self.params["resource_arn"], missing):
            if tags.get(NAME_TAG) == self.params["name"]:
                yield point

    def present(self):
        """Find the recovery point, or make it."""
        found = list(self._found())
        point = next((point for point in found if point["Status"] in WHOLE), None)
        if point is None and self.plan.create(KIND, self.name, {"ResourceArn": self.params["resource_arn"]}):
            point = self._make()
        return {
            **self.plan.result(),
            "arn": point["RecoveryPointArn"] if point else "",
            "created_at": utc(point["CreationDate"]) if point else "",
            "size_bytes": (point or {}).get("BackupSizeInBytes") or 0,
        }

    def _make(self):
        """Start the job, or take it up, and wait for it."""
        days = self.params["delete_after_days"]
        job = self.backup.start_backup_job(
            BackupVaultName=self.vault,
            ResourceArn=self.params["resource_arn"],
            IamRoleArn=self.params["iam_role_arn"],
            IdempotencyToken=self._token(),
            RecoveryPointTags={**self.params["tags"], NAME_TAG: self.params["name"]},
            **({"Lifecycle": {"DeleteAfterDays": days}} if days else {}),
        )
        return await_job(
            lambda: self.backup.describe_backup_job(BackupJobId=job["BackupJobId"]),
            "State",
            f"The backup {self.name}",
            self.params["wait_timeout"],
        )

    def _token(self):
        """A token that is the same until a job of this resource and vault has ended, and then another.

        A run that comes after one that was cut off so gets the job that runs; one that comes after a failure, or after
        the recovery point was deleted, starts a new one. Nothing else ties a running job to its name.
        """
        jobs = self.backup.pages(
            "list_backup_jobs",
            "BackupJobs",
            ByResourceArn=self.params["resource_arn"],
            ByBackupVaultName=self.vault,
        )
        ended = sorted((job["CreationDate"], job["BackupJobId"]) for job in jobs if job["State"] not in UNFINISHED)
        parts = [self.vault, self.params["resource_arn"], self.params["name"], ended[-1][1] if ended else ""]
        return hashlib.sha256("\n".join(parts).encode()).hexdigest()

    def absent(self):
        """Delete what has the name."""
        for point in list(self._found()):
            if point["Status"] == "DELETING":
                continue
            if self.plan.delete(KIND, self.name, point["RecoveryPointArn"]):
                self._delete(point["RecoveryPointArn"])
        return self.plan.result()

    def _delete(self, arn):
        arguments = {"BackupVaultName": self.vault, "RecoveryPointArn": arn}

        def probe():
            try:
                found_or_none(self.backup.delete_recovery_point, MISSING, **arguments)
            except botocore.exceptions.ClientError as error:
                if error_code(error) != "InvalidResourceStateException":
                    raise
                return False, "a job is busy with it"
            # In the background, and slowly for a large one: what is being deleted counts as gone.
            answer = found_or_none(self.backup.describe_recovery_point, MISSING, **arguments)
            return answer is None or answer["Status"] == "DELETING", (answer or {}).get("Status", "")

        wait_until(probe, f"Deletion of recovery point {self.name}", self.params["wait_timeout"])


def main():
    module = AnsibleAWSModule(
        argument_spec=ARGUMENT_SPEC,
        required_if=[("state", "present", ["resource_arn", "iam_role_arn"])],
        supports_check_mode=True,
    )
    try:
        run(module, RecoveryPoint(module).work)
    except JobFailed as error:
        module.fail_json(msg=str(error))


if __name__ == "__main__":
    main()
