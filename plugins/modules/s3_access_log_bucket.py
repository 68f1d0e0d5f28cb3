#!/usr/bin/python
# Copyright: stackyard contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
---
module: s3_access_log_bucket
version_added: 0.1.0
short_description: Manage the bucket that load balancers write their access logs to
description:
  - Creates a private, encrypted bucket that Elastic Load Balancing may write to, with an age at which logs expire.
  - M(amazon.aws.s3_bucket) has no check mode.
author:
  - stackyard contributors (@stackyard)
options:
  name:
    description: Name of the bucket, unique in all of AWS.
    type: str
    required: true
  state:
    description: Whether the bucket exists. V(absent) deletes it with all logs.
    type: str
    choices: [present, absent]
    default: present
  expire_days:
    description: Days after which logs are deleted.
    type: int
    default: 90
extends_documentation_fragment:
  - stackyard.aws.stack
  - amazon.aws.common.modules
  - amazon.aws.region.modules
  - amazon.aws.tags
  - amazon.aws.boto3
"""

EXAMPLES = r"""
- name: Create a bucket for a month of logs
  stackyard.aws.s3_access_log_bucket:
    name: demo-wordpress-access-logs-example
    expire_days: 31
"""

RETURN = r"""
changes:
  description: What was changed, or would be in check mode.
  returned: success
  type: list
  elements: dict
  sample: [{action: create, type: bucket, name: demo-wordpress-access-logs-example}]
