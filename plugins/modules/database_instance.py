#!/usr/bin/python
# Copyright: stackyard contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

DOCUMENTATION = r"""
module: database_instance
short_description: Keep an RDS instance whose password comes straight from Secrets Manager
version_added: 0.1.0
description:
  - Starts, alters, awaits and removes an RDS instance.
  - The master account is read from a secret by the module itself, so that the password is never an argument, a
    variable or
    a result of Ansible. M(amazon.aws.rds_instance) takes it as an argument, shows no difference, fails while an
    instance is being created, and leaves the final snapshot without tags of its own.
  - The password is only used to make the instance; a later change of the secret does not alter it.
author: stackyard contributors
options:
  name:
    description: Identifier of the instance.
    type: str
    required: true
  engine:
    description: Database engine. Cannot be changed later.
    type: str
    choices: [mysql, mariadb, postgres]
  engine_version:
    description: Version or its beginning, as in V(8.4). A newer patch release of it is left alone.
    type: str
  instance_class:
    description: Size of the machine.
    type: str
  storage_gb:
    description: Size of the volume in GiB. It can only grow; one that AWS has grown by itself is left alone.
    type: int
  max_storage_gb:
    description: Size up to which AWS grows the volume by itself; V(0) for never.
    type: int
    default: 0
  storage_type:
    description: Kind of volume.
    type: str
    choices: [gp2, gp3]
    default: gp3
  kms_key_id:
    description: Key to encrypt with; the account's key for RDS when left out. Cannot be changed later.
    type: str
  database:
    description: Database to make with the instance.
    type: str
  secret:
    description: Name of a secret whose JSON value has C(username) and C(password).
    type: str
  subnet_group:
    description: Subnet group.
    type: str
  security_group_ids:
    description: Security groups.
    type: list
    elements: str
  parameter_group:
    description: Parameter group.
    type: str
  multi_az:
    description: Keep a standby in another zone.
    type: bool
    default: false
  backup_days:
    description: Days for which the instance can be restored to any second; V(0) for no backups.
    type: int
    default: 7
  backup_window:
    description: Daily window for backups in UTC, as in V(03:00-04:00).
    type: str
  maintenance_window:
    description: Weekly window for changes in UTC, as in V(sun:04:30-sun:05:30).
    type: str
  minor_upgrades:
    description: Let AWS install patch releases in the maintenance window.
    type: bool
    default: true
  deletion_protection:
    description: Refuse to be removed by anybody but O(state=absent), which takes the protection off first.
    type: bool
    default: true
  final_snapshot:
    description: With O(state=absent), keep a last snapshot, with the tag C(stackyard:keep).
    type: bool
    default: true
  tags:
    description: Tags for the instance and its snapshots.
    type: dict
    default: {}
  wait_timeout:
    description: Seconds to wait with V(ready) and V(absent).
    type: int
    default: 3600
  state:
    description:
      - V(present) starts or alters the instance without waiting, V(ready) awaits that it can be used, V(absent)
        removes it and
        awaits that.
    type: str
    choices: [present, ready, absent]
    default: present
extends_documentation_fragment:
  - amazon.aws.common.modules
  - amazon.aws.region.modules
  - amazon.aws.boto3
  - stackyard.aws.stack
"""

EXAMPLES = r"""
- name: Start the database
  stackyard.aws.database_instance:
    name: demo-wordpress
    engine: mysql
    engine_version: "8.4"
    instance_class: db.t4g.small
    storage_gb: 20
    database: wordpress
    secret: stackyard/demo/wordpress/database
    subnet_group: demo-wordpress
    security_group_ids: [sg-0123456789abcdef0]
    parameter_group: demo-wordpress-mysql8.4

- name: Await it
  stackyard.aws.database_instance:
    name: demo-wordpress
    state: ready
"""

