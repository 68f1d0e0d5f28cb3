"""What an account holds, in a form in which two accounts can be compared.

Every resource of the services that the stacks use is described, tagged or not. Ids, which differ from one account to
the next, are replaced by the names of what they stand for; times, addresses and other values that AWS chooses are left
out.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable, Iterable
from typing import Any

# Chosen by AWS, or the time of day.
LEFT_OUT = re.compile(
    r"(?i).*date|.*time|.*timestamp|.*token|hash|etag|versionid|requestid|reservationid|privateip\w*|publicip"
    r"|ipaddress|privatedns\w*|publicdns\w*|macaddress|dnsname|hostedzoneid|canonicalhostedzoneid|.*associationid"
    r"|lastmodified\w*|responsemetadata|dbiresourceid|roleid|instanceprofileid|policyid|availableipaddresscount"
)
ID = re.compile(r"\b(?:[a-z]{1,8}|vpce-svc|eipalloc|eipassoc|rtbassoc|aclassoc)-[0-9a-f]{8,17}\b")
# What AWS puts at the end of an ARN or of a name to make it unique: a number or the time.
MADE_UNIQUE = re.compile(r"(?<=[-/:.])(?:[0-9a-f]{16}|[0-9]{10,}|[0-9]{4}(?:-[0-9]{2}){4})\b")
UUID = re.compile(r"\b[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\b")
SECRET_SUFFIX = re.compile(r"(:secret:[^\"]+?)-[A-Za-z0-9]{6}\b")

OWN_ID = {
    "vpc": "VpcId",
    "subnet": "SubnetId",
    "route-table": "RouteTableId",
    "network-acl": "NetworkAclId",
    "internet-gateway": "InternetGatewayId",
    "nat-gateway": "NatGatewayId",
    "address": "AllocationId",
    "endpoint": "VpcEndpointId",
    "security-group": "GroupId",
    "launch-template": "LaunchTemplateId",
    "file-system": "FileSystemId",
    "mount-target": "MountTargetId",
    "access-point": "AccessPointId",
}


def _tags(document: dict[str, Any]) -> dict[str, str]:
    for key in ("Tags", "TagSet", "TagList"):
        if isinstance(document.get(key), list):
            return {tag["Key"]: tag.get("Value", "") for tag in document[key]}
    return {}


class Account:
    """The resources of an account by type.

    Attributes:
        resources: Type -> sorted texts, one a resource: what it is and how it is set up.
        names: Type -> sorted names.
    """

    def __init__(self, client: Callable[[str], Any]) -> None:
        self._client = client
        found = list(self._found())
        labels = {}
        for kind, name, document in found:
            if kind in OWN_ID:
                labels[document[OWN_ID[kind]]] = f"<{kind} {name}>"
        self.resources: dict[str, list[str]] = {}
        self.names: dict[str, list[str]] = {}
        for kind, name, document in found:
            self.names.setdefault(kind, []).append(self._stable(name, labels))
            self.resources.setdefault(kind, []).append(self._text(document, labels))
        for texts in (*self.resources.values(), *self.names.values()):
            texts.sort()

    def differences(self, other: Account) -> list[str]:
        """What only one of the two accounts holds, one line a resource."""
        lines = []
        for kind in sorted(self.resources.keys() | other.resources.keys()):
            mine, theirs = list(self.resources.get(kind, [])), list(other.resources.get(kind, []))
            for text in list(mine):
                if text in theirs:
                    mine.remove(text)
                    theirs.remove(text)
            lines += [f"only here: {kind} {text}" for text in mine] + [f"only there: {kind} {text}" for text in theirs]
        return lines

    def _text(self, document: Any, labels: dict[str, str]) -> str:
        return self._stable(json.dumps(_plain(document), default=str, sort_keys=True), labels)

    @staticmethod
    def _stable(text: str, labels: dict[str, str]) -> str:
        # First, since the end of one may look like an id.
        text = UUID.sub("<unique>", text)
        text = ID.sub(lambda match: labels.get(match.group(0), "<id>"), text)
        text = SECRET_SUFFIX.sub(r"\1", text)
        text = MADE_UNIQUE.sub("<unique>", text)
        return json.dumps(_sorted(json.loads(text)), sort_keys=True) if text.startswith("{") else text

    def _found(self) -> Iterable[tuple[str, str, dict[str, Any]]]:
        for found in (
            self._ec2(),
            self._load_balancing(),
            self._scaling(),
            self._databases(),
            self._file_systems(),
            self._identity(),
            self._the_rest(),
        ):
            yield from found

    def _ec2(self) -> Iterable[tuple[str, str, dict[str, Any]]]:
        ec2 = self._client("ec2")
        for kind, operation, key in (
            ("vpc", "describe_vpcs", "Vpcs"),
            ("subnet", "describe_subnets", "Subnets"),
            ("route-table", "describe_route_tables", "RouteTables"),
            ("network-acl", "describe_network_acls", "NetworkAcls"),
            ("internet-gateway", "describe_internet_gateways", "InternetGateways"),
            ("nat-gateway", "describe_nat_gateways", "NatGateways"),
            ("address", "describe_addresses", "Addresses"),
            ("endpoint", "describe_vpc_endpoints", "VpcEndpoints"),
            ("security-group", "describe_security_groups", "SecurityGroups"),
            ("launch-template", "describe_launch_templates", "LaunchTemplates"),
            ("key-pair", "describe_key_pairs", "KeyPairs"),
        ):
            for document in (
                ec2.get_paginator(operation).paginate().build_full_result()[key]
                if ec2.can_paginate(operation)
                else getattr(ec2, operation)()[key]
            ):
                name = _tags(document).get("Name") or document.get("GroupName") or document.get("LaunchTemplateName")
                yield kind, name or "unnamed", document
                if kind == "launch-template":
                    versions = ec2.describe_launch_template_versions(LaunchTemplateId=document["LaunchTemplateId"])
                    for version in versions["LaunchTemplateVersions"]:
                        yield "launch-template-version", f"{name} {version['VersionNumber']}", version
        # Volumes and interfaces come and go with machines; machines themselves are the group's.
        for reservation in ec2.describe_instances()["Reservations"]:
            for instance in reservation["Instances"]:
                if instance["State"]["Name"] not in {"terminated", "shutting-down"}:
                    name = _tags(instance).get("Name", "unnamed")
                    yield "machine", name, {"Name": name, "Tags": instance.get("Tags")}

    def _load_balancing(self) -> Iterable[tuple[str, str, dict[str, Any]]]:
        elb = self._client("elbv2")

        def tags(arn: str) -> list[dict[str, str]]:
            answer: list[dict[str, str]] = elb.describe_tags(ResourceArns=[arn])["TagDescriptions"][0]["Tags"]
            return answer

        for balancer in elb.describe_load_balancers()["LoadBalancers"]:
            arn, name = balancer["LoadBalancerArn"], balancer["LoadBalancerName"]
            attributes = elb.describe_load_balancer_attributes(LoadBalancerArn=arn)["Attributes"]
            yield "load-balancer", name, balancer | {"Tags": tags(arn), "Attributes": attributes}
            for listener in elb.describe_listeners(LoadBalancerArn=arn)["Listeners"]:
                yield "listener", f"{name}:{listener['Port']}", listener | {"Tags": tags(listener["ListenerArn"])}
                for rule in elb.describe_rules(ListenerArn=listener["ListenerArn"])["Rules"]:
                    yield "rule", f"{name}:{listener['Port']} {rule['Priority']}", rule
        for group in elb.describe_target_groups()["TargetGroups"]:
            arn = group["TargetGroupArn"]
            attributes = elb.describe_target_group_attributes(TargetGroupArn=arn)["Attributes"]
            yield "target-group", group["TargetGroupName"], group | {"Tags": tags(arn), "Attributes": attributes}

    def _scaling(self) -> Iterable[tuple[str, str, dict[str, Any]]]:
        scaling = self._client("autoscaling")
        for group in scaling.describe_auto_scaling_groups()["AutoScalingGroups"]:
            name = group["AutoScalingGroupName"]
            yield "group", name, {key: value for key, value in group.items() if key != "Instances"}
            for hook in scaling.describe_lifecycle_hooks(AutoScalingGroupName=name)["LifecycleHooks"]:
                yield "hook", f"{name} {hook['LifecycleHookName']}", hook
        for policy in scaling.describe_policies()["ScalingPolicies"]:
            yield "scaling-policy", policy["PolicyName"], policy
        for action in scaling.describe_scheduled_actions()["ScheduledUpdateGroupActions"]:
            yield "schedule", action["ScheduledActionName"], action
        for alarm in self._client("cloudwatch").describe_alarms()["MetricAlarms"]:
            # Target tracking names its alarms by itself.
            yield (
                "alarm",
                UUID.sub("", alarm["AlarmName"]),
                {
                    key: alarm.get(key)
                    for key in ("MetricName", "Namespace", "Threshold", "ComparisonOperator", "Dimensions")
                },
            )

    def _databases(self) -> Iterable[tuple[str, str, dict[str, Any]]]:
        rds = self._client("rds")
        for kind, operation, key, name in (
            ("database", "describe_db_instances", "DBInstances", "DBInstanceIdentifier"),
            ("database-snapshot", "describe_db_snapshots", "DBSnapshots", "DBSnapshotIdentifier"),
            ("database-subnets", "describe_db_subnet_groups", "DBSubnetGroups", "DBSubnetGroupName"),
            ("database-parameters", "describe_db_parameter_groups", "DBParameterGroups", "DBParameterGroupName"),
        ):
            for document in getattr(rds, operation)()[key]:
                if kind == "database-parameters" and not document[name].startswith("default."):
                    described = rds.describe_db_parameters(DBParameterGroupName=document[name], Source="user")
                    document["Parameters"] = described["Parameters"]
                arn = next((value for field, value in document.items() if field.endswith("Arn")), None)
                if arn and not document[name].startswith("default"):
                    document["Tags"] = rds.list_tags_for_resource(ResourceName=arn)["TagList"]
                yield kind, document[name], document

    def _file_systems(self) -> Iterable[tuple[str, str, dict[str, Any]]]:
        efs = self._client("efs")
        for system in efs.describe_file_systems()["FileSystems"]:
            key = system["FileSystemId"]
            name = _tags(system).get("Name", "unnamed")
            system["Policy"] = _or_none(efs, efs.describe_file_system_policy, FileSystemId=key)
            system["Lifecycle"] = efs.describe_lifecycle_configuration(FileSystemId=key)["LifecyclePolicies"]
            system["Backup"] = _or_none(efs, efs.describe_backup_policy, FileSystemId=key)
            yield "file-system", name, system
            for target in efs.describe_mount_targets(FileSystemId=key)["MountTargets"]:
                target["SecurityGroups"] = efs.describe_mount_target_security_groups(
                    MountTargetId=target["MountTargetId"]
                )["SecurityGroups"]
                target.pop("NetworkInterfaceId", None)
                yield "mount-target", f"{name} {target['AvailabilityZoneName']}", target
            for point in efs.describe_access_points(FileSystemId=key)["AccessPoints"]:
                yield "access-point", f"{name} {point.get('Name', 'unnamed')}", point

    def _identity(self) -> Iterable[tuple[str, str, dict[str, Any]]]:
        iam = self._client("iam")
        for role in iam.list_roles()["Roles"]:
            name = role["RoleName"]
            role["Tags"] = iam.list_role_tags(RoleName=name)["Tags"]
            role["Attached"] = iam.list_attached_role_policies(RoleName=name)["AttachedPolicies"]
            role["Policies"] = {
                policy: iam.get_role_policy(RoleName=name, PolicyName=policy)["PolicyDocument"]
                for policy in iam.list_role_policies(RoleName=name)["PolicyNames"]
            }
            yield "role", name, role
        for profile in iam.list_instance_profiles()["InstanceProfiles"]:
            roles = [role["RoleName"] for role in profile.pop("Roles")]
            yield "instance-profile", profile["InstanceProfileName"], profile | {"Roles": roles}
        for policy in iam.list_policies(Scope="Local")["Policies"]:
            yield "policy", policy["PolicyName"], policy

    def _the_rest(self) -> Iterable[tuple[str, str, dict[str, Any]]]:
        for secret in self._client("secretsmanager").list_secrets(IncludePlannedDeletion=True)["SecretList"]:
            value = self._client("secretsmanager").get_secret_value(SecretId=secret["ARN"])["SecretString"]
            # How a random value came out differs; that it is there, and how long, does not.
            fields = {key: len(text) for key, text in json.loads(value).items()}
            secret.pop("SecretVersionsToStages", None)
            yield "secret", secret["Name"], secret | {"Fields": fields}
        ssm = self._client("ssm")
        for parameter in ssm.describe_parameters()["Parameters"]:
            value = ssm.get_parameter(Name=parameter["Name"])["Parameter"]["Value"]
            yield "parameter", parameter["Name"], {"Name": parameter["Name"], "Value": value}
        for certificate in self._client("acm").list_certificates()["CertificateSummaryList"]:
            yield "certificate", certificate["DomainName"], certificate
        dynamodb = self._client("dynamodb")
        for name in dynamodb.list_tables()["TableNames"]:
            table = dynamodb.describe_table(TableName=name)["Table"]
            table["Tags"] = dynamodb.list_tags_of_resource(ResourceArn=table["TableArn"])["Tags"]
            yield "table", name, table
        for bucket in self._client("s3").list_buckets()["Buckets"]:
            yield "bucket", bucket["Name"], {"Name": bucket["Name"]}
        for zone in self._client("route53").list_hosted_zones()["HostedZones"]:
            yield "hosted-zone", zone["Name"], {"Name": zone["Name"]}


def _or_none(efs: Any, operation: Any, **arguments: Any) -> Any:
    try:
        return {key: value for key, value in operation(**arguments).items() if key != "ResponseMetadata"}
    except (efs.exceptions.PolicyNotFound, efs.exceptions.FileSystemNotFound):
        return None


def _plain(value: Any) -> Any:
    """Leave out what AWS chooses, and read policies, which are texts, as the documents that they are."""
    if isinstance(value, dict):
        if "UserData" in value:
            value = value | {"UserData": base64.b64decode(value["UserData"]).decode()}
        return {key: _plain(item) for key, item in value.items() if not LEFT_OUT.fullmatch(str(key))}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    if isinstance(value, str) and value.startswith("{"):
        try:
            return _plain(json.loads(value))
        except ValueError:
            return value
    return value


def _sorted(value: Any) -> Any:
    """AWS's lists have no order of their own."""
    if isinstance(value, dict):
        return {key: _sorted(item) for key, item in value.items()}
    if isinstance(value, list):
        return sorted((_sorted(item) for item in value), key=lambda item: json.dumps(item, sort_keys=True))
    return value
