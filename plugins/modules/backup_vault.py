#!/usr/bin/python
# Copyright: stackyard contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
---
module: backup_vault
version_added: 0.1.0
short_description: Manage a vault of AWS Backup
description:
  - Creates and deletes a vault of AWS Backup, and keeps its tags.
  - A vault that still holds recovery points stays when O(state=absent), and is told, unless O(purge) deletes them.
  - M(amazon.aws.backup_vault) takes another key for the same, takes a vault that it may not look at for one that does
    not exist, and fails to delete one that holds recovery points.
author:
  - stackyard contributors (@stackyard)
options:
  name:
    description: The vault's name.
    type: str
    required: true
  state:
    description: Whether the vault exists.
    type: str
    choices: [present, absent]
    default: present
  kms_key_arn:
    description:
      - The key that recovery points are encrypted with. AWS's own key for AWS Backup when not given.
      - Cannot be altered afterwards.
    type: str
  purge:
    description: Whether O(state=absent) deletes what the vault holds, and then the vault. There is no way back.
    type: bool
    default: false
extends_documentation_fragment:
  - stackyard.aws.stack
  - stackyard.aws.stack.wait
  - amazon.aws.common.modules
  - amazon.aws.region.modules
  - amazon.aws.tags
  - amazon.aws.boto3
"""

EXAMPLES = r"""
- name: Keep a vault
  stackyard.aws.backup_vault:
    name: demo-jenkins
    tags:
      stackyard:environment: demo

- name: Delete it with all that it holds
  stackyard.aws.backup_vault:
    name: demo-jenkins
    state: absent
    purge: true
"""

RETURN = r"""
changes:
  description: What was changed, or would be in check mode.
  returned: success
  type: list
  elements: dict
  sample: [{action: create, type: backup vault, name: demo-jenkins}]
arn:
  description: ARN of the vault, empty when it is not known yet.
  returned: when O(state=present)
  type: str
  sample: arn:aws:backup:eu-central-1:123456789012:backup-vault:demo-jenkins
kept:
  description: ARNs of the recovery points for whose sake the vault stays.
  returned: when O(state=absent)
  type: list
  elements: str
"""

import contextlib

with contextlib.suppress(ImportError):  # AnsibleAWSModule refuses to start without it
    import botocore.exceptions

from ansible_collections.amazon.aws.plugins.module_utils.modules import AnsibleAWSModule
from ansible_collections.stackyard.aws.plugins.module_utils.aws import (
    Api,
    error_code,
    found_or_none,
    run,
    without_none,
)
from ansible_collections.stackyard.aws.plugins.module_utils.backup_tags import keep_tags
from ansible_collections.stackyard.aws.plugins.module_utils.plan import Plan, wait_until

KIND = "backup vault"
POINT = "recovery point"

ARGUMENT_SPEC = {
    "name": {"required": True},
    "state": {"choices": ["present", "absent"], "default": "present"},
    "kms_key_arn": {"no_log": False},
    "purge": {"type": "bool", "default": False},
    "tags": {"type": "dict", "aliases": ["resource_tags"]},
    "purge_tags": {"type": "bool", "default": True},
    "wait_timeout": {"type": "int", "default": 600},
}


class BackupVault:
    """One vault."""

    def __init__(self, module):
        self.module = module
        self.params = module.params
        self.name = module.params["name"]
        self.plan = Plan(module.check_mode)
        self.backup = Api(module, "backup")

    def work(self):
        """Look the vault up and bring it to the state asked for."""
        # DescribeBackupVault answers "access denied" of one that does not exist, which cannot be told from a lack of
        # rights; a list is exact.
        vaults = self.backup.pages("list_backup_vaults", "BackupVaultList")
        found = next((vault for vault in vaults if vault["BackupVaultName"] == self.name), None)
        return self.present(found) if self.params["state"] == "present" else self.absent(found)

    def present(self, found):
        """Make the vault as asked for."""
        key = self.params["kms_key_arn"]
        if found is None:
            tags = self.params["tags"] or {}
            if self.plan.create(KIND, self.name, without_none({"EncryptionKeyArn": key, "Tags": tags})):
                found = self.backup.create_backup_vault(
                    BackupVaultName=self.name,
                    BackupVaultTags=tags,
                    **without_none({"EncryptionKeyArn": key}),
                )
        else:
            if key and found.get("EncryptionKeyArn") != key:
                self.module.fail_json(
                    msg=f"kms_key_arn of backup vault {self.name} is {found.get('EncryptionKeyArn')} and AWS cannot "
                    "alter it: keep that, or use a vault of another name."
                )
            keep_tags(self.backup, self.plan, (KIND, self.name), found["BackupVaultArn"], self.params)
        return {**self.plan.result(), "arn": (found or {}).get("BackupVaultArn", "")}

    def absent(self, found):
        """Delete the vault, unless it holds something that is to be kept."""
        if found is None:
            return {**self.plan.result(), "kept": []}
        points = sorted(self._points())
        if points and not self.params["purge"]:
            return {**self.plan.result(), "kept": points}
        for arn in points:
            if self.plan.delete(POINT, arn, {"BackupVaultName": self.name}):
                self._delete_point(arn)
        if self.plan.delete(KIND, self.name, found["BackupVaultArn"]):
            # AWS deletes recovery points in the background, and refuses to delete a vault that holds one.
            wait_until(self._is_empty, f"An empty backup vault {self.name}", self.params["wait_timeout"])
            found_or_none(self.backup.delete_backup_vault, ["ResourceNotFoundException"], BackupVaultName=self.name)
        return {**self.plan.result(), "kept": []}

    def _points(self):
        listed = self.backup.pages("list_recovery_points_by_backup_vault", "RecoveryPoints", BackupVaultName=self.name)
        return [point["RecoveryPointArn"] for point in listed]

    def _is_empty(self):
        held = self._points()
        return not held, f"{len(held)} recovery points"

    def _delete_point(self, arn):
        """Delete a recovery point, after the job that makes it or restores from it."""

        arguments = {"BackupVaultName": self.name, "RecoveryPointArn": arn}

        def probe():
            try:
                found_or_none(self.backup.delete_recovery_point, ["ResourceNotFoundException"], **arguments)
            except botocore.exceptions.ClientError as error:
                if error_code(error) != "InvalidResourceStateException":
                    raise
                return False, "a job is busy with it"
            return True, ""

        wait_until(probe, f"Deletion of recovery point {arn}", self.params["wait_timeout"])


def main():
    module = AnsibleAWSModule(argument_spec=ARGUMENT_SPEC, supports_check_mode=True)
    run(module, BackupVault(module).work)


if __name__ == "__main__":
    main()
