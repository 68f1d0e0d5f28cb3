"""Auto Scaling: the calls about members of a group, which moto lacks or carries out in one go.

- https://docs.aws.amazon.com/autoscaling/ec2/APIReference/API_AttachInstances.html, API_DetachInstances.html,
  API_EnterStandby.html, API_ExitStandby.html, API_TerminateInstanceInAutoScalingGroup.html
- https://docs.aws.amazon.com/autoscaling/ec2/APIReference/API_SetInstanceHealth.html (``ShouldRespectGracePeriod``)
- https://docs.aws.amazon.com/autoscaling/ec2/APIReference/API_SetInstanceProtection.html
"""

from __future__ import annotations

import functools
from typing import Any

from moto.autoscaling.exceptions import ValidationError
from moto.autoscaling.models import ASG_NAME_TAG, FakeAutoScalingGroup
from moto.autoscaling.responses import AutoScalingResponse
from moto.core.responses import ActionResult, EmptyResult
from moto.ec2.exceptions import InvalidInstanceIdError

from localcloud.autoscaling import Pass
from localcloud.autoscaling_members import Activity, Member, find_member, members
from localcloud.patches._autoscaling import group_of, member_of


@functools.cache
def apply() -> None:
    """Apply the work-rounds to the moto of this process."""
    for name, method in _CALLS.items():
        setattr(AutoScalingResponse, name, method)


def _attach_instances(self: Any) -> Any:
    group = group_of(self)
    ids = self._get_param("InstanceIds", [])
    if int(group.desired_capacity) + len(ids) > int(group.max_size):
        raise ValidationError(
            f"AutoScalingGroup {group.name} has min-size={group.min_size}, max-size={group.max_size}, and "
            f"desired-size={group.desired_capacity}. To attach {len(ids)} more instance, please update the "
            "AutoScalingGroup sizes appropriately."
        )
    instances = []
    for instance_id in ids:
        try:
            instance = self.autoscaling_backend.ec2_backend.get_instance(instance_id)
        except InvalidInstanceIdError as error:
            raise ValidationError(f"Invalid Instance ID(s): [{instance_id}] specified") from error
        if instance.state != "running" or find_member(self.autoscaling_backend, instance_id):
            raise ValidationError(f"Instance {instance_id} is not in correct state or already part of a group.")
        instances.append(instance)
    look = Pass(group)
    for instance in instances:
        member = Member(instance, group, look.now)
        # AWS runs launch hooks for attached instances too.
        member.activity = look.record(f"Attaching an existing EC2 instance: {member.id}", _request_cause(look))
        instance.add_tags({ASG_NAME_TAG: group.name})
        members(group).append(member)
    group.desired_capacity = int(group.desired_capacity) + len(instances)
    return EmptyResult()


def _detach_instances(self: Any) -> Any:
    group = group_of(self)
    found = [member_of(self, entry, group) for entry in self._get_param("InstanceIds", [])]
    _take_off_capacity(self, group, len(found))
    look = Pass(group)
    activities = []
    for member in found:
        activities.append(look.begin_detach(member, _request_cause(look)))
        self.autoscaling_backend.ec2_backend.delete_tags([member.id], {ASG_NAME_TAG: group.name})
    return _result(*activities)


def _enter_standby(self: Any) -> Any:
    group = group_of(self)
    found = [member_of(self, entry, group) for entry in self._get_param("InstanceIds", [])]
    for member in found:
        if member.lifecycle_state != "InService":
            raise ValidationError(f"The instance {member.id} is not in InService.")
    _take_off_capacity(self, group, len(found))
    look = Pass(group)
    return _result(*(look.begin_standby(member, _request_cause(look)) for member in found))


def _exit_standby(self: Any) -> Any:
    group = group_of(self)
    found = [member_of(self, entry, group) for entry in self._get_param("InstanceIds", [])]
    for member in found:
        if member.lifecycle_state != "Standby":
            raise ValidationError(f"The instance {member.id} is not in Standby.")
    if int(group.desired_capacity) + len(found) > int(group.max_size):
        raise ValidationError(
            f"AutoScalingGroup {group.name} has max-size={group.max_size}: moving {len(found)} instances out of "
            "Standby will violate it."
        )
    group.desired_capacity = int(group.desired_capacity) + len(found)
    look = Pass(group)
    return _result(*(look.end_standby(member, _request_cause(look)) for member in found))


def _terminate_instance_in_auto_scaling_group(self: Any) -> Any:
    member = member_of(self, self._get_param("InstanceId"))
    group = member.auto_scaling_group
    _take_off_capacity(self, group, 1)
    look = Pass(group)
    activity = look.begin_terminate(member, _request_cause(look))
    return ActionResult({"Activity": activity.describe()})


def _set_instance_health(self: Any) -> Any:
    status = self._get_param("HealthStatus")
    if status not in {"Healthy", "Unhealthy"}:
        raise ValidationError("Valid instance health states are: [Healthy, Unhealthy].")
    member = member_of(self, self._get_param("InstanceId"))
    group = member.auto_scaling_group
    grace = float(group.health_check_grace_period or 0)
    in_grace = member.in_service is None or Pass(group).now < member.in_service + grace
    if status == "Unhealthy" and in_grace and self._get_bool_param("ShouldRespectGracePeriod", True):
        return EmptyResult()
    member.health_status = status
    member.__dict__.pop("ailment", None)
    return EmptyResult()


def _set_instance_protection(self: Any) -> Any:
    group = group_of(self)
    found = [member_of(self, entry, group) for entry in self._get_param("InstanceIds", [])]
    for member in found:
        member.protected_from_scale_in = self._get_bool_param("ProtectedFromScaleIn")
    return EmptyResult()


def _request_cause(look: Pass) -> str:
    return f"{look.at()} in response to a user request."


def _result(*activities: Activity) -> Any:
    return ActionResult({"Activities": [activity.describe() for activity in activities]})


def _take_off_capacity(self: Any, group: FakeAutoScalingGroup, count: int) -> None:
    if not self._get_bool_param("ShouldDecrementDesiredCapacity", False):
        return
    if int(group.desired_capacity) - count < int(group.min_size):
        raise ValidationError(
            f"Currently, desiredSize equals minSize ({group.min_size}). Terminating, detaching or moving instance "
            "without replacement will violate group's min size constraint. Either set shouldDecrementDesiredCapacity "
            "flag to false or lower group's min size."
        )
    group.desired_capacity = int(group.desired_capacity) - count


_CALLS = {
    "attach_instances": _attach_instances,
    "detach_instances": _detach_instances,
    "enter_standby": _enter_standby,
    "exit_standby": _exit_standby,
    "set_instance_health": _set_instance_health,
    "set_instance_protection": _set_instance_protection,
    "terminate_instance_in_auto_scaling_group": _terminate_instance_in_auto_scaling_group,
}
