"""backup_plan: the whole life of a plan with its selections, in check mode and for real."""

import json
import threading
import time

import pytest

from support.module_life import ModuleLife

NAME = "demo-jenkins"
HOME = "arn:aws:elasticfilesystem:us-east-1:123456789012:file-system/fs-0123456789abcdef0"
OTHER = HOME[:-1] + "1"
TRUST = {
    "Version": "2012-10-17",
    "Statement": [
        {"Effect": "Allow", "Principal": {"Service": "backup.amazonaws.com"}, "Action": "sts:AssumeRole"},
    ],
}


def make_role(cloud, name="demo-jenkins-backup"):
    role = cloud.client("iam").create_role(RoleName=name, AssumeRolePolicyDocument=json.dumps(TRUST))
    return role["Role"]["Arn"]


@pytest.fixture
def life(ansible, cloud):
    return ModuleLife(ansible, cloud, "stackyard.aws.backup_plan", {"name": NAME})


@pytest.fixture
def wanted(cloud):
    return {
        "rules": [
            {
                "name": "daily",
                "vault": NAME,
                "delete_after_days": 30,
                # Keys that another spelling of the API would not keep as they are.
                "recovery_point_tags": {"stackyard:keep": "true", "costCentre": "ci"},
            }
        ],
        "selections": [{"name": "home", "iam_role_arn": make_role(cloud), "resources": [HOME]}],
        "tags": {"stackyard:environment": "demo"},
    }


def selections(cloud, plan_id):
    backup = cloud.client("backup")
    listed = backup.list_backup_selections(BackupPlanId=plan_id)["BackupSelectionsList"]
    found = [
        backup.get_backup_selection(BackupPlanId=plan_id, SelectionId=entry["SelectionId"])["BackupSelection"]
        for entry in listed
    ]
    return {selection["SelectionName"]: selection["Resources"] for selection in found}


def test_a_plan_from_nothing_to_nothing(life, cloud, wanted):
    created = life.live(wanted)
    assert [(change["action"], change["type"]) for change in created["changes"]] == [
        ("create", "backup plan"),
        ("create", "backup selection"),
    ]
    backup = cloud.client("backup")
    plan = backup.get_backup_plan(BackupPlanId=created["plan_id"])
    [rule] = plan["BackupPlan"]["Rules"]
    assert rule.pop("RuleId")
    assert rule == {
        "RuleName": "daily",
        "TargetBackupVaultName": NAME,
        "ScheduleExpression": "cron(0 5 ? * * *)",
        "ScheduleExpressionTimezone": "Etc/UTC",
        "StartWindowMinutes": 480,
        "CompletionWindowMinutes": 10080,
        "Lifecycle": {"DeleteAfterDays": 30},
        "RecoveryPointTags": {"stackyard:keep": "true", "costCentre": "ci"},
    }
    assert created["arn"] == plan["BackupPlanArn"]
    assert backup.list_tags(ResourceArn=plan["BackupPlanArn"])["Tags"] == {"stackyard:environment": "demo"}
    assert selections(cloud, created["plan_id"]) == {"home": [HOME]}

    life.live({"state": "absent"})
    assert backup.list_backup_plans()["BackupPlansList"] == []
    # The name is free again.
    life.run(wanted)


def test_each_property_altered(life, cloud, wanted):
    rule, selection = wanted["rules"][0], wanted["selections"][0]
    changed = [
        {"schedule": "cron(30 2 ? * * *)"},
        {"timezone": "Europe/Berlin"},
        {"start_window": 60},
        {"completion_window": 240},
        {"delete_after_days": 7},
        {"recovery_point_tags": {}},
        {"vault": "another"},
    ]
    other = make_role(cloud, "other")
    life.alter(
        wanted,
        [({"rules": [rule | change]}, "rules of backup plan") for change in changed]
        + [
            ({"selections": [selection | {"resources": [HOME, OTHER]}]}, "backup selection"),
            ({"selections": [selection | {"iam_role_arn": other}]}, "backup selection"),
            ({"tags": {"owner": "me"}}, "tags of backup plan"),
        ],
    )


def test_selections_follow_the_list(life, cloud, wanted):
    plan_id = life.run(wanted)["plan_id"]
    role = wanted["selections"][0]["iam_role_arn"]
    done = life.live(wanted | {"selections": [{"name": "other", "iam_role_arn": role, "resources": [OTHER]}]})
    assert [(change["action"], change["name"]) for change in done["changes"]] == [
        ("delete", f"{NAME}/home"),
        ("create", f"{NAME}/other"),
    ]
    assert selections(cloud, plan_id) == {"other": [OTHER]}
    # The order of resources is none.
    both = wanted | {"selections": [{"name": "other", "iam_role_arn": role, "resources": [OTHER, HOME]}]}
    life.live(both)
    both["selections"][0]["resources"].reverse()
    assert life.run(both)["changed"] is False
    assert life.run({"rules": wanted["rules"], "tags": wanted["tags"]})["changed"] is False


def test_a_role_that_is_not_known_yet_is_awaited(life, cloud, wanted):
    wanted["selections"][0]["iam_role_arn"] = "arn:aws:iam::123456789012:role/late"

    def make_it_known():
        while "CreateBackupSelection" not in str(cloud.writes()):
            time.sleep(0.05)
        make_role(cloud, "late")

    maker = threading.Thread(target=make_it_known, daemon=True)
    maker.start()
    done = life.run(wanted)
    maker.join()
    assert selections(cloud, done["plan_id"]) == {"home": [HOME]}
    wanted["selections"][0]["iam_role_arn"] += "r"
    message = life.run(wanted | {"wait_timeout": 1}, expect_failure=True)["msg"]
    assert "cannot be assumed by AWS Backup" in message
    assert "trust backup.amazonaws.com" in message


def test_bad_arguments_are_refused(life):
    assert "rules" in life.refused({})
