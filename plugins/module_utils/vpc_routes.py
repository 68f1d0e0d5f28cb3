# Copyright: stackyard contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The route tables of a VPC: one for the public subnets, one for each private zone, one without a way out for data."""

from __future__ import annotations

from .plan import placeholder
from .vpc_resources import VpcResources, tags_of


class RouteTables(VpcResources):
    """The route tables with their default routes and subnets."""

    def present(self, subnet_ids, internet_gateway_id, nats):
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

    def absent(self):
        for table in self.ours("describe_route_tables", "RouteTables"):
            if self.plan.delete("route-table", tags_of(table)["Name"], {}):
                for association in table.get("Associations", []):
                    self.client.disassociate_route_table(AssociationId=association["RouteTableAssociationId"])
                self.client.delete_route_table(RouteTableId=table["RouteTableId"])
