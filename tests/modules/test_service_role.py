"""service_role: a role for a service from nothing to nothing; what it shares with a machine's is seen with that."""

import json

import pytest

from support.module_life import ModuleLife

NAME = "demo-jenkins-backup"
POLICY = {
    "Version": "2012-10-17",
    "Statement": [{"Effect": "Allow", "Action": "elasticfilesystem:Backup", "Resource": "*"}],
}
OTHER = POLICY | {"Statement": [POLICY["Statement"][0] | {"Action": "elasticfilesystem:Restore"}]}
WANTED = {"service": "backup.amazonaws.com", "policy": POLICY, "tags": {"stackyard:environment": "demo"}}


@pytest.fixture
def life(ansible, cloud):
    return ModuleLife(ansible, cloud, "stackyard.aws.service_role", {"name": NAME})


def test_a_role_from_nothing_to_nothing(life, cloud):
    created = life.live(WANTED)
    assert [change["type"] for change in created["changes"]] == ["role", "policy of role"]
    iam = cloud.client("iam")
    role = iam.get_role(RoleName=NAME)["Role"]
    assert created["arn"] == role["Arn"]
    assert role["AssumeRolePolicyDocument"]["Statement"][0]["Principal"] == {"Service": "backup.amazonaws.com"}
    boundary = iam.create_policy(PolicyName="boundary", PolicyDocument=json.dumps(POLICY))["Policy"]["Arn"]
    life.alter(
        WANTED,
        [
            ({"service": "ec2.amazonaws.com"}, "trust of role"),
            ({"policy": OTHER}, "policy of role"),
            ({"managed_policies": [boundary]}, "managed policies of role"),
            ({"permissions_boundary": boundary}, "boundary of role"),
            ({"tags": {"owner": "me"}}, "tags of role"),
        ],
    )
    life.live({"state": "absent"})
    assert iam.list_roles()["Roles"] == []


def test_bad_arguments_are_refused(life):
    assert "service" in life.refused({})
