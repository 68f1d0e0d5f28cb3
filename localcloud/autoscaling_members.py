"""What Auto Scaling keeps of a group: its members, the hooks they wait for, its activities.

A member is an instance of a group with its place in the life cycle. Left out: the states of warm pools.
"""

from __future__ import annotations

import json
import uuid
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from moto.autoscaling.models import AutoScalingBackend, FakeAutoScalingGroup, InstanceState

# Members that count towards the desired capacity.
ACTIVE = frozenset({"Pending", "Pending:Wait", "Pending:Proceed", "InService"})
ENDED = frozenset({"terminated", "shutting-down"})
NOT_RUNNING = ENDED | {"stopped", "stopping"}


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
