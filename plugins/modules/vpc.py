#!/usr/bin/python
# Copyright: stackyard contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

DOCUMENTATION = r"""
module: vpc
short_description: Keep a VPC with its subnets, routes, gateways, endpoints and network ACLs
version_added: 0.1.0
description:
  - Brings one VPC and everything inside it that carries traffic to what is asked, or removes all of it.
  - Every resource is made and tagged in one call and found again by its C(Name) tag, so that a run that is cut off
    anywhere is completed by the next one, with nothing double. The modules of amazon.aws make route tables and network
    ACLs first and tag them later, and attach an internet gateway that they could not find again.
  - In check mode the whole network is announced also on an empty account, where the single modules stop for want of
    ids.
  - Gateways are started without waiting. A default route to a NAT gateway is added once the gateway is available; see
    O(wait).
author: stackyard contributors
options:
  name:
    description: Name of the stack; the VPC's name and the prefix of all others.
    type: str
    required: true
  cidr:
    description: The VPC's addresses. Cannot be changed later.
    type: str
  subnets:
    description: The subnets.
    type: list
    elements: dict
    default: []
    suboptions:
      name:
        description: Short name, unique in the list.
        type: str
        required: true
      tier:
        description: V(public) is routed to the internet gateway, V(private) to a NAT gateway if there is one, V(data)
          nowhere.
        type: str
        choices: [public, private, data]
        required: true
      cidr:
        description: The subnet's addresses.
        type: str
        required: true
      zone:
        description: Availability zone.
        type: str
        required: true
  nat:
    description: No NAT gateway, one for all zones (cheaper, and its zone's failure cuts all off), or one in each zone.
    type: str
    choices: [none, one, zone]
    default: none
  gateway_endpoints:
    description: Services reached by a gateway endpoint, which is free of charge.
    type: list
    elements: str
    default: []
  interface_endpoints:
    description: Services reached by an interface endpoint in the private subnets, which is charged by the hour.
    type: list
    elements: str
    default: []
  acls:
    description: Network ACLs by tier. A tier that is not listed keeps the VPC's default ACL, which lets everything
      through.
    type: list
    elements: dict
    default: []
    suboptions:
      tier:
        description: The tier.
        type: str
        choices: [public, private, data]
        required: true
      ingress:
        description: What may come in, in the order of evaluation; the rest is refused.
        type: list
        elements: dict
        default: []
        suboptions: &rule
          protocol:
            description: Protocol.
            type: str
            choices: [tcp, udp, icmp, all]
            default: tcp
          port:
            description: Port, or first port of a range. All ports when left out.
            type: int
          to_port:
            description: Last port of a range.
            type: int
          cidr:
            description: Addresses of the other side.
            type: str
          tier:
            description: In place of O(acls[].ingress[].cidr), the subnets of a tier; one rule is made for each.
            type: str
            choices: [public, private, data]
          action:
            description: Let through or refuse.
            type: str
            choices: [allow, deny]
            default: allow
      egress:
        description: What may go out.
        type: list
        elements: dict
        default: []
        suboptions: *rule
  tags:
    description: Tags for everything; together with the name they tell which resources are ours.
    type: dict
    required: true
  wait:
    description: Wait until NAT gateways and interface endpoints are available, and add the routes that need them.
    type: bool
    default: false
  wait_timeout:
    description: Seconds to wait, also for things to be gone when removing.
    type: int
    default: 600
  state:
    description: With V(absent), the VPC and everything of ours in it goes.
    type: str
    choices: [present, absent]
    default: present
extends_documentation_fragment:
  - amazon.aws.common.modules
  - amazon.aws.region.modules
  - amazon.aws.boto3
attributes:
  check_mode:
    description: Announces exactly what a run would change, also on an empty account.
    support: full
  diff_mode:
    description: Shows every resource before and after.
    support: full
"""

EXAMPLES = r"""
- name: Keep a network over two zones without NAT
  stackyard.aws.vpc:
    name: demo-wordpress
    cidr: 10.42.0.0/16
    subnets:
      - {name: public-a, tier: public, cidr: 10.42.0.0/20, zone: us-east-1a}
      - {name: private-a, tier: private, cidr: 10.42.64.0/20, zone: us-east-1a}
    gateway_endpoints: [s3]
    interface_endpoints: [ssm, ssmmessages, ec2messages, secretsmanager, autoscaling]
    tags:
      stackyard:environment: demo
      stackyard:application: wordpress
"""

