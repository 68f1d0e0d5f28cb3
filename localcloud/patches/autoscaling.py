"""Auto Scaling: groups, which moto changes within a call.

moto launches and terminates at once, all in the first subnet, knows no life cycle, and lacks several calls. These
work-rounds leave a call to say what is wanted; ``localcloud.autoscaling`` brings it about. They follow

- https://docs.aws.amazon.com/autoscaling/ec2/APIReference/API_CreateAutoScalingGroup.html (``AlreadyExists``, sizes,
  hooks given at creation, grace period 0 by default) and API_UpdateAutoScalingGroup.html (all fields)
- https://docs.aws.amazon.com/autoscaling/ec2/APIReference/API_DeleteAutoScalingGroup.html (``ForceDelete``)
- https://docs.aws.amazon.com/autoscaling/ec2/APIReference/API_SetDesiredCapacity.html (minimum and maximum)
- https://docs.aws.amazon.com/autoscaling/ec2/APIReference/API_AttachLoadBalancerTargetGroups.html and
  API_DetachLoadBalancerTargetGroups.html
- https://docs.aws.amazon.com/autoscaling/ec2/APIReference/API_DescribeScalingActivities.html
- https://docs.aws.amazon.com/autoscaling/ec2/APIReference/API_EnableMetricsCollection.html and
  API_DisableMetricsCollection.html
- https://docs.aws.amazon.com/autoscaling/ec2/APIReference/API_DescribeTags.html (sorted by key)

Members, hooks, refreshes, and policies with schedules have modules of their own.
"""

from __future__ import annotations

import functools
from typing import Any

from moto.autoscaling.exceptions import AutoscalingClientError, ValidationError
from moto.autoscaling.models import AutoScalingBackend, FakeAutoScalingGroup
from moto.autoscaling.responses import AutoScalingResponse
from moto.core.responses import ActionResult, EmptyResult

from localcloud import instance_refresh
from localcloud.autoscaling import Pass, run_all
from localcloud.autoscaling_members import members, state_of
from localcloud.patches import elbv2
from localcloud.patches._autoscaling import group_of
from localcloud.patches.autoscaling_hooks import put_hook

METRICS = (
    "GroupMinSize", "GroupMaxSize", "GroupDesiredCapacity", "GroupInServiceInstances", "GroupPendingInstances",
    "GroupStandbyInstances", "GroupTerminatingInstances", "GroupTotalInstances", "GroupInServiceCapacity",
    "GroupPendingCapacity", "GroupStandbyCapacity", "GroupTerminatingCapacity", "GroupTotalCapacity",
    "WarmPoolDesiredCapacity", "WarmPoolWarmedCapacity", "WarmPoolPendingCapacity", "WarmPoolTerminatingCapacity",
    "WarmPoolTotalCapacity", "GroupAndWarmPoolDesiredCapacity", "GroupAndWarmPoolTotalCapacity",
)  # fmt: skip
# Fields of Create and UpdateAutoScalingGroup that moto drops: request field to attribute.
FURTHER_FIELDS = {
    "CapacityRebalance": "capacity_rebalance",
    "Context": "context",
    "DefaultCooldown": "default_cooldown",
    "DefaultInstanceWarmup": "default_instance_warmup",
    "DesiredCapacityType": "desired_capacity_type",
    "InstanceMaintenancePolicy": "instance_maintenance_policy",
    "MaxInstanceLifetime": "max_instance_lifetime",
    "PlacementGroup": "placement_group",
    "ServiceLinkedRoleARN": "service_linked_role_arn",
    "TerminationPolicies": "termination_policies",
}


class AlreadyExistsError(AutoscalingClientError):  # noqa: D101
    code = "AlreadyExists"


class ResourceInUseError(AutoscalingClientError):  # noqa: D101
    code = "ResourceInUse"


class ScalingActivityInProgressError(AutoscalingClientError):  # noqa: D101
    code = "ScalingActivityInProgress"


@functools.cache
def apply() -> None:
    """Apply the work-rounds to the moto of this process."""
    FakeAutoScalingGroup.set_desired_capacity = _only_note_capacity
    FakeAutoScalingGroup.tags = property(lambda self: self._tags, _sort_tags(FakeAutoScalingGroup.tags.fset))
    AutoScalingBackend.update_attached_target_groups = _join_balancers
    AutoScalingBackend.notify_terminate_instances = lambda self, instance_ids: run_all(self)
    for name, method in _CALLS.items():
        setattr(AutoScalingResponse, name, method)
    AutoScalingResponse.create_auto_scaling_group = _create_group(AutoScalingResponse.create_auto_scaling_group)
    AutoScalingResponse.call_action = _with_passes(AutoScalingResponse.call_action)


