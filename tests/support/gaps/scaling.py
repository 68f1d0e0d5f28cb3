"""Auto Scaling, launch templates and load balancers."""

import base64
from typing import Any

import pytest
from botocore.exceptions import ClientError

from support.control_plane import Cloud
from support.gaps import gap

GROUP = "web"


def _data(cloud: Cloud) -> dict[str, Any]:
    image = cloud.client("ec2").describe_images()["Images"][0]["ImageId"]
    return {"ImageId": image, "InstanceType": "t3.small", "UserData": base64.b64encode(b"#cloud-config\n").decode()}


def _template(cloud: Cloud, **data: Any) -> str:
    made = cloud.client("ec2").create_launch_template(LaunchTemplateName="web", LaunchTemplateData=_data(cloud) | data)
    return str(made["LaunchTemplate"]["LaunchTemplateId"])


def _subnets(cloud: Cloud) -> list[str]:
    subnets = cloud.client("ec2").describe_subnets()["Subnets"]
    return [entry["SubnetId"] for entry in sorted(subnets, key=lambda entry: entry["AvailabilityZone"])[:2]]


def _group(cloud: Cloud, size: int = 2, **options: Any) -> None:
    if "LaunchTemplate" not in options:
        options["LaunchTemplate"] = {"LaunchTemplateId": _template(cloud), "Version": "$Latest"}
    cloud.client("autoscaling").create_auto_scaling_group(
        **{
            "AutoScalingGroupName": GROUP,
            "MinSize": 0,
            "MaxSize": 4,
            "DesiredCapacity": size,
            "VPCZoneIdentifier": ",".join(_subnets(cloud)),
            **options,
        }
    )


def _instances(cloud: Cloud) -> list[dict[str, Any]]:
    groups = cloud.client("autoscaling").describe_auto_scaling_groups(AutoScalingGroupNames=[GROUP])
    found: list[dict[str, Any]] = groups["AutoScalingGroups"][0]["Instances"]
    return found


def _target_group(cloud: Cloud, name: str = "web") -> str:
    elb = cloud.client("elbv2")
    vpc = cloud.client("ec2").describe_vpcs()["Vpcs"][0]["VpcId"]
    made = elb.create_target_group(Name=name, Protocol="HTTP", Port=80, VpcId=vpc, TargetType="instance")
    return str(made["TargetGroups"][0]["TargetGroupArn"])


def _balancer(cloud: Cloud, name: str = "web", target_group: str = "") -> str:
    elb = cloud.client("elbv2")
    arn = elb.create_load_balancer(Name=name, Subnets=_subnets(cloud))["LoadBalancers"][0]["LoadBalancerArn"]
    if target_group:
        _listen(cloud, arn, target_group)
    return str(arn)


def _listen(cloud: Cloud, balancer: str, target_group: str) -> None:
    cloud.client("elbv2").create_listener(
        LoadBalancerArn=balancer,
        Protocol="HTTP",
        Port=80,
        DefaultActions=[{"Type": "forward", "TargetGroupArn": target_group}],
    )


# Launch templates
# ----------------


@gap("ec2_launch_templates")
def a_later_version_of_a_template_can_be_launched_by_a_group(cloud: Cloud) -> None:
    template = _template(cloud)
    cloud.client("ec2").create_launch_template_version(LaunchTemplateId=template, LaunchTemplateData=_data(cloud))
    _group(cloud, 1, LaunchTemplate={"LaunchTemplateId": template, "Version": "2"})
    assert len(_instances(cloud)) == 1


@gap("ec2_launch_templates")
def a_version_takes_over_from_its_source(cloud: Cloud) -> None:
    template = _template(cloud, KeyName="key")
    version = cloud.client("ec2").create_launch_template_version(
        LaunchTemplateId=template, SourceVersion="1", LaunchTemplateData={"InstanceType": "t3.large"}
    )["LaunchTemplateVersion"]
    assert version["LaunchTemplateData"]["KeyName"] == "key"


@gap("ec2_launch_templates")
def tags_of_the_template_are_no_part_of_its_data(cloud: Cloud) -> None:
    ec2 = cloud.client("ec2")
    ec2.create_launch_template(
        LaunchTemplateName="web",
        LaunchTemplateData=_data(cloud),
        TagSpecifications=[{"ResourceType": "launch-template", "Tags": [{"Key": "a", "Value": "b"}]}],
    )
    (version,) = ec2.describe_launch_template_versions(LaunchTemplateName="web")["LaunchTemplateVersions"]
    assert "TagSpecifications" not in version["LaunchTemplateData"]


