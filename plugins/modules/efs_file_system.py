#!/usr/bin/python
# Copyright: stackyard contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
---
module: efs_file_system
version_added: 0.1.0
short_description: Manage an EFS file system with its mount targets, access points and policies
description:
  - Creates, alters and deletes an Amazon EFS file system together with what belongs to it alone, its mount targets,
    access points, lifecycle, backup policy and resource policy.
  - The file system is found again by its creation token, which is O(name). A run that was cut off anywhere is completed
    by the next one.
author:
  - stackyard contributors (@stackyard)
options:
  name:
    description: The creation token, and the C(Name) tag unless O(tags) holds another.
    type: str
    required: true
  state:
    description: Whether the file system exists. V(absent) deletes it with all that is stored on it.
    type: str
    choices: [present, absent]
    default: present
  encrypted:
    description: Whether data is encrypted at rest. Cannot be altered afterwards.
    type: bool
    default: true
  kms_key_id:
    description: The key to encrypt with, as id, ARN or alias. AWS's own key for EFS when not given.
    type: str
  performance_mode:
    description: The performance mode. Cannot be altered afterwards.
    type: str
    choices: [generalPurpose, maxIO]
    default: generalPurpose
  throughput_mode:
    description: How throughput is given and paid for.
    type: str
    choices: [elastic, bursting, provisioned]
    default: elastic
  provisioned_throughput:
    description: The throughput in MiB/s of a file system whose O(throughput_mode=provisioned).
    type: float
  transition_to_ia:
    description:
      - Age since the last access after which a file moves to Infrequent Access.
      - V(never) keeps all files in Standard.
    type: str
    choices:
      - never
      - AFTER_1_DAY
      - AFTER_7_DAYS
      - AFTER_14_DAYS
      - AFTER_30_DAYS
      - AFTER_60_DAYS
      - AFTER_90_DAYS
      - AFTER_180_DAYS
      - AFTER_270_DAYS
      - AFTER_365_DAYS
    default: never
  transition_to_archive:
    description: Age since the last access after which a file moves to Archive. V(never) keeps files out of it.
    type: str
    choices:
      - never
      - AFTER_1_DAY
      - AFTER_7_DAYS
      - AFTER_14_DAYS
      - AFTER_30_DAYS
      - AFTER_60_DAYS
      - AFTER_90_DAYS
      - AFTER_180_DAYS
      - AFTER_270_DAYS
      - AFTER_365_DAYS
    default: never
  transition_to_standard:
    description: When a file moves back to Standard.
    type: str
    choices: [never, AFTER_1_ACCESS]
    default: never
  backup:
    description: Whether AWS Backup's default plan for EFS takes daily backups.
    type: bool
    default: true
  require_tls:
    description: Whether the file system policy refuses clients without TLS.
    type: bool
    default: true
  require_iam:
    description:
      - Whether clients have to present an IAM identity that allows the mount.
      - When V(false), the policy lets everybody in who reaches a mount target; its security group decides who does.
    type: bool
    default: false
  mount_targets:
    description:
      - The mount targets, at most one for each availability zone.
      - Mount targets that are not listed are deleted. Left alone when not given.
    type: list
    elements: dict
    suboptions:
      subnet_id:
        description: The subnet.
        type: str
        required: true
      security_groups:
        description: Ids of the security groups.
        type: list
        elements: str
        required: true
  access_points:
    description:
      - The access points. Those that are not listed are deleted. Left alone when not given.
      - AWS cannot alter an access point, so one whose path or user differs is replaced and gets a new id.
    type: list
    elements: dict
    suboptions:
      name:
        description: The C(Name) tag, by which the access point is found again.
        type: str
        required: true
      path:
        description: The directory that a client sees as the root. Created when it is missing.
        type: str
        required: true
      uid:
        description: The user all access is made as, and the directory's owner.
        type: int
        required: true
      gid:
        description: The group all access is made as, and the directory's group.
        type: int
        required: true
      permissions:
        description: Mode of the directory when it is created, in octal digits.
        type: str
        default: "0750"
  wait:
    description: Whether to wait until the mount targets are available, or until all is deleted.
    type: bool
    default: true
