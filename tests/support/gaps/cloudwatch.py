"""CloudWatch."""

from support.control_plane import Cloud
from support.gaps import gap


@gap("cloudwatch")
def an_alarm_stops_and_ends_the_instance_of_its_metric(cloud: Cloud) -> None:
    ec2, cloudwatch = cloud.client("ec2"), cloud.client("cloudwatch")
    instances = ec2.run_instances(ImageId="ami-12345678", InstanceType="t3.micro", MinCount=2, MaxCount=2)["Instances"]
    one, other = (instance["InstanceId"] for instance in instances)

    def alarm(action: str, instance: str) -> None:
        cloudwatch.put_metric_alarm(
            AlarmName=action,
            Namespace="AWS/EC2",
            MetricName="StatusCheckFailed_System",
            Dimensions=[{"Name": "InstanceId", "Value": instance}],
            Statistic="Maximum",
            Period=60,
            EvaluationPeriods=1,
            Threshold=1,
            ComparisonOperator="GreaterThanOrEqualToThreshold",
            AlarmActions=[f"arn:aws:automate:{cloud.region}:ec2:{action}"],
        )
        cloudwatch.set_alarm_state(AlarmName=action, StateValue="ALARM", StateReason="a test")

    def states() -> dict[str, str]:
        found = [r for page in ec2.describe_instances()["Reservations"] for r in page["Instances"]]
        return {instance["InstanceId"]: instance["State"]["Name"] for instance in found}

    alarm("stop", one)
    assert states() == {one: "stopped", other: "running"}
    ec2.start_instances(InstanceIds=[one])
    # A state that is the one from before changes nothing.
    cloudwatch.set_alarm_state(AlarmName="stop", StateValue="ALARM", StateReason="again")
    assert states() == {one: "running", other: "running"}
    alarm("terminate", other)
    assert states() == {one: "running", other: "terminated"}
