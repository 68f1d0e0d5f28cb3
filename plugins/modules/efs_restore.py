#!/usr/bin/python
# Copyright: stackyard contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
---
module: efs_restore
version_added: 0.1.0
short_description: Restore a recovery point of EFS into its file system
description:
  - Restores a recovery point of AWS Backup, all of it or some files and directories, into the file system that it was
    made of, and waits until that is complete.
  - AWS Backup overwrites nothing. It makes a new directory C(aws-backup-restore_<time>) in the root of the file system
    and restores into that; what a failed restore leaves is in C(aws-backup-failed-restore_<time>). Both stay until
    somebody deletes them.
  - AWS does not tell the directory's name, neither in the job nor elsewhere; it is seen by looking into the root of the
    file system, on a machine that has mounted that, not an access point below it. Its time is that of the restore, in
    UTC, as in C(aws-backup-restore_2026-01-01T05-00-00-000Z). RV(directory_not_before) and RV(directory_not_after)
    bound it, and the filter P(stackyard.aws.restored_directory#filter) picks it from a listing. Two restores into one
    file system at the same time cannot be told apart.
  - The job is found again by a tag C(stackyard:restore:<token>) of the recovery point. A second run with the same token
    starts no other, and a run that was cut off is completed by the next one. A job that failed is started anew.
author:
  - stackyard contributors (@stackyard)
options:
  recovery_point_arn:
    description: ARN of the recovery point.
    type: str
    required: true
  vault:
    description: Name of the vault that holds it. The policy of the one of EFS's automatic backups lets nobody restore.
    type: str
    required: true
  iam_role_arn:
    description: The role that AWS Backup acts in.
    type: str
    required: true
  token:
    description: What tells this restore from another of the same recovery point, of letters, digits and C(._-).
    type: str
    required: true
  items:
    description:
      - Paths of files and directories, from the root of the file system and beginning with a slash. All is restored
        when empty.
      - The directories above them are restored along with them, inside the new directory.
    type: list
    elements: str
    default: []
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
- name: Restore the definitions of the jobs
  stackyard.aws.efs_restore:
    recovery_point_arn: arn:aws:backup:eu-central-1:123456789012:recovery-point:1EB3B5E7-9EB0-435A-A80B-108B488B0D45
    vault: demo-jenkins
    iam_role_arn: arn:aws:iam::123456789012:role/demo-jenkins-backup
    token: incident-17
    items: [/jobs]
  register: restore

- name: Look into the root of the file system
  ansible.builtin.find:
    paths: /mnt/home
    patterns: aws-backup-restore_*
    file_type: directory
  delegate_to: jenkins
  register: directories

- name: Tell the directory
  ansible.builtin.debug:
    msg: "{{ directories.files | map(attribute='path') | stackyard.aws.restored_directory(restore) }}"
"""

RETURN = r"""
changes:
  description: What was changed, or would be in check mode.
  returned: success
  type: list
  elements: dict
  sample: [{action: create, type: efs restore, name: incident-17}]
restore_job_id:
  description: Id of the job, empty in check mode when it would be started.
  returned: success
  type: str
  sample: 513A9E0B-1C4F-8B7F-6E0F-5B0F5C1D2E3F
file_system_id:
  description: The file system that was restored into.
  returned: success
  type: str
  sample: fs-0123456789abcdef0
directory_pattern:
  description: What the new directory's name is like, from the root of the file system.
  returned: success
  type: str
  sample: /aws-backup-restore_*
directory_not_before:
  description: The least name that the directory can have, in the order of characters. Empty in check mode.
  returned: success
  type: str
  sample: aws-backup-restore_2026-01-01T05-00-00
directory_not_after:
  description: The greatest name that it can have. Empty in check mode.
  returned: success
  type: str
  sample: aws-backup-restore_2026-01-01T05-07-31
"""

import datetime
import json
import posixpath
import re

from ansible_collections.amazon.aws.plugins.module_utils.modules import AnsibleAWSModule
from ansible_collections.stackyard.aws.plugins.module_utils.aws import Api, found_or_none, run
from ansible_collections.stackyard.aws.plugins.module_utils.backup_jobs import FAILED, JobFailed, await_job
from ansible_collections.stackyard.aws.plugins.module_utils.plan import Plan

KIND = "efs restore"
DIRECTORY, FAILED_DIRECTORY = "aws-backup-restore_", "aws-backup-failed-restore_"
MISSING = ["ResourceNotFoundException"]

ARGUMENT_SPEC = {
    "recovery_point_arn": {"required": True},
    "vault": {"required": True},
    "iam_role_arn": {"required": True},
    # Not a secret.
    "token": {"required": True, "no_log": False},
    "items": {"type": "list", "elements": "str", "default": []},
    "wait_timeout": {"type": "int", "default": 3600},
}


def directory_name(moment):
    """Return how a directory's name begins that was made in a second."""
    return f"{DIRECTORY}{moment.astimezone(datetime.UTC):%Y-%m-%dT%H-%M-%S}"


class EfsRestore:
    """One restore."""

    def __init__(self, module):
        self.module = module
        self.params = module.params
        self.token = module.params["token"]
        self.arn = module.params["recovery_point_arn"]
        self.tag = f"stackyard:restore:{self.token}"
        self.plan = Plan(module.check_mode)
        self.backup = Api(module, "backup")
        self.efs = Api(module, "efs")

    def work(self):
        """Find the job, or start it, and wait for it."""
        point = found_or_none(
            self.backup.describe_recovery_point,
            MISSING,
            BackupVaultName=self.params["vault"],
            RecoveryPointArn=self.arn,
        )
        if point is None or point["ResourceType"] != "EFS":
            what = "does not exist there" if point is None else f"is one of {point['ResourceType']}, not of EFS"
            self.module.fail_json(msg=f"recovery_point_arn is {self.arn} in vault {self.params['vault']}: that {what}.")
        file_system_id = point["ResourceArn"].rpartition("/")[2]
        job = self._known()
        if job is None or job["Status"] in FAILED:
            metadata = self._metadata(file_system_id)
            if self.plan.create(KIND, self.token, metadata):
                job = self._start(metadata, after=job)
        if job is not None and not self.module.check_mode:
            job = self._await(job["RestoreJobId"])
        return {**self.plan.result(), "file_system_id": file_system_id, **self._told(job)}

    def _told(self, job):
        whole = job is not None and job["Status"] == "COMPLETED"
        # The name's time has a fraction of a second.
        after = job["CompletionDate"] + datetime.timedelta(seconds=1) if whole else None
        return {
            "restore_job_id": job["RestoreJobId"] if job is not None else "",
            "directory_pattern": f"/{DIRECTORY}*",
            "directory_not_before": directory_name(job["CreationDate"]) if whole else "",
            "directory_not_after": directory_name(after) if whole else "",
        }

    def _known(self):
        """The job that was started with this token, as far as the recovery point's tags know."""
        job_id = self.backup.list_tags(ResourceArn=self.arn)["Tags"].get(self.tag)
        if job_id is None:
            return None
        job = found_or_none(self.backup.describe_restore_job, MISSING, RestoreJobId=job_id)
        if job is None:
            self.module.fail_json(
                msg=f"token is {self.token}: it was used for restore job {job_id}, which AWS Backup no longer knows "
                "(it keeps jobs for 30 days); use another token."
            )
        return job

    def _metadata(self, file_system_id):
        """What StartRestoreJob is told of a restore into a file system that exists."""
        systems = found_or_none(self.efs.describe_file_systems, ["FileSystemNotFound"], FileSystemId=file_system_id)
        if not systems or not systems["FileSystems"]:
            self.module.fail_json(
                msg=f"recovery_point_arn is {self.arn}: its file system {file_system_id} does not exist any more, and "
                "this module restores into the same file system only."
            )
        system = systems["FileSystems"][0]
        metadata = {
            "file-system-id": file_system_id,
            "newFileSystem": "false",
            # Asked for, though they mean something for a new file system only.
            "Encrypted": str(system["Encrypted"]).lower(),
            "PerformanceMode": system["PerformanceMode"],
            "CreationToken": self.token,
        }
        if self.params["items"]:
            metadata["ItemsToRestore"] = json.dumps(self.params["items"])
        return metadata

    def _start(self, metadata, after):
        """Start the job and note it; `after` is one of this token that failed.

        Cut off between the two, the next run starts it with the same token, for which AWS answers with the same job.
        """
        started = self.backup.start_restore_job(
            RecoveryPointArn=self.arn,
            Metadata=metadata,
            IamRoleArn=self.params["iam_role_arn"],
            IdempotencyToken=f"{self.token}-{after['RestoreJobId']}" if after else self.token,
            ResourceType="EFS",
        )
        self.backup.tag_resource(ResourceArn=self.arn, Tags={self.tag: started["RestoreJobId"]})
        return started

    def _await(self, job_id):
        return await_job(
            lambda: self.backup.describe_restore_job(RestoreJobId=job_id),
            "Status",
            f"The restore {self.token}",
            self.params["wait_timeout"],
        )


def main():
    module = AnsibleAWSModule(argument_spec=ARGUMENT_SPEC, supports_check_mode=True)
    if not re.fullmatch(r"[A-Za-z0-9._-]{1,64}", module.params["token"]):
        module.fail_json(msg="token: 1 to 64 letters, digits and characters of ._- are accepted.")
    for item in module.params["items"]:
        if not item.startswith("/") or posixpath.normpath(item) != item or item == "/":
            module.fail_json(
                msg=f"items has {item!r}: paths from the root of the file system such as /jobs are accepted, without a "
                "slash at the end; no items at all restores everything."
            )
    try:
        run(module, EfsRestore(module).work)
    except JobFailed as error:
        module.fail_json(msg=f"{error} What was restored until then is in /{FAILED_DIRECTORY}*, if there is any.")


if __name__ == "__main__":
    main()