extends_documentation_fragment:
  - stackyard.aws.stack
  - stackyard.aws.stack.wait
  - amazon.aws.common.modules
  - amazon.aws.region.modules
  - amazon.aws.tags
  - amazon.aws.boto3
"""

EXAMPLES = r"""
- name: Create a file system with one directory for uploads
  stackyard.aws.efs_file_system:
    name: demo-wordpress
    transition_to_ia: AFTER_30_DAYS
    mount_targets:
      - subnet_id: subnet-0123456789abcdef0
        security_groups: [sg-0123456789abcdef0]
    access_points:
      - name: uploads
        path: /uploads
        uid: 33
        gid: 33
    tags:
      stackyard:environment: demo

- name: Delete it and all that is stored on it
  stackyard.aws.efs_file_system:
    name: demo-wordpress
    state: absent
"""

RETURN = r"""
changes:
  description: What was changed, or would be in check mode.
  returned: success
  type: list
  elements: dict
  sample: [{action: create, type: efs file system, name: demo-wordpress}]
file_system_id:
  description: Id of the file system. C(fs-00000000000000000) in check mode when it would be created.
  returned: when O(state=present)
  type: str
  sample: fs-0123456789abcdef0
arn:
  description: ARN of the file system. In check mode when it would be created its account and id are zeros.
  returned: when O(state=present)
  type: str
  sample: arn:aws:elasticfilesystem:eu-central-1:123456789012:file-system/fs-0123456789abcdef0
dns_name:
  description: Name under which machines in the VPC reach the mount target of their zone.
  returned: when O(state=present)
  type: str
  sample: fs-0123456789abcdef0.efs.eu-central-1.amazonaws.com
size_bytes:
  description: Metered size of what is stored.
  returned: when O(state=present)
  type: int
  sample: 6144
mount_targets:
  description: The mount targets that exist.
  returned: when O(state=present)
  type: list
  elements: dict
  contains:
    id:
      description: Id of the mount target.
      type: str
      returned: always
    subnet_id:
      description: Its subnet.
      type: str
      returned: always
    availability_zone:
      description: Its zone.
      type: str
      returned: always
    ip_address:
      description: Its address.
      type: str
      returned: always
    state:
      description: Its state.
      type: str
      returned: always
access_point_ids:
  description:
    - The id of each access point under its name.
    - C(fsap-00000000000000000) in check mode for one that would be created.
  returned: when O(state=present)
  type: dict
  sample: {uploads: fsap-0123456789abcdef0}
