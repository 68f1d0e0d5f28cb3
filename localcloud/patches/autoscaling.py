"""Auto Scaling: the calls that moto lacks, and those that it carries out in one go.

moto launches and terminates within a call, all in the first subnet, knows no life cycle, and lacks several calls.
These work-rounds leave a call to say what is wanted; ``localcloud.autoscaling`` brings it about. They follow

- https://docs.aws.amazon.com/autoscaling/ec2/APIReference/API_CreateAutoScalingGroup.html (``AlreadyExists``, sizes,
  hooks given at creation, grace period 0 by default) and API_UpdateAutoScalingGroup.html (all fields)
- https://docs.aws.amazon.com/autoscaling/ec2/APIReference/API_DeleteAutoScalingGroup.html (``ForceDelete``)
- https://docs.aws.amazon.com/autoscaling/ec2/APIReference/API_SetDesiredCapacity.html (minimum and maximum)
- https://docs.aws.amazon.com/autoscaling/ec2/APIReference/API_DescribeScalingActivities.html
- https://docs.aws.amazon.com/autoscaling/ec2/APIReference/API_StartInstanceRefresh.html,
  API_DescribeInstanceRefreshes.html, API_CancelInstanceRefresh.html, API_RollbackInstanceRefresh.html
- https://docs.aws.amazon.com/autoscaling/ec2/APIReference/API_PutLifecycleHook.html,
  API_CompleteLifecycleAction.html, API_RecordLifecycleActionHeartbeat.html
- https://docs.aws.amazon.com/autoscaling/ec2/APIReference/API_SetInstanceHealth.html (``ShouldRespectGracePeriod``)
- https://docs.aws.amazon.com/autoscaling/ec2/APIReference/API_AttachInstances.html, API_DetachInstances.html,
  API_EnterStandby.html, API_ExitStandby.html, API_TerminateInstanceInAutoScalingGroup.html
- https://docs.aws.amazon.com/autoscaling/ec2/APIReference/API_EnableMetricsCollection.html and
  API_DisableMetricsCollection.html
- https://docs.aws.amazon.com/autoscaling/ec2/APIReference/API_PutScheduledUpdateGroupAction.html and
  API_PutScalingPolicy.html (names are unique within a group, not within an account)
- https://docs.aws.amazon.com/autoscaling/ec2/APIReference/API_DescribeTags.html (sorted by key)
"""

from __future__ import annotations

import functools
import re
import time
from typing import Any

from moto.autoscaling.exceptions import AutoscalingClientError, ValidationError
from moto.autoscaling.models import (
    ASG_NAME_TAG,
    AutoScalingBackend,
    FakeAutoScalingGroup,
    FakeScalingPolicy,
    LifecycleHook,
)
from moto.autoscaling.responses import AutoScalingResponse
from moto.core.exceptions import ServiceException
from moto.core.responses import ActionResult, EmptyResult
from moto.ec2.exceptions import InvalidInstanceIdError

from localcloud import autoscaling as engine
from localcloud import instance_refresh

METRICS = (
    "GroupMinSize", "GroupMaxSize", "GroupDesiredCapacity", "GroupInServiceInstances", "GroupPendingInstances",
    "GroupStandbyInstances", "GroupTerminatingInstances", "GroupTotalInstances", "GroupInServiceCapacity",
    "GroupPendingCapacity", "GroupStandbyCapacity", "GroupTerminatingCapacity", "GroupTotalCapacity",
    "WarmPoolDesiredCapacity", "WarmPoolWarmedCapacity", "WarmPoolPendingCapacity", "WarmPoolTerminatingCapacity",
    "WarmPoolTotalCapacity", "GroupAndWarmPoolDesiredCapacity", "GroupAndWarmPoolTotalCapacity",
)  # fmt: skip
MAX_HOOK_SECONDS = 172800
MAX_REFRESH_WAIT, MAX_REFRESH_ALARMS = 172800, 10
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


