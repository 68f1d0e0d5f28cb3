"""Auto Scaling groups: what keeps a group at its size, healthy and in its zones.

moto stores groups and launches at once within the API call. Here a call only changes what is wanted, and a pass over
each group (from the reconciler, and after each API call) moves its members one step along AWS's life cycle: pending,
waiting for launch hooks, in service, terminating (deregistered and drained first, then terminate hooks), gone.

This module has the pass and the steps of a member's life; what a pass consults has a module of its own, which says what
it models and leaves out:

- ``autoscaling_members``: what is kept of a group
- ``autoscaling_launches``: launching instances, in which zone and from what
- ``autoscaling_hooks``: life cycle hooks
- ``autoscaling_health``: health checks and replacement
- ``autoscaling_capacity``: growing, shrinking, balancing the zones
- ``autoscaling_schedules``: scheduled actions
- ``instance_refresh``: replacing all members step by step

A machine that is dead already is not kept waiting for terminate hooks, since nothing is left in it that could complete
them.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from moto.autoscaling.models import AutoScalingBackend, FakeAutoScalingGroup, autoscaling_backends

from localcloud import autoscaling_capacity as capacity
from localcloud import autoscaling_health as health
from localcloud import autoscaling_hooks as hooks
from localcloud import autoscaling_schedules as schedules
from localcloud import instance_refresh
from localcloud.autoscaling_members import (
    ENDED,
    Activity,
    Member,
    find_member,
    members,
    moment,
    state_of,
    suspended,
)
from localcloud.patches import elbv2

if TYPE_CHECKING:
    from localcloud.cloud import Cloud

# AWS keeps six weeks of activities.
ACTIVITIES_KEPT = 500


def target_lifecycle_state(backend: AutoScalingBackend, instance_id: str) -> str | None:
    """What instance metadata answers under ``autoscaling/target-lifecycle-state``.

    ``Terminated`` is answered from ``Terminating:Wait`` on, that is once the balancers have drained the instance:
    only then does a life cycle action exist that the instance may complete.

    Returns:
        ``InService``, ``Terminated``, ``Standby`` or ``Detached``; None for an instance of no group.
    """
    member = find_member(backend, instance_id)
    if member is None:
        return None
    state = member.lifecycle_state
    if state.startswith("Terminating:") or state == "Terminated":
        return "Terminated"
    if state in {"EnteringStandby", "Standby"}:
        return "Standby"
    if state in {"Detaching", "Detached"}:
        return "Detached"
    return "InService"


class Pass:
    """One look at one group: compares what is wanted with what there is, and takes the next steps.

    Hold the cloud's lock. The same class carries the acts that API calls ask for.
    """

    def __init__(self, group: FakeAutoScalingGroup, now: float | None = None) -> None:
        self.group = group
        self.state = state_of(group)
        self.now = time.time() if now is None else now
        self.backend: AutoScalingBackend = group.autoscaling_backend
        self.changed = False

    def run(self) -> bool:
        """Take the next steps; returns whether anything changed."""
        if not self.state.deleting:
            schedules.run(self)
            health.check(self)
        for member in list(members(self.group)):
            self._advance(member)
        if self.state.deleting:
            self._finish_deletion()
        else:
            instance_refresh.advance(self)
            health.replace_unhealthy(self)
            capacity.keep(self)
        return self.changed

    # Views
    # -----

    def active(self) -> list[Member]:
        """Members that count towards the desired capacity."""
        return [member for member in members(self.group) if member.active]

    def target_groups(self) -> list[Any]:
        """The group's target groups that exist."""
        known = self.backend.elbv2_backend.target_groups
        return [known[arn] for arn in self.group.target_group_arns if arn in known]

    def serving(self, member: Member) -> bool:
        """Whether a member is in service, healthy, and healthy for every balancer in use."""
        if member.lifecycle_state != "InService" or member.health_status != "Healthy" or member.dead:
            return False
        for target_group in self.target_groups():
            found = elbv2.health_of(target_group, member.id)
            if found.state != "healthy" and found != elbv2.NOT_IN_USE:
                return False
        return True

    def at(self) -> str:
        """The beginning of an activity's cause."""
        return f"At {moment(self.now):%Y-%m-%dT%H:%M:%SZ}"

    # Acts
    # ----

    def record(self, description: str, cause: str, **details: str) -> Activity:
        """Open an activity."""
        activity = Activity(self.group.name, self.group.arn, description, cause, self.now, details=details)
        self.state.activities.insert(0, activity)
        del self.state.activities[ACTIVITIES_KEPT:]
        self.changed = True
        return activity

    def begin_terminate(self, member: Member, cause: str, *, skip_hooks: bool = False) -> Activity:
        """Take a member out of its balancers, and from there on its way out."""
        failed_launch = member.lifecycle_state.startswith("Pending")
        if member.activity is not None and failed_launch:
            member.activity.finish(self.now, "Cancelled", cause)
        member.lifecycle_state = "Terminating"
        member.waits, member.hooked = [], False
        member.skip_hooks = skip_hooks or failed_launch
        member.activity = self.record(f"Terminating EC2 instance: {member.id}", cause)
        member.activity.progress = 50
        self._leave_balancers(member)
        return member.activity

    def begin_detach(self, member: Member, cause: str) -> Activity:
        """Take a member out of its balancers, and then out of the group."""
        member.lifecycle_state = "Detaching"
        member.waits = []
        member.activity = self.record(f"Detaching EC2 instance: {member.id}", cause)
        member.activity.progress = 50
        self._leave_balancers(member)
        return member.activity

    def begin_standby(self, member: Member, cause: str) -> Activity:
        """Take a member out of its balancers, and keep it in the group without work."""
        member.lifecycle_state = "EnteringStandby"
        member.activity = self.record(f"Moving EC2 instance to Standby: {member.id}", cause)
        member.activity.progress = 50
        self._leave_balancers(member)
        return member.activity

    def end_standby(self, member: Member, cause: str) -> Activity:
        """Bring a member back into service, past its launch hooks as AWS does."""
        member.lifecycle_state, member.hooked = "Pending", False
        member.activity = self.record(f"Moving EC2 instance out of Standby: {member.id}", cause)
        member.activity.progress = 30
        return member.activity

    def join_balancers(self, member: Member) -> None:
        """Register a member with the group's target groups."""
        if suspended(self.group, "AddToLoadBalancer"):
            return
        for target_group in self.target_groups():
            if not any(target["Id"] == member.id for target in target_group.targets.values()):
                target_group.register([{"Id": member.id}])
                self.changed = True

    def _leave_balancers(self, member: Member) -> None:
        for target_group in self.target_groups():
            elbv2.drain(target_group, member.id)

    # Steps
    # -----

    def _advance(self, member: Member) -> None:
        state = member.lifecycle_state
        if state.endswith(":Wait"):
            hooks.expire(self, member)
            self._advance_wait(member)
        elif state == "Pending" and not member.dead and member.instance.state == "running":
            if hooks.start(self, member, hooks.LAUNCHING, "Pending:Wait"):
                return
            self._enter_service(member)
        elif state == "Terminating" and (member.dead or not self._draining(member)):
            skip = member.skip_hooks or member.instance.state in ENDED
            if skip or not hooks.start(self, member, hooks.TERMINATING, "Terminating:Wait"):
                self._terminate(member)
        elif state == "EnteringStandby" and not self._draining(member):
            member.lifecycle_state = "Standby"
            self._finish_activity(member)
        elif state == "Detaching" and not self._draining(member):
            self._finish_activity(member)
            self._remove(member)

    def _advance_wait(self, member: Member) -> None:
        if member.lifecycle_state == "Pending:Wait" and not member.waits and not member.dead:
            self._enter_service(member)
        elif member.lifecycle_state == "Terminating:Wait" and (not member.waits or member.instance.state in ENDED):
            self._terminate(member)

    def _enter_service(self, member: Member) -> None:
        self.join_balancers(member)
        member.lifecycle_state = "InService"
        member.in_service = self.now
        self.state.failures, self.state.retry_at = 0, 0.0
        self._finish_activity(member)

    def _draining(self, member: Member) -> bool:
        return any(elbv2.is_draining(target_group, member.id) for target_group in self.target_groups())

    def _terminate(self, member: Member) -> None:
        member.lifecycle_state = "Terminated"
        if member.instance.state not in ENDED:
            member.instance.disable_api_termination = False
            self.backend.ec2_backend.terminate_instances([member.id])
        self._finish_activity(member)
        self._remove(member)

    def _remove(self, member: Member) -> None:
        self.group.instance_states = [entry for entry in members(self.group) if entry is not member]
        self.changed = True

    def _finish_activity(self, member: Member) -> None:
        self.changed = True
        if member.activity is not None:
            member.activity.finish(self.now)
        member.hooked = False

    # Deletion
    # --------

    def begin_deletion(self) -> None:
        """Terminate all members, past their hooks, and then drop the group."""
        self.state.deleting = True
        self.group.status = "Delete in progress"
        self.group.min_size = self.group.desired_capacity = 0
        for member in members(self.group):
            if member.lifecycle_state.startswith("Terminating"):
                member.skip_hooks, member.waits = True, []
            else:
                self.begin_terminate(member, f"{self.at()} the group is being deleted.", skip_hooks=True)

    def _finish_deletion(self) -> None:
        if members(self.group):
            return
        name = self.group.name
        backend = self.backend
        backend.autoscaling_groups.pop(name, None)
        for table in (backend.lifecycle_hooks, backend.scheduled_actions, backend.policies):
            for key in [key for key, entry in table.items() if entry.auto_scaling_group_name == name]:
                del table[key]
        self.changed = True


def run_all(backend: AutoScalingBackend, now: float | None = None, limit: int = 25) -> bool:
    """Run passes over all groups until nothing changes; hold the cloud's lock.

    Args:
        backend: moto's backend of one region.
        now: Seconds since the epoch; defaults to the clock.
        limit: Passes at most, so that a fault cannot turn into an endless loop.

    Returns:
        Whether anything changed.
    """
    ever = False
    for _ in range(limit):
        changed = [Pass(group, now).run() for group in list(backend.autoscaling_groups.values())]
        if not any(changed):
            break
        ever = True
    return ever


class Groups:
    """The part of the reconciler that runs the passes."""

    name = "autoscaling"

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud
        hooks.backing.machines = True

    def reconcile(self) -> None:
        """Take the next steps of every group."""
        with self._cloud.lock:
            account = autoscaling_backends[self._cloud.settings.account]
            changed = run_all(account[self._cloud.settings.region])
        if changed:
            # Balancers and machines follow in this pass of the reconciler; what they change is looked at in the next.
            self._cloud.changed()

    def close(self) -> None:
        """Nothing to end."""
