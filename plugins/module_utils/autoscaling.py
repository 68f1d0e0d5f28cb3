# Copyright: stackyard contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Reading an Auto Scaling group: the group, its machines, which of them are outdated."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

GROUP_KIND = "auto scaling group"

# States of an instance on its way out, or out of the group's service altogether.
LEAVING = ("Terminating", "Terminated", "Detaching", "Detached")


def describe_group(api: Any, name: str) -> dict[str, Any] | None:
    """Return the group of that name, None when there is none."""
    groups = api.describe_auto_scaling_groups(AutoScalingGroupNames=[name])["AutoScalingGroups"]
    return groups[0] if groups else None


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
