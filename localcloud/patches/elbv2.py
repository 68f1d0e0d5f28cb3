"""Load balancers: targets that are drained, health that is measured, addresses, and attributes with their defaults.

moto calls every target healthy, forgets a target at once, gives a balancer no address and leaves out most attributes.
These work-rounds follow

- https://docs.aws.amazon.com/elasticloadbalancing/latest/APIReference/API_TargetHealth.html (states and reasons)
- https://docs.aws.amazon.com/elasticloadbalancing/latest/APIReference/API_DeregisterTargets.html (a deregistered
  target is drained and listed as such until it has finished its requests or the delay is over)
- https://docs.aws.amazon.com/elasticloadbalancing/latest/APIReference/API_RegisterTargets.html (one target may be
  registered with several ports)
- https://docs.aws.amazon.com/elasticloadbalancing/latest/APIReference/API_TargetGroupAttribute.html and
  https://docs.aws.amazon.com/elasticloadbalancing/latest/APIReference/API_LoadBalancerAttribute.html (defaults)
- https://docs.aws.amazon.com/elasticloadbalancing/latest/APIReference/API_CreateLoadBalancer.html (idempotent by
  name; ``DuplicateLoadBalancerName``; one network interface in each subnet)
- https://docs.aws.amazon.com/elasticloadbalancing/latest/APIReference/API_DeleteLoadBalancer.html (deletion
  protection; the interfaces go too)
- https://docs.aws.amazon.com/elasticloadbalancing/latest/APIReference/API_CreateListener.html (``DuplicateListener``)
- https://docs.aws.amazon.com/elasticloadbalancing/latest/APIReference/API_ModifyListener.html (the default
  certificate is replaced, further ones stay)

Who moves traffic is not decided here: with ``backing.data_plane`` (the part ``balancer`` sets it) health and the end of
draining come from there; without one a target in use is healthy at once and drained at once.
"""

from __future__ import annotations

import functools
import time
from dataclasses import dataclass
from typing import Any

from moto.elbv2.exceptions import DuplicateListenerError, DuplicateLoadBalancerName, ELBClientError, InvalidTargetError
from moto.elbv2.models import ELBv2Backend, FakeHealthStatus, FakeLoadBalancer, FakeTargetGroup, elbv2_backends

TARGET_GROUP_DEFAULTS = {
    "load_balancing.algorithm.anomaly_mitigation": "off",
    "stickiness.app_cookie.cookie_name": "",
    "stickiness.app_cookie.duration_seconds": "86400",
    "stickiness.lb_cookie.duration_seconds": "86400",
    "target_group_health.dns_failover.minimum_healthy_targets.count": "1",
    "target_group_health.dns_failover.minimum_healthy_targets.percentage": "off",
    "target_group_health.unhealthy_state_routing.minimum_healthy_targets.count": "1",
    "target_group_health.unhealthy_state_routing.minimum_healthy_targets.percentage": "off",
}
LOAD_BALANCER_DEFAULTS = {
    "access_logs.s3.enabled": "false",
    "client_keep_alive.seconds": "3600",
    "connection_logs.s3.bucket": "",
    "connection_logs.s3.enabled": "false",
    "connection_logs.s3.prefix": "",
    "idle_timeout.timeout_seconds": "60",
    "ipv6.deny_all_igw_traffic": "false",
    "load_balancing.cross_zone.enabled": "true",
    "routing.http.desync_mitigation_mode": "defensive",
    "routing.http.drop_invalid_header_fields.enabled": "false",
    "routing.http.preserve_host_header.enabled": "false",
    "routing.http.x_amzn_tls_version_and_cipher_suite.enabled": "false",
    "routing.http.xff_client_port.enabled": "false",
    "routing.http.xff_header_processing.mode": "append",
    "routing.http2.enabled": "true",
    "waf.fail_open.enabled": "false",
    "zonal_shift.config.enabled": "false",
}


