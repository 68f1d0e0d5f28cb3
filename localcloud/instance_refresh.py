"""Instance refresh: a group's members replaced step by step.

Modelled: minimum and maximum healthy percentage, warm-up, skip matching, checkpoints with their delay, bake time,
alarms, a desired configuration that becomes the group's on success, protected and standby instances, cancelling, and
rolling back by call or by itself.

The bounds are kept as AWS describes them: never fewer than the minimum healthy percentage in service, never more than
the maximum healthy percentage in all. Where that leaves no room, one instance at a time is replaced: launched before
the old one leaves if a maximum was given, and after it if none was.
https://docs.aws.amazon.com/autoscaling/ec2/APIReference/API_RefreshPreferences.html

A refresh that makes no progress for an hour fails, as on AWS: launches that fail or are abandoned by a life cycle hook,
and machines that do not pass their health checks, are tried again until then. Only an alarm, or a call, is quicker.
``LOCALCLOUD_REFRESH_STALL_SECONDS`` shortens the hour for trials.
https://docs.aws.amazon.com/autoscaling/ec2/userguide/instance-refresh-overview.html#instance-refresh-limitations

Left out: replacing a root volume in place of the instance, matching by instance type, the limit of 14 days.
"""

from __future__ import annotations

import logging
import math
import os
import uuid
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from moto.core.exceptions import ServiceException

from localcloud.autoscaling_members import moment

if TYPE_CHECKING:
    from moto.autoscaling.models import FakeAutoScalingGroup

    from localcloud.autoscaling import Pass
    from localcloud.autoscaling_members import Member

log = logging.getLogger("localcloud")

ENDED = frozenset({"Successful", "Failed", "Cancelled", "RollbackFailed", "RollbackSuccessful"})
DEFAULTS: dict[str, Any] = {
    "AutoRollback": False,
    "MinHealthyPercentage": 90,
    "ScaleInProtectedInstances": "Wait",
    "SkipMatching": False,
    "StandbyInstances": "Wait",
}
CHECKPOINT_DELAY = 3600
REFRESHES_KEPT = 100


@dataclass
class Refresh:
    """One instance refresh; times are seconds since the epoch.

    Attributes:
        preferences: As DescribeInstanceRefreshes answers them.
        desired: The desired configuration of the request, None if the group's own is to be used.
        desired_spec: The launch template specification of ``desired``.
        previous_spec: The group's specification at the start, for a rollback.
        old: Ids of the instances that have to go.
        total: How many there were at the start.
        checkpoint: How many checkpoints have been passed.
        wait_until: End of the checkpoint's delay or of the bake time.
        progressed: Time of the last progress.
        seen: What progress is told by.
    """

    group: str
    started: float
    preferences: dict[str, Any]
    strategy: str = "Rolling"
    desired: dict[str, Any] | None = None
    desired_spec: dict[str, Any] | None = None
    previous_spec: dict[str, Any] | None = None
    id: str = field(default_factory=lambda: str(uuid.uuid4()))
    status: str = "Pending"
    reason: str | None = None
    ended: float | None = None
    old: list[str] = field(default_factory=list)
    total: int = 0
    percentage: int = 0
    to_update: int = 0
    checkpoint: int = 0
    wait_until: float | None = None
    progressed: float = 0.0
    seen: tuple[int, int] = (0, 0)
    rollback: dict[str, Any] | None = None
    wait_for_transitions: bool = True

    @property
    def rolling_back(self) -> bool:
        """Whether it is on its way back."""
        return self.status == "RollbackInProgress"

    def describe(self) -> dict[str, Any]:
        """The refresh in the API's form."""
        return {
            "InstanceRefreshId": self.id,
            "AutoScalingGroupName": self.group,
            "Status": self.status,
            "StatusReason": self.reason,
            "StartTime": moment(self.started),
            "EndTime": None if self.ended is None else moment(self.ended),
            "PercentageComplete": self.percentage,
            "InstancesToUpdate": self.to_update,
            "Preferences": self.preferences,
            "DesiredConfiguration": self.desired,
            "RollbackDetails": self.rollback,
            "Strategy": self.strategy,
        }


