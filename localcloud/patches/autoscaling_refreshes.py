"""Auto Scaling: the calls about instance refreshes, which moto lacks.

- https://docs.aws.amazon.com/autoscaling/ec2/APIReference/API_StartInstanceRefresh.html,
  API_DescribeInstanceRefreshes.html, API_CancelInstanceRefresh.html, API_RollbackInstanceRefresh.html
"""

from __future__ import annotations

import functools
from typing import Any

from moto.autoscaling.exceptions import AutoscalingClientError, ValidationError
from moto.autoscaling.models import FakeAutoScalingGroup
from moto.autoscaling.responses import AutoScalingResponse
from moto.core.exceptions import ServiceException
from moto.core.responses import ActionResult

from localcloud import instance_refresh
from localcloud.autoscaling import Pass
from localcloud.patches._autoscaling import group_of

MAX_WAIT, MAX_ALARMS = 172800, 10


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
    for name, method in _CALLS.items():
        setattr(AutoScalingResponse, name, method)


def _start_instance_refresh(self: Any) -> Any:
    group = group_of(self)
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
        started=Pass(group).now,
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
    if len((preferences.get("AlarmSpecification") or {}).get("Alarms") or []) > MAX_ALARMS:
        raise ValidationError(f"AlarmSpecification may have {MAX_ALARMS} alarms at most")
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
        if not 0 <= preferences.get(field, 0) <= MAX_WAIT:
            raise ValidationError(f"{field} must be between 0 and {MAX_WAIT} seconds")
    checkpoints = preferences.get("CheckpointPercentages") or []
    if checkpoints != sorted(set(checkpoints)) or any(not 1 <= entry <= 100 for entry in checkpoints):
        raise ValidationError("CheckpointPercentages must be unique, ascending, and between 1 and 100")
    if "CheckpointDelay" in preferences and not checkpoints:
        raise ValidationError("CheckpointDelay needs CheckpointPercentages")


def _describe_instance_refreshes(self: Any) -> Any:
    group = group_of(self)
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
    refresh = _active_refresh(group_of(self))
    refresh.status, refresh.wait_until = "Cancelling", None
    refresh.reason = "Cancelled due to user request."
    refresh.wait_for_transitions = self._get_bool_param("WaitForTransitioningInstances", True)
    return ActionResult({"InstanceRefreshId": refresh.id})


def _rollback_instance_refresh(self: Any) -> Any:
    group = group_of(self)
    refresh = _active_refresh(group)
    if refresh.rolling_back:
        raise InstanceRefreshInProgressError()
    if reason := instance_refresh.check_reversible(group, refresh):
        raise IrreversibleInstanceRefreshError(
            "IrreversibleInstanceRefresh", f"The instance refresh cannot be rolled back: {reason}."
        )
    instance_refresh.roll_back(Pass(group), refresh, "Rollback by user request.")
    return ActionResult({"InstanceRefreshId": refresh.id})


_CALLS = {
    "cancel_instance_refresh": _cancel_instance_refresh,
    "describe_instance_refreshes": _describe_instance_refreshes,
    "rollback_instance_refresh": _rollback_instance_refresh,
    "start_instance_refresh": _start_instance_refresh,
}