class InstanceRefreshInProgressError(AutoscalingClientError):  # noqa: D101
    code = "InstanceRefreshInProgress"
    message = "An Instance Refresh is already in progress and blocks the execution of this Instance Refresh."


class ActiveInstanceRefreshNotFoundError(AutoscalingClientError):  # noqa: D101
    code = "ActiveInstanceRefreshNotFound"


class IrreversibleInstanceRefreshError(AutoscalingClientError):  # noqa: D101
    code = "IrreversibleInstanceRefresh"


@functools.cache
def apply() -> None:
    """Apply the work-rounds to the moto of this process."""
    FakeAutoScalingGroup.set_desired_capacity = _only_note_capacity
    FakeAutoScalingGroup.tags = property(lambda self: self._tags, _sort_tags(FakeAutoScalingGroup.tags.fset))
    FakeScalingPolicy.execute = _within_sizes(FakeScalingPolicy.execute)
    AutoScalingBackend.update_attached_target_groups = _join_balancers
    AutoScalingBackend.notify_terminate_instances = lambda self, instance_ids: _look(self)
    AutoScalingBackend.put_scheduled_update_group_action = _keyed_by_group(
        AutoScalingBackend.put_scheduled_update_group_action, "scheduled_actions", "name", "scheduled_action_name"
    )
    AutoScalingBackend.put_scaling_policy = _keyed_by_group(
        AutoScalingBackend.put_scaling_policy, "policies", "as_name", "name"
    )
    AutoScalingBackend.delete_scheduled_action = _delete_scheduled_action
    for name, method in _CALLS.items():
        setattr(AutoScalingResponse, name, method)
    AutoScalingResponse.create_auto_scaling_group = _create_group(AutoScalingResponse.create_auto_scaling_group)
    AutoScalingResponse.call_action = _with_passes(AutoScalingResponse.call_action)


def _with_passes(stock: Any) -> Any:
    """Look at the groups before a call, so that it answers what is, and after it, so that it takes effect."""

    @functools.wraps(stock)
    def call_action(self: Any) -> Any:
        _look(self.autoscaling_backend)
        try:
            return stock(self)
        finally:
            _look(self.autoscaling_backend)

    return call_action


def _look(backend: AutoScalingBackend) -> None:
    engine.run_all(backend)


# Groups
# ------


def _group(self: Any, parameter: str = "AutoScalingGroupName") -> FakeAutoScalingGroup:
    name = self._get_param(parameter)
    group = self.autoscaling_backend.autoscaling_groups.get(name)
    if group is None:
        raise ValidationError(f"AutoScalingGroup name not found - AutoScalingGroup '{name}' not found")
    return group


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
            _put_hook(backend, name, hook)
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
    group = _group(self)
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
    group = _group(self)
    members = engine.members(group)
    if not self._get_bool_param("ForceDelete", False):
        if any(member.active or member.lifecycle_state == "Standby" for member in members):
            raise ResourceInUseError(
                "ResourceInUse",
                "You cannot delete an AutoScalingGroup while there are instances or pending Spot instance request(s) "
                "still in the group.",
            )
        if members:
            raise ScalingActivityInProgressError(
                "ScalingActivityInProgress",
                "You cannot delete an AutoScalingGroup while there are scaling activities in progress for that group.",
            )
    engine.Pass(group).begin_deletion()
    return EmptyResult()


def _set_desired_capacity(self: Any) -> Any:
    group = _group(self)
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


def _within_sizes(stock: Any) -> Any:
    """A policy may ask for more than the group may have; it then gets what the group may have."""

    @functools.wraps(stock)
    def execute(self: FakeScalingPolicy) -> None:
        stock(self)
        group = self.autoscaling_backend.autoscaling_groups[self.auto_scaling_group_name]
        group.desired_capacity = max(int(group.min_size), min(int(group.max_size), int(group.desired_capacity)))

    return execute


