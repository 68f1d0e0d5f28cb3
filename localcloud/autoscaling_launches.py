"""Launching the instances of Auto Scaling groups.

Modelled: launch templates by version and launch configurations, spread over the group's zones and subnets, tags that
are propagated. A launch that fails is tried again with a growing delay, of which AWS does not document the figures.
Left out: spot capacity; of a mixed instances policy the first override is used.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from moto.autoscaling.models import ASG_NAME_TAG
from moto.core.exceptions import ServiceException

from localcloud import instance_refresh
from localcloud.autoscaling_members import Member, members

if TYPE_CHECKING:
    from localcloud.autoscaling import Pass

# Seconds before a failed launch is tried again: doubled by each further failure.
FIRST_RETRY, LAST_RETRY = 5.0, 300.0


def launch(look: Pass, cause: str) -> Member | None:
    """Launch an instance in the zone that has fewest; returns None if that failed."""
    try:
        member = _launch(look)
    except (ServiceException, LookupError, ValueError, StopIteration) as error:
        message = getattr(error, "message", None) or str(error)
        activity = look.record("Launching a new EC2 instance", cause)
        activity.finish(look.now, "Failed", f"{message} Launching EC2 instance failed.")
        failed(look)
        return None
    member.activity = look.record(
        f"Launching a new EC2 instance: {member.id}",
        cause,
        **{"Subnet ID": member.instance.subnet_id or "", "Availability Zone": member.availability_zone},
    )
    member.activity.progress = 30
    members(look.group).append(member)
    return member


def failed(look: Pass) -> None:
    """Note that a launch failed, which puts off the next one."""
    look.state.failures += 1
    delay = min(LAST_RETRY, FIRST_RETRY * 2 ** (look.state.failures - 1))
    look.state.retry_at = look.now + delay
    look.changed = True


def zones(look: Pass) -> dict[str, list[str]]:
    """The group's zones with its subnets in each."""
    ec2 = look.backend.ec2_backend
    found: dict[str, list[str]] = {}
    if look.group.vpc_zone_identifier:
        for subnet_id in look.group.vpc_zone_identifier.replace(" ", "").split(","):
            found.setdefault(ec2.get_subnet(subnet_id).availability_zone, []).append(subnet_id)
        return found
    defaults = ec2.get_default_subnets()
    return {zone: [defaults[zone].id] for zone in look.group.availability_zones if zone in defaults}


def _launch(look: Pass) -> Member:
    subnets = zones(look)
    # What a refresh is about to replace must not push its replacement into another zone.
    staying = [member for member in look.active() if not instance_refresh.leaving(look.group, member)]
    in_zone = Counter(member.availability_zone for member in staying)
    in_subnet = Counter(member.instance.subnet_id for member in staying)
    zone = min(subnets, key=lambda entry: in_zone[entry])
    subnet = min(subnets[zone], key=lambda entry: in_subnet[entry])
    tags = look.group.get_propagated_tags() | {ASG_NAME_TAG: look.group.name}
    options: dict[str, Any] = {
        "tags": {"instance": tags},
        "subnet_id": subnet,
        "region_name": look.backend.region_name,
        "is_instance_type_default": False,
        "associate_public_ip": None,
    }
    spec = instance_refresh.launch_spec(look.group)
    if spec is None:
        return _launch_from_configuration(look, options)
    version = instance_refresh.template_version(look.group, spec)
    template = {"LaunchTemplateId": version.template.id, "Version": str(version.number)}
    override: dict[str, Any] = next(iter(spec.get("Overrides") or []), {})
    reservation = look.backend.ec2_backend.run_instances(
        version.image_id,
        1,
        None,
        [],
        launch_template=template,
        instance_type=override.get("InstanceType") or version.instance_type,
        **options,
    )
    member = Member(reservation.instances[0], look.group, look.now)
    member.template = template | {"LaunchTemplateName": version.template.name}
    return member


def _launch_from_configuration(look: Pass, options: dict[str, Any]) -> Member:
    configuration = look.group.launch_config
    options["associate_public_ip"] = configuration.associate_public_ip_address
    reservation = look.backend.ec2_backend.run_instances(
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
        look.backend.ec2_backend.associate_iam_instance_profile(
            instance_id=instance.id, **{f"iam_instance_profile_{field_name}": profile}
        )
    member = Member(instance, look.group, look.now)
    member.configuration = configuration.name
    return member
