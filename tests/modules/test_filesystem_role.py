"""The role filesystem: from nothing to nothing, its result, and what it refuses."""

import pytest

TAGS = {"stackyard:environment": "demo", "stackyard:application": "wordpress"}


@pytest.fixture
def variables(cloud):
    ec2 = cloud.client("ec2")
    subnets = sorted(ec2.describe_subnets()["Subnets"], key=lambda subnet: subnet["AvailabilityZone"])[:2]
    group = ec2.create_security_group(GroupName="nfs", Description="nfs", VpcId=subnets[0]["VpcId"])["GroupId"]
    return {
        "filesystem_name": "demo-wordpress",
        "filesystem_tags": TAGS,
        "filesystem_subnet_ids": [subnet["SubnetId"] for subnet in subnets],
        "filesystem_security_group_ids": [group],
        "filesystem_access_points": [{"name": "uploads", "path": "/uploads", "uid": 33, "gid": 33}],
    }


def announced(result):
    return [change for task in result.changed for change in task.result.get("changes", [])]


def test_from_nothing_to_nothing(ansible, cloud, variables):
    cloud.forget_requests()
    checked = ansible.run_role("filesystem", variables, check=True)
    assert cloud.writes() == []
    assert checked.facts["filesystem_result"]["file_system_id"] == "fs-00000000000000000"
    done = ansible.run_role("filesystem", variables)
    assert announced(checked) == announced(done)
    result = done.facts["filesystem_result"]
    assert set(result["access_point_ids"]) == {"uploads"}
    targets = cloud.client("efs").describe_mount_targets(FileSystemId=result["file_system_id"])["MountTargets"]
    assert {target["SubnetId"] for target in targets} == set(variables["filesystem_subnet_ids"])

    cloud.forget_requests()
    again = ansible.run_role("filesystem", variables)
    waited = ansible.run_role("filesystem", variables, tasks_from="wait")
    assert (again.changed, waited.changed, cloud.writes()) == ([], [], [])
    assert again.facts["filesystem_result"] == result

    gone = {key: variables[key] for key in ("filesystem_name", "filesystem_tags")} | {"filesystem_state": "absent"}
    assert ansible.run_role("filesystem", gone).changed
    assert cloud.client("efs").describe_file_systems()["FileSystems"] == []
    assert not ansible.run_role("filesystem", gone).changed


POINT = {"name": "a", "path": "/a", "uid": 1, "gid": 1}


WRONG = [
    ({"filesystem_subnet_ids": []}, "filesystem_subnet_ids is not set: a list of subnets"),
    ({"filesystem_throughput_mode": "fast"}, "value of filesystem_throughput_mode must be one of"),
    ({"filesystem_throughput_mode": "provisioned"}, "filesystem_provisioned_throughput is 0"),
    ({"filesystem_transition_to_archive": "AFTER_7_DAYS"}, "an age greater than filesystem_transition_to_ia"),
    ({"filesystem_access_points": [POINT | {"path": "a"}]}, "path is 'a': an absolute path"),
    ({"filesystem_access_points": [POINT | {"permissions": "0999"}]}, "three or four octal digits"),
    ({"filesystem_access_points": [POINT, POINT]}, "has the name 'a' twice"),
    ({"filesystem_trougput_mode": "elastic"}, "filesystem_throughput_mode is meant"),
]


def test_wrong_input_is_refused(ansible, cloud, variables):
    cloud.forget_requests()
    said = ansible.refusals("filesystem", [variables | wrong for wrong, _ in WRONG])
    assert [(sentence, text) for (_, sentence), text in zip(WRONG, said, strict=True) if sentence not in text] == []
    assert cloud.writes() == []