def _join_balancers(self: AutoScalingBackend, group_name: str) -> None:
    """Register the members in service with target groups that have just been attached."""
    group = self.autoscaling_groups[group_name]
    look = engine.Pass(group)
    for member in engine.members(group):
        if member.lifecycle_state == "InService":
            look.join_balancers(member)


def _attach_load_balancer_target_groups(self: Any) -> Any:
    group = _group(self)
    arns = self._get_param("TargetGroupARNs", [])
    _check_target_groups(self.autoscaling_backend, arns)
    group.append_target_groups(arns)
    _join_balancers(self.autoscaling_backend, group.name)
    return EmptyResult()


def _detach_load_balancer_target_groups(self: Any) -> Any:
    from localcloud.patches import elbv2  # noqa: PLC0415 (only here)

    group = _group(self)
    arns = self._get_param("TargetGroupARNs", [])
    known = self.autoscaling_backend.elbv2_backend.target_groups
    for arn in arns:
        for member in engine.members(group):
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
        for activity in engine.state_of(group).activities
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


# Instances
# ---------


def _member(self: Any, instance_id: str, group: FakeAutoScalingGroup | None = None) -> engine.Member:
    member = engine.find_member(self.autoscaling_backend, instance_id)
    if member is None or (group is not None and member.auto_scaling_group is not group):
        raise (
            ValidationError(f"The instance {instance_id} is not part of Auto Scaling group {group.name}.")
            if (group is not None)
            else ValidationError(f"Instance Id not found - No managed instance found for instance ID {instance_id}")
        )
    return member


def _result(*activities: engine.Activity) -> Any:
    return ActionResult({"Activities": [activity.describe() for activity in activities]})


def _attach_instances(self: Any) -> Any:
    group = _group(self)
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
        if instance.state != "running" or engine.find_member(self.autoscaling_backend, instance_id):
            raise ValidationError(f"Instance {instance_id} is not in correct state or already part of a group.")
        instances.append(instance)
    look = engine.Pass(group)
    for instance in instances:
        member = engine.Member(instance, group, look.now)
        # AWS runs launch hooks for attached instances too.
        member.activity = look.record(f"Attaching an existing EC2 instance: {member.id}", _request_cause(look))
        instance.add_tags({ASG_NAME_TAG: group.name})
        engine.members(group).append(member)
    group.desired_capacity = int(group.desired_capacity) + len(instances)
    return EmptyResult()


def _request_cause(look: engine.Pass) -> str:
    return f"At {engine.moment(look.now):%Y-%m-%dT%H:%M:%SZ} in response to a user request."


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


def _detach_instances(self: Any) -> Any:
    group = _group(self)
    found = [_member(self, entry, group) for entry in self._get_param("InstanceIds", [])]
    _take_off_capacity(self, group, len(found))
    look = engine.Pass(group)
    activities = []
    for member in found:
        activities.append(look.begin_detach(member, _request_cause(look)))
        self.autoscaling_backend.ec2_backend.delete_tags([member.id], {ASG_NAME_TAG: group.name})
    return _result(*activities)


def _enter_standby(self: Any) -> Any:
    group = _group(self)
    found = [_member(self, entry, group) for entry in self._get_param("InstanceIds", [])]
    for member in found:
        if member.lifecycle_state != "InService":
            raise ValidationError(f"The instance {member.id} is not in InService.")
    _take_off_capacity(self, group, len(found))
    look = engine.Pass(group)
    return _result(*(look.begin_standby(member, _request_cause(look)) for member in found))


def _exit_standby(self: Any) -> Any:
    group = _group(self)
    found = [_member(self, entry, group) for entry in self._get_param("InstanceIds", [])]
    for member in found:
        if member.lifecycle_state != "Standby":
            raise ValidationError(f"The instance {member.id} is not in Standby.")
    if int(group.desired_capacity) + len(found) > int(group.max_size):
        raise ValidationError(
            f"AutoScalingGroup {group.name} has max-size={group.max_size}: moving {len(found)} instances out of "
            "Standby will violate it."
        )
    group.desired_capacity = int(group.desired_capacity) + len(found)
    look = engine.Pass(group)
    return _result(*(look.end_standby(member, _request_cause(look)) for member in found))


