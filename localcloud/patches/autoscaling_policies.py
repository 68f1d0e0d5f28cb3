"""Auto Scaling: scaling policies and scheduled actions, whose names moto takes to be unique in an account.

- https://docs.aws.amazon.com/autoscaling/ec2/APIReference/API_PutScalingPolicy.html, API_DeletePolicy.html,
  API_ExecutePolicy.html
- https://docs.aws.amazon.com/autoscaling/ec2/APIReference/API_PutScheduledUpdateGroupAction.html,
  API_DeleteScheduledAction.html
"""

from __future__ import annotations

import functools
from typing import Any

from moto.autoscaling.exceptions import ValidationError
from moto.autoscaling.models import AutoScalingBackend, FakeScalingPolicy
from moto.autoscaling.responses import AutoScalingResponse
from moto.core.responses import EmptyResult


@functools.cache
def apply() -> None:
    """Apply the work-rounds to the moto of this process."""
    FakeScalingPolicy.execute = _within_sizes(FakeScalingPolicy.execute)
    AutoScalingBackend.put_scheduled_update_group_action = _keyed_by_group(
        AutoScalingBackend.put_scheduled_update_group_action, "scheduled_actions", "name", "scheduled_action_name"
    )
    AutoScalingBackend.put_scaling_policy = _keyed_by_group(
        AutoScalingBackend.put_scaling_policy, "policies", "as_name", "name"
    )
    AutoScalingBackend.delete_scheduled_action = _delete_scheduled_action
    AutoScalingResponse.delete_policy = _delete_policy
    AutoScalingResponse.execute_policy = _execute_policy


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


def _within_sizes(stock: Any) -> Any:
    """A policy may ask for more than the group may have; it then gets what the group may have."""

    @functools.wraps(stock)
    def execute(self: FakeScalingPolicy) -> None:
        stock(self)
        group = self.autoscaling_backend.autoscaling_groups[self.auto_scaling_group_name]
        group.desired_capacity = max(int(group.min_size), min(int(group.max_size), int(group.desired_capacity)))

    return execute
