"""autoscaling_group: the whole life of a group with its hooks, policies and schedules."""

import pytest

from support.module_life import ModuleLife

NAME = "demo-wordpress"
KIND = "auto scaling group"
HOOKS = [
    {"name": "launch", "transition": "launching", "heartbeat_timeout": 600, "default_result": "ABANDON"},
    {"name": "terminate", "transition": "terminating", "heartbeat_timeout": 120, "default_result": "CONTINUE"},
]
SCHEDULE = {"name": "morning", "recurrence": "0 8 * * 1-5", "time_zone": "Europe/Berlin", "min_size": 3}


@pytest.fixture
def template(cloud):
    ec2 = cloud.client("ec2")
    image = ec2.describe_images(Owners=["amazon", "self"])["Images"][0]["ImageId"]
    data = {"ImageId": image, "InstanceType": "t3.small"}
    ec2.create_launch_template(LaunchTemplateName=NAME, LaunchTemplateData=data)
    return data


@pytest.fixture
def subnet_ids(cloud):
    subnets = cloud.client("ec2").describe_subnets()["Subnets"]
    return [subnet["SubnetId"] for subnet in sorted(subnets, key=lambda subnet: subnet["AvailabilityZone"])][:2]


@pytest.fixture
def target_group_arn(cloud):
    vpc_id = cloud.client("ec2").describe_vpcs()["Vpcs"][0]["VpcId"]
    answer = cloud.client("elbv2").create_target_group(Name=NAME, Protocol="HTTP", Port=80, VpcId=vpc_id)
    return answer["TargetGroups"][0]["TargetGroupArn"]


@pytest.fixture
def wanted(template, subnet_ids, target_group_arn):
    return {
        "launch_template_name": NAME,
        "launch_template_version": "1",
        "subnet_ids": subnet_ids,
        "target_group_arns": [target_group_arn],
        "min_size": 2,
        "max_size": 4,
        "lifecycle_hooks": HOOKS,
        "target_tracking_policies": [{"name": "cpu", "metric": "cpu", "target_value": 60}],
        "scheduled_actions": [SCHEDULE],
        "tags": {"Name": NAME, "stackyard:environment": "demo"},
    }


@pytest.fixture
def life(ansible, cloud):
    return ModuleLife(ansible, cloud, "stackyard.aws.autoscaling_group", {"name": NAME})


def group(cloud):
    return cloud.client("autoscaling").describe_auto_scaling_groups(AutoScalingGroupNames=[NAME])["AutoScalingGroups"][
        0
    ]


def test_a_group_from_nothing_to_nothing(life, cloud, wanted):
    created = life.live(wanted)
    assert [(change["action"], change["type"]) for change in created["changes"]] == [
        ("create", KIND),
        ("update", f"metrics of {KIND}"),
        ("create", "scaling policy"),
        ("create", "scheduled action"),
    ]
    # The hooks come with the group: no machine launches before them.
    writes = [entry for entry in created["changes"] if entry["type"] == "lifecycle hook"]
    assert writes == []
    autoscaling = cloud.client("autoscaling")
    hooks = autoscaling.describe_lifecycle_hooks(AutoScalingGroupName=NAME)["LifecycleHooks"]
    assert {hook["LifecycleHookName"] for hook in hooks} == {"launch", "terminate"}
    found = group(cloud)
    assert (found["MinSize"], found["MaxSize"], found["DesiredCapacity"]) == (2, 4, 2)
    assert all(tag["PropagateAtLaunch"] for tag in found["Tags"])
    life.live({"state": "absent"})
    assert autoscaling.describe_auto_scaling_groups()["AutoScalingGroups"] == []


