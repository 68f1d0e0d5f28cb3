#!/usr/bin/python
# Copyright: stackyard contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
---
module: recovery_point_info
version_added: 0.1.0
short_description: List the recovery points of a vault
description:
  - Lists the complete recovery points in a vault of AWS Backup with their tags, the newest first. amazon.aws has no
    module for it.
  - A vault that does not exist holds none.
author:
  - stackyard contributors (@stackyard)
options:
  vault:
    description: Name of the vault.
    type: str
    required: true
  resource_arn:
    description: ARN of what was backed up. Of everything when not given.
    type: str
  tags:
    description: Tags that a recovery point must bear, with these values. One without a value is enough to bear.
    type: dict
    default: {}
extends_documentation_fragment:
  - amazon.aws.common.modules
  - amazon.aws.region.modules
  - amazon.aws.boto3
"""

EXAMPLES = r"""
- name: List what was made before changes of the image
  stackyard.aws.recovery_point_info:
    vault: demo-jenkins
    tags:
      stackyard:image:
"""

RETURN = r"""
recovery_points:
  description: The recovery points, the newest first.
  returned: success
  type: list
  elements: dict
  contains:
    arn:
      description: Its ARN.
      type: str
      sample: arn:aws:backup:eu-central-1:123456789012:recovery-point:1EB3B5E7-9EB0-435A-A80B-108B488B0D45
    name:
      description: Its tag C(stackyard:name), empty where it has none.
      type: str
      sample: before-2.555.3
    created_at:
      description: When it was begun, in UTC.
      type: str
      sample: "2026-01-01T05:00:00Z"
    resource_arn:
      description: What was backed up.
      type: str
      sample: arn:aws:elasticfilesystem:eu-central-1:123456789012:file-system/fs-0123456789abcdef0
    tags:
      description: All its tags.
      type: dict
"""

from ansible_collections.amazon.aws.plugins.module_utils.modules import AnsibleAWSModule
from ansible_collections.stackyard.aws.plugins.module_utils.aws import Api, run
from ansible_collections.stackyard.aws.plugins.module_utils.backup_jobs import utc
from ansible_collections.stackyard.aws.plugins.module_utils.recovery_points import NAME_TAG, WHOLE, recovery_points

ARGUMENT_SPEC = {
    "vault": {"required": True},
    "resource_arn": {},
    "tags": {"type": "dict", "default": {}},
}


def recovery_point_info(module):
    """Return what the module returns."""
    wanted = module.params["tags"]
    found = [
        {
            "arn": point["RecoveryPointArn"],
            "name": tags.get(NAME_TAG, ""),
            "created_at": utc(point["CreationDate"]),
            "resource_arn": point["ResourceArn"],
            "tags": tags,
        }
        for point, tags in recovery_points(Api(module, "backup"), module.params["vault"], module.params["resource_arn"])
        if point["Status"] in WHOLE and all(key in tags and value in (None, tags[key]) for key, value in wanted.items())
    ]
    return {"changed": False, "recovery_points": sorted(found, key=lambda point: point["created_at"], reverse=True)}


def main():
    module = AnsibleAWSModule(argument_spec=ARGUMENT_SPEC, supports_check_mode=True)
    run(module, lambda: recovery_point_info(module))


if __name__ == "__main__":
    main()
