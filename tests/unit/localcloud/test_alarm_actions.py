"""Alarms that restart an instance: what the machines are told, and when they are not."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from moto.cloudwatch.models import cloudwatch_backends
from moto.ec2.models import ec2_backends

from localcloud.patches import ec2_instances
from unit.localcloud.scaling_world import ACCOUNT, REGION, World, client

Set = Callable[..., str]


@pytest.fixture
def instance(world: World) -> Any:
    started = world.ec2.run_instances(ImageId=world.image, MinCount=1, MaxCount=1)["Instances"][0]
    return ec2_backends[ACCOUNT][REGION].get_instance(started["InstanceId"])


@pytest.fixture
def alarm(instance: Any) -> Set:
    """Set an alarm's state; returns what the instance is to do."""

    def set_state(action: str, state: str = "ALARM", *, region: str = REGION, **arguments: Any) -> str:
        cloudwatch = client("cloudwatch")
        cloudwatch.put_metric_alarm(
            **{
                "AlarmName": "broken",
                "Namespace": "AWS/EC2",
                "MetricName": "StatusCheckFailed_System",
                "Dimensions": [{"Name": "InstanceId", "Value": instance.id}],
                "Statistic": "Maximum",
                "Period": 60,
                "EvaluationPeriods": 1,
                "Threshold": 1,
                "ComparisonOperator": "GreaterThanOrEqualToThreshold",
                "AlarmActions": [f"arn:aws:automate:{region}:ec2:{action}"],
                **arguments,
            }
        )
        cloudwatch.set_alarm_state(AlarmName="broken", StateValue=state, StateReason="a test")
        assert cloudwatch_backends[ACCOUNT][REGION].alarms["broken"].state_value == state
        return ec2_instances.restart_wanted(instance)

    return set_state


@pytest.mark.parametrize("action", ["recover", "reboot"])
def test_an_alarm_restarts_a_running_instance(alarm: Set, instance: Any, action: str) -> None:
    address = instance.private_ip
    assert alarm(action) == action
    ec2_instances.restart_begun(instance)
    assert ec2_instances.restart_wanted(instance) == ""
    assert (instance.state, instance.private_ip) == ("running", address)


def test_other_states_have_actions_of_their_own(alarm: Set) -> None:
    assert alarm("recover", "INSUFFICIENT_DATA") == ""
    recover = f"arn:aws:automate:{REGION}:ec2:recover"
    assert alarm("reboot", "INSUFFICIENT_DATA", AlarmActions=[], InsufficientDataActions=[recover]) == "recover"


def test_actions_that_are_off_or_elsewhere_do_nothing(alarm: Set) -> None:
    assert alarm("recover", ActionsEnabled=False) == ""
    assert alarm("recover", region="eu-west-1") == ""
    assert alarm("recover", Dimensions=[]) == ""
    assert alarm("recover", AlarmActions=[f"arn:aws:sns:{REGION}:{ACCOUNT}:topic"]) == ""


def test_what_does_not_run_is_not_restarted_and_what_is_protected_stays(
    alarm: Set, instance: Any, world: World
) -> None:
    world.ec2.modify_instance_attribute(InstanceId=instance.id, DisableApiTermination={"Value": True})
    assert alarm("terminate") == ""
    assert instance.state == "running"
    world.ec2.stop_instances(InstanceIds=[instance.id])
    assert [alarm(action) for action in ("recover", "reboot")] == ["", ""]
    world.ec2.modify_instance_attribute(InstanceId=instance.id, DisableApiTermination={"Value": False})
    world.ec2.terminate_instances(InstanceIds=[instance.id])
    assert alarm("stop") == ""
    assert instance.state == "terminated"
