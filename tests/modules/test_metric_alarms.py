"""metric_alarms: the alarms of a name follow the list, and others are left alone."""

import pytest

from support.module_life import ModuleLife

NAME = "demo-jenkins"
TAGS = {"stackyard:environment": "demo"}
TOPIC = "arn:aws:sns:us-east-1:123456789012:demo-jenkins-alarms"
RECOVER = "arn:aws:automate:us-east-1:ec2:recover"
CREDITS = {
    "name": "credits",
    "description": "The home is slow.",
    "namespace": "AWS/EFS",
    "metric": "BurstCreditBalance",
    "dimensions": {"FileSystemId": "fs-0123456789abcdef0"},
    "statistic": "Minimum",
    "period": 300,
    "evaluation_periods": 3,
    "threshold": 1000000000,
    "comparison": "LessThanThreshold",
    "actions": [TOPIC],
}
SLOW = {
    "name": "slow",
    "namespace": "AWS/ApplicationELB",
    "metric": "TargetResponseTime",
    "extended_statistic": "p99",
    "threshold": 2.5,
    "comparison": "GreaterThanThreshold",
}
USED = {
    "name": "used",
    "expression": "100 * moved / PERIOD(moved) / permitted",
    "metrics": {
        name: {
            "namespace": "AWS/EFS",
            "metric": metric,
            "dimensions": {"FileSystemId": "fs-0123456789abcdef0"},
            "statistic": "Sum",
            "period": 300,
        }
        for name, metric in (("moved", "MeteredIOBytes"), ("permitted", "PermittedThroughput"))
    },
    "threshold": 80,
    "comparison": "GreaterThanThreshold",
}
WANTED = {"alarms": [CREDITS, SLOW], "tags": TAGS}


@pytest.fixture
def life(ansible, cloud):
    return ModuleLife(ansible, cloud, "stackyard.aws.metric_alarms", {"name": NAME})


def alarms(cloud):
    return {alarm["AlarmName"]: alarm for alarm in cloud.client("cloudwatch").describe_alarms()["MetricAlarms"]}


def test_alarms_from_nothing_to_nothing(life, cloud):
    foreign = {"MetricName": "a", "Namespace": "b", "Statistic": "Sum", "Period": 60, "EvaluationPeriods": 1}
    cloud.client("cloudwatch").put_metric_alarm(
        # Of another environment, whose name begins like ours.
        AlarmName=f"{NAME}-blue-credits",
        Threshold=1,
        ComparisonOperator="LessThanThreshold",
        **foreign,
    )
    done = life.live(WANTED)
    assert done["names"] == {"credits": f"{NAME}-credits", "slow": f"{NAME}-slow"}
    found = alarms(cloud)[f"{NAME}-credits"]
    assert found["Dimensions"] == [{"Name": "FileSystemId", "Value": "fs-0123456789abcdef0"}]
    assert (found["AlarmActions"], found["DatapointsToAlarm"], found["TreatMissingData"]) == ([TOPIC], 3, "missing")
    tags = cloud.client("cloudwatch").list_tags_for_resource(ResourceARN=found["AlarmArn"])["Tags"]
    assert {tag["Key"]: tag["Value"] for tag in tags} == TAGS | {"stackyard:alarms": NAME}
    assert alarms(cloud)[f"{NAME}-slow"]["ExtendedStatistic"] == "p99"

    fewer = life.live({"alarms": [CREDITS], "tags": TAGS})
    assert [(change["action"], change["name"]) for change in fewer["changes"]] == [("delete", f"{NAME}-slow")]
    life.live({"state": "absent"})
    assert set(alarms(cloud)) == {f"{NAME}-blue-credits"}


def test_each_property_altered(life):
    changed = [
        {"description": "Other."},
        {"namespace": "AWS/EC2"},
        {"metric": "Other"},
        {"dimensions": {"FileSystemId": "fs-0123456789abcdef0", "More": "x"}},
        {"statistic": "Average"},
        {"period": 60},
        {"evaluation_periods": 5},
        {"datapoints_to_alarm": 2},
        {"threshold": 0.5},
        {"comparison": "GreaterThanOrEqualToThreshold"},
        {"missing_data": "breaching"},
        {"unit": "Bytes"},
        {"actions": [RECOVER, TOPIC]},
        {"ok_actions": [TOPIC]},
        {"insufficient_data_actions": [TOPIC]},
    ]
    alterations = [({"alarms": [CREDITS | change]}, "alarm") for change in changed]
    life.alter(
        {"alarms": [CREDITS], "tags": TAGS},
        [*alterations, ({"tags": {"owner": "me"}}, "tags of alarm")],
    )


def test_an_expression_over_metrics(life, cloud):
    life.live({"alarms": [USED], "tags": TAGS})
    found = alarms(cloud)[f"{NAME}-used"]
    assert {entry["Id"] for entry in found["Metrics"] if entry.get("ReturnData", True)} == {"result"}
    slower = USED["metrics"] | {"moved": USED["metrics"]["moved"] | {"period": 60}}
    alterations = [{"expression": "moved"}, {"metrics": slower}, {"threshold": 90}]
    life.alter({"alarms": [USED]}, [({"alarms": [USED | change]}, "alarm") for change in alterations])
    # What was of one metric may become an expression.
    life.live({"alarms": [CREDITS | {"name": "used"}]})
    assert not alarms(cloud)[f"{NAME}-used"].get("Metrics")


def test_an_alarm_of_that_name_is_taken_over(life, cloud):
    life.run({"alarms": [CREDITS]})
    cloudwatch = cloud.client("cloudwatch")
    arn = alarms(cloud)[f"{NAME}-credits"]["AlarmArn"]
    cloudwatch.untag_resource(ResourceARN=arn, TagKeys=["stackyard:alarms"])
    cloudwatch.disable_alarm_actions(AlarmNames=[f"{NAME}-credits"])
    done = life.live({"alarms": [CREDITS]})
    assert {change["type"] for change in done["changes"]} == {"alarm", "tags of alarm"}
    assert alarms(cloud)[f"{NAME}-credits"]["ActionsEnabled"] is True


def test_bad_arguments_are_refused(life):
    assert "a name twice" in life.refused({"alarms": [CREDITS, CREDITS]})
    assert "statistic" in life.refused({"alarms": [CREDITS | {"extended_statistic": "p99"}]})
    assert "expression" in life.refused({"alarms": [USED | {"metric": "MeteredIOBytes", "namespace": "AWS/EFS"}]})
    assert "metrics" in life.refused({"alarms": [USED | {"metrics": None}]})
