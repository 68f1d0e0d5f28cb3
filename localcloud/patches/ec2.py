"""EC2: tags' resource types, NAT gateways, network interfaces, volumes, endpoints, and what may not be deleted."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable
from typing import Any

from moto.core.responses import ActionResult
from moto.ec2.exceptions import DependencyViolationError
from moto.ec2.models import EC2Backend
from moto.ec2.models.elastic_block_store import Volume
from moto.ec2.models.elastic_network_interfaces import NetworkInterface
from moto.ec2.models.instances import Instance
from moto.ec2.models.tags import TagBackend
from moto.ec2.models.vpcs import VPCEndPoint
from moto.ec2.responses.nat_gateways import NatGateways

from localcloud.patches._tools import wrap

# moto's name of a kind of resource, and the API's.
RESOURCE_TYPES = {"vpc-elastic-ip": "elastic-ip", "nat-gateway": "natgateway"}


def apply() -> None:
    """Apply all work-rounds of this service."""
    wrap(TagBackend, "describe_tags", _describe_tags)
    wrap(NatGateways, "create_nat_gateway", _create_nat_gateway)
    wrap(EC2Backend, "delete_nat_gateway", _delete_nat_gateway)
    wrap(EC2Backend, "create_network_interface", _create_network_interface)
    wrap(EC2Backend, "delete_network_interface", _delete_network_interface)
    wrap(EC2Backend, "create_vpc_endpoint", _create_vpc_endpoint)
    wrap(EC2Backend, "delete_vpc_endpoints", _delete_vpc_endpoints)
    wrap(EC2Backend, "delete_subnet", _delete_subnet)
    wrap(EC2Backend, "delete_security_group", _delete_security_group)
    wrap(Volume, "__init__", _volume)
    wrap(Instance, "prep_nics", _prep_nics)


def _describe_tags(original: Callable[..., Any], self: Any, filters: dict[str, list[str]] | None = None) -> Any:
    """Elastic addresses are ``elastic-ip`` and NAT gateways ``natgateway`` in DescribeTags.

    https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_DescribeTags.html
    """
    names = {api: moto for moto, api in RESOURCE_TYPES.items()}
    if filters and "resource-type" in filters:
        filters = {**filters, "resource-type": [names.get(value, value) for value in filters["resource-type"]]}
    tags = original(self, filters=filters)
    for tag in tags:
        tag["resource_type"] = RESOURCE_TYPES.get(tag["resource_type"], tag["resource_type"])
    return tags


def _create_nat_gateway(original: Callable[..., Any], self: Any) -> Any:
    """A repeated CreateNatGateway with the same client token answers with the first one's gateway.

    https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_CreateNatGateway.html
    """
    token = self._get_param("ClientToken")
    for gateway in self.ec2_backend.nat_gateways.values():
        if token and getattr(gateway, "client_token", None) == token:
            return ActionResult({"NatGateway": gateway, "ClientToken": token})
    known = set(self.ec2_backend.nat_gateways)
    reply = original(self)
    for gateway_id in self.ec2_backend.nat_gateways.keys() - known:
        self.ec2_backend.nat_gateways[gateway_id].client_token = token
    return reply


def _delete_nat_gateway(original: Callable[..., Any], self: Any, nat_gateway_id: str) -> Any:
    """Deleting a NAT gateway frees its elastic address and network interface.

    https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_DeleteNatGateway.html
    """
    gateway = self.nat_gateways.get(nat_gateway_id)
    if gateway is not None and gateway.state != "deleted":
        for address in gateway.address_set:
            if address.get("associationId"):
                self.disassociate_address(association_id=address["associationId"])
        self.enis.pop(gateway._eni.id, None)
    return original(self, nat_gateway_id)


def _create_network_interface(
    original: Callable[..., Any], self: Any, subnet: Any, private_ip_address: Any, *arguments: Any, **named: Any
) -> NetworkInterface:
    """An interface without a given address gets a free one of its subnet.

    moto draws one at random: it may be reserved, or belong to another interface, or (NAT gateways) lie in
    another network altogether.
    https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_CreateNetworkInterface.html
    """
    network = self.get_subnet(subnet) if isinstance(subnet, str) else subnet
    given = private_ip_address[0] if isinstance(private_ip_address, list) and private_ip_address else private_ip_address
    secondary = named.get("private_ip_addresses")
    outside = isinstance(given, str) and not _within(given, network)
    reserved = None
    if (not given and not secondary) or outside:
        reserved = given = network.get_available_subnet_ip(None)
    elif isinstance(given, str) and given not in network._subnet_ips:
        network.request_ip(given, None)
        reserved = given
    interface: NetworkInterface = original(self, subnet, given or private_ip_address, *arguments, **named)
    if reserved:
        network._subnet_ips[reserved] = interface
    return interface


def _within(address: str, subnet: Any) -> bool:
    return ipaddress.ip_address(address) in subnet.cidr


def _delete_network_interface(original: Callable[..., Any], self: Any, eni_id: str) -> None:
    """The address of a deleted interface can be given out again."""
    interface = self.enis.get(eni_id)
    original(self, eni_id)
    if interface is not None and interface.subnet._subnet_ips.get(interface.private_ip_address) is interface:
        interface.subnet.del_subnet_ip(interface.private_ip_address)


def _create_vpc_endpoint(
    original: Callable[..., Any], self: Any, vpc_id: str, service_name: str, endpoint_type: str | None, *arguments: Any,
    **named: Any,
) -> VPCEndPoint:  # fmt: skip
    """An endpoint is of type Gateway unless another is asked for; an interface endpoint's interfaces are its own.

    https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_CreateVpcEndpoint.html
    """
    endpoint: VPCEndPoint = original(self, vpc_id, service_name, endpoint_type or "Gateway", *arguments, **named)
    for interface_id in endpoint.network_interface_ids or []:
        interface = self.enis[interface_id]
        interface.description = f"VPC Endpoint Interface {endpoint.id}"
        interface.requester_managed, interface.status = True, "in-use"
        groups = [self.get_security_group_from_id(group) for group in endpoint.security_group_ids or []]
        interface._group_set = [group for group in groups if group] or interface._group_set
    return endpoint


def _delete_vpc_endpoints(original: Callable[..., Any], self: Any, vpce_ids: list[str] | None = None) -> None:
    """A gateway endpoint can be deleted more than once, and is gone soon after.

    moto deletes its routes again, which fails; and it lists the deleted endpoint for ever.
    https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_DeleteVpcEndpoints.html
    """
    for endpoint_id in vpce_ids or []:
        endpoint: VPCEndPoint | None = self.vpc_end_points.get(endpoint_id)
        if endpoint is None:
            continue
        routes = []
        for table_id in endpoint.route_table_ids or []:
            table = self.route_tables.get(table_id)
            prefix_list = endpoint.destination_prefix_list_id
            if table and any(prefix_list in route_id for route_id in table._routes):
                routes.append(table_id)
        endpoint.route_table_ids = routes
        original(self, [endpoint_id])
        del self.vpc_end_points[endpoint_id]


def _delete_subnet(original: Callable[..., Any], self: Any, subnet_id: str) -> Any:
    """A subnet with a network interface in it cannot be deleted.

    https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_DeleteSubnet.html
    """
    if any(interface.subnet.id == subnet_id for interface in self.enis.values()):
        raise DependencyViolationError(f"The subnet '{subnet_id}' has dependencies and cannot be deleted.")
    return original(self, subnet_id)


def _delete_security_group(
    original: Callable[..., Any], self: Any, name: str | None = None, group_id: str | None = None
) -> Any:
    """A security group that an interface carries or another group names cannot be deleted.

    https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_DeleteSecurityGroup.html
    """
    group = self.get_security_group_from_id(group_id) if group_id else self.get_security_group_by_name_or_id(name)
    if group is not None:
        carried = any(group.id in [own.id for own in interface.group_set or []] for interface in self.enis.values())
        named = any(
            (rule.source_group or {}).get("GroupId") == group.id
            for others in self.groups.values()
            for other in others.values()
            if other.id != group.id
            for rule in [*other.ingress_rules, *other.egress_rules]
        )
        if carried or named:
            raise DependencyViolationError(f"resource {group.id} has a dependent object")
    return original(self, name=name, group_id=group_id)


def _prep_nics(original: Callable[..., Any], self: Instance, nic_spec: list[dict[str, Any]], **named: Any) -> None:
    """The interface that is made with an instance goes with it, unless the launch says otherwise.

    moto keeps it for ever, in its subnet and with its security groups, which can then not be deleted.
    https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_InstanceNetworkInterfaceSpecification.html
    """
    original(self, nic_spec, **named)
    asked = {int(spec.get("DeviceIndex", 0)): spec for spec in nic_spec}
    for index, interface in self.nics.items():
        spec = asked.get(index, {})
        if "NetworkInterfaceId" not in spec:
            interface.delete_on_termination = str(spec.get("DeleteOnTermination", True)).lower() == "true"


def _volume(original: Callable[..., Any], self: Volume, *arguments: Any, **named: Any) -> None:
    """DescribeVolumes always says whether a volume may be attached to several instances.

    https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_Volume.html
    """
    original(self, *arguments, **named)
    self.multi_attach_enabled = bool(self.multi_attach_enabled)
