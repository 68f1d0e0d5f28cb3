#!/usr/bin/python
# Copyright: stackyard contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
---
module: autoscaling_instance_refresh
version_added: 0.1.0
short_description: Replace the machines of an Auto Scaling group step by step
description:
  - Starts an instance refresh, follows it to its end, cancels it or rolls it back.
  - A refresh is started only when there is something to replace, or when the group is still to be moved to the launch
    template version given. One that is running already with the same version is followed and not doubled; one with
    another version is an error that names it.
  - While it waits, a line now and then tells how many machines are replaced, healthy and awaited. A run that is
    interrupted leaves the refresh running at AWS; the next run takes it up.
  - The group itself moves to the launch template version given when the refresh has succeeded, not before. Machines
    that it launches after a failure come from the version that it had.
  - AWS gives a refresh up only after an hour without progress. This module ends it, by a rollback where
    O(auto_rollback), as soon as O(max_failed_launches) machines have come to nothing.
  - The error names each machine that failed, the reason that AWS gives, and the last lines of its console.
  - M(amazon.aws.autoscaling_instance_refresh) never reports a change, fails where a refresh is running, and knows no
    desired configuration, checkpoint, alarm or rollback. It does not wait.
author:
  - stackyard contributors (@stackyard)
options:
  name:
    description: Name of the group.
    type: str
    required: true
  state:
    description:
      - V(started) replaces machines that differ.
      - V(cancelled) ends a running refresh where it is. Machines that were replaced stay.
      - V(rolled_back) turns a running refresh back to the launch template version that the group has.
      - V(cancelled) and V(rolled_back) do nothing when none is running.
    type: str
    choices: [started, cancelled, rolled_back]
    default: started
  launch_template_name:
    description: The launch template to move to. That of the group when not given.
    type: str
  launch_template_version:
    description: Number of the version to move to, the desired configuration. That of the group when not given.
    type: str
  instance_refresh_id:
    description: Follow this refresh to its end in place of starting one.
    type: str
  min_healthy_percentage:
    description: Machines in service while others are replaced, in per cent of the wanted number.
    type: int
    default: 100
  max_healthy_percentage:
    description: The most machines while others are replaced, from 100 to 200 and at most 100 above the least.
    type: int
    default: 150
  instance_warmup:
    description: Seconds in service until a new machine counts as replaced. The group's own when not given.
    type: int
  checkpoint_percentages:
    description:
      - Percentages replaced at which the refresh stops for O(checkpoint_delay), ascending. None when empty.
      - A refresh ends at the last one, which is 100 where all machines are to be replaced.
    type: list
    elements: int
    default: []
  checkpoint_delay:
    description: Seconds that it stops at a checkpoint, up to 172800.
    type: int
    default: 60
  bake_time:
    description: Seconds during which alarms are still heeded when all machines are replaced, up to 172800.
    type: int
    default: 0
  alarms:
    description:
      - Names of CloudWatch alarms. A refresh is not started when one of them is in the state C(ALARM).
      - One that goes there meanwhile fails the refresh, which is then rolled back where O(auto_rollback).
    type: list
    elements: str
    default: []
  auto_rollback:
    description:
      - Whether a refresh that fails is rolled back to the launch template version that the group has.
      - Needs O(launch_template_version), and a group whose own version is a number too.
    type: bool
    default: true
  skip_matching:
    description: Whether machines that are of the version already stay. V(false) replaces all in each run.
    type: bool
    default: true
  scale_in_protected_instances:
    description: What is done with machines protected from scale-in. V(wait) fails after an hour.
    type: str
    choices: [refresh, ignore, wait]
    default: wait
  standby_instances:
    description: What is done with machines in standby. V(wait) fails after an hour.
    type: str
    choices: [terminate, ignore, wait]
    default: wait
  max_failed_launches:
    description: How many machines may come to nothing before the refresh is ended. V(0) leaves that to AWS.
    type: int
    default: 3
  console_lines:
    description: How many of the last lines of a machine's console the error shows.
    type: int
    default: 15
  wait:
    description: Whether to follow the refresh to its end.
    type: bool
    default: true
  wait_timeout:
    description: Seconds after which waiting is given up. The refresh goes on; running again waits on.
    type: int
    default: 3600
  progress_interval:
    description: Seconds between two lines of progress.
    type: int
    default: 10
