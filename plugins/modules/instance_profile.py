#!/usr/bin/python
# Copyright: stackyard contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
---
module: instance_profile
version_added: 0.1.0
short_description: Manage an instance profile with its role and what that may do
description:
  - Creates, alters and deletes an instance profile and the role in it, both under one name, with one inline policy and
    managed policies.
  - M(amazon.aws.iam_policy) fails in check mode when the role does not exist yet.
author:
  - stackyard contributors (@stackyard)
options:
  name:
    description: Name of the profile and of the role.
    type: str
    required: true
  state:
    description: Whether they exist.
    type: str
    choices: [present, absent]
    default: present
  policy:
    description: The inline policy's document. Required when O(state=present).
    type: dict
  policy_name:
    description: Name of the inline policy. Inline policies of other names are deleted.
    type: str
    default: machine
  managed_policies:
    description: ARNs of the attached policies. Others are detached.
    type: list
    elements: str
    default: []
  permissions_boundary:
    description: ARN of a policy that bounds what the role may be allowed. Removed when not given.
    type: str
  tags:
    description: Tags of role and profile.
    type: dict
    aliases: [resource_tags]
  purge_tags:
    description: Whether tags that are not in O(tags) are removed.
    type: bool
    default: true
extends_documentation_fragment:
  - stackyard.aws.stack
  - amazon.aws.common.modules
  - amazon.aws.region.modules
  - amazon.aws.boto3
"""

EXAMPLES = r"""
- name: Let machines read one bucket, and be reached by Session Manager
  stackyard.aws.instance_profile:
    name: demo-wordpress
    managed_policies: [arn:aws:iam::aws:policy/AmazonSSMManagedInstanceCore]
    policy:
      Version: "2012-10-17"
      Statement:
        - Effect: Allow
          Action: s3:GetObject
          Resource: arn:aws:s3:::example/*
"""

RETURN = r"""
changes:
  description: What was changed, or would be in check mode.
  returned: success
  type: list
  elements: dict
  sample: [{action: create, type: role, name: demo-wordpress}]
"""

from ansible_collections.amazon.aws.plugins.module_utils.modules import AnsibleAWSModule
from ansible_collections.amazon.aws.plugins.module_utils.tagging import ansible_dict_to_boto3_tag_list
from ansible_collections.stackyard.aws.plugins.module_utils.aws import found_or_none, run
from ansible_collections.stackyard.aws.plugins.module_utils.iam_role import MISSING, ServiceRole
from ansible_collections.stackyard.aws.plugins.module_utils.plan import Plan

PROFILE = "instance profile"

ARGUMENT_SPEC = {
    "name": {"required": True},
    "state": {"choices": ["present", "absent"], "default": "present"},
    "policy": {"type": "dict"},
    "policy_name": {"default": "machine"},
    "managed_policies": {"type": "list", "elements": "str", "default": []},
    "permissions_boundary": {},
    "tags": {"type": "dict", "aliases": ["resource_tags"]},
    "purge_tags": {"type": "bool", "default": True},
}


class InstanceProfile:
    """One profile with the one role in it."""

    def __init__(self, module):
        self.params = module.params
        self.name = module.params["name"]
        self.plan = Plan(module.check_mode)
        self.role = ServiceRole(module, self.plan, "ec2.amazonaws.com", f"Machines of {self.name}")
        self.iam, self.settling = self.role.iam, self.role.settling
        profile = found_or_none(self.iam.get_instance_profile, MISSING, InstanceProfileName=self.name)
        self.profile = profile["InstanceProfile"] if profile else None

    def work(self):
        """Bring both to the state asked for."""
        return self.present() if self.params["state"] == "present" else self.absent()

    def present(self):
        """Make role, rights and profile as asked for."""
        self.role.present()
        self._profile()
        return self.plan.result()

    def absent(self):
        """Delete profile and role."""
        if self.profile and self.plan.delete(PROFILE, self.name, self.name):
            for role in self.profile["Roles"]:
                found_or_none(
                    self.iam.remove_role_from_instance_profile,
                    MISSING,
                    InstanceProfileName=self.name,
                    RoleName=role["RoleName"],
                )
            found_or_none(self.iam.delete_instance_profile, MISSING, InstanceProfileName=self.name)
        self.role.absent()
        return self.plan.result()

    def _profile(self):
        roles = [role["RoleName"] for role in self.profile["Roles"]] if self.profile else []
        if self.profile is None:
            if self.plan.create(PROFILE, self.name, {"roles": [self.name]}):
                self.iam.create_instance_profile(
                    InstanceProfileName=self.name, Tags=ansible_dict_to_boto3_tag_list(self.role.wanted_tags())
                )
                self.settling.add_role_to_instance_profile(InstanceProfileName=self.name, RoleName=self.name)
            return
        # A profile takes one role, and a run that was cut off may have left it empty.
        if roles != [self.name] and self.plan.update(f"role of {PROFILE}", self.name, roles, [self.name]):
            for role in roles:
                self.iam.remove_role_from_instance_profile(InstanceProfileName=self.name, RoleName=role)
            self.iam.add_role_to_instance_profile(InstanceProfileName=self.name, RoleName=self.name)
        to_set, to_remove = self.role.tags(PROFILE, self.profile)
        if to_set:
            self.iam.tag_instance_profile(InstanceProfileName=self.name, Tags=ansible_dict_to_boto3_tag_list(to_set))
        if to_remove:
            self.iam.untag_instance_profile(InstanceProfileName=self.name, TagKeys=to_remove)


def main():
    module = AnsibleAWSModule(
        argument_spec=ARGUMENT_SPEC,
        required_if=[("state", "present", ["policy"])],
        supports_check_mode=True,
    )
    run(module, lambda: InstanceProfile(module).work())


if __name__ == "__main__":
    main()
