"""Instance refresh over patched moto."""

from __future__ import annotations

from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError

from localcloud.patches import elbv2
from unit.localcloud.scaling_world import GROUP, World

PATIENT = {"MinHealthyPercentage": 90, "InstanceWarmup": 0}


def start(world: World, desired: dict[str, Any] | None = None, **preferences: Any) -> str:
    more = {"DesiredConfiguration": desired} if desired else {}
    return str(
        world.asg.start_instance_refresh(AutoScalingGroupName=GROUP, Preferences=preferences, **more)[
            "InstanceRefreshId"
        ]
    )


def template(world: World, version: str) -> dict[str, Any]:
    return {"LaunchTemplate": {"LaunchTemplateId": world.template, "Version": version}}


def versions(world: World) -> list[str]:
    return sorted(
        entry["LaunchTemplate"]["Version"] for entry in world.instances() if entry["LifecycleState"] == "InService"
    )


def test_one_by_one_and_never_below_the_minimum(world: World) -> None:
    _, arn = world.balancer()
    world.create_group(2, TargetGroupARNs=[arn])
    world.measure(arn)
    world.new_version()
    start(world, MinHealthyPercentage=100, MaxHealthyPercentage=110, InstanceWarmup=0)
    seen = []
    for _ in range(20):
        seen.append(world.refresh()["PercentageComplete"])
        # The replacement is registered, measured a moment later, and only then may an old member leave.
        serving = sum(
            elbv2.measured(world.target_group(arn)).get(key) == elbv2.HEALTHY for key in world.target_group(arn).targets
        )
        assert serving >= 2
        assert len([state for state in world.states() if state in {"InService", "Pending"}]) <= 3
        if world.refresh()["Status"] == "Successful":
            break
        world.measure(arn)
    assert world.refresh()["Status"] == "Successful"
    assert set(seen) >= {0, 50, 100}
    assert versions(world) == ["2", "2"]
    assert {entry["AvailabilityZone"] for entry in world.instances()} == {"us-east-1a", "us-east-1b"}


def test_a_maximum_of_100_terminates_first(world: World) -> None:
    _, arn = world.balancer()
    world.create_group(2, TargetGroupARNs=[arn])
    world.measure(arn)
    world.new_version()
    start(world, **PATIENT)
    assert len(world.ids("Terminating")) == 1
    assert world.refresh()["StatusReason"].startswith("Waiting for instances to warm up")
    for _ in range(6):
        world.measure(arn)
        assert len(world.ids()) <= 2
    assert world.refresh()["Status"] == "Successful"
    assert versions(world) == ["2", "2"]


def test_a_second_refresh_is_refused_while_one_runs(world: World) -> None:
    world.create_group(2)
    start(world, InstanceWarmup=60)
    with pytest.raises(ClientError) as error:
        start(world)
    assert error.value.response["Error"]["Code"] == "InstanceRefreshInProgress"
    world.asg.cancel_instance_refresh(AutoScalingGroupName=GROUP)
    world.settle()
    assert world.refresh()["Status"] == "Cancelled"
    with pytest.raises(ClientError) as error:
        world.asg.cancel_instance_refresh(AutoScalingGroupName=GROUP)
    assert error.value.response["Error"]["Code"] == "ActiveInstanceRefreshNotFound"


def test_warm_up_delays_the_next_step(world: World) -> None:
    world.create_group(2)
    start(world, MinHealthyPercentage=90, InstanceWarmup=30)
    assert world.refresh()["PercentageComplete"] == 0
    world.pass_time(29)
    assert world.refresh()["PercentageComplete"] == 0
    world.pass_time(2)
    assert world.refresh()["PercentageComplete"] == 50
    world.pass_time(31)
    assert world.refresh()["Status"] == "Successful"


def test_skip_matching_replaces_what_differs_only(world: World) -> None:
    world.create_group(1)
    (old,) = world.ids()
    world.new_version()
    world.asg.set_desired_capacity(AutoScalingGroupName=GROUP, DesiredCapacity=2)
    (kept,) = [instance for instance in world.ids() if instance != old]
    start(world, SkipMatching=True, **PATIENT)
    assert world.refresh()["Status"] == "Successful"
    assert kept in world.ids()
    assert versions(world) == ["2", "2"]
    start(world, SkipMatching=True, **PATIENT)
    assert (world.refresh()["Status"], world.refresh()["PercentageComplete"]) == ("Successful", 100)
    assert kept in world.ids()


