"""Auto Scaling groups over patched moto: sizes, zones, health, hooks, policies, schedules."""

from __future__ import annotations

import datetime
from collections import Counter
from typing import Any

import pytest
from botocore.exceptions import ClientError

from localcloud import autoscaling_hooks
from localcloud.autoscaling import target_lifecycle_state
from localcloud.autoscaling_launches import FIRST_RETRY
from localcloud.patches import elbv2
from unit.localcloud.scaling_world import GROUP, World

UNHEALTHY = elbv2.Health("unhealthy", "Target.FailedHealthChecks", "Health checks failed")


def code_of(error: pytest.ExceptionInfo[ClientError]) -> str:
    return str(error.value.response["Error"]["Code"])


def hook(world: World, transition: str, **options: Any) -> None:
    world.asg.put_lifecycle_hook(
        AutoScalingGroupName=GROUP,
        LifecycleHookName=transition.lower(),
        LifecycleTransition=f"autoscaling:EC2_INSTANCE_{transition}",
        **options,
    )


def complete(world: World, name: str, instance_id: str, result: str = "CONTINUE") -> None:
    world.asg.complete_lifecycle_action(
        AutoScalingGroupName=GROUP, LifecycleHookName=name, InstanceId=instance_id, LifecycleActionResult=result
    )


def test_a_launch_takes_everything_from_the_template(world: World) -> None:
    world.iam.create_instance_profile(InstanceProfileName="web")
    data = world.template_data("hello") | {
        "IamInstanceProfile": {"Name": "web"},
        "BlockDeviceMappings": [
            {"DeviceName": "/dev/sda1", "Ebs": {"VolumeSize": 17, "VolumeType": "gp3", "Encrypted": True}}
        ],
        "TagSpecifications": [
            {"ResourceType": "instance", "Tags": [{"Key": "from", "Value": "template"}, {"Key": "who", "Value": "t"}]},
            {"ResourceType": "volume", "Tags": [{"Key": "disk", "Value": "root"}]},
        ],
    }
    world.ec2.create_launch_template_version(LaunchTemplateId=world.template, LaunchTemplateData=data)
    world.create_group(
        1,
        Tags=[
            {"Key": "who", "Value": "group", "PropagateAtLaunch": True},
            {"Key": "private", "Value": "x", "PropagateAtLaunch": False},
        ],
    )
    (member,) = world.instances()
    assert member["LaunchTemplate"]["Version"] == "2"
    instance = world.ec2.describe_instances(InstanceIds=[member["InstanceId"]])["Reservations"][0]["Instances"][0]
    tags = {tag["Key"]: tag["Value"] for tag in instance["Tags"]}
    assert (tags["from"], tags["who"], tags["aws:autoscaling:groupName"]) == ("template", "group", GROUP)
    assert "private" not in tags
    assert instance["MetadataOptions"]["HttpTokens"] == "required"
    assert instance["IamInstanceProfile"]["Arn"].endswith("instance-profile/web")
    (volume,) = world.ec2.describe_volumes(
        Filters=[{"Name": "attachment.instance-id", "Values": [member["InstanceId"]]}]
    )["Volumes"]
    assert (volume["Size"], volume["Encrypted"], volume["Tags"]) == (17, True, [{"Key": "disk", "Value": "root"}])
    user_data = world.ec2.describe_instance_attribute(InstanceId=member["InstanceId"], Attribute="userData")
    assert user_data["UserData"]["Value"] == data["UserData"]


def test_versions_are_resolved_for_each_instance(world: World) -> None:
    world.create_group(1)
    world.new_version()
    world.asg.set_desired_capacity(AutoScalingGroupName=GROUP, DesiredCapacity=2)
    assert sorted(entry["LaunchTemplate"]["Version"] for entry in world.instances()) == ["1", "2"]
    world.asg.update_auto_scaling_group(
        AutoScalingGroupName=GROUP,
        LaunchTemplate={"LaunchTemplateName": "web", "Version": "$Default"},
        DesiredCapacity=3,
    )
    assert sorted(entry["LaunchTemplate"]["Version"] for entry in world.instances()) == ["1", "1", "2"]
    assert world.describe()["LaunchTemplate"]["Version"] == "$Default"