@dataclass
class Backing:
    """What stands behind the API's records.

    Attributes:
        data_plane: Whether something serves the balancers, and reports health and the end of draining.
    """

    data_plane: bool = False


backing = Backing()


@dataclass(frozen=True)
class Health:
    """What a health check says of a target, in AWS's words."""

    state: str
    reason: str | None = None
    description: str | None = None


HEALTHY = Health("healthy")
REGISTERING = Health("initial", "Elb.RegistrationInProgress", "Target registration is in progress")
CHECKING = Health("initial", "Elb.InitialHealthChecking", "Initial health checks in progress")
DRAINING = Health("draining", "Target.DeregistrationInProgress", "Target deregistration is in progress")
NOT_REGISTERED = Health("unused", "Target.NotRegistered", "Target is not registered to the target group")
NOT_IN_USE = Health(
    "unused", "Target.NotInUse", "Target group is not configured to receive traffic from the load balancer"
)
OTHER_ZONE = Health(
    "unused", "Target.NotInUse", "Target is in an Availability Zone that is not enabled for the load balancer"
)
STOPPED = Health("unused", "Target.InvalidState", "Target is in the stopped state")
TERMINATED = Health("unused", "Target.InvalidState", "Target is in the terminated state")


@dataclass
class Draining:
    """A deregistered target that still finishes its requests.

    Attributes:
        target: ``Id`` and ``Port``.
        deadline: Time (seconds since the epoch) at which it is cut off.
    """

    target: dict[str, Any]
    deadline: float


@functools.cache
def apply() -> None:
    """Apply the work-rounds to the moto of this process."""
    FakeTargetGroup.__init__ = _target_group_init(FakeTargetGroup.__init__)
    FakeTargetGroup.load_balancer_arns = property(_load_balancer_arns, lambda self, value: None)
    FakeTargetGroup.register = _register
    FakeTargetGroup.deregister = _deregister
    FakeTargetGroup.deregister_terminated_instances = _deregister_terminated
    FakeTargetGroup.health_for = _health_for
    FakeLoadBalancer.__init__ = _load_balancer_init(FakeLoadBalancer.__init__)
    FakeLoadBalancer.activate = _activate(FakeLoadBalancer.activate)
    ELBv2Backend.create_load_balancer = _create_load_balancer(ELBv2Backend.create_load_balancer)
    ELBv2Backend.delete_load_balancer = _delete_load_balancer(ELBv2Backend.delete_load_balancer)
    ELBv2Backend.set_subnets = _set_subnets(ELBv2Backend.set_subnets)
    ELBv2Backend.set_security_groups = _set_security_groups(ELBv2Backend.set_security_groups)
    ELBv2Backend.describe_target_health = _describe_target_health(ELBv2Backend.describe_target_health)
    ELBv2Backend.create_listener = _create_listener(ELBv2Backend.create_listener)
    ELBv2Backend.modify_listener = _modify_listener(ELBv2Backend.modify_listener)


# Target groups
# -------------


def key_of(target: dict[str, Any]) -> str:
    """Key of a target within its group."""
    return f"{target['Id']}:{target['Port']}"


def drainings(group: FakeTargetGroup) -> dict[str, Draining]:
    """The deregistered targets of a group that are still being drained; forgets those whose delay is over."""
    found: dict[str, Draining] = group.__dict__.setdefault("drainings", {})
    now = time.time()
    for key in [key for key, entry in found.items() if now >= entry.deadline]:
        del found[key]
    return found


def measured(group: FakeTargetGroup) -> dict[str, Health]:
    """What the data plane measured, by target key; written by the data plane."""
    found: dict[str, Health] = group.__dict__.setdefault("measured", {})
    return found


