"""elb_target_group: the whole life of a target group, in check mode and for real."""

import pytest

from support.module_life import ModuleLife

NAME = "demo-wordpress"


@pytest.fixture
def vpc_id(cloud):
    return cloud.client("ec2").describe_vpcs()["Vpcs"][0]["VpcId"]


@pytest.fixture
def life(ansible, cloud, vpc_id):
    return ModuleLife(ansible, cloud, "stackyard.aws.elb_target_group", {"name": NAME, "vpc_id": vpc_id})


WANTED = {"health_check_path": "/healthz", "tags": {"stackyard:environment": "demo"}}


def test_a_target_group_from_nothing_to_nothing(cloud, life):
    created = life.live(WANTED)
    assert [change["action"] for change in created["changes"]] == ["create"]
    elbv2 = cloud.client("elbv2")
    group = elbv2.describe_target_groups(Names=[NAME])["TargetGroups"][0]
    assert (group["HealthCheckPath"], group["Matcher"]["HttpCode"]) == ("/healthz", "200")
    attributes = elbv2.describe_target_group_attributes(TargetGroupArn=created["arn"])["Attributes"]
    assert {"Key": "deregistration_delay.timeout_seconds", "Value": "60"} in attributes
    life.live({"state": "absent"})
    assert elbv2.describe_target_groups()["TargetGroups"] == []


def test_each_property_altered(life):
    life.alter(
        WANTED,
        [
            ({"health_check_path": "/other"}, "health check of target group"),
            ({"health_check_matcher": "200-299"}, "health check of target group"),
            ({"health_check_interval": 30}, "health check of target group"),
            ({"health_check_timeout": 3}, "health check of target group"),
            ({"healthy_threshold": 5}, "health check of target group"),
            ({"unhealthy_threshold": 2}, "health check of target group"),
            ({"deregistration_delay": 15}, "attributes of target group"),
            ({"slow_start": 60}, "attributes of target group"),
            ({"algorithm": "least_outstanding_requests"}, "attributes of target group"),
            ({"stickiness": 3600}, "attributes of target group"),
            ({"tags": {"owner": "me"}}, "tags of target group"),
        ],
    )


def test_the_targets_are_left_alone(cloud, life):
    ec2, elbv2 = cloud.client("ec2"), cloud.client("elbv2")
    arn = life.run(WANTED)["arn"]
    image = ec2.describe_images(Owners=["self", "amazon"])["Images"][0]["ImageId"]
    machine = ec2.run_instances(ImageId=image, MinCount=1, MaxCount=1)["Instances"][0]["InstanceId"]
    elbv2.register_targets(TargetGroupArn=arn, Targets=[{"Id": machine}])
    life.run(WANTED | {"deregistration_delay": 5})
    health = elbv2.describe_target_health(TargetGroupArn=arn)["TargetHealthDescriptions"]
    assert [item["Target"]["Id"] for item in health] == [machine]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"health_check_path": "healthz"}, "health_check_path must begin with a slash"),
        ({"health_check_timeout": 10}, "health_check_timeout must be less than health_check_interval"),
        ({"protocol": "TCP"}, "value of protocol must be one of"),
    ],
)
def test_bad_arguments_are_refused(life, arguments, sentence):
    assert sentence in life.refused(arguments)


def test_what_aws_cannot_alter_is_refused(life):
    life.run(WANTED)
    assert "AWS cannot alter it" in life.refused(WANTED | {"port": 8080})
