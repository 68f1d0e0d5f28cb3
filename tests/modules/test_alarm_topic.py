"""alarm_topic: a topic with its key and subscribers, from nothing to nothing."""

import json

import pytest

from support.module_life import ModuleLife

NAME = "demo-jenkins-alarms"
ARN = f"arn:aws:sns:us-east-1:123456789012:{NAME}"
TAGS = {"stackyard:environment": "demo"}
OPERATORS = {"protocol": "email", "endpoint": "operators@example.com"}
GATEWAY = {"protocol": "https", "endpoint": "https://alarms.example.com/sns"}


@pytest.fixture
def life(ansible, cloud):
    return ModuleLife(ansible, cloud, "stackyard.aws.alarm_topic", {"name": NAME})


def subscribers(cloud):
    return {
        (entry["Protocol"], entry["Endpoint"])
        for entry in cloud.client("sns").list_subscriptions_by_topic(TopicArn=ARN)["Subscriptions"]
    }


def keys(cloud):
    """The states of the keys that a run has made."""
    kms = cloud.client("kms")
    return sorted(kms.describe_key(KeyId=key["KeyId"])["KeyMetadata"]["KeyState"] for key in kms.list_keys()["Keys"])


def test_a_topic_from_nothing_to_nothing(life, cloud):
    created = life.live({"subscribers": [OPERATORS, GATEWAY], "tags": TAGS})
    assert [change["type"] for change in created["changes"]] == [
        "kms key",
        "sns topic",
        "sns subscriber",
        "sns subscriber",
    ]
    assert created["arn"] == ARN
    sns, kms = cloud.client("sns"), cloud.client("kms")
    topic = sns.get_topic_attributes(TopicArn=ARN)["Attributes"]
    assert topic["KmsMasterKeyId"] == f"alias/{NAME}"
    [statement] = json.loads(topic["Policy"])["Statement"]
    assert (statement["Principal"], statement["Action"]) == ({"Service": "cloudwatch.amazonaws.com"}, "sns:Publish")
    assert statement["Condition"]["StringEquals"] == {"aws:SourceAccount": "123456789012"}
    key = kms.describe_key(KeyId=f"alias/{NAME}")["KeyMetadata"]["KeyId"]
    policy = json.loads(kms.get_key_policy(KeyId=key, PolicyName="default")["Policy"])
    assert policy["Statement"][1]["Action"] == ["kms:Decrypt", "kms:GenerateDataKey*"]
    assert kms.get_key_rotation_status(KeyId=key)["KeyRotationEnabled"] is True
    assert subscribers(cloud) == {tuple(OPERATORS.values()), tuple(GATEWAY.values())}

    life.live({"state": "absent"})
    assert sns.list_topics()["Topics"] == []
    assert keys(cloud) == ["PendingDeletion"]
    # Again, with another key: the first goes its way.
    life.run({"tags": TAGS})
    assert keys(cloud) == ["Enabled", "PendingDeletion"]


def test_each_property_altered(life, cloud):
    start = {"subscribers": [OPERATORS], "tags": TAGS}
    life.run(start)
    done = life.live(start | {"subscribers": [GATEWAY]})
    assert [(change["action"], change["name"]) for change in done["changes"]] == [
        ("create", f"{NAME}/{GATEWAY['endpoint']}"),
        ("delete", f"{NAME}/{OPERATORS['endpoint']}"),
    ]
    tagged = life.live({"subscribers": [GATEWAY], "tags": {"owner": "me"}})
    assert {change["type"] for change in tagged["changes"]} == {"tags of sns topic", "tags of kms key"}
    sns, kms = cloud.client("sns"), cloud.client("kms")
    sns.set_topic_attributes(TopicArn=ARN, AttributeName="Policy", AttributeValue='{"Statement": []}')
    key = kms.describe_key(KeyId=f"alias/{NAME}")["KeyMetadata"]["KeyId"]
    kms.disable_key_rotation(KeyId=key)
    kms.put_key_policy(KeyId=key, PolicyName="default", Policy='{"Statement": []}')
    mended = life.live({"subscribers": [GATEWAY]})
    assert {change["type"] for change in mended["changes"]} == {
        "policy of sns topic",
        "rotation of kms key",
        "policy of kms key",
    }
    other = kms.create_key()["KeyMetadata"]["Arn"]
    moved = life.live({"subscribers": [GATEWAY], "kms_key_id": other})
    assert [(change["action"], change["type"]) for change in moved["changes"]] == [
        ("update", "encryption of sns topic"),
        ("delete", "kms key"),
    ]


def test_a_run_cut_off_before_the_key_had_its_alias_takes_it_up(life, cloud):
    kms = cloud.client("kms")
    kms.create_key(Tags=[{"TagKey": "stackyard:alarm-topic", "TagValue": NAME}])
    kms.create_key(Tags=[{"TagKey": "stackyard:alarm-topic", "TagValue": "another"}])
    life.run({})
    assert keys(cloud) == ["Enabled", "Enabled"]
    # A key that somebody is deleting is taken back.
    kms.schedule_key_deletion(KeyId=kms.describe_key(KeyId=f"alias/{NAME}")["KeyMetadata"]["KeyId"])
    assert life.run({})["changed"]
    assert keys(cloud) == ["Enabled", "Enabled"]
