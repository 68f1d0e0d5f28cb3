#!/usr/bin/python
# Copyright: stackyard contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

DOCUMENTATION = r"""
module: stack_leftovers
short_description: List what is left of a stack, and remove what was kept
version_added: 0.1.0
description:
  - Asks every service that a stack uses for resources with the tags C(stackyard:environment) and
    C(stackyard:application).
  - What carries C(stackyard:keep) is kept on purpose, that is final snapshots of databases, images with their
    snapshots, and the parameter that names the image. So are recovery points of AWS Backup, which carry the tags of
    what was backed up, those of EFS's automatic backups among them, and a vault that holds some. The rest is left by
    mistake.
  - The vault of the automatic backups lets nobody delete a recovery point as long as it has the policy that AWS gave
    it. AWS itself deletes each 35 days after it was made.
  - Describes are asked rather than the tagging API, which goes on naming things for a while after they are gone.
  - A secret in its deletion window, and a machine that is terminated, count as gone.
author: stackyard contributors
options:
  environment_name:
    description: The environment.
    type: str
    required: true
  application:
    description: The application.
    type: str
    required: true
  purge:
    description: Remove what was kept. There is no way back.
    type: bool
    default: false
extends_documentation_fragment:
  - amazon.aws.common.modules
  - amazon.aws.region.modules
  - amazon.aws.boto3
  - stackyard.aws.stack
"""

EXAMPLES = r"""
- name: List what is left
  stackyard.aws.stack_leftovers:
    environment_name: demo
    application: wordpress
"""

RETURN = r"""
kept:
  description: What is kept on purpose, after a purge what O(purge) could not remove.
  type: list
  elements: dict
  returned: always
  sample: [{type: db-snapshot, id: demo-wordpress-final-20260101000000}]
left:
  description: What is left without that.
  type: list
  elements: dict
  returned: always
changes:
  description: What was removed, or would be.
  type: list
  elements: dict
  returned: always
"""

import json

from ansible_collections.amazon.aws.plugins.module_utils.modules import AnsibleAWSModule
from ansible_collections.amazon.aws.plugins.module_utils.tagging import boto3_tag_list_to_ansible_dict
from ansible_collections.stackyard.aws.plugins.module_utils.aws import Api, found_or_none, run
from ansible_collections.stackyard.aws.plugins.module_utils.plan import Plan

# EC2 filters by tags itself: type, operation, key of the answer, key of the id.
EC2 = (
    ("instance", "describe_instances", "Reservations", "InstanceId"),
    ("image", "describe_images", "Images", "ImageId"),
    ("snapshot", "describe_snapshots", "Snapshots", "SnapshotId"),
    ("volume", "describe_volumes", "Volumes", "VolumeId"),
    ("launch-template", "describe_launch_templates", "LaunchTemplates", "LaunchTemplateId"),
    ("network-interface", "describe_network_interfaces", "NetworkInterfaces", "NetworkInterfaceId"),
    ("vpc", "describe_vpcs", "Vpcs", "VpcId"),
    ("subnet", "describe_subnets", "Subnets", "SubnetId"),
    ("internet-gateway", "describe_internet_gateways", "InternetGateways", "InternetGatewayId"),
    ("nat-gateway", "describe_nat_gateways", "NatGateways", "NatGatewayId"),
    ("route-table", "describe_route_tables", "RouteTables", "RouteTableId"),
    ("network-acl", "describe_network_acls", "NetworkAcls", "NetworkAclId"),
    ("security-group", "describe_security_groups", "SecurityGroups", "GroupId"),
    ("vpc-endpoint", "describe_vpc_endpoints", "VpcEndpoints", "VpcEndpointId"),
)


# Made by AWS with the first file system that has automatic backups, and of no stack.
AUTOMATIC_VAULT = "aws/efs/automatic-backup-vault"

# No vault, or no permission to look into it: a stack can be destroyed without AWS Backup.
NO_BACKUPS = ("ResourceNotFoundException", "AccessDeniedException")

# Of what not every stack has: whoever destroys one without needs no permission to look for it.
NO_RIGHTS = ("AccessDenied", "AccessDeniedException", "AuthorizationError", "AuthorizationErrorException")


