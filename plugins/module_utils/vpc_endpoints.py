# Copyright: stackyard contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The endpoints of a VPC, by which AWS is reached without a way out to the internet."""

from __future__ import annotations

from .plan import is_placeholder, missing_tags, wait_until
from .security_groups import SecurityGroups
from .vpc_resources import VpcResources, tags_of


class Endpoints(VpcResources):
    """Gateway endpoints in the route tables, interface endpoints in the private subnets."""

    def live(self):
        gone = {"deleting", "deleted", "failed", "rejected", "expired"}
        return [e for e in self.inside("describe_vpc_endpoints", "VpcEndpoints") if e["State"].lower() not in gone]

    def present(self, subnet_ids, route_table_ids):
        present = self.live()
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
        self.delete([e for e in present if tags_of(e).get("Name") not in keep])
        if self.params["wait"] and services and not self.plan.check_mode:
            wait_until(
                lambda: self.states(self.live()), f"The endpoints' state 'available' of {self.name}", self.timeout
            )

    @staticmethod
    def states(endpoints):
        seen = [e["State"].lower() for e in endpoints]
        return all(state == "available" for state in seen), ", ".join(seen)

    def delete(self, endpoints):
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

    def absent(self):
        self.delete(self.live())