def stall_seconds() -> float:
    """Seconds without progress after which a refresh fails."""
    return float(os.environ.get("LOCALCLOUD_REFRESH_STALL_SECONDS", "3600"))


def refreshes(group: FakeAutoScalingGroup) -> list[Refresh]:
    """The refreshes of a group, newest first; kept with it on disk."""
    found: list[Refresh] = group.__dict__.setdefault("refreshes", [])
    return found


def active_refresh(group: FakeAutoScalingGroup) -> Refresh | None:
    """The refresh that is under way, if any."""
    return next((refresh for refresh in refreshes(group) if refresh.status not in ENDED), None)


def leaving(group: FakeAutoScalingGroup, member: Member) -> bool:
    """Whether the refresh that is under way will replace a member."""
    refresh = active_refresh(group)
    return refresh is not None and refresh.status != "Cancelling" and member.id in refresh.old


def own_spec(group: FakeAutoScalingGroup) -> dict[str, Any] | None:
    """The launch template specification in the group's settings; None for a launch configuration."""
    if group.ec2_launch_template is None:
        return None
    spec: dict[str, Any] = {
        "LaunchTemplateId": group.ec2_launch_template.id,
        "Version": group.launch_template_version,
    }
    if group.mixed_instances_policy:
        spec["Overrides"] = group.mixed_instances_policy.get("LaunchTemplate", {}).get("Overrides") or []
    return spec


def launch_spec(group: FakeAutoScalingGroup) -> dict[str, Any] | None:
    """What launches use now: a running refresh's desired configuration, or else the group's settings."""
    refresh = active_refresh(group)
    if refresh is not None and refresh.desired_spec and refresh.status in {"Pending", "InProgress", "Baking"}:
        return refresh.desired_spec
    return own_spec(group)


def template_version(group: FakeAutoScalingGroup, spec: dict[str, Any]) -> Any:
    """The version of a launch template that a specification means now (``$Latest`` and ``$Default`` resolved).

    Raises:
        ServiceException: There is no such template or version.
    """
    ec2 = group.autoscaling_backend.ec2_backend
    if spec.get("LaunchTemplateId"):
        template = ec2.get_launch_template(spec["LaunchTemplateId"])
    else:
        template = ec2.get_launch_template_by_name(spec["LaunchTemplateName"])
    return template.get_version(spec.get("Version") or "$Default")


def desired_spec(group: FakeAutoScalingGroup, desired: dict[str, Any] | None) -> dict[str, Any] | None:
    """The launch template specification of a desired configuration, its template identified.

    Raises:
        ServiceException: There is no such template or version.
    """
    if not desired:
        return None
    spec = dict(desired.get("LaunchTemplate") or {})
    if policy := desired.get("MixedInstancesPolicy"):
        template = policy.get("LaunchTemplate") or {}
        spec = dict(template.get("LaunchTemplateSpecification") or {}) | {"Overrides": template.get("Overrides") or []}
    spec["LaunchTemplateId"] = template_version(group, spec).template.id
    spec.pop("LaunchTemplateName", None)
    return spec


def changes_template(refresh: Refresh | None) -> bool:
    """Whether a refresh is going to set the group's launch template, which nobody else may meanwhile."""
    return refresh is not None and bool(refresh.desired)


def start(group: FakeAutoScalingGroup, refresh: Refresh) -> None:
    """Begin a refresh; the members that are there now are those to be replaced."""
    refresh.previous_spec = own_spec(group)
    _pick_old(group, refresh, refresh.desired_spec or own_spec(group))
    refresh.to_update = refresh.total
    refreshes(group).insert(0, refresh)
    del refreshes(group)[REFRESHES_KEPT:]


def _pick_old(group: FakeAutoScalingGroup, refresh: Refresh, spec: dict[str, Any] | None) -> None:
    chosen = [member for member in group.instance_states if member.active or member.lifecycle_state == "Standby"]
    if (refresh.preferences.get("SkipMatching") or refresh.rolling_back) and spec is not None:
        version = template_version(group, spec)
        wanted = (version.template.id, str(version.number))
        chosen = [
            member
            for member in chosen
            if member.template is None or (member.template["LaunchTemplateId"], member.template["Version"]) != wanted
        ]
    refresh.old = [member.id for member in chosen]
    refresh.total = len(chosen)