class Leftovers:
    """What carries the tags of one stack."""

    def __init__(self, module):
        self.module = module
        p = module.params
        self.tags = {"stackyard:environment": p["environment_name"], "stackyard:application": p["application"]}
        self.name = f"{p['environment_name']}-{p['application']}"

    def api(self, service):
        return Api(self.module, service)

    def ours(self, tags):
        return all(tags.get(key) == value for key, value in self.tags.items())

    def found(self):
        for source in (self.ec2, self.addresses, self.balancing, self.groups, self.databases, self.files, self.secrets):
            yield from source()
        for source in (self.parameters, self.certificates, self.roles, self.buckets, self.backups):
            yield from source()
        for source in (self.tables, self.alarms, self.topics, self.keys):
            yield from source()

    def ec2(self):
        ec2 = self.api("ec2")
        filters = [{"Name": f"tag:{key}", "Values": [value]} for key, value in self.tags.items()]
        for kind, operation, key, identifier in EC2:
            option = "Filter" if kind == "nat-gateway" else "Filters"
            extra = {"Owners": ["self"]} if kind == "image" else {"OwnerIds": ["self"]} if kind == "snapshot" else {}
            items = ec2.pages(operation, key, **{option: filters}, **extra)
            if kind == "instance":
                items = [i for r in items for i in r["Instances"] if i["State"]["Name"] != "terminated"]
            for item in items:
                if str(item.get("State", "")).lower() in ("deleted", "deleting"):
                    continue
                yield kind, item[identifier], boto3_tag_list_to_ansible_dict(item.get("Tags", [])), item

    def addresses(self):
        filters = [{"Name": f"tag:{key}", "Values": [value]} for key, value in self.tags.items()]
        for item in self.api("ec2").describe_addresses(Filters=filters)["Addresses"]:
            yield "elastic-ip", item["AllocationId"], boto3_tag_list_to_ansible_dict(item.get("Tags", [])), item

    def balancing(self):
        elb = self.api("elbv2")
        for kind, operation, key, identifier in (
            ("load-balancer", "describe_load_balancers", "LoadBalancers", "LoadBalancerArn"),
            ("target-group", "describe_target_groups", "TargetGroups", "TargetGroupArn"),
        ):
            arns = [item[identifier] for item in elb.pages(operation, key)]
            for start in range(0, len(arns), 20):
                for entry in elb.describe_tags(ResourceArns=arns[start : start + 20])["TagDescriptions"]:
                    yield kind, entry["ResourceArn"], boto3_tag_list_to_ansible_dict(entry["Tags"]), entry

    def groups(self):
        for item in self.api("autoscaling").pages("describe_auto_scaling_groups", "AutoScalingGroups"):
            yield (
                "autoscaling-group",
                item["AutoScalingGroupName"],
                boto3_tag_list_to_ansible_dict(item.get("Tags", [])),
                item,
            )

    def databases(self):
        rds = self.api("rds")
        for kind, operation, key, identifier, arn in (
            ("db-instance", "describe_db_instances", "DBInstances", "DBInstanceIdentifier", "DBInstanceArn"),
            ("db-snapshot", "describe_db_snapshots", "DBSnapshots", "DBSnapshotIdentifier", "DBSnapshotArn"),
            ("db-subnet-group", "describe_db_subnet_groups", "DBSubnetGroups", "DBSubnetGroupName", "DBSubnetGroupArn"),
            (
                "db-parameter-group",
                "describe_db_parameter_groups",
                "DBParameterGroups",
                "DBParameterGroupName",
                "DBParameterGroupArn",
            ),
        ):
            for item in rds.pages(operation, key):
                tags = item.get("TagList")
                if tags is None:
                    # Groups do not carry theirs; those of a stack begin with its name.
                    if not item[identifier].startswith(self.name):
                        continue
                    tags = rds.list_tags_for_resource(ResourceName=item[arn])["TagList"]
                yield kind, item[identifier], boto3_tag_list_to_ansible_dict(tags), item

    def files(self):
        for item in self.api("efs").pages("describe_file_systems", "FileSystems"):
            if item["LifeCycleState"] not in ("deleting", "deleted"):
                yield "file-system", item["FileSystemId"], boto3_tag_list_to_ansible_dict(item.get("Tags", [])), item

    def secrets(self):
        for item in self.api("secretsmanager").pages("list_secrets", "SecretList"):
            if not item.get("DeletedDate"):
                yield "secret", item["Name"], boto3_tag_list_to_ansible_dict(item.get("Tags", [])), item

    def parameters(self):
        ssm = self.api("ssm")
        path = f"/stackyard/{self.module.params['environment_name']}/{self.module.params['application']}"
        for item in ssm.pages("get_parameters_by_path", "Parameters", Path=path, Recursive=True):
            tags = ssm.list_tags_for_resource(ResourceType="Parameter", ResourceId=item["Name"])["TagList"]
            yield "parameter", item["Name"], boto3_tag_list_to_ansible_dict(tags), item

    def certificates(self):
        acm = self.api("acm")
        for item in acm.pages("list_certificates", "CertificateSummaryList"):
            arn = item["CertificateArn"]
            tags = acm.list_tags_for_certificate(CertificateArn=arn)["Tags"]
            yield "certificate", arn, boto3_tag_list_to_ansible_dict(tags), item

    def roles(self):
        iam = self.api("iam")
        missing = ["NoSuchEntity", "NoSuchEntityException"]
        # The machines', and the one that AWS Backup acts in.
        for name in (self.name, f"{self.name}-backup"):
            role = found_or_none(iam.get_role, missing, RoleName=name)
            if role:
                yield "role", name, boto3_tag_list_to_ansible_dict(role["Role"].get("Tags", [])), role
        profile = found_or_none(iam.get_instance_profile, missing, InstanceProfileName=self.name)
        if profile:
            tags = boto3_tag_list_to_ansible_dict(profile["InstanceProfile"].get("Tags", []))
            yield "instance-profile", self.name, tags, profile

    def buckets(self):
        s3 = self.api("s3")
        for item in s3.list_buckets()["Buckets"]:
            answer = found_or_none(
                s3.get_bucket_tagging,
                [
                    "NoSuchTagSet",
                    "AccessDenied",
                    "PermanentRedirect",
                    "IllegalLocationConstraintException",
                    "NoSuchBucket",
                ],
                Bucket=item["Name"],
            )
            if answer:
                yield "bucket", item["Name"], boto3_tag_list_to_ansible_dict(answer["TagSet"]), item

    def backups(self):
        backup = self.api("backup")
        plans = found_or_none(lambda: backup.pages("list_backup_plans", "BackupPlansList"), NO_BACKUPS)
        for item in plans or []:
            answer = found_or_none(backup.list_tags, NO_BACKUPS, ResourceArn=item["BackupPlanArn"])
            if answer:
                yield "backup-plan", item["BackupPlanName"], answer["Tags"], item
        vaults = found_or_none(lambda: backup.pages("list_backup_vaults", "BackupVaultList"), NO_BACKUPS)
        for item in vaults or []:
            name = item["BackupVaultName"]
            answer = found_or_none(backup.list_tags, NO_BACKUPS, ResourceArn=item["BackupVaultArn"])
            # A recovery point of a stack is in the stack's own vault or in the one of automatic backups.
            if answer is None or not (name == AUTOMATIC_VAULT or self.ours(answer["Tags"])):
                continue
            yield from self.recovery_points(backup, name)
            if name != AUTOMATIC_VAULT:
                yield "backup-vault", name, answer["Tags"], item

    def recovery_points(self, backup, vault):
        points = found_or_none(
            lambda: backup.pages("list_recovery_points_by_backup_vault", "RecoveryPoints", BackupVaultName=vault),
            NO_BACKUPS,
        )
        for item in points or []:
            arn = item["RecoveryPointArn"]
            answer = found_or_none(backup.list_tags, NO_BACKUPS, ResourceArn=arn)
            if answer and item["Status"] != "DELETING":
                yield "recovery-point", arn, answer["Tags"], item

    def tables(self):
        dynamodb = self.api("dynamodb")
        # Most stacks have none, and need no permission to look for one.
        names = found_or_none(lambda: dynamodb.pages("list_tables", "TableNames"), ["AccessDeniedException"])
        for name in names or []:
            # A list without tags; those of a stack begin with its name.
            if not name.startswith(f"{self.name}-"):
                continue
            item = found_or_none(dynamodb.describe_table, ["ResourceNotFoundException"], TableName=name)
            if item and item["Table"]["TableStatus"] != "DELETING":
                tags = dynamodb.list_tags_of_resource(ResourceArn=item["Table"]["TableArn"])["Tags"]
                yield "table", name, boto3_tag_list_to_ansible_dict(tags), item

    def alarms(self):
        cloudwatch = self.api("cloudwatch")
        prefix = f"{self.name}-"
        alarms = found_or_none(
            lambda: cloudwatch.pages("describe_alarms", "MetricAlarms", AlarmNamePrefix=prefix), NO_RIGHTS
        )
        for item in alarms or []:
            answer = found_or_none(cloudwatch.list_tags_for_resource, NO_RIGHTS, ResourceARN=item["AlarmArn"])
            if answer:
                yield "alarm", item["AlarmName"], boto3_tag_list_to_ansible_dict(answer["Tags"]), item

    def topics(self):
        sns = self.api("sns")
        topics = found_or_none(lambda: sns.pages("list_topics", "Topics"), NO_RIGHTS)
        for item in topics or []:
            name = item["TopicArn"].rpartition(":")[2]
            if not name.startswith(f"{self.name}-"):
                continue
            answer = found_or_none(sns.list_tags_for_resource, [*NO_RIGHTS, "NotFound"], ResourceArn=item["TopicArn"])
            if answer:
                yield "topic", name, boto3_tag_list_to_ansible_dict(answer["Tags"]), item

    def keys(self):
        kms = self.api("kms")
        alias = f"alias/{self.name}-alarms"
        answer = found_or_none(kms.describe_key, [*NO_RIGHTS, "NotFoundException"], KeyId=alias)
        # AWS keeps a key for some days after it was deleted.
        if answer and answer["KeyMetadata"]["KeyState"] != "PendingDeletion":
            tags = kms.list_resource_tags(KeyId=answer["KeyMetadata"]["KeyId"])["Tags"]
            yield "key", alias, boto3_tag_list_to_ansible_dict(tags, "TagKey", "TagValue"), answer

    def removable(self, kind, item):
        """Tell whether such a thing can be removed at all, as far as can be seen without trying."""
        if kind != "recovery-point":
            return True
        answer = found_or_none(
            self.api("backup").get_backup_vault_access_policy, NO_BACKUPS, BackupVaultName=item["BackupVaultName"]
        )
        statements = json.loads(answer["Policy"])["Statement"] if answer else []
        return not any(
            statement["Effect"] == "Deny" and "backup:DeleteRecoveryPoint" in statement["Action"]
            for statement in statements
        )

    def remove(self, kind, identifier, item):
        """Remove one thing; false when AWS refuses."""
        if kind == "db-snapshot":
            self.api("rds").delete_db_snapshot(DBSnapshotIdentifier=identifier)
        elif kind == "parameter":
            self.api("ssm").delete_parameter(Name=identifier)
        elif kind == "image":
            self.api("ec2").deregister_image(ImageId=identifier)
            for device in item.get("BlockDeviceMappings", []):
                if device.get("Ebs", {}).get("SnapshotId"):
                    self.delete_snapshot(device["Ebs"]["SnapshotId"])
        elif kind == "snapshot":
            self.delete_snapshot(identifier)
        elif kind == "recovery-point":
            delete = self.api("backup").delete_recovery_point
            names = {"BackupVaultName": item["BackupVaultName"], "RecoveryPointArn": identifier}
            return found_or_none(delete, ["AccessDeniedException"], **names) is not None
        elif kind == "backup-vault":
            # AWS refuses while recovery points of it are still being deleted.
            delete = self.api("backup").delete_backup_vault
            return found_or_none(delete, ["InvalidRequestException"], BackupVaultName=identifier) is not None
        return True

    def delete_snapshot(self, identifier):
        found_or_none(self.api("ec2").delete_snapshot, ["InvalidSnapshot.NotFound"], SnapshotId=identifier)


