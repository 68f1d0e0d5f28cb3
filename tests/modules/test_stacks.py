"""Each whole stack against the control plane: announced, made, repeated, destroyed, and then what was kept too.

What runs on machines is not here (tests/stacks): without machines nothing completes a launch hook, so the play does not
wait for the fleet.
"""

import json
import re

import pytest

from support.stack_account import announcements, stack_runs

# What the local inventory leaves out and an account would have.
OPTIONS = {
    "wordpress": {
        "wordpress_stack_filesystem_backup": True,
        "wordpress_stack_schedules": [{"name": "night", "recurrence": "0 22 * * *", "min_size": 2, "max_size": 2}],
    },
    "etherpad": {"etherpad_stack_database_engine": "postgres", "etherpad_stack_database_engine_version": "17"},
    "jenkins": {
        "jenkins_stack_filesystem_throughput": "bursting",
        "jenkins_stack_alarms_subscribers": [{"protocol": "email", "endpoint": "operators@example.com"}],
    },
}
AUTOMATIC = "aws/efs/automatic-backup-vault"
# How many values must not be seen anywhere.
SECRETS = {"wordpress": 10, "etherpad": 4, "jenkins": 1}


@pytest.fixture(params=OPTIONS)
def application(request):
    return request.param


@pytest.fixture
def stack(ansible, cloud, application):
    """Runs a playbook of the stack, by default the one that makes it; an image is there, as after a bake."""
    return stack_runs(ansible, cloud, application, **OPTIONS[application])


def left(cloud, name):
    """Every resource of EC2 and its neighbours that carries the stack's name, but what is kept."""
    ec2, filters = cloud.client("ec2"), [{"Name": "tag:stackyard:environment", "Values": ["demo"]}]
    found = [v["VpcId"] for v in ec2.describe_vpcs(Filters=filters)["Vpcs"]]
    found += [g["GroupId"] for g in ec2.describe_security_groups(Filters=filters)["SecurityGroups"]]
    found += [a["AllocationId"] for a in ec2.describe_addresses(Filters=filters)["Addresses"]]
    found += [t["LaunchTemplateId"] for t in ec2.describe_launch_templates(Filters=filters)["LaunchTemplates"]]
    found += [b["LoadBalancerName"] for b in cloud.client("elbv2").describe_load_balancers()["LoadBalancers"]]
    found += [t["TargetGroupName"] for t in cloud.client("elbv2").describe_target_groups()["TargetGroups"]]
    found += [d["DBInstanceIdentifier"] for d in cloud.client("rds").describe_db_instances()["DBInstances"]]
    found += [f["FileSystemId"] for f in cloud.client("efs").describe_file_systems()["FileSystems"]]
    found += cloud.client("dynamodb").list_tables()["TableNames"]
    found += [s["Name"] for s in cloud.client("secretsmanager").list_secrets()["SecretList"]]
    found += [r["RoleName"] for r in cloud.client("iam").list_roles()["Roles"] if r["RoleName"] == name]
    groups = cloud.client("autoscaling").describe_auto_scaling_groups()["AutoScalingGroups"]
    return found + [g["AutoScalingGroupName"] for g in groups]


def secret_values(cloud):
    """Every value that must not be seen anywhere."""
    client = cloud.client("secretsmanager")
    values = []
    for entry in client.list_secrets()["SecretList"]:
        fields = json.loads(client.get_secret_value(SecretId=entry["Name"])["SecretString"])
        values += [value for name, value in fields.items() if name != "username"]
    return values


def vaults(cloud):
    """Names of all vaults of AWS Backup."""
    return [vault["BackupVaultName"] for vault in cloud.client("backup").list_backup_vaults()["BackupVaultList"]]


def recovery_points(cloud, vault):
    """What the stack's own vault holds."""
    if vault not in vaults(cloud):
        return []
    found = cloud.client("backup").list_recovery_points_by_backup_vault(BackupVaultName=vault)["RecoveryPoints"]
    return [point["RecoveryPointArn"] for point in found]


def back_up(cloud):
    """Have AWS back the file systems up, as it does by itself where that is on; returns the recovery points."""
    if AUTOMATIC not in vaults(cloud):
        return []
    return [
        cloud.client("backup").start_backup_job(
            BackupVaultName=AUTOMATIC,
            ResourceArn=files["FileSystemArn"],
            IamRoleArn="arn:aws:iam::1:role/backup",
        )["RecoveryPointArn"]
        for files in cloud.client("efs").describe_file_systems()["FileSystems"]
    ]


@pytest.mark.long
def test_life_of_the_stack(stack, cloud, application):
    name = f"demo-{application}"
    confirm, destroy = {"stackyard_confirm": name}, f"{application}_destroy"
    announced = stack(check=True)
    assert cloud.writes() == []
    created = stack(more=("-vvv",))
    assert announcements(announced) == announcements(created)
    assert cloud.server_errors() == []
    scheduled = cloud.client("autoscaling").describe_scheduled_actions()["ScheduledUpdateGroupActions"]
    wanted = OPTIONS[application].get(f"{application}_stack_schedules", [])
    assert [action["ScheduledActionName"] for action in scheduled] == [schedule["name"] for schedule in wanted]

    values = secret_values(cloud)
    assert len(values) == SECRETS[application]
    shown = created.stdout + created.stderr
    assert [value for value in values if value in shown] == []
    templates = cloud.client("ec2").describe_launch_template_versions(LaunchTemplateName=name)["LaunchTemplateVersions"]
    assert not [v for v in values if v in json.dumps(templates, default=str)]

    cloud.forget_requests()
    assert announcements(stack()) == []
    # ec2:RunInstances and the like: nothing that a second run might do by the way.
    assert [w for w in cloud.writes() if re.search(r":(Create|Run|Put|Modify|Allocate|Delete)", w)] == []

    databases = cloud.client("rds").describe_db_instances()["DBInstances"]
    assert all(database["DeletionProtection"] for database in databases)
    backups = back_up(cloud)
    announced = stack(destroy, confirm, check=True)
    destroyed = stack(destroy, confirm)
    assert announcements(announced) == announcements(destroyed)
    assert left(cloud, name) == []
    again = stack(destroy, confirm)
    assert announcements(again) == []
    kept = cloud.client("rds").describe_db_snapshots()["DBSnapshots"]
    assert [{t["Key"]: t["Value"] for t in s["TagList"]}["stackyard:keep"] for s in kept] == ["true" for _ in databases]
    told = again.task("Tell what was kept")["msg"]
    assert all(snapshot["DBSnapshotIdentifier"] in told for snapshot in kept)
    assert f"/stackyard/demo/{application}/image" in told
    points = recovery_points(cloud, name)
    assert len(points) == len([entry for entry in announcements(destroyed) if entry[1] == "recovery point"])
    assert all(backup in told for backup in backups + points)

    purged = stack(destroy, confirm | {"stackyard_purge": "true"})
    told = purged.task("Tell what was kept")["msg"]
    assert told[0].startswith("Kept by AWS" if backups else f"Nothing is left of {name}")
    assert told[1:] == backups
    assert left(cloud, name) == []
    assert name not in vaults(cloud)
    assert cloud.client("cloudwatch").describe_alarms()["MetricAlarms"] == []
    assert len(cloud.client("rds").describe_db_snapshots()["DBSnapshots"]) == 0
    assert cloud.client("ec2").describe_images(Owners=["self"])["Images"] == []
    assert cloud.client("ssm").describe_parameters()["Parameters"] == []