extends_documentation_fragment:
  - stackyard.aws.stack
  - amazon.aws.common.modules
  - amazon.aws.region.modules
  - amazon.aws.boto3
seealso:
  - module: stackyard.aws.autoscaling_group
  - module: stackyard.aws.autoscaling_group_ready
"""

EXAMPLES = r"""
- name: Roll version 4 out, and back again by itself when its machines do not become healthy
  stackyard.aws.autoscaling_instance_refresh:
    name: demo-wordpress
    launch_template_name: demo-wordpress
    launch_template_version: "4"
    checkpoint_percentages: [35, 70, 100]
    checkpoint_delay: 60
    alarms: [demo-wordpress-errors]

- name: Replace every machine, whatever it was launched from
  stackyard.aws.autoscaling_instance_refresh:
    name: demo-wordpress
    skip_matching: false
    auto_rollback: false

- name: Turn a roll-out back that is under way
  stackyard.aws.autoscaling_instance_refresh:
    name: demo-wordpress
    state: rolled_back
"""

RETURN = r"""
changes:
  description: What was changed, or would be in check mode.
  returned: success
  type: list
  elements: dict
  sample: [{action: create, type: instance refresh, name: demo-wordpress}]
instance_refresh_id:
  description: Id of the refresh, empty when there is none.
  returned: always
  type: str
  sample: 08b91cf7-8fa6-48af-b6a6-d227f40f1b9b
status:
  description: Status of the refresh as AWS names it, empty when there is none.
  returned: always
  type: str
  sample: Successful
status_reason:
  description: The reason that AWS gives for the status or, for one rolled back, for the rollback.
  returned: always
  type: str
percentage_complete:
  description: How much of the refresh is done.
  returned: always
  type: int
  sample: 100
to_replace_instance_ids:
  description: Machines that differed when this run began. In check mode those that would be replaced.
  returned: always
  type: list
  elements: str
  sample: [i-0123456789abcdef0]
instances_before:
  description: The machines when this run began, with the keys that M(stackyard.aws.autoscaling_group) returns for each.
  returned: always
  type: list
  elements: dict
instances_after:
  description: The machines at its end.
  returned: always
  type: list
  elements: dict
replaced_instance_ids:
  description: Machines that were there when this run began and are no more, or are about to go.
  returned: always
  type: list
  elements: str
seconds:
  description: How long this run took.
  returned: always
  type: float
  sample: 245.1
progress:
  description: Where the refresh stands, as the lines tell it.
  returned: always
  type: str
  sample: "2 of 4 machines of version 5 in service, 2 to replace, 4 healthy, 1 awaited; InProgress"
reason:
  description: What failed, without the machines at fault.
  returned: failure
  type: str
faults:
  description: Machines that came to nothing, each with the reason.
  returned: always
  type: dict
  sample: {i-0123456789abcdef0: "was given up: Lifecycle Action was abandoned"}
consoles:
  description: The last lines of the consoles of these machines.
  returned: always
  type: dict
