#!/usr/bin/python
# Copyright: stackyard contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
---
module: autoscaling_instance_standby
version_added: 0.1.0
short_description: Take a machine of an Auto Scaling group out of service for a while, and bring it back
description:
  - In standby a machine stays in its group, which neither replaces it nor sends it work. It leaves the target groups,
    and requests that are under way are finished first.
  - The group wants one machine less meanwhile. Where its least number of machines does not allow that, this is lowered,
    and noted in the group's tag C(stackyard:min-size), from which it is restored when the last machine is back.
  - A machine that comes back passes the launch hooks once more. They are completed here, since its boot is long over.
  - A machine of no group is left alone.
  - M(amazon.aws.autoscaling_instance) does not wait until requests are finished, nor until the load balancer finds the
    machine healthy, and fails where the least number of machines is reached.
author:
  - stackyard contributors (@stackyard)
options:
  instance_id:
    description: Id of the machine.
    type: str
    required: true
  state:
    description:
      - V(standby) takes it out of service and waits until it serves no request any more.
      - V(in_service) brings it back and waits until every target group finds it healthy.
    type: str
    choices: [standby, in_service]
    required: true
extends_documentation_fragment:
  - stackyard.aws.stack
  - stackyard.aws.stack.wait
  - amazon.aws.common.modules
  - amazon.aws.region.modules
  - amazon.aws.boto3
"""

EXAMPLES = r"""
- name: Take a machine out of service
  stackyard.aws.autoscaling_instance_standby:
    instance_id: i-0123456789abcdef0
    state: standby

- name: Bring it back
  stackyard.aws.autoscaling_instance_standby:
    instance_id: i-0123456789abcdef0
    state: in_service
"""

RETURN = r"""
changes:
  description: What was changed, or would be in check mode.
  returned: success
  type: list
  elements: dict
  sample: [{action: update, type: machine, name: i-0123456789abcdef0}]
group:
  description: Name of its group, empty when it has none.
  returned: success
  type: str
  sample: demo-wordpress
"""

import contextlib

with contextlib.suppress(ImportError):  # AnsibleAWSModule refuses to start without it
    import botocore.exceptions

from ansible_collections.amazon.aws.plugins.module_utils.modules import AnsibleAWSModule
from ansible_collections.stackyard.aws.plugins.module_utils.autoscaling import (
    GROUP_KIND,
    MIN_SIZE_TAG,
    describe_group,
    group_tag,
    machine_faults,
    tag_of,
)
from ansible_collections.stackyard.aws.plugins.module_utils.aws import Api, run
from ansible_collections.stackyard.aws.plugins.module_utils.plan import Plan, wait_until

KIND = "machine"
LAUNCHING = "autoscaling:EC2_INSTANCE_LAUNCHING"


class Standby:
    """One machine on its way out of service or back."""

    def __init__(self, module):
        self.module = module
        self.machine = module.params["instance_id"]
        self.plan = Plan(module.check_mode)
        self.autoscaling = Api(module, "autoscaling", retry_codes=["ScalingActivityInProgress", "ResourceContention"])
        self.elbv2 = Api(module, "elbv2")
        found = self.autoscaling.describe_auto_scaling_instances(InstanceIds=[self.machine])["AutoScalingInstances"]
        self.name = found[0]["AutoScalingGroupName"] if found else ""

    def work(self):
        """Take it out of service, or bring it back."""
        if self.name:
            if self.module.params["state"] == "standby":
                self._enter()
            else:
                self._exit()
        return {**self.plan.result(), "group": self.name}

    def _look(self):
        group = describe_group(self.autoscaling, self.name)
        found = {machine["InstanceId"]: machine for machine in group["Instances"]}
        if self.machine not in found:
            self.module.fail_json(msg=f"Machine {self.machine} has left {GROUP_KIND} {self.name}.")
        return group, found[self.machine]["LifecycleState"]

    def _enter(self):
        group, state = self._look()
        if state not in ("InService", "EnteringStandby", "Standby"):
            self.module.fail_json(
                msg=f"Machine {self.machine} of {GROUP_KIND} {self.name} is {state}: one in service is accepted."
            )
        if state == "InService":
            least, wanted = group["MinSize"], group["DesiredCapacity"]
            if wanted <= least and self.plan.update(
                f"least size of {GROUP_KIND}", self.name, {"MinSize": least}, {"MinSize": wanted - 1}
            ):
                if not tag_of(group, MIN_SIZE_TAG):
                    # First what is to be restored: cut off between the two, nothing is forgotten.
                    self.autoscaling.create_or_update_tags(Tags=[group_tag(MIN_SIZE_TAG, self.name, str(least))])
                self.autoscaling.update_auto_scaling_group(AutoScalingGroupName=self.name, MinSize=wanted - 1)
            if self.plan.update(KIND, self.machine, "InService", "Standby"):
                self.autoscaling.enter_standby(
                    AutoScalingGroupName=self.name, InstanceIds=[self.machine], ShouldDecrementDesiredCapacity=True
                )
        if not self.module.check_mode:
            self._wait("Standby", lambda _group, state: (state == "Standby", state))

    def _exit(self):
        group, state = self._look()
        if state == "Standby" and self.plan.update(KIND, self.machine, state, "InService"):
            self.autoscaling.exit_standby(AutoScalingGroupName=self.name, InstanceIds=[self.machine])
        if not self.module.check_mode:
            self._wait("Service", self._serves)
            group, _state = self._look()
        self._restore(group)

    def _serves(self, group, state):
        if state == "Pending:Wait":
            self._pass_hooks()
        fault = machine_faults(self.elbv2, group).get(self.machine)
        return fault is None, f"the machine {fault}"

    def _pass_hooks(self):
        hooks = self.autoscaling.describe_lifecycle_hooks(AutoScalingGroupName=self.name)["LifecycleHooks"]
        for hook in hooks:
            if hook["LifecycleTransition"] == LAUNCHING:
                # One that is not waiting (any more) is refused.
                with contextlib.suppress(botocore.exceptions.ClientError):
                    self.autoscaling.complete_lifecycle_action(
                        AutoScalingGroupName=self.name,
                        LifecycleHookName=hook["LifecycleHookName"],
                        InstanceId=self.machine,
                        LifecycleActionResult="CONTINUE",
                    )

    def _restore(self, group):
        """Give the group its least size back when no other machine stands by."""
        noted = tag_of(group, MIN_SIZE_TAG)
        others = [
            machine
            for machine in group["Instances"]
            if machine["LifecycleState"].endswith("Standby") and machine["InstanceId"] != self.machine
        ]
        if not noted or others:
            return
        least = {"MinSize": int(noted)}
        if self.plan.update(f"least size of {GROUP_KIND}", self.name, {"MinSize": group["MinSize"]}, least):
            self.autoscaling.update_auto_scaling_group(AutoScalingGroupName=self.name, **least)
            self.autoscaling.delete_tags(Tags=[group_tag(MIN_SIZE_TAG, self.name)])

    def _wait(self, what, reached):
        wait_until(
            lambda: reached(*self._look()),
            f"{what} of machine {self.machine} of {GROUP_KIND} {self.name}",
            self.module.params["wait_timeout"],
            delay=3,
        )


def main():
    module = AnsibleAWSModule(
        argument_spec={
            "instance_id": {"required": True},
            "state": {"choices": ["standby", "in_service"], "required": True},
            "wait_timeout": {"type": "int", "default": 600},
        },
        supports_check_mode=True,
    )
    run(module, Standby(module).work)


if __name__ == "__main__":
    main()
