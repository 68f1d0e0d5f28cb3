"""autoscaling_instance_refresh: replaces what differs, once, and says what came of it."""

import pytest

from support.instance_refresh import once_followed
from support.module_life import ModuleLife

NAME = "demo-wordpress"
ACTION = "stackyard.aws.autoscaling_instance_refresh"


@pytest.fixture
def template(cloud):
    """A template of two versions, of which the first serves."""
    ec2 = cloud.client("ec2")
    image = ec2.describe_images(Owners=["amazon", "self"])["Images"][0]["ImageId"]
    data = {"ImageId": image, "InstanceType": "t3.small"}
    ec2.create_launch_template(LaunchTemplateName=NAME, LaunchTemplateData=data)
    ec2.create_launch_template_version(LaunchTemplateName=NAME, LaunchTemplateData=data | {"InstanceType": "t3.large"})
    return data


@pytest.fixture
def machines(cloud, template):
    """The ids of the four machines of a group, in their order."""
    subnets = cloud.client("ec2").describe_subnets()["Subnets"][:2]
    cloud.client("autoscaling").create_auto_scaling_group(
        AutoScalingGroupName=NAME,
        LaunchTemplate={"LaunchTemplateName": NAME, "Version": "1"},
        VPCZoneIdentifier=",".join(subnet["SubnetId"] for subnet in subnets),
        MinSize=4,
        MaxSize=6,
    )
    return sorted(instance["InstanceId"] for instance in group(cloud)["Instances"])


@pytest.fixture
def life(ansible, cloud):
    to_second = {"name": NAME, "launch_template_name": NAME, "launch_template_version": "2"}
    quick = {"instance_warmup": 0, "wait_timeout": 60, "progress_interval": 2}
    return ModuleLife(ansible, cloud, ACTION, to_second | quick)


def group(cloud):
    answer = cloud.client("autoscaling").describe_auto_scaling_groups(AutoScalingGroupNames=[NAME])
    return answer["AutoScalingGroups"][0]


def refreshes(cloud):
    return cloud.client("autoscaling").describe_instance_refreshes(AutoScalingGroupName=NAME)["InstanceRefreshes"]


def hold(cloud):
    """Keep a refresh where it is, as something that takes long does."""
    cloud.client("autoscaling").suspend_processes(AutoScalingGroupName=NAME, ScalingProcesses=["Launch"])


def let_go(cloud):
    cloud.client("autoscaling").resume_processes(AutoScalingGroupName=NAME, ScalingProcesses=["Launch"])


def test_machines_are_replaced_once(life, cloud, machines):
    announced = life.run({}, check=True)
    assert announced["to_replace_instance_ids"] == machines
    done = life.live({"checkpoint_percentages": [35, 70, 100], "checkpoint_delay": 0})
    assert (done["status"], done["percentage_complete"]) == ("Successful", 100)
    assert done["replaced_instance_ids"] == machines
    assert sorted(machine["instance_id"] for machine in done["instances_before"]) == machines
    assert {machine["launch_template_version"] for machine in done["instances_after"]} == {"2"}
    assert group(cloud)["LaunchTemplate"]["Version"] == "2"
    [refresh] = refreshes(cloud)
    assert refresh["InstanceRefreshId"] == done["instance_refresh_id"]
    preferences = refresh["Preferences"]
    assert preferences["CheckpointPercentages"] == [35, 70, 100]
    assert (preferences["AutoRollback"], preferences["SkipMatching"]) == (True, True)
    assert (preferences["MinHealthyPercentage"], preferences["MaxHealthyPercentage"]) == (100, 150)


def test_progress_is_shown_while_it_waits(life, cloud, machines):
    # Long enough to be looked at on a busy machine too.
    options = {"checkpoint_percentages": [50, 100], "checkpoint_delay": 12}
    task = {"name": "Run", ACTION: life.common | options}
    shown = life.ansible.run_tasks([task]).stdout.splitlines()
    lines = [line.strip() for line in shown if line.strip().startswith(f"{NAME}: ")]
    assert len(lines) >= 3
    assert "instance refresh" in lines[0]
    assert any("of 4 machines of version 2 in service" in line and "healthy" in line for line in lines)
    assert "4 of 4 machines of version 2 in service, 0 to replace, 4 healthy, 0 awaited; Successful" in lines[-1]


def test_all_machines_are_replaced_where_that_is_asked_for(ansible, cloud, machines):
    task = {
        "name": "Run",
        ACTION: {"name": NAME, "skip_matching": False, "auto_rollback": False, "instance_warmup": 0},
    }
    done = ansible.run_tasks([task]).last
    assert (done["changed"], done["status"], done["replaced_instance_ids"]) == (True, "Successful", machines)


def test_a_refresh_that_is_running_is_taken_up(life, cloud, machines):
    hold(cloud)
    begun = life.run({"wait": False})
    assert (begun["changed"], len(refreshes(cloud))) == (True, 1)
    message = life.run({"wait_timeout": 3, "progress_interval": 1}, expect_failure=True)["msg"]
    assert f"Instance refresh {begun['instance_refresh_id']}" in message
    assert "did not end within 3 seconds; last seen: 0 of 4 machines of version 2" in message
    assert "It goes on; run again to wait on." in message
    with once_followed(cloud, lambda: let_go(cloud)):
        done = life.run({})
    assert (done["changed"], done["status"]) == (False, "Successful")
    assert done["instance_refresh_id"] == begun["instance_refresh_id"]
    assert len(refreshes(cloud)) == 1


