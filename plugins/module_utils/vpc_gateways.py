# Copyright: stackyard contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The ways out of a VPC: its internet gateway, and its NAT gateways with their addresses."""

from __future__ import annotations

import hashlib

from .plan import missing_tags, placeholder, wait_until
from .vpc_resources import ConflictError, VpcResources, tags_of


def client_token(*parts):
    """A token that is the same for the same request, so that one whose answer was lost is not carried out twice."""
    return hashlib.sha256("/".join(str(part) for part in parts).encode()).hexdigest()[:32]


class InternetGateway(VpcResources):
    """The internet gateway."""

    def present(self):
        """Return the gateway's id."""
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

    def absent(self):
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


class NatGateways(VpcResources):
    """The NAT gateways, one for all zones or one in each."""

    def wanted(self):
        """The public subnets that get a gateway."""
        if self.params["state"] == "absent":
            return []
        public = self.tier("public")
        return {"none": [], "one": public[:1], "zone": public}[self.params["nat"]]

    def live(self, states=("pending", "available")):
        return [nat for nat in self.inside("describe_nat_gateways", "NatGateways") if nat["State"] in states]

    def present(self, subnet_ids):
        """Return NAT gateways by zone; what is no longer wanted goes in `prune`, after the routes."""
        addresses = [a for a in self.by_tags("describe_addresses", "Addresses") if a.get("Domain") == "vpc"]
        live = self.live()
        every = self.inside("describe_nat_gateways", "NatGateways")
        gateways = {}
        for subnet in self.wanted():
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
            self.await_available([nat["NatGatewayId"] for nat in gateways.values()])
            by_id = {nat["NatGatewayId"]: nat for nat in self.live()}
            gateways = {zone: by_id[nat["NatGatewayId"]] for zone, nat in gateways.items()}
        return gateways

    def await_available(self, ids):
        def probe():
            states = {nat["NatGatewayId"]: nat for nat in self.inside("describe_nat_gateways", "NatGateways")}
            failed = [states[i].get("FailureMessage", "no reason given") for i in ids if states[i]["State"] == "failed"]
            if failed:
                raise ConflictError(f"A NAT gateway of {self.name} failed: {failed[0]}. Run again once that is mended.")
            seen = [states[i]["State"] for i in ids]
            return all(state == "available" for state in seen), ", ".join(seen)

        wait_until(probe, f"The NAT gateways' state 'available' of {self.name}", self.timeout)

    def prune(self, wanted_ids):
        prefix = self.full("nat-")
        doomed = [
            nat
            for nat in self.live()
            if nat["NatGatewayId"] not in wanted_ids
            and not missing_tags(tags_of(nat), self.tags)
            and tags_of(nat).get("Name", "").startswith(prefix)
        ]
        for nat in doomed:
            if self.plan.delete("nat-gateway", tags_of(nat)["Name"], {"id": nat["NatGatewayId"]}):
                self.client.delete_nat_gateway(NatGatewayId=nat["NatGatewayId"])
        if not self.plan.check_mode:
            self.await_gone("deletion of the NAT gateways", lambda: self.live(("deleting",)))
        held = set()
        for nat in self.live():
            if nat["NatGatewayId"] in wanted_ids:
                held |= {tags_of(nat).get("Name")}
        if self.plan.check_mode:
            held |= {self.full(f"nat-{subnet['zone']}") for subnet in self.wanted()}
        for address in self.by_tags("describe_addresses", "Addresses"):
            name = tags_of(address).get("Name", "")
            doomed = name.startswith(prefix) and name not in held
            if doomed and self.plan.delete("elastic-ip", name, {"address": address.get("PublicIp")}):
                self.retrying(lambda a=address: self.client.release_address(AllocationId=a["AllocationId"]))