def test_members_spread_over_zones_and_the_oldest_template_leaves_first(world: World) -> None:
    world.create_group(4)
    assert Counter(entry["AvailabilityZone"] for entry in world.instances()) == {"us-east-1a": 2, "us-east-1b": 2}
    world.new_version()
    world.asg.set_desired_capacity(AutoScalingGroupName=GROUP, DesiredCapacity=6)
    world.asg.set_desired_capacity(AutoScalingGroupName=GROUP, DesiredCapacity=2)
    left = world.instances()
    assert {entry["LaunchTemplate"]["Version"] for entry in left} == {"2"}
    assert {entry["AvailabilityZone"] for entry in left} == {"us-east-1a", "us-east-1b"}


def test_protected_members_stay(world: World) -> None:
    world.create_group(4)
    kept = world.ids()[:3]
    world.asg.set_instance_protection(AutoScalingGroupName=GROUP, InstanceIds=kept, ProtectedFromScaleIn=True)
    world.asg.set_desired_capacity(AutoScalingGroupName=GROUP, DesiredCapacity=0)
    assert sorted(world.ids()) == sorted(kept)


@pytest.mark.parametrize(("desired", "word"), [(11, "above max value"), (1, "below min value")])
def test_sizes_are_enforced(world: World, desired: int, word: str) -> None:
    world.create_group(2, MinSize=2)
    with pytest.raises(ClientError, match=word):
        world.asg.set_desired_capacity(AutoScalingGroupName=GROUP, DesiredCapacity=desired)
    world.asg.update_auto_scaling_group(AutoScalingGroupName=GROUP, MinSize=3)
    assert len(world.instances()) == 3


def test_a_second_group_of_the_name_is_refused(world: World) -> None:
    world.create_group(0)
    with pytest.raises(ClientError) as error:
        world.create_group(0)
    assert code_of(error) == "AlreadyExists"


@pytest.mark.parametrize("act", ["terminate_instances", "stop_instances"])
def test_a_machine_that_ends_is_replaced_in_its_zone(world: World, act: str) -> None:
    _, arn = world.balancer()
    world.create_group(2, TargetGroupARNs=[arn])
    gone = world.instances()[0]
    getattr(world.ec2, act)(InstanceIds=[gone["InstanceId"]])
    world.measure(arn)
    now = world.instances()
    assert gone["InstanceId"] not in world.ids()
    assert {entry["AvailabilityZone"] for entry in now} == {"us-east-1a", "us-east-1b"}
    health = world.elb.describe_target_health(TargetGroupArn=arn)["TargetHealthDescriptions"]
    registered = [entry["Target"]["Id"] for entry in health if entry["TargetHealth"]["State"] != "draining"]
    assert sorted(registered) == sorted(world.ids())
    causes = [entry["Cause"] for entry in world.asg.describe_scaling_activities()["Activities"]]
    assert any("EC2 health check" in cause for cause in causes)


def test_elb_health_counts_after_the_grace_period_only(world: World) -> None:
    _, arn = world.balancer()
    world.create_group(1, TargetGroupARNs=[arn], HealthCheckType="ELB", HealthCheckGracePeriod=60)
    world.measure(arn)
    before = world.ids()
    world.measure(arn, UNHEALTHY)
    assert world.ids() == before
    world.pass_time(61)
    assert world.ids("Terminating") == before
    assert not set(world.ids()) & set(before)
    world.measure(arn)
    assert world.states() == ["InService"]


@pytest.mark.parametrize(("size", "at_once"), [(2, 1), (4, 1), (20, 2)])
def test_what_the_balancer_finds_unhealthy_is_replaced_a_tenth_at_a_time(world: World, size: int, at_once: int) -> None:
    _, arn = world.balancer()
    world.create_group(size, TargetGroupARNs=[arn], HealthCheckType="ELB", MaxSize=size)
    world.measure(arn)
    before = world.ids()
    world.measure(arn, UNHEALTHY)
    assert len(world.ids("Terminating")) == at_once
    # The replacements have not passed a health check yet, and meanwhile what all depend on comes back.
    world.settle()
    assert len(set(world.ids()) & set(before)) == size - at_once
    world.measure(arn)
    assert len(set(world.ids()) & set(before)) == size - at_once
    assert world.states() == ["InService"] * size


