"""Health of the members of Auto Scaling groups.

Modelled: EC2 checks (a machine that does not run is unhealthy at once), ELB checks after the grace period, and the
replacement of what is unhealthy. What the balancers find unhealthy is replaced a tenth of the group at a time, at least
one, and the next only when the replacements have passed a health check and warmed up: what all depend on may just be
away, and then a group that replaces itself whole would only add to that. With an instance maintenance policy of at
least 100 per cent the replacement serves before such a machine leaves.
https://docs.aws.amazon.com/autoscaling/ec2/userguide/health-checks-overview.html#minimize-downtime
https://docs.aws.amazon.com/autoscaling/ec2/userguide/ec2-auto-scaling-instance-maintenance-policy.html

Left out: checks of EBS and VPC Lattice; that a policy changes the tenth.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from localcloud import autoscaling_launches as launches
from localcloud.autoscaling_members import Member, suspended
from localcloud.patches import elbv2

if TYPE_CHECKING:
    from localcloud.autoscaling import Pass


# Why a member that runs is unhealthy, where a balancer says so.
ELB_FAILURE = "an ELB system health check failure"


def check(look: Pass) -> None:
    """Mark the members that a health check finds unhealthy."""
    if suspended(look.group, "HealthCheck"):
        return
    for member in look.active():
        if member.dead:
            _mark(look, member, f"an EC2 health check: the instance is {member.instance.state}")
    desired = int(look.group.desired_capacity or 0)
    settled = sum(_settled(look, member) for member in look.active())
    room = max(1, desired // 10) - (desired - settled)
    failing = [member for member in look.active() if member.health_status == "Healthy" and _fails(look, member)]
    for member in failing[: max(0, room)]:
        _mark(look, member, ELB_FAILURE)


def _mark(look: Pass, member: Member, ailment: str) -> None:
    if member.health_status == "Healthy":
        look.changed = True
    member.health_status = "Unhealthy"
    member.__dict__["ailment"] = ailment


def _fails(look: Pass, member: Member) -> bool:
    """Whether a balancer in use finds a member unhealthy, and that counts."""
    if "ELB" not in str(look.group.health_check_type).split(","):
        return False
    grace = float(look.group.health_check_grace_period or 0)
    if member.in_service is None or look.now < member.in_service + grace:
        return False
    return any(elbv2.health_of(target_group, member.id).state == "unhealthy" for target_group in look.target_groups())


def _settled(look: Pass, member: Member) -> bool:
    """Whether a member is in service, has been checked by the balancers, and has warmed up."""
    if member.lifecycle_state != "InService" or member.in_service is None or member.health_status != "Healthy":
        return False
    warm_up = max(0.0, float(getattr(look.group, "default_instance_warmup", None) or 0))
    if look.now < member.in_service + warm_up:
        return False
    return all(elbv2.health_of(target_group, member.id).state != "initial" for target_group in look.target_groups())


def replace_unhealthy(look: Pass) -> None:
    """Terminate the members that are marked; the group then lacks them."""
    if suspended(look.group, "ReplaceUnhealthy") or suspended(look.group, "Terminate"):
        return
    outgoing = _outgoing(look)
    ready = sum(_settled(look, member) and look.serving(member) for member in look.active())
    kept = outgoing[max(0, ready + len(outgoing) - int(look.group.desired_capacity or 0)) :]
    for member in look.active():
        if member.health_status == "Healthy" or member in kept:
            continue
        reason = member.__dict__.get("ailment", "a user health-check")
        if member.lifecycle_state.startswith("Pending"):
            launches.failed(look)
        look.begin_terminate(member, f"{look.at()} an instance was taken out of service in response to {reason}.")


def surplus(look: Pass) -> int:
    """How many members there may be above the desired capacity, to replace others before these leave."""
    desired = int(look.group.desired_capacity or 0)
    policy = getattr(look.group, "instance_maintenance_policy", None) or {}
    most = desired * int(policy.get("MaxHealthyPercentage", 100)) // 100
    return min(len(_outgoing(look)), max(1, most - desired))


def _outgoing(look: Pass) -> list[Member]:
    """Marked members that run and, by the group's maintenance policy, stay until they are replaced."""
    policy = getattr(look.group, "instance_maintenance_policy", None) or {}
    if policy.get("MinHealthyPercentage", -1) < 100:
        return []
    return [
        member
        for member in look.active()
        if member.health_status != "Healthy" and not member.dead and member.__dict__.get("ailment") == ELB_FAILURE
    ]
