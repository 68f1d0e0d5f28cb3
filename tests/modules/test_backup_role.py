"""The role backup: from nothing to nothing, what it keeps, and how a recovery point is made and restored with it."""

import json

import pytest

NAME = "demo-jenkins"
TAGS = {"stackyard:environment": "demo", "stackyard:application": "jenkins"}


@pytest.fixture
def wanted(cloud):
    tags = [{"Key": key, "Value": value} for key, value in TAGS.items()]
    system = cloud.client("efs").create_file_system(CreationToken="home", Tags=tags)["FileSystemArn"]
    return {"backup_name": NAME, "backup_tags": TAGS, "backup_resources": [system]}


def plans(cloud):
    backup = cloud.client("backup")
    return [
        backup.get_backup_plan(BackupPlanId=plan["BackupPlanId"])["BackupPlan"]
        for plan in backup.list_backup_plans()["BackupPlansList"]
    ]


def vaults(cloud):
    return [vault["BackupVaultName"] for vault in cloud.client("backup").list_backup_vaults()["BackupVaultList"]]


def roles(cloud):
    return [role["RoleName"] for role in cloud.client("iam").list_roles()["Roles"]]


def test_life_of_backups(ansible, cloud, wanted):
    checked = ansible.run_role("backup", wanted, check=True)
    assert [task.action for task in checked.changed] == [
        "stackyard.aws.backup_vault",
        "stackyard.aws.service_role",
        "stackyard.aws.backup_plan",
    ]
    assert cloud.writes() == ["efs:CreateFileSystem"]

    result = ansible.run_role("backup", wanted).facts["backup_result"]
    assert cloud.server_errors() == []
    [plan] = plans(cloud)
    rule = plan["Rules"][0]
    assert (rule["ScheduleExpression"], rule["Lifecycle"]) == ("cron(0 5 ? * * *)", {"DeleteAfterDays": 30})
    assert rule["TargetBackupVaultName"] == result["vault"] == NAME
    backup, iam = cloud.client("backup"), cloud.client("iam")
    [listed] = backup.list_backup_selections(BackupPlanId=result["plan_id"])["BackupSelectionsList"]
    selection = backup.get_backup_selection(BackupPlanId=result["plan_id"], SelectionId=listed["SelectionId"])
    assert selection["BackupSelection"]["Resources"] == wanted["backup_resources"]
    assert selection["BackupSelection"]["IamRoleArn"] == result["role_arn"]
    document = iam.get_role_policy(RoleName=f"{NAME}-backup", PolicyName="service")["PolicyDocument"]
    document = json.loads(document) if isinstance(document, str) else document
    allowed = {
        action: statement["Resource"]
        for statement in document["Statement"]
        for action in ([statement["Action"]] if isinstance(statement["Action"], str) else statement["Action"])
    }
    assert allowed["elasticfilesystem:Backup"] == wanted["backup_resources"]
    # Nothing is made or deleted but recovery points.
    assert not [action for action in allowed if "Create" in action or "Delete" in action]

    cloud.forget_requests()
    assert ansible.run_role("backup", wanted).changed == []
    assert ansible.run_role("backup", wanted, check=True).changed == []
    assert cloud.writes() == []

    boundary = iam.create_policy(PolicyName="boundary", PolicyDocument=json.dumps(document))["Policy"]["Arn"]
    altered = wanted | {
        "backup_retention_days": 0,
        "backup_schedule": "cron(30 2 ? * * *)",
        "backup_permissions_boundary": boundary,
    }
    for check in (True, False):
        assert [task.action for task in ansible.run_role("backup", altered, check=check).changed] == [
            "stackyard.aws.service_role",
            "stackyard.aws.backup_plan",
        ]
    rule = plans(cloud)[0]["Rules"][0]
    assert ("Lifecycle" in rule, rule["ScheduleExpression"]) == (False, "cron(30 2 ? * * *)")
    role = iam.get_role(RoleName=f"{NAME}-backup")["Role"]
    assert role["PermissionsBoundary"]["PermissionsBoundaryArn"] == boundary
    ansible.run_role("backup", wanted)
    assert "PermissionsBoundary" not in iam.get_role(RoleName=f"{NAME}-backup")["Role"]


def test_recovery_points_stay_until_they_are_purged(ansible, cloud, wanted):
    tasks = [
        {"name": "Back up", "ansible.builtin.import_role": {"name": "stackyard.aws.backup"}, "vars": wanted},
        {
            "name": "Make a recovery point",
            "stackyard.aws.recovery_point": {
                "name": "first",
                "vault": "{{ backup_result.vault }}",
                "resource_arn": wanted["backup_resources"][0],
                "iam_role_arn": "{{ backup_result.role_arn }}",
            },
            "register": "point",
        },
        {
            "name": "Restore it",
            "stackyard.aws.efs_restore": {
                "recovery_point_arn": "{{ point.arn }}",
                "vault": "{{ backup_result.vault }}",
                "iam_role_arn": "{{ backup_result.role_arn }}",
                "token": "drill",
            },
        },
    ]
    done = ansible.run_tasks(tasks)
    point = done.task("Make a recovery point")["arn"]
    assert done.task("Restore it")["directory_pattern"] == "/aws-backup-restore_*"

    absent = wanted | {"backup_state": "absent"}
    checked = ansible.run_role("backup", absent, check=True)
    assert [task.action for task in checked.changed] == ["stackyard.aws.backup_plan", "stackyard.aws.service_role"]
    removed = ansible.run_role("backup", absent)
    assert point in removed.task("Tell what is kept")["msg"]
    assert (plans(cloud), vaults(cloud), roles(cloud)) == ([], [NAME], [])
    assert ansible.run_role("backup", absent).changed == []

    purged = ansible.run_role("backup", absent | {"backup_purge": True})
    assert [task.action for task in purged.changed] == ["stackyard.aws.backup_vault"]
    assert vaults(cloud) == []
    assert ansible.run_role("backup", absent | {"backup_purge": True}).changed == []


def test_refusals(ansible, cloud, wanted):
    cloud.forget_requests()
    said = ansible.refusals("backup", [wanted | {"backup_start_window": 30}, wanted | {"backup_retention": 7}])
    assert "backup_start_window is 30" in said[0]
    assert "backup_retention is no variable of the role backup: backup_retention_days is meant" in said[1]
    assert cloud.writes() == []