def test_nothing_more_is_replaced_while_a_replacement_is_held(world: World) -> None:
    _, arn = world.balancer()
    world.create_group(3, TargetGroupARNs=[arn], HealthCheckType="ELB")
    hook(world, "LAUNCHING", HeartbeatTimeout=900)
    world.measure(arn)
    world.measure(arn, UNHEALTHY)
    (held,) = world.ids("Pending:Wait")
    world.pass_time(800)
    assert len(world.ids()) == 2
    world.measure(arn)
    complete(world, "launching", held)
    world.measure(arn)
    assert world.states() == ["InService"] * 3


def test_a_maintenance_policy_launches_the_replacement_first(world: World) -> None:
    _, arn = world.balancer()
    policy = {"MinHealthyPercentage": 100, "MaxHealthyPercentage": 150}
    world.create_group(2, TargetGroupARNs=[arn], HealthCheckType="ELB", InstanceMaintenancePolicy=policy)
    world.measure(arn)
    before = set(world.ids())
    world.measure(arn, UNHEALTHY)
    assert world.states() == ["InService"] * 3
    (replacement,) = set(world.ids()) - before
    world.measure(arn)
    assert len(world.ids("Terminating")) == 1
    assert replacement in world.ids()
    world.measure(arn)
    assert world.states() == ["InService"] * 2
    # What does not run serves nobody: nothing is gained by waiting.
    world.ec2.stop_instances(InstanceIds=[replacement])
    assert replacement not in world.ids()


def test_machines_that_do_not_run_are_replaced_all_at_once(world: World) -> None:
    world.create_group(4)
    before = world.ids()
    world.ec2.stop_instances(InstanceIds=before)
    assert not set(world.ids()) & set(before)
    assert len(world.ids()) == 4


def test_set_instance_health_respects_the_grace_period(world: World) -> None:
    world.create_group(1, HealthCheckGracePeriod=100)
    (instance_id,) = world.ids()
    world.asg.set_instance_health(InstanceId=instance_id, HealthStatus="Unhealthy")
    assert world.ids() == [instance_id]
    world.asg.set_instance_health(InstanceId=instance_id, HealthStatus="Unhealthy", ShouldRespectGracePeriod=False)
    assert world.ids() != [instance_id]


def test_suspended_processes_are_honoured(world: World) -> None:
    world.create_group(2)
    before = world.ids()
    world.asg.suspend_processes(AutoScalingGroupName=GROUP, ScalingProcesses=["Launch", "HealthCheck"])
    world.asg.set_desired_capacity(AutoScalingGroupName=GROUP, DesiredCapacity=4)
    world.ec2.stop_instances(InstanceIds=before[:1])
    assert sorted(world.ids()) == sorted(before)
    world.asg.resume_processes(AutoScalingGroupName=GROUP)
    assert len(world.ids()) == 4
    assert before[0] not in world.ids()
    world.asg.suspend_processes(AutoScalingGroupName=GROUP, ScalingProcesses=["Terminate"])
    world.asg.set_desired_capacity(AutoScalingGroupName=GROUP, DesiredCapacity=1)
    assert len(world.ids()) == 4


def test_a_leaving_member_is_drained_before_it_is_terminated(world: World) -> None:
    _, arn = world.balancer()
    world.create_group(2, TargetGroupARNs=[arn])
    world.measure(arn)
    world.asg.set_desired_capacity(AutoScalingGroupName=GROUP, DesiredCapacity=1)
    (leaving,) = world.ids("Terminating")
    health = {
        entry["Target"]["Id"]: entry["TargetHealth"]["State"]
        for entry in world.elb.describe_target_health(TargetGroupArn=arn)["TargetHealthDescriptions"]
    }
    assert health[leaving] == "draining"
    reservation = world.ec2.describe_instances(InstanceIds=[leaving])["Reservations"][0]
    assert reservation["Instances"][0]["State"]["Name"] == "running"
    world.pass_time(299)
    assert world.ids("Terminating") == [leaving]
    world.pass_time(2)
    assert world.states() == ["InService"]


