#!/usr/bin/python
# Copyright: stackyard contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
---
module: metric_alarms
version_added: 0.1.0
short_description: Manage a set of CloudWatch metric alarms
description:
  - Creates, alters and deletes the metric alarms that belong together under one name. Alarms of that name that are not
    listed any more are deleted.
  - An alarm is found again by its own name, which begins with O(name) and a hyphen, and told from others that begin so
    by its tag C(stackyard:alarms).
  - M(amazon.aws.cloudwatch_metric_alarm) knows no tags, so that what belongs together cannot be found again by it.
author:
  - stackyard contributors (@stackyard)
options:
  name:
    description: What the names of all alarms begin with.
    type: str
    required: true
  state:
    description: V(absent) deletes all alarms of the name.
    type: str
    choices: [present, absent]
    default: present
  alarms:
    description: The alarms.
    type: list
    elements: dict
    default: []
    suboptions:
      name:
        description: Name of the alarm, without what all begin with.
        type: str
        required: true
      description:
        description: What the alarm means and what to do about it.
        type: str
        default: ""
      namespace:
        description: Namespace of the metric, such as C(AWS/EC2).
        type: str
      metric:
        description: Name of the metric. Either this or O(alarms[].expression) is given.
        type: str
      dimensions:
        description: Dimensions of the metric.
        type: dict
        default: {}
      expression:
        description: An expression of CloudWatch's metric math, over O(alarms[].metrics), in place of one metric.
        type: str
      metrics:
        description:
          - The metrics of O(alarms[].expression) by their ids, which begin with a small letter. Each is a mapping of
            C(namespace), C(metric), C(dimensions), C(statistic) and C(period) in seconds.
        type: dict
        default: {}
      statistic:
        description: The statistic of a metric. Either this or O(alarms[].extended_statistic) is given.
        type: str
        choices: [SampleCount, Average, Sum, Minimum, Maximum]
      extended_statistic:
        description: A percentile, such as C(p99).
        type: str
      period:
        description: Seconds that are taken together. An expression has the period of its metrics.
        type: int
        default: 60
      evaluation_periods:
        description: How many periods are looked at.
        type: int
        default: 1
      datapoints_to_alarm:
        description: How many of them have to be breaching. All of them when not given.
        type: int
      threshold:
        description: What the statistic is compared with.
        type: float
        required: true
      comparison:
        description: How it is compared.
        type: str
        choices:
          - GreaterThanOrEqualToThreshold
          - GreaterThanThreshold
          - LessThanThreshold
          - LessThanOrEqualToThreshold
        required: true
      missing_data:
        description: What a period without data counts as.
        type: str
        choices: [missing, ignore, breaching, notBreaching]
        default: missing
      unit:
        description: Unit of the metric, to count only data of that unit.
        type: str
      actions:
        description: ARNs of what is done when the state becomes ALARM.
        type: list
        elements: str
        default: []
      ok_actions:
        description: ARNs of what is done when the state becomes OK.
        type: list
        elements: str
        default: []
      insufficient_data_actions:
        description: ARNs of what is done when the state becomes INSUFFICIENT_DATA.
        type: list
        elements: str
        default: []
extends_documentation_fragment:
  - stackyard.aws.stack
  - amazon.aws.common.modules
  - amazon.aws.region.modules
  - amazon.aws.tags
  - amazon.aws.boto3
"""

EXAMPLES = r"""
- name: Tell when the file system runs out of burst credits
  stackyard.aws.metric_alarms:
    name: demo-jenkins
    alarms:
      - name: no-burst-credits
        description: The home is slow. Set jenkins_stack_filesystem_throughput to elastic.
        namespace: AWS/EFS
        metric: BurstCreditBalance
        dimensions: {FileSystemId: fs-0123456789abcdef0}
        statistic: Minimum
        period: 300
        threshold: 1000000000
        comparison: LessThanThreshold
        actions: [arn:aws:sns:eu-central-1:123456789012:demo-jenkins-alarms]
    tags:
      stackyard:environment: demo
"""

RETURN = r"""
changes:
  description: What was changed, or would be in check mode.
  returned: success
  type: list
  elements: dict
  sample: [{action: create, type: alarm, name: demo-jenkins-no-burst-credits}]
names:
  description: The full name of each alarm under its short one.
  returned: when O(state=present)
  type: dict
  sample: {no-burst-credits: demo-jenkins-no-burst-credits}
