#!/usr/bin/python
# Copyright: stackyard contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
---
module: backup_plan
version_added: 0.1.0
short_description: Manage a plan of AWS Backup with its selections
description:
  - Creates, alters and deletes a plan of AWS Backup together with its selections of resources.
  - The plan is found again by its name. A run that was cut off anywhere is completed by the next one.
  - M(amazon.aws.backup_plan) announces a change in check mode whenever there are tags, and writes the keys of a rule's
    tags with other capitals; M(amazon.aws.backup_selection) fails while there is no plan, as in check mode on an empty
    account and when all is deleted a second time.
author:
  - stackyard contributors (@stackyard)
options:
  name:
    description: The plan's name.
    type: str
    required: true
  state:
    description: Whether the plan exists. V(absent) deletes it with its selections; recovery points stay.
    type: str
    choices: [present, absent]
    default: present
  rules:
    description: When to back up, and how long to keep it. Required when O(state=present).
    type: list
    elements: dict
    suboptions:
      name:
        description: Name of the rule.
        type: str
        required: true
      vault:
        description: Name of the vault that recovery points go into.
        type: str
        required: true
      schedule:
        description: When, as C(cron) expression of AWS, in O(rules[].timezone).
        type: str
        default: cron(0 5 ? * * *)
      timezone:
        description: The schedule's time zone.
        type: str
        default: Etc/UTC
      start_window:
        description: Minutes within which the backup has to begin.
        type: int
        default: 480
      completion_window:
        description: Minutes within which the backup has to be complete.
        type: int
        default: 10080
      delete_after_days:
        description: Days after which AWS deletes a recovery point. It stays for ever when not given.
        type: int
      recovery_point_tags:
        description: Tags of the recovery points, beside those of the resource.
        type: dict
        default: {}
  selections:
    description:
      - What to back up. Selections that are not listed are deleted. Left alone when not given.
      - AWS cannot alter a selection, so one that differs is replaced and gets a new id.
    type: list
    elements: dict
    suboptions:
      name:
        description: Name of the selection, by which it is found again.
        type: str
        required: true
      iam_role_arn:
        description: The role that AWS Backup acts in.
        type: str
        required: true
      resources:
        description: ARNs of the resources.
        type: list
        elements: str
        required: true
extends_documentation_fragment:
  - stackyard.aws.stack
  - stackyard.aws.stack.wait
  - amazon.aws.common.modules
  - amazon.aws.region.modules
  - amazon.aws.tags
  - amazon.aws.boto3
"""

EXAMPLES = r"""
- name: Back a file system up each night, and keep it for thirty days
  stackyard.aws.backup_plan:
    name: demo-jenkins
    rules:
      - name: daily
        vault: demo-jenkins
        delete_after_days: 30
    selections:
      - name: home
        iam_role_arn: arn:aws:iam::123456789012:role/demo-jenkins-backup
        resources:
          - arn:aws:elasticfilesystem:eu-central-1:123456789012:file-system/fs-0123456789abcdef0
    tags:
      stackyard:environment: demo
"""

RETURN = r"""
changes:
  description: What was changed, or would be in check mode.
  returned: success
  type: list
  elements: dict
  sample: [{action: create, type: backup plan, name: demo-jenkins}]
plan_id:
  description: Id of the plan. Zeros in check mode when it would be created.
  returned: when O(state=present)
  type: str
  sample: 1111f877-1ecf-4d79-9718-a861cd09df3b
arn:
  description: ARN of the plan, empty when it is not known yet.
  returned: when O(state=present)
  type: str
  sample: arn:aws:backup:eu-central-1:123456789012:backup-plan:1111f877-1ecf-4d79-9718-a861cd09df3b
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

KIND = "backup plan"
SELECTION = "backup selection"
NOBODY = "00000000-0000-0000-0000-000000000000"

ARGUMENT_SPEC = {
    "name": {"required": True},
    "state": {"choices": ["present", "absent"], "default": "present"},
    "rules": {
        "type": "list",
        "elements": "dict",
        "options": {
            "name": {"required": True},
            "vault": {"required": True},
            "schedule": {"default": "cron(0 5 ? * * *)"},
            "timezone": {"default": "Etc/UTC"},
            "start_window": {"type": "int", "default": 480},
            "completion_window": {"type": "int", "default": 10080},
            "delete_after_days": {"type": "int"},
            "recovery_point_tags": {"type": "dict", "default": {}},
        },
    },
    "selections": {
        "type": "list",
        "elements": "dict",
        "options": {
            "name": {"required": True},
            "iam_role_arn": {"required": True},
            "resources": {"type": "list", "elements": "str", "required": True},
        },
    },
    "tags": {"type": "dict", "aliases": ["resource_tags"]},
    "purge_tags": {"type": "bool", "default": True},
    "wait_timeout": {"type": "int", "default": 600},
}


def wanted_rule(option):
    """Return a rule as CreateBackupPlan takes it."""
    rule = {
        "RuleName": option["name"],
        "TargetBackupVaultName": option["vault"],
        "ScheduleExpression": option["schedule"],
        "ScheduleExpressionTimezone": option["timezone"],
        "StartWindowMinutes": option["start_window"],
        "CompletionWindowMinutes": option["completion_window"],
    }
    if option["delete_after_days"]:
        rule["Lifecycle"] = {"DeleteAfterDays": option["delete_after_days"]}
    if option["recovery_point_tags"]:
        rule["RecoveryPointTags"] = option["recovery_point_tags"]
    return rule