def drain(group: FakeTargetGroup, target_id: str, port: int | None = None) -> bool:
    """Deregister a target if it is registered.

    Args:
        group: The target group.
        target_id: Instance id or address.
        port: Only the registration with this port.

    Returns:
        Whether there was anything to deregister.
    """
    keys = [
        key
        for key, target in group.targets.items()
        if target["Id"] == target_id and port in (None, int(target["Port"]))
    ]
    for key in keys:
        target = group.targets.pop(key)
        measured(group).pop(key, None)
        if backing.data_plane and group.load_balancer_arns:
            delay = float(group.attributes["deregistration_delay.timeout_seconds"])
            drainings(group)[key] = Draining(target, time.time() + delay)
    return bool(keys)


def is_draining(group: FakeTargetGroup, target_id: str) -> bool:
    """Whether requests may still be under way to a deregistered target."""
    return any(entry.target["Id"] == target_id for entry in drainings(group).values())


def health_of(group: FakeTargetGroup, target_id: str) -> Health:
    """Health of a target by its id, the worst one if it is registered with several ports."""
    targets = [target for target in group.targets.values() if target["Id"] == target_id]
    found = [_health(group, target) for target in targets]
    return max(found, key=lambda health: health.state == "unhealthy", default=NOT_REGISTERED)


def balancers_of(group: FakeTargetGroup) -> list[FakeLoadBalancer]:
    """The balancers of which a rule forwards to a group."""
    backend = elbv2_backends[group.account_id][group.region_name]
    return [
        balancer
        for balancer in backend.load_balancers.values()
        if any(
            group.arn in _forwarded(action.data)
            for listener in balancer.listeners.values()
            for rule in listener.rules.values()
            for action in rule.actions
        )
    ]


def _forwarded(action: dict[str, Any]) -> set[str]:
    configured = (action.get("ForwardConfig") or {}).get("TargetGroups") or []
    arns = {entry["TargetGroupArn"] for entry in configured}
    if action.get("TargetGroupArn"):
        arns.add(action["TargetGroupArn"])
    return arns


def _load_balancer_arns(self: FakeTargetGroup) -> list[str]:
    return [balancer.arn for balancer in balancers_of(self)]


def _target_group_init(stock: Any) -> Any:
    @functools.wraps(stock)
    def __init__(self: FakeTargetGroup, *arguments: Any, **options: Any) -> None:  # noqa: N807
        stock(self, *arguments, **options)
        if self.protocol in {"HTTP", "HTTPS"}:
            self.attributes.pop("waf.fail_open.enabled", None)
            self.attributes = TARGET_GROUP_DEFAULTS | self.attributes

    return __init__


def _register(self: FakeTargetGroup, targets: list[dict[str, Any]]) -> None:
    for target in targets:
        if self.target_type != "instance":
            continue
        instance = self.ec2_backend.get_instance_by_id(target["Id"])
        if instance is None or instance.vpc_id != self.vpc_id:
            raise ELBClientError(
                "InvalidTarget",
                f"The following targets are not in the VPC of the target group: '{target['Id']}'",
            )
        if instance.state not in {"running", "pending"}:
            raise ELBClientError(
                "InvalidTarget",
                f"The following targets are not in a running state and cannot be registered: '{target['Id']}'",
            )
    for target in targets:
        entry = {"Id": target["Id"], "Port": int(target.get("Port") or self.port)}
        if zone := target.get("AvailabilityZone"):
            entry["AvailabilityZone"] = zone
        drainings(self).pop(key_of(entry), None)
        self.targets.setdefault(key_of(entry), entry)


def _deregister(self: FakeTargetGroup, targets: list[dict[str, Any]]) -> None:
    for target in targets:
        port = target.get("Port")
        if not drain(self, target["Id"], None if port is None else int(port)) and not is_draining(self, target["Id"]):
            raise InvalidTargetError()


def _deregister_terminated(self: FakeTargetGroup, instance_ids: list[str]) -> None:
    for instance_id in instance_ids:
        drain(self, instance_id)