"""

from ansible_collections.amazon.aws.plugins.module_utils.modules import AnsibleAWSModule
from ansible_collections.amazon.aws.plugins.module_utils.tagging import (
    ansible_dict_to_boto3_tag_list,
    boto3_tag_list_to_ansible_dict,
)
from ansible_collections.stackyard.aws.plugins.module_utils.aws import Api, run, tag_changes, without_none
from ansible_collections.stackyard.aws.plugins.module_utils.plan import Plan

KIND = "alarm"
OWNER_TAG = "stackyard:alarms"
# DeleteAlarms takes so many names.
AT_ONCE = 100

ARGUMENT_SPEC = {
    "name": {"required": True},
    "state": {"choices": ["present", "absent"], "default": "present"},
    "alarms": {
        "type": "list",
        "elements": "dict",
        "default": [],
        "options": {
            "name": {"required": True},
            "description": {"default": ""},
            "namespace": {},
            "metric": {},
            "dimensions": {"type": "dict", "default": {}},
            "expression": {},
            "metrics": {"type": "dict", "default": {}},
            "statistic": {"choices": ["SampleCount", "Average", "Sum", "Minimum", "Maximum"]},
            "extended_statistic": {},
            "period": {"type": "int", "default": 60},
            "evaluation_periods": {"type": "int", "default": 1},
            "datapoints_to_alarm": {"type": "int"},
            "threshold": {"type": "float", "required": True},
            "comparison": {
                "choices": [
                    "GreaterThanOrEqualToThreshold",
                    "GreaterThanThreshold",
                    "LessThanThreshold",
                    "LessThanOrEqualToThreshold",
                ],
                "required": True,
            },
            "missing_data": {"choices": ["missing", "ignore", "breaching", "notBreaching"], "default": "missing"},
            "unit": {},
            "actions": {"type": "list", "elements": "str", "default": []},
            "ok_actions": {"type": "list", "elements": "str", "default": []},
            "insufficient_data_actions": {"type": "list", "elements": "str", "default": []},
        },
        "mutually_exclusive": [
            ("metric", "expression"),
            ("statistic", "extended_statistic", "expression"),
            ("namespace", "expression"),
        ],
        "required_one_of": [("metric", "expression"), ("statistic", "extended_statistic", "expression")],
        "required_by": {"metric": ("namespace",), "expression": ("metrics",)},
    },
    "tags": {"type": "dict", "aliases": ["resource_tags"]},
    "purge_tags": {"type": "bool", "default": True},
}


def essence(alarm):
    """Return what this module sets of an alarm, in an order of its own; PutMetricAlarm replaces all of it."""
    kept = {
        key: alarm.get(key) or None
        for key in ("AlarmDescription", "ExtendedStatistic", "MetricName", "Namespace", "Period", "Statistic", "Unit")
    }
    return {
        **without_none(kept),
        "ActionsEnabled": alarm.get("ActionsEnabled", True),
        "AlarmActions": sorted(alarm.get("AlarmActions") or []),
        "ComparisonOperator": alarm["ComparisonOperator"],
        "DatapointsToAlarm": alarm.get("DatapointsToAlarm") or alarm["EvaluationPeriods"],
        "Dimensions": in_order(alarm.get("Dimensions") or []),
        "EvaluationPeriods": alarm["EvaluationPeriods"],
        "InsufficientDataActions": sorted(alarm.get("InsufficientDataActions") or []),
        "OKActions": sorted(alarm.get("OKActions") or []),
        "Threshold": alarm.get("Threshold"),
        "TreatMissingData": alarm.get("TreatMissingData") or "missing",
        **(
            {"Metrics": sorted(map(query, alarm["Metrics"]), key=lambda entry: entry["Id"])}
            if alarm.get("Metrics")
            else {}
        ),
    }


def in_order(dimensions):
    """Return dimensions by their names."""
    return sorted(dimensions, key=lambda dimension: dimension["Name"])


def query(entry):
    """Return what this module sets of a metric or expression of an alarm."""
    kept = {"Id": entry["Id"], "ReturnData": entry.get("ReturnData", True)}
    if entry.get("Expression"):
        return {**kept, "Expression": entry["Expression"]}
    stat = entry["MetricStat"]
    metric = {"Namespace": stat["Metric"]["Namespace"], "MetricName": stat["Metric"]["MetricName"]}
    metric["Dimensions"] = in_order(stat["Metric"].get("Dimensions") or [])
    return {**kept, "MetricStat": {"Metric": metric, "Period": stat["Period"], "Stat": stat["Stat"]}}


def queries(option):
    """Return the metrics and the expression of an alarm as the API takes them."""
    metrics = [
        {
            "Id": name,
            "MetricStat": {
                "Metric": {
                    "Namespace": metric["namespace"],
                    "MetricName": metric["metric"],
                    "Dimensions": as_dimensions(metric.get("dimensions", {})),
                },
                "Period": int(metric["period"]),
                "Stat": metric["statistic"],
            },
            "ReturnData": False,
        }
        for name, metric in option["metrics"].items()
    ]
    return [*metrics, {"Id": "result", "Expression": option["expression"]}]


def as_dimensions(mapping):
    """Return dimensions as the API takes them."""
    return [{"Name": name, "Value": str(value)} for name, value in mapping.items()]


def wanted_alarm(option):
    """Return an alarm as PutMetricAlarm takes it, but for its name."""
    return essence(
        {
            "ActionsEnabled": True,
            "AlarmActions": option["actions"],
            "AlarmDescription": option["description"],
            "ComparisonOperator": option["comparison"],
            "DatapointsToAlarm": option["datapoints_to_alarm"],
            "Dimensions": as_dimensions(option["dimensions"]),
            "EvaluationPeriods": option["evaluation_periods"],
            "ExtendedStatistic": option["extended_statistic"],
            "InsufficientDataActions": option["insufficient_data_actions"],
            "MetricName": option["metric"],
            "Namespace": option["namespace"],
            "OKActions": option["ok_actions"],
            "Metrics": queries(option) if option["expression"] else [],
            "Period": None if option["expression"] else option["period"],
            "Statistic": option["statistic"],
            "Threshold": option["threshold"],
            "TreatMissingData": option["missing_data"],
            "Unit": option["unit"],
        }
    )


class MetricAlarms:
    """The alarms of one name."""

    def __init__(self, module):
        self.module = module
        self.params = module.params
        self.name = module.params["name"]
        self.plan = Plan(module.check_mode)
        self.cloudwatch = Api(module, "cloudwatch")

    def work(self):
        """Look the alarms up and bring them to the state asked for."""
        present = self.params["state"] == "present"
        wanted = {f"{self.name}-{option['name']}": option for option in self.params["alarms"]} if present else {}
        found, tags = self._found(wanted)
        for name, option in sorted(wanted.items()):
            self._keep(name, wanted_alarm(option), found.get(name), tags.get(name))
        self._delete([name for name in sorted(found) if name not in wanted])
        names = {"names": {option["name"]: name for name, option in sorted(wanted.items())}} if present else {}
        return {**self.plan.result(), **names}

    def _found(self, wanted):
        """The alarms of this name and their tags, and any that has a name that is wanted."""
        listed = self.cloudwatch.pages(
            "describe_alarms", "MetricAlarms", AlarmNamePrefix=f"{self.name}-", AlarmTypes=["MetricAlarm"]
        )
        found, tags = {}, {}
        for alarm in listed:
            own = boto3_tag_list_to_ansible_dict(
                self.cloudwatch.list_tags_for_resource(ResourceARN=alarm["AlarmArn"])["Tags"]
            )
            if own.get(OWNER_TAG) == self.name or alarm["AlarmName"] in wanted:
                found[alarm["AlarmName"]], tags[alarm["AlarmName"]] = alarm, own
        return found, tags

    def _keep(self, name, wanted, found, tags):
        own = {**(self.params["tags"] or {}), OWNER_TAG: self.name}
        if found is None:
            if self.plan.create(KIND, name, wanted):
                self.cloudwatch.put_metric_alarm(AlarmName=name, Tags=ansible_dict_to_boto3_tag_list(own), **wanted)
            return
        before = essence(found)
        if before != wanted and self.plan.update(KIND, name, before, wanted):
            self.cloudwatch.put_metric_alarm(AlarmName=name, **wanted)
        to_set, to_remove = tag_changes(
            self.plan,
            KIND,
            name,
            current=tags,
            wanted=own,
            purge=self.params["purge_tags"] and self.params["tags"] is not None,
        )
        if to_set:
            self.cloudwatch.tag_resource(ResourceARN=found["AlarmArn"], Tags=ansible_dict_to_boto3_tag_list(to_set))
        if to_remove:
            self.cloudwatch.untag_resource(ResourceARN=found["AlarmArn"], TagKeys=to_remove)

    def _delete(self, names):
        doomed = [name for name in names if self.plan.delete(KIND, name, name)]
        for start in range(0, len(doomed), AT_ONCE):
            self.cloudwatch.delete_alarms(AlarmNames=doomed[start : start + AT_ONCE])


def main():
    module = AnsibleAWSModule(argument_spec=ARGUMENT_SPEC, supports_check_mode=True)
    names = [option["name"] for option in module.params["alarms"]]
    if len(set(names)) != len(names):
        module.fail_json(msg="alarms holds a name twice: different names are accepted.")
    run(module, MetricAlarms(module).work)


if __name__ == "__main__":
    main()
