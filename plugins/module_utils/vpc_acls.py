# Copyright: stackyard contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The network ACLs of a VPC, one for each tier that has rules of its own."""

from __future__ import annotations

from .vpc_resources import VpcResources, tags_of

ACL_PROTOCOLS = {"tcp": "6", "udp": "17", "icmp": "1", "all": "-1"}


class NetworkAcls(VpcResources):
    """The network ACLs with their rules and subnets."""

    def wanted_entries(self, acl):
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

    def present(self, subnet_ids):
        present = self.inside("describe_network_acls", "NetworkAcls")
        for acl in self.params["acls"]:
            name = self.full(acl["tier"])
            wanted = self.wanted_entries(acl)
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
                self.associate(name, found["NetworkAclId"], subnet_ids[subnet["name"]], present, announced)

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

    def associate(self, name, acl_id, subnet_id, present, announced):
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

    def absent(self):
        for acl in self.ours("describe_network_acls", "NetworkAcls"):
            if self.plan.delete("network-acl", tags_of(acl)["Name"], {}):
                self.delete(acl)

    def delete(self, acl):
        default = next(a for a in self.inside("describe_network_acls", "NetworkAcls") if a["IsDefault"])
        for association in acl["Associations"]:
            self.client.replace_network_acl_association(
                AssociationId=association["NetworkAclAssociationId"], NetworkAclId=default["NetworkAclId"]
            )
        self.client.delete_network_acl(NetworkAclId=acl["NetworkAclId"])