RETURN = r"""
vpc_id:
  description: The VPC. In a check that announces it, an id that belongs to nobody.
  type: str
  returned: when state is present
vpc_cidr:
  description: Its addresses.
  type: str
  returned: when state is present
subnet_ids:
  description: Ids of the subnets by tier, in the order of O(subnets).
  type: dict
  returned: when state is present
zones:
  description: The zones, in the order of O(subnets).
  type: list
  elements: str
  returned: when state is present
nat_addresses:
  description: Public addresses that the private subnets appear under.
  type: list
  elements: str
  returned: when state is present
changes:
  description: What was changed, or would be.
  type: list
  elements: dict
  returned: always
"""

import contextlib
import hashlib
import time

with contextlib.suppress(ImportError):  # AnsibleAWSModule says so in a sentence
    from botocore.exceptions import BotoCoreError, ClientError

from ansible_collections.amazon.aws.plugins.module_utils.modules import AnsibleAWSModule
from ansible_collections.amazon.aws.plugins.module_utils.tagging import (
    ansible_dict_to_boto3_tag_list,
    boto3_tag_list_to_ansible_dict,
    boto3_tag_specifications,
)
from ansible_collections.stackyard.aws.plugins.module_utils.plan import (
    Plan,
    WaitTimeout,
    is_placeholder,
    missing_tags,
    placeholder,
    wait_until,
)
from ansible_collections.stackyard.aws.plugins.module_utils.security_groups import SecurityGroups

TIERS = ["public", "private", "data"]

ACL_PROTOCOLS = {"tcp": "6", "udp": "17", "icmp": "1", "all": "-1"}


class ConflictError(Exception):
    """What is asked cannot be reached from what is there; the message says what to do."""


def client_token(*parts):
    """A token that is the same for the same request, so that one whose answer was lost is not carried out twice."""
    return hashlib.sha256("/".join(str(part) for part in parts).encode()).hexdigest()[:32]


def tags_of(resource):
    return boto3_tag_list_to_ansible_dict(resource.get("Tags", []))


