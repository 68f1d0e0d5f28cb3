"""efs_file_system: the whole life of a file system, in check mode and for real."""

import json

import pytest

NAME = "demo-wordpress"


@pytest.fixture
def subnets(cloud):
    ec2 = cloud.client("ec2")
    found = sorted(ec2.describe_subnets()["Subnets"], key=lambda subnet: subnet["AvailabilityZone"])
    group = ec2.create_security_group(GroupName="nfs", Description="nfs", VpcId=found[0]["VpcId"])["GroupId"]
    return [{"subnet_id": subnet["SubnetId"], "security_groups": [group]} for subnet in found[:3]]


@pytest.fixture
def wanted(subnets):
    return {
        "name": NAME,
        "transition_to_ia": "AFTER_30_DAYS",
        "transition_to_archive": "AFTER_90_DAYS",
        "transition_to_standard": "AFTER_1_ACCESS",
        "mount_targets": subnets[:2],
        "access_points": [{"name": "uploads", "path": "/uploads", "uid": 33, "gid": 33, "permissions": "0750"}],
        "tags": {"stackyard:environment": "demo", "stackyard:application": "wordpress"},
    }


def changes(result):
    return {(change["action"], change["type"], change["name"]) for change in result["changes"]}


@pytest.fixture
def apply(ansible):
    def run(arguments, check=False, **options):
        task = {"name": "Run", "stackyard.aws.efs_file_system": arguments}
        return ansible.run_tasks([task], check=check, **options).last

    return run


def check_then_do(apply, cloud, arguments):
    """A check announces what the run then does, without a write; a second run does nothing."""
    cloud.forget_requests()
    announced = apply(arguments, check=True)
    assert cloud.writes() == []
    done = apply(arguments)
    assert announced["changes"] == done["changes"]
    assert announced["diff"] == done["diff"] or announced.get("file_system_id") == "fs-00000000000000000"
    cloud.forget_requests()
    again = apply(arguments)
    assert (again["changed"], again["changes"], cloud.writes()) == (False, [], [])
    assert not apply(arguments, check=True)["changed"]
    assert cloud.server_errors() == []
    return done


def test_a_file_system_from_nothing_to_nothing(apply, cloud, wanted):
    created = check_then_do(apply, cloud, wanted)
    assert {change[:2] for change in changes(created)} == {
        ("create", "efs file system"),
        ("update", "lifecycle of efs file system"),
        ("update", "policy of efs file system"),
        ("create", "efs mount target"),
        ("create", "efs access point"),
    }
    efs = cloud.client("efs")
    system = efs.describe_file_systems(CreationToken=NAME)["FileSystems"][0]
    assert (system["Encrypted"], system["ThroughputMode"], system["Name"]) == (True, "elastic", NAME)
    file_system_id = created["file_system_id"]
    assert created["dns_name"] == f"{file_system_id}.efs.us-east-1.amazonaws.com"
    assert efs.describe_backup_policy(FileSystemId=file_system_id)["BackupPolicy"]["Status"] in ("ENABLED", "ENABLING")
    policy = json.loads(efs.describe_file_system_policy(FileSystemId=file_system_id)["Policy"])
    denied = [statement for statement in policy["Statement"] if statement["Effect"] == "Deny"]
    assert denied[0]["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}
    points = efs.describe_access_points(FileSystemId=file_system_id)["AccessPoints"]
    assert [point["PosixUser"] for point in points] == [{"Uid": 33, "Gid": 33}]
    assert created["access_point_ids"] == {"uploads": points[0]["AccessPointId"]}
    assert {target["state"] for target in created["mount_targets"]} == {"available"}

    check_then_do(apply, cloud, {"name": NAME, "state": "absent"})
    assert efs.describe_file_systems()["FileSystems"] == []


@pytest.mark.parametrize(
    ("alteration", "expected"),
    [
        ({"throughput_mode": "bursting"}, "throughput of efs file system"),
        ({"throughput_mode": "provisioned", "provisioned_throughput": 12.0}, "throughput of efs file system"),
        ({"transition_to_ia": "AFTER_7_DAYS"}, "lifecycle of efs file system"),
        ({"transition_to_archive": "never"}, "lifecycle of efs file system"),
        ({"backup": False}, "backup of efs file system"),
        ({"require_tls": False}, "policy of efs file system"),
        ({"require_iam": True}, "policy of efs file system"),
        ({"tags": {"stackyard:environment": "demo", "owner": "me"}}, "tags of efs file system"),
    ],
)
def test_one_property_altered(apply, cloud, wanted, alteration, expected):
    apply(wanted)
    done = check_then_do(apply, cloud, wanted | alteration)
    assert expected in {change["type"] for change in done["changes"]}
    assert "efs mount target" not in {change["type"] for change in done["changes"]}


def test_mount_targets_and_access_points_follow_the_lists(apply, cloud, wanted, subnets):
    apply(wanted)
    ec2 = cloud.client("ec2")
    vpc = ec2.describe_subnets(SubnetIds=[subnets[0]["subnet_id"]])["Subnets"][0]["VpcId"]
    other = ec2.create_security_group(GroupName="other", Description="other", VpcId=vpc)["GroupId"]
    moved = [subnets[1] | {"security_groups": [other]}, subnets[2]]
    done = check_then_do(apply, cloud, wanted | {"mount_targets": moved})
    assert changes(done) == {
        ("delete", "efs mount target", f"{NAME}/{subnets[0]['subnet_id']}"),
        ("update", "efs mount target", f"{NAME}/{subnets[1]['subnet_id']}"),
        ("create", "efs mount target", f"{NAME}/{subnets[2]['subnet_id']}"),
    }
    replaced = {"name": "uploads", "path": "/other", "uid": 33, "gid": 33}
    added = {"name": "themes", "path": "/themes", "uid": 33, "gid": 33}
    done = check_then_do(apply, cloud, wanted | {"mount_targets": moved, "access_points": [replaced, added]})
    assert changes(done) == {
        ("update", "efs access point", f"{NAME}/uploads"),
        ("create", "efs access point", f"{NAME}/themes"),
    }
    done = check_then_do(apply, cloud, wanted | {"mount_targets": moved, "access_points": [added]})
    assert changes(done) == {("delete", "efs access point", f"{NAME}/uploads")}


def test_a_run_cut_off_after_the_first_call_is_completed(apply, cloud, wanted):
    system = cloud.client("efs").create_file_system(
        CreationToken=NAME, Encrypted=True, ThroughputMode="elastic", Backup=True
    )
    done = check_then_do(apply, cloud, wanted)
    assert done["file_system_id"] == system["FileSystemId"]
    assert len(cloud.client("efs").describe_file_systems()["FileSystems"]) == 1


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"throughput_mode": "provisioned"}, "provisioned_throughput"),
        ({"provisioned_throughput": 5.0}, "provisioned_throughput goes with throughput_mode: provisioned only"),
        ({"transition_to_ia": "AFTER_8_DAYS"}, "value of transition_to_ia must be one of"),
    ],
)
def test_bad_arguments_are_refused(apply, cloud, arguments, sentence):
    assert sentence in apply({"name": NAME} | arguments, expect_failure=True)["msg"]
    assert cloud.writes() == []


def test_what_aws_cannot_alter_is_refused(apply, cloud):
    apply({"name": NAME})
    cloud.forget_requests()
    assert "AWS cannot alter it" in apply({"name": NAME, "encrypted": False}, expect_failure=True)["msg"]
    assert cloud.writes() == []
