"""Auto Scaling groups: what keeps a group at its size, healthy and in its zones.

moto stores groups and launches at once within the API call. Here a call only changes what is wanted, and a pass over
each group (from the reconciler, and after each API call) moves its members one step along AWS's life cycle: pending,
waiting for launch hooks, in service, terminating (deregistered and drained first, then terminate hooks), gone.

Modelled: launch template versions for each instance, spread over subnets and zones and rebalancing, EC2 and ELB
health checks with the grace period, replacement, protection, termination policies, suspended processes, life cycle
hooks with heartbeats and default results, standby, attach and detach, scheduled actions, scaling activities, and
instance refresh (module ``instance_refresh``).

Left out: scaling policies are stored but not evaluated, so are warm pools and spot capacity; of a mixed instances
policy the first override is used; hooks notify nobody. A launch that fails is tried again with a growing delay, of
which AWS does not document the figures. A machine that is dead already is not kept waiting for terminate hooks,
since nothing is left in it that could complete them.
"""

from __future__ import annotations

import json
import logging
import time
import uuid
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

from croniter import croniter
from moto.autoscaling.models import (
    ASG_NAME_TAG,
    AutoScalingBackend,
    FakeAutoScalingGroup,
    FakeScheduledAction,
    InstanceState,
    autoscaling_backends,
)
from moto.core.exceptions import ServiceException

from localcloud import instance_refresh
from localcloud.patches import elbv2

if TYPE_CHECKING:
    from localcloud.cloud import Cloud

log = logging.getLogger("localcloud")

LAUNCHING = "autoscaling:EC2_INSTANCE_LAUNCHING"
TERMINATING = "autoscaling:EC2_INSTANCE_TERMINATING"
# Members that count towards the desired capacity.
ACTIVE = frozenset({"Pending", "Pending:Wait", "Pending:Proceed", "InService"})
ENDED = frozenset({"terminated", "shutting-down"})
NOT_RUNNING = ENDED | {"stopped", "stopping"}
# Seconds before a failed launch is tried again: doubled by each further failure.
FIRST_RETRY, LAST_RETRY = 5.0, 300.0
# AWS keeps six weeks of activities.
ACTIVITIES_KEPT = 500


@dataclass
class Backing:
    """What stands behind the API's records.

    Attributes:
        machines: Whether instances are machines. Without them (tests of modules and roles) nothing could complete a
            life cycle hook, so that hooks do not wait.
    """

    machines: bool = False


backing = Backing()


@dataclass
class Activity:
    """An entry of DescribeScalingActivities; times are seconds since the epoch."""

    group: str
    group_arn: str
    description: str
    cause: str
    started: float
    details: dict[str, str] = field(default_factory=dict)
    id: str = field(default_factory=lambda: str(uuid.uuid4()))
    ended: float | None = None
    status: str = "InProgress"
    message: str | None = None
    progress: int = 0

    def finish(self, now: float, status: str = "Successful", message: str | None = None) -> None:
        """Close the entry unless it is closed."""
        if self.ended is None:
            self.ended, self.status, self.message, self.progress = now, status, message, 100

    def describe(self, group_exists: bool = True) -> dict[str, Any]:
        """The entry in the API's form."""
        return {
            "ActivityId": self.id,
            "AutoScalingGroupName": self.group,
            "AutoScalingGroupARN": self.group_arn,
            "AutoScalingGroupState": None if group_exists else "Deleted",
            "Description": self.description,
            "Cause": self.cause,
            "StartTime": moment(self.started),
            "EndTime": None if self.ended is None else moment(self.ended),
            "StatusCode": self.status,
            "StatusMessage": self.message,
            "Progress": self.progress,
            "Details": json.dumps(self.details),
        }


@dataclass
class Wait:
    """A life cycle hook that holds a member back."""

    hook: str
    token: str
    deadline: float
    heartbeat: float
    limit: float
    default_result: str


