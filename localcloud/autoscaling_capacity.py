"""Size and shape of Auto Scaling groups: as many members as wanted, in balance over the zones.

Modelled: growing, shrinking by the termination policies and never by protected members, rebalancing of zones by
launching first. Left out: scaling policies are not evaluated (CloudWatch does not evaluate their alarms), so are warm
pools.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from localcloud import autoscaling_health as health
from localcloud import autoscaling_launches as launches
from localcloud import instance_refresh
from localcloud.autoscaling_members import Member, suspended

if TYPE_CHECKING:
    from localcloud.autoscaling import Pass


def keep(look: Pass) -> None:
    """Launch what is missing, terminate what is too much, and balance the zones."""
    desired = int(look.group.desired_capacity or 0)
    wanted = desired + max(instance_refresh.surplus(look), health.surplus(look))
    active = look.active()
    if len(active) < wanted:
        _grow(look, wanted - len(active), len(active))
    elif look.state.rebalancing and not all(look.serving(member) for member in active):
        return
    elif len(active) > wanted:
        _shrink(look, len(active) - wanted, len(active))
    elif instance_refresh.active_refresh(look.group) is None:
        _rebalance(look, active)
    if len(look.active()) <= desired:
        look.state.rebalancing = False


def _grow(look: Pass, count: int, present: int) -> None:
    if suspended(look.group, "Launch") or look.now < look.state.retry_at:
        return
    cause = (
        f"{look.at()} an instance was started in response to a difference between desired and actual capacity, "
        f"increasing the capacity from {present} to {present + count}."
    )
    for _ in range(count):
        if launches.launch(look, cause) is None:
            return


def _shrink(look: Pass, count: int, present: int) -> None:
    if suspended(look.group, "Terminate"):
        return
    cause = (
        f"{look.at()} an instance was taken out of service in response to a difference between desired and "
        f"actual capacity, shrinking the capacity from {present} to {present - count}."
    )
    for member in _choose_victims(look, count):
        look.begin_terminate(member, cause)


def _choose_victims(look: Pass, count: int) -> list[Member]:
    """Choose members to terminate by the group's termination policies, zones kept in balance; never protected ones."""
    pool = look.active()
    zones = Counter(member.availability_zone for member in pool)
    allowed = set(launches.zones(look))
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
        victim = min(free, key=lambda member: _policy_key(look, member))
        victims.append(victim)
        pool.remove(victim)
        zones[victim.availability_zone] -= 1
    return victims


def _policy_key(look: Pass, member: Member) -> tuple[Any, ...]:
    key: list[Any] = []
    for policy in look.group.termination_policies or ["Default"]:
        if policy in {"Default", "OldestLaunchTemplate", "OldestLaunchConfiguration", "AllocationStrategy"}:
            key += _template_age(member)
        elif policy == "NewestInstance":
            key.append(-member.launched)
        elif policy == "OldestInstance":
            key.append(member.launched)
        elif policy == "ClosestToNextInstanceHour":
            key.append(3600 - (look.now - member.launched) % 3600)
    # AWS does not say so, but a member that serves is worth more than one that does not.
    return (look.serving(member), *key, member.launched)


def _template_age(member: Member) -> list[Any]:
    """Sort key: launch configurations first, then other templates, then by version."""
    if member.template is None:
        return [0, "", 0]
    own = (member.auto_scaling_group.launch_template or {}).get("LaunchTemplateId")
    return [1, str(member.template["LaunchTemplateId"] == own), int(member.template["Version"])]


def _rebalance(look: Pass, active: list[Member]) -> None:
    if suspended(look.group, "AZRebalance") or suspended(look.group, "Launch") or look.now < look.state.retry_at:
        return
    if any(not look.serving(member) for member in active) or len(active) < 2:
        return
    zones = launches.zones(look)
    counts = Counter(dict.fromkeys(zones, 0))
    counts.update(member.availability_zone for member in active)
    outside = any(member.availability_zone not in zones for member in active)
    if outside or max(counts.values()) - min(counts[zone] for zone in zones) > 1:
        look.state.rebalancing = True
        launches.launch(look, f"{look.at()} instances were launched to balance instances in zones {' '.join(zones)}.")
