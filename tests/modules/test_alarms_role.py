"""The role alarms: from nothing to nothing, its result, and what it refuses."""

TAGS = {"stackyard:environment": "demo", "stackyard:application": "jenkins"}
RECOVER = "arn:aws:automate:us-east-1:ec2:recover"
TOPIC = "arn:aws:sns:us-east-1:123456789012:demo-jenkins-alarms"
CREDITS = {
    "name": "credits",
    "namespace": "AWS/EFS",
    "metric": "BurstCreditBalance",
    "dimensions": {"FileSystemId": "fs-0123456789abcdef0"},
    "statistic": "Minimum",
    "threshold": 1000000000,
    "comparison": "LessThanThreshold",
}
BROKEN = {
    "name": "broken",
    "namespace": "AWS/EC2",
    "metric": "StatusCheckFailed_System",
    "dimensions": {"InstanceId": "i-0123456789abcdef0"},
    "statistic": "Maximum",
    "threshold": 1,
    "comparison": "GreaterThanOrEqualToThreshold",
    "notify": False,
    "actions": [RECOVER],
}
WANTED = {
    "alarms_name": "demo-jenkins",
    "alarms_tags": TAGS,
    "alarms_alarms": [CREDITS, BROKEN],
    "alarms_subscribers": [{"protocol": "email", "endpoint": "operators@example.com"}],
}


def alarms(cloud):
    return {alarm["AlarmName"]: alarm for alarm in cloud.client("cloudwatch").describe_alarms()["MetricAlarms"]}


def test_life_of_alarms(ansible, cloud):
    checked = ansible.run_role("alarms", WANTED, check=True)
    assert [task.action for task in checked.changed] == ["stackyard.aws.alarm_topic", "stackyard.aws.metric_alarms"]
    assert checked.facts["alarms_result"]["topic_arn"] == TOPIC
    assert cloud.writes() == []

    made = ansible.run_role("alarms", WANTED)
    names = {"credits": "demo-jenkins-credits", "broken": "demo-jenkins-broken"}
    assert made.facts["alarms_result"] == {"topic_arn": TOPIC, "names": names}
    found = alarms(cloud)
    assert [found[names["credits"]][key] for key in ("AlarmActions", "OKActions")] == [[TOPIC], [TOPIC]]
    assert [found[names["broken"]][key] for key in ("AlarmActions", "OKActions")] == [[RECOVER], []]
    assert cloud.server_errors() == []

    cloud.forget_requests()
    assert ansible.run_role("alarms", WANTED).changed == []
    assert ansible.run_role("alarms", WANTED, check=True).changed == []
    assert cloud.writes() == []

    fewer = WANTED | {"alarms_alarms": [CREDITS]}
    assert [task.action for task in ansible.run_role("alarms", fewer).changed] == ["stackyard.aws.metric_alarms"]
    assert list(alarms(cloud)) == [names["credits"]]

    absent = WANTED | {"alarms_state": "absent"}
    assert len(ansible.run_role("alarms", absent, check=True).changed) == 2
    assert len(ansible.run_role("alarms", absent).changed) == 2
    assert (alarms(cloud), cloud.client("sns").list_topics()["Topics"]) == ({}, [])
    assert ansible.run_role("alarms", absent).changed == []


def test_refusals(ansible, cloud):
    said = ansible.refusals(
        "alarms",
        [
            WANTED | {"alarms_alarms": [CREDITS | {"period": 45}]},
            WANTED | {"alarms_alarms": [CREDITS | {"comparison": "Less"}]},
            WANTED | {"alarms_subscriber": []},
        ],
    )
    assert "alarms_alarms, credits: period is 45" in said[0]
    assert "comparison must be one of" in said[1]
    assert "alarms_subscribers is meant" in said[2]
    assert cloud.writes() == []
