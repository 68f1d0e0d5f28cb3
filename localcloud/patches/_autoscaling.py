"""Auto Scaling: what the calls' modules share, the groups and members that requests name."""

from __future__ import annotations

from typing import Any

from moto.autoscaling.exceptions import ValidationError
from moto.autoscaling.models import FakeAutoScalingGroup

from localcloud.autoscaling_members import Member, find_member


def group_of(self: Any) -> FakeAutoScalingGroup:
    """The group that a request names."""
    name = self._get_param("AutoScalingGroupName")
    group = self.autoscaling_backend.autoscaling_groups.get(name)
    if group is None:
        raise ValidationError(f"AutoScalingGroup name not found - AutoScalingGroup '{name}' not found")
    return group


def member_of(self: Any, instance_id: str, group: FakeAutoScalingGroup | None = None) -> Member:
    """The member that is this instance, of the group if one is given."""
    member = find_member(self.autoscaling_backend, instance_id)
    if member is None or (group is not None and member.auto_scaling_group is not group):
        raise (
            ValidationError(f"The instance {instance_id} is not part of Auto Scaling group {group.name}.")
            if (group is not None)
            else ValidationError(f"Instance Id not found - No managed instance found for instance ID {instance_id}")
        )
    return member