def test_each_property_altered(life, cloud, wanted, subnet_ids, target_group_arn):
    requests = {
        "name": "requests",
        "metric": "requests",
        "target_value": 500,
        "load_balancer_arn": "arn:aws:elasticloadbalancing:us-east-1:1:loadbalancer/app/demo/0123456789abcdef",
        "target_group_arn": target_group_arn,
    }
    life.alter(
        wanted,
        [
            ({"min_size": 1}, KIND),
            ({"max_size": 6}, KIND),
            ({"subnet_ids": subnet_ids[:1]}, KIND),
            ({"health_check_type": "EC2"}, KIND),
            ({"health_check_grace_period": 90}, KIND),
            ({"default_instance_warmup": 30}, KIND),
            ({"capacity_rebalance": True}, KIND),
            ({"max_instance_lifetime": 86400}, KIND),
            ({"termination_policies": ["OldestLaunchTemplate"]}, KIND),
            ({"suspended_processes": ["AZRebalance"]}, f"suspended processes of {KIND}"),
            ({"metrics": False}, f"metrics of {KIND}"),
            ({"lifecycle_hooks": HOOKS[:1]}, "lifecycle hook"),
            ({"lifecycle_hooks": [HOOKS[0] | {"heartbeat_timeout": 900}]}, "lifecycle hook"),
            ({"target_tracking_policies": [{"name": "cpu", "metric": "cpu", "target_value": 50}]}, "scaling policy"),
            ({"target_tracking_policies": [requests]}, "scaling policy"),
            ({"scheduled_actions": [SCHEDULE | {"desired_capacity": 4}]}, "scheduled action"),
            ({"scheduled_actions": [SCHEDULE]}, "scheduled action"),
            ({"scheduled_actions": []}, "scheduled action"),
            ({"target_group_arns": []}, f"target groups of {KIND}"),
            ({"tags": {"Name": NAME, "owner": "me"}}, f"tags of {KIND}"),
        ],
    )


def test_a_new_version_tells_the_outdated_machines(life, cloud, wanted, template):
    plain = wanted | {"lifecycle_hooks": []}
    life.run(plain)
    ec2 = cloud.client("ec2")
    ec2.create_launch_template_version(LaunchTemplateName=NAME, LaunchTemplateData=template)
    done = life.live(plain | {"launch_template_version": "2"})
    assert [change["type"] for change in done["changes"]] == [f"served versions of {KIND}", KIND]
    machines = {machine["InstanceId"] for machine in group(cloud)["Instances"]}
    assert len(machines) == 2
    assert set(done["outdated_instance_ids"]) == machines


def test_the_number_of_machines_is_kept_or_set(life, cloud, wanted):
    life.run(wanted)
    cloud.client("autoscaling").set_desired_capacity(AutoScalingGroupName=NAME, DesiredCapacity=3)
    kept = {"keep_desired_capacity": True, "desired_capacity": 2}
    assert life.run(wanted | kept)["changes"] == []
    assert group(cloud)["DesiredCapacity"] == 3
    life.live(wanted | {"desired_capacity": 2})
    assert group(cloud)["DesiredCapacity"] == 2
    # A number outside the new sizes moves into them, even when it is kept.
    life.live(wanted | kept | {"min_size": 3, "desired_capacity": 3})
    assert group(cloud)["DesiredCapacity"] == 3


@pytest.mark.parametrize(
    ("altered", "sentence"),
    [
        ({"min_size": 5}, "0 <= min_size <= max_size"),
        ({"desired_capacity": 9}, "desired_capacity 9 does not lie between min_size 2 and max_size 4"),
        ({"subnet_ids": []}, "subnet_ids is empty"),
        ({"suspended_processes": ["Sleep"]}, "value of suspended_processes must be one or more of"),
        (
            {"target_tracking_policies": [{"name": "r", "metric": "requests", "target_value": 1}]},
            "metric is requests but all of the following are missing: load_balancer_arn, target_group_arn",
        ),
        ({"scheduled_actions": [{"name": "x", "recurrence": "0 8 * * *"}]}, "one of the following is required"),
    ],
)
def test_bad_arguments_are_refused(life, wanted, altered, sentence):
    assert sentence in life.refused(wanted | altered)