RETURN = r"""
identifier:
  description: Identifier of the instance.
  type: str
  returned: always
host:
  description: Address to connect to; empty until AWS has given one.
  type: str
  returned: when state is not absent
port:
  description: Port to connect to.
  type: int
  returned: when state is not absent
status:
  description: What RDS says of the instance.
  type: str
  returned: when state is not absent
snapshots:
  description: Snapshots that are kept.
  type: list
  elements: str
  returned: when state is absent
changes:
  description: What was changed, or would be.
  type: list
  elements: dict
  returned: always
"""

import json
import time

from ansible_collections.amazon.aws.plugins.module_utils.modules import AnsibleAWSModule
from ansible_collections.amazon.aws.plugins.module_utils.tagging import (
    ansible_dict_to_boto3_tag_list,
    boto3_tag_list_to_ansible_dict,
)
from ansible_collections.stackyard.aws.plugins.module_utils.aws import Api, found_or_none, run
from ansible_collections.stackyard.aws.plugins.module_utils.plan import Plan, WaitTimeout, missing_tags, wait_until

PORTS = {"mysql": 3306, "mariadb": 3306, "postgres": 5432}

# From these an instance does not come back by itself.
BROKEN = (
    "failed",
    "inaccessible-encryption-credentials",
    "incompatible-network",
    "incompatible-option-group",
    "incompatible-parameters",
    "incompatible-restore",
    "insufficient-capacity",
    "storage-full",
)