class Network:
    """The VPC of one stack and what is in it."""

    def __init__(self, client, plan, params, region):
        self.client = client
        self.plan = plan
        self.name = params["name"]
        self.tags = params["tags"]
        self.params = params
        self.region = region
        self.vpc_id = placeholder("vpc")
        self.timeout = params["wait_timeout"]

    # Finding and tagging

    def listing(self, operation, key, **filters):
        """Everything that a Describe operation shows under the filters."""
        wanted = [{"Name": name.replace("__", ":"), "Values": values} for name, values in filters.items()]
        option = "Filter" if operation == "describe_nat_gateways" else "Filters"
        if self.client.can_paginate(operation):
            pages = self.client.get_paginator(operation).paginate(**{option: wanted})
            return [item for page in pages for item in page[key]]
        return getattr(self.client, operation)(**{option: wanted})[key]

    def inside(self, operation, key):
        """Like `listing`, in our VPC."""
        if is_placeholder(self.vpc_id):
            return []
        return self.listing(operation, key, **{"vpc-id": [self.vpc_id]})

    def by_tags(self, operation, key):
        """Like `listing`, for what carries our tags, in whatever VPC."""
        filters = {f"tag:{name}": [value] for name, value in self.tags.items()}
        return self.listing(operation, key, **filters)

    def full(self, name):
        return f"{self.name}-{name}"

    def tag_set(self, name):
        return {**self.tags, "Name": name}

    def specification(self, kind, name):
        return boto3_tag_specifications(self.tag_set(name), types=kind)

    def settle_tags(self, kind, name, resource_id, resource):
        add = missing_tags(tags_of(resource), self.tag_set(name))
        if add and self.plan.update(f"{kind}-tags", name, {k: tags_of(resource).get(k) for k in add}, add):
            self.client.create_tags(Resources=[resource_id], Tags=ansible_dict_to_boto3_tag_list(add))

    def named(self, resources, name):
        found = [item for item in resources if tags_of(item).get("Name") == name]
        if len(found) > 1:
            raise ConflictError(
                f"{len(found)} resources are named {name} where one is expected; remove all but one of them."
            )
        return found[0] if found else None

    # The VPC

    def find_vpc(self):
        found = [vpc for vpc in self.by_tags("describe_vpcs", "Vpcs") if tags_of(vpc).get("Name") == self.name]
        if len(found) > 1:
            ids = ", ".join(vpc["VpcId"] for vpc in found)
            raise ConflictError(f"{len(found)} VPCs are named {self.name} ({ids}); remove all but one of them.")
        if found:
            self.vpc_id = found[0]["VpcId"]
        return found[0] if found else None

    def ensure_vpc(self):
        found = self.find_vpc()
        cidr = self.params["cidr"]
        if found is None:
            if self.plan.create("vpc", self.name, {"cidr": cidr, "tags": self.tags}):
                response = self.client.create_vpc(
                    CidrBlock=cidr, TagSpecifications=self.specification("vpc", self.name)
                )
                self.vpc_id = response["Vpc"]["VpcId"]
                self.client.get_waiter("vpc_available").wait(VpcIds=[self.vpc_id])
        elif found["CidrBlock"] != cidr:
            raise ConflictError(
                f"The VPC {self.name} has the addresses {found['CidrBlock']}, and cidr asks for {cidr}: "
                "a VPC's addresses cannot be changed; keep the value, or destroy the stack first."
            )
        else:
            self.settle_tags("vpc", self.name, self.vpc_id, found)
        # Names of RDS, EFS and interface endpoints resolve to private addresses only with both.
        if is_placeholder(self.vpc_id):
            return
        for attribute in ("enableDnsSupport", "enableDnsHostnames"):
            key = attribute[0].upper() + attribute[1:]
            answer = self.client.describe_vpc_attribute(VpcId=self.vpc_id, Attribute=attribute)
            if not answer[key]["Value"] and (
                found is None or self.plan.update("vpc-attribute", f"{self.name} {attribute}", False, True)
            ):
                self.client.modify_vpc_attribute(VpcId=self.vpc_id, **{key: {"Value": True}})

    def ensure_subnets(self):
        present = self.inside("describe_subnets", "Subnets")
        ids = {}
        for subnet in self.params["subnets"]:
            name = self.full(subnet["name"])
            found = self.named(present, name)
            if found is None:
                after = {key: subnet[key] for key in ("cidr", "zone", "tier")}
                if not self.plan.create("subnet", name, after):
                    ids[subnet["name"]] = placeholder("subnet", name)
                    continue
                response = self.client.create_subnet(
                    VpcId=self.vpc_id,
                    CidrBlock=subnet["cidr"],
                    AvailabilityZone=subnet["zone"],
                    TagSpecifications=self.specification("subnet", name),
                )
                ids[subnet["name"]] = response["Subnet"]["SubnetId"]
                continue
            for option, value in (("cidr", found["CidrBlock"]), ("zone", found["AvailabilityZone"])):
                if subnet[option] != value:
                    raise ConflictError(
                        f"The subnet {name} has the {option} {value}, and {subnet[option]} is asked for: "
                        "a subnet cannot be changed; keep the value, or destroy the stack first."
                    )
            ids[subnet["name"]] = found["SubnetId"]
            self.settle_tags("subnet", name, found["SubnetId"], found)
        created = [i for i in ids.values() if not is_placeholder(i) and i not in {s["SubnetId"] for s in present}]
        if created:
            self.client.get_waiter("subnet_available").wait(SubnetIds=created)
        return ids

    def tier(self, tier):
        return [subnet for subnet in self.params["subnets"] if subnet["tier"] == tier]

    # Gateways

    def ensure_internet_gateway(self):
        # By its tags, not by its attachment: a run may have been cut off between the two calls.
        found = self.named(self.by_tags("describe_internet_gateways", "InternetGateways"), self.name)
        if found is None:
            if not self.plan.create("internet-gateway", self.name, {"attached": True}):
                return placeholder("igw")
            response = self.client.create_internet_gateway(
                TagSpecifications=self.specification("internet-gateway", self.name)
            )
            found = response["InternetGateway"]
            self.client.attach_internet_gateway(InternetGatewayId=found["InternetGatewayId"], VpcId=self.vpc_id)
            return found["InternetGatewayId"]
        attached = [a["VpcId"] for a in found.get("Attachments", [])]
        if self.vpc_id not in attached and self.plan.update(
            "internet-gateway", self.name, {"attached": False}, {"attached": True}
        ):
            self.client.attach_internet_gateway(InternetGatewayId=found["InternetGatewayId"], VpcId=self.vpc_id)
        return found["InternetGatewayId"]

    def nat_gateways(self, states=("pending", "available")):
        return [nat for nat in self.inside("describe_nat_gateways", "NatGateways") if nat["State"] in states]

    def ensure_nat(self, subnet_ids):
        """Return NAT gateways by zone; what is no longer wanted goes in `prune_nat`, after the routes."""
        public = self.tier("public")
        wanted = {"none": [], "one": public[:1], "zone": public}[self.params["nat"]]
        addresses = [a for a in self.by_tags("describe_addresses", "Addresses") if a.get("Domain") == "vpc"]
        live = self.nat_gateways()
        every = self.inside("describe_nat_gateways", "NatGateways")
        gateways = {}
        for subnet in wanted:
            name = self.full(f"nat-{subnet['zone']}")
            address = self.named(addresses, name)
            if address is None and self.plan.create("elastic-ip", name, {}):
                address = self.client.allocate_address(
                    Domain="vpc", TagSpecifications=self.specification("elastic-ip", name)
                )
            found = self.named(live, name)
            if found is None:
                if not self.plan.create("nat-gateway", name, {"zone": subnet["zone"]}):
                    gateways[subnet["zone"]] = {"NatGatewayId": placeholder("nat"), "State": "available"}
                    continue
                earlier = sum(tags_of(nat).get("Name") == name for nat in every)
                subnet_id = subnet_ids[subnet["name"]]
                found = self.client.create_nat_gateway(
                    SubnetId=subnet_id,
                    AllocationId=address["AllocationId"],
                    TagSpecifications=self.specification("natgateway", name),
                    ClientToken=client_token(subnet_id, address["AllocationId"], earlier),
                )["NatGateway"]
            else:
                self.settle_tags("nat-gateway", name, found["NatGatewayId"], found)
            gateways[subnet["zone"]] = found
        if self.params["wait"] and gateways and not self.plan.check_mode:
            self.await_nat([nat["NatGatewayId"] for nat in gateways.values()])
            by_id = {nat["NatGatewayId"]: nat for nat in self.nat_gateways()}
            gateways = {zone: by_id[nat["NatGatewayId"]] for zone, nat in gateways.items()}
        return gateways

    def await_nat(self, ids):
        def probe():
            states = {nat["NatGatewayId"]: nat for nat in self.inside("describe_nat_gateways", "NatGateways")}
            failed = [states[i].get("FailureMessage", "no reason given") for i in ids if states[i]["State"] == "failed"]
            if failed:
                raise ConflictError(f"A NAT gateway of {self.name} failed: {failed[0]}. Run again once that is mended.")
            seen = [states[i]["State"] for i in ids]
            return all(state == "available" for state in seen), ", ".join(seen)

        wait_until(probe, f"The NAT gateways' state 'available' of {self.name}", self.timeout)

    def prune_nat(self, wanted_ids):
        prefix = self.full("nat-")
        doomed = [
            nat
            for nat in self.nat_gateways()
            if nat["NatGatewayId"] not in wanted_ids
            and not missing_tags(tags_of(nat), self.tags)
            and tags_of(nat).get("Name", "").startswith(prefix)
        ]
        for nat in doomed:
            if self.plan.delete("nat-gateway", tags_of(nat)["Name"], {"id": nat["NatGatewayId"]}):
                self.client.delete_nat_gateway(NatGatewayId=nat["NatGatewayId"])
        if not self.plan.check_mode:
            self.await_gone("deletion of the NAT gateways", lambda: self.nat_gateways(("deleting",)))
        held = set()
        for nat in self.nat_gateways():
            if nat["NatGatewayId"] in wanted_ids:
                held |= {tags_of(nat).get("Name")}
        if self.plan.check_mode:
            held |= {self.full(f"nat-{zone}") for zone in self.wanted_nat_zones()}
        for address in self.by_tags("describe_addresses", "Addresses"):
            name = tags_of(address).get("Name", "")
            doomed = name.startswith(prefix) and name not in held
            if doomed and self.plan.delete("elastic-ip", name, {"address": address.get("PublicIp")}):
                self.retrying(lambda a=address: self.client.release_address(AllocationId=a["AllocationId"]))

    def wanted_nat_zones(self):
        if self.params["state"] == "absent":
            return []
        public = self.tier("public")
        return [s["zone"] for s in {"none": [], "one": public[:1], "zone": public}[self.params["nat"]]]

    # Routes

    def ensure_routes(self, subnet_ids, internet_gateway_id, nats):
        """One table for the public subnets, one for each private zone, one without any way out for data."""
        tables = self.inside("describe_route_tables", "RouteTables")
        plans = []
        if self.tier("public"):
            plans.append(("public", ("GatewayId", internet_gateway_id), self.tier("public")))
        for subnet in self.tier("private"):
            nat = nats.get(subnet["zone"]) or next(iter(nats.values()), None)
            target = ("NatGatewayId", nat["NatGatewayId"]) if nat and nat["State"] == "available" else None
            plans.append((f"private-{subnet['zone']}", target, [subnet]))
        if self.tier("data"):
            plans.append(("data", None, self.tier("data")))
        pending = any(nat["State"] != "available" for nat in nats.values())
        ids = {}
        for short, target, subnets in plans:
            name = self.full(short)
            table = self.named(tables, name)
            if table is None:
                after = {"default_route": target[0] if target else None, "subnets": [s["name"] for s in subnets]}
                if not self.plan.create("route-table", name, after):
                    ids[short] = placeholder("rtb", name)
                    continue
                table = self.client.create_route_table(
                    VpcId=self.vpc_id, TagSpecifications=self.specification("route-table", name)
                )["RouteTable"]
                announced = True
            else:
                self.settle_tags("route-table", name, table["RouteTableId"], table)
                announced = False
            ids[short] = table["RouteTableId"]
            self.default_route(name, table, target, announced, pending)
            self.associate(name, table, subnets, subnet_ids, announced)
        return ids

    def default_route(self, name, table, target, announced, pending):
        found = next((r for r in table.get("Routes", []) if r.get("DestinationCidrBlock") == "0.0.0.0/0"), None)
        table_id = table["RouteTableId"]
        if target is None:
            # While a gateway is still starting, its route is a matter of the next pass.
            if found and not pending and self.plan.delete("route", f"{name} 0.0.0.0/0", {"state": found.get("State")}):
                self.client.delete_route(RouteTableId=table_id, DestinationCidrBlock="0.0.0.0/0")
            return
        option, target_id = target
        if found and found.get(option) == target_id:
            return
        route = {"RouteTableId": table_id, "DestinationCidrBlock": "0.0.0.0/0", option: target_id}
        if found:
            if self.plan.update("route", f"{name} 0.0.0.0/0", {"state": found.get("State")}, {option: target_id}):
                self.client.replace_route(**route)
        elif announced or self.plan.update("route", f"{name} 0.0.0.0/0", None, {option: target_id}):
            self.client.create_route(**route)

    def associate(self, name, table, subnets, subnet_ids, announced):
        have = {a.get("SubnetId") for a in table.get("Associations", [])}
        for subnet in subnets:
            subnet_id = subnet_ids[subnet["name"]]
            if subnet_id in have:
                continue
            if announced or self.plan.update("route-table", name, None, {"subnet": subnet["name"]}):
                self.client.associate_route_table(RouteTableId=table["RouteTableId"], SubnetId=subnet_id)

    # Endpoints

    def endpoints(self):
        gone = {"deleting", "deleted", "failed", "rejected", "expired"}
        return [e for e in self.inside("describe_vpc_endpoints", "VpcEndpoints") if e["State"].lower() not in gone]

    def ensure_endpoints(self, subnet_ids, route_table_ids):
        present = self.endpoints()
        private = [subnet_ids[subnet["name"]] for subnet in self.tier("private")]
        tables = [i for short, i in route_table_ids.items() if short != "data"]
        keep = set()
        for service in self.params["gateway_endpoints"]:
            name = self.full(service)
            keep.add(name)
            found = self.named(present, name)
            if found is None:
                if self.plan.create("vpc-endpoint", name, {"type": "Gateway"}):
                    self.client.create_vpc_endpoint(
                        VpcEndpointType="Gateway",
                        VpcId=self.vpc_id,
                        ServiceName=f"com.amazonaws.{self.region}.{service}",
                        RouteTableIds=tables,
                        TagSpecifications=self.specification("vpc-endpoint", name),
                    )
                continue
            self.settle_tags("vpc-endpoint", name, found["VpcEndpointId"], found)
            add = [t for t in tables if t not in found.get("RouteTableIds", []) and not is_placeholder(t)]
            if add and self.plan.update("vpc-endpoint", name, None, {"route_tables": add}):
                self.client.modify_vpc_endpoint(VpcEndpointId=found["VpcEndpointId"], AddRouteTableIds=add)
        services = self.params["interface_endpoints"]
        if services:
            group = {
                "name": "endpoints",
                "description": "AWS API endpoints, for whatever runs in the VPC",
                "rules": [
                    {"port": 443, "to_port": None, "protocol": "tcp", "cidr": self.params["cidr"]}
                    | {"cidrs": None, "source_group": None, "description": ""}
                ],
            }
            groups = SecurityGroups(self.client, self.plan, self.vpc_id, self.name, self.tags)
            others = [n.removeprefix(f"{self.name}-") for n in groups.describe()]
            group_id = groups.present([group], keep=others)["endpoints"]
        for service in services:
            name = self.full(service)
            keep.add(name)
            found = self.named(present, name)
            if found is None:
                if self.plan.create("vpc-endpoint", name, {"type": "Interface"}):
                    self.client.create_vpc_endpoint(
                        VpcEndpointType="Interface",
                        VpcId=self.vpc_id,
                        ServiceName=f"com.amazonaws.{self.region}.{service}",
                        SubnetIds=private,
                        SecurityGroupIds=[group_id],
                        PrivateDnsEnabled=True,
                        TagSpecifications=self.specification("vpc-endpoint", name),
                    )
                continue
            self.settle_tags("vpc-endpoint", name, found["VpcEndpointId"], found)
            add = [s for s in private if s not in found.get("SubnetIds", []) and not is_placeholder(s)]
            if add and self.plan.update("vpc-endpoint", name, None, {"subnets": add}):
                self.client.modify_vpc_endpoint(VpcEndpointId=found["VpcEndpointId"], AddSubnetIds=add)
        self.delete_endpoints([e for e in present if tags_of(e).get("Name") not in keep])
        if self.params["wait"] and services and not self.plan.check_mode:
            wait_until(
                lambda: self.states(self.endpoints()), f"The endpoints' state 'available' of {self.name}", self.timeout
            )

    @staticmethod
    def states(endpoints):
        seen = [e["State"].lower() for e in endpoints]
        return all(state == "available" for state in seen), ", ".join(seen)

    def delete_endpoints(self, endpoints):
        doomed = [e for e in endpoints if not missing_tags(tags_of(e), self.tags)]
        ids = [
            e["VpcEndpointId"]
            for e in doomed
            if self.plan.delete("vpc-endpoint", tags_of(e).get("Name", e["VpcEndpointId"]), {"id": e["VpcEndpointId"]})
        ]
        if ids:
            self.client.delete_vpc_endpoints(VpcEndpointIds=ids)
            # Their network interfaces keep subnets and groups from going.
            self.await_gone(
                "deletion of the endpoints",
                lambda: [
                    e
                    for e in self.inside("describe_vpc_endpoints", "VpcEndpoints")
                    if e["VpcEndpointId"] in ids and e["State"].lower() != "deleted"
                ],
            )

    # Network ACLs

    def acl_entries(self, acl):
        """Return the rules that are asked for, by direction and number."""
        entries = {}
        for egress, rules in ((False, acl["ingress"]), (True, acl["egress"])):
            number = 100
            for rule in rules:
                cidrs = [s["cidr"] for s in self.tier(rule["tier"])] if rule["tier"] else [rule["cidr"]]
                for cidr in cidrs:
                    first = rule["port"]
                    last = first if rule["to_port"] is None else rule["to_port"]
                    ports = (0, 65535) if first is None else (first, last)
                    ported = rule["protocol"] in ("tcp", "udp")
                    entries[(egress, number)] = (
                        ACL_PROTOCOLS[rule["protocol"]],
                        rule["action"],
                        cidr,
                        ports if ported else None,
                    )
                    number += 10
        return entries

    @staticmethod
    def present_entries(acl):
        entries = {}
        for entry in acl.get("Entries", []):
            # The last rule, which refuses the rest, is AWS's own and cannot be changed.
            if entry["RuleNumber"] < 32767:
                ports = entry.get("PortRange") or {}
                entries[(entry["Egress"], entry["RuleNumber"])] = (
                    str(entry["Protocol"]),
                    entry["RuleAction"],
                    entry["CidrBlock"],
                    (ports["From"], ports["To"]) if str(entry["Protocol"]) in ("6", "17") and ports else None,
                )
        return entries

    def ensure_acls(self, subnet_ids):
        present = self.inside("describe_network_acls", "NetworkAcls")
        for acl in self.params["acls"]:
            name = self.full(acl["tier"])
            wanted = self.acl_entries(acl)
            found = self.named(present, name)
            announced = found is None
            if found is None:
                after = [f"{'out' if out else 'in'} {number} {rule}" for (out, number), rule in sorted(wanted.items())]
                if not self.plan.create("network-acl", name, after):
                    continue
                found = self.client.create_network_acl(
                    VpcId=self.vpc_id, TagSpecifications=self.specification("network-acl", name)
                )["NetworkAcl"]
            else:
                self.settle_tags("network-acl", name, found["NetworkAclId"], found)
            self.settle_entries(name, found, wanted, announced)
            for subnet in self.tier(acl["tier"]):
                self.associate_acl(name, found["NetworkAclId"], subnet_ids[subnet["name"]], present, announced)

    def settle_entries(self, name, acl, wanted, announced):
        have = self.present_entries(acl)
        if have == wanted:
            return
        before = [f"{'out' if out else 'in'} {number} {rule}" for (out, number), rule in sorted(have.items())]
        after = [f"{'out' if out else 'in'} {number} {rule}" for (out, number), rule in sorted(wanted.items())]
        if not announced and not self.plan.update("network-acl", name, before, after):
            return
        for egress, number in have.keys() - wanted.keys():
            self.client.delete_network_acl_entry(NetworkAclId=acl["NetworkAclId"], RuleNumber=number, Egress=egress)
        for (egress, number), rule in wanted.items():
            if have.get((egress, number)) == rule:
                continue
            protocol, action, cidr, ports = rule
            call = (
                self.client.replace_network_acl_entry
                if (egress, number) in have
                else self.client.create_network_acl_entry
            )
            extra = {"PortRange": {"From": ports[0], "To": ports[1]}} if ports else {}
            if protocol == "1":
                extra["IcmpTypeCode"] = {"Type": -1, "Code": -1}
            call(
                NetworkAclId=acl["NetworkAclId"],
                RuleNumber=number,
                Egress=egress,
                Protocol=protocol,
                RuleAction=action,
                CidrBlock=cidr,
                **extra,
            )

    def associate_acl(self, name, acl_id, subnet_id, present, announced):
        # A subnet made in this run is not yet in what was read before.
        for current in present if present else []:
            for association in current.get("Associations", []):
                if association["SubnetId"] == subnet_id and current["NetworkAclId"] == acl_id:
                    return
        if not announced and not self.plan.update("network-acl", name, None, {"subnet": subnet_id}):
            return
        holders = self.listing("describe_network_acls", "NetworkAcls", **{"association.subnet-id": [subnet_id]})
        association = next(a for h in holders for a in h["Associations"] if a["SubnetId"] == subnet_id)
        self.client.replace_network_acl_association(
            AssociationId=association["NetworkAclAssociationId"], NetworkAclId=acl_id
        )

    # The whole

    def present(self):
        self.ensure_vpc()
        subnet_ids = self.ensure_subnets()
        internet_gateway_id = self.ensure_internet_gateway() if self.tier("public") else None
        nats = self.ensure_nat(subnet_ids)
        tables = self.ensure_routes(subnet_ids, internet_gateway_id, nats)
        self.prune_nat({nat["NatGatewayId"] for nat in nats.values()})
        self.ensure_acls(subnet_ids)
        self.ensure_endpoints(subnet_ids, tables)
        SecurityGroups(self.client, self.plan, self.vpc_id, self.name, self.tags).close_default()
        zones = list(dict.fromkeys(subnet["zone"] for subnet in self.params["subnets"]))
        return {
            "vpc_id": self.vpc_id,
            "vpc_cidr": self.params["cidr"],
            "subnet_ids": {tier: [subnet_ids[s["name"]] for s in self.tier(tier)] for tier in TIERS},
            "zones": zones,
            "nat_addresses": [
                address["PublicIp"]
                for nat in nats.values()
                for address in nat.get("NatGatewayAddresses", [])
                if "PublicIp" in address
            ],
        }

    def absent(self):
        """Remove what `present` makes, in the order in which AWS lets it go."""
        vpc = self.find_vpc()
        self.delete_endpoints(self.endpoints())
        self.prune_nat(set())
        self.delete_internet_gateway()
        if vpc is not None:
            self.delete_inside(vpc)

    def delete_internet_gateway(self):
        for gateway in self.by_tags("describe_internet_gateways", "InternetGateways"):
            name = tags_of(gateway).get("Name", "")
            if name == self.name and self.plan.delete("internet-gateway", name, {}):
                gateway_id = gateway["InternetGatewayId"]
                for attachment in gateway.get("Attachments", []):
                    self.retrying(
                        lambda g=gateway_id, a=attachment: self.client.detach_internet_gateway(
                            InternetGatewayId=g, VpcId=a["VpcId"]
                        )
                    )
                self.client.delete_internet_gateway(InternetGatewayId=gateway_id)

    def delete_inside(self, vpc):
        for table in self.ours("describe_route_tables", "RouteTables"):
            if self.plan.delete("route-table", tags_of(table)["Name"], {}):
                for association in table.get("Associations", []):
                    self.client.disassociate_route_table(AssociationId=association["RouteTableAssociationId"])
                self.client.delete_route_table(RouteTableId=table["RouteTableId"])
        for acl in self.ours("describe_network_acls", "NetworkAcls"):
            if self.plan.delete("network-acl", tags_of(acl)["Name"], {}):
                self.delete_acl(acl)
        for subnet in self.ours("describe_subnets", "Subnets"):
            if self.plan.delete("subnet", tags_of(subnet)["Name"], {"cidr": subnet["CidrBlock"]}):
                self.retrying(lambda s=subnet: self.client.delete_subnet(SubnetId=s["SubnetId"]))
        groups = SecurityGroups(self.client, self.plan, self.vpc_id, self.name, self.tags)
        if self.plan.check_mode:
            groups.absent()
        else:
            self.retrying(groups.absent)
        if self.plan.delete("vpc", self.name, {"cidr": vpc["CidrBlock"]}):
            self.retrying(lambda: self.client.delete_vpc(VpcId=self.vpc_id))

    def delete_acl(self, acl):
        default = next(a for a in self.inside("describe_network_acls", "NetworkAcls") if a["IsDefault"])
        for association in acl["Associations"]:
            self.client.replace_network_acl_association(
                AssociationId=association["NetworkAclAssociationId"], NetworkAclId=default["NetworkAclId"]
            )
        self.client.delete_network_acl(NetworkAclId=acl["NetworkAclId"])

    def ours(self, operation, key):
        return [item for item in self.inside(operation, key) if not missing_tags(tags_of(item), self.tags)]

    def retrying(self, call):
        """Network interfaces of balancers and endpoints outlive them by minutes and hold on to their subnet."""
        deadline = time.monotonic() + self.timeout
        while True:
            try:
                return call()
            except ClientError as error:
                busy = error.response["Error"]["Code"] in (
                    "DependencyViolation",
                    "InvalidIPAddress.InUse",
                    "AuthFailure",
                )
                if not busy or time.monotonic() > deadline:
                    raise
                time.sleep(5)

    def await_gone(self, what, remaining):
        def probe():
            left = remaining()
            return not left, f"{len(left)} left"

        wait_until(probe, f"The {what} of {self.name}", self.timeout)


