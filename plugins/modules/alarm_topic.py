#!/usr/bin/python
# Copyright: stackyard contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
---
module: alarm_topic
version_added: 0.1.0
short_description: Manage an encrypted SNS topic for CloudWatch alarms
description:
  - Creates, alters and deletes an SNS topic with its subscribers. Its policy lets CloudWatch alarms of this account
    publish, and nobody else.
  - The topic is encrypted with a key of its own, unless O(kms_key_id) names another. CloudWatch cannot publish to a
    topic that is encrypted with AWS's key for SNS, whose policy nobody can alter.
  - M(community.aws.sns_topic) cannot encrypt, and fails in check mode while there is no topic.
author:
  - stackyard contributors (@stackyard)
options:
  name:
    description: Name of the topic, and after C(alias/) that of its key.
    type: str
    required: true
  state:
    description: Whether the topic exists. V(absent) schedules the deletion of its own key too, in seven days.
    type: str
    choices: [present, absent]
    default: present
  kms_key_id:
    description:
      - Another key, as id, ARN or alias. Its policy has to let C(cloudwatch.amazonaws.com) call C(kms:Decrypt) and
        C(kms:GenerateDataKey*).
    type: str
  subscribers:
    description:
      - Who is told. Subscribers that are not listed are removed.
      - AWS sends a message to each new one, which is told nothing until it has confirmed.
    type: list
    elements: dict
    default: []
    suboptions:
      protocol:
        description: How the subscriber is told.
        type: str
        choices: [email, https]
        required: true
      endpoint:
        description: Address, or URL.
        type: str
        required: true
extends_documentation_fragment:
  - stackyard.aws.stack
  - amazon.aws.common.modules
  - amazon.aws.region.modules
  - amazon.aws.tags
  - amazon.aws.boto3
"""

EXAMPLES = r"""
- name: Keep a topic
  stackyard.aws.alarm_topic:
    name: demo-jenkins-alarms
    subscribers:
      - {protocol: email, endpoint: operators@example.com}
    tags:
      stackyard:environment: demo
"""

RETURN = r"""
changes:
  description: What was changed, or would be in check mode.
  returned: success
  type: list
  elements: dict
  sample: [{action: create, type: sns topic, name: demo-jenkins-alarms}]
arn:
  description: ARN of the topic.
  returned: when O(state=present)
  type: str
  sample: arn:aws:sns:eu-central-1:123456789012:demo-jenkins-alarms
unconfirmed:
  description: Endpoints of the subscribers that have not confirmed yet.
  returned: when O(state=present)
  type: list
  elements: str
