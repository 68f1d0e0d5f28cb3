#!/usr/bin/python
# Copyright: stackyard contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

DOCUMENTATION = r"""
module: security_groups
short_description: Keep the security groups of a stack as data
version_added: 0.1.0
description:
  - Makes, alters and removes the security groups of one stack in a VPC from one list, whose rules may refer to
    each other in any direction.
  - Groups are found by the name C(<name>-<group>). A group that carries all the O(tags) and is no longer listed is
    removed.
  - M(amazon.aws.ec2_security_group) handles one group a task, cannot make two groups that refer to each other, and
    needs the VPC to exist in check mode.
author: stackyard contributors
options:
  name:
    description: Name of the stack, put before every group's name.
    type: str
    required: true
  vpc_id:
    description: The VPC.
    type: str
    required: true
  groups:
    description: The groups.
    type: list
    elements: dict
    default: []
    suboptions:
      name:
        description: Short name, unique in the list.
        type: str
        required: true
      description:
        description: What the group is for. AWS cannot change it later.
        type: str
        required: true
      rules:
        description: What may come in.
        type: list
        elements: dict
        default: []
        suboptions: &rule
          port:
            description: Port, or first port of a range.
            type: int
          to_port:
            description: Last port of a range.
            type: int
          protocol:
            description: Protocol.
            type: str
            choices: [tcp, udp, icmp, all]
            default: tcp
          cidr:
            description: Addresses of the other side.
            type: str
          cidrs:
            description: Several of them.
            type: list
            elements: str
          source_group:
            description: Short name of a group of this list, or the id of any group.
            type: str
          description:
            description: Why the rule is there.
            type: str
            default: ""
      egress:
        description: What may go out; everything when left out.
        type: list
        elements: dict
        suboptions: *rule
  keep:
    description: Short names of further groups with these tags that are not to be removed.
    type: list
    elements: str
    default: []
  tags:
    description: Tags for every group.
    type: dict
    required: true
  state:
    description: With V(absent), every group that carries the tags and the name goes.
    type: str
    choices: [present, absent]
    default: present
extends_documentation_fragment:
  - amazon.aws.common.modules
  - amazon.aws.region.modules
  - amazon.aws.boto3
attributes:
  check_mode:
    description: Announces exactly what a run would change, also for a VPC that is only announced.
    support: full
  diff_mode:
    description: Shows groups and rules before and after.
    support: full
"""

EXAMPLES = r"""
- name: Let the balancer reach the machines, and the machines the database
  stackyard.aws.security_groups:
    name: demo-wordpress
    vpc_id: vpc-0123456789abcdef0
    groups:
      - name: load-balancer
        description: Entry from the internet
        rules:
          - {port: 443, cidr: 0.0.0.0/0}
      - name: machines
        description: The fleet
        rules:
          - {port: 80, source_group: load-balancer}
    tags:
      stackyard:environment: demo
      stackyard:application: wordpress
"""

RETURN = r"""
security_group_ids:
  description: Ids of the groups by short name.
  type: dict
  returned: when state is present
changes:
  description: What was changed, or would be.
  type: list
  elements: dict
  returned: always
"""

import contextlib

with contextlib.suppress(ImportError):  # AnsibleAWSModule says so in a sentence
    from botocore.exceptions import BotoCoreError, ClientError

from ansible_collections.amazon.aws.plugins.module_utils.modules import AnsibleAWSModule
from ansible_collections.stackyard.aws.plugins.module_utils.plan import Plan
from ansible_collections.stackyard.aws.plugins.module_utils.security_groups import GROUP_OPTIONS, SecurityGroups


def main():
    module = AnsibleAWSModule(
        argument_spec={
            "name": {"type": "str", "required": True},
            "vpc_id": {"type": "str", "required": True},
            "groups": {"type": "list", "elements": "dict", "default": [], "options": GROUP_OPTIONS},
            "keep": {"type": "list", "elements": "str", "default": []},
            "tags": {"type": "dict", "required": True},
            "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
        },
        supports_check_mode=True,
    )
    p = module.params
    plan = Plan(module.check_mode)
    groups = SecurityGroups(module.client("ec2"), plan, p["vpc_id"], p["name"], p["tags"])
    try:
        if p["state"] == "absent":
            groups.absent()
            module.exit_json(**plan.result())
        ids = groups.present(p["groups"], p["keep"])
    except (BotoCoreError, ClientError) as error:
        module.fail_json_aws(error, msg=f"The security groups of {p['name']} could not be brought in order")
    module.exit_json(security_group_ids=ids, **plan.result())


if __name__ == "__main__":
    main()
