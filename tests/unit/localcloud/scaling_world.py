"""A patched moto in this process, with a clock that tests move, and a group over two zones to work on."""

from __future__ import annotations

import base64
import functools
import time
import types
from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from moto import mock_aws
from moto.autoscaling.models import autoscaling_backends
from moto.elbv2.models import elbv2_backends

from localcloud import autoscaling, autoscaling_hooks
from localcloud.patches import apply_all, elbv2

ACCOUNT, REGION = "123456789012", "us-east-1"
GROUP = "web"


@functools.cache
def client(service: str) -> Any:
    """A client of the moto in this process; making one takes longer than most tests."""
    return boto3.client(service, region_name=REGION, aws_access_key_id="testing", aws_secret_access_key="testing")


class World:
    """An account with a VPC of two zones, a launch template and its clients."""

    def __init__(self, now: types.SimpleNamespace) -> None:
        self.clock = now
        self.ec2, self.asg, self.elb, self.iam = (client(name) for name in ("ec2", "autoscaling", "elbv2", "iam"))
        self.vpc = self.ec2.create_vpc(CidrBlock="10.102.0.0/16")["Vpc"]["VpcId"]
        self.subnets = [
            self.ec2.create_subnet(
                VpcId=self.vpc, CidrBlock=f"10.102.{index}.0/24", AvailabilityZone=f"us-east-1{zone}"
            )["Subnet"]["SubnetId"]
            for index, zone in enumerate("ab", start=1)
        ]
        self.image = self.ec2.register_image(Name="debian", RootDeviceName="/dev/sda1", Architecture="x86_64")[
            "ImageId"
        ]
        self.template = self.ec2.create_launch_template(
            LaunchTemplateName="web", LaunchTemplateData=self.template_data("one")
        )["LaunchTemplate"]["LaunchTemplateId"]

    def template_data(self, text: str) -> dict[str, Any]:
        return {
            "ImageId": self.image,
            "InstanceType": "t3.small",
            "UserData": base64.b64encode(text.encode()).decode(),
            "MetadataOptions": {"HttpTokens": "required"},
        }

    def new_version(self, text: str = "two") -> str:
        version = self.ec2.create_launch_template_version(
            LaunchTemplateId=self.template, LaunchTemplateData=self.template_data(text)
        )
        return str(version["LaunchTemplateVersion"]["VersionNumber"])

    def create_group(self, size: int = 2, **options: Any) -> None:
        self.asg.create_auto_scaling_group(
            **{
                "AutoScalingGroupName": GROUP,
                "MinSize": 0,
                "MaxSize": 10,
                "DesiredCapacity": size,
                "LaunchTemplate": {"LaunchTemplateId": self.template, "Version": "$Latest"},
                "VPCZoneIdentifier": ",".join(self.subnets),
                **options,
            }
        )

    def balancer(self, **options: Any) -> tuple[str, str]:
        """A balancer and the target group that its only listener forwards to; returns both ARNs."""
        balancer = self.elb.create_load_balancer(Name="web", Subnets=self.subnets)["LoadBalancers"][0]
        group = self.elb.create_target_group(
            Name="web", Protocol="HTTP", Port=80, VpcId=self.vpc, TargetType="instance", **options
        )["TargetGroups"][0]
        self.elb.create_listener(
            LoadBalancerArn=balancer["LoadBalancerArn"],
            Protocol="HTTP",
            Port=80,
            DefaultActions=[{"Type": "forward", "TargetGroupArn": group["TargetGroupArn"]}],
        )
        return balancer["LoadBalancerArn"], group["TargetGroupArn"]

    def pass_time(self, seconds: float) -> None:
        self.clock.value += seconds
        self.settle()

    def settle(self) -> None:
        autoscaling.run_all(self.backend)

    @property
    def backend(self) -> Any:
        return autoscaling_backends[ACCOUNT][REGION]

    def target_group(self, arn: str) -> Any:
        return elbv2_backends[ACCOUNT][REGION].target_groups[arn]

    def measure(self, arn: str, health: elbv2.Health = elbv2.HEALTHY) -> None:
        """What the data plane would do: measure every target of a group, and finish its draining."""
        group = self.target_group(arn)
        elbv2.drainings(group).clear()
        for key in group.targets:
            elbv2.measured(group)[key] = health
        self.settle()

    def describe(self) -> dict[str, Any]:
        return self.asg.describe_auto_scaling_groups(AutoScalingGroupNames=[GROUP])["AutoScalingGroups"][0]

    def instances(self) -> list[dict[str, Any]]:
        return self.describe()["Instances"]

    def ids(self, state: str = "InService") -> list[str]:
        return [entry["InstanceId"] for entry in self.instances() if entry["LifecycleState"] == state]

    def states(self) -> list[str]:
        return sorted(entry["LifecycleState"] for entry in self.instances())

    def refresh(self) -> dict[str, Any]:
        return self.asg.describe_instance_refreshes(AutoScalingGroupName=GROUP)["InstanceRefreshes"][0]


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    """A fresh account in which hooks wait and balancers are measured by the test."""
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    # moto's hundreds of images take a second for each test.
    monkeypatch.setenv("MOTO_EC2_LOAD_DEFAULT_AMIS", "false")
    now = types.SimpleNamespace(value=time.time())
    frozen = types.SimpleNamespace(time=lambda: now.value)
    for module in (autoscaling, elbv2):
        monkeypatch.setattr(module, "time", frozen)
    monkeypatch.setattr(autoscaling_hooks.backing, "machines", True)
    monkeypatch.setattr(elbv2.backing, "data_plane", True)
    apply_all()
    with mock_aws():
        yield World(now)