"""

import contextlib
import json

with contextlib.suppress(ImportError):  # AnsibleAWSModule refuses to start without it
    import botocore.exceptions

from ansible_collections.amazon.aws.plugins.module_utils.modules import AnsibleAWSModule
from ansible_collections.amazon.aws.plugins.module_utils.policy import compare_policies
from ansible_collections.amazon.aws.plugins.module_utils.tagging import (
    ansible_dict_to_boto3_tag_list,
    boto3_tag_list_to_ansible_dict,
)
from ansible_collections.stackyard.aws.plugins.module_utils.aws import (
    Api,
    error_code,
    found_or_none,
    run,
    tag_changes,
)
from ansible_collections.stackyard.aws.plugins.module_utils.plan import Plan

KIND = "bucket"

ARGUMENT_SPEC = {
    "name": {"required": True},
    "state": {"choices": ["present", "absent"], "default": "present"},
    "expire_days": {"type": "int", "default": 90},
    "tags": {"type": "dict", "aliases": ["resource_tags"]},
    "purge_tags": {"type": "bool", "default": True},
}

PRIVATE = {
    "BlockPublicAcls": True,
    "IgnorePublicAcls": True,
    "BlockPublicPolicy": True,
    "RestrictPublicBuckets": True,
}


class Bucket:
    """One bucket for access logs. S3 encrypts what is written with its own keys (the only ones that ELB takes)."""

    def __init__(self, module):
        self.module = module
        self.params = module.params
        self.name = module.params["name"]
        self.plan = Plan(module.check_mode)
        self.s3 = Api(module, "s3", retry_codes=["OperationAborted"])
        self.found = False

    def work(self):
        """Look the bucket up and bring it to the state asked for."""
        try:
            self.found = found_or_none(self.s3.head_bucket, ["404", "NoSuchBucket"], Bucket=self.name) is not None
        except botocore.exceptions.ClientError as error:
            if error_code(error) != "403":
                raise
            self.module.fail_json(msg=f"The bucket name {self.name} belongs to another account: choose another name.")
        return self.present() if self.params["state"] == "present" else self.absent()

    def present(self):
        """Make the bucket as asked for."""
        if not self.found and self.plan.create(KIND, self.name, {"private": True}):
            arguments = {"Bucket": self.name}
            # The API takes no constraint for the region that it began in.
            if self.module.region != "us-east-1":
                arguments["CreateBucketConfiguration"] = {"LocationConstraint": self.module.region}
            self.s3.create_bucket(**arguments)
        self._tags()
        self._bring_to("public access block", PRIVATE, self._public_access(), self._put_public_access)
        self._bring_to("expiry", self._wanted_rules(), self._rules(), self._put_rules)
        wanted, found = self._wanted_policy(), self._policy()
        if found is None or compare_policies(found, wanted):
            self._bring_to("policy", wanted, found, self._put_policy)
        return self.plan.result()

    def absent(self):
        """Delete the bucket and all that is in it."""
        if self.found and self.plan.delete(KIND, self.name, self.name):
            for page in self._pages_of_versions():
                self.s3.delete_objects(Bucket=self.name, Delete={"Objects": page, "Quiet": True})
            found_or_none(self.s3.delete_bucket, ["NoSuchBucket"], Bucket=self.name)
        return self.plan.result()

    def _pages_of_versions(self):
        while True:
            answer = self.s3.list_object_versions(Bucket=self.name, MaxKeys=1000)
            listed = [*answer.get("Versions", []), *answer.get("DeleteMarkers", [])]
            if not listed:
                return
            yield [{"Key": item["Key"], "VersionId": item["VersionId"]} for item in listed]

    def _bring_to(self, part, wanted, found, put):
        if found == wanted:
            return
        if self.plan.update(f"{part} of {KIND}", self.name, found, wanted):
            put(wanted)

    def _tags(self):
        wanted = {"Name": self.name, **(self.params["tags"] or {})}
        current = {}
        if self.found:
            answer = found_or_none(self.s3.get_bucket_tagging, ["NoSuchTagSet"], Bucket=self.name)
            current = boto3_tag_list_to_ansible_dict((answer or {}).get("TagSet", []))
        to_set, to_remove = tag_changes(
            self.plan, KIND, self.name, current=current, wanted=wanted, purge=self.params["purge_tags"]
        )
        if to_set or to_remove:
            after = {key: value for key, value in {**current, **to_set}.items() if key not in to_remove}
            self.s3.put_bucket_tagging(Bucket=self.name, Tagging={"TagSet": ansible_dict_to_boto3_tag_list(after)})

    def _public_access(self):
        if not self.found:
            return None
        answer = found_or_none(
            self.s3.get_public_access_block, ["NoSuchPublicAccessBlockConfiguration"], Bucket=self.name
        )
        return (answer or {}).get("PublicAccessBlockConfiguration")

    def _put_public_access(self, wanted):
        self.s3.put_public_access_block(Bucket=self.name, PublicAccessBlockConfiguration=wanted)

    def _wanted_rules(self):
        return [
            {
                "ID": "expire",
                "Status": "Enabled",
                "Filter": {"Prefix": ""},
                "Expiration": {"Days": self.params["expire_days"]},
            }
        ]

    def _rules(self):
        if not self.found:
            return None
        answer = found_or_none(
            self.s3.get_bucket_lifecycle_configuration, ["NoSuchLifecycleConfiguration"], Bucket=self.name
        )
        return (answer or {}).get("Rules")

    def _put_rules(self, wanted):
        self.s3.put_bucket_lifecycle_configuration(Bucket=self.name, LifecycleConfiguration={"Rules": wanted})

    def _wanted_policy(self):
        partition = "aws-cn" if self.module.region.startswith("cn-") else "aws"
        return {
            "Version": "2012-10-17",
            "Statement": [
                {
                    "Sid": "LoadBalancersWrite",
                    "Effect": "Allow",
                    "Principal": {"Service": "logdelivery.elasticloadbalancing.amazonaws.com"},
                    "Action": "s3:PutObject",
                    "Resource": f"arn:{partition}:s3:::{self.name}/*",
                }
            ],
        }

    def _policy(self):
        if not self.found:
            return None
        answer = found_or_none(self.s3.get_bucket_policy, ["NoSuchBucketPolicy"], Bucket=self.name)
        return json.loads(answer["Policy"]) if answer else None

    def _put_policy(self, wanted):
        self.s3.put_bucket_policy(Bucket=self.name, Policy=json.dumps(wanted))


def main():
    module = AnsibleAWSModule(argument_spec=ARGUMENT_SPEC, supports_check_mode=True)
    run(module, Bucket(module).work)


if __name__ == "__main__":
    main()
