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

with contextlib.suppress(ImportError):  # AnsibleAWSModule says so in a sentence
    from botocore.exceptions import BotoCoreError, ClientError

from ansible_collections.amazon.aws.plugins.module_utils.modules import AnsibleAWSModule
from ansible_collections.stackyard.aws.plugins.module_utils.plan import Plan, WaitTimeout, is_placeholder, placeholder
from ansible_collections.stackyard.aws.plugins.module_utils.security_groups import SecurityGroups
from ansible_collections.stackyard.aws.plugins.module_utils.vpc_acls import NetworkAcls
from ansible_collections.stackyard.aws.plugins.module_utils.vpc_endpoints import Endpoints
from ansible_collections.stackyard.aws.plugins.module_utils.vpc_gateways import InternetGateway, NatGateways
from ansible_collections.stackyard.aws.plugins.module_utils.vpc_resources import ConflictError, VpcResources, tags_of
from ansible_collections.stackyard.aws.plugins.module_utils.vpc_routes import RouteTables

TIERS = ["public", "private", "data"]


class Network(VpcResources):
    """The VPC of one stack with its subnets, and the order of what is in it."""

    def __init__(self, client, plan, params, region):
        super().__init__(client, plan, params, region, placeholder("vpc"))

    def of(self, kind):
        """The resources of one kind in this VPC."""
        return kind(self.client, self.plan, self.params, self.region, self.vpc_id)

    def present(self):
        self.ensure_vpc()
        subnet_ids = self.ensure_subnets()
        internet_gateway_id = self.of(InternetGateway).present() if self.tier("public") else None
        nat_gateways = self.of(NatGateways)
        nats = nat_gateways.present(subnet_ids)
        tables = self.of(RouteTables).present(subnet_ids, internet_gateway_id, nats)
        nat_gateways.prune({nat["NatGatewayId"] for nat in nats.values()})
        self.of(NetworkAcls).present(subnet_ids)
        self.of(Endpoints).present(subnet_ids, tables)
        self.security_groups().close_default()
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
        self.of(Endpoints).absent()
        self.of(NatGateways).prune(set())
        self.of(InternetGateway).absent()
        if vpc is None:
            return
        self.of(RouteTables).absent()
        self.of(NetworkAcls).absent()
        for subnet in self.ours("describe_subnets", "Subnets"):
            if self.plan.delete("subnet", tags_of(subnet)["Name"], {"cidr": subnet["CidrBlock"]}):
                self.retrying(lambda s=subnet: self.client.delete_subnet(SubnetId=s["SubnetId"]))
        groups = self.security_groups()
        if self.plan.check_mode:
            groups.absent()
        else:
            self.retrying(groups.absent)
        if self.plan.delete("vpc", self.name, {"cidr": vpc["CidrBlock"]}):
            self.retrying(lambda: self.client.delete_vpc(VpcId=self.vpc_id))

    def security_groups(self):
        return SecurityGroups(self.client, self.plan, self.vpc_id, self.name, self.tags)

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