"""

import contextlib
import time

with contextlib.suppress(ImportError):  # AnsibleAWSModule refuses to start without it
    import botocore.exceptions

from ansible_collections.amazon.aws.plugins.module_utils.modules import AnsibleAWSModule
from ansible_collections.stackyard.aws.plugins.module_utils.autoscaling import (
    GIVEN_UP,
    GROUP_KIND,
    REFRESH_PROGRESS_INTERVAL,
    REFRESH_RUNNING,
    REFRESH_WAIT_TIMEOUT,
    console_tail,
    describe_group,
    explanation,
    failures_since,
    instance_summary,
    is_leaving,
    machine_faults,
    outdated_instances,
)
from ansible_collections.stackyard.aws.plugins.module_utils.aws import Api, error_code, run
from ansible_collections.stackyard.aws.plugins.module_utils.plan import Plan, WaitTimeout, wait_until

KIND = "instance refresh"
POLL_SECONDS = 3

# What ends a refresh, where it ends, and in which states it is on its way there.
STOPS = {
    "cancelled": ("cancel_instance_refresh", "Cancelled", ("Cancelling",)),
    "rolled_back": ("rollback_instance_refresh", "RollbackSuccessful", ("Cancelling", "RollbackInProgress")),
}

ARGUMENT_SPEC = {
    "name": {"required": True},
    "state": {"choices": ["started", "cancelled", "rolled_back"], "default": "started"},
    "launch_template_name": {},
    "launch_template_version": {},
    "instance_refresh_id": {},
    "min_healthy_percentage": {"type": "int", "default": 100},
    "max_healthy_percentage": {"type": "int", "default": 150},
    "instance_warmup": {"type": "int"},
    "checkpoint_percentages": {"type": "list", "elements": "int", "default": []},
    "checkpoint_delay": {"type": "int", "default": 60},
    "bake_time": {"type": "int", "default": 0},
    "alarms": {"type": "list", "elements": "str", "default": []},
    "auto_rollback": {"type": "bool", "default": True},
    "skip_matching": {"type": "bool", "default": True},
    "scale_in_protected_instances": {"choices": ["refresh", "ignore", "wait"], "default": "wait"},
    "standby_instances": {"choices": ["terminate", "ignore", "wait"], "default": "wait"},
    "max_failed_launches": {"type": "int", "default": 3},
    "console_lines": {"type": "int", "default": 15},
    "wait": {"type": "bool", "default": True},
    "wait_timeout": {"type": "int", "default": REFRESH_WAIT_TIMEOUT},
    "progress_interval": {"type": "int", "default": REFRESH_PROGRESS_INTERVAL},
}


class Refresh:
    """The instance refresh of one group."""

    def __init__(self, module):
        self.module = module
        self.params = module.params
        self.name = module.params["name"]
        self.started = time.monotonic()
        self.plan = Plan(module.check_mode)
        self.autoscaling = Api(module, "autoscaling")
        self.group = self.before = self._group()
        # The refresh that is followed, as AWS last described it.
        self.refresh = None
        self.to_replace = []
        self.faults, self.consoles = {}, {}
        self.ended_because = ""

    def work(self):
        """Start, cancel or turn back, and follow."""
        if self.params["instance_refresh_id"]:
            self.refresh = self._describe(self.params["instance_refresh_id"])
        else:
            latest = self._describe()
            running = latest if latest and latest["Status"] in REFRESH_RUNNING else None
            if self.params["state"] == "started":
                self._start(running)
            else:
                self._stop(running)
        if self.refresh and self.params["wait"] and not self.module.check_mode:
            self._follow()
        return {**self.plan.result(), **self._told()}

    # What is to be done
    # ------------------

    def _start(self, running):
        wanted = self._wanted()
        self.to_replace = self._differing(wanted)
        if running:
            self._take_up(running, wanted)
            return
        moves = bool(wanted) and not self._is_of(self.group.get("LaunchTemplate", {}), wanted)
        if not (self.to_replace or moves):
            return
        self._check_reversible(wanted)
        self._check_alarms()
        before = {"machines": self.to_replace, **({"launch template": self._own()} if moves else {})}
        after = {"machines": [], **({"launch template": wanted} if moves else {})}
        if not self.plan.update(KIND, self.name, before, after):
            return
        options = {"DesiredConfiguration": {"LaunchTemplate": wanted}} if wanted else {}
        try:
            answer = self.autoscaling.start_instance_refresh(
                AutoScalingGroupName=self.name, Strategy="Rolling", Preferences=self._preferences(), **options
            )
        except botocore.exceptions.ClientError as error:
            if error_code(error) != "InstanceRefreshInProgress":
                raise
            # Another run was quicker by a moment.
            self._take_up(self._describe(), wanted)
            self.plan = Plan(self.module.check_mode)
            return
        self.refresh = self._describe(answer["InstanceRefreshId"])

    def _take_up(self, running, wanted):
        """Follow a running refresh where it does what is asked for; two cannot run side by side."""
        desired = running.get("DesiredConfiguration", {}).get("LaunchTemplate", {})
        same = self._is_of(desired, wanted) if wanted else not desired
        if same and running["Status"] != "Cancelling":
            self.refresh = running
            return
        to = f" to version {desired['Version']}" if desired else ""
        asked = f"version {wanted['Version']}" if wanted else "the group's own version"
        self._fail(
            f"Instance refresh {running['InstanceRefreshId']} of {GROUP_KIND} {self.name}{to} is {running['Status']} "
            f"({running.get('PercentageComplete', 0)} % done) and {asked} is asked for: run again when it has ended, "
            "or end it first with state: rolled_back or state: cancelled."
        )

    def _stop(self, running):
        """Cancel a running refresh or turn it back, unless it is on its way there."""
        if not running:
            return
        operation, status, under_way = STOPS[self.params["state"]]
        if running["Status"] not in under_way:
            if not self.plan.update(KIND, self.name, {"status": running["Status"]}, {"status": status}):
                return
            getattr(self.autoscaling, operation)(AutoScalingGroupName=self.name)
        self.refresh = self._describe(running["InstanceRefreshId"])

    def _group(self):
        group = describe_group(self.autoscaling, self.params["name"])
        if group is None:
            self.module.fail_json(msg=f"There is no {GROUP_KIND} {self.params['name']}.")
        return group

    def _own(self):
        template = self.group.get("LaunchTemplate", {})
        return {key: template[key] for key in ("LaunchTemplateName", "Version") if key in template}

    def _wanted(self):
        """Return the desired configuration, None when the group's own is meant."""
        version = self.params["launch_template_version"]
        if not version:
            return None
        name = self.params["launch_template_name"] or self.group.get("LaunchTemplate", {}).get("LaunchTemplateName")
        return {"LaunchTemplateName": name, "Version": version}

    def _is_of(self, template, wanted):
        """Tell whether a launch template specification means the wanted version; it may give the id alone."""
        own = self.group.get("LaunchTemplate", {})

        def name(specification):
            if specification.get("LaunchTemplateId") == own.get("LaunchTemplateId", ""):
                return own.get("LaunchTemplateName")
            return specification.get("LaunchTemplateName")

        return name(template) == name(wanted) and template.get("Version") == wanted.get("Version")

    def _differing(self, wanted):
        """Return the machines that a refresh replaces."""
        template = wanted or self._own()
        differing = set(outdated_instances(self.group, template.get("LaunchTemplateName"), template.get("Version")))
        return sorted(
            machine["InstanceId"]
            for machine in self.group["Instances"]
            if not is_leaving(machine)
            and (machine["InstanceId"] in differing or not self.params["skip_matching"])
            and not (machine.get("ProtectedFromScaleIn") and self.params["scale_in_protected_instances"] == "ignore")
            and not (machine["LifecycleState"] == "Standby" and self.params["standby_instances"] == "ignore")
        )

    def _check_reversible(self, wanted):
        """AWS rolls back between numbered versions only, and refuses with a message that does not say which one."""
        if not self.params["auto_rollback"]:
            return
        if not wanted:
            self._fail("auto_rollback needs launch_template_version: give it, or set auto_rollback to false.")
        own = self._own().get("Version", "")
        if not own.isdigit():
            self._fail(
                f"{GROUP_KIND.capitalize()} {self.name} has the launch template version {own!r}, which AWS cannot "
                "return to: give it a number, or set auto_rollback to false."
            )

    def _check_alarms(self):
        if not self.params["alarms"]:
            return
        found = Api(self.module, "cloudwatch").describe_alarms(
            AlarmNames=self.params["alarms"], AlarmTypes=["MetricAlarm", "CompositeAlarm"]
        )
        states = {
            alarm["AlarmName"]: alarm["StateValue"]
            for kind in ("MetricAlarms", "CompositeAlarms")
            for alarm in found.get(kind, [])
        }
        for name in self.params["alarms"]:
            # What a check has only announced may be such an alarm.
            if name not in states and not self.module.check_mode:
                self._fail(f"alarms names {name}, and there is no such alarm in region {self.module.region}.")
            if states.get(name) == "ALARM":
                self._fail(f"The alarm {name} is in the state ALARM: no machine of {self.name} was replaced.")

    def _preferences(self):
        given = self.params
        preferences = {
            "MinHealthyPercentage": given["min_healthy_percentage"],
            "MaxHealthyPercentage": given["max_healthy_percentage"],
            "SkipMatching": given["skip_matching"],
            "AutoRollback": given["auto_rollback"],
            "ScaleInProtectedInstances": given["scale_in_protected_instances"].capitalize(),
            "StandbyInstances": given["standby_instances"].capitalize(),
        }
        if given["instance_warmup"] is not None:
            preferences["InstanceWarmup"] = given["instance_warmup"]
        if given["checkpoint_percentages"]:
            preferences["CheckpointPercentages"] = given["checkpoint_percentages"]
            preferences["CheckpointDelay"] = given["checkpoint_delay"]
        if given["bake_time"]:
            preferences["BakeTime"] = given["bake_time"]
        if given["alarms"]:
            preferences["AlarmSpecification"] = {"Alarms": given["alarms"]}
        return preferences

    # Following
    # ---------

    def _describe(self, refresh_id=None):
        """Return the refresh with that id, or the newest of the group, None when there is none."""
        which = {"InstanceRefreshIds": [refresh_id]} if refresh_id else {"MaxRecords": 1}
        answer = self.autoscaling.describe_instance_refreshes(AutoScalingGroupName=self.name, **which)
        return next(iter(answer["InstanceRefreshes"]), None)

    def _follow(self):
        try:
            wait_until(
                self._look,
                f"The end of instance refresh {self.refresh['InstanceRefreshId']} of {GROUP_KIND} {self.name}",
                self.params["wait_timeout"],
                delay=POLL_SECONDS,
                hint="It goes on; run again to wait on.",
            )
        except WaitTimeout as error:
            slow = machine_faults(Api(self.module, "elbv2"), self.group)
            for machine in slow:
                self._read_console(machine)
            self._fail(str(error), faults={**slow, **self.faults}, timed_out=True)
        if self.refresh["Status"] not in self._good_ends():
            self._fail(self._what_failed())

    def _good_ends(self):
        return {
            "started": ("Successful",),
            # It may have come to its end before it could be stopped.
            "cancelled": ("Cancelled", "Successful", "Failed", "RollbackSuccessful"),
            "rolled_back": ("RollbackSuccessful", "Cancelled"),
        }[self.params["state"]]

    def _look(self):
        """Return whether the refresh has ended; end it when too many machines have come to nothing."""
        self.refresh = self._describe(self.refresh["InstanceRefreshId"])
        self.group = self._group()
        status = self.refresh["Status"]
        failures = failures_since(self.autoscaling, self.name, self.refresh["StartTime"])
        for machine, reason in failures:
            if machine and machine not in self.faults:
                self.faults[machine] = f"{GIVEN_UP}: {reason}"
                # Now: its console holds the reason, and later what was written while it was ended.
                self._read_console(machine)
        if self.params["state"] == "started" and 0 < self.params["max_failed_launches"] <= len(failures):
            self.ended_because = f"{len(failures)} machines came to nothing, the last with: {failures[0][1]}"
            if status in ("Pending", "InProgress"):
                self._end_early()
                return False, self._progress()
        return status not in REFRESH_RUNNING, self._progress()

    def _read_console(self, machine):
        self.consoles[machine] = console_tail(Api(self.module, "ec2"), machine, self.params["console_lines"])

    def _end_early(self):
        """End a refresh that will not succeed; AWS would try on for an hour."""
        if self.params["auto_rollback"]:
            try:
                self.autoscaling.rollback_instance_refresh(AutoScalingGroupName=self.name)
            except botocore.exceptions.ClientError as error:
                if error_code(error) not in ("InstanceRefreshInProgress", "ActiveInstanceRefreshNotFound"):
                    raise
                # It has turned by itself meanwhile.
        else:
            self.autoscaling.cancel_instance_refresh(AutoScalingGroupName=self.name)

    def _reason(self):
        rollback = self.refresh.get("RollbackDetails", {})
        return self.ended_because or rollback.get("RollbackReason") or self.refresh.get("StatusReason") or ""

    def _what_failed(self):
        status = self.refresh["Status"]
        what = {
            "RollbackSuccessful": "was rolled back",
            "RollbackFailed": "failed, and so did its rollback",
            "Cancelled": "was cancelled",
        }.get(status, f"ended as {status}")
        desired = self.refresh.get("DesiredConfiguration", {}).get("LaunchTemplate", {})
        to = f" to version {desired['Version']}" if desired else ""
        reason = self._reason()
        sentence = (
            f"Instance refresh {self.refresh['InstanceRefreshId']} of {GROUP_KIND} {self.name}{to} {what}"
            f"{': ' + reason if reason else ''}{'' if reason.endswith('.') else '.'}"
        )
        if status == "RollbackSuccessful":
            sentence += f" All machines are of version {self._own().get('Version')} again. Run again to try again."
        return sentence

    def _progress(self):
        staying = [machine for machine in self.group["Instances"] if not is_leaving(machine)]
        healthy = [
            machine
            for machine in staying
            if machine["LifecycleState"] == "InService" and machine["HealthStatus"].lower() == "healthy"
        ]
        wanted = self._own()
        if self.refresh["Status"] != "RollbackInProgress":
            wanted = self.refresh.get("DesiredConfiguration", {}).get("LaunchTemplate", wanted)
        new = sum(self._is_of(machine.get("LaunchTemplate", {}), wanted) for machine in healthy)
        parts = [
            f"{new} of {self.group['DesiredCapacity']} machines of version {wanted.get('Version')} in service",
            f"{self.refresh.get('InstancesToUpdate', 0)} to replace",
            f"{len(healthy)} healthy",
            f"{len(staying) - len(healthy)} awaited",
        ]
        if self.faults:
            parts.append(f"{len(self.faults)} failed")
        reason = self.refresh.get("StatusReason")
        return f"{', '.join(parts)}; {self.refresh['Status']}{': ' + reason if reason else ''}"

    # Telling
    # -------

    def _told(self):
        refresh = self.refresh or {}
        staying = {machine["InstanceId"] for machine in self.group["Instances"] if not is_leaving(machine)}
        before = [machine["InstanceId"] for machine in self.before["Instances"]]
        return {
            "instance_refresh_id": refresh.get("InstanceRefreshId", ""),
            "status": refresh.get("Status", ""),
            "status_reason": self._reason() if refresh else "",
            "percentage_complete": refresh.get("PercentageComplete", 0),
            "to_replace_instance_ids": self.to_replace,
            "instances_before": [instance_summary(machine) for machine in self.before["Instances"]],
            "instances_after": [instance_summary(machine) for machine in self.group["Instances"]],
            "replaced_instance_ids": sorted(set(before) - staying),
            "seconds": round(time.monotonic() - self.started, 1),
            "progress": self._progress() if refresh else "",
            "faults": self.faults,
            "consoles": self.consoles,
        }

    def _fail(self, reason, faults=None, **more):
        told = {**self._told(), "faults": self.faults if faults is None else faults, **more}
        self.module.fail_json(msg=explanation([reason], told["faults"], self.consoles), reason=reason, **told)


