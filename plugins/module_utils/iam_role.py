# Copyright: stackyard contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A role of IAM that a service of AWS acts in, with one inline policy, managed policies, a boundary and tags."""

from __future__ import annotations

import json
from typing import Any

from ansible_collections.amazon.aws.plugins.module_utils.policy import compare_policies
from ansible_collections.amazon.aws.plugins.module_utils.tagging import (
    ansible_dict_to_boto3_tag_list,
    boto3_tag_list_to_ansible_dict,
)
from ansible_collections.stackyard.aws.plugins.module_utils.aws import Api, found_or_none, tag_changes
from ansible_collections.stackyard.aws.plugins.module_utils.plan import Plan

KIND = "role"
MISSING = ["NoSuchEntity"]


def trust_in(service: str) -> dict[str, Any]:
    """Return the trust policy that lets a service act in the role."""
    return {
        "Version": "2012-10-17",
        "Statement": [{"Effect": "Allow", "Principal": {"Service": service}, "Action": "sts:AssumeRole"}],
    }


class ServiceRole:
    """One role.

    Args:
        module: The module, whose parameters are `name`, `policy`, `policy_name`, `managed_policies`,
            `permissions_boundary`, `tags` and `purge_tags`.
        plan: Where changes are noted.
        service: Who acts in it.
        description: What it is for.
    """

    def __init__(self, module: Any, plan: Plan, service: str, description: str) -> None:
        self.params = module.params
        self.name = module.params["name"]
        self.plan = plan
        self.trust = trust_in(service)
        self.description = description
        # For what is done to a role made a moment ago, which may not be known everywhere yet.
        self.settling = Api(module, "iam", retry_codes=["NoSuchEntity", "ConcurrentModification"])
        self.iam = Api(module, "iam", retry_codes=["ConcurrentModification", "ConcurrentModificationException"])
        answer = found_or_none(self.iam.get_role, MISSING, RoleName=self.name)
        self.found: dict[str, Any] | None = answer["Role"] if answer else None
        # A check that only announces the role knows neither the account nor, in China, the partition.
        self.arn: str = self.found["Arn"] if self.found else f"arn:aws:iam::000000000000:role/{self.name}"

    def present(self) -> None:
        """Make the role and its rights as asked for."""
        if self.found is None:
            self._create()
        else:
            self._trust(self.found)
            self._boundary(self.found)
            to_set, to_remove = self.tags(KIND, self.found)
            if to_set:
                self.iam.tag_role(RoleName=self.name, Tags=ansible_dict_to_boto3_tag_list(to_set))
            if to_remove:
                self.iam.untag_role(RoleName=self.name, TagKeys=to_remove)
        self._inline()
        self._managed()

    def absent(self) -> None:
        """Delete the role."""
        if self.found is None or not self.plan.delete(KIND, self.name, self.name):
            return
        for policy in self.iam.list_role_policies(RoleName=self.name)["PolicyNames"]:
            found_or_none(self.iam.delete_role_policy, MISSING, RoleName=self.name, PolicyName=policy)
        for arn in self._attached():
            found_or_none(self.iam.detach_role_policy, MISSING, RoleName=self.name, PolicyArn=arn)
        found_or_none(self.iam.delete_role, MISSING, RoleName=self.name)

    def wanted_tags(self) -> dict[str, str]:
        """Return the tags that are asked for."""
        return {"Name": self.name, **(self.params["tags"] or {})}

    def tags(self, kind: str, found: dict[str, Any]) -> tuple[dict[str, str], list[str]]:
        """Note what differs in the tags of the role, or of what goes with it."""
        return tag_changes(
            self.plan,
            kind,
            self.name,
            current=boto3_tag_list_to_ansible_dict(found.get("Tags", [])),
            wanted=None if self.params["tags"] is None else self.wanted_tags(),
            purge=self.params["purge_tags"],
        )

    def _create(self) -> None:
        boundary = self.params["permissions_boundary"]
        if self.plan.create(KIND, self.name, {"trust": self.trust, "boundary": boundary}):
            bounded = {"PermissionsBoundary": boundary} if boundary else {}
            made = self.iam.create_role(
                RoleName=self.name,
                Description=self.description,
                AssumeRolePolicyDocument=json.dumps(self.trust),
                Tags=ansible_dict_to_boto3_tag_list(self.wanted_tags()),
                **bounded,
            )
            self.arn = made["Role"]["Arn"]

    def _trust(self, found: dict[str, Any]) -> None:
        trust = found["AssumeRolePolicyDocument"]
        if compare_policies(trust, self.trust) and self.plan.update(f"trust of {KIND}", self.name, trust, self.trust):
            self.iam.update_assume_role_policy(RoleName=self.name, PolicyDocument=json.dumps(self.trust))

    def _boundary(self, found: dict[str, Any]) -> None:
        wanted = self.params["permissions_boundary"] or None
        boundary = found.get("PermissionsBoundary", {}).get("PermissionsBoundaryArn")
        if boundary == wanted or not self.plan.update(f"boundary of {KIND}", self.name, boundary, wanted):
            return
        if wanted:
            self.iam.put_role_permissions_boundary(RoleName=self.name, PermissionsBoundary=wanted)
        else:
            self.iam.delete_role_permissions_boundary(RoleName=self.name)

    def _inline(self) -> None:
        name, wanted = self.params["policy_name"], self.params["policy"]
        names = self.iam.list_role_policies(RoleName=self.name)["PolicyNames"] if self.found else []
        found = None
        if name in names:
            found = self.iam.get_role_policy(RoleName=self.name, PolicyName=name)["PolicyDocument"]
        differs = found is None or compare_policies(found, wanted)
        if differs and self.plan.update(f"policy of {KIND}", f"{self.name}/{name}", found, wanted):
            self.settling.put_role_policy(RoleName=self.name, PolicyName=name, PolicyDocument=json.dumps(wanted))
        for other in names:
            if other != name and self.plan.delete(f"policy of {KIND}", f"{self.name}/{other}", other):
                self.iam.delete_role_policy(RoleName=self.name, PolicyName=other)

    def _attached(self) -> list[str]:
        if self.found is None:
            return []
        listed = self.iam.list_attached_role_policies(RoleName=self.name)["AttachedPolicies"]
        return [policy["PolicyArn"] for policy in listed]

    def _managed(self) -> None:
        found, wanted = sorted(self._attached()), sorted(self.params["managed_policies"])
        if found == wanted or not self.plan.update(f"managed policies of {KIND}", self.name, found, wanted):
            return
        for arn in wanted:
            if arn not in found:
                self.settling.attach_role_policy(RoleName=self.name, PolicyArn=arn)
        for arn in found:
            if arn not in wanted:
                self.iam.detach_role_policy(RoleName=self.name, PolicyArn=arn)