class Member(InstanceState):
    """An instance of a group.

    Attributes:
        template: ``LaunchTemplateId``, ``LaunchTemplateName`` and the number of the version it was launched from.
        launched: Time at which it was launched or attached.
        in_service: Time at which it came into service, None before.
        waits: The hooks that hold it back.
        hooked: Whether the hooks of the present transition have been started.
        skip_hooks: Whether the terminate hooks are passed over.
        activity: The activity that its present transition belongs to.
    """

    def __init__(self, instance: Any, group: FakeAutoScalingGroup, now: float, lifecycle_state: str = "Pending"):
        # An instance that was detached from another group still refers to that one.
        instance.autoscaling_group = group
        super().__init__(
            instance, lifecycle_state, protected_from_scale_in=bool(group.new_instances_protected_from_scale_in)
        )
        self.template: dict[str, str] | None = None
        self.configuration: str | None = None
        self.launched = now
        self.in_service: float | None = None
        self.waits: list[Wait] = []
        self.hooked = False
        self.skip_hooks = False
        self.activity: Activity | None = None

    @property
    def launch_template(self) -> dict[str, str] | None:
        """What DescribeAutoScalingGroups reports for this instance."""
        return self.template

    @property
    def launch_configuration_name(self) -> str | None:
        """The launch configuration, if it was launched from one."""
        return self.configuration

    @property
    def id(self) -> str:
        """The instance's id."""
        return str(self.instance.id)

    @property
    def active(self) -> bool:
        """Whether it counts towards the desired capacity."""
        return self.lifecycle_state in ACTIVE

    @property
    def dead(self) -> bool:
        """Whether its machine does not run."""
        return self.instance.state in NOT_RUNNING


@dataclass
class GroupState:
    """What a group needs beyond moto's attributes; kept with it on disk."""

    activities: list[Activity] = field(default_factory=list)
    failures: int = 0
    retry_at: float = 0.0
    rebalancing: bool = False
    deleting: bool = False


def state_of(group: FakeAutoScalingGroup) -> GroupState:
    """The further state of a group."""
    found: GroupState = group.__dict__.setdefault("localcloud", GroupState())
    return found


def moment(seconds: float) -> datetime:
    """A time in the form that moto serialises."""
    return datetime.fromtimestamp(seconds, tz=UTC).replace(tzinfo=None)


def members(group: FakeAutoScalingGroup) -> list[Member]:
    """The members of a group, in any state."""
    found: list[Member] = group.instance_states
    return found


def find_member(backend: AutoScalingBackend, instance_id: str) -> Member | None:
    """The member with this instance, in whichever group."""
    for group in backend.autoscaling_groups.values():
        for member in members(group):
            if member.id == instance_id:
                return member
    return None