def test_one_to_another_version_is_not_doubled(life, cloud, template, machines):
    cloud.client("ec2").create_launch_template_version(LaunchTemplateName=NAME, LaunchTemplateData=template)
    hold(cloud)
    begun = life.run({"wait": False})
    message = life.refused({"launch_template_version": "3"})
    assert message.startswith(
        f"Instance refresh {begun['instance_refresh_id']} of auto scaling group {NAME} to version 2 is "
    )
    assert "and version 3 is asked for: run again when it has ended" in message
    assert len(refreshes(cloud)) == 1


def test_a_running_one_is_cancelled_or_turned_back(life, cloud, machines):
    for state, status in (("rolled_back", "RollbackSuccessful"), ("cancelled", "Cancelled")):
        hold(cloud)
        life.run({"wait": False})
        assert life.run({"state": state}, check=True)["changed"]
        assert refreshes(cloud)[0]["Status"] in ("Pending", "InProgress")
        assert life.run({"state": state, "wait": False})["changed"]
        let_go(cloud)
        life.run({"state": state})
        assert refreshes(cloud)[0]["Status"] == status
        assert life.run({"state": state})["changed"] is False
    assert {entry["LaunchTemplate"]["Version"] for entry in group(cloud)["Instances"]} == {"1"}


def test_launches_that_fail_turn_it_back(life, cloud, template, machines):
    ec2 = cloud.client("ec2")
    broken = template | {"SecurityGroupIds": ["sg-0123456789abcdef0"]}
    ec2.create_launch_template_version(LaunchTemplateName=NAME, LaunchTemplateData=broken)
    failed = life.run(
        {"launch_template_version": "3", "max_failed_launches": 2, "max_healthy_percentage": 125}, expect_failure=True
    )
    assert failed["status"] == "RollbackSuccessful"
    assert "to version 3 was rolled back: 2 machines came to nothing, the last with: " in failed["msg"]
    assert "sg-0123456789abcdef0" in failed["msg"]
    assert "All machines are of version 1 again. Run again to try again." in failed["msg"]
    assert group(cloud)["LaunchTemplate"]["Version"] == "1"
    staying = [entry for entry in group(cloud)["Instances"] if entry["LifecycleState"] == "InService"]
    assert sorted(entry["InstanceId"] for entry in staying) == machines
    # It may be tried again, and says so beforehand.
    assert life.run({"launch_template_version": "3"}, check=True)["changed"]


def alarm(cloud, name, state):
    cloudwatch = cloud.client("cloudwatch")
    cloudwatch.put_metric_alarm(
        AlarmName=name,
        Namespace="stackyard",
        MetricName="errors",
        Statistic="Sum",
        Period=60,
        EvaluationPeriods=1,
        Threshold=1,
        ComparisonOperator="GreaterThanThreshold",
    )
    cloudwatch.set_alarm_state(AlarmName=name, StateValue=state, StateReason="a test")


def test_an_alarm_keeps_it_from_beginning_or_turns_it_back(life, cloud, machines):
    assert "alarms names errors, and there is no such alarm" in life.refused({"alarms": ["errors"]})
    alarm(cloud, "errors", "ALARM")
    assert "The alarm errors is in the state ALARM: no machine" in life.refused({"alarms": ["errors"]})
    assert refreshes(cloud) == []
    alarm(cloud, "errors", "OK")
    stops = {"alarms": ["errors"], "checkpoint_percentages": [50, 100], "checkpoint_delay": 600}
    with once_followed(cloud, lambda: alarm(cloud, "errors", "ALARM")):
        failed = life.run(stops, expect_failure=True)
    assert failed["status"] == "RollbackSuccessful"
    assert "was rolled back: " in failed["msg"]
    assert "errors" in failed["msg"]
    assert {entry["LaunchTemplate"]["Version"] for entry in group(cloud)["Instances"]} == {"1"}


WRONG = [
    ({"name": "other"}, "There is no auto scaling group other"),
    ({"min_healthy_percentage": 120}, "min_healthy_percentage is 120: 0 to 100 is accepted"),
    ({"min_healthy_percentage": 20}, "at most 100 more than min_healthy_percentage (20)"),
    ({"checkpoint_percentages": [70, 35]}, "checkpoint_percentages is [70, 35]: ascending numbers from 1 to 100"),
    ({"bake_time": -1}, "bake_time is -1: 0 to 172800 seconds"),
    (
        {"launch_template_version": "$Latest"},
        "launch_template_version is '$Latest': the number of a version is accepted",
    ),
]


def test_wrong_input_is_refused(life, cloud, machines):
    cloud.forget_requests()
    tasks = [
        {"name": f"Run {number}", ACTION: life.common | wrong, "ignore_errors": True}
        for number, (wrong, _) in enumerate(WRONG)
    ]
    results = [task.result for task in life.ansible.run_tasks(tasks).tasks]
    said = [result["msg"] for result in results]
    assert [text for (_, text), sentence in zip(WRONG, said, strict=True) if text not in sentence] == []
    assert cloud.writes() == []