class Database:
    """One RDS instance."""

    def __init__(self, module, plan):
        self.module = module
        self.plan = plan
        self.params = module.params
        self.name = module.params["name"]
        self.rds = Api(module, "rds")
        self.timeout = module.params["wait_timeout"]

    def describe(self):
        answer = found_or_none(
            self.rds.describe_db_instances,
            ["DBInstanceNotFound", "DBInstanceNotFoundFault"],
            DBInstanceIdentifier=self.name,
        )
        return answer["DBInstances"][0] if answer else None

    def status(self):
        found = self.describe()
        return found["DBInstanceStatus"] if found else "not there"

    def await_status(self, wanted):
        def probe():
            seen = self.status()
            if seen in BROKEN and seen != wanted:
                raise WaitTimeout(
                    f"The database {self.name} is {seen}, from which it does not recover by itself: look at its events "
                    "(aws rds describe-events), mend the cause, and run again."
                )
            return seen == wanted, seen

        wait_until(probe, f"The database {self.name}'s state '{wanted}'", self.timeout, hint="Run again to wait on.")

    # Present

    def wanted(self):
        """What can be altered later, by the names that ModifyDBInstance has for it."""
        p = self.params
        wanted = {
            "DBInstanceClass": p["instance_class"],
            "MultiAZ": p["multi_az"],
            "BackupRetentionPeriod": p["backup_days"],
            "PreferredBackupWindow": p["backup_window"],
            "PreferredMaintenanceWindow": p["maintenance_window"],
            "AutoMinorVersionUpgrade": p["minor_upgrades"],
            "DeletionProtection": p["deletion_protection"],
            "StorageType": p["storage_type"],
            "CopyTagsToSnapshot": True,
            "PubliclyAccessible": False,
            "DBParameterGroupName": p["parameter_group"],
            "VpcSecurityGroupIds": p["security_group_ids"],
        }
        if p["max_storage_gb"]:
            wanted["MaxAllocatedStorage"] = p["max_storage_gb"]
        return {key: value for key, value in wanted.items() if value is not None}

    def present_values(self, found):
        """The same of the instance that is there; a change that is under way counts as made."""
        pending = found.get("PendingModifiedValues", {})
        values = {key: pending.get(key, found.get(key)) for key in self.wanted()}
        groups = found.get("DBParameterGroups", [])
        values["DBParameterGroupName"] = groups[0]["DBParameterGroupName"] if groups else None
        values["VpcSecurityGroupIds"] = sorted(
            group["VpcSecurityGroupId"] for group in found.get("VpcSecurityGroups", [])
        )
        return values

    def account(self):
        """The master account. It stays in this process."""
        text = Api(self.module, "secretsmanager").get_secret_value(SecretId=self.params["secret"])["SecretString"]
        account = json.loads(text)
        return account["username"], account["password"]

    def create(self):
        p = self.params
        wanted = self.wanted()
        settings = {
            "Engine": p["engine"],
            "EngineVersion": p["engine_version"],
            "AllocatedStorage": p["storage_gb"],
            "DBName": p["database"],
            "DBSubnetGroupName": p["subnet_group"],
            "StorageEncrypted": True,
            "KmsKeyId": p["kms_key_id"],
            "Port": PORTS[p["engine"]],
            **wanted,
        }
        settings = {key: value for key, value in settings.items() if value is not None}
        if not self.plan.create("db-instance", self.name, {**settings, "tags": p["tags"]}):
            return
        username, password = self.account()
        self.rds.create_db_instance(
            DBInstanceIdentifier=self.name,
            MasterUsername=username,
            MasterUserPassword=password,
            Tags=ansible_dict_to_boto3_tag_list({**p["tags"], "Name": self.name}),
            **settings,
        )

    def modify(self, found):
        p = self.params
        wanted, present = self.wanted(), self.present_values(found)
        wanted["VpcSecurityGroupIds"] = sorted(p["security_group_ids"] or [])
        change = {key: value for key, value in wanted.items() if present[key] != value}
        if p["storage_gb"] > found["AllocatedStorage"]:
            change["AllocatedStorage"] = p["storage_gb"]
            present["AllocatedStorage"] = found["AllocatedStorage"]
        version = str(found.get("PendingModifiedValues", {}).get("EngineVersion") or found["EngineVersion"])
        if p["engine_version"] and version != p["engine_version"] and not version.startswith(f"{p['engine_version']}."):
            change["EngineVersion"] = p["engine_version"]
            change["AllowMajorVersionUpgrade"] = True
            present["EngineVersion"] = version
        before = {key: present.get(key) for key in change if key != "AllowMajorVersionUpgrade"}
        if change and self.plan.update("db-instance", self.name, before, {key: change[key] for key in before}):
            if found["DBInstanceStatus"] != "available":
                self.await_status("available")
            self.rds.modify_db_instance(DBInstanceIdentifier=self.name, ApplyImmediately=True, **change)
        self.settle_tags(found, {**p["tags"], "Name": self.name})

    def settle_tags(self, found, wanted):
        present = boto3_tag_list_to_ansible_dict(found.get("TagList", []))
        add = missing_tags(present, wanted)
        # Set by a removal that was cut off before the instance went.
        stale = [key for key in ("stackyard:keep",) if key in present and key not in wanted]
        if not add and not stale:
            return
        if not self.plan.update("db-instance-tags", self.name, {key: present.get(key) for key in [*add, *stale]}, add):
            return
        if add:
            self.rds.add_tags_to_resource(ResourceName=found["DBInstanceArn"], Tags=ansible_dict_to_boto3_tag_list(add))
        if stale:
            self.rds.remove_tags_from_resource(ResourceName=found["DBInstanceArn"], TagKeys=stale)

    def present(self):
        found = self.describe()
        if found and found["DBInstanceStatus"] == "deleting" and not self.plan.check_mode:
            self.await_status("not there")
            found = None
        if found is None:
            self.create()
        else:
            if found["Engine"] != self.params["engine"]:
                self.module.fail_json(
                    msg=f"The database {self.name} runs {found['Engine']}, and engine asks for "
                    f"{self.params['engine']}: an engine cannot be changed; keep the value, or destroy the stack first."
                )
            self.modify(found)
        return self.endpoint()

    def endpoint(self):
        found = self.describe() or {}
        endpoint = found.get("Endpoint") or {}
        return {
            "identifier": self.name,
            "host": endpoint.get("Address", ""),
            "port": endpoint.get("Port") or PORTS.get(self.params["engine"] or found.get("Engine"), 0),
            "status": found.get("DBInstanceStatus", "not there"),
        }

    def ready(self):
        if not self.plan.check_mode:
            self.await_status("available")
        return self.endpoint()

    # Absent

    def absent(self):
        found = self.describe()
        keep = {**self.params["tags"], "stackyard:keep": "true"}
        if found and found["DBInstanceStatus"] != "deleting":
            after = "a final snapshot" if self.params["final_snapshot"] else None
            if self.plan.delete("db-instance", self.name, {"status": found["DBInstanceStatus"], "kept": after}):
                self.remove(found, keep)
        if not self.plan.check_mode and self.describe():
            self.await_status("not there")
        snapshots = self.rds.pages(
            "describe_db_snapshots", "DBSnapshots", DBInstanceIdentifier=self.name, SnapshotType="manual"
        )
        prefix = f"{self.name}-final-"
        for snapshot in snapshots:
            name = snapshot["DBSnapshotIdentifier"]
            add = missing_tags(boto3_tag_list_to_ansible_dict(snapshot.get("TagList", [])), keep)
            if name.startswith(prefix) and add and self.plan.update("db-snapshot-tags", name, None, add):
                self.rds.add_tags_to_resource(
                    ResourceName=snapshot["DBSnapshotArn"], Tags=ansible_dict_to_boto3_tag_list(add)
                )
        return {"identifier": self.name, "snapshots": [s["DBSnapshotIdentifier"] for s in snapshots]}

    def remove(self, found, keep):
        if found["DBInstanceStatus"] not in ("available", "stopped", *BROKEN):
            self.await_status("available")
        if found["DeletionProtection"]:
            self.rds.modify_db_instance(DBInstanceIdentifier=self.name, DeletionProtection=False, ApplyImmediately=True)
        if not self.params["final_snapshot"]:
            self.rds.delete_db_instance(
                DBInstanceIdentifier=self.name, SkipFinalSnapshot=True, DeleteAutomatedBackups=True
            )
            return
        # The snapshot takes over the instance's tags, so that it is never without the one that keeps it.
        self.rds.add_tags_to_resource(ResourceName=found["DBInstanceArn"], Tags=ansible_dict_to_boto3_tag_list(keep))
        self.rds.delete_db_instance(
            DBInstanceIdentifier=self.name,
            SkipFinalSnapshot=False,
            FinalDBSnapshotIdentifier=f"{self.name}-final-{time.strftime('%Y%m%d%H%M%S', time.gmtime())}",
            DeleteAutomatedBackups=True,
        )