def test_a_launch_hook_holds_a_member_until_it_is_completed(world: World) -> None:
    _, arn = world.balancer()
    world.create_group(0, TargetGroupARNs=[arn])
    hook(world, "LAUNCHING", HeartbeatTimeout=60)
    world.asg.set_desired_capacity(AutoScalingGroupName=GROUP, DesiredCapacity=1)
    (waiting,) = world.ids("Pending:Wait")
    assert target_lifecycle_state(world.backend, waiting) == "InService"
    assert not world.elb.describe_target_health(TargetGroupArn=arn)["TargetHealthDescriptions"]
    world.pass_time(50)
    world.asg.record_lifecycle_action_heartbeat(
        AutoScalingGroupName=GROUP, LifecycleHookName="launching", InstanceId=waiting
    )
    world.pass_time(50)
    complete(world, "launching", waiting)
    assert world.ids() == [waiting]
    with pytest.raises(ClientError, match="No active Lifecycle Action"):
        complete(world, "launching", waiting)


def test_an_abandoned_launch_is_replaced_ever_more_slowly(world: World) -> None:
    world.create_group(0)
    hook(world, "LAUNCHING", HeartbeatTimeout=60, DefaultResult="ABANDON")
    world.asg.set_desired_capacity(AutoScalingGroupName=GROUP, DesiredCapacity=1)
    (first,) = world.ids("Pending:Wait")
    complete(world, "launching", first, "ABANDON")
    assert world.instances() == []
    world.pass_time(FIRST_RETRY + 1)
    (second,) = world.ids("Pending:Wait")
    assert second != first
    # The heartbeat's end counts as the default result.
    world.pass_time(61)
    assert world.instances() == []
    world.pass_time(FIRST_RETRY + 1)
    assert world.instances() == []
    world.pass_time(FIRST_RETRY)
    (third,) = world.ids("Pending:Wait")
    complete(world, "launching", third)
    assert world.ids() == [third]
    statuses = [entry["StatusCode"] for entry in world.asg.describe_scaling_activities()["Activities"]]
    assert statuses.count("Cancelled") == 2


def test_a_default_result_of_continue_lets_a_member_in(world: World) -> None:
    world.create_group(0)
    hook(world, "LAUNCHING", HeartbeatTimeout=30, DefaultResult="CONTINUE")
    world.asg.set_desired_capacity(AutoScalingGroupName=GROUP, DesiredCapacity=1)
    world.pass_time(31)
    assert world.states() == ["InService"]


def test_a_terminate_hook_begins_after_draining(world: World) -> None:
    _, arn = world.balancer()
    world.create_group(1, TargetGroupARNs=[arn])
    hook(world, "TERMINATING", HeartbeatTimeout=60)
    world.measure(arn)
    (leaving,) = world.ids()
    world.asg.set_desired_capacity(AutoScalingGroupName=GROUP, DesiredCapacity=0)
    assert world.ids("Terminating") == [leaving]
    assert target_lifecycle_state(world.backend, leaving) == "InService"
    world.measure(arn)
    assert world.ids("Terminating:Wait") == [leaving]
    assert target_lifecycle_state(world.backend, leaving) == "Terminated"
    complete(world, "terminating", leaving)
    assert world.instances() == []
    assert target_lifecycle_state(world.backend, leaving) is None


def test_a_hook_given_at_creation_holds_the_first_members(world: World) -> None:
    world.create_group(
        1,
        LifecycleHookSpecificationList=[
            {"LifecycleHookName": "launch", "LifecycleTransition": "autoscaling:EC2_INSTANCE_LAUNCHING"}
        ],
    )
    assert world.states() == ["Pending:Wait"]
    (described,) = world.asg.describe_lifecycle_hooks(AutoScalingGroupName=GROUP)["LifecycleHooks"]
    assert (described["HeartbeatTimeout"], described["DefaultResult"]) == (3600, "ABANDON")
    assert "NotificationTargetARN" not in described


