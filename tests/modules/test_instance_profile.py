"""instance_profile: profile and role are kept, altered and deleted together."""

import json

import pytest

from support.module_life import ModuleLife

NAME = "demo-wordpress"
MANAGED = "arn:aws:iam::aws:policy/AmazonSSMManagedInstanceCore"


def document(action):
    return {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": action, "Resource": "*"}]}


WANTED = {
    "policy": document("s3:GetObject"),
    "managed_policies": [MANAGED],
    "tags": {"stackyard:environment": "demo"},
}


@pytest.fixture
def life(ansible, cloud):
    return ModuleLife(ansible, cloud, "stackyard.aws.instance_profile", {"name": NAME})


def test_from_nothing_to_nothing(life, cloud):
    life.live(WANTED)
    iam = cloud.client("iam")
    profile = iam.get_instance_profile(InstanceProfileName=NAME)["InstanceProfile"]
    assert [role["RoleName"] for role in profile["Roles"]] == [NAME]
    life.live({"state": "absent"})
    assert iam.list_instance_profiles()["InstanceProfiles"] == []
    assert NAME not in {role["RoleName"] for role in iam.list_roles()["Roles"]}


def test_each_property_altered(life, cloud):
    boundary = cloud.client("iam").create_policy(PolicyName="bound", PolicyDocument=json.dumps(document("s3:*")))
    life.alter(
        WANTED,
        [
            ({"policy": document("s3:PutObject")}, "policy of role"),
            ({"managed_policies": []}, "managed policies of role"),
            ({"permissions_boundary": boundary["Policy"]["Arn"]}, "boundary of role"),
        ],
    )
    tagged = life.live(WANTED | {"tags": {"owner": "me"}})
    assert {change["type"] for change in tagged["changes"]} == {"tags of role", "tags of instance profile"}


def test_a_run_cut_off_before_the_role_is_in_the_profile_is_completed(life, cloud):
    cloud.client("iam").create_instance_profile(InstanceProfileName=NAME)
    life.live(WANTED)
    profile = cloud.client("iam").get_instance_profile(InstanceProfileName=NAME)["InstanceProfile"]
    assert [role["RoleName"] for role in profile["Roles"]] == [NAME]