def _health_for(self: FakeTargetGroup, target: dict[str, Any], ec2_backend: Any) -> FakeHealthStatus:
    port = int(target.get("Port") or self.port)
    key = key_of({"Id": target["Id"], "Port": port})
    if key in self.targets:
        health = _health(self, self.targets[key])
    elif key in drainings(self):
        health = DRAINING
    else:
        health = NOT_REGISTERED
    checked = str(port) if self.health_check_port == "traffic-port" else self.health_check_port
    return FakeHealthStatus(target["Id"], port, checked, health.state, health.reason, health.description)


def _health(group: FakeTargetGroup, target: dict[str, Any]) -> Health:
    balancers = balancers_of(group)
    if not balancers:
        return NOT_IN_USE
    if group.target_type == "instance":
        instance = group.ec2_backend.get_instance_by_id(target["Id"])
        if instance is None or instance.state in {"terminated", "shutting-down"}:
            return TERMINATED
        if instance.state in {"stopped", "stopping"}:
            return STOPPED
        zones = {subnet.availability_zone for balancer in balancers for subnet in balancer.subnets}
        if instance.availability_zone not in zones:
            return OTHER_ZONE
    if not backing.data_plane:
        return HEALTHY
    return measured(group).get(key_of(target), REGISTERING)


def _describe_target_health(stock: Any) -> Any:
    @functools.wraps(stock)
    def describe_target_health(self: ELBv2Backend, target_group_arn: str, targets: list[dict[str, Any]]) -> Any:
        group = self.target_groups.get(target_group_arn)
        if group is not None and not targets:
            targets = [*group.targets.values(), *(entry.target for entry in drainings(group).values())]
            if not targets:
                return []
        return stock(self, target_group_arn, targets)

    return describe_target_health


# Balancers and listeners
# -----------------------


def addresses(balancer: FakeLoadBalancer) -> list[str]:
    """The balancer's private addresses, one in each of its subnets."""
    backend = elbv2_backends[_account(balancer)][_region(balancer)].ec2_backend
    return [backend.enis[eni].private_ip_address for eni in interfaces(balancer).values() if eni in backend.enis]


def interfaces(balancer: FakeLoadBalancer) -> dict[str, str]:
    """The balancer's network interfaces: subnet id to interface id."""
    found: dict[str, str] = balancer.__dict__.setdefault("interfaces", {})
    return found


def _account(balancer: FakeLoadBalancer) -> str:
    return str(balancer.arn.split(":")[4])


def _region(balancer: FakeLoadBalancer) -> str:
    return str(balancer.arn.split(":")[3])


def _load_balancer_init(stock: Any) -> Any:
    @functools.wraps(stock)
    def __init__(self: FakeLoadBalancer, *arguments: Any, **options: Any) -> None:  # noqa: N807
        stock(self, *arguments, **options)
        if self.type == "application":
            self.attrs = self.attrs | LOAD_BALANCER_DEFAULTS

    return __init__


def _activate(stock: Any) -> Any:
    @functools.wraps(stock)
    def activate(self: FakeLoadBalancer) -> None:
        if not backing.data_plane or self.type != "application":
            stock(self)

    return activate


def _create_load_balancer(stock: Any) -> Any:
    @functools.wraps(stock)
    def create_load_balancer(
        self: ELBv2Backend,
        name: str,
        security_groups: list[str],
        subnet_ids: list[str],
        subnet_mappings: list[dict[str, str]] | None = None,
        **options: Any,
    ) -> FakeLoadBalancer:
        wanted = set(subnet_ids) | {mapping["SubnetId"] for mapping in subnet_mappings or []}
        options["scheme"] = options.get("scheme") or "internet-facing"
        for balancer in self.load_balancers.values():
            if balancer.name == name:
                same = {subnet.id for subnet in balancer.subnets} == wanted and balancer.scheme == options["scheme"]
                if not same or (security_groups and set(security_groups) != set(balancer.security_groups)):
                    raise DuplicateLoadBalancerName()
                return balancer
        balancer = stock(self, name, security_groups, subnet_ids, subnet_mappings, **options)
        if balancer.type == "application" and not balancer.security_groups:
            balancer.security_groups = [self.ec2_backend.get_default_security_group(balancer.vpc_id).id]
        if balancer.scheme == "internal":
            balancer.dns_name = f"internal-{balancer.dns_name}"
        _plug(self, balancer)
        return balancer

    return create_load_balancer


