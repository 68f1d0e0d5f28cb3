"""The home of Jenkins on a volume, against the control plane: from nothing to nothing, and never beside another."""

import pytest

from support.stack_account import announcements, stack_runs

NAME = "demo-jenkins"
ON_EBS = {"jenkins_stack_home": "ebs", "jenkins_stack_home_gb": 5}


@pytest.fixture
def stack(ansible, cloud):
    return stack_runs(ansible, cloud, "jenkins")


def volumes(cloud):
    return cloud.client("ec2").describe_volumes(Filters=[{"Name": "tag-key", "Values": ["stackyard:home"]}])["Volumes"]


def test_a_home_on_a_volume_from_nothing_to_nothing(stack, cloud):
    ec2, backup = cloud.client("ec2"), cloud.client("backup")
    checked = stack(variables=ON_EBS, check=True)
    assert cloud.writes() == []
    made = stack(variables=ON_EBS)
    assert announcements(checked) == announcements(made)
    [volume] = volumes(cloud)
    assert (volume["Size"], volume["VolumeType"], volume["Encrypted"]) == (5, "gp3", True)
    assert cloud.client("efs").describe_file_systems()["FileSystems"] == []
    [group] = cloud.client("autoscaling").describe_auto_scaling_groups()["AutoScalingGroups"]
    [subnet] = ec2.describe_subnets(SubnetIds=group["VPCZoneIdentifier"].split(","))["Subnets"]
    assert subnet["AvailabilityZone"] == volume["AvailabilityZone"]
    assert [process["ProcessName"] for process in group["SuspendedProcesses"]] == ["HealthCheck"]
    [alarm] = cloud.client("cloudwatch").describe_alarms(AlarmNames=[f"{NAME}-recovery"])["MetricAlarms"]
    assert (alarm["MetricName"], alarm["Period"], alarm["EvaluationPeriods"]) == ("StatusCheckFailed_System", 60, 5)
    assert "arn:aws:automate:us-east-1:ec2:recover" in alarm["AlarmActions"]
    [plan] = backup.list_backup_plans()["BackupPlansList"]
    [listed] = backup.list_backup_selections(BackupPlanId=plan["BackupPlanId"])["BackupSelectionsList"]
    selection = backup.get_backup_selection(BackupPlanId=plan["BackupPlanId"], SelectionId=listed["SelectionId"])
    assert selection["BackupSelection"]["Resources"] == [
        f"arn:aws:ec2:us-east-1:123456789012:volume/{volume['VolumeId']}"
    ]
    cloud.forget_requests()
    assert announcements(stack(variables=ON_EBS)) == []
    assert announcements(stack(variables=ON_EBS, check=True)) == []
    assert cloud.writes() == []

    larger = ON_EBS | {"jenkins_stack_home_gb": 7}
    announced = stack(variables=larger, check=True)
    assert announcements(announced) == announcements(stack(variables=larger))
    assert [entry["Size"] for entry in volumes(cloud)] == [7]

    said = stack(expect_failure=True).messages[-1]
    assert f"jenkins_stack_home is efs, and the home of {NAME} is on {volume['VolumeId']}: ebs is accepted" in said
    said = stack(variables=ON_EBS, expect_failure=True).messages[-1]
    assert f"jenkins_stack_home_gb is 5, and the home's volume {volume['VolumeId']} has 7 GiB" in said

    purge = {"stackyard_confirm": NAME, "stackyard_purge": "true", **larger}
    destroyed = stack("jenkins_destroy", purge)
    assert destroyed.task("Tell what was kept")["msg"] == [f"Nothing is left of {NAME}."]
    assert volumes(cloud) == []
    assert cloud.server_errors() == []


def test_the_last_backup_of_a_volume_is_kept_and_told(stack, cloud):
    stack(variables=ON_EBS)
    destroy = {"stackyard_confirm": NAME, **ON_EBS}
    of_the_volume = [{"Name": "volume-id", "Values": [volumes(cloud)[0]["VolumeId"]]}]
    kept = stack("jenkins_destroy", destroy).task("Tell what was kept")["msg"]
    [snapshot] = cloud.client("ec2").describe_snapshots(Filters=of_the_volume)["Snapshots"]
    assert sum(snapshot["SnapshotId"] in line for line in kept) == 1
    stack("jenkins_destroy", destroy | {"stackyard_purge": "true"})
    assert cloud.client("ec2").describe_snapshots(Filters=of_the_volume)["Snapshots"] == []
    assert cloud.server_errors() == []