def test_a_launch_that_fails_is_recorded_and_delayed(world: World) -> None:
    world.create_group(0)
    world.ec2.delete_launch_template(LaunchTemplateId=world.template)
    world.asg.set_desired_capacity(AutoScalingGroupName=GROUP, DesiredCapacity=2)
    for _ in range(5):
        world.settle()
    (activity,) = world.asg.describe_scaling_activities(AutoScalingGroupName=GROUP)["Activities"]
    assert activity["StatusCode"] == "Failed"
    assert world.template in activity["StatusMessage"]


def test_standby_detach_attach_and_terminate(world: World) -> None:
    world.create_group(3, MinSize=1, VPCZoneIdentifier=world.subnets[0])
    first, second, third = world.ids()
    world.asg.enter_standby(AutoScalingGroupName=GROUP, InstanceIds=[first], ShouldDecrementDesiredCapacity=True)
    assert world.ids("Standby") == [first]
    assert world.describe()["DesiredCapacity"] == 2
    world.asg.exit_standby(AutoScalingGroupName=GROUP, InstanceIds=[first])
    assert sorted(world.ids()) == sorted([first, second, third])
    world.asg.detach_instances(AutoScalingGroupName=GROUP, InstanceIds=[second], ShouldDecrementDesiredCapacity=True)
    assert sorted(world.ids()) == sorted([first, third])
    state = world.ec2.describe_instances(InstanceIds=[second])["Reservations"][0]["Instances"][0]["State"]["Name"]
    assert state == "running"
    world.asg.attach_instances(AutoScalingGroupName=GROUP, InstanceIds=[second])
    assert sorted(world.ids()) == sorted([first, second, third])
    world.asg.terminate_instance_in_auto_scaling_group(InstanceId=third, ShouldDecrementDesiredCapacity=False)
    assert third not in world.ids()
    assert len(world.ids()) == 3
    world.asg.update_auto_scaling_group(AutoScalingGroupName=GROUP, MinSize=3)
    with pytest.raises(ClientError, match="min size"):
        world.asg.terminate_instance_in_auto_scaling_group(InstanceId=first, ShouldDecrementDesiredCapacity=True)


def test_zones_are_balanced_again_by_launching_first(world: World) -> None:
    world.create_group(2, VPCZoneIdentifier=world.subnets[0])
    world.asg.update_auto_scaling_group(AutoScalingGroupName=GROUP, VPCZoneIdentifier=",".join(world.subnets))
    assert sorted(entry["AvailabilityZone"] for entry in world.instances()) == ["us-east-1a", "us-east-1b"]


def test_a_group_is_deleted_with_force_only_while_it_has_members(world: World) -> None:
    world.create_group(2)
    hook(world, "TERMINATING")
    with pytest.raises(ClientError) as error:
        world.asg.delete_auto_scaling_group(AutoScalingGroupName=GROUP)
    assert code_of(error) == "ResourceInUse"
    world.asg.delete_auto_scaling_group(AutoScalingGroupName=GROUP, ForceDelete=True)
    assert world.asg.describe_auto_scaling_groups()["AutoScalingGroups"] == []
    assert world.backend.lifecycle_hooks == {}
    instances = [entry for r in world.ec2.describe_instances()["Reservations"] for entry in r["Instances"]]
    assert {entry["State"]["Name"] for entry in instances} == {"terminated"}


def test_a_group_is_not_deleted_while_its_last_member_leaves(world: World) -> None:
    _, arn = world.balancer()
    world.create_group(1, TargetGroupARNs=[arn])
    world.measure(arn)
    world.asg.set_desired_capacity(AutoScalingGroupName=GROUP, DesiredCapacity=0)
    with pytest.raises(ClientError) as error:
        world.asg.delete_auto_scaling_group(AutoScalingGroupName=GROUP)
    assert code_of(error) == "ScalingActivityInProgress"
    world.measure(arn)
    world.asg.delete_auto_scaling_group(AutoScalingGroupName=GROUP)
    assert world.asg.describe_auto_scaling_groups()["AutoScalingGroups"] == []


