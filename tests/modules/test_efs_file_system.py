"""efs_file_system: the whole life of a file system, in check mode and for real."""

import json

import pytest

from support.module_life import ModuleLife

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
def life(ansible, cloud):
    return ModuleLife(ansible, cloud, "stackyard.aws.efs_file_system", {"name": NAME})


def test_a_file_system_from_nothing_to_nothing(life, cloud, wanted):
    created = life.live(wanted)
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

    life.live({"state": "absent"})
    assert efs.describe_file_systems()["FileSystems"] == []


def test_each_property_altered(life, wanted):
    life.alter(
        wanted,
        [
            ({"throughput_mode": "bursting"}, "throughput of efs file system"),
            ({"throughput_mode": "provisioned", "provisioned_throughput": 12.0}, "throughput of efs file system"),
            ({"transition_to_ia": "AFTER_7_DAYS"}, "lifecycle of efs file system"),
            ({"transition_to_archive": "never"}, "lifecycle of efs file system"),
            ({"backup": False}, "backup of efs file system"),
            ({"require_tls": False}, "policy of efs file system"),
            ({"require_iam": True}, "policy of efs file system"),
        ],
    )


def test_tags_reach_the_access_points_too(life, wanted):
    life.run(wanted)
    done = life.live(wanted | {"tags": {"owner": "me"}})
    assert {change["type"] for change in done["changes"]} == {"tags of efs file system", "tags of efs access point"}


def test_mount_targets_and_access_points_follow_the_lists(life, cloud, wanted, subnets):
    life.run(wanted)
    ec2 = cloud.client("ec2")
    vpc = ec2.describe_subnets(SubnetIds=[subnets[0]["subnet_id"]])["Subnets"][0]["VpcId"]
    other = ec2.create_security_group(GroupName="other", Description="other", VpcId=vpc)["GroupId"]
    moved = [subnets[1] | {"security_groups": [other]}, subnets[2]]
    done = life.live(wanted | {"mount_targets": moved})
    assert changes(done) == {
        ("delete", "efs mount target", f"{NAME}/{subnets[0]['subnet_id']}"),
        ("update", "efs mount target", f"{NAME}/{subnets[1]['subnet_id']}"),
        ("create", "efs mount target", f"{NAME}/{subnets[2]['subnet_id']}"),
    }
    replaced = {"name": "uploads", "path": "/other", "uid": 33, "gid": 33}
    added = {"name": "themes", "path": "/themes", "uid": 33, "gid": 33}
    done = life.live(wanted | {"mount_targets": moved, "access_points": [replaced, added]})
    assert changes(done) == {
        ("update", "efs access point", f"{NAME}/uploads"),
        ("create", "efs access point", f"{NAME}/themes"),
    }
    done = life.live(wanted | {"mount_targets": moved, "access_points": [added]})
    assert changes(done) == {("delete", "efs access point", f"{NAME}/uploads")}


def test_a_run_cut_off_after_the_first_call_is_completed(life, cloud, wanted):
    system = cloud.client("efs").create_file_system(
        CreationToken=NAME, Encrypted=True, ThroughputMode="elastic", Backup=True
    )
    done = life.live(wanted)
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
def test_bad_arguments_are_refused(life, arguments, sentence):
    assert sentence in life.refused(arguments)


def test_what_aws_cannot_alter_is_refused(life):
    life.run({})
    assert "AWS cannot alter it" in life.refused({"encrypted": False})