def _plug(backend: ELBv2Backend, balancer: FakeLoadBalancer) -> None:
    """Give the balancer one interface in each of its subnets, and no other."""
    ec2 = backend.ec2_backend
    plugged = interfaces(balancer)
    wanted = {subnet.id: subnet for subnet in balancer.subnets}
    for subnet_id in plugged.keys() - wanted.keys():
        _unplug(ec2, plugged.pop(subnet_id))
    for subnet_id in [entry for entry in wanted if entry not in plugged]:
        subnet = wanted[subnet_id]
        interface = ec2.create_network_interface(
            subnet,
            subnet.get_available_subnet_ip(balancer.arn),
            group_ids=list(balancer.security_groups),
            description=f"ELB {balancer.arn.split(':loadbalancer/')[1]}",
        )
        interface.status = "in-use"
        interface.requester_managed = True
        interface.requester_id = "amazon-elb"
        plugged[subnet_id] = interface.id


def _unplug(ec2: Any, interface_id: str) -> None:
    if interface := ec2.enis.get(interface_id):
        interface.status = "available"
        interface.delete()


def _delete_load_balancer(stock: Any) -> Any:
    @functools.wraps(stock)
    def delete_load_balancer(self: ELBv2Backend, arn: str) -> None:
        balancer = self.load_balancers.get(arn)
        if balancer is not None:
            if balancer.attrs.get("deletion_protection.enabled") == "true":
                raise ELBClientError(
                    "OperationNotPermitted",
                    f"Load balancer '{arn}' cannot be deleted because deletion protection is enabled",
                )
            for interface_id in interfaces(balancer).values():
                _unplug(self.ec2_backend, interface_id)
            interfaces(balancer).clear()
        stock(self, arn)

    return delete_load_balancer


def _set_subnets(stock: Any) -> Any:
    @functools.wraps(stock)
    def set_subnets(self: ELBv2Backend, arn: str, *arguments: Any, **options: Any) -> Any:
        result = stock(self, arn, *arguments, **options)
        _plug(self, self.load_balancers[arn])
        return result

    return set_subnets


def _set_security_groups(stock: Any) -> Any:
    @functools.wraps(stock)
    def set_security_groups(self: ELBv2Backend, arn: str, sec_groups: list[str]) -> None:
        stock(self, arn, sec_groups)
        groups = [self.ec2_backend.get_security_group_from_id(group) for group in sec_groups]
        for interface_id in interfaces(self.load_balancers[arn]).values():
            self.ec2_backend.enis[interface_id]._group_set = list(groups)

    return set_security_groups


def _create_listener(stock: Any) -> Any:
    @functools.wraps(stock)
    def create_listener(
        self: ELBv2Backend, load_balancer_arn: str, protocol: str, port: str, *rest: Any, **more: Any
    ) -> Any:
        balancer = self.load_balancers.get(load_balancer_arn)
        if balancer is not None and str(port) in {str(listener.port) for listener in balancer.listeners.values()}:
            raise DuplicateListenerError()
        return stock(self, load_balancer_arn, protocol, port, *rest, **more)

    return create_listener


def _modify_listener(stock: Any) -> Any:
    @functools.wraps(stock)
    def modify_listener(self: ELBv2Backend, arn: str, *arguments: Any, **options: Any) -> Any:
        before = self.describe_listeners(load_balancer_arn=None, listener_arns=[arn])[0]
        further = [entry for entry in before.certificates if entry != before.certificate]
        listener = stock(self, arn, *arguments, **options)
        listener.certificates += [entry for entry in further if entry not in listener.certificates]
        return listener

    return modify_listener
