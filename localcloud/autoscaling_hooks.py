"""Life cycle hooks: what holds a member back in ``Pending:Wait`` and ``Terminating:Wait``.

Modelled: heartbeats, their time-outs with the default result, the limit in all, CONTINUE and ABANDON. An abandoned
launch ends the machine, and the group tries again. Left out: hooks notify nobody.
"""

from __future__ import annotations

import logging
import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING

from localcloud import autoscaling_launches as launches
from localcloud.autoscaling_members import Member, Wait

if TYPE_CHECKING:
    from localcloud.autoscaling import Pass

log = logging.getLogger("localcloud")

LAUNCHING = "autoscaling:EC2_INSTANCE_LAUNCHING"
TERMINATING = "autoscaling:EC2_INSTANCE_TERMINATING"


@dataclass
class Backing:
    """What stands behind the API's records.

    Attributes:
        machines: Whether instances are machines. Without them (tests of modules and roles) nothing could complete a
            life cycle hook, so that hooks do not wait.
    """

    machines: bool = False


backing = Backing()


def start(look: Pass, member: Member, transition: str, waiting: str) -> bool:
    """Start the hooks of a transition; returns whether the member now waits."""
    if member.hooked or not backing.machines:
        return False
    member.hooked = True
    hooks = [
        hook
        for hook in look.backend.describe_lifecycle_hooks(look.group.name)
        if hook.lifecycle_transition == transition
    ]
    for hook in hooks:
        heartbeat = float(hook.heartbeat_timeout)
        member.waits.append(
            Wait(
                hook.name,
                str(uuid.uuid4()),
                look.now + heartbeat,
                heartbeat,
                look.now + float(hook.global_timeout),
                hook.default_result,
            )
        )
    if hooks:
        member.lifecycle_state = waiting
        look.changed = True
    return bool(hooks)


def expire(look: Pass, member: Member) -> None:
    """Carry out the default results of the waits whose time has run out."""
    for wait in list(member.waits):
        if wait in member.waits and look.now >= min(wait.deadline, wait.limit):
            log.info("%s: hook %s of %s timed out: %s", look.group.name, wait.hook, member.id, wait.default_result)
            complete(look, member, wait, wait.default_result, "Heartbeat Timeout")


def complete(
    look: Pass, member: Member, wait: Wait, result: str, reason: str = "Lifecycle Action Completed with ABANDON Result"
) -> None:
    """End the wait for one hook; the reason is given if that abandons a launch."""
    look.changed = True
    member.waits.remove(wait)
    if result == "CONTINUE":
        return
    # ABANDON ends the other hooks of the transition as well.
    member.waits.clear()
    if member.lifecycle_state == "Pending:Wait":
        launches.failed(look)
        if member.activity is not None:
            member.activity.finish(
                look.now,
                "Cancelled",
                "Instance failed to complete user's Lifecycle Action: "
                f"Lifecycle Action with token {wait.token} was abandoned: {reason}",
            )
        look.begin_terminate(
            member,
            f"{look.at()} an instance was taken out of service: "
            f"its lifecycle action of hook {wait.hook} was abandoned.",
        )