def _with_passes(stock: Any) -> Any:
    """Look at the groups before a call, so that it answers what is, and after it, so that it takes effect."""

    @functools.wraps(stock)
    def call_action(self: Any) -> Any:
        run_all(self.autoscaling_backend)
        try:
            return stock(self)
        finally:
            run_all(self.autoscaling_backend)

    return call_action


def _only_note_capacity(self: FakeAutoScalingGroup, new_capacity: int | None) -> None:
    self.desired_capacity = self.min_size if new_capacity is None else int(new_capacity)


def _sort_tags(stock: Any) -> Any:
    def tags(self: FakeAutoScalingGroup, tags: list[dict[str, Any]]) -> None:
        stock(self, tags)
        self._tags = sorted(tags, key=lambda tag: tag["Key"])

    return tags


def _check_sizes(minimum: Any, maximum: Any, desired: Any) -> None:
    if minimum is not None and maximum is not None and int(minimum) > int(maximum):
        raise ValidationError(f"Max bound, {maximum}, must be greater than or equal to min bound, {minimum}")
    if desired is None:
        return
    if minimum is not None and int(desired) < int(minimum):
        raise ValidationError(
            f"Desired capacity:{desired} must be between the specified min size:{minimum} and max size:{maximum}"
        )
    if maximum is not None and int(desired) > int(maximum):
        raise ValidationError(
            f"Desired capacity:{desired} must be between the specified min size:{minimum} and max size:{maximum}"
        )


def _create_group(stock: Any) -> Any:
    @functools.wraps(stock)
    def create_auto_scaling_group(self: Any) -> Any:
        name = self._get_param("AutoScalingGroupName")
        backend = self.autoscaling_backend
        if name in backend.autoscaling_groups:
            raise AlreadyExistsError(
                "AlreadyExists", "AutoScalingGroup by this name already exists - A group with the name "
                f"{name} already exists",
            )  # fmt: skip
        _check_sizes(*(self._get_param(field) for field in ("MinSize", "MaxSize", "DesiredCapacity")))
        _check_target_groups(backend, self._get_param("TargetGroupARNs", []))
        result = stock(self)
        group = backend.autoscaling_groups[name]
        group.health_check_grace_period = self._get_int_param("HealthCheckGracePeriod", 0)
        group.launch_configuration_name = getattr(group, "launch_configuration_name", None)
        _set_further_fields(self, group)
        for hook in self._get_param("LifecycleHookSpecificationList", []):
            put_hook(backend, name, hook)
        return result

    return create_auto_scaling_group


def _check_target_groups(backend: AutoScalingBackend, arns: list[str]) -> None:
    for arn in arns:
        if arn not in backend.elbv2_backend.target_groups:
            raise ValidationError(f"Provided Target Groups may not be valid. Please ensure they exist: {arn}")


def _set_further_fields(self: Any, group: FakeAutoScalingGroup) -> None:
    for field, attribute in FURTHER_FIELDS.items():
        if (value := self._get_param(field)) is not None:
            setattr(group, attribute, value)


def _update_auto_scaling_group(self: Any) -> Any:
    group = group_of(self)
    minimum = self._get_int_param("MinSize", group.min_size)
    maximum = self._get_int_param("MaxSize", group.max_size)
    _check_sizes(minimum, maximum, self._get_int_param("DesiredCapacity"))
    if self._get_param("LaunchConfigurationName") and self._get_param("LaunchTemplate"):
        raise ValidationError(
            "Valid requests must contain either LaunchTemplate, LaunchConfigurationName or MixedInstancesPolicy "
            "parameter."
        )
    sources = ("LaunchConfigurationName", "LaunchTemplate", "MixedInstancesPolicy")
    if instance_refresh.changes_template(instance_refresh.active_refresh(group)) and any(map(self._get_param, sources)):
        raise ValidationError(
            "An active instance refresh with a desired configuration exists. All configuration options derived from "
            "the desired configuration are not available for update while the instance refresh is active."
        )
    group._set_azs_and_vpcs(self._get_param("AvailabilityZones", []), self._get_param("VPCZoneIdentifier"), update=True)
    policy = self._get_param("MixedInstancesPolicy")
    template = self._get_param("LaunchTemplate", {})
    if policy or template:
        group.mixed_instances_policy = policy
    group._set_launch_configuration(self._get_param("LaunchConfigurationName"), template, policy)
    if self._get_param("LaunchConfigurationName"):
        group.ec2_launch_template = None
    elif template or policy:
        group.launch_config, group.launch_configuration_name = None, None
    for field, attribute in (
        ("HealthCheckGracePeriod", "health_check_grace_period"),
        ("HealthCheckType", "health_check_type"),
        ("NewInstancesProtectedFromScaleIn", "new_instances_protected_from_scale_in"),
    ):
        if (value := self._get_param(field)) is not None:
            setattr(group, attribute, value)
    _set_further_fields(self, group)
    group.min_size, group.max_size = minimum, maximum
    desired = self._get_int_param("DesiredCapacity", group.desired_capacity)
    group.desired_capacity = max(int(minimum), min(int(maximum), int(desired)))
    return EmptyResult()