def _terminate_instance_in_auto_scaling_group(self: Any) -> Any:
    member = _member(self, self._get_param("InstanceId"))
    group = member.auto_scaling_group
    _take_off_capacity(self, group, 1)
    look = engine.Pass(group)
    activity = look.begin_terminate(member, _request_cause(look))
    return ActionResult({"Activity": activity.describe()})


def _set_instance_health(self: Any) -> Any:
    status = self._get_param("HealthStatus")
    if status not in {"Healthy", "Unhealthy"}:
        raise ValidationError("Valid instance health states are: [Healthy, Unhealthy].")
    member = _member(self, self._get_param("InstanceId"))
    grace = float(member.auto_scaling_group.health_check_grace_period or 0)
    in_grace = member.in_service is None or time.time() < member.in_service + grace
    if status == "Unhealthy" and in_grace and self._get_bool_param("ShouldRespectGracePeriod", True):
        return EmptyResult()
    member.health_status = status
    member.__dict__.pop("ailment", None)
    return EmptyResult()


def _set_instance_protection(self: Any) -> Any:
    group = _group(self)
    found = [_member(self, entry, group) for entry in self._get_param("InstanceIds", [])]
    for member in found:
        member.protected_from_scale_in = self._get_bool_param("ProtectedFromScaleIn")
    return EmptyResult()


# Metrics
# -------


def _enable_metrics_collection(self: Any) -> Any:
    group = _group(self)
    wanted = self._get_param("Metrics", []) or METRICS
    if unknown := [metric for metric in wanted if metric not in METRICS]:
        raise ValidationError(f"Unknown metrics: {unknown}")
    group.metrics = sorted({*group.metrics, *wanted}, key=METRICS.index)
    return EmptyResult()


def _disable_metrics_collection(self: Any) -> Any:
    group = _group(self)
    dropped = self._get_param("Metrics", []) or METRICS
    group.metrics = [metric for metric in group.metrics if metric not in dropped]
    return EmptyResult()


# Names within a group
# --------------------


def _keyed_by_group(stock: Any, table: str, group_argument: str, name_argument: str) -> Any:
    """Keep an entry under its group and name; moto's key is the name alone."""

    @functools.wraps(stock)
    def put(self: AutoScalingBackend, **options: Any) -> Any:
        group, name = options[group_argument], options[name_argument]
        if group not in self.autoscaling_groups:
            raise ValidationError(f"AutoScalingGroup name not found - AutoScalingGroup '{group}' not found")
        entries = getattr(self, table)
        other = entries.pop(name, None)
        entry = stock(self, **options)
        del entries[name]
        if other is not None:
            entries[name] = other
        entries[f"{group}/{name}"] = entry
        return entry

    return put


def _delete_scheduled_action(
    self: AutoScalingBackend, auto_scaling_group_name: str, scheduled_action_name: str
) -> None:
    key = f"{auto_scaling_group_name}/{scheduled_action_name}"
    if self.scheduled_actions.pop(key, None) is None:
        raise ValidationError("Scheduled action name not found")


def _policy_key(self: Any) -> str:
    name, group = self._get_param("PolicyName"), self._get_param("AutoScalingGroupName")
    for key, policy in self.autoscaling_backend.policies.items():
        if name in (policy.name, policy.arn) and group in (None, policy.auto_scaling_group_name):
            return str(key)
    raise ValidationError(f"PolicyName: {name} not found")


def _delete_policy(self: Any) -> Any:
    del self.autoscaling_backend.policies[_policy_key(self)]
    return EmptyResult()


def _execute_policy(self: Any) -> Any:
    self.autoscaling_backend.policies[_policy_key(self)].execute()
    return EmptyResult()


# Life cycle hooks
# ----------------


def _put_lifecycle_hook(self: Any) -> Any:
    group = _group(self)
    _put_hook(self.autoscaling_backend, group.name, self._get_params())
    return EmptyResult()