def main():
    required = (
        "engine",
        "engine_version",
        "instance_class",
        "storage_gb",
        "secret",
        "subnet_group",
        "security_group_ids",
        "parameter_group",
    )
    module = AnsibleAWSModule(
        argument_spec={
            "name": {"type": "str", "required": True},
            "engine": {"type": "str", "choices": sorted(PORTS)},
            "engine_version": {"type": "str"},
            "instance_class": {"type": "str"},
            "storage_gb": {"type": "int"},
            "max_storage_gb": {"type": "int", "default": 0},
            "storage_type": {"type": "str", "choices": ["gp2", "gp3"], "default": "gp3"},
            "kms_key_id": {"type": "str", "no_log": False},
            "database": {"type": "str"},
            "secret": {"type": "str", "no_log": False},
            "subnet_group": {"type": "str"},
            "security_group_ids": {"type": "list", "elements": "str"},
            "parameter_group": {"type": "str"},
            "multi_az": {"type": "bool", "default": False},
            "backup_days": {"type": "int", "default": 7},
            "backup_window": {"type": "str"},
            "maintenance_window": {"type": "str"},
            "minor_upgrades": {"type": "bool", "default": True},
            "deletion_protection": {"type": "bool", "default": True},
            "final_snapshot": {"type": "bool", "default": True},
            "tags": {"type": "dict", "default": {}},
            "wait_timeout": {"type": "int", "default": 3600},
            "state": {"type": "str", "choices": ["present", "ready", "absent"], "default": "present"},
        },
        required_if=[("state", "present", required)],
        supports_check_mode=True,
    )
    plan = Plan(module.check_mode)
    database = Database(module, plan)
    work = {"present": database.present, "ready": database.ready, "absent": database.absent}[module.params["state"]]
    run(module, lambda: {**work(), **plan.result()})


if __name__ == "__main__":
    main()
