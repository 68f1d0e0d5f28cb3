#!/usr/bin/python
# Copyright: stackyard contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
---
module: autoscaling_group_ready
version_added: 0.1.0
short_description: Wait until the machines of an Auto Scaling group serve
description:
  - Waits until the group has as many machines as it wants, all of them in service and healthy, also in the eyes of its
    target groups, and until no instance refresh is running.
  - When that does not come about, the error names each machine that stands in the way, the reason that AWS gives, and
    the last lines of its console.
  - Changes nothing. In check mode it returns what it finds without waiting.
author:
  - stackyard contributors (@stackyard)
options:
  name:
    description: Name of the group.
    type: str
    required: true
  launch_template_name:
    description: The launch template that every machine has to be launched from. Not looked at when not given.
    type: str
  launch_template_version:
    description: The version that every machine has to be launched from. Not looked at when not given.
    type: str
  max_failed_launches:
    description: How many launches may fail while waiting before it is given up ahead of the deadline.
    type: int
    default: 3
  console_lines:
    description: How many of the last lines of a machine's console the error shows.
    type: int
    default: 15
extends_documentation_fragment:
  - stackyard.aws.stack
  - stackyard.aws.stack.wait
  - amazon.aws.common.modules
  - amazon.aws.region.modules
  - amazon.aws.boto3
attributes:
  diff_mode:
    support: none
"""

EXAMPLES = r"""
- name: Wait until the fleet serves
  stackyard.aws.autoscaling_group_ready:
    name: demo-wordpress
    wait_timeout: 900
"""

RETURN = r"""
ready:
  description: Whether all machines serve. Always V(true) outside check mode.
  returned: success
  type: bool
  sample: true
seconds:
  description: How long it was waited.
  returned: success
  type: float
  sample: 61.5
desired_capacity:
  description: The number of machines that the group wants.
  returned: success
  type: int
  sample: 2
instances:
  description: The machines of the group, with the keys that M(stackyard.aws.autoscaling_group) returns for each.
  returned: success
  type: list
  elements: dict
  sample: [{instance_id: i-0123456789abcdef0, lifecycle_state: InService, health_status: Healthy}]
outdated_instance_ids:
  description: Machines launched from another template or version than the one asked for.
  returned: success
  type: list
  elements: str
  sample: []