def test_checkpoints_wait_for_their_delay(world: World) -> None:
    world.create_group(4)
    world.new_version()
    start(world, CheckpointPercentages=[25, 100], CheckpointDelay=120, **PATIENT)
    assert world.refresh()["PercentageComplete"] == 25
    assert "checkpoint" in world.refresh()["StatusReason"]
    world.pass_time(119)
    assert versions(world).count("2") == 1
    world.pass_time(2)
    assert world.refresh()["Status"] == "Successful"
    assert versions(world) == ["2"] * 4


def test_a_desired_configuration_becomes_the_groups_on_success(world: World) -> None:
    world.create_group(2, LaunchTemplate={"LaunchTemplateId": world.template, "Version": "1"})
    version = world.new_version()
    start(world, template(world, version), InstanceWarmup=10)
    assert world.describe()["LaunchTemplate"]["Version"] == "1"
    world.pass_time(11)
    world.pass_time(11)
    assert world.refresh()["Status"] == "Successful"
    assert world.describe()["LaunchTemplate"]["Version"] == version
    assert versions(world) == [version, version]


def test_roll_back_by_call(world: World) -> None:
    world.create_group(2, LaunchTemplate={"LaunchTemplateId": world.template, "Version": "1"})
    start(world, template(world, world.new_version()), InstanceWarmup=10)
    world.pass_time(11)
    assert versions(world) == ["2", "2"] or "2" in versions(world)
    world.asg.rollback_instance_refresh(AutoScalingGroupName=GROUP)
    assert world.refresh()["Status"] == "RollbackInProgress"
    for _ in range(3):
        world.pass_time(11)
    assert world.refresh()["Status"] == "RollbackSuccessful"
    assert versions(world) == ["1", "1"]
    assert world.describe()["LaunchTemplate"]["Version"] == "1"


def test_roll_back_needs_a_desired_configuration_with_numbers(world: World) -> None:
    world.create_group(2)
    start(world, InstanceWarmup=10)
    with pytest.raises(ClientError) as error:
        world.asg.rollback_instance_refresh(AutoScalingGroupName=GROUP)
    assert error.value.response["Error"]["Code"] == "IrreversibleInstanceRefresh"
    world.asg.cancel_instance_refresh(AutoScalingGroupName=GROUP, WaitForTransitioningInstances=False)
    with pytest.raises(ClientError, match="rolled back"):
        start(world, template(world, "1"), AutoRollback=True)


def test_a_stalled_refresh_rolls_back_by_itself(world: World) -> None:
    _, arn = world.balancer()
    world.create_group(2, TargetGroupARNs=[arn], LaunchTemplate={"LaunchTemplateId": world.template, "Version": "1"})
    world.measure(arn)
    start(world, template(world, world.new_version()), AutoRollback=True, **PATIENT)
    world.measure(arn, elbv2.CHECKING)
    world.pass_time(3700)
    assert world.refresh()["Status"] == "RollbackInProgress"
    for _ in range(6):
        world.measure(arn)
    assert world.refresh()["Status"] == "RollbackSuccessful"
    assert versions(world) == ["1", "1"]


def test_an_alarm_fails_the_refresh(world: World) -> None:
    cloudwatch = boto3.client("cloudwatch", region_name="us-east-1")
    cloudwatch.put_metric_alarm(
        AlarmName="errors", MetricName="m", Namespace="n", Statistic="Sum", Period=60, EvaluationPeriods=1,
        Threshold=1, ComparisonOperator="GreaterThanThreshold",
    )  # fmt: skip
    world.create_group(2)
    start(world, InstanceWarmup=10, AlarmSpecification={"Alarms": ["errors"]})
    cloudwatch.set_alarm_state(AlarmName="errors", StateValue="ALARM", StateReason="test")
    world.settle()
    assert world.refresh()["Status"] == "Failed"
    assert "errors" in world.refresh()["StatusReason"]


@pytest.mark.parametrize(
    "preferences",
    [
        {"MinHealthyPercentage": 101},
        {"MinHealthyPercentage": 50, "MaxHealthyPercentage": 200},
        {"CheckpointPercentages": [50, 20]},
        {"CheckpointDelay": 10},
        {"CheckpointPercentages": [100], "CheckpointDelay": 172801},
        {"BakeTime": 172801},
        {"MaxHealthyPercentage": 110},
        {"AlarmSpecification": {"Alarms": [f"alarm-{number}" for number in range(11)]}},
        {"StandbyInstances": "Sometimes"},
    ],
)
def test_wrong_preferences_are_refused(world: World, preferences: dict[str, Any]) -> None:
    world.create_group(1)
    with pytest.raises(ClientError) as error:
        start(world, **preferences)
    assert error.value.response["Error"]["Code"] == "ValidationError"