@gap("ec2_launch_templates")
def versions_can_be_deleted_save_the_default_one(cloud: Cloud) -> None:
    ec2, template = cloud.client("ec2"), _template(cloud)
    ec2.create_launch_template_version(LaunchTemplateId=template, LaunchTemplateData=_data(cloud))
    answer = ec2.delete_launch_template_versions(LaunchTemplateId=template, Versions=["1", "2"])
    assert [e["VersionNumber"] for e in answer["SuccessfullyDeletedLaunchTemplateVersions"]] == [2]
    made = ec2.create_launch_template_version(LaunchTemplateId=template, LaunchTemplateData=_data(cloud))
    assert made["LaunchTemplateVersion"]["VersionNumber"] == 3


@gap("ec2_launch_templates")
def more_than_fifteen_versions_are_listed(cloud: Cloud) -> None:
    ec2, template = cloud.client("ec2"), _template(cloud)
    for _ in range(20):
        ec2.create_launch_template_version(LaunchTemplateId=template, LaunchTemplateData=_data(cloud))
    listed = ec2.describe_launch_template_versions(LaunchTemplateId=template)["LaunchTemplateVersions"]
    assert [entry["VersionNumber"] for entry in listed] == list(range(21, 0, -1))


@gap("ec2_launch_templates")
def an_instance_takes_metadata_options_and_profile_from_its_template(cloud: Cloud) -> None:
    ec2 = cloud.client("ec2")
    cloud.client("iam").create_instance_profile(InstanceProfileName="web")
    template = _template(cloud, MetadataOptions={"HttpTokens": "required"}, IamInstanceProfile={"Name": "web"})
    made = ec2.run_instances(LaunchTemplate={"LaunchTemplateId": template}, MinCount=1, MaxCount=1)["Instances"][0]
    instance = ec2.describe_instances(InstanceIds=[made["InstanceId"]])["Reservations"][0]["Instances"][0]
    assert instance["MetadataOptions"]["HttpTokens"] == "required"
    assert instance["IamInstanceProfile"]["Arn"].endswith("/web")


@gap("ec2_launch_templates")
def an_image_may_be_named_by_a_parameter(cloud: Cloud) -> None:
    data = _data(cloud)
    cloud.client("ssm").put_parameter(Name="/web/image", Value=data["ImageId"], Type="String")
    template = _template(cloud, ImageId="resolve:ssm:/web/image")
    made = cloud.client("ec2").run_instances(LaunchTemplate={"LaunchTemplateId": template}, MinCount=1, MaxCount=1)
    assert made["Instances"][0]["ImageId"] == data["ImageId"]


# Auto Scaling
# ------------


@gap("autoscaling")
def members_are_spread_over_the_zones(cloud: Cloud) -> None:
    _group(cloud)
    assert len({entry["AvailabilityZone"] for entry in _instances(cloud)}) == 2


@gap("autoscaling")
def each_member_has_the_version_that_it_was_launched_from(cloud: Cloud) -> None:
    template = _template(cloud)
    _group(cloud, 1, LaunchTemplate={"LaunchTemplateId": template, "Version": "$Latest"})
    data = {"ImageId": _data(cloud)["ImageId"], "InstanceType": "t3.small"}
    cloud.client("ec2").create_launch_template_version(LaunchTemplateId=template, LaunchTemplateData=data)
    cloud.client("autoscaling").set_desired_capacity(AutoScalingGroupName=GROUP, DesiredCapacity=2)
    assert sorted(entry["LaunchTemplate"]["Version"] for entry in _instances(cloud)) == ["1", "2"]


@gap("autoscaling")
def a_stopped_member_is_replaced(cloud: Cloud) -> None:
    _group(cloud, 1)
    gone = _instances(cloud)[0]["InstanceId"]
    cloud.client("ec2").stop_instances(InstanceIds=[gone])
    assert [entry["InstanceId"] for entry in _instances(cloud)] != [gone]


@gap("autoscaling_instances")
def an_unhealthy_member_is_replaced(cloud: Cloud) -> None:
    _group(cloud, 1)
    gone = _instances(cloud)[0]["InstanceId"]
    cloud.client("autoscaling").set_instance_health(InstanceId=gone, HealthStatus="Unhealthy")
    assert [entry["InstanceId"] for entry in _instances(cloud)] != [gone]


@gap("autoscaling")
def a_replacement_joins_the_target_groups(cloud: Cloud) -> None:
    arn = _target_group(cloud)
    _group(cloud, 1, TargetGroupARNs=[arn])
    cloud.client("ec2").terminate_instances(InstanceIds=[_instances(cloud)[0]["InstanceId"]])
    listed = cloud.client("elbv2").describe_target_health(TargetGroupArn=arn)["TargetHealthDescriptions"]
    assert [entry["Target"]["Id"] for entry in listed] == [entry["InstanceId"] for entry in _instances(cloud)]