"""

import json

from ansible_collections.amazon.aws.plugins.module_utils.modules import AnsibleAWSModule
from ansible_collections.amazon.aws.plugins.module_utils.policy import compare_policies
from ansible_collections.amazon.aws.plugins.module_utils.tagging import (
    ansible_dict_to_boto3_tag_list,
    boto3_tag_list_to_ansible_dict,
)
from ansible_collections.stackyard.aws.plugins.module_utils.aws import Api, found_or_none, run, tag_changes
from ansible_collections.stackyard.aws.plugins.module_utils.plan import Plan

TOPIC = "sns topic"
SUBSCRIBER = "sns subscriber"
KEY = "kms key"
# By it a key is found that a run made and was cut off before it had an alias.
OWNER_TAG = "stackyard:alarm-topic"
UNCONFIRMED = ("PendingConfirmation", "pending confirmation")
DELETION_DAYS = 7
# KMS names the parts of a tag in its own way.
KMS_TAGS = {"tag_name_key_name": "TagKey", "tag_value_key_name": "TagValue"}

ARGUMENT_SPEC = {
    "name": {"required": True},
    "state": {"choices": ["present", "absent"], "default": "present"},
    "kms_key_id": {"no_log": False},
    "subscribers": {
        "type": "list",
        "elements": "dict",
        "default": [],
        "options": {
            "protocol": {"choices": ["email", "https"], "required": True},
            "endpoint": {"required": True},
        },
    },
    "tags": {"type": "dict", "aliases": ["resource_tags"]},
    "purge_tags": {"type": "bool", "default": True},
}


class TopicKey:
    """The key of one topic."""

    def __init__(self, module, plan, account, alarms):
        self.params = module.params
        self.name = module.params["name"]
        self.alias = f"alias/{self.name}"
        self.plan = plan
        self.kms = Api(module, "kms")
        partition = alarms.split(":")[1]
        self.policy = {
            "Version": "2012-10-17",
            "Statement": [
                {
                    "Sid": "Account",
                    "Effect": "Allow",
                    "Principal": {"AWS": f"arn:{partition}:iam::{account}:root"},
                    "Action": "kms:*",
                    "Resource": "*",
                },
                {
                    "Sid": "Alarms",
                    "Effect": "Allow",
                    "Principal": {"Service": "cloudwatch.amazonaws.com"},
                    "Action": ["kms:Decrypt", "kms:GenerateDataKey*"],
                    "Resource": "*",
                    "Condition": only_alarms(account, alarms),
                },
            ],
        }

    def found(self):
        """The key behind the alias."""
        answer = found_or_none(self.kms.describe_key, ["NotFoundException"], KeyId=self.alias)
        return answer["KeyMetadata"] if answer else None

    def present(self):
        """Make the key as it has to be, and return what the topic calls it."""
        found = self.found()
        if found is None:
            self._create()
            return self.alias
        arn = found["Arn"]
        if found["KeyState"] == "PendingDeletion" and self.plan.update(KEY, self.name, "PendingDeletion", "Enabled"):
            self.kms.cancel_key_deletion(KeyId=arn)
            self.kms.enable_key(KeyId=arn)
        policy = json.loads(self.kms.get_key_policy(KeyId=arn, PolicyName="default")["Policy"])
        if compare_policies(policy, self.policy) and self.plan.update(
            f"policy of {KEY}", self.name, policy, self.policy
        ):
            self.kms.put_key_policy(KeyId=arn, PolicyName="default", Policy=json.dumps(self.policy))
        if not self.kms.get_key_rotation_status(KeyId=arn)["KeyRotationEnabled"] and self.plan.update(
            f"rotation of {KEY}", self.name, False, True
        ):
            self.kms.enable_key_rotation(KeyId=arn)
        to_set, to_remove = tag_changes(
            self.plan,
            KEY,
            self.name,
            current=self._tags_of(arn),
            wanted=self._wanted_tags(),
            purge=self.params["purge_tags"] and self.params["tags"] is not None,
        )
        if to_set:
            self.kms.tag_resource(KeyId=arn, Tags=ansible_dict_to_boto3_tag_list(to_set, **KMS_TAGS))
        if to_remove:
            self.kms.untag_resource(KeyId=arn, TagKeys=to_remove)
        return self.alias

    def absent(self):
        """Schedule the key's deletion and free its alias."""
        found = self.found()
        if found and self.plan.delete(KEY, self.name, found["Arn"]):
            if found["KeyState"] != "PendingDeletion":
                self.kms.schedule_key_deletion(KeyId=found["Arn"], PendingWindowInDays=DELETION_DAYS)
            self.kms.delete_alias(AliasName=self.alias)

    def _wanted_tags(self):
        return {**(self.params["tags"] or {}), OWNER_TAG: self.name}

    def _tags_of(self, key_id):
        # Not every key of an account shows its tags to everybody.
        answer = found_or_none(self.kms.list_resource_tags, ["AccessDeniedException"], KeyId=key_id)
        return boto3_tag_list_to_ansible_dict(answer["Tags"] if answer else [], **KMS_TAGS)

    def _create(self):
        if not self.plan.create(KEY, self.name, {"policy": self.policy}):
            return
        arn = self._without_alias()
        if arn is None:
            made = self.kms.create_key(
                Description=f"SNS topic {self.name}",
                Policy=json.dumps(self.policy),
                Tags=ansible_dict_to_boto3_tag_list(self._wanted_tags(), **KMS_TAGS),
            )
            arn = made["KeyMetadata"]["Arn"]
        self.kms.enable_key_rotation(KeyId=arn)
        self.kms.create_alias(AliasName=self.alias, TargetKeyId=arn)

    def _without_alias(self):
        for key in self.kms.pages("list_keys", "Keys"):
            if self._tags_of(key["KeyId"]).get(OWNER_TAG) != self.name:
                continue
            if self.kms.describe_key(KeyId=key["KeyId"])["KeyMetadata"]["KeyState"] == "Enabled":
                return key["KeyArn"]
        return None


def only_alarms(account, alarms):
    """Return the condition under which CloudWatch acts for an alarm of this account."""
    return {"StringEquals": {"aws:SourceAccount": account}, "ArnLike": {"aws:SourceArn": alarms}}


