"""Auto Scaling: life cycle hooks that hold members back, and the calls that complete them.

moto stores hooks and knows nothing else of them.

- https://docs.aws.amazon.com/autoscaling/ec2/APIReference/API_PutLifecycleHook.html, API_DeleteLifecycleHook.html,
  API_CompleteLifecycleAction.html, API_RecordLifecycleActionHeartbeat.html, API_DescribeLifecycleHookTypes.html
"""

from __future__ import annotations

import functools
import re
from typing import Any

from moto.autoscaling.exceptions import ValidationError
from moto.autoscaling.models import AutoScalingBackend, FakeAutoScalingGroup, LifecycleHook
from moto.autoscaling.responses import AutoScalingResponse
from moto.core.responses import ActionResult, EmptyResult

from localcloud import autoscaling_hooks as hooks
from localcloud.autoscaling import Pass
from localcloud.autoscaling_members import Member, Wait, members
from localcloud.patches._autoscaling import group_of

MAX_HOOK_SECONDS = 172800


@functools.cache
def apply() -> None:
    """Apply the work-rounds to the moto of this process."""
    for name, method in _CALLS.items():
        setattr(AutoScalingResponse, name, method)


def _put_lifecycle_hook(self: Any) -> Any:
    group = group_of(self)
    put_hook(self.autoscaling_backend, group.name, self._get_params())
    return EmptyResult()


def put_hook(backend: AutoScalingBackend, group: str, fields: dict[str, Any]) -> None:
    """Make or change a hook; the fields are those of PutLifecycleHook."""
    name = fields["LifecycleHookName"]
    if not re.fullmatch(r"[A-Za-z0-9_/-]{1,255}", name):
        raise ValidationError(f"Lifecycle hook name {name} must match [A-Za-z0-9\\-_\\/]+")
    known = backend.lifecycle_hooks.get(f"{group}_{name}")
    transition = fields.get("LifecycleTransition") or getattr(known, "lifecycle_transition", None)
    if transition not in {hooks.LAUNCHING, hooks.TERMINATING}:
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
    group = group_of(self)
    name = self._get_param("LifecycleHookName")
    if self.autoscaling_backend.lifecycle_hooks.pop(f"{group.name}_{name}", None) is None:
        raise ValidationError(f"No Lifecycle Hook found with name {name}")
    # AWS completes the outstanding actions of a hook that is deleted.
    look = Pass(group)
    for member in members(group):
        for wait in [entry for entry in member.waits if entry.hook == name]:
            hooks.complete(look, member, wait, "ABANDON" if member.lifecycle_state == "Pending:Wait" else "CONTINUE")
    return EmptyResult()


def _wait(self: Any, group: FakeAutoScalingGroup) -> tuple[Member, Wait]:
    hook = self._get_param("LifecycleHookName")
    instance_id, token = self._get_param("InstanceId"), self._get_param("LifecycleActionToken")
    if f"{group.name}_{hook}" not in self.autoscaling_backend.lifecycle_hooks:
        raise ValidationError(f"No Lifecycle Hook found with name {hook}")
    for member in members(group):
        for wait in member.waits:
            if wait.hook == hook and instance_id in (None, member.id) and token in (None, wait.token):
                return member, wait
    missing = f"instance ID {instance_id}" if instance_id else f"token {token}"
    raise ValidationError(f"No active Lifecycle Action found with {missing}")


def _complete_lifecycle_action(self: Any) -> Any:
    group = group_of(self)
    result = self._get_param("LifecycleActionResult")
    if result not in {"CONTINUE", "ABANDON"}:
        raise ValidationError(f"Invalid lifecycle action result {result}: use CONTINUE or ABANDON")
    member, wait = _wait(self, group)
    hooks.complete(Pass(group), member, wait, result)
    return ActionResult({})


def _record_lifecycle_action_heartbeat(self: Any) -> Any:
    group = group_of(self)
    _, wait = _wait(self, group)
    wait.deadline = Pass(group).now + wait.heartbeat
    return ActionResult({})


def _describe_lifecycle_hook_types(self: Any) -> Any:
    return ActionResult({"LifecycleHookTypes": [hooks.LAUNCHING, hooks.TERMINATING]})


_CALLS = {
    "complete_lifecycle_action": _complete_lifecycle_action,
    "delete_lifecycle_hook": _delete_lifecycle_hook,
    "describe_lifecycle_hook_types": _describe_lifecycle_hook_types,
    "put_lifecycle_hook": _put_lifecycle_hook,
    "record_lifecycle_action_heartbeat": _record_lifecycle_action_heartbeat,
}
