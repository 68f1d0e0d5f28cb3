# Copyright: stackyard contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Reading an Auto Scaling group: the group, its machines, which are outdated, and why some do not serve."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

with contextlib.suppress(ImportError):  # AnsibleAWSModule refuses to start without it
    import botocore.exceptions

GROUP_KIND = "auto scaling group"

# States of an instance on its way out, or out of the group's service altogether.
LEAVING = ("Terminating", "Terminated", "Detaching", "Detached")

# Tag of a group: the versions of its launch template that have served, without the present one unless it served twice.
SERVED_TAG = "stackyard:served-versions"
SERVED_KEPT = 10

# Tag of a group: its least number of machines, while it is lowered for a machine in standby.
MIN_SIZE_TAG = "stackyard:min-size"

# Tags that the modules keep for themselves, whatever tags are asked for.
OWN_TAGS = (SERVED_TAG, MIN_SIZE_TAG)

# How the fault of a machine begins that the group has ended.
GIVEN_UP = "was given up"

# Seconds that a refresh is followed, and between two lines about it, where nothing else is asked for.
REFRESH_WAIT_TIMEOUT = 3600
REFRESH_PROGRESS_INTERVAL = 10

REFRESH_RUNNING = ("Pending", "InProgress", "Cancelling", "RollbackInProgress", "Baking")


_TERMINAL_CODES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


def describe_group(api: Any, name: str) -> dict[str, Any] | None:
    """Return the group of that name, None when there is none."""
    groups = api.describe_auto_scaling_groups(AutoScalingGroupNames=[name])["AutoScalingGroups"]
    return groups[0] if groups else None


def group_tag(key: str, group: str, value: str | None = None) -> dict[str, Any]:
    """Return a tag of a group in the API's form, which its machines do not get; without a value, to delete it."""
    tag: dict[str, Any] = {"ResourceId": group, "ResourceType": "auto-scaling-group", "Key": key}
    return tag if value is None else {**tag, "Value": value, "PropagateAtLaunch": False}


def tag_of(group: Mapping[str, Any], key: str) -> str:
    """Return the value of a group's tag, empty when it has none."""
    return next((tag["Value"] for tag in group.get("Tags", []) if tag["Key"] == key), "")


def is_leaving(instance: Mapping[str, Any]) -> bool:
    """Tell whether a machine is on its way out of the group."""
    return instance["LifecycleState"].startswith(LEAVING)


def instance_summary(instance: Mapping[str, Any]) -> dict[str, str]:
    """Return what the modules tell of a machine."""
    return {
        "instance_id": instance["InstanceId"],
        "availability_zone": instance["AvailabilityZone"],
        "lifecycle_state": instance["LifecycleState"],
        "health_status": instance["HealthStatus"],
        "launch_template_version": instance.get("LaunchTemplate", {}).get("Version", ""),
    }


def outdated_instances(group: Mapping[str, Any], template_name: str, version: str) -> list[str]:
    """Return the ids of the machines that stay and were launched from another template or version."""
    outdated = []
    for instance in group.get("Instances", []):
        template = instance.get("LaunchTemplate", {})
        current = (template.get("LaunchTemplateName"), template.get("Version"))
        if not is_leaving(instance) and current != (template_name, version):
            outdated.append(instance["InstanceId"])
    return sorted(outdated)


def served_with(served: str, version: str) -> str:
    """Return the noted versions with the one that is about to be left as the last.

    Args:
        served: The value of the tag, numbers with blanks between them, the oldest first.
        version: The version that the group has.

    Versions behind it are dropped: the group had returned from them.
    """
    noted = served.split()
    noted = noted[: noted.index(version)] if version in noted else noted
    return " ".join([*noted, version][-SERVED_KEPT:])


def served_before(served: str, version: str) -> str:
    """Return the version that served before the one that the group has, empty when none is noted."""
    noted = served.split()
    before = noted[: noted.index(version)] if version in noted else noted
    return before[-1] if before else ""