def test_protected_members_are_waited_for_ignored_or_replaced(world: World) -> None:
    world.create_group(1, NewInstancesProtectedFromScaleIn=True)
    (member,) = world.ids()
    start(world, **PATIENT)
    assert world.refresh()["Status"] == "InProgress"
    assert "protected" in world.refresh()["StatusReason"]
    world.asg.cancel_instance_refresh(AutoScalingGroupName=GROUP)
    start(world, ScaleInProtectedInstances="Ignore", **PATIENT)
    assert world.refresh()["Status"] == "Successful"
    assert world.ids() == [member]
    start(world, ScaleInProtectedInstances="Refresh", **PATIENT)
    assert world.refresh()["Status"] == "Successful"
    assert world.ids() != [member]


def test_a_rollback_counts_down_what_was_replaced(world: World) -> None:
    world.create_group(4, LaunchTemplate={"LaunchTemplateId": world.template, "Version": "1"})
    start(world, template(world, world.new_version()), MinHealthyPercentage=75, InstanceWarmup=10)
    world.pass_time(11)
    world.pass_time(11)
    assert (world.refresh()["PercentageComplete"], world.refresh()["InstancesToUpdate"]) == (50, 2)
    world.asg.rollback_instance_refresh(AutoScalingGroupName=GROUP)
    seen = []
    for _ in range(6):
        seen.append(world.refresh()["PercentageComplete"])
        assert world.refresh()["InstancesToUpdate"] == 2
        world.pass_time(11)
    assert seen == sorted(seen, reverse=True)
    assert world.refresh()["Status"] == "RollbackSuccessful"
    assert world.refresh()["PercentageComplete"] == 0
    assert world.refresh()["RollbackDetails"]["PercentageCompleteOnRollback"] == 50
    assert versions(world) == ["1"] * 4


def test_a_maximum_that_is_given_launches_first(world: World) -> None:
    world.create_group(2)
    world.new_version()
    start(world, MinHealthyPercentage=100, MaxHealthyPercentage=100, InstanceWarmup=10)
    assert versions(world) == ["1", "1", "2"]
    world.pass_time(11)
    world.pass_time(11)
    assert world.refresh()["Status"] == "Successful"
    assert versions(world) == ["2", "2"]


def test_bounds_default_to_the_groups_maintenance_policy(world: World) -> None:
    policy = {"MinHealthyPercentage": 100, "MaxHealthyPercentage": 150}
    world.create_group(2, InstanceMaintenancePolicy=policy)
    start(world, InstanceWarmup=10)
    assert world.refresh()["Preferences"] | policy == world.refresh()["Preferences"]
    assert len(world.ids()) == 3


def test_checkpoints_that_are_reached_together_are_one(world: World) -> None:
    world.create_group(2)
    world.new_version()
    start(world, CheckpointPercentages=[10, 40, 100], CheckpointDelay=120, **PATIENT)
    assert "40 percent" in world.refresh()["StatusReason"]
    world.pass_time(121)
    assert world.refresh()["Status"] == "Successful"


@pytest.mark.parametrize(
    "desired",
    [
        {"LaunchTemplate": {"LaunchTemplateId": "lt-0123456789abcdef0", "Version": "1"}},
        {"LaunchTemplate": {"LaunchTemplateName": "web", "Version": "7"}},
    ],
)
def test_a_desired_configuration_has_a_template_that_exists(world: World, desired: dict[str, Any]) -> None:
    world.create_group(1)
    with pytest.raises(ClientError) as error:
        world.asg.start_instance_refresh(AutoScalingGroupName=GROUP, DesiredConfiguration=desired)
    assert error.value.response["Error"]["Code"] == "ValidationError"


def test_the_template_is_not_changed_under_a_desired_configuration(world: World) -> None:
    world.create_group(2, LaunchTemplate={"LaunchTemplateId": world.template, "Version": "1"})
    version = world.new_version()
    start(world, template(world, version), InstanceWarmup=10)
    with pytest.raises(ClientError, match="An active instance refresh with a desired configuration exists"):
        world.asg.update_auto_scaling_group(AutoScalingGroupName=GROUP, **template(world, version))
    world.asg.update_auto_scaling_group(AutoScalingGroupName=GROUP, MaxSize=5)
    assert (world.describe()["MaxSize"], world.describe()["LaunchTemplate"]["Version"]) == (5, "1")


def test_a_desired_configuration_of_the_latest_version_can_be_rolled_back(world: World) -> None:
    world.create_group(1, LaunchTemplate={"LaunchTemplateId": world.template, "Version": "1"})
    world.new_version()
    start(world, template(world, "$Latest"), AutoRollback=True, InstanceWarmup=10)
    world.asg.rollback_instance_refresh(AutoScalingGroupName=GROUP)
    for _ in range(2):
        world.pass_time(11)
    assert world.refresh()["Status"] == "RollbackSuccessful"
    assert versions(world) == ["1"]