def test_scheduled_actions_run_once_or_by_cron(world: World) -> None:
    world.create_group(1)
    at = datetime.datetime.fromtimestamp(world.clock.value + 60, tz=datetime.UTC)
    world.asg.put_scheduled_update_group_action(
        AutoScalingGroupName=GROUP, ScheduledActionName="once", StartTime=at, DesiredCapacity=3
    )
    hour = (at + datetime.timedelta(hours=2)).hour
    world.asg.put_scheduled_update_group_action(
        AutoScalingGroupName=GROUP, ScheduledActionName="daily", Recurrence=f"0 {hour} * * *", MinSize=5, MaxSize=6
    )
    world.pass_time(59)
    assert len(world.ids()) == 1
    world.pass_time(2)
    assert len(world.ids()) == 3
    names = [
        entry["ScheduledActionName"] for entry in world.asg.describe_scheduled_actions()["ScheduledUpdateGroupActions"]
    ]
    assert names == ["daily"]
    world.pass_time(2 * 3600)
    assert len(world.ids()) == 5
    world.asg.update_auto_scaling_group(AutoScalingGroupName=GROUP, MinSize=0, DesiredCapacity=1)
    world.pass_time(24 * 3600)
    assert len(world.ids()) == 5


def test_names_of_actions_and_policies_belong_to_their_group(world: World) -> None:
    world.create_group(0)
    world.create_group(0, AutoScalingGroupName="other")
    for group, target in ((GROUP, 40.0), ("other", 60.0)):
        world.asg.put_scaling_policy(
            AutoScalingGroupName=group,
            PolicyName="cpu",
            PolicyType="TargetTrackingScaling",
            TargetTrackingConfiguration={
                "PredefinedMetricSpecification": {"PredefinedMetricType": "ASGAverageCPUUtilization"},
                "TargetValue": target,
            },
        )
        world.asg.put_scheduled_update_group_action(
            AutoScalingGroupName=group, ScheduledActionName="night", Recurrence="0 3 * * *", MinSize=0
        )
    world.asg.delete_policy(AutoScalingGroupName="other", PolicyName="cpu")
    (policy,) = world.asg.describe_policies()["ScalingPolicies"]
    assert (policy["AutoScalingGroupName"], policy["TargetTrackingConfiguration"]["TargetValue"]) == (GROUP, 40.0)
    world.asg.delete_scheduled_action(AutoScalingGroupName=GROUP, ScheduledActionName="night")
    (action,) = world.asg.describe_scheduled_actions()["ScheduledUpdateGroupActions"]
    assert action["AutoScalingGroupName"] == "other"


def test_metrics_and_tags(world: World) -> None:
    world.create_group(0, Tags=[{"Key": key, "Value": "x", "PropagateAtLaunch": True} for key in ("b", "a")])
    world.asg.enable_metrics_collection(AutoScalingGroupName=GROUP, Granularity="1Minute")
    assert len(world.describe()["EnabledMetrics"]) == 20
    world.asg.disable_metrics_collection(AutoScalingGroupName=GROUP, Metrics=["GroupMinSize"])
    assert len(world.describe()["EnabledMetrics"]) == 19
    world.asg.disable_metrics_collection(AutoScalingGroupName=GROUP)
    assert world.describe()["EnabledMetrics"] == []
    assert [tag["Key"] for tag in world.describe()["Tags"]] == ["a", "b"]


def test_without_machines_hooks_do_not_wait(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(autoscaling_hooks.backing, "machines", False)
    world.create_group(0)
    hook(world, "LAUNCHING")
    world.asg.set_desired_capacity(AutoScalingGroupName=GROUP, DesiredCapacity=2)
    assert world.states() == ["InService", "InService"]