class AlarmTopic:
    """One topic."""

    def __init__(self, module):
        self.module = module
        self.params = module.params
        self.name = module.params["name"]
        self.plan = Plan(module.check_mode)
        self.sns = Api(module, "sns")
        caller = Api(module, "sts").get_caller_identity()
        account, partition = caller["Account"], caller["Arn"].split(":")[1]
        self.arn = f"arn:{partition}:sns:{module.region}:{account}:{self.name}"
        alarms = f"arn:{partition}:cloudwatch:{module.region}:{account}:alarm:*"
        self.key = TopicKey(module, self.plan, account, alarms)
        self.policy = {
            "Version": "2012-10-17",
            "Statement": [
                {
                    "Sid": "Alarms",
                    "Effect": "Allow",
                    "Principal": {"Service": "cloudwatch.amazonaws.com"},
                    "Action": "sns:Publish",
                    "Resource": self.arn,
                    "Condition": only_alarms(account, alarms),
                }
            ],
        }

    def work(self):
        """Look the topic up and bring it to the state asked for."""
        answer = found_or_none(self.sns.get_topic_attributes, ["NotFound", "NotFoundException"], TopicArn=self.arn)
        found = answer["Attributes"] if answer else None
        return self.present(found) if self.params["state"] == "present" else self.absent(found)

    def present(self, found):
        """Make the topic as asked for."""
        other = self.params["kms_key_id"]
        wanted = {"KmsMasterKeyId": other or self.key.present(), "Policy": json.dumps(self.policy)}
        if found is None:
            if self.plan.create(TOPIC, self.name, {**wanted, "Policy": self.policy}):
                self.sns.create_topic(
                    Name=self.name,
                    Attributes=wanted,
                    Tags=ansible_dict_to_boto3_tag_list(self.params["tags"] or {}),
                )
        else:
            self._alter(found, wanted)
        if other:
            # The topic's own key, of a time before it was given another.
            self.key.absent()
        unconfirmed = self._subscribe(exists=found is not None)
        return {**self.plan.result(), "arn": self.arn, "unconfirmed": unconfirmed}

    def absent(self, found):
        """Delete the topic with its subscriptions, and its key."""
        if found is not None and self.plan.delete(TOPIC, self.name, self.arn):
            self.sns.delete_topic(TopicArn=self.arn)
        self.key.absent()
        return self.plan.result()

    def _alter(self, found, wanted):
        key, policy = found.get("KmsMasterKeyId", ""), json.loads(found["Policy"])
        if key != wanted["KmsMasterKeyId"] and self.plan.update(
            f"encryption of {TOPIC}", self.name, key, wanted["KmsMasterKeyId"]
        ):
            self._set("KmsMasterKeyId", wanted["KmsMasterKeyId"])
        if compare_policies(policy, self.policy) and self.plan.update(
            f"policy of {TOPIC}", self.name, policy, self.policy
        ):
            self._set("Policy", wanted["Policy"])
        if self.params["tags"] is None:
            return
        tags = self.sns.list_tags_for_resource(ResourceArn=self.arn)["Tags"]
        to_set, to_remove = tag_changes(
            self.plan,
            TOPIC,
            self.name,
            current=boto3_tag_list_to_ansible_dict(tags),
            wanted=self.params["tags"],
            purge=self.params["purge_tags"],
        )
        if to_set:
            self.sns.tag_resource(ResourceArn=self.arn, Tags=ansible_dict_to_boto3_tag_list(to_set))
        if to_remove:
            self.sns.untag_resource(ResourceArn=self.arn, TagKeys=to_remove)

    def _set(self, name, value):
        self.sns.set_topic_attributes(TopicArn=self.arn, AttributeName=name, AttributeValue=value)

    def _subscribe(self, exists):
        """Bring the subscribers in line; returns those that have not confirmed."""
        listed = self.sns.pages("list_subscriptions_by_topic", "Subscriptions", TopicArn=self.arn) if exists else []
        found = {(entry["Protocol"], entry["Endpoint"]): entry["SubscriptionArn"] for entry in listed}
        wanted = [(option["protocol"], option["endpoint"]) for option in self.params["subscribers"]]
        unconfirmed = []
        for protocol, endpoint in sorted(set(wanted)):
            arn = found.get((protocol, endpoint))
            if arn is None and self.plan.create(SUBSCRIBER, f"{self.name}/{endpoint}", {"Protocol": protocol}):
                arn = self.sns.subscribe(TopicArn=self.arn, Protocol=protocol, Endpoint=endpoint)["SubscriptionArn"]
            if arn in UNCONFIRMED:
                unconfirmed.append(endpoint)
        for (protocol, endpoint), arn in sorted(found.items()):
            # One that has not confirmed cannot be removed; AWS forgets it after two days.
            if (protocol, endpoint) in wanted or not arn.startswith("arn:"):
                continue
            if self.plan.delete(SUBSCRIBER, f"{self.name}/{endpoint}", {"Protocol": protocol}):
                self.sns.unsubscribe(SubscriptionArn=arn)
        return unconfirmed


def main():
    module = AnsibleAWSModule(argument_spec=ARGUMENT_SPEC, supports_check_mode=True)
    run(module, lambda: AlarmTopic(module).work())


if __name__ == "__main__":
    main()
