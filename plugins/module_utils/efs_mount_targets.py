# Copyright: stackyard contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The mount targets of an EFS file system, one in each zone."""

from __future__ import annotations

from typing import Any

from .aws import Api, found_or_none
from .plan import Plan, is_placeholder, wait_until


class MountTargets:
    """The mount targets of one file system, which is a placeholder while it is only announced."""

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
        targets = self.efs.pages("describe_mount_targets", "MountTargets", FileSystemId=self.file_system_id)
        return [target for target in targets if target["LifeCycleState"] not in ("deleting", "deleted")]

    def present(self):
        if self.params["mount_targets"] is None:
            return
        found = {target["SubnetId"]: target for target in self.describe()}
        wanted = {target["subnet_id"]: target["security_groups"] for target in self.params["mount_targets"]}
        going = [subnet for subnet in found if subnet not in wanted]
        for subnet in going:
            if self.plan.delete("efs mount target", self._full(subnet), found[subnet].get("IpAddress")):
                self.efs.delete_mount_target(MountTargetId=found[subnet]["MountTargetId"])
        if going and not self.module.check_mode:
            # A zone takes one mount target: a new one in another subnet of it has to wait until the old one is gone.
            gone = {found[subnet]["MountTargetId"] for subnet in going}
            self.await_gone(gone)
        for subnet, groups in wanted.items():
            if subnet in found:
                self._groups(found[subnet], groups)
            elif self.plan.create("efs mount target", self._full(subnet), groups):
                self.efs.create_mount_target(FileSystemId=self.file_system_id, SubnetId=subnet, SecurityGroups=groups)

    def _groups(self, target, wanted):
        answer = self.efs.describe_mount_target_security_groups(MountTargetId=target["MountTargetId"])
        found = answer["SecurityGroups"]
        if sorted(found) == sorted(wanted):
            return
        if self.plan.update("efs mount target", self._full(target["SubnetId"]), sorted(found), sorted(wanted)):
            self.efs.modify_mount_target_security_groups(MountTargetId=target["MountTargetId"], SecurityGroups=wanted)

    def absent(self):
        for target in self.describe():
            if self.plan.delete("efs mount target", self._full(target["SubnetId"]), target.get("IpAddress")):
                found_or_none(
                    self.efs.delete_mount_target, ["MountTargetNotFound"], MountTargetId=target["MountTargetId"]
                )

    def await_available(self):
        last = []

        def probe():
            last[:] = self.describe()
            failed = [target for target in last if target["LifeCycleState"] == "error"]
            if failed:
                self.module.fail_json(
                    msg=f"The mount target of file system {self.name} in {failed[0]['SubnetId']} is in error: "
                    "delete it, then run again."
                )
            seen = {target["SubnetId"]: target["LifeCycleState"] for target in last}
            return all(state == "available" for state in seen.values()), str(seen)

        wait_until(
            probe, f"State available of the mount targets of file system {self.name}", self.params["wait_timeout"]
        )
        return last

    def await_gone(self, gone):
        def probe():
            targets = self.efs.pages("describe_mount_targets", "MountTargets", FileSystemId=self.file_system_id)
            left = [target["MountTargetId"] for target in targets if target["MountTargetId"] in gone]
            return not left, f"{len(left)} left"

        wait_until(probe, f"Deletion of the mount targets of file system {self.name}", self.params["wait_timeout"])

    def await_none(self):
        targets = self.efs.pages("describe_mount_targets", "MountTargets", FileSystemId=self.file_system_id)
        self.await_gone({target["MountTargetId"] for target in targets})

    def _full(self, name):
        return f"{self.name}/{name}"
