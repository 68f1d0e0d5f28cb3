"""application_load_balancer: attributes, listeners and record, one property after the other."""

import pytest

from support.module_life import ModuleLife

NAME = "demo-wordpress"
KIND = "load balancer"


@pytest.fixture
def wanted(cloud):
    ec2, elbv2 = cloud.client("ec2"), cloud.client("elbv2")
    subnets = sorted(ec2.describe_subnets()["Subnets"], key=lambda subnet: subnet["AvailabilityZone"])[:2]
    vpc_id = subnets[0]["VpcId"]
    groups = [
        ec2.create_security_group(GroupName=name, Description=name, VpcId=vpc_id)["GroupId"] for name in ("a", "b")
    ]
    arns = [
        elbv2.create_target_group(Name=name, Protocol="HTTP", Port=80, VpcId=vpc_id)["TargetGroups"][0][
            "TargetGroupArn"
        ]
        for name in ("a", "b")
    ]
    return {
        "subnet_ids": [subnet["SubnetId"] for subnet in subnets],
        "security_group_ids": groups[:1],
        "listeners": [{"port": 80, "protocol": "HTTP", "target_group_arn": arns[0]}],
        "tags": {"stackyard:environment": "demo"},
        "_other": {"group": groups[1], "target_group_arn": arns[1]},
    }


@pytest.fixture
def life(ansible, cloud):
    return ModuleLife(ansible, cloud, "stackyard.aws.application_load_balancer", {"name": NAME})


def test_each_property_altered(life, cloud, wanted):
    other = wanted.pop("_other")
    zone_id = cloud.client("route53").create_hosted_zone(Name="example.com", CallerReference="test")["HostedZone"]["Id"]
    cloud.client("s3").create_bucket(Bucket="demo-logs")
    first = wanted["listeners"][0]
    life.live(wanted)
    life.alter(
        wanted,
        [
            ({"security_group_ids": [other["group"]]}, f"security groups of {KIND}"),
            ({"idle_timeout": 120}, f"attributes of {KIND}"),
            ({"drop_invalid_header_fields": False}, f"attributes of {KIND}"),
            ({"deletion_protection": True}, f"attributes of {KIND}"),
            ({"listeners": [first | {"target_group_arn": other["target_group_arn"]}]}, "listener"),
            ({"listeners": [first, {"port": 8080, "protocol": "HTTP", "redirect_port": 443}]}, "listener"),
        ],
    )
    named = {"domain": "blog.example.com", "hosted_zone_id": zone_id.rpartition("/")[2]}
    done = life.live(wanted | named)
    assert [(change["action"], change["type"]) for change in done["changes"]] == [("create", "alias record")]
    tagged = life.live(wanted | named | {"tags": {"owner": "me"}})
    assert {change["type"] for change in tagged["changes"]} == {f"tags of {KIND}", "tags of listener"}
    life.live({"state": "absent"} | named)
    elbv2 = cloud.client("elbv2")
    assert elbv2.describe_load_balancers()["LoadBalancers"] == []


def test_a_run_cut_off_after_the_first_call_is_completed(life, cloud, wanted):
    wanted.pop("_other")
    cloud.client("elbv2").create_load_balancer(
        Name=NAME, Subnets=wanted["subnet_ids"], SecurityGroups=wanted["security_group_ids"]
    )
    life.live(wanted)
    assert len(cloud.client("elbv2").describe_load_balancers()["LoadBalancers"]) == 1


def test_protection_from_deletion_is_told(life, wanted):
    wanted.pop("_other")
    life.run(wanted | {"deletion_protection": True})
    assert "is protected from deletion" in life.refused({"state": "absent"})


@pytest.mark.parametrize(
    ("altered", "sentence"),
    [
        ({"subnet_ids": ["subnet-0123456789abcdef0"]}, "subnet_ids: give two subnets or more"),
        ({"listeners": [{"port": 443, "protocol": "HTTPS", "redirect_port": 1}]}, "certificate_arn, tls_policy"),
        ({"listeners": [{"port": 80, "protocol": "HTTP"}]}, "one of the following is required"),
        ({"domain": "blog.example.com"}, "missing parameter(s) required by 'domain': hosted_zone_id"),
    ],
)
def test_bad_arguments_are_refused(life, wanted, altered, sentence):
    wanted.pop("_other")
    assert sentence in life.refused(wanted | altered)