def essence(rule):
    """Return what this module sets of a rule: the API adds what it fills in itself."""
    lifecycle = {key: value for key, value in rule.get("Lifecycle", {}).items() if key.endswith("AfterDays")}
    found = {key: value for key, value in rule.items() if value and key not in ("RuleId", "Lifecycle")}
    # Minus one is AWS's word for never.
    return found | {"Lifecycle": {key: days for key, days in lifecycle.items() if days != -1}}


class BackupPlan:
    """One plan with its selections."""

    def __init__(self, module):
        self.module = module
        self.params = module.params
        self.name = module.params["name"]
        self.plan = Plan(module.check_mode)
        self.backup = Api(module, "backup")
        self.plan_id = NOBODY

    def work(self):
        """Look the plan up and bring it to the state asked for."""
        listed = self.backup.pages("list_backup_plans", "BackupPlansList")
        found = [plan for plan in listed if plan["BackupPlanName"] == self.name]
        if len(found) > 1:
            ids = ", ".join(sorted(plan["BackupPlanId"] for plan in found))
            self.module.fail_json(msg=f"There are several backup plans {self.name} ({ids}): delete all but one.")
        if found:
            self.plan_id = found[0]["BackupPlanId"]
        return self.present(found) if self.params["state"] == "present" else self.absent(found)

    def present(self, found):
        """Make the plan as asked for."""
        wanted = {"BackupPlanName": self.name, "Rules": [wanted_rule(rule) for rule in self.params["rules"]]}
        arn = found[0]["BackupPlanArn"] if found else ""
        if not found:
            if self.plan.create(KIND, self.name, wanted):
                made = self.backup.create_backup_plan(BackupPlan=wanted, BackupPlanTags=self.params["tags"] or {})
                self.plan_id, arn = made["BackupPlanId"], made["BackupPlanArn"]
        else:
            self._rules(wanted)
            keep_tags(self.backup, self.plan, (KIND, self.name), arn, self.params)
        if self.params["selections"] is not None:
            self._select(self._selections() if found else {})
        return {**self.plan.result(), "plan_id": self.plan_id, "arn": arn}

    def absent(self, found):
        """Delete the plan, after its selections as AWS wants it."""
        if found:
            for name, selection in sorted(self._selections().items()):
                self._deselect(name, selection)
            if self.plan.delete(KIND, self.name, self.plan_id):
                missing = ["ResourceNotFoundException"]
                found_or_none(self.backup.delete_backup_plan, missing, BackupPlanId=self.plan_id)
        return self.plan.result()

    def _rules(self, wanted):
        rules = self.backup.get_backup_plan(BackupPlanId=self.plan_id)["BackupPlan"]["Rules"]
        before = [essence(rule) for rule in rules]
        after = [essence(rule) for rule in wanted["Rules"]]
        if before != after and self.plan.update(f"rules of {KIND}", self.name, before, after):
            self.backup.update_backup_plan(BackupPlanId=self.plan_id, BackupPlan=wanted)

    def _selections(self):
        """The selections that exist, by their names."""
        listed = self.backup.pages("list_backup_selections", "BackupSelectionsList", BackupPlanId=self.plan_id)
        return {
            entry["SelectionName"]: self.backup.get_backup_selection(
                BackupPlanId=self.plan_id, SelectionId=entry["SelectionId"]
            )
            for entry in listed
        }

    def _select(self, found):
        wanted = {
            option["name"]: {
                "SelectionName": option["name"],
                "IamRoleArn": option["iam_role_arn"],
                "Resources": sorted(option["resources"]),
            }
            for option in self.params["selections"]
        }
        for name, selection in sorted(found.items()):
            if name not in wanted:
                self._deselect(name, selection)
        for name, selection in sorted(wanted.items()):
            if name not in found:
                if self.plan.create(SELECTION, f"{self.name}/{name}", selection):
                    self._create_selection(selection)
                continue
            before = self._essence(found[name])
            if before != selection and self.plan.update(SELECTION, f"{self.name}/{name}", before, selection):
                self._delete_selection(found[name])
                self._create_selection(selection)

    @staticmethod
    def _essence(found):
        """What this module sets of a selection, and what somebody else has set beside it."""
        selection = {key: value for key, value in found["BackupSelection"].items() if value}
        selection["Resources"] = sorted(selection.get("Resources", []))
        conditions = without_none({key: value or None for key, value in selection.pop("Conditions", {}).items()})
        return selection | ({"Conditions": conditions} if conditions else {})

    def _deselect(self, name, selection):
        if self.plan.delete(SELECTION, f"{self.name}/{name}", self._essence(selection)):
            self._delete_selection(selection)

    def _delete_selection(self, selection):
        found_or_none(
            self.backup.delete_backup_selection,
            ["ResourceNotFoundException"],
            BackupPlanId=self.plan_id,
            SelectionId=selection["SelectionId"],
        )

    def _create_selection(self, selection):
        """Create a selection, once AWS Backup can assume its role: one that was made a moment ago takes seconds."""

        def probe():
            try:
                self.backup.create_backup_selection(BackupPlanId=self.plan_id, BackupSelection=selection)
            except botocore.exceptions.ClientError as error:
                message = error.response["Error"]["Message"]
                if error_code(error) != "InvalidParameterValueException" or "cannot be assumed" not in message:
                    raise
                return False, message
            return True, ""

        wait_until(
            probe,
            f"Backup selection {self.name}/{selection['SelectionName']}",
            self.params["wait_timeout"],
            hint="The role has to exist, and to trust backup.amazonaws.com.",
        )


def main():
    module = AnsibleAWSModule(
        argument_spec=ARGUMENT_SPEC, required_if=[("state", "present", ["rules"])], supports_check_mode=True
    )
    run(module, BackupPlan(module).work)


if __name__ == "__main__":
    main()
