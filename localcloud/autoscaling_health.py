"""Health of the members of Auto Scaling groups.

Modelled: EC2 checks (a machine that does not run is unhealthy at once), ELB checks after the grace period, and the
replacement of what is unhealthy. Left out: checks of EBS and VPC Lattice.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from localcloud import autoscaling_launches as launches
from localcloud.autoscaling_members import Member, suspended
from localcloud.patches import elbv2

if TYPE_CHECKING:
    from localcloud.autoscaling import Pass


def check(look: Pass) -> None:
    """Mark the members that a health check finds unhealthy."""
    if suspended(look.group, "HealthCheck"):
        return
    for member in look.active():
        if reason := _ailment(look, member):
            if member.health_status == "Healthy":
                look.changed = True
            member.health_status = "Unhealthy"
            member.__dict__["ailment"] = reason


def _ailment(look: Pass, member: Member) -> str | None:
    if member.dead:
        return f"an EC2 health check: the instance is {member.instance.state}"
    grace = float(look.group.health_check_grace_period or 0)
    if look.group.health_check_type != "ELB" and "ELB" not in str(look.group.health_check_type).split(","):
        return None
    if member.in_service is None or look.now < member.in_service + grace:
        return None
    for target_group in look.target_groups():
        if elbv2.health_of(target_group, member.id).state == "unhealthy":
            return "an ELB system health check failure"
    return None


def replace_unhealthy(look: Pass) -> None:
    """Terminate the members that are marked; the group then lacks them."""
    if suspended(look.group, "ReplaceUnhealthy") or suspended(look.group, "Terminate"):
        return
    for member in look.active():
        if member.health_status == "Healthy":
            continue
        reason = member.__dict__.get("ailment", "a user health-check")
        if member.lifecycle_state.startswith("Pending"):
            launches.failed(look)
        look.begin_terminate(member, f"{look.at()} an instance was taken out of service in response to {reason}.")