def test_launches_that_are_given_up_fail_the_refresh_after_an_hour(world: World) -> None:
    world.create_group(2, LaunchTemplate={"LaunchTemplateId": world.template, "Version": "1"})
    before = world.ids()
    world.asg.put_lifecycle_hook(
        AutoScalingGroupName=GROUP, LifecycleHookName="launch",
        LifecycleTransition="autoscaling:EC2_INSTANCE_LAUNCHING", HeartbeatTimeout=600,
    )  # fmt: skip
    start(world, template(world, world.new_version()), AutoRollback=True, MinHealthyPercentage=100,
          MaxHealthyPercentage=150, InstanceWarmup=0)  # fmt: skip
    tried, began = set(), world.clock.value
    while world.clock.value < began + 3600:
        assert world.refresh()["Status"] == "InProgress"
        for waiting in world.ids("Pending:Wait"):
            tried.add(waiting)
            world.asg.complete_lifecycle_action(
                AutoScalingGroupName=GROUP, LifecycleHookName="launch", InstanceId=waiting,
                LifecycleActionResult="ABANDON",
            )  # fmt: skip
        assert sorted(world.ids()) == sorted(before)
        world.pass_time(100)
    assert len(tried) > 5
    world.pass_time(100)
    assert world.refresh()["Status"] == "RollbackSuccessful"
    assert "ABANDON" in world.refresh()["RollbackDetails"]["RollbackReason"]
    assert sorted(world.ids()) == sorted(before)
    cancelled = [
        activity
        for activity in world.asg.describe_scaling_activities(AutoScalingGroupName=GROUP)["Activities"]
        if activity["StatusCode"] == "Cancelled"
    ]
    assert all("was abandoned: Lifecycle Action Completed with ABANDON Result" in a["StatusMessage"] for a in cancelled)
    assert len(cancelled) == len(tried)


def test_standby_members_are_waited_for_ignored_or_terminated(world: World) -> None:
    world.create_group(2, MinSize=1)
    resting, working = world.ids()
    world.asg.enter_standby(AutoScalingGroupName=GROUP, InstanceIds=[resting], ShouldDecrementDesiredCapacity=True)
    start(world, StandbyInstances="Ignore", **PATIENT)
    assert world.refresh()["Status"] == "Successful"
    assert world.ids("Standby") == [resting]
    assert working not in world.ids()
    start(world, **PATIENT)
    assert world.refresh()["Status"] == "InProgress"
    assert "Standby" in world.refresh()["StatusReason"]
    world.pass_time(3700)
    assert world.refresh()["Status"] == "Failed"
    start(world, StandbyInstances="Terminate", **PATIENT)
    assert world.refresh()["Status"] == "Successful"
    assert world.states() == ["InService"]


def test_a_machine_that_is_replaced_at_a_checkpoint_costs_one_more_only(world: World) -> None:
    _, arn = world.balancer()
    policy = {"MinHealthyPercentage": 100, "MaxHealthyPercentage": 150}
    world.create_group(2, TargetGroupARNs=[arn], HealthCheckType="ELB", InstanceMaintenancePolicy=policy)
    world.measure(arn)
    world.new_version()
    start(world, CheckpointPercentages=[50, 100], CheckpointDelay=600, InstanceWarmup=0)
    world.measure(arn)
    world.measure(arn)
    assert "checkpoint" in world.refresh()["StatusReason"]
    world.measure(arn, elbv2.Health("unhealthy", "Target.FailedHealthChecks", "Health checks failed"))
    assert len(world.ids()) == 3
    world.measure(arn)
    world.measure(arn)
    assert len(world.instances()) == 2


@pytest.mark.parametrize("bounds", [PATIENT, {"MinHealthyPercentage": 100, "MaxHealthyPercentage": 150}])
def test_nothing_is_replaced_while_too_few_are_healthy(world: World, bounds: dict[str, int]) -> None:
    _, arn = world.balancer()
    world.create_group(4, TargetGroupARNs=[arn])
    world.measure(arn)
    before = set(world.ids())
    world.new_version()
    world.measure(arn, elbv2.Health("unhealthy", "Target.FailedHealthChecks", "Health checks failed"))
    start(world, **bounds | {"InstanceWarmup": 0})
    for _ in range(5):
        world.pass_time(10)
        assert before <= set(world.ids())
    assert world.refresh()["StatusReason"].startswith("Waiting for")
    for _ in range(12):
        world.measure(arn)
    assert world.refresh()["Status"] == "Successful"
    assert not before & set(world.ids())
