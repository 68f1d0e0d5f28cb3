#!/usr/bin/python
# Copyright: stackyard contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
---
module: elb_target_group
version_added: 0.1.0
short_description: Manage a target group for the machines of an Auto Scaling group
description:
  - Creates, alters and deletes a target group of an application load balancer, and never touches its targets, since
    these are registered by the Auto Scaling group.
  - M(community.aws.elb_target_group) has no check mode, and unless told otherwise it deregisters the machines of an
    Auto Scaling group at every run.
author:
  - stackyard contributors (@stackyard)
options:
  name:
    description: Name of the target group, at most 32 letters, digits and hyphens.
    type: str
    required: true
  state:
    description: Whether the target group exists.
    type: str
    choices: [present, absent]
    default: present
  vpc_id:
    description: The VPC of the targets. Required when O(state=present), and cannot be altered afterwards.
    type: str
  protocol:
    description: The protocol in which machines are asked. Cannot be altered afterwards.
    type: str
    choices: [HTTP, HTTPS]
    default: HTTP
  port:
    description: The port on which machines listen. Cannot be altered afterwards.
    type: int
    default: 80
  health_check_path:
    description: The path that is asked for a machine's health.
    type: str
    default: /
  health_check_matcher:
    description: The HTTP codes that mean healthy, such as V(200) or V(200-299) or V(200,302).
    type: str
    default: "200"
  health_check_interval:
    description: Seconds between two questions, 5 to 300.
    type: int
    default: 10
  health_check_timeout:
    description: Seconds after which no answer counts as failed, 2 to 120 and less than O(health_check_interval).
    type: int
    default: 5
  healthy_threshold:
    description: Successes in a row after which a machine is healthy, 2 to 10.
    type: int
    default: 2
  unhealthy_threshold:
    description: Failures in a row after which a machine is unhealthy, 2 to 10.
    type: int
    default: 3
  deregistration_delay:
    description: Seconds that running requests of a machine get when it is taken out, 0 to 3600.
    type: int
    default: 60
  slow_start:
    description: Seconds over which a new machine's share of the requests grows, 30 to 900. V(0) for no such time.
    type: int
    default: 0
  algorithm:
    description: How the machine for a request is chosen.
    type: str
    choices: [round_robin, least_outstanding_requests]
    default: round_robin
  stickiness:
    description: Seconds for which a visitor is kept on one machine by a cookie, up to 604800. V(0) keeps nobody.
    type: int
    default: 0
  wait_timeout:
    description: Seconds after which it is given up to delete a target group that is still in use.
    type: int
    default: 120
extends_documentation_fragment:
  - stackyard.aws.stack
  - amazon.aws.common.modules
  - amazon.aws.region.modules
  - amazon.aws.tags
  - amazon.aws.boto3
"""

EXAMPLES = r"""
- name: Create the target group of a fleet
  stackyard.aws.elb_target_group:
    name: demo-wordpress
    vpc_id: vpc-0123456789abcdef0
    health_check_path: /healthz
    tags:
      stackyard:environment: demo
"""

RETURN = r"""
changes:
  description: What was changed, or would be in check mode.
  returned: success
  type: list
  elements: dict
  sample: [{action: create, type: target group, name: demo-wordpress}]
arn:
  description: ARN of the target group, with the id C(0000000000000000) in check mode when it would be created.
  returned: when O(state=present)
  type: str
  sample: arn:aws:elasticloadbalancing:eu-central-1:123456789012:targetgroup/demo-wordpress/0123456789abcdef
