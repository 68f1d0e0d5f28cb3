"""Scheduled actions of Auto Scaling groups: run once at a time, or again and again by a cron expression in a zone.

A run that was missed, because the server was down, is made up for once. Left out: limits on how many there may be.
"""

from __future__ import annotations

import logging
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

from croniter import croniter
from moto.autoscaling.models import FakeScheduledAction

from localcloud.autoscaling_members import suspended

if TYPE_CHECKING:
    from localcloud.autoscaling import Pass

log = logging.getLogger("localcloud")


def run(look: Pass) -> None:
    """Run the actions of the group that are due, and drop those that are over."""
    for key, action in list(look.backend.scheduled_actions.items()):
        if action.auto_scaling_group_name != look.group.name:
            continue
        due = _due_time(action, look.now)
        if due is None:
            if _over(action, look.now):
                del look.backend.scheduled_actions[key]
                look.changed = True
            continue
        if look.now < due:
            continue
        if not suspended(look.group, "ScheduledActions"):
            _run(look, action)
        if action.recurrence:
            action.__dict__["due"] = _next_recurrence(action, look.now)
        else:
            del look.backend.scheduled_actions[key]


def _run(look: Pass, action: FakeScheduledAction) -> None:
    look.changed = True
    group = look.group
    if action.min_size is not None:
        group.min_size = action.min_size
    if action.max_size is not None:
        group.max_size = action.max_size
    desired = group.desired_capacity if action.desired_capacity is None else action.desired_capacity
    group.desired_capacity = max(int(group.min_size), min(int(group.max_size), int(desired)))
    log.info("%s: scheduled action %s ran", group.name, action.scheduled_action_name)


def _due_time(action: FakeScheduledAction, now: float) -> float | None:
    """When a scheduled action runs next (seconds since the epoch), None if never again."""
    if _over(action, now):
        return None
    if not action.recurrence:
        return None if action.start_time is None else _seconds(action.start_time)
    if "due" not in action.__dict__:
        start = now if action.start_time is None else max(now, _seconds(action.start_time) - 1)
        action.__dict__["due"] = _next_recurrence(action, start)
    due: float = action.__dict__["due"]
    return due


def _next_recurrence(action: FakeScheduledAction, after: float) -> float:
    zone = ZoneInfo(action.time_zone or "UTC")
    return float(croniter(action.recurrence, datetime.fromtimestamp(after, tz=zone)).get_next(float))


def _over(action: FakeScheduledAction, now: float) -> bool:
    return action.end_time is not None and now >= _seconds(action.end_time)


def _seconds(value: Any) -> float:
    """Seconds since the epoch of a time as moto keeps it: a datetime in UTC or ISO text."""
    if isinstance(value, str):
        value = datetime.fromisoformat(value.replace("Z", "+00:00"))
    if value.tzinfo is None:
        value = value.replace(tzinfo=UTC)
    return float(value.timestamp())