def _put_hook(backend: AutoScalingBackend, group: str, fields: dict[str, Any]) -> None:
    name = fields["LifecycleHookName"]
    if not re.fullmatch(r"[A-Za-z0-9_/-]{1,255}", name):
        raise ValidationError(f"Lifecycle hook name {name} must match [A-Za-z0-9\\-_\\/]+")
    known = backend.lifecycle_hooks.get(f"{group}_{name}")
    transition = fields.get("LifecycleTransition") or getattr(known, "lifecycle_transition", None)
    if transition not in {engine.LAUNCHING, engine.TERMINATING}:
        raise ValidationError(f"Invalid lifecycle transition {transition}")
    timeout = int(fields.get("HeartbeatTimeout") or getattr(known, "heartbeat_timeout", None) or 3600)
    if not 30 <= timeout <= 7200:
        raise ValidationError(f"HeartbeatTimeout {timeout} must be between 30 and 7200 seconds")
    result = fields.get("DefaultResult") or getattr(known, "default_result", None) or "ABANDON"
    if result not in {"CONTINUE", "ABANDON"}:
        raise ValidationError(f"Invalid default result {result}: use CONTINUE or ABANDON")
    hook = LifecycleHook(name, group, transition, timeout, result)
    hook.global_timeout = min(MAX_HOOK_SECONDS, 100 * timeout)
    hook.notification_metadata = fields.get("NotificationMetadata")
    hook.notification_target_arn = fields.get("NotificationTargetARN")
    hook.role_arn = fields.get("RoleARN")
    backend.lifecycle_hooks[f"{group}_{name}"] = hook


def _delete_lifecycle_hook(self: Any) -> Any:
    group = _group(self)
    name = self._get_param("LifecycleHookName")
    if self.autoscaling_backend.lifecycle_hooks.pop(f"{group.name}_{name}", None) is None:
        raise ValidationError(f"No Lifecycle Hook found with name {name}")
    # AWS completes the outstanding actions of a hook that is deleted.
    look = engine.Pass(group)
    for member in engine.members(group):
        for wait in [entry for entry in member.waits if entry.hook == name]:
            look.complete(member, wait, "ABANDON" if member.lifecycle_state == "Pending:Wait" else "CONTINUE")
    return EmptyResult()


def _wait(self: Any, group: FakeAutoScalingGroup) -> tuple[engine.Member, engine.Wait]:
    hook = self._get_param("LifecycleHookName")
    instance_id, token = self._get_param("InstanceId"), self._get_param("LifecycleActionToken")
    if f"{group.name}_{hook}" not in self.autoscaling_backend.lifecycle_hooks:
        raise ValidationError(f"No Lifecycle Hook found with name {hook}")
    for member in engine.members(group):
        for wait in member.waits:
            if wait.hook == hook and instance_id in (None, member.id) and token in (None, wait.token):
                return member, wait
    missing = f"instance ID {instance_id}" if instance_id else f"token {token}"
    raise ValidationError(f"No active Lifecycle Action found with {missing}")


def _complete_lifecycle_action(self: Any) -> Any:
    group = _group(self)
    result = self._get_param("LifecycleActionResult")
    if result not in {"CONTINUE", "ABANDON"}:
        raise ValidationError(f"Invalid lifecycle action result {result}: use CONTINUE or ABANDON")
    member, wait = _wait(self, group)
    engine.Pass(group).complete(member, wait, result)
    return ActionResult({})


def _record_lifecycle_action_heartbeat(self: Any) -> Any:
    _, wait = _wait(self, _group(self))
    wait.deadline = time.time() + wait.heartbeat
    return ActionResult({})


def _describe_lifecycle_hook_types(self: Any) -> Any:
    return ActionResult({"LifecycleHookTypes": [engine.LAUNCHING, engine.TERMINATING]})


# Instance refresh
# ----------------


