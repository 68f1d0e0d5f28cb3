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

import json

from ansible_collections.amazon.aws.plugins.module_utils.modules import AnsibleAWSModule
from ansible_collections.amazon.aws.plugins.module_utils.policy import compare_policies
from ansible_collections.amazon.aws.plugins.module_utils.tagging import (
    ansible_dict_to_boto3_tag_list,
    boto3_tag_list_to_ansible_dict,
)
from ansible_collections.stackyard.aws.plugins.module_utils.aws import Api, found_or_none, run, tag_changes
from ansible_collections.stackyard.aws.plugins.module_utils.plan import Plan

ROLE = "role"
PROFILE = "instance profile"
MISSING = ["NoSuchEntity"]

TRUST = {
    "Version": "2012-10-17",
    "Statement": [
        {"Effect": "Allow", "Principal": {"Service": "ec2.amazonaws.com"}, "Action": "sts:AssumeRole"},
    ],
}

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
        # For what is done to a role or profile made a moment ago, which may not be known everywhere yet.
        self.settling = Api(module, "iam", retry_codes=["NoSuchEntity", "ConcurrentModification"])
        self.iam = Api(module, "iam", retry_codes=["ConcurrentModification", "ConcurrentModificationException"])
        self.role = None
        self.profile = None

    def work(self):
        """Look both up and bring them to the state asked for."""
        role = found_or_none(self.iam.get_role, MISSING, RoleName=self.name)
        profile = found_or_none(self.iam.get_instance_profile, MISSING, InstanceProfileName=self.name)
        self.role = role["Role"] if role else None
        self.profile = profile["InstanceProfile"] if profile else None
        return self.present() if self.params["state"] == "present" else self.absent()

    def present(self):
        """Make role, rights and profile as asked for."""
        self._role()
        self._inline()
        self._managed()
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
        if self.role and self.plan.delete(ROLE, self.name, self.name):
            for policy in self.iam.list_role_policies(RoleName=self.name)["PolicyNames"]:
                found_or_none(self.iam.delete_role_policy, MISSING, RoleName=self.name, PolicyName=policy)
            for arn in self._attached():
                found_or_none(self.iam.detach_role_policy, MISSING, RoleName=self.name, PolicyArn=arn)
            found_or_none(self.iam.delete_role, MISSING, RoleName=self.name)
        return self.plan.result()

    def _wanted_tags(self):
        return {"Name": self.name, **(self.params["tags"] or {})}

    def _role(self):
        boundary = self.params["permissions_boundary"]
        if self.role is None:
            if self.plan.create(ROLE, self.name, {"trust": TRUST, "boundary": boundary}):
                bounded = {"PermissionsBoundary": boundary} if boundary else {}
                self.iam.create_role(
                    RoleName=self.name,
                    Description=f"Machines of {self.name}",
                    AssumeRolePolicyDocument=json.dumps(TRUST),
                    Tags=ansible_dict_to_boto3_tag_list(self._wanted_tags()),
                    **bounded,
                )
            return
        trust = self.role["AssumeRolePolicyDocument"]
        if compare_policies(trust, TRUST) and self.plan.update(f"trust of {ROLE}", self.name, trust, TRUST):
            self.iam.update_assume_role_policy(RoleName=self.name, PolicyDocument=json.dumps(TRUST))
        found = self.role.get("PermissionsBoundary", {}).get("PermissionsBoundaryArn")
        if found != boundary and self.plan.update(f"boundary of {ROLE}", self.name, found, boundary):
            if boundary:
                self.iam.put_role_permissions_boundary(RoleName=self.name, PermissionsBoundary=boundary)
            else:
                self.iam.delete_role_permissions_boundary(RoleName=self.name)
        to_set, to_remove = self._tags(ROLE, self.role)
        if to_set:
            self.iam.tag_role(RoleName=self.name, Tags=ansible_dict_to_boto3_tag_list(to_set))
        if to_remove:
            self.iam.untag_role(RoleName=self.name, TagKeys=to_remove)

    def _tags(self, kind, found):
        return tag_changes(
            self.plan,
            kind,
            self.name,
            current=boto3_tag_list_to_ansible_dict(found.get("Tags", [])),
            wanted=None if self.params["tags"] is None else self._wanted_tags(),
            purge=self.params["purge_tags"],
        )

    def _inline(self):
        name, wanted = self.params["policy_name"], self.params["policy"]
        names = self.iam.list_role_policies(RoleName=self.name)["PolicyNames"] if self.role else []
        found = None
        if name in names:
            found = self.iam.get_role_policy(RoleName=self.name, PolicyName=name)["PolicyDocument"]
        differs = found is None or compare_policies(found, wanted)
        if differs and self.plan.update(f"policy of {ROLE}", f"{self.name}/{name}", found, wanted):
            self.settling.put_role_policy(RoleName=self.name, PolicyName=name, PolicyDocument=json.dumps(wanted))
        for other in names:
            if other != name and self.plan.delete(f"policy of {ROLE}", f"{self.name}/{other}", other):
                self.iam.delete_role_policy(RoleName=self.name, PolicyName=other)

    def _attached(self):
        if self.role is None:
            return []
        listed = self.iam.list_attached_role_policies(RoleName=self.name)["AttachedPolicies"]
        return [policy["PolicyArn"] for policy in listed]

    def _managed(self):
        found, wanted = sorted(self._attached()), sorted(self.params["managed_policies"])
        if found == wanted:
            return
        if self.plan.update(f"managed policies of {ROLE}", self.name, found, wanted):
            for arn in wanted:
                if arn not in found:
                    self.iam.attach_role_policy(RoleName=self.name, PolicyArn=arn)
            for arn in found:
                if arn not in wanted:
                    self.iam.detach_role_policy(RoleName=self.name, PolicyArn=arn)

    def _profile(self):
        roles = [role["RoleName"] for role in self.profile["Roles"]] if self.profile else []
        if self.profile is None:
            if self.plan.create(PROFILE, self.name, {"roles": [self.name]}):
                self.iam.create_instance_profile(
                    InstanceProfileName=self.name, Tags=ansible_dict_to_boto3_tag_list(self._wanted_tags())
                )
                self.settling.add_role_to_instance_profile(InstanceProfileName=self.name, RoleName=self.name)
            return
        # A profile takes one role, and a run that was cut off may have left it empty.
        if roles != [self.name] and self.plan.update(f"role of {PROFILE}", self.name, roles, [self.name]):
            for role in roles:
                self.iam.remove_role_from_instance_profile(InstanceProfileName=self.name, RoleName=role)
            self.iam.add_role_to_instance_profile(InstanceProfileName=self.name, RoleName=self.name)
        to_set, to_remove = self._tags(PROFILE, self.profile)
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
    run(module, InstanceProfile(module).work)


if __name__ == "__main__":
    main()