def _delete_auto_scaling_group(self: Any) -> Any:
    group = group_of(self)
    found = members(group)
    if not self._get_bool_param("ForceDelete", False):
        if any(member.active or member.lifecycle_state == "Standby" for member in found):
            raise ResourceInUseError(
                "ResourceInUse",
                "You cannot delete an AutoScalingGroup while there are instances or pending Spot instance request(s) "
                "still in the group.",
            )
        if found:
            raise ScalingActivityInProgressError(
                "ScalingActivityInProgress",
                "You cannot delete an AutoScalingGroup while there are scaling activities in progress for that group.",
            )
    Pass(group).begin_deletion()
    return EmptyResult()


def _set_desired_capacity(self: Any) -> Any:
    group = group_of(self)
    desired = self._get_int_param("DesiredCapacity")
    if desired > int(group.max_size):
        raise ValidationError(
            f"New SetDesiredCapacity value {desired} is above max value {group.max_size} for the AutoScalingGroup."
        )
    if desired < int(group.min_size):
        raise ValidationError(
            f"New SetDesiredCapacity value {desired} is below min value {group.min_size} for the AutoScalingGroup."
        )
    group.desired_capacity = desired
    return EmptyResult()


def _join_balancers(self: AutoScalingBackend, group_name: str) -> None:
    """Register the members in service with target groups that have just been attached."""
    group = self.autoscaling_groups[group_name]
    look = Pass(group)
    for member in members(group):
        if member.lifecycle_state == "InService":
            look.join_balancers(member)


def _attach_load_balancer_target_groups(self: Any) -> Any:
    group = group_of(self)
    arns = self._get_param("TargetGroupARNs", [])
    _check_target_groups(self.autoscaling_backend, arns)
    group.append_target_groups(arns)
    _join_balancers(self.autoscaling_backend, group.name)
    return EmptyResult()


def _detach_load_balancer_target_groups(self: Any) -> Any:
    group = group_of(self)
    arns = self._get_param("TargetGroupARNs", [])
    known = self.autoscaling_backend.elbv2_backend.target_groups
    for arn in arns:
        for member in members(group):
            if arn in known:
                elbv2.drain(known[arn], member.id)
    group.target_group_arns = [arn for arn in group.target_group_arns if arn not in arns]
    return EmptyResult()


def _describe_scaling_activities(self: Any) -> Any:
    wanted_group = self._get_param("AutoScalingGroupName")
    wanted = set(self._get_param("ActivityIds", []))
    found = [
        activity
        for group in self.autoscaling_backend.autoscaling_groups.values()
        if wanted_group in (None, group.name)
        for activity in state_of(group).activities
        if not wanted or activity.id in wanted
    ]
    found.sort(key=lambda activity: -activity.started)
    limit = self._get_int_param("MaxRecords", 100)
    start = int(self._get_param("NextToken") or 0)
    rest = len(found) > start + limit
    return ActionResult(
        {
            "Activities": [activity.describe() for activity in found[start : start + limit]],
            "NextToken": str(start + limit) if rest else None,
        }
    )


def _enable_metrics_collection(self: Any) -> Any:
    group = group_of(self)
    wanted = self._get_param("Metrics", []) or METRICS
    if unknown := [metric for metric in wanted if metric not in METRICS]:
        raise ValidationError(f"Unknown metrics: {unknown}")
    group.metrics = sorted({*group.metrics, *wanted}, key=METRICS.index)
    return EmptyResult()


def _disable_metrics_collection(self: Any) -> Any:
    group = group_of(self)
    dropped = self._get_param("Metrics", []) or METRICS
    group.metrics = [metric for metric in group.metrics if metric not in dropped]
    return EmptyResult()


_CALLS = {
    "attach_load_balancer_target_groups": _attach_load_balancer_target_groups,
    "delete_auto_scaling_group": _delete_auto_scaling_group,
    "describe_scaling_activities": _describe_scaling_activities,
    "detach_load_balancer_target_groups": _detach_load_balancer_target_groups,
    "disable_metrics_collection": _disable_metrics_collection,
    "enable_metrics_collection": _enable_metrics_collection,
    "set_desired_capacity": _set_desired_capacity,
    "update_auto_scaling_group": _update_auto_scaling_group,
}
