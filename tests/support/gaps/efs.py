"""EFS."""

from typing import Any

import pytest
from botocore.exceptions import ClientError

from support.control_plane import Cloud
from support.gaps import gap


def _file_system(cloud: Cloud) -> tuple[Any, str]:
    efs = cloud.client("efs")
    return efs, efs.create_file_system(CreationToken="token")["FileSystemId"]


@gap("efs")
def the_old_tag_actions_work(cloud: Cloud) -> None:
    efs, file_system = _file_system(cloud)
    efs.create_tags(FileSystemId=file_system, Tags=[{"Key": "a", "Value": "1"}, {"Key": "b", "Value": "2"}])
    efs.delete_tags(FileSystemId=file_system, TagKeys=["b"])
    assert efs.describe_tags(FileSystemId=file_system)["Tags"] == [{"Key": "a", "Value": "1"}]


@gap("efs")
def the_throughput_mode_can_be_changed(cloud: Cloud) -> None:
    efs, file_system = _file_system(cloud)
    efs.update_file_system(FileSystemId=file_system, ThroughputMode="provisioned", ProvisionedThroughputInMibps=8)
    found = efs.describe_file_systems(FileSystemId=file_system)["FileSystems"][0]
    assert (found["ThroughputMode"], found["ProvisionedThroughputInMibps"]) == ("provisioned", 8)
    efs.update_file_system(FileSystemId=file_system, ThroughputMode="elastic")
    found = efs.describe_file_systems(FileSystemId=file_system)["FileSystems"][0]
    assert (found["ThroughputMode"], found.get("ProvisionedThroughputInMibps")) == ("elastic", None)


@gap("efs")
def protection_can_be_set(cloud: Cloud) -> None:
    efs, file_system = _file_system(cloud)
    efs.update_file_system_protection(FileSystemId=file_system, ReplicationOverwriteProtection="DISABLED")
    found = efs.describe_file_systems(FileSystemId=file_system)["FileSystems"][0]
    assert found["FileSystemProtection"] == {"ReplicationOverwriteProtection": "DISABLED"}


@gap("efs")
def backups_can_be_switched(cloud: Cloud) -> None:
    efs, file_system = _file_system(cloud)
    for status in ("ENABLED", "DISABLED"):
        efs.put_backup_policy(FileSystemId=file_system, BackupPolicy={"Status": status})
        assert efs.describe_backup_policy(FileSystemId=file_system)["BackupPolicy"] == {"Status": status}


@gap("efs")
def a_file_system_policy_can_be_deleted(cloud: Cloud) -> None:
    efs, file_system = _file_system(cloud)
    efs.put_file_system_policy(FileSystemId=file_system, Policy='{"Version":"2012-10-17","Statement":[]}')
    for _ in range(2):
        efs.delete_file_system_policy(FileSystemId=file_system)
    with pytest.raises(ClientError, match="PolicyNotFound"):
        efs.describe_file_system_policy(FileSystemId=file_system)


@gap("efs")
def policies_of_an_unknown_file_system_are_not_found(cloud: Cloud) -> None:
    efs = cloud.client("efs")
    with pytest.raises(ClientError, match="FileSystemNotFound"):
        efs.describe_backup_policy(FileSystemId="fs-12345678")
    with pytest.raises(ClientError, match="FileSystemNotFound"):
        efs.describe_file_system_policy(FileSystemId="fs-12345678")


@gap("efs")
def nothing_is_replicated(cloud: Cloud) -> None:
    assert cloud.client("efs").describe_replication_configurations()["Replications"] == []


@gap("efs")
def an_access_point_is_created_once_per_token(cloud: Cloud) -> None:
    efs, file_system = _file_system(cloud)
    efs.create_access_point(ClientToken="once", FileSystemId=file_system)
    with pytest.raises(ClientError, match="AccessPointAlreadyExists"):
        efs.create_access_point(ClientToken="once", FileSystemId=file_system)


@gap("efs")
def an_access_point_needs_a_file_system(cloud: Cloud) -> None:
    with pytest.raises(ClientError, match="FileSystemNotFound"):
        cloud.client("efs").create_access_point(ClientToken="once", FileSystemId="fs-12345678")


@gap("efs")
def access_points_go_with_their_file_system(cloud: Cloud) -> None:
    efs, file_system = _file_system(cloud)
    efs.create_access_point(ClientToken="once", FileSystemId=file_system)
    efs.delete_file_system(FileSystemId=file_system)
    assert efs.describe_access_points()["AccessPoints"] == []


@gap("efs")
def a_mount_target_has_the_default_group(cloud: Cloud) -> None:
    efs, file_system = _file_system(cloud)
    ec2 = cloud.client("ec2")
    subnet = ec2.describe_subnets()["Subnets"][0]
    target = efs.create_mount_target(FileSystemId=file_system, SubnetId=subnet["SubnetId"])["MountTargetId"]
    groups = efs.describe_mount_target_security_groups(MountTargetId=target)["SecurityGroups"]
    names = ec2.describe_security_groups(GroupIds=groups)["SecurityGroups"]
    assert [(group["GroupName"], group["VpcId"]) for group in names] == [("default", subnet["VpcId"])]
