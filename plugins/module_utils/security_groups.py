# Copyright: stackyard contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Security groups of one VPC as data: a list of groups whose rules may name each other.

All groups are made before any rule, so that two groups may refer to each other, which
`amazon.aws.ec2_security_group` cannot do in one pass (and it sleeps three seconds a group).
A group and its tags are one call, so that a run that is cut off leaves nothing nameless.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ansible_collections.amazon.aws.plugins.module_utils.tagging import (
    ansible_dict_to_boto3_tag_list,
    boto3_tag_list_to_ansible_dict,
    boto3_tag_specifications,
)

from .plan import Plan, is_placeholder, missing_tags, placeholder

RULE_OPTIONS = {
    "port": {"type": "int"},
    "to_port": {"type": "int"},
    "protocol": {"type": "str", "default": "tcp", "choices": ["tcp", "udp", "icmp", "all"]},
    "cidr": {"type": "str"},
    "cidrs": {"type": "list", "elements": "str"},
    "source_group": {"type": "str"},
    "description": {"type": "str", "default": ""},
}

GROUP_OPTIONS = {
    "name": {"type": "str", "required": True},
    "description": {"type": "str", "required": True},
    "rules": {"type": "list", "elements": "dict", "default": [], "options": RULE_OPTIONS},
    "egress": {"type": "list", "elements": "dict", "options": RULE_OPTIONS},
}

# A rule as a value that can be compared: (protocol, from, to, cidr, group id, description).
Rule = tuple[str, int, int, str, str, str]

ANYWHERE: Rule = ("-1", -1, -1, "0.0.0.0/0", "", "")


def _readable(rule: Rule, names: Mapping[str, str]) -> str:
    protocol, first, last, cidr, group, description = rule
    ports = "all" if protocol == "-1" else f"{protocol}/{first}" + (f"-{last}" if last != first else "")
    text = f"{ports} {cidr or names.get(group, group)}"
    return f"{text} ({description})" if description else text