def target_fault(state: Mapping[str, str]) -> str:
    """Return in words why a machine is not healthy in a target group."""
    why = " ".join(state[key] for key in ("Reason", "Description") if state.get(key))
    return f"is {state['State']} in the target group{': ' + why if why else ''}"


def machine_faults(elbv2: Any, group: Mapping[str, Any]) -> dict[str, str]:
    """Return why machines that stay in the group do not serve, by their ids."""
    machines = [instance for instance in group["Instances"] if not is_leaving(instance)]
    faults = {}
    for machine in machines:
        if machine["LifecycleState"] != "InService":
            faults[machine["InstanceId"]] = f"is {machine['LifecycleState']}"
        elif machine["HealthStatus"].lower() != "healthy":
            faults[machine["InstanceId"]] = f"is {machine['HealthStatus']} to the group"
    for arn in group.get("TargetGroupARNs", []):
        answer = elbv2.describe_target_health(TargetGroupArn=arn)
        health = {item["Target"]["Id"]: item["TargetHealth"] for item in answer["TargetHealthDescriptions"]}
        for machine in machines:
            state = health.get(machine["InstanceId"], {"State": "not registered"})
            if state["State"] != "healthy":
                faults.setdefault(machine["InstanceId"], target_fault(state))
    return faults


def failures_since(autoscaling: Any, group: str, since: datetime) -> list[tuple[str, str]]:
    """Return the machines that came to nothing since a moment, newest first, each with the reason that AWS gives.

    These are launches that failed or were given up, and machines launched since then that a health check took out of
    service. A launch that failed before there was a machine has an empty id.
    """
    activities = autoscaling.describe_scaling_activities(AutoScalingGroupName=group, MaxRecords=100)["Activities"]
    recent = [activity for activity in activities if activity["StartTime"] >= since]
    launched = {_machine(activity) for activity in recent if activity["Description"].startswith("Launching")}
    failures = []
    for activity in recent:
        machine = _machine(activity)
        if activity["Description"].startswith("Launching"):
            if activity["StatusCode"] in ("Failed", "Cancelled"):
                failures.append((machine, activity.get("StatusMessage") or activity["StatusCode"]))
        elif machine in launched and "health check" in activity.get("Cause", ""):
            failures.append((machine, activity["Cause"]))
    return failures


def _machine(activity: Mapping[str, Any]) -> str:
    found = re.search(r"\bi-[0-9a-f]+", activity["Description"])
    return found.group() if found else ""


def console_tail(ec2: Any, machine: str, lines: int) -> list[str]:
    """Return the last lines of a machine's console, none when AWS has none (any more).

    Where a machine has told why its boot failed, these are the lines of that: those behind them tell of its end.
    """
    # The newest lines can be had of Nitro machines only; of others those that AWS has stored.
    for newest in ({"Latest": True}, {}):
        with contextlib.suppress(botocore.exceptions.ClientError, botocore.exceptions.BotoCoreError):
            output = _TERMINAL_CODES.sub("", ec2.get_console_output(InstanceId=machine, **newest).get("Output", ""))
            console = [line.rstrip() for line in output.splitlines()]
            return ([line for line in console if tells_of_boot([line])] or console)[-lines:]
    return []


def tells_of_boot(console: Iterable[str]) -> bool:
    """Tell whether a console holds what a machine of ours writes there when its boot fails."""
    return any(line.startswith("stackyard: ") for line in console)


def explanation(sentences: Iterable[str], faults: Mapping[str, str], consoles: Mapping[str, list[str]]) -> str:
    """Return a failure in words: what failed, each machine that is at fault, and the last lines of its console."""
    parts = list(sentences)
    for machine, fault in sorted(faults.items()):
        parts.append(f"Machine {machine} {fault}{'' if fault.endswith('.') else '.'}")
        if consoles.get(machine):
            parts.append("Last lines of its console:\n" + "\n".join(consoles[machine]))
    return "\n".join(parts)