"""

import json

from ansible_collections.amazon.aws.plugins.module_utils.modules import AnsibleAWSModule
from ansible_collections.amazon.aws.plugins.module_utils.policy import compare_policies
from ansible_collections.amazon.aws.plugins.module_utils.tagging import (
    ansible_dict_to_boto3_tag_list,
    boto3_tag_list_to_ansible_dict,
)
from ansible_collections.stackyard.aws.plugins.module_utils.aws import (
    Api,
    differences,
    found_or_none,
    run,
    tag_changes,
    without_none,
)
from ansible_collections.stackyard.aws.plugins.module_utils.efs_access_points import AccessPoints
from ansible_collections.stackyard.aws.plugins.module_utils.efs_mount_targets import MountTargets
from ansible_collections.stackyard.aws.plugins.module_utils.plan import Plan, placeholder, wait_until

KIND = "efs file system"

AGES = ["never"] + [f"AFTER_{days}_DAYS" for days in (7, 14, 30, 60, 90, 180, 270, 365)]
AGES.insert(1, "AFTER_1_DAY")

ARGUMENT_SPEC = {
    "name": {"required": True},
    "state": {"choices": ["present", "absent"], "default": "present"},
    "encrypted": {"type": "bool", "default": True},
    "kms_key_id": {"no_log": False},
    "performance_mode": {"choices": ["generalPurpose", "maxIO"], "default": "generalPurpose"},
    "throughput_mode": {"choices": ["elastic", "bursting", "provisioned"], "default": "elastic"},
    "provisioned_throughput": {"type": "float"},
    "transition_to_ia": {"choices": AGES, "default": "never"},
    "transition_to_archive": {"choices": AGES, "default": "never"},
    "transition_to_standard": {"choices": ["never", "AFTER_1_ACCESS"], "default": "never"},
    "backup": {"type": "bool", "default": True},
    "require_tls": {"type": "bool", "default": True},
    "require_iam": {"type": "bool", "default": False},
    "mount_targets": {
        "type": "list",
        "elements": "dict",
        "options": {
            "subnet_id": {"required": True},
            "security_groups": {"type": "list", "elements": "str", "required": True},
        },
    },
    "access_points": {
        "type": "list",
        "elements": "dict",
        "options": {
            "name": {"required": True},
            "path": {"required": True},
            "uid": {"type": "int", "required": True},
            "gid": {"type": "int", "required": True},
            "permissions": {"default": "0750"},
        },
    },
    "tags": {"type": "dict", "aliases": ["resource_tags"]},
    "purge_tags": {"type": "bool", "default": True},
    "wait": {"type": "bool", "default": True},
    "wait_timeout": {"type": "int", "default": 600},
}


class FileSystem:
    """One file system with its policies; mount targets and access points have classes of their own."""

    def __init__(self, module):
        self.module = module
        self.params = module.params
        self.name = module.params["name"]
        self.plan = Plan(module.check_mode)
        self.efs = Api(module, "efs")
        self.found = None
        self.file_system_id = placeholder("fs")

    def work(self):
        """Look the file system up and bring it to the state asked for."""
        self.found = self._describe()
        if self.found:
            self.file_system_id = self.found["FileSystemId"]
        return self.present() if self.params["state"] == "present" else self.absent()

    def _describe(self):
        systems = self.efs.pages("describe_file_systems", "FileSystems", CreationToken=self.name)
        return systems[0] if systems else None

    def present(self):
        """Make the file system as asked for."""
        if self.found and self.found["LifeCycleState"] in ("deleting", "deleted"):
            if not self.module.check_mode:
                self._wait_gone()
            self.found, self.file_system_id = None, placeholder("fs")
        if self.found:
            self._refuse_fixed()
            self._throughput()
            self._tags()
        else:
            self._create()
        self._lifecycle()
        self._backup()
        self._policy()
        mount_targets = self._of(MountTargets)
        mount_targets.present()
        points = self._of(AccessPoints).present()
        if self.params["wait"] and not self.module.check_mode:
            targets = mount_targets.await_available()
        else:
            targets = mount_targets.describe()
        return {
            **self.plan.result(),
            "file_system_id": self.file_system_id,
            "arn": (self.found or {}).get("FileSystemArn", self._announced_arn()),
            "dns_name": f"{self.file_system_id}.efs.{self.module.region}.{self._domain()}",
            "size_bytes": (self.found or {}).get("SizeInBytes", {}).get("Value", 0),
            "mount_targets": [
                {
                    "id": target["MountTargetId"],
                    "subnet_id": target["SubnetId"],
                    "availability_zone": target.get("AvailabilityZoneName", ""),
                    "ip_address": target.get("IpAddress", ""),
                    "state": target["LifeCycleState"],
                }
                for target in targets
            ],
            "access_point_ids": points,
        }

    def absent(self):
        """Delete the file system and all that hangs on it."""
        if not self.found:
            return self.plan.result()
        if self.found["LifeCycleState"] != "deleting":
            self._of(AccessPoints).absent()
            self._of(MountTargets).absent()
            if self.plan.delete(KIND, self.name, self.file_system_id):
                # AWS refuses to delete a file system that still has mount targets, and these take a minute to go.
                self._of(MountTargets).await_none()
                found_or_none(self.efs.delete_file_system, ["FileSystemNotFound"], FileSystemId=self.file_system_id)
        if self.params["wait"] and not self.module.check_mode:
            self._wait_gone()
        return self.plan.result()

    def _of(self, kind):
        """What belongs to this file system, of one kind."""
        return kind(self.module, self.efs, self.plan, self.file_system_id)

    def _domain(self):
        return "amazonaws.com.cn" if (self.module.region or "").startswith("cn-") else "amazonaws.com"

    def _announced_arn(self):
        """What a check hands on of a file system that it has only announced: nobody's."""
        partition = "aws-cn" if self._domain().endswith(".cn") else "aws"
        region = self.module.region
        return f"arn:{partition}:elasticfilesystem:{region}:000000000000:file-system/{self.file_system_id}"

    def _wanted_tags(self):
        return {"Name": self.name, **(self.params["tags"] or {})}

    def _refuse_fixed(self):
        for option, key in (("encrypted", "Encrypted"), ("performance_mode", "PerformanceMode")):
            if self.found[key] != self.params[option]:
                self.module.fail_json(
                    msg=f"{option} of file system {self.name} is {self.found[key]} and AWS cannot alter it: keep that, "
                    "or create a file system of another name and copy the data."
                )

    def _create(self):
        settings = without_none(
            {
                "PerformanceMode": self.params["performance_mode"],
                "Encrypted": self.params["encrypted"],
                "KmsKeyId": self.params["kms_key_id"],
                "ThroughputMode": self.params["throughput_mode"],
                "ProvisionedThroughputInMibps": self.params["provisioned_throughput"],
            }
        )
        if self.plan.create(KIND, self.name, settings):
            self.found = self.efs.create_file_system(
                CreationToken=self.name,
                Backup=self.params["backup"],
                Tags=ansible_dict_to_boto3_tag_list(self._wanted_tags()),
                **settings,
            )
            self.file_system_id = self.found["FileSystemId"]
            self._wait_available()

    def _throughput(self):
        if self.found["LifeCycleState"] != "available" and not self.module.check_mode:
            self._wait_available()
        wanted = {"ThroughputMode": self.params["throughput_mode"]}
        if self.params["throughput_mode"] == "provisioned":
            wanted["ProvisionedThroughputInMibps"] = self.params["provisioned_throughput"]
        if not differences(wanted, self.found):
            return
        before = {key: self.found.get(key) for key in wanted}
        if self.plan.update(f"throughput of {KIND}", self.name, before, wanted):
            self.efs.update_file_system(FileSystemId=self.file_system_id, **wanted)
            self._wait_available()

    def _tags(self):
        current = boto3_tag_list_to_ansible_dict(self.found.get("Tags", []))
        wanted = None if self.params["tags"] is None else self._wanted_tags()
        to_set, to_remove = tag_changes(
            self.plan, KIND, self.name, current=current, wanted=wanted, purge=self.params["purge_tags"]
        )
        if to_set:
            self.efs.tag_resource(ResourceId=self.file_system_id, Tags=ansible_dict_to_boto3_tag_list(to_set))
        if to_remove:
            self.efs.untag_resource(ResourceId=self.file_system_id, TagKeys=to_remove)

    def _lifecycle(self):
        names = {
            "TransitionToIA": self.params["transition_to_ia"],
            "TransitionToArchive": self.params["transition_to_archive"],
            "TransitionToPrimaryStorageClass": self.params["transition_to_standard"],
        }
        wanted = {key: value for key, value in names.items() if value != "never"}
        found = {}
        if self.found:
            answer = self.efs.describe_lifecycle_configuration(FileSystemId=self.file_system_id)
            for policy in answer["LifecyclePolicies"]:
                found.update(policy)
        if found == wanted:
            return
        if self.plan.update(f"lifecycle of {KIND}", self.name, found, wanted):
            # The API takes one rule per element.
            self.efs.put_lifecycle_configuration(
                FileSystemId=self.file_system_id,
                LifecyclePolicies=[{key: value} for key, value in wanted.items()],
            )

    def _backup(self):
        if not self.found:
            return  # CreateFileSystem sets it
        answer = found_or_none(self.efs.describe_backup_policy, ["PolicyNotFound"], FileSystemId=self.file_system_id)
        status = (answer or {}).get("BackupPolicy", {}).get("Status", "DISABLED")
        found = status in ("ENABLED", "ENABLING")
        if found == self.params["backup"]:
            return
        if self.plan.update(f"backup of {KIND}", self.name, found, self.params["backup"]):
            wanted = "ENABLED" if self.params["backup"] else "DISABLED"
            self.efs.put_backup_policy(FileSystemId=self.file_system_id, BackupPolicy={"Status": wanted})

    def _wanted_policy(self, arn):
        statements = []
        if not self.params["require_iam"]:
            statements.append(
                {
                    "Sid": "AllowThroughMountTargets",
                    "Effect": "Allow",
                    "Principal": {"AWS": "*"},
                    "Action": [
                        "elasticfilesystem:ClientMount",
                        "elasticfilesystem:ClientWrite",
                        "elasticfilesystem:ClientRootAccess",
                    ],
                    "Resource": arn,
                    "Condition": {"Bool": {"elasticfilesystem:AccessedViaMountTarget": "true"}},
                }
            )
        if self.params["require_tls"]:
            statements.append(
                {
                    "Sid": "DenyWithoutTls",
                    "Effect": "Deny",
                    "Principal": {"AWS": "*"},
                    "Action": "*",
                    "Resource": arn,
                    "Condition": {"Bool": {"aws:SecureTransport": "false"}},
                }
            )
        return {"Version": "2012-10-17", "Statement": statements}

    def _policy(self):
        arn = (self.found or {}).get("FileSystemArn", f"file-system/{self.file_system_id}")
        # Without a policy EFS lets everybody in who reaches a mount target, which is what neither requirement means.
        needed = self.params["require_tls"] or self.params["require_iam"]
        wanted = self._wanted_policy(arn) if needed else None
        found = None
        if self.found:
            answer = found_or_none(
                self.efs.describe_file_system_policy, ["PolicyNotFound"], FileSystemId=self.file_system_id
            )
            found = json.loads(answer["Policy"]) if answer else None
        if wanted is None:
            if found and self.plan.delete(f"policy of {KIND}", self.name, found):
                self.efs.delete_file_system_policy(FileSystemId=self.file_system_id)
            return
        if found and not compare_policies(found, wanted):
            return
        if self.plan.update(f"policy of {KIND}", self.name, found, wanted):
            self.efs.put_file_system_policy(FileSystemId=self.file_system_id, Policy=json.dumps(wanted))

    def _wait_available(self):
        def probe():
            self.found = self._describe() or self.found
            return self.found["LifeCycleState"] == "available", self.found["LifeCycleState"]

        wait_until(probe, f"State available of file system {self.name}", self.params["wait_timeout"])

    def _wait_gone(self):
        def probe():
            system = self._describe()
            return system is None or system["LifeCycleState"] == "deleted", (system or {}).get("LifeCycleState", "gone")

        wait_until(probe, f"Deletion of file system {self.name}", self.params["wait_timeout"])


def main():
    module = AnsibleAWSModule(
        argument_spec=ARGUMENT_SPEC,
        required_if=[("throughput_mode", "provisioned", ["provisioned_throughput"])],
        supports_check_mode=True,
    )
    if module.params["provisioned_throughput"] is not None and module.params["throughput_mode"] != "provisioned":
        module.fail_json(msg="provisioned_throughput goes with throughput_mode: provisioned only.")
    run(module, FileSystem(module).work)


if __name__ == "__main__":
    main()
