"""rollback.yml: one step back to what served before, machines and image parameter, and no further than the first."""

import pytest

from support.instance_refresh import once_followed

NAME = "demo-wordpress"
PARAMETER = "/stackyard/demo/wordpress/image"
ROLLBACK = "playbooks/rollback.yml"
VARIABLES = {"stackyard_environment": "demo", "stackyard_application": "wordpress", "fleet_warmup": 0}


@pytest.fixture
def images(cloud):
    """Two images of the application."""
    ec2 = cloud.client("ec2")
    tags = [{"Key": "stackyard:application", "Value": "wordpress"}]
    made = []
    for name in ("one", "two"):
        instance = ec2.run_instances(ImageId="ami-12c6146b", MinCount=1, MaxCount=1)["Instances"][0]["InstanceId"]
        image = ec2.create_image(InstanceId=instance, Name=name)["ImageId"]
        ec2.create_tags(Resources=[image], Tags=tags)
        ec2.terminate_instances(InstanceIds=[instance])
        made.append(image)
    return made


@pytest.fixture
def roll_out(ansible, cloud):
    """Roll an image and an instance type out."""
    ec2 = cloud.client("ec2")
    subnets = sorted(ec2.describe_subnets()["Subnets"], key=lambda subnet: subnet["AvailabilityZone"])[:2]
    machines = ec2.create_security_group(GroupName="machines", Description="machines", VpcId=subnets[0]["VpcId"])

    def run(image, instance_type="t3.small", **variables):
        return ansible.run_role(
            "fleet",
            {
                "fleet_name": NAME,
                "fleet_tags": {"stackyard:environment": "demo", "stackyard:application": "wordpress"},
                "fleet_image_id": image,
                "fleet_instance_type": instance_type,
                "fleet_subnet_ids": [subnet["SubnetId"] for subnet in subnets],
                "fleet_security_group_ids": [machines["GroupId"]],
                "fleet_application": "wordpress",
                "fleet_environment": "demo",
                "fleet_region": "us-east-1",
                "fleet_warmup": 0,
                "fleet_cpu_target": 0,
                **variables,
            },
        )

    return run


@pytest.fixture
def return_once(ansible, cloud):
    """Run the playbook as an operator does."""
    connection = cloud.module_defaults["group/aws"]

    def run(**options):
        return ansible.run_playbook(ROLLBACK, extra_vars=VARIABLES | {"stackyard_aws": connection}, **options)

    return run


def serving(cloud):
    """Versions of the machines and of the group, and the image of the parameter."""
    group = cloud.client("autoscaling").describe_auto_scaling_groups(AutoScalingGroupNames=[NAME])
    [found] = group["AutoScalingGroups"]
    machines = {machine["LaunchTemplate"]["Version"] for machine in found["Instances"]}
    parameter = cloud.client("ssm").get_parameter(Name=PARAMETER)["Parameter"]["Value"]
    return machines, found["LaunchTemplate"]["Version"], parameter


def test_one_step_back_and_no_further_than_the_first(cloud, roll_out, return_once, images):
    old, new = images
    roll_out(old)
    roll_out(new)
    roll_out(new, "t3.medium")
    cloud.forget_requests()
    checked = return_once(check=True)
    assert cloud.writes() == []
    done = return_once()
    assert [task.name for task in checked.changed] == [task.name for task in done.changed]
    assert serving(cloud) == ({"2"}, "2", new)
    assert roll_out(new).changed == []

    return_once()
    assert serving(cloud) == ({"1"}, "1", old)
    assert roll_out(old).changed == []

    message = return_once(expect_failure=True).messages[-1]
    assert message == f"Version 1 of {NAME} is the first that is known to have served: there is none to return to."
    assert serving(cloud) == ({"1"}, "1", old)


def test_a_roll_out_under_way_is_turned_back(cloud, roll_out, return_once, images):
    old, new = images
    roll_out(old)
    hold = {"AutoScalingGroupName": NAME, "ScalingProcesses": ["InstanceRefresh"]}
    cloud.client("autoscaling").suspend_processes(**hold)
    roll_out(new, fleet_wait=False, fleet_suspended_processes=["InstanceRefresh"])
    # A refresh that is held is turned back all the same; it goes on as soon as it is looked at.
    with once_followed(cloud, lambda: cloud.client("autoscaling").resume_processes(**hold)):
        return_once()
    assert (
        cloud.client("autoscaling").describe_instance_refreshes(AutoScalingGroupName=NAME)["InstanceRefreshes"][0][
            "Status"
        ]
        == "RollbackSuccessful"
    )
    assert serving(cloud) == ({"1"}, "1", old)


def test_what_is_missing_is_named(ansible, cloud, return_once):
    given = {"stackyard_environment": "demo", "stackyard_aws": cloud.module_defaults["group/aws"]}
    refused = ansible.run_playbook(ROLLBACK, extra_vars=given, expect_failure=True)
    assert "stackyard_application is not set" in refused.messages[0]
    assert f"There is no auto scaling group {NAME}" in return_once(expect_failure=True).messages[-1]
    assert cloud.writes() == []