def surplus(look: Pass) -> int:
    """How many members a running refresh adds above the desired capacity now."""
    refresh = active_refresh(look.group)
    if refresh is None or refresh.status not in {"InProgress", "RollbackInProgress"}:
        return 0
    if refresh.wait_until is not None or _suspended(look):
        # Nothing further is begun; what has been launched ahead stays.
        return max(0, len(look.active()) - int(look.group.desired_capacity or 0)) if _remaining(look, refresh) else 0
    _, most = _bounds(look, refresh)
    room = most - int(look.group.desired_capacity or 0)
    return max(0, min(room, _budget(look, refresh)))


def advance(look: Pass) -> None:
    """Take the next steps of the refresh that is under way."""
    refresh = active_refresh(look.group)
    if refresh is None:
        return
    if refresh.status == "Pending":
        refresh.status, refresh.progressed = "InProgress", look.now
        look.changed = True
    if refresh.status == "Cancelling":
        if not refresh.wait_for_transitions or not _in_transition(look):
            _end(look, refresh, "Cancelled")
        return
    if refresh.status == "Baking":
        if alarm := _alarm(look, refresh):
            fail(look, refresh, f"The alarm {alarm} is in the ALARM state.")
        elif refresh.wait_until is None or look.now >= refresh.wait_until:
            _succeed(look, refresh)
        return
    _roll(look, refresh)


def _roll(look: Pass, refresh: Refresh) -> None:
    _measure(look, refresh)
    if not refresh.rolling_back and (alarm := _alarm(look, refresh)):
        fail(look, refresh, f"The alarm {alarm} is in the ALARM state.")
        return
    if _suspended(look):
        refresh.reason = "Waiting for the suspended processes of the group to be resumed."
        return
    if refresh.wait_until is not None:
        if look.now < refresh.wait_until:
            return
        refresh.wait_until, refresh.progressed = None, look.now
        refresh.checkpoint += 1
        look.changed = True
    checkpoints = _checkpoints(refresh)
    updated = _updated(look, refresh)
    reached = [number for number, entry in enumerate(checkpoints) if updated >= math.ceil(refresh.total * entry / 100)]
    if reached and reached[-1] >= refresh.checkpoint:
        # Of checkpoints that are reached together only the last one counts.
        refresh.checkpoint = reached[-1]
        if refresh.checkpoint == len(checkpoints) - 1:
            _reached_end(look, refresh)
            return
        delay = float(refresh.preferences.get("CheckpointDelay", CHECKPOINT_DELAY))
        refresh.wait_until = look.now + delay
        refresh.reason = (
            f"Waiting for {delay:g} seconds at the checkpoint of {checkpoints[refresh.checkpoint]} percent "
            "before continuing."
        )
        look.changed = True
        return
    if look.now - refresh.progressed > stall_seconds():
        fail(look, refresh, _stalled(look, refresh))
        return
    _replace_some(look, refresh)


def _replace_some(look: Pass, refresh: Refresh) -> None:
    least, _ = _bounds(look, refresh)
    ready = [member for member in look.active() if _ready(look, refresh, member)]
    budget = _budget(look, refresh)
    remaining = _replaceable(look, refresh)
    victims = sorted(remaining, key=lambda member: (member in ready, member.launched))
    for member in victims:
        if budget <= 0:
            break
        # One that is on its way in serves nobody yet, and one in standby is not counted on.
        if member.lifecycle_state == "InService" and len(ready) - (member in ready) < least:
            continue
        look.begin_terminate(
            member,
            f"{look.at()} an instance was taken out of service in response to an instance refresh.",
        )
        budget -= 1
        if member in ready:
            ready.remove(member)
    _explain(look, refresh)


def _explain(look: Pass, refresh: Refresh) -> None:
    waiting = [
        member.id for member in look.active() if member.id not in refresh.old and not _ready(look, refresh, member)
    ]
    if waiting:
        refresh.reason = f"Waiting for instances to warm up before continuing. For example: {waiting[0]} is warming up."
    elif ailing := [member.id for member in look.active() if not look.serving(member)]:
        refresh.reason = f"Waiting for remaining instances to be available. For example: {ailing[0]} is not healthy."
    elif _remaining(look, refresh) and not _replaceable(look, refresh):
        refresh.reason = (
            "Waiting for remaining instances to be available. For example: "
            f"{_remaining(look, refresh)[0].id} is protected from scale-in or in Standby."
        )
    else:
        refresh.reason = None