def suspended(group: FakeAutoScalingGroup, process: str) -> bool:
    """Whether a process of the group is suspended."""
    return process in group._suspended_processes


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
            self._run_schedules()
            self._check_health()
        for member in list(members(self.group)):
            self._advance(member)
        if self.state.deleting:
            self._finish_deletion()
        else:
            instance_refresh.advance(self)
            self._keep_capacity()
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
            health = elbv2.health_of(target_group, member.id)
            if health.state != "healthy" and health != elbv2.NOT_IN_USE:
                return False
        return True

    def zones(self) -> dict[str, list[str]]:
        """The group's zones with its subnets in each."""
        ec2 = self.backend.ec2_backend
        found: dict[str, list[str]] = {}
        if self.group.vpc_zone_identifier:
            for subnet_id in self.group.vpc_zone_identifier.replace(" ", "").split(","):
                found.setdefault(ec2.get_subnet(subnet_id).availability_zone, []).append(subnet_id)
            return found
        defaults = ec2.get_default_subnets()
        return {zone: [defaults[zone].id] for zone in self.group.availability_zones if zone in defaults}

    # Acts
    # ----

    def record(self, description: str, cause: str, **details: str) -> Activity:
        """Open an activity."""
        activity = Activity(self.group.name, self.group.arn, description, cause, self.now, details=details)
        self.state.activities.insert(0, activity)
        del self.state.activities[ACTIVITIES_KEPT:]
        self.changed = True
        return activity

    def launch(self, cause: str) -> Member | None:
        """Launch an instance in the zone that has fewest; returns None if that failed."""
        try:
            member = self._launch()
        except (ServiceException, LookupError, ValueError, StopIteration) as error:
            message = getattr(error, "message", None) or str(error)
            activity = self.record("Launching a new EC2 instance", cause)
            activity.finish(self.now, "Failed", f"{message} Launching EC2 instance failed.")
            self._launch_failed()
            return None
        member.activity = self.record(
            f"Launching a new EC2 instance: {member.id}",
            cause,
            **{"Subnet ID": member.instance.subnet_id or "", "Availability Zone": member.availability_zone},
        )
        member.activity.progress = 30
        members(self.group).append(member)
        return member

    def _launch(self) -> Member:
        zones = self.zones()
        # What a refresh is about to replace must not push its replacement into another zone.
        staying = [member for member in self.active() if not instance_refresh.leaving(self.group, member)]
        in_zone = Counter(member.availability_zone for member in staying)
        in_subnet = Counter(member.instance.subnet_id for member in staying)
        zone = min(zones, key=lambda entry: in_zone[entry])
        subnet = min(zones[zone], key=lambda entry: in_subnet[entry])
        tags = self.group.get_propagated_tags() | {ASG_NAME_TAG: self.group.name}
        options: dict[str, Any] = {
            "tags": {"instance": tags},
            "subnet_id": subnet,
            "region_name": self.backend.region_name,
            "is_instance_type_default": False,
            "associate_public_ip": None,
        }
        spec = instance_refresh.launch_spec(self.group)
        if spec is None:
            return self._launch_from_configuration(options)
        version = instance_refresh.template_version(self.group, spec)
        template = {"LaunchTemplateId": version.template.id, "Version": str(version.number)}
        override: dict[str, Any] = next(iter(spec.get("Overrides") or []), {})
        reservation = self.backend.ec2_backend.run_instances(
            version.image_id,
            1,
            None,
            [],
            launch_template=template,
            instance_type=override.get("InstanceType") or version.instance_type,
            **options,
        )
        member = Member(reservation.instances[0], self.group, self.now)
        member.template = template | {"LaunchTemplateName": version.template.name}
        return member

    def _launch_from_configuration(self, options: dict[str, Any]) -> Member:
        configuration = self.group.launch_config
        options["associate_public_ip"] = configuration.associate_public_ip_address
        reservation = self.backend.ec2_backend.run_instances(
            configuration.image_id,
            1,
            configuration.user_data,
            configuration.security_groups,
            launch_config=configuration,
            instance_type=configuration.instance_type,
            key_name=configuration.key_name,
            **options,
        )
        instance = reservation.instances[0]
        if profile := configuration.iam_instance_profile:
            field_name = "arn" if profile.startswith("arn:") else "name"
            self.backend.ec2_backend.associate_iam_instance_profile(
                instance_id=instance.id, **{f"iam_instance_profile_{field_name}": profile}
            )
        member = Member(instance, self.group, self.now)
        member.configuration = configuration.name
        return member

    def _launch_failed(self) -> None:
        self.state.failures += 1
        delay = min(LAST_RETRY, FIRST_RETRY * 2 ** (self.state.failures - 1))
        self.state.retry_at = self.now + delay
        self.changed = True

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

    def complete(
        self, member: Member, wait: Wait, result: str, reason: str = "Lifecycle Action Completed with ABANDON Result"
    ) -> None:
        """End the wait for one hook; the reason is given if that abandons a launch."""
        self.changed = True
        member.waits.remove(wait)
        if result == "CONTINUE":
            return
        # ABANDON ends the other hooks of the transition as well.
        member.waits.clear()
        if member.lifecycle_state == "Pending:Wait":
            self._launch_failed()
            if member.activity is not None:
                member.activity.finish(
                    self.now,
                    "Cancelled",
                    "Instance failed to complete user's Lifecycle Action: "
                    f"Lifecycle Action with token {wait.token} was abandoned: {reason}",
                )
            self.begin_terminate(
                member,
                f"{self._at()} an instance was taken out of service: "
                f"its lifecycle action of hook {wait.hook} was abandoned.",
            )

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

    def _at(self) -> str:
        return f"At {moment(self.now):%Y-%m-%dT%H:%M:%SZ}"

    # Steps
    # -----

    def _check_health(self) -> None:
        if suspended(self.group, "HealthCheck"):
            return
        for member in self.active():
            if reason := self._ailment(member):
                if member.health_status == "Healthy":
                    self.changed = True
                member.health_status = "Unhealthy"
                member.__dict__["ailment"] = reason

    def _ailment(self, member: Member) -> str | None:
        if member.dead:
            return f"an EC2 health check: the instance is {member.instance.state}"
        grace = float(self.group.health_check_grace_period or 0)
        if self.group.health_check_type != "ELB" and "ELB" not in str(self.group.health_check_type).split(","):
            return None
        if member.in_service is None or self.now < member.in_service + grace:
            return None
        for target_group in self.target_groups():
            if elbv2.health_of(target_group, member.id).state == "unhealthy":
                return "an ELB system health check failure"
        return None

    def _advance(self, member: Member) -> None:
        state = member.lifecycle_state
        if state.endswith(":Wait"):
            self._advance_wait(member)
        elif state == "Pending" and not member.dead and member.instance.state == "running":
            if self._start_hooks(member, LAUNCHING, "Pending:Wait"):
                return
            self._enter_service(member)
        elif state == "Terminating" and (member.dead or not self._draining(member)):
            skip = member.skip_hooks or member.instance.state in ENDED
            if skip or not self._start_hooks(member, TERMINATING, "Terminating:Wait"):
                self._terminate(member)
        elif state == "EnteringStandby" and not self._draining(member):
            member.lifecycle_state = "Standby"
            self._finish_activity(member)
        elif state == "Detaching" and not self._draining(member):
            self._finish_activity(member)
            self.remove(member)

    def _advance_wait(self, member: Member) -> None:
        for wait in list(member.waits):
            if wait in member.waits and self.now >= min(wait.deadline, wait.limit):
                log.info("%s: hook %s of %s timed out: %s", self.group.name, wait.hook, member.id, wait.default_result)
                self.complete(member, wait, wait.default_result, "Heartbeat Timeout")
        if member.lifecycle_state == "Pending:Wait" and not member.waits and not member.dead:
            self._enter_service(member)
        elif member.lifecycle_state == "Terminating:Wait" and (not member.waits or member.instance.state in ENDED):
            self._terminate(member)

    def _start_hooks(self, member: Member, transition: str, waiting: str) -> bool:
        """Start the hooks of a transition; returns whether the member now waits."""
        if member.hooked or not backing.machines:
            return False
        member.hooked = True
        hooks = [
            hook
            for hook in self.backend.describe_lifecycle_hooks(self.group.name)
            if hook.lifecycle_transition == transition
        ]
        for hook in hooks:
            heartbeat = float(hook.heartbeat_timeout)
            member.waits.append(
                Wait(
                    hook.name,
                    str(uuid.uuid4()),
                    self.now + heartbeat,
                    heartbeat,
                    self.now + float(hook.global_timeout),
                    hook.default_result,
                )
            )
        if hooks:
            member.lifecycle_state = waiting
            self.changed = True
        return bool(hooks)

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
        self.remove(member)

    def remove(self, member: Member) -> None:
        """Take a member off the group's list."""
        self.group.instance_states = [entry for entry in members(self.group) if entry is not member]
        self.changed = True

    def _finish_activity(self, member: Member) -> None:
        self.changed = True
        if member.activity is not None:
            member.activity.finish(self.now)
        member.hooked = False

    def _keep_capacity(self) -> None:
        self._replace_unhealthy()
        desired = int(self.group.desired_capacity or 0)
        wanted = desired + instance_refresh.surplus(self)
        active = self.active()
        if len(active) < wanted:
            self._grow(wanted - len(active), len(active))
        elif self.state.rebalancing and not all(self.serving(member) for member in active):
            return
        elif len(active) > wanted:
            self._shrink(len(active) - wanted, len(active))
        elif instance_refresh.active_refresh(self.group) is None:
            self._rebalance(active)
        if len(self.active()) <= desired:
            self.state.rebalancing = False

    def _replace_unhealthy(self) -> None:
        if suspended(self.group, "ReplaceUnhealthy") or suspended(self.group, "Terminate"):
            return
        for member in self.active():
            if member.health_status == "Healthy":
                continue
            reason = member.__dict__.get("ailment", "a user health-check")
            if member.lifecycle_state.startswith("Pending"):
                self._launch_failed()
            self.begin_terminate(member, f"{self._at()} an instance was taken out of service in response to {reason}.")

    def _grow(self, count: int, present: int) -> None:
        if suspended(self.group, "Launch") or self.now < self.state.retry_at:
            return
        cause = (
            f"{self._at()} an instance was started in response to a difference between desired and actual capacity, "
            f"increasing the capacity from {present} to {present + count}."
        )
        for _ in range(count):
            if self.launch(cause) is None:
                return

    def _shrink(self, count: int, present: int) -> None:
        if suspended(self.group, "Terminate"):
            return
        cause = (
            f"{self._at()} an instance was taken out of service in response to a difference between desired and "
            f"actual capacity, shrinking the capacity from {present} to {present - count}."
        )
        for member in self.choose_victims(count):
            self.begin_terminate(member, cause)

    def choose_victims(self, count: int, among: Iterable[Member] | None = None) -> list[Member]:
        """Choose members to terminate by the group's termination policies, zones kept in balance.

        Args:
            count: How many at most; protected members are never chosen.
            among: Choose among these only.
        """
        pool = list(self.active() if among is None else among)
        zones = Counter(member.availability_zone for member in self.active())
        allowed = set(self.zones())
        victims: list[Member] = []
        while len(victims) < count:
            free = [member for member in pool if not member.protected_from_scale_in]
            if not free:
                break
            # A zone that the group has left goes first.
            fullest = max((entry.availability_zone not in allowed, zones[entry.availability_zone]) for entry in free)
            free = [
                member
                for member in free
                if (member.availability_zone not in allowed, zones[member.availability_zone]) == fullest
            ]
            victim = min(free, key=self._policy_key)
            victims.append(victim)
            pool.remove(victim)
            zones[victim.availability_zone] -= 1
        return victims

    def _policy_key(self, member: Member) -> tuple[Any, ...]:
        key: list[Any] = []
        for policy in self.group.termination_policies or ["Default"]:
            if policy in {"Default", "OldestLaunchTemplate", "OldestLaunchConfiguration", "AllocationStrategy"}:
                key += _template_age(member)
            elif policy == "NewestInstance":
                key.append(-member.launched)
            elif policy == "OldestInstance":
                key.append(member.launched)
            elif policy == "ClosestToNextInstanceHour":
                key.append(3600 - (self.now - member.launched) % 3600)
        # AWS does not say so, but a member that serves is worth more than one that does not.
        return (self.serving(member), *key, member.launched)

    def _rebalance(self, active: list[Member]) -> None:
        if suspended(self.group, "AZRebalance") or suspended(self.group, "Launch") or self.now < self.state.retry_at:
            return
        if any(not self.serving(member) for member in active) or len(active) < 2:
            return
        zones = self.zones()
        counts = Counter(dict.fromkeys(zones, 0))
        counts.update(member.availability_zone for member in active)
        outside = any(member.availability_zone not in zones for member in active)
        if outside or max(counts.values()) - min(counts[zone] for zone in zones) > 1:
            self.state.rebalancing = True
            self.launch(f"{self._at()} instances were launched to balance instances in zones {' '.join(zones)}.")

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
                self.begin_terminate(member, f"{self._at()} the group is being deleted.", skip_hooks=True)

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

    # Schedules
    # ---------

    def _run_schedules(self) -> None:
        for key, action in list(self.backend.scheduled_actions.items()):
            if action.auto_scaling_group_name != self.group.name:
                continue
            due = due_time(action, self.now)
            if due is None:
                if _over(action, self.now):
                    del self.backend.scheduled_actions[key]
                    self.changed = True
                continue
            if self.now < due:
                continue
            if not suspended(self.group, "ScheduledActions"):
                self._run_schedule(action)
            if action.recurrence:
                action.__dict__["due"] = _next_recurrence(action, self.now)
            else:
                del self.backend.scheduled_actions[key]

    def _run_schedule(self, action: FakeScheduledAction) -> None:
        self.changed = True
        group = self.group
        if action.min_size is not None:
            group.min_size = action.min_size
        if action.max_size is not None:
            group.max_size = action.max_size
        desired = group.desired_capacity if action.desired_capacity is None else action.desired_capacity
        group.desired_capacity = max(int(group.min_size), min(int(group.max_size), int(desired)))
        log.info("%s: scheduled action %s ran", group.name, action.scheduled_action_name)


def _template_age(member: Member) -> list[Any]:
    """Sort key: launch configurations first, then other templates, then by version."""
    if member.template is None:
        return [0, "", 0]
    own = (member.auto_scaling_group.launch_template or {}).get("LaunchTemplateId")
    return [1, str(member.template["LaunchTemplateId"] == own), int(member.template["Version"])]


# Scheduled actions
# -----------------


def due_time(action: FakeScheduledAction, now: float) -> float | None:
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


# Passes
# ------


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
        backing.machines = True

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