"""

import time
from datetime import UTC, datetime, timedelta

from ansible_collections.amazon.aws.plugins.module_utils.modules import AnsibleAWSModule
from ansible_collections.stackyard.aws.plugins.module_utils.autoscaling import (
    GIVEN_UP,
    REFRESH_RUNNING,
    console_tail,
    describe_group,
    explanation,
    failures_since,
    instance_summary,
    is_leaving,
    machine_faults,
    outdated_instances,
)
from ansible_collections.stackyard.aws.plugins.module_utils.aws import Api, run
from ansible_collections.stackyard.aws.plugins.module_utils.plan import WaitTimeout, wait_until

ARGUMENT_SPEC = {
    "name": {"required": True},
    "launch_template_name": {},
    "launch_template_version": {},
    "max_failed_launches": {"type": "int", "default": 3},
    "console_lines": {"type": "int", "default": 15},
    "wait_timeout": {"type": "int", "default": 600},
}


class Readiness:
    """What stands between a group and being ready, asked anew at each look."""

    def __init__(self, module):
        self.module = module
        self.params = module.params
        self.name = module.params["name"]
        self.autoscaling = Api(module, "autoscaling")
        self.elbv2 = Api(module, "elbv2")
        self.group = None
        # Machine id -> why it does not serve. Kept from look to look: a machine that was abandoned is soon gone.
        self.faults = {}
        self.refresh_id = None
        # Clocks differ: a launch that failed just before counts too.
        self.since = datetime.now(UTC) - timedelta(seconds=5)

    def work(self):
        """Wait, or in check mode look once."""
        started = time.monotonic()
        ready = True
        if self.module.check_mode:
            ready = self.look()[0]
        else:
            try:
                wait_until(
                    self.look,
                    f"Readiness of the machines of auto scaling group {self.name}",
                    self.params["wait_timeout"],
                )
            except WaitTimeout as error:
                self.give_up(str(error))
        group = self.group or {}
        return {
            "changed": False,
            "ready": ready,
            "seconds": round(time.monotonic() - started, 1),
            "desired_capacity": group.get("DesiredCapacity", 0),
            "instances": [instance_summary(instance) for instance in group.get("Instances", [])],
            "outdated_instance_ids": self.outdated(),
        }

    def outdated(self):
        """Return the machines of another version, none when no version was asked for."""
        version = self.params["launch_template_version"]
        if not (self.group and version):
            return []
        return outdated_instances(self.group, self.params["launch_template_name"], version)

    def look(self):
        """Return whether the group is ready, and what is missing."""
        self.group = describe_group(self.autoscaling, self.name)
        if self.group is None:
            if self.module.check_mode:
                return False, "no such group"
            self.module.fail_json(msg=f"There is no auto scaling group {self.name}.")
        self.look_for_failed_launches()
        refresh = self.look_at_refresh()
        machines = [instance for instance in self.group["Instances"] if not is_leaving(instance)]
        faults = machine_faults(self.elbv2, self.group)
        self.faults.update(faults)
        # Once a machine serves, what was wrong with it earlier is no reason any more.
        for machine in machines:
            if machine["InstanceId"] not in faults:
                self.faults.pop(machine["InstanceId"], None)
        wanted = self.group["DesiredCapacity"]
        seen = [f"{len(machines) - len(faults)} of {wanted} machines serve"]
        seen += [f"{machine} {fault}" for machine, fault in sorted(faults.items())]
        if refresh:
            seen.append(refresh)
        done = not refresh and not faults and len(machines) == wanted
        outdated = self.outdated()
        if done and outdated:
            if not self.module.check_mode:
                self.give_up(
                    f"Machines {', '.join(outdated)} of auto scaling group {self.name} were not launched from version "
                    f"{self.params['launch_template_version']}, and no instance refresh is running."
                )
            done = False
        return done, "; ".join(seen)

    def look_at_refresh(self):
        """Return what a running refresh is at; give up when one that was seen running failed."""
        refreshes = self.autoscaling.describe_instance_refreshes(AutoScalingGroupName=self.name, MaxRecords=1)
        latest = next(iter(refreshes["InstanceRefreshes"]), None)
        if latest is None:
            return ""
        told = (
            f"instance refresh {latest['InstanceRefreshId']} is {latest['Status']}, "
            f"{latest.get('PercentageComplete', 0)} % done"
        )
        reason = latest.get("StatusReason")
        told += f" ({reason})" if reason else ""
        if latest["Status"] in REFRESH_RUNNING:
            self.refresh_id = latest["InstanceRefreshId"]
            return told
        if latest["InstanceRefreshId"] == self.refresh_id and latest["Status"] != "Successful":
            self.give_up(f"The roll-out of auto scaling group {self.name} did not succeed: {told}.")
        return ""

    def look_for_failed_launches(self):
        """Give up when launches keep failing: an image that cannot boot will not boot later."""
        failures = failures_since(self.autoscaling, self.name, self.since)
        self.faults.update({machine: f"{GIVEN_UP}: {reason}" for machine, reason in failures if machine})
        if len(failures) >= self.params["max_failed_launches"]:
            self.give_up(
                f"{len(failures)} launches of auto scaling group {self.name} failed, the last with: {failures[0][1]}"
            )

    def give_up(self, sentence):
        """Fail with what is known of the machines that do not serve."""
        ec2 = Api(self.module, "ec2")
        consoles = {machine: console_tail(ec2, machine, self.params["console_lines"]) for machine in self.faults}
        self.module.fail_json(msg=explanation([sentence], self.faults, consoles), faults=self.faults, consoles=consoles)


def main():
    module = AnsibleAWSModule(
        argument_spec=ARGUMENT_SPEC,
        required_by={"launch_template_version": ["launch_template_name"]},
        supports_check_mode=True,
    )
    run(module, Readiness(module).work)


if __name__ == "__main__":
    main()