def _stalled(look: Pass, refresh: Refresh) -> str:
    failed = next((entry for entry in look.state.activities if entry.status in {"Failed", "Cancelled"}), None)
    detail = f" The last failed activity: {failed.message}" if failed and failed.started >= refresh.started else ""
    return f"The instance refresh made no progress for {stall_seconds():g} seconds.{detail}"


def _reached_end(look: Pass, refresh: Refresh) -> None:
    if refresh.rolling_back:
        _end(look, refresh, "RollbackSuccessful")
    elif bake := refresh.preferences.get("BakeTime"):
        refresh.status, refresh.wait_until = "Baking", look.now + float(bake)
        refresh.reason = f"Waiting for {bake} seconds of bake time."
        look.changed = True
    else:
        _succeed(look, refresh)


def _succeed(look: Pass, refresh: Refresh) -> None:
    _end(look, refresh, "Successful")
    refresh.percentage, refresh.reason = max(refresh.percentage, 100 if not refresh.to_update else 0), None
    if refresh.desired:
        apply_spec(look.group, refresh.desired)


def apply_spec(group: FakeAutoScalingGroup, desired: dict[str, Any]) -> None:
    """Make a desired configuration the group's own."""
    policy = desired.get("MixedInstancesPolicy")
    if policy:
        group.mixed_instances_policy = policy
    group._set_launch_configuration("", desired.get("LaunchTemplate") or {}, policy)


def fail(look: Pass, refresh: Refresh, reason: str) -> None:
    """End a refresh that cannot go on, or turn it back if it was asked to."""
    log.info("%s: instance refresh %s failed: %s", refresh.group, refresh.id, reason)
    if refresh.rolling_back:
        _end(look, refresh, "RollbackFailed", reason)
    elif refresh.preferences.get("AutoRollback"):
        roll_back(look, refresh, reason)
    else:
        _end(look, refresh, "Failed", reason)


def roll_back(look: Pass, refresh: Refresh, reason: str) -> None:
    """Turn a refresh back to the group's settings of its start."""
    refresh.rollback = {
        "RollbackReason": reason,
        "RollbackStartTime": moment(look.now),
        "PercentageCompleteOnRollback": refresh.percentage,
        "InstancesToUpdateOnRollback": refresh.to_update,
    }
    refresh.status, refresh.reason = "RollbackInProgress", reason
    refresh.wait_until, refresh.checkpoint, refresh.progressed = None, 0, look.now
    refresh.seen = (0, 0)
    # A launch that failed for the new configuration says nothing about the old one.
    look.state.failures, look.state.retry_at = 0, 0.0
    _pick_old(look.group, refresh, own_spec(look.group))
    look.changed = True


def _end(look: Pass, refresh: Refresh, status: str, reason: str | None = None) -> None:
    refresh.status, refresh.ended = status, look.now
    refresh.reason = reason or refresh.reason
    look.changed = True


def _measure(look: Pass, refresh: Refresh) -> None:
    updated, remaining = _updated(look, refresh), len(_remaining(look, refresh))
    done = 100 if refresh.total == 0 else 100 * updated // refresh.total
    if refresh.rollback is None:
        refresh.percentage, refresh.to_update = done, refresh.total - updated
    else:
        # It falls back to zero; the instances that the refresh had not come to need no replacement.
        refresh.percentage = refresh.rollback["PercentageCompleteOnRollback"] * (100 - done) // 100
    if (updated, remaining) != refresh.seen:
        refresh.seen, refresh.progressed = (updated, remaining), look.now
        look.changed = True


