"""autoscaling_group_ready: says when machines serve, and why they do not."""

import pytest

from support.module_life import ModuleLife

NAME = "demo-wordpress"


@pytest.fixture
def create(cloud):
    """Create a group of two machines from version 1 of a template."""
    ec2 = cloud.client("ec2")
    subnets = ec2.describe_subnets()["Subnets"][:2]
    image = ec2.describe_images(Owners=["amazon", "self"])["Images"][0]["ImageId"]
    data = {"ImageId": image, "InstanceType": "t3.small"}
    ec2.create_launch_template(LaunchTemplateName=NAME, LaunchTemplateData=data)

    def make(**settings):
        cloud.client("autoscaling").create_auto_scaling_group(
            AutoScalingGroupName=NAME,
            LaunchTemplate={"LaunchTemplateName": NAME, "Version": "1"},
            VPCZoneIdentifier=",".join(subnet["SubnetId"] for subnet in subnets),
            MinSize=2,
            MaxSize=2,
            **settings,
        )
        return subnets[0]["VpcId"]

    return make


@pytest.fixture
def life(ansible, cloud):
    return ModuleLife(ansible, cloud, "stackyard.aws.autoscaling_group_ready", {"name": NAME, "wait_timeout": 4})


def machines(cloud):
    answer = cloud.client("autoscaling").describe_auto_scaling_groups(AutoScalingGroupNames=[NAME])
    return sorted(instance["InstanceId"] for instance in answer["AutoScalingGroups"][0]["Instances"])


def test_machines_in_service_are_ready(life, cloud, create):
    create()
    cloud.forget_requests()
    found = life.run({"wait_timeout": 30, "launch_template_name": NAME, "launch_template_version": "1"})
    assert (found["ready"], found["changed"], found["desired_capacity"]) == (True, False, 2)
    assert sorted(instance["instance_id"] for instance in found["instances"]) == machines(cloud)
    assert found["outdated_instance_ids"] == []
    assert cloud.writes() == []


def test_a_machine_that_does_not_serve_is_named_with_its_console(life, cloud, create):
    vpc_id = cloud.client("ec2").describe_vpcs()["Vpcs"][0]["VpcId"]
    group = cloud.client("elbv2").create_target_group(Name=NAME, Protocol="HTTP", Port=80, VpcId=vpc_id)
    arn = group["TargetGroups"][0]["TargetGroupArn"]
    create()
    autoscaling = cloud.client("autoscaling")
    autoscaling.attach_load_balancer_target_groups(AutoScalingGroupName=NAME, TargetGroupARNs=[arn])
    one, other = machines(cloud)
    cloud.client("elbv2").deregister_targets(TargetGroupArn=arn, Targets=[{"Id": other}])
    message = life.refused({})
    assert f"Machine {other} is " in message
    assert "in the target group" in message
    assert f"Machine {one} is unused in the target group: Target.NotInUse" in message
    assert "last seen: 0 of 2 machines serve" in message
    # This control plane has no machines, so their consoles are empty.
    assert [entry["action"] for entry in cloud.requests()].count("GetConsoleOutput") == 2
    assert life.run({}, check=True)["ready"] is False


def test_an_outdated_machine_without_a_refresh_is_an_error_at_once(life, cloud, create):
    create()
    message = life.refused({"launch_template_name": NAME, "launch_template_version": "2", "wait_timeout": 600})
    assert ", ".join(machines(cloud)) in message
    assert "were not launched from version 2, and no instance refresh is running" in message


def test_a_group_that_is_not_there(life):
    assert f"There is no auto scaling group {NAME}" in life.refused({})
    assert life.run({}, check=True)["ready"] is False