def _start_instance_refresh(self: Any) -> Any:
    group = _group(self)
    if instance_refresh.active_refresh(group) is not None:
        raise InstanceRefreshInProgressError()
    given = dict(self._get_param("Preferences", {}) or {})
    desired = self._get_param("DesiredConfiguration")
    preferences = _preferences(group, given)
    try:
        spec = instance_refresh.desired_spec(group, desired)
    except ServiceException as error:
        raise ValidationError(f"You must use a valid fully-formed launch template. {error.message}") from error
    refresh = instance_refresh.Refresh(
        group=group.name,
        started=time.time(),
        preferences=preferences,
        strategy=self._get_param("Strategy", "Rolling"),
        desired=desired,
        desired_spec=spec,
    )
    if preferences["AutoRollback"]:
        refresh.previous_spec = instance_refresh.own_spec(group)
        if reason := instance_refresh.check_reversible(group, refresh):
            raise ValidationError(f"The instance refresh cannot be rolled back automatically: {reason}.")
    instance_refresh.start(group, refresh)
    return ActionResult({"InstanceRefreshId": refresh.id})


def _preferences(group: FakeAutoScalingGroup, given: dict[str, Any]) -> dict[str, Any]:
    """The preferences of a request, checked, with what AWS fills in.

    https://docs.aws.amazon.com/autoscaling/ec2/APIReference/API_RefreshPreferences.html
    """
    policy = getattr(group, "instance_maintenance_policy", None) or {}
    preferences = instance_refresh.DEFAULTS | {bound: value for bound, value in policy.items() if value != -1} | given
    _check_bounds(given, preferences)
    for field, accepted in (
        ("ScaleInProtectedInstances", {"Refresh", "Ignore", "Wait"}),
        ("StandbyInstances", {"Terminate", "Ignore", "Wait"}),
    ):
        if preferences[field] not in accepted:
            raise ValidationError(f"{field} must be one of {', '.join(sorted(accepted))}")
    if len((preferences.get("AlarmSpecification") or {}).get("Alarms") or []) > MAX_REFRESH_ALARMS:
        raise ValidationError(f"AlarmSpecification may have {MAX_REFRESH_ALARMS} alarms at most")
    _check_checkpoints(preferences)
    if preferences.get("CheckpointPercentages"):
        preferences.setdefault("CheckpointDelay", instance_refresh.CHECKPOINT_DELAY)
    if "InstanceWarmup" not in preferences or preferences["InstanceWarmup"] == -1:
        warm_up = getattr(group, "default_instance_warmup", None)
        if warm_up is None or warm_up == -1:
            warm_up = group.health_check_grace_period or 0
        preferences["InstanceWarmup"] = int(warm_up)
    return preferences


def _check_bounds(given: dict[str, Any], preferences: dict[str, Any]) -> None:
    if "MaxHealthyPercentage" in given and "MinHealthyPercentage" not in given:
        raise ValidationError("MaxHealthyPercentage needs MinHealthyPercentage")
    minimum, maximum = preferences["MinHealthyPercentage"], preferences.get("MaxHealthyPercentage", 100)
    if not 0 <= minimum <= 100:
        raise ValidationError(f"MinHealthyPercentage {minimum} must be between 0 and 100")
    if not 100 <= maximum <= 200:
        raise ValidationError(f"MaxHealthyPercentage {maximum} must be between 100 and 200")
    if maximum > 100 and maximum - minimum > 100:
        raise ValidationError("The difference between MaxHealthyPercentage and MinHealthyPercentage is above 100")


def _check_checkpoints(preferences: dict[str, Any]) -> None:
    for field in ("BakeTime", "CheckpointDelay"):
        if not 0 <= preferences.get(field, 0) <= MAX_REFRESH_WAIT:
            raise ValidationError(f"{field} must be between 0 and {MAX_REFRESH_WAIT} seconds")
    checkpoints = preferences.get("CheckpointPercentages") or []
    if checkpoints != sorted(set(checkpoints)) or any(not 1 <= entry <= 100 for entry in checkpoints):
        raise ValidationError("CheckpointPercentages must be unique, ascending, and between 1 and 100")
    if "CheckpointDelay" in preferences and not checkpoints:
        raise ValidationError("CheckpointDelay needs CheckpointPercentages")