"""

import contextlib

with contextlib.suppress(ImportError):  # AnsibleAWSModule refuses to start without it
    import botocore.exceptions

from ansible_collections.amazon.aws.plugins.module_utils.modules import AnsibleAWSModule
from ansible_collections.amazon.aws.plugins.module_utils.tagging import (
    ansible_dict_to_boto3_tag_list,
    boto3_tag_list_to_ansible_dict,
)
from ansible_collections.stackyard.aws.plugins.module_utils.aws import (
    Api,
    differences,
    error_code,
    found_or_none,
    run,
    tag_changes,
)
from ansible_collections.stackyard.aws.plugins.module_utils.plan import Plan, is_placeholder, wait_until

KIND = "target group"

ARGUMENT_SPEC = {
    "name": {"required": True},
    "state": {"choices": ["present", "absent"], "default": "present"},
    "vpc_id": {},
    "protocol": {"choices": ["HTTP", "HTTPS"], "default": "HTTP"},
    "port": {"type": "int", "default": 80},
    "health_check_path": {"default": "/"},
    "health_check_matcher": {"default": "200"},
    "health_check_interval": {"type": "int", "default": 10},
    "health_check_timeout": {"type": "int", "default": 5},
    "healthy_threshold": {"type": "int", "default": 2},
    "unhealthy_threshold": {"type": "int", "default": 3},
    "deregistration_delay": {"type": "int", "default": 60},
    "slow_start": {"type": "int", "default": 0},
    "algorithm": {"choices": ["round_robin", "least_outstanding_requests"], "default": "round_robin"},
    "stickiness": {"type": "int", "default": 0},
    "tags": {"type": "dict", "aliases": ["resource_tags"]},
    "purge_tags": {"type": "bool", "default": True},
    "wait_timeout": {"type": "int", "default": 120},
}


class TargetGroup:
    """One target group, without its targets."""

    def __init__(self, module):
        self.module = module
        self.params = module.params
        self.name = module.params["name"]
        self.plan = Plan(module.check_mode)
        self.elbv2 = Api(module, "elbv2")
        self.found = None

    def work(self):
        """Look the target group up and bring it to the state asked for."""
        answer = found_or_none(self.elbv2.describe_target_groups, ["TargetGroupNotFound"], Names=[self.name])
        self.found = next(iter((answer or {}).get("TargetGroups", [])), None)
        return self.present() if self.params["state"] == "present" else self.absent()

    def present(self):
        """Make the target group as asked for."""
        if self.found is None:
            arn = self._create()
        else:
            arn = self.found["TargetGroupArn"]
            self._refuse_fixed()
            self._health_check(arn)
            self._tags(arn)
            self._attributes(arn)
        return {**self.plan.result(), "arn": arn}

    def absent(self):
        """Delete the target group."""
        if self.found and self.plan.delete(KIND, self.name, self.found["TargetGroupArn"]):
            self._delete(self.found["TargetGroupArn"])
        return self.plan.result()

    def _wanted_health_check(self):
        return {
            "HealthCheckProtocol": self.params["protocol"],
            "HealthCheckPath": self.params["health_check_path"],
            "HealthCheckPort": "traffic-port",
            "HealthCheckIntervalSeconds": self.params["health_check_interval"],
            "HealthCheckTimeoutSeconds": self.params["health_check_timeout"],
            "HealthyThresholdCount": self.params["healthy_threshold"],
            "UnhealthyThresholdCount": self.params["unhealthy_threshold"],
            "Matcher": {"HttpCode": self.params["health_check_matcher"]},
        }

    def _wanted_attributes(self):
        stickiness = self.params["stickiness"]
        wanted = {
            "deregistration_delay.timeout_seconds": str(self.params["deregistration_delay"]),
            "slow_start.duration_seconds": str(self.params["slow_start"]),
            "load_balancing.algorithm.type": self.params["algorithm"],
            "stickiness.enabled": "true" if stickiness else "false",
        }
        if stickiness:
            wanted["stickiness.type"] = "lb_cookie"
            wanted["stickiness.lb_cookie.duration_seconds"] = str(stickiness)
        return wanted

    def _create(self):
        settings = {
            "Protocol": self.params["protocol"],
            "Port": self.params["port"],
            "VpcId": self.params["vpc_id"],
            "TargetType": "instance",
            **self._wanted_health_check(),
        }
        attributes = self._wanted_attributes()
        if not self.plan.create(KIND, self.name, {**settings, "Attributes": attributes}):
            region = self.module.region
            return f"arn:aws:elasticloadbalancing:{region}:000000000000:targetgroup/{self.name}/0000000000000000"
        tags = {"Name": self.name, **(self.params["tags"] or {})}
        answer = self.elbv2.create_target_group(Name=self.name, Tags=ansible_dict_to_boto3_tag_list(tags), **settings)
        arn = answer["TargetGroups"][0]["TargetGroupArn"]
        self._put_attributes(arn, attributes)
        return arn

    def _refuse_fixed(self):
        fixed = {"vpc_id": "VpcId", "protocol": "Protocol", "port": "Port"}
        for option, key in fixed.items():
            wanted = self.params[option]
            if self.found[key] != wanted and not is_placeholder(str(wanted)):
                self.module.fail_json(
                    msg=f"{option} of target group {self.name} is {self.found[key]} and AWS cannot alter it to "
                    f"{wanted}: keep that, or use a target group of another name."
                )

    def _health_check(self, arn):
        wanted = self._wanted_health_check()
        found = {key: self.found.get(key) for key in wanted}
        found["Matcher"] = {"HttpCode": self.found.get("Matcher", {}).get("HttpCode")}
        changed = differences(wanted, found)
        if not changed:
            return
        before = {key: found[key] for key in changed}
        if self.plan.update(f"health check of {KIND}", self.name, before, changed):
            self.elbv2.modify_target_group(TargetGroupArn=arn, **wanted)

    def _attributes(self, arn):
        answer = self.elbv2.describe_target_group_attributes(TargetGroupArn=arn)
        found = {item["Key"]: item["Value"] for item in answer["Attributes"]}
        changed = differences(self._wanted_attributes(), found)
        if not changed:
            return
        before = {key: found.get(key) for key in changed}
        if self.plan.update(f"attributes of {KIND}", self.name, before, changed):
            self._put_attributes(arn, changed)

    def _put_attributes(self, arn, attributes):
        listed = [{"Key": key, "Value": value} for key, value in attributes.items()]
        self.elbv2.modify_target_group_attributes(TargetGroupArn=arn, Attributes=listed)

    def _tags(self, arn):
        if self.params["tags"] is None:
            return
        answer = self.elbv2.describe_tags(ResourceArns=[arn])
        to_set, to_remove = tag_changes(
            self.plan,
            KIND,
            self.name,
            current=boto3_tag_list_to_ansible_dict(answer["TagDescriptions"][0]["Tags"]),
            wanted={"Name": self.name, **self.params["tags"]},
            purge=self.params["purge_tags"],
        )
        if to_set:
            self.elbv2.add_tags(ResourceArns=[arn], Tags=ansible_dict_to_boto3_tag_list(to_set))
        if to_remove:
            self.elbv2.remove_tags(ResourceArns=[arn], TagKeys=to_remove)

    def _delete(self, arn):
        def probe():
            # A listener or rule that is going still holds its target group for a moment.
            try:
                found_or_none(self.elbv2.delete_target_group, ["TargetGroupNotFound"], TargetGroupArn=arn)
            except botocore.exceptions.ClientError as error:
                if error_code(error) != "ResourceInUse":
                    raise
                return False, str(error)
            return True, "deleted"

        wait_until(probe, f"Deletion of target group {self.name}", self.params["wait_timeout"])


def main():
    module = AnsibleAWSModule(
        argument_spec=ARGUMENT_SPEC,
        required_if=[("state", "present", ["vpc_id"])],
        supports_check_mode=True,
    )
    if module.params["health_check_timeout"] >= module.params["health_check_interval"]:
        module.fail_json(msg="health_check_timeout must be less than health_check_interval.")
    if not module.params["health_check_path"].startswith("/"):
        module.fail_json(msg="health_check_path must begin with a slash.")
    run(module, TargetGroup(module).work)


if __name__ == "__main__":
    main()
