# Copyright: stackyard contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The access points of an EFS file system, found again by their Name tags."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from ansible_collections.amazon.aws.plugins.module_utils.tagging import (
    ansible_dict_to_boto3_tag_list,
    boto3_tag_list_to_ansible_dict,
)

from .aws import Api, found_or_none, tag_changes
from .plan import Plan, is_placeholder, placeholder


class AccessPoints:
    """The access points of one file system, which is a placeholder while it is only announced."""

    def __init__(self, module: Any, efs: Api, plan: Plan, file_system_id: str) -> None:
        self.module = module
        self.params = module.params
        self.name = module.params["name"]
        self.efs = efs
        self.plan = plan
        self.file_system_id = file_system_id

    def describe(self):
        if is_placeholder(self.file_system_id):
            return []
        points = self.efs.pages("describe_access_points", "AccessPoints", FileSystemId=self.file_system_id)
        return [point for point in points if point.get("LifeCycleState") not in ("deleting", "deleted")]

    def present(self):
        found = {}
        for point in self.describe():
            name = boto3_tag_list_to_ansible_dict(point.get("Tags", [])).get("Name", point["AccessPointId"])
            found[name] = point
        if self.params["access_points"] is None:
            return {name: point["AccessPointId"] for name, point in found.items()}
        wanted = {point["name"]: point for point in self.params["access_points"]}
        ids = {}
        for name, point in wanted.items():
            settings = self._settings(point)
            current = found.get(name)
            before = None
            if current:
                before = {key: current.get(key, {}) for key in settings}
                if before == settings:
                    ids[name] = current["AccessPointId"]
                    self._tags(current, name)
                    continue
            ids[name] = placeholder("fsap")
            if current:
                now = self.plan.update("efs access point", self._full(name), before, settings)
            else:
                now = self.plan.create("efs access point", self._full(name), settings)
            if now:
                ids[name] = self._create(name, settings)
                if current:
                    self.efs.delete_access_point(AccessPointId=current["AccessPointId"])
        for name, point in found.items():
            if name not in wanted and self.plan.delete(
                "efs access point", self._full(name), point["RootDirectory"]["Path"]
            ):
                self.efs.delete_access_point(AccessPointId=point["AccessPointId"])
        return ids

    def absent(self):
        for point in self.describe():
            name = boto3_tag_list_to_ansible_dict(point.get("Tags", [])).get("Name", point["AccessPointId"])
            if self.plan.delete("efs access point", self._full(name), point["RootDirectory"]["Path"]):
                found_or_none(
                    self.efs.delete_access_point, ["AccessPointNotFound"], AccessPointId=point["AccessPointId"]
                )

    @staticmethod
    def _settings(point):
        return {
            "PosixUser": {"Uid": point["uid"], "Gid": point["gid"]},
            "RootDirectory": {
                "Path": point["path"],
                "CreationInfo": {
                    "OwnerUid": point["uid"],
                    "OwnerGid": point["gid"],
                    "Permissions": point["permissions"],
                },
            },
        }

    def _create(self, name, settings):
        # The same token for the same settings: a run that was cut off before it read the reply gets no second one.
        seed = json.dumps([self.file_system_id, name, settings], sort_keys=True)
        answer = self.efs.create_access_point(
            ClientToken=hashlib.sha256(seed.encode()).hexdigest()[:64],
            FileSystemId=self.file_system_id,
            Tags=ansible_dict_to_boto3_tag_list({**(self.params["tags"] or {}), "Name": name}),
            **settings,
        )
        return answer["AccessPointId"]

    def _tags(self, point, name):
        if self.params["tags"] is None:
            return
        to_set, to_remove = tag_changes(
            self.plan,
            "efs access point",
            self._full(name),
            current=boto3_tag_list_to_ansible_dict(point.get("Tags", [])),
            wanted={**self.params["tags"], "Name": name},
            purge=self.params["purge_tags"],
        )
        if to_set:
            self.efs.tag_resource(ResourceId=point["AccessPointId"], Tags=ansible_dict_to_boto3_tag_list(to_set))
        if to_remove:
            self.efs.untag_resource(ResourceId=point["AccessPointId"], TagKeys=to_remove)

    def _full(self, name):
        return f"{self.name}/{name}"