@gap("autoscaling")
def a_capacity_beyond_the_maximum_is_refused(cloud: Cloud) -> None:
    _group(cloud)
    with pytest.raises(ClientError, match="above max value"):
        cloud.client("autoscaling").set_desired_capacity(AutoScalingGroupName=GROUP, DesiredCapacity=5)


@gap("autoscaling")
def a_group_is_not_created_twice(cloud: Cloud) -> None:
    template = {"LaunchTemplateId": _template(cloud), "Version": "1"}
    _group(cloud, 0, LaunchTemplate=template)
    with pytest.raises(ClientError, match="AlreadyExists"):
        _group(cloud, 0, LaunchTemplate=template)


@gap("autoscaling")
def a_group_with_members_is_deleted_by_force_only(cloud: Cloud) -> None:
    _group(cloud)
    with pytest.raises(ClientError, match="ResourceInUse"):
        cloud.client("autoscaling").delete_auto_scaling_group(AutoScalingGroupName=GROUP)


@gap("autoscaling")
def suspended_processes_rest(cloud: Cloud) -> None:
    _group(cloud, 1)
    autoscaling = cloud.client("autoscaling")
    autoscaling.suspend_processes(AutoScalingGroupName=GROUP, ScalingProcesses=["Launch"])
    autoscaling.set_desired_capacity(AutoScalingGroupName=GROUP, DesiredCapacity=2)
    assert len(_instances(cloud)) == 1


@gap("autoscaling")
def scaling_activities_are_recorded(cloud: Cloud) -> None:
    _group(cloud, 1)
    (activity,) = cloud.client("autoscaling").describe_scaling_activities(AutoScalingGroupName=GROUP)["Activities"]
    assert _instances(cloud)[0]["InstanceId"] in activity["Description"]


@gap("autoscaling_refreshes")
def a_refresh_replaces_the_members(cloud: Cloud) -> None:
    _group(cloud)
    before = {entry["InstanceId"] for entry in _instances(cloud)}
    autoscaling = cloud.client("autoscaling")
    autoscaling.start_instance_refresh(AutoScalingGroupName=GROUP, Preferences={"InstanceWarmup": 0})
    refresh = autoscaling.describe_instance_refreshes(AutoScalingGroupName=GROUP)["InstanceRefreshes"][0]
    assert (refresh["Status"], refresh["PercentageComplete"]) == ("Successful", 100)
    assert not before & {entry["InstanceId"] for entry in _instances(cloud)}


@gap("autoscaling")
def metrics_collection_can_be_disabled(cloud: Cloud) -> None:
    _group(cloud, 0)
    cloud.client("autoscaling").disable_metrics_collection(AutoScalingGroupName=GROUP)


@gap("autoscaling")
def tags_are_sorted(cloud: Cloud) -> None:
    _group(cloud, 0, Tags=[{"Key": key, "Value": "x", "PropagateAtLaunch": True} for key in "ba"])
    groups = cloud.client("autoscaling").describe_auto_scaling_groups()["AutoScalingGroups"]
    assert [tag["Key"] for tag in groups[0]["Tags"]] == ["a", "b"]


@gap("autoscaling_hooks")
def a_hook_has_no_target_unless_given(cloud: Cloud) -> None:
    _group(cloud, 0)
    autoscaling = cloud.client("autoscaling")
    autoscaling.put_lifecycle_hook(
        AutoScalingGroupName=GROUP,
        LifecycleHookName="launch",
        LifecycleTransition="autoscaling:EC2_INSTANCE_LAUNCHING",
        HeartbeatTimeout=60,
    )
    (hook,) = autoscaling.describe_lifecycle_hooks(AutoScalingGroupName=GROUP)["LifecycleHooks"]
    assert "RoleARN" not in hook
    assert hook["GlobalTimeout"] == 6000


@gap("autoscaling_hooks")
def an_action_that_nobody_waits_for_cannot_be_completed(cloud: Cloud) -> None:
    _group(cloud, 1)
    autoscaling = cloud.client("autoscaling")
    autoscaling.put_lifecycle_hook(
        AutoScalingGroupName=GROUP,
        LifecycleHookName="launch",
        LifecycleTransition="autoscaling:EC2_INSTANCE_LAUNCHING",
    )
    with pytest.raises(ClientError, match="No active Lifecycle Action"):
        autoscaling.complete_lifecycle_action(
            AutoScalingGroupName=GROUP,
            LifecycleHookName="launch",
            InstanceId=_instances(cloud)[0]["InstanceId"],
            LifecycleActionResult="CONTINUE",
        )


