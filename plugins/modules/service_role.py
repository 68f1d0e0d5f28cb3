#!/usr/bin/python
# Copyright: stackyard contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
---
module: service_role
version_added: 0.1.0
short_description: Manage a role that a service of AWS acts in, with what it may do
description:
  - Creates, alters and deletes an IAM role that one service of AWS may act in, with one inline policy and managed
    policies.
  - M(amazon.aws.iam_role) knows no inline policy, and M(amazon.aws.iam_policy) fails in check mode when the role does
    not exist yet. For machines there is M(stackyard.aws.instance_profile).
author:
  - stackyard contributors (@stackyard)
options:
  name:
    description: Name of the role.
    type: str
    required: true
  state:
    description: Whether it exists.
    type: str
    choices: [present, absent]
    default: present
  service:
    description: The service, such as C(backup.amazonaws.com). Required when O(state=present).
    type: str
  policy:
    description: The inline policy's document. Required when O(state=present).
    type: dict
  policy_name:
    description: Name of the inline policy. Inline policies of other names are deleted.
    type: str
    default: service
  managed_policies:
    description: ARNs of the attached policies. Others are detached.
    type: list
    elements: str
    default: []
  permissions_boundary:
    description: ARN of a policy that bounds what the role may be allowed. Removed when not given.
    type: str
  tags:
    description: Tags of the role.
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
- name: Let AWS Backup back a file system up
  stackyard.aws.service_role:
    name: demo-jenkins-backup
    service: backup.amazonaws.com
    policy:
      Version: "2012-10-17"
      Statement:
        - Effect: Allow
          Action: [elasticfilesystem:Backup, elasticfilesystem:DescribeTags]
          Resource: arn:aws:elasticfilesystem:eu-central-1:123456789012:file-system/fs-0123456789abcdef0
"""

RETURN = r"""
changes:
  description: What was changed, or would be in check mode.
  returned: success
  type: list
  elements: dict
  sample: [{action: create, type: role, name: demo-jenkins-backup}]
arn:
  description: ARN of the role. In check mode when it would be created its account is zeros.
  returned: when O(state=present)
  type: str
  sample: arn:aws:iam::123456789012:role/demo-jenkins-backup
"""

from ansible_collections.amazon.aws.plugins.module_utils.modules import AnsibleAWSModule
from ansible_collections.stackyard.aws.plugins.module_utils.aws import run
from ansible_collections.stackyard.aws.plugins.module_utils.iam_role import ServiceRole
from ansible_collections.stackyard.aws.plugins.module_utils.plan import Plan

ARGUMENT_SPEC = {
    "name": {"required": True},
    "state": {"choices": ["present", "absent"], "default": "present"},
    "service": {},
    "policy": {"type": "dict"},
    "policy_name": {"default": "service"},
    "managed_policies": {"type": "list", "elements": "str", "default": []},
    "permissions_boundary": {},
    "tags": {"type": "dict", "aliases": ["resource_tags"]},
    "purge_tags": {"type": "bool", "default": True},
}


def work(module):
    """Bring the role to the state asked for."""
    plan = Plan(module.check_mode)
    role = ServiceRole(module, plan, module.params["service"] or "", f"{module.params['name']} of stackyard")
    if module.params["state"] == "absent":
        role.absent()
        return plan.result()
    role.present()
    return {**plan.result(), "arn": role.arn}


def main():
    module = AnsibleAWSModule(
        argument_spec=ARGUMENT_SPEC,
        required_if=[("state", "present", ["service", "policy"])],
        supports_check_mode=True,
    )
    run(module, lambda: work(module))


if __name__ == "__main__":
    main()