def _describe_instance_refreshes(self: Any) -> Any:
    group = _group(self)
    wanted = set(self._get_param("InstanceRefreshIds", []))
    found = [refresh for refresh in instance_refresh.refreshes(group) if not wanted or refresh.id in wanted]
    if missing := wanted - {refresh.id for refresh in found}:
        raise ValidationError(f"Instance refresh not found: {', '.join(sorted(missing))}")
    limit = self._get_int_param("MaxRecords", 50)
    start = int(self._get_param("NextToken") or 0)
    return ActionResult(
        {
            "InstanceRefreshes": [refresh.describe() for refresh in found[start : start + limit]],
            "NextToken": str(start + limit) if len(found) > start + limit else None,
        }
    )


def _active_refresh(group: FakeAutoScalingGroup) -> instance_refresh.Refresh:
    refresh = instance_refresh.active_refresh(group)
    if refresh is None or refresh.status == "Cancelling":
        raise ActiveInstanceRefreshNotFoundError(
            "ActiveInstanceRefreshNotFound",
            f"No in progress or pending Instance Refresh found for Auto Scaling group {group.name}",
        )
    return refresh


def _cancel_instance_refresh(self: Any) -> Any:
    refresh = _active_refresh(_group(self))
    refresh.status, refresh.wait_until = "Cancelling", None
    refresh.reason = "Cancelled due to user request."
    refresh.wait_for_transitions = self._get_bool_param("WaitForTransitioningInstances", True)
    return ActionResult({"InstanceRefreshId": refresh.id})


def _rollback_instance_refresh(self: Any) -> Any:
    group = _group(self)
    refresh = _active_refresh(group)
    if refresh.rolling_back:
        raise InstanceRefreshInProgressError()
    if reason := instance_refresh.check_reversible(group, refresh):
        raise IrreversibleInstanceRefreshError(
            "IrreversibleInstanceRefresh", f"The instance refresh cannot be rolled back: {reason}."
        )
    instance_refresh.roll_back(engine.Pass(group), refresh, "Rollback by user request.")
    return ActionResult({"InstanceRefreshId": refresh.id})


_CALLS = {
    "attach_instances": _attach_instances,
    "attach_load_balancer_target_groups": _attach_load_balancer_target_groups,
    "cancel_instance_refresh": _cancel_instance_refresh,
    "complete_lifecycle_action": _complete_lifecycle_action,
    "delete_auto_scaling_group": _delete_auto_scaling_group,
    "delete_lifecycle_hook": _delete_lifecycle_hook,
    "delete_policy": _delete_policy,
    "describe_instance_refreshes": _describe_instance_refreshes,
    "describe_lifecycle_hook_types": _describe_lifecycle_hook_types,
    "describe_scaling_activities": _describe_scaling_activities,
    "detach_instances": _detach_instances,
    "detach_load_balancer_target_groups": _detach_load_balancer_target_groups,
    "disable_metrics_collection": _disable_metrics_collection,
    "enable_metrics_collection": _enable_metrics_collection,
    "enter_standby": _enter_standby,
    "execute_policy": _execute_policy,
    "exit_standby": _exit_standby,
    "put_lifecycle_hook": _put_lifecycle_hook,
    "record_lifecycle_action_heartbeat": _record_lifecycle_action_heartbeat,
    "rollback_instance_refresh": _rollback_instance_refresh,
    "set_desired_capacity": _set_desired_capacity,
    "set_instance_health": _set_instance_health,
    "set_instance_protection": _set_instance_protection,
    "start_instance_refresh": _start_instance_refresh,
    "terminate_instance_in_auto_scaling_group": _terminate_instance_in_auto_scaling_group,
    "update_auto_scaling_group": _update_auto_scaling_group,
}