class SecurityGroups:
    """Brings the security groups of one VPC to what is asked."""

    def __init__(self, client: Any, plan: Plan, vpc_id: str, prefix: str, tags: Mapping[str, str]) -> None:
        """Args:
        client: boto3's EC2 client.
        plan: Where changes are noted.
        vpc_id: The VPC; a placeholder while it is only announced.
        prefix: Put before a group's name, so that two stacks in a VPC do not clash.
        tags: Tags for every group.
        """
        self.client = client
        self.plan = plan
        self.vpc_id = vpc_id
        self.prefix = prefix
        self.tags = dict(tags)

    def full_name(self, name: str) -> str:
        return f"{self.prefix}-{name}"

    def describe(self) -> dict[str, dict[str, Any]]:
        """Return the VPC's groups by name."""
        if is_placeholder(self.vpc_id):
            return {}
        pages = self.client.get_paginator("describe_security_groups").paginate(
            Filters=[{"Name": "vpc-id", "Values": [self.vpc_id]}]
        )
        return {group["GroupName"]: group for page in pages for group in page["SecurityGroups"]}

    def owned(self, groups: Mapping[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
        """Return those groups that carry all our tags."""
        return {
            name: group
            for name, group in groups.items()
            if not missing_tags(boto3_tag_list_to_ansible_dict(group.get("Tags", [])), self.tags)
        }

    def present(self, wanted: Sequence[Mapping[str, Any]], keep: Sequence[str] = ()) -> dict[str, str]:
        """Make, alter and prune groups; return the wanted groups' ids by short name.

        Args:
            wanted: Groups as `GROUP_OPTIONS` describes them.
            keep: Short names of further groups that carry our tags and are to stay.
        """
        existing = self.describe()
        ids: dict[str, str] = {}
        for group in wanted:
            full = self.full_name(group["name"])
            tags = {**self.tags, "Name": full}
            found = existing.get(full)
            if found is None:
                ids[group["name"]] = self._create(full, group["description"], tags)
            else:
                ids[group["name"]] = found["GroupId"]
                add = missing_tags(boto3_tag_list_to_ansible_dict(found.get("Tags", [])), tags)
                if add and self.plan.update("security-group", full, {"tags": "differ"}, {"tags": add}):
                    self.client.create_tags(Resources=[found["GroupId"]], Tags=ansible_dict_to_boto3_tag_list(add))
        for group in wanted:
            self._rules(group, ids, existing)
        self._prune({self.full_name(name) for name in [*ids, *keep]}, existing)
        return ids

    def absent(self) -> None:
        """Remove every group that carries our tags; rules first, since groups may refer to each other."""
        self._prune(set(), self.describe())

    def close_default(self) -> None:
        """Take every rule from the VPC's default group, which nothing of ours uses."""
        for rule in ("IpPermissions", "IpPermissionsEgress"):
            default = self.describe().get("default")
            if default is None:
                # A VPC that is only announced gets its default group with the two rules of AWS.
                if is_placeholder(self.vpc_id) and rule == "IpPermissions":
                    self.plan.update("security-group-rules", f"{self.prefix}-default", {"rules": "open"}, {"rules": []})
                continue
            if default[rule] and self._note_default(default):
                revoke = (
                    self.client.revoke_security_group_ingress
                    if rule == "IpPermissions"
                    else self.client.revoke_security_group_egress
                )
                revoke(GroupId=default["GroupId"], IpPermissions=default[rule])

    def _note_default(self, default: Mapping[str, Any]) -> bool:
        name = f"{self.prefix}-default"
        if any(change["type"] == "security-group-rules" and change["name"] == name for change in self.plan.changes):
            return not self.plan.check_mode
        return self.plan.update("security-group-rules", name, {"rules": "open"}, {"rules": []})

    def _create(self, full: str, description: str, tags: Mapping[str, str]) -> str:
        if not self.plan.create("security-group", full, {"description": description, "tags": dict(tags)}):
            return placeholder("sg", full)
        response = self.client.create_security_group(
            GroupName=full,
            Description=description,
            VpcId=self.vpc_id,
            TagSpecifications=boto3_tag_specifications(dict(tags), types="security-group"),
        )
        self.client.get_waiter("security_group_exists").wait(GroupIds=[response["GroupId"]])
        return str(response["GroupId"])

    def _wanted_rules(self, rules: Sequence[Mapping[str, Any]], ids: Mapping[str, str]) -> set[Rule]:
        wanted: set[Rule] = set()
        for rule in rules:
            protocol = "-1" if rule["protocol"] == "all" else rule["protocol"]
            first = -1 if protocol in ("-1", "icmp") or rule["port"] is None else rule["port"]
            last = first if rule["to_port"] is None else rule["to_port"]
            source = rule["source_group"] or ""
            # A group of this stack by its short name, or any group by its id.
            group = ids.get(source, source)
            for cidr in rule["cidrs"] or [rule["cidr"] or ""]:
                wanted.add((protocol, first, last, cidr, group, rule["description"]))
        return wanted

    @staticmethod
    def _present_rules(permissions: Sequence[Mapping[str, Any]]) -> set[Rule]:
        rules: set[Rule] = set()
        for entry in permissions:
            head = (entry["IpProtocol"], entry.get("FromPort", -1), entry.get("ToPort", -1))
            for range_ in entry.get("IpRanges", []):
                rules.add((*head, range_["CidrIp"], "", range_.get("Description", "")))
            for pair in entry.get("UserIdGroupPairs", []):
                rules.add((*head, "", pair["GroupId"], pair.get("Description", "")))
        return rules

    @staticmethod
    def _permission(rule: Rule) -> dict[str, Any]:
        protocol, first, last, cidr, group, description = rule
        entry: dict[str, Any] = {"IpProtocol": protocol}
        if protocol != "-1":
            entry |= {"FromPort": first, "ToPort": last}
        target = {"Description": description} if description else {}
        if cidr:
            entry["IpRanges"] = [{"CidrIp": cidr, **target}]
        else:
            entry["UserIdGroupPairs"] = [{"GroupId": group, **target}]
        return entry

    def _rules(self, group: Mapping[str, Any], ids: Mapping[str, str], existing: Mapping[str, dict[str, Any]]) -> None:
        full = self.full_name(group["name"])
        group_id = ids[group["name"]]
        known = existing.get(full, {})
        names = {identifier: name for name, identifier in ids.items() if not is_placeholder(identifier)}
        egress = group.get("egress")
        sides = [
            ("ingress", self._wanted_rules(group["rules"], ids), self._present_rules(known.get("IpPermissions", [])))
        ]
        # AWS gives a new group one rule that lets everything out; that is also what no list means.
        had = self._present_rules(known.get("IpPermissionsEgress", [])) if known else {ANYWHERE}
        sides.append(("egress", {ANYWHERE} if egress is None else self._wanted_rules(egress, ids), had))
        for side, wanted, present in sides:
            add, remove = wanted - present, present - wanted
            if not add and not remove:
                continue
            before = sorted(_readable(rule, names) for rule in present)
            after = sorted(_readable(rule, names) for rule in wanted)
            if not self.plan.update("security-group-rules", f"{full} {side}", before, after):
                continue
            grant = getattr(self.client, f"authorize_security_group_{side}")
            revoke = getattr(self.client, f"revoke_security_group_{side}")
            # What goes is taken before what comes: a rule whose description alone changes is one rule to AWS.
            for rule in sorted(remove):
                revoke(GroupId=group_id, IpPermissions=[self._permission(rule)])
            for rule in sorted(add):
                grant(GroupId=group_id, IpPermissions=[self._permission(rule)])

    def _prune(self, keep: set[str], existing: Mapping[str, dict[str, Any]]) -> None:
        doomed = {
            name: group
            for name, group in self.owned(existing).items()
            if name not in keep and name != "default" and name.startswith(f"{self.prefix}-")
        }
        for name, group in doomed.items():
            self.plan.delete("security-group", name, {"id": group["GroupId"]})
        if self.plan.check_mode or not doomed:
            return
        ours = {group["GroupId"] for group in doomed.values()}
        # A group that another one refers to cannot be deleted: the references go first.
        for group in existing.values():
            for rules, revoke in (
                ("IpPermissions", self.client.revoke_security_group_ingress),
                ("IpPermissionsEgress", self.client.revoke_security_group_egress),
            ):
                referring = [
                    {**entry, "UserIdGroupPairs": pairs, "IpRanges": [], "Ipv6Ranges": [], "PrefixListIds": []}
                    for entry in group[rules]
                    if (pairs := [pair for pair in entry.get("UserIdGroupPairs", []) if pair["GroupId"] in ours])
                ]
                if referring:
                    revoke(GroupId=group["GroupId"], IpPermissions=referring)
        for group in doomed.values():
            self.client.delete_security_group(GroupId=group["GroupId"])