def check_arguments(module):
    """Refuse what AWS would refuse, with words that name the option."""
    given = module.params
    version = given["launch_template_version"]
    if version and not version.isdigit():
        module.fail_json(msg=f"launch_template_version is {version!r}: the number of a version is accepted.")
    least, most = given["min_healthy_percentage"], given["max_healthy_percentage"]
    if not 0 <= least <= 100:
        module.fail_json(msg=f"min_healthy_percentage is {least}: 0 to 100 is accepted.")
    if not 100 <= most <= 200 or (most > 100 and most - least > 100):
        module.fail_json(
            msg=f"max_healthy_percentage is {most}: 100 to 200, at most 100 more than min_healthy_percentage "
            f"({least}), is accepted."
        )
    checkpoints = given["checkpoint_percentages"]
    if checkpoints != sorted(set(checkpoints)) or any(not 1 <= checkpoint <= 100 for checkpoint in checkpoints):
        module.fail_json(
            msg=f"checkpoint_percentages is {checkpoints}: ascending numbers from 1 to 100, such as [35, 70, 100], are "
            "accepted."
        )
    for option in ("checkpoint_delay", "bake_time"):
        if not 0 <= given[option] <= 172800:
            module.fail_json(msg=f"{option} is {given[option]}: 0 to 172800 seconds are accepted.")


def main():
    module = AnsibleAWSModule(
        argument_spec=ARGUMENT_SPEC,
        required_by={"launch_template_name": ["launch_template_version"]},
        supports_check_mode=True,
    )
    check_arguments(module)
    run(module, Refresh(module).work)


if __name__ == "__main__":
    main()
