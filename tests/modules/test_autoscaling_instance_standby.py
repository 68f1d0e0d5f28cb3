"""autoscaling_instance_standby: out of service and back, within the group's sizes and after a cut."""

import pytest

from support.module_life import ModuleLife

NAME = "demo-wordpress"


@pytest.fixture
def machine(cloud):
    """One machine of a group of two that may not have fewer, behind a target group."""
    ec2 = cloud.client("ec2")
    subnets = ec2.describe_subnets()["Subnets"][:2]
    image = ec2.describe_images(Owners=["amazon", "self"])["Images"][0]["ImageId"]
    data = {"ImageId": image, "InstanceType": "t3.small"}
    ec2.create_launch_template(LaunchTemplateName=NAME, LaunchTemplateData=data)
    autoscaling = cloud.client("autoscaling")
    autoscaling.create_auto_scaling_group(
        AutoScalingGroupName=NAME,
        LaunchTemplate={"LaunchTemplateName": NAME, "Version": "1"},
        VPCZoneIdentifier=",".join(subnet["SubnetId"] for subnet in subnets),
        MinSize=2,
        MaxSize=2,
        Tags=[{"Key": "Name", "Value": NAME, "PropagateAtLaunch": True}],
    )
    return str(group(cloud)["Instances"][0]["InstanceId"])


@pytest.fixture
def life(ansible, cloud, machine):
    common = {"instance_id": machine, "wait_timeout": 20}
    return ModuleLife(ansible, cloud, "stackyard.aws.autoscaling_instance_standby", common)


def group(cloud):
    answer = cloud.client("autoscaling").describe_auto_scaling_groups(AutoScalingGroupNames=[NAME])
    return answer["AutoScalingGroups"][0]


def states(cloud):
    return {entry["InstanceId"]: entry["LifecycleState"] for entry in group(cloud)["Instances"]}


def test_out_of_service_and_back(life, cloud, machine):
    out = life.live({"state": "standby"})
    assert (out["group"], states(cloud)[machine]) == (NAME, "Standby")
    assert (group(cloud)["MinSize"], group(cloud)["DesiredCapacity"], len(states(cloud))) == (1, 1, 2)
    life.live({"state": "in_service"})
    assert states(cloud)[machine] == "InService"
    assert (group(cloud)["MinSize"], group(cloud)["DesiredCapacity"], len(states(cloud))) == (2, 2, 2)
    assert {tag["Key"] for tag in group(cloud)["Tags"]} == {"Name"}


def test_what_was_cut_off_is_completed(life, cloud, machine):
    """The least size was noted and lowered, and nothing more."""
    life.run({"state": "standby"})
    autoscaling = cloud.client("autoscaling")
    autoscaling.exit_standby(AutoScalingGroupName=NAME, InstanceIds=[machine])
    life.run({"state": "standby"})
    life.run({"state": "in_service"})
    assert (group(cloud)["MinSize"], {tag["Key"] for tag in group(cloud)["Tags"]}) == (2, {"Name"})


def test_a_machine_of_no_group_is_left_alone(life, cloud, machine):
    ec2 = cloud.client("ec2")
    image = ec2.describe_images(Owners=["amazon", "self"])["Images"][0]["ImageId"]
    alone = ec2.run_instances(ImageId=image, MinCount=1, MaxCount=1)["Instances"][0]["InstanceId"]
    found = life.run({"instance_id": alone, "state": "standby"})
    assert (found["changed"], found["group"]) == (False, "")