def _updated(look: Pass, refresh: Refresh) -> int:
    """How many instances have been replaced by one that is ready."""
    replaced = refresh.total - len(_remaining(look, refresh))
    missing = (
        int(look.group.desired_capacity or 0)
        - sum(_ready(look, refresh, member) for member in look.active() if member.id not in refresh.old)
        - len([member for member in look.active() if member.id in refresh.old])
    )
    # Members that were matching from the start are not in ``old`` and count as ready.
    return max(0, min(refresh.total, replaced - max(0, missing)))


def _remaining(look: Pass, refresh: Refresh) -> list[Member]:
    ignored = _ignored(refresh)
    return [
        member
        for member in look.group.instance_states
        if member.id in refresh.old
        and (member.active or member.lifecycle_state == "Standby")
        and not ("protected" in ignored and member.protected_from_scale_in)
        and not ("standby" in ignored and member.lifecycle_state == "Standby")
    ]


def _ignored(refresh: Refresh) -> set[str]:
    found = set()
    if refresh.preferences.get("ScaleInProtectedInstances") == "Ignore":
        found.add("protected")
    if refresh.preferences.get("StandbyInstances") == "Ignore":
        found.add("standby")
    return found


def _replaceable(look: Pass, refresh: Refresh) -> list[Member]:
    preferences = refresh.preferences
    return [
        member
        for member in _remaining(look, refresh)
        if (not member.protected_from_scale_in or preferences.get("ScaleInProtectedInstances") == "Refresh")
        and (member.lifecycle_state != "Standby" or preferences.get("StandbyInstances") == "Terminate")
    ]


def _ready(look: Pass, refresh: Refresh, member: Member) -> bool:
    if not look.serving(member):
        return False
    if member.id in refresh.old or member.launched < refresh.started:
        return True
    warm_up = float(refresh.preferences.get("InstanceWarmup") or 0)
    return member.in_service is not None and look.now >= member.in_service + warm_up


def _budget(look: Pass, refresh: Refresh) -> int:
    """How many instances may still be replaced before the next checkpoint."""
    until = math.ceil(refresh.total * _checkpoints(refresh)[refresh.checkpoint] / 100)
    return min(len(_replaceable(look, refresh)), until - (refresh.total - len(_remaining(look, refresh))))


def _checkpoints(refresh: Refresh) -> list[int]:
    if refresh.rolling_back:
        return [100]
    return list(refresh.preferences.get("CheckpointPercentages") or [100])


def _bounds(look: Pass, refresh: Refresh) -> tuple[int, int]:
    """Fewest members in service and most members in all."""
    desired = int(look.group.desired_capacity or 0)
    maximum = refresh.preferences.get("MaxHealthyPercentage")
    least = math.ceil(desired * refresh.preferences["MinHealthyPercentage"] / 100)
    most = max(desired, math.floor(desired * (maximum or 100) / 100))
    if least >= desired and most == desired:
        # One at a time is always allowed.
        if maximum is None:
            least = desired - 1
        else:
            most = desired + 1
    return least, most


def _suspended(look: Pass) -> bool:
    return bool({"InstanceRefresh", "Launch", "Terminate"} & set(look.group._suspended_processes))


def _in_transition(look: Pass) -> bool:
    return any(member.lifecycle_state not in {"InService", "Standby"} for member in look.group.instance_states)


def _alarm(look: Pass, refresh: Refresh) -> str | None:
    """Name of an alarm of the preferences that is in the ALARM state."""
    names = (refresh.preferences.get("AlarmSpecification") or {}).get("Alarms") or []
    if not names:
        return None
    from moto.cloudwatch.models import cloudwatch_backends  # noqa: PLC0415 (moto loads services lazily)

    backend = look.backend
    alarms = cloudwatch_backends[backend.account_id][backend.region_name].alarms
    return next((name for name in names if name in alarms and alarms[name].state_value == "ALARM"), None)


def check_reversible(group: FakeAutoScalingGroup, refresh: Refresh) -> str | None:
    """Why a refresh cannot be rolled back, None if it can."""
    if not refresh.desired:
        return "it has no desired configuration"
    version = str((refresh.previous_spec or {}).get("Version") or "$Default")
    if version.startswith("$"):
        return f"the group's launch template version is {version} instead of a number"
    try:
        template_version(group, refresh.previous_spec or {})
    except (ServiceException, LookupError):
        return "its previous launch template version is gone"
    return None