PURGED = ("image", "snapshot", "db-snapshot", "parameter", "recovery-point", "backup-vault")


def work(module):
    plan = Plan(module.check_mode)
    leftovers = Leftovers(module)
    kept, left = [], []
    found = list(leftovers.found())
    # A recovery point of EBS is a snapshot, which AWS Backup alone may delete.
    backups = {identifier.rpartition("/")[2] for kind, identifier, _tags, _item in found if kind == "recovery-point"}
    for kind, identifier, tags, item in found:
        if not leftovers.ours(tags) or (kind == "snapshot" and identifier in backups):
            continue
        entry = {"type": kind, "id": identifier}
        on_purpose = tags.get("stackyard:keep") == "true" or kind == "recovery-point"
        # Listed before what it held is deleted.
        on_purpose = on_purpose or (kind == "backup-vault" and item["NumberOfRecoveryPoints"] > 0)
        if not on_purpose or kind not in PURGED:
            left.append(entry)
        elif not module.params["purge"] or not leftovers.removable(kind, item):
            kept.append(entry)
        elif module.check_mode or leftovers.remove(kind, identifier, item):
            plan.delete(kind, identifier, {"kept": True})
        else:
            kept.append(entry)
    return {"kept": kept, "left": left, **plan.result()}


def main():
    module = AnsibleAWSModule(
        argument_spec={
            "environment_name": {"type": "str", "required": True},
            "application": {"type": "str", "required": True},
            "purge": {"type": "bool", "default": False},
        },
        supports_check_mode=True,
    )
    run(module, lambda: work(module))


if __name__ == "__main__":
    main()