def main():
    rule = {
        "protocol": {"type": "str", "choices": ["tcp", "udp", "icmp", "all"], "default": "tcp"},
        "port": {"type": "int"},
        "to_port": {"type": "int"},
        "cidr": {"type": "str"},
        "tier": {"type": "str", "choices": TIERS},
        "action": {"type": "str", "choices": ["allow", "deny"], "default": "allow"},
    }
    rules = {
        "type": "list",
        "elements": "dict",
        "default": [],
        "options": rule,
        "required_one_of": [["cidr", "tier"]],
        "mutually_exclusive": [["cidr", "tier"]],
    }
    module = AnsibleAWSModule(
        argument_spec={
            "name": {"type": "str", "required": True},
            "cidr": {"type": "str"},
            "subnets": {
                "type": "list",
                "elements": "dict",
                "default": [],
                "options": {
                    "name": {"type": "str", "required": True},
                    "tier": {"type": "str", "choices": TIERS, "required": True},
                    "cidr": {"type": "str", "required": True},
                    "zone": {"type": "str", "required": True},
                },
            },
            "nat": {"type": "str", "choices": ["none", "one", "zone"], "default": "none"},
            "gateway_endpoints": {"type": "list", "elements": "str", "default": []},
            "interface_endpoints": {"type": "list", "elements": "str", "default": []},
            "acls": {
                "type": "list",
                "elements": "dict",
                "default": [],
                "options": {
                    "tier": {"type": "str", "choices": TIERS, "required": True},
                    "ingress": rules,
                    "egress": rules,
                },
            },
            "tags": {"type": "dict", "required": True},
            "wait": {"type": "bool", "default": False},
            "wait_timeout": {"type": "int", "default": 600},
            "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
        },
        required_if=[("state", "present", ("cidr", "subnets"))],
        supports_check_mode=True,
    )
    plan = Plan(module.check_mode)
    result = {}
    try:
        network = Network(module.client("ec2"), plan, module.params, module.region)
        if module.params["state"] == "present":
            result = network.present()
        else:
            network.absent()
    except (ConflictError, WaitTimeout) as error:
        module.fail_json(msg=str(error))
    except (BotoCoreError, ClientError) as error:
        module.fail_json_aws(error, msg=f"The network {module.params['name']} could not be brought in order")
    module.exit_json(**result, **plan.result())


if __name__ == "__main__":
    main()