@gap("autoscaling_policies")
def names_of_policies_belong_to_their_group(cloud: Cloud) -> None:
    template = {"LaunchTemplateId": _template(cloud), "Version": "1"}
    autoscaling = cloud.client("autoscaling")
    for group in (GROUP, "other"):
        _group(cloud, 0, LaunchTemplate=template, AutoScalingGroupName=group)
        autoscaling.put_scaling_policy(
            AutoScalingGroupName=group,
            PolicyName="one",
            PolicyType="SimpleScaling",
            AdjustmentType="ExactCapacity",
            ScalingAdjustment=1,
        )
    assert len(autoscaling.describe_policies()["ScalingPolicies"]) == 2


# Load balancers
# --------------


@gap("elbv2")
def a_target_group_has_all_its_attributes(cloud: Cloud) -> None:
    listed = cloud.client("elbv2").describe_target_group_attributes(TargetGroupArn=_target_group(cloud))["Attributes"]
    attributes = {entry["Key"]: entry["Value"] for entry in listed}
    assert attributes["stickiness.lb_cookie.duration_seconds"] == "86400"
    assert attributes["load_balancing.algorithm.anomaly_mitigation"] == "off"


@gap("elbv2")
def a_balancer_has_all_its_attributes(cloud: Cloud) -> None:
    listed = cloud.client("elbv2").describe_load_balancer_attributes(LoadBalancerArn=_balancer(cloud))["Attributes"]
    attributes = {entry["Key"]: entry["Value"] for entry in listed}
    assert attributes["idle_timeout.timeout_seconds"] == "60"
    assert attributes["routing.http2.enabled"] == "true"


@gap("elbv2")
def a_balancer_has_an_interface_in_each_subnet(cloud: Cloud) -> None:
    arn = _balancer(cloud)
    wanted = [{"Name": "description", "Values": [f"ELB {arn.split(':loadbalancer/')[1]}"]}]
    ec2 = cloud.client("ec2")
    listed = ec2.describe_network_interfaces(Filters=wanted)["NetworkInterfaces"]
    assert sorted(entry["SubnetId"] for entry in listed) == sorted(_subnets(cloud))
    cloud.client("elbv2").delete_load_balancer(LoadBalancerArn=arn)
    assert ec2.describe_network_interfaces(Filters=wanted)["NetworkInterfaces"] == []


@gap("elbv2")
def a_balancer_of_the_same_name_is_the_same_balancer(cloud: Cloud) -> None:
    assert _balancer(cloud) == _balancer(cloud)


@gap("elbv2")
def a_protected_balancer_is_not_deleted(cloud: Cloud) -> None:
    elb, arn = cloud.client("elbv2"), _balancer(cloud)
    elb.modify_load_balancer_attributes(
        LoadBalancerArn=arn, Attributes=[{"Key": "deletion_protection.enabled", "Value": "true"}]
    )
    with pytest.raises(ClientError, match="OperationNotPermitted"):
        elb.delete_load_balancer(LoadBalancerArn=arn)


@gap("elbv2")
def a_port_has_one_listener(cloud: Cloud) -> None:
    target_group = _target_group(cloud)
    arn = _balancer(cloud, target_group=target_group)
    with pytest.raises(ClientError, match="DuplicateListener"):
        _listen(cloud, arn, target_group)


@gap("elbv2")
def targets_of_an_unused_group_are_unused(cloud: Cloud) -> None:
    arn = _target_group(cloud)
    _group(cloud, 1, TargetGroupARNs=[arn])
    elb = cloud.client("elbv2")
    states = [e["TargetHealth"] for e in elb.describe_target_health(TargetGroupArn=arn)["TargetHealthDescriptions"]]
    assert [(state["State"], state["Reason"]) for state in states] == [("unused", "Target.NotInUse")]


@gap("elbv2")
def a_deleted_balancer_is_no_more_behind_its_target_group(cloud: Cloud) -> None:
    target_group = _target_group(cloud)
    arn = _balancer(cloud, target_group=target_group)
    elb = cloud.client("elbv2")
    elb.delete_load_balancer(LoadBalancerArn=arn)
    listed = elb.describe_target_groups(TargetGroupArns=[target_group])["TargetGroups"]
    assert listed[0].get("LoadBalancerArns", []) == []


@gap("elbv2")
def one_instance_may_be_registered_with_several_ports(cloud: Cloud) -> None:
    target_group = _target_group(cloud)
    data = _data(cloud)
    instance = cloud.client("ec2").run_instances(ImageId=data["ImageId"], MinCount=1, MaxCount=1)["Instances"][0]
    elb = cloud.client("elbv2")
    targets = [{"Id": instance["InstanceId"], "Port": port} for port in (8080, 8081)]
    elb.register_targets(TargetGroupArn=target_group, Targets=targets)
    listed = elb.describe_target_health(TargetGroupArn=target_group)["TargetHealthDescriptions"]
    assert [entry["Target"]["Port"] for entry in listed] == [8080, 8081]
