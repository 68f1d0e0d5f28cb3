#!/usr/bin/python
# Copyright: stackyard contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
---
module: autoscaling_group
version_added: 0.1.0
short_description: Manage an Auto Scaling group with its hooks, policies and schedules
description:
  - Creates, alters and deletes an Auto Scaling group together with what belongs to it alone, its lifecycle hooks,
    target tracking policies, scheduled actions, suspended processes and metrics.
  - M(amazon.aws.autoscaling_group) reports a change in every check, and knows no hooks, so that the first machines of a
    group would launch before the hooks are there. This module creates the group with its hooks in one call.
  - Machines are not replaced when the launch template changes. The result names those that are outdated.
  - Each launch template version that the group leaves is noted in its tag C(stackyard:served-versions), the last ten,
    so that it can be returned to.
author:
  - stackyard contributors (@stackyard)
options:
  name:
    description: Name of the group.
    type: str
    required: true
  state:
    description: Whether the group exists. V(absent) terminates its machines.
    type: str
    choices: [present, absent]
    default: present
  launch_template_name:
    description: The launch template that machines are launched from.
    type: str
  launch_template_version:
    description: The number of the version to launch.
    type: str
  keep_launch_template:
    description:
      - Whether an existing group that wants machines keeps its launch template version, because an instance refresh
        moves it once the machines of the new one serve (M(stackyard.aws.autoscaling_instance_refresh)).
    type: bool
    default: false
  subnet_ids:
    description: The subnets that machines are spread over.
    type: list
    elements: str
  target_group_arns:
    description: The target groups in which machines are registered. Others are detached.
    type: list
    elements: str
    default: []
  min_size:
    description: The least number of machines.
    type: int
  max_size:
    description: The greatest number of machines.
    type: int
  desired_capacity:
    description: The number of machines to run. O(min_size) when the group is created without it.
    type: int
  keep_desired_capacity:
    description:
      - Whether an existing group keeps its number of machines as long as that lies between O(min_size) and O(max_size).
      - For groups whose number is owned by policies, schedules or an operator.
    type: bool
    default: false
  health_check_type:
    description: Whether EC2's status checks alone count, or the load balancer's health checks too.
    type: str
    choices: [EC2, ELB]
    default: ELB
  health_check_grace_period:
    description: Seconds after a machine is in service during which failing health checks do not count.
    type: int
    default: 300
  default_instance_warmup:
    description:
      - Seconds until a new machine counts in the group's metrics.
      - V(-1) leaves it undefined, so that policies and refreshes use the grace period or cooldown.
    type: int
    default: 60
  capacity_rebalance:
    description: Whether a Spot machine at risk is replaced before it is interrupted.
    type: bool
    default: false
  max_instance_lifetime:
    description: Seconds after which a machine is replaced, at least 86400. V(0) for no limit.
    type: int
    default: 0
  termination_policies:
    description: How the machine to terminate is chosen.
    type: list
    elements: str
    default: [Default]
  suspended_processes:
    description: Scaling processes that are suspended. All others are resumed.
    type: list
    elements: str
    choices:
      - Launch
      - Terminate
      - AddToLoadBalancer
      - AlarmNotification
      - AZRebalance
      - HealthCheck
      - InstanceRefresh
      - ReplaceUnhealthy
      - ScheduledActions
    default: []
  metrics:
    description: Whether the group publishes its metrics each minute, at no cost.
    type: bool
    default: true
  lifecycle_hooks:
    description: The lifecycle hooks. Others are deleted.
    type: list
    elements: dict
    default: []
    suboptions:
      name:
        description: Name of the hook.
        type: str
        required: true
      transition:
        description: Whether machines are held when they launch or before they terminate.
        type: str
        choices: [launching, terminating]
        required: true
      heartbeat_timeout:
        description: Seconds until the default result takes place, 30 to 7200.
        type: int
        default: 900
      default_result:
        description: What happens when nothing completes the action in time.
        type: str
        choices: [ABANDON, CONTINUE]
        default: ABANDON
  target_tracking_policies:
    description: The target tracking policies. Scaling policies of other names or kinds are deleted.
    type: list
    elements: dict
    default: []
    suboptions:
      name:
        description: Name of the policy.
        type: str
        required: true
      metric:
        description: What is held at the target, mean CPU use in per cent or requests per machine and minute.
        type: str
        choices: [cpu, requests]
        required: true
      target_value:
        description: The value to hold.
        type: float
        required: true
      load_balancer_arn:
        description: The load balancer whose requests count. Required for V(requests).
        type: str
      target_group_arn:
        description: The target group whose requests count. Required for V(requests).
        type: str
      scale_in:
        description: Whether the policy also removes machines.
        type: bool
        default: true
  scheduled_actions:
    description: The scheduled actions. Others are deleted.
    type: list
    elements: dict
    default: []
    suboptions:
      name:
        description: Name of the action.
        type: str
        required: true
      recurrence:
        description: When, as five cron fields.
        type: str
        required: true
      time_zone:
        description: The IANA time zone of O(scheduled_actions[].recurrence).
        type: str
        default: Etc/UTC
      min_size:
        description: The least number of machines from then on.
        type: int
      max_size:
        description: The greatest number of machines from then on.
        type: int
      desired_capacity:
        description: The number of machines from then on.
        type: int
  tags:
    description: Tags of the group, which its machines get too.
    type: dict
    aliases: [resource_tags]
  purge_tags:
    description: Whether tags that are not in O(tags) are removed.
    type: bool
    default: true
  wait:
    description: Whether to wait until a group that is to be deleted is gone, with its machines.
    type: bool
    default: true
extends_documentation_fragment:
  - stackyard.aws.stack
  - stackyard.aws.stack.wait
  - amazon.aws.common.modules
  - amazon.aws.region.modules
  - amazon.aws.boto3
seealso:
  - module: stackyard.aws.autoscaling_group_ready
  - module: stackyard.aws.autoscaling_instance_refresh
"""

EXAMPLES = r"""
- name: Create a group of two machines that are held until they are healthy
  stackyard.aws.autoscaling_group:
    name: demo-wordpress
    launch_template_name: demo-wordpress
    launch_template_version: "3"
    subnet_ids: [subnet-0123456789abcdef0, subnet-0123456789abcdef1]
    min_size: 2
    max_size: 6
    lifecycle_hooks:
      - name: launch
        transition: launching
    target_tracking_policies:
      - name: cpu
        metric: cpu
        target_value: 60
    keep_desired_capacity: true

- name: Terminate its machines and delete it
  stackyard.aws.autoscaling_group:
    name: demo-wordpress
    state: absent
"""

RETURN = r"""
changes:
  description: What was changed, or would be in check mode.
  returned: success
  type: list
  elements: dict
  sample: [{action: create, type: auto scaling group, name: demo-wordpress}]
arn:
  description: ARN of the group, empty when it would be created.
  returned: when O(state=present)
  type: str
  sample: arn:aws:autoscaling:eu-central-1:123456789012:autoScalingGroup:uuid:autoScalingGroupName/demo-wordpress
desired_capacity:
  description: The number of machines that the group keeps.
  returned: when O(state=present)
  type: int
  sample: 2
instances:
  description: The machines of the group.
  returned: when O(state=present)
  type: list
  elements: dict
  contains:
    instance_id:
      description: Id of the machine.
      type: str
      returned: always
    availability_zone:
      description: Its zone.
      type: str
      returned: always
    lifecycle_state:
      description: Where it stands in its life.
      type: str
      returned: always
    health_status:
      description: What the group thinks of its health.
      type: str
      returned: always
    launch_template_version:
      description: The version that it was launched from, empty when it has none.
      type: str
      returned: always
launch_template_version:
  description: The version that the group launches.
  returned: when O(state=present)
  type: str
  sample: "3"
outdated_instance_ids:
  description: Machines launched from another template or version than the one asked for, and not terminating.
  returned: when O(state=present)
  type: list
  elements: str
  sample: [i-0123456789abcdef0]
"""

import contextlib

with contextlib.suppress(ImportError):  # AnsibleAWSModule refuses to start without it
    import botocore.exceptions

from ansible_collections.amazon.aws.plugins.module_utils.modules import AnsibleAWSModule
from ansible_collections.stackyard.aws.plugins.module_utils.autoscaling import (
    GROUP_KIND,
    OWN_TAGS,
    SERVED_TAG,
    describe_group,
    group_tag,
    instance_summary,
    outdated_instances,
    served_with,
    tag_of,
)
from ansible_collections.stackyard.aws.plugins.module_utils.aws import (
    Api,
    differences,
    run,
    tag_changes,
    without_none,
)
from ansible_collections.stackyard.aws.plugins.module_utils.plan import Plan, wait_until

PROCESSES = [
    "Launch",
    "Terminate",
    "AddToLoadBalancer",
    "AlarmNotification",
    "AZRebalance",
    "HealthCheck",
    "InstanceRefresh",
    "ReplaceUnhealthy",
    "ScheduledActions",
]

ARGUMENT_SPEC = {
    "name": {"required": True},
    "state": {"choices": ["present", "absent"], "default": "present"},
    "launch_template_name": {},
    "launch_template_version": {},
    "keep_launch_template": {"type": "bool", "default": False},
    "subnet_ids": {"type": "list", "elements": "str"},
    "target_group_arns": {"type": "list", "elements": "str", "default": []},
    "min_size": {"type": "int"},
    "max_size": {"type": "int"},
    "desired_capacity": {"type": "int"},
    "keep_desired_capacity": {"type": "bool", "default": False},
    "health_check_type": {"choices": ["EC2", "ELB"], "default": "ELB"},
    "health_check_grace_period": {"type": "int", "default": 300},
    "default_instance_warmup": {"type": "int", "default": 60},
    "capacity_rebalance": {"type": "bool", "default": False},
    "max_instance_lifetime": {"type": "int", "default": 0},
    "termination_policies": {"type": "list", "elements": "str", "default": ["Default"]},
    "suspended_processes": {"type": "list", "elements": "str", "choices": PROCESSES, "default": []},
    "metrics": {"type": "bool", "default": True},
    "lifecycle_hooks": {
        "type": "list",
        "elements": "dict",
        "default": [],
        "options": {
            "name": {"required": True},
            "transition": {"choices": ["launching", "terminating"], "required": True},
            "heartbeat_timeout": {"type": "int", "default": 900},
            "default_result": {"choices": ["ABANDON", "CONTINUE"], "default": "ABANDON"},
        },
    },
    "target_tracking_policies": {
        "type": "list",
        "elements": "dict",
        "default": [],
        "options": {
            "name": {"required": True},
            "metric": {"choices": ["cpu", "requests"], "required": True},
            "target_value": {"type": "float", "required": True},
            "load_balancer_arn": {},
            "target_group_arn": {},
            "scale_in": {"type": "bool", "default": True},
        },
        "required_if": [("metric", "requests", ["load_balancer_arn", "target_group_arn"])],
    },
    "scheduled_actions": {
        "type": "list",
        "elements": "dict",
        "default": [],
        "options": {
            "name": {"required": True},
            "recurrence": {"required": True},
            "time_zone": {"default": "Etc/UTC"},
            "min_size": {"type": "int"},
            "max_size": {"type": "int"},
            "desired_capacity": {"type": "int"},
        },
        "required_one_of": [("min_size", "max_size", "desired_capacity")],
    },
    "tags": {"type": "dict", "aliases": ["resource_tags"]},
    "purge_tags": {"type": "bool", "default": True},
    "wait": {"type": "bool", "default": True},
    "wait_timeout": {"type": "int", "default": 600},
}

# A profile or target group that was made a second ago may not be known everywhere yet: AWS then
# answers ValidationError, with these texts.
NOT_KNOWN_YET = ("Invalid IamInstanceProfile", "Invalid IAM Instance Profile", "Target Groups not found")


class Group:
    """One Auto Scaling group and what belongs to it alone."""

    def __init__(self, module):
        self.module = module
        self.params = module.params
        self.name = module.params["name"]
        self.plan = Plan(module.check_mode)
        self.api = Api(module, "autoscaling", retry_codes=["ScalingActivityInProgress", "ResourceContention"])
        self.found = None

    def work(self):
        """Look the group up and bring it to the state asked for."""
        self.found = describe_group(self.api, self.name)
        return self.present() if self.params["state"] == "present" else self.absent()

    def present(self):
        """Make the group as asked for."""
        if self.found and self.found.get("Status"):
            # "Delete in progress": the name is taken until it is gone.
            if not self.module.check_mode:
                self._wait_gone()
            self.found = None
        existed = self.found is not None
        if existed:
            self._hooks()
            self._served_versions()
            self._settings()
            self._target_groups()
            self._tags()
        else:
            self._create()
        self._processes()
        self._metrics()
        self._policies(existed)
        self._schedules(existed)
        if self.plan.changed and not self.module.check_mode:
            self.found = describe_group(self.api, self.name)
        group = self.found or {}
        wanted = self.params["launch_template_name"], self.params["launch_template_version"]
        return {
            **self.plan.result(),
            "arn": group.get("AutoScalingGroupARN", ""),
            "desired_capacity": group.get("DesiredCapacity", self._initial_capacity()),
            "instances": [instance_summary(instance) for instance in group.get("Instances", [])],
            "launch_template_version": group.get("LaunchTemplate", {}).get("Version", wanted[1]),
            "outdated_instance_ids": outdated_instances(group, *wanted),
        }

    def absent(self):
        """Terminate the machines and delete the group, with its hooks, policies and schedules."""
        if self.found and not self.found.get("Status"):
            machines = sorted(instance["InstanceId"] for instance in self.found["Instances"])
            if self.plan.delete(GROUP_KIND, self.name, {"instances": machines}):
                # Forced: terminates the machines, and no lifecycle action of theirs is waited for.
                self.api.delete_auto_scaling_group(AutoScalingGroupName=self.name, ForceDelete=True)
        if self.params["wait"] and not self.module.check_mode:
            if self.found:
                self._wait_gone()
            self._wait_machines_gone()
        return self.plan.result()

    def _initial_capacity(self):
        wanted = self.params["desired_capacity"]
        return self.params["min_size"] if wanted is None else wanted

    def _wanted_settings(self):
        return {
            "MinSize": self.params["min_size"],
            "MaxSize": self.params["max_size"],
            "HealthCheckType": self.params["health_check_type"],
            "HealthCheckGracePeriod": self.params["health_check_grace_period"],
            "DefaultInstanceWarmup": self.params["default_instance_warmup"],
            "CapacityRebalance": self.params["capacity_rebalance"],
            "MaxInstanceLifetime": self.params["max_instance_lifetime"],
            "TerminationPolicies": self.params["termination_policies"],
        }

    def _launch_template(self):
        return {
            "LaunchTemplateName": self.params["launch_template_name"],
            "Version": self.params["launch_template_version"],
        }

    def _create(self):
        settings = {
            **self._wanted_settings(),
            "DesiredCapacity": self._initial_capacity(),
            "LaunchTemplate": self._launch_template(),
            "VPCZoneIdentifier": ",".join(self.params["subnet_ids"]),
        }
        # Neither "no limit" nor "undefined" is a value that a new group can be given.
        if settings["MaxInstanceLifetime"] == 0:
            del settings["MaxInstanceLifetime"]
        if settings["DefaultInstanceWarmup"] == -1:
            del settings["DefaultInstanceWarmup"]
        if self.params["target_group_arns"]:
            settings["TargetGroupARNs"] = self.params["target_group_arns"]
        if self.params["lifecycle_hooks"]:
            settings["LifecycleHookSpecificationList"] = [self._hook(hook) for hook in self.params["lifecycle_hooks"]]
        if self.plan.create(GROUP_KIND, self.name, settings):
            tags = self._propagated(self.params["tags"] or {})
            self._create_when_known(AutoScalingGroupName=self.name, Tags=tags, **settings)

    def _create_when_known(self, **settings):
        def probe():
            try:
                self.api.create_auto_scaling_group(**settings)
            except botocore.exceptions.ClientError as error:
                message = error.response["Error"].get("Message", "")
                if not any(text in message for text in NOT_KNOWN_YET):
                    raise
                return False, message
            return True, "created"

        wait_until(probe, f"Creation of auto scaling group {self.name}", 60)

    def _settings(self):
        wanted = self._wanted_settings()
        found = {"MaxInstanceLifetime": 0, "DefaultInstanceWarmup": -1, "CapacityRebalance": False, **self.found}
        capacity = self.found["DesiredCapacity"]
        asked = self.params["desired_capacity"]
        if not self.params["keep_desired_capacity"] and asked is not None:
            wanted["DesiredCapacity"] = asked
        elif not self.params["min_size"] <= capacity <= self.params["max_size"]:
            wanted["DesiredCapacity"] = min(max(capacity, self.params["min_size"]), self.params["max_size"])
        changed = differences(wanted, found)
        template = self.found.get("LaunchTemplate", {})
        if differences(self._launch_template(), template) and not self._keeps_template():
            changed["LaunchTemplate"] = self._launch_template()
        if sorted(self.found["VPCZoneIdentifier"].split(",")) != sorted(self.params["subnet_ids"]):
            changed["VPCZoneIdentifier"] = ",".join(self.params["subnet_ids"])
        if not changed:
            return
        before = {key: found.get(key) for key in changed}
        if "LaunchTemplate" in before:
            before["LaunchTemplate"] = {key: template.get(key) for key in self._launch_template()}
        if self.plan.update(GROUP_KIND, self.name, before, changed):
            self.api.update_auto_scaling_group(AutoScalingGroupName=self.name, **changed)

    def _keeps_template(self):
        return self.params["keep_launch_template"] and (self.found["DesiredCapacity"] or self.found["Instances"])

    def _served_versions(self):
        """Note the version that is to be left, before it is."""
        template = self.found.get("LaunchTemplate", {})
        if not differences(self._launch_template(), template):
            return
        served = tag_of(self.found, SERVED_TAG)
        noted = served_with(served, template.get("Version", ""))
        if noted != served and self.plan.update(f"served versions of {GROUP_KIND}", self.name, served, noted):
            self.api.create_or_update_tags(Tags=[group_tag(SERVED_TAG, self.name, noted)])

    def _target_groups(self):
        found, wanted = self.found.get("TargetGroupARNs", []), self.params["target_group_arns"]
        attach = [arn for arn in wanted if arn not in found]
        detach = [arn for arn in found if arn not in wanted]
        if not (attach or detach):
            return
        if self.plan.update(f"target groups of {GROUP_KIND}", self.name, sorted(found), sorted(wanted)):
            if attach:
                self.api.attach_load_balancer_target_groups(AutoScalingGroupName=self.name, TargetGroupARNs=attach)
            if detach:
                self.api.detach_load_balancer_target_groups(AutoScalingGroupName=self.name, TargetGroupARNs=detach)

    def _tags(self):
        current = {tag["Key"]: tag["Value"] for tag in self.found.get("Tags", []) if tag["Key"] not in OWN_TAGS}
        to_set, to_remove = tag_changes(
            self.plan,
            GROUP_KIND,
            self.name,
            current=current,
            wanted=self.params["tags"],
            purge=self.params["purge_tags"],
        )
        if to_set:
            self.api.create_or_update_tags(Tags=self._propagated(to_set))
        if to_remove:
            self.api.delete_tags(Tags=[group_tag(key, self.name) for key in to_remove])

    def _propagated(self, tags):
        return [{**group_tag(key, self.name, str(value)), "PropagateAtLaunch": True} for key, value in tags.items()]

    @staticmethod
    def _hook(hook):
        return {
            "LifecycleHookName": hook["name"],
            "LifecycleTransition": f"autoscaling:EC2_INSTANCE_{hook['transition'].upper()}",
            "HeartbeatTimeout": hook["heartbeat_timeout"],
            "DefaultResult": hook["default_result"],
        }

    def _describe_hooks(self):
        return self.api.describe_lifecycle_hooks(AutoScalingGroupName=self.name)["LifecycleHooks"]

    def _hooks(self):
        found = {hook["LifecycleHookName"]: hook for hook in self._describe_hooks()}
        self._bring_to(
            "lifecycle hook",
            found,
            {hook["name"]: self._hook(hook) for hook in self.params["lifecycle_hooks"]},
            put=lambda hook: self.api.put_lifecycle_hook(AutoScalingGroupName=self.name, **hook),
            delete=lambda name: self.api.delete_lifecycle_hook(AutoScalingGroupName=self.name, LifecycleHookName=name),
        )

    def _bring_to(self, kind, found, wanted, *, put, delete):
        """Bring the named parts of the group to those wanted: the API's own puts create as well as replace."""
        for name, settings in wanted.items():
            before = {key: found.get(name, {}).get(key) for key in settings}
            if name not in found:
                now = self.plan.create(kind, f"{self.name}/{name}", settings)
            else:
                now = before != settings and self.plan.update(kind, f"{self.name}/{name}", before, settings)
            if now:
                put(settings)
        for name in found:
            if name not in wanted and self.plan.delete(kind, f"{self.name}/{name}", name):
                delete(name)

    def _processes(self):
        found = {process["ProcessName"] for process in (self.found or {}).get("SuspendedProcesses", [])}
        wanted = set(self.params["suspended_processes"])
        if found == wanted:
            return
        if self.plan.update(f"suspended processes of {GROUP_KIND}", self.name, sorted(found), sorted(wanted)):
            if wanted - found:
                self.api.suspend_processes(AutoScalingGroupName=self.name, ScalingProcesses=sorted(wanted - found))
            if found - wanted:
                self.api.resume_processes(AutoScalingGroupName=self.name, ScalingProcesses=sorted(found - wanted))

    def _metrics(self):
        found = bool((self.found or {}).get("EnabledMetrics"))
        wanted = self.params["metrics"]
        if found == wanted:
            return
        if self.plan.update(f"metrics of {GROUP_KIND}", self.name, found, wanted):
            if wanted:
                self.api.enable_metrics_collection(AutoScalingGroupName=self.name, Granularity="1Minute")
            else:
                self.api.disable_metrics_collection(AutoScalingGroupName=self.name)

    @staticmethod
    def _tracking(policy):
        metric = {"PredefinedMetricType": "ASGAverageCPUUtilization"}
        if policy["metric"] == "requests":
            # app/<name>/<id>/targetgroup/<name>/<id>, out of the two ARNs.
            balancer = policy["load_balancer_arn"].partition(":loadbalancer/")[2]
            target_group = policy["target_group_arn"].rpartition(":")[2]
            metric = {
                "PredefinedMetricType": "ALBRequestCountPerTarget",
                "ResourceLabel": f"{balancer}/{target_group}",
            }
        return {
            "PolicyName": policy["name"],
            "PolicyType": "TargetTrackingScaling",
            "TargetTrackingConfiguration": {
                "PredefinedMetricSpecification": metric,
                "TargetValue": policy["target_value"],
                "DisableScaleIn": not policy["scale_in"],
            },
        }

    def _policies(self, existed):
        found = {}
        if existed:
            for policy in self.api.pages("describe_policies", "ScalingPolicies", AutoScalingGroupName=self.name):
                tracking = policy.get("TargetTrackingConfiguration", {})
                # AWS leaves a false DisableScaleIn out, or not: both mean the same.
                policy["TargetTrackingConfiguration"] = {"DisableScaleIn": False, **without_none(tracking)}
                found[policy["PolicyName"]] = policy
        self._bring_to(
            "scaling policy",
            found,
            {policy["name"]: self._tracking(policy) for policy in self.params["target_tracking_policies"]},
            put=lambda policy: self.api.put_scaling_policy(AutoScalingGroupName=self.name, **policy),
            delete=lambda name: self.api.delete_policy(AutoScalingGroupName=self.name, PolicyName=name),
        )

    def _schedules(self, existed):
        found = {}
        if existed:
            actions = self.api.pages(
                "describe_scheduled_actions", "ScheduledUpdateGroupActions", AutoScalingGroupName=self.name
            )
            found = {action["ScheduledActionName"]: {"TimeZone": "Etc/UTC", **action} for action in actions}
        wanted = {
            action["name"]: {
                "ScheduledActionName": action["name"],
                "Recurrence": action["recurrence"],
                "TimeZone": action["time_zone"],
                "MinSize": action["min_size"],
                "MaxSize": action["max_size"],
                "DesiredCapacity": action["desired_capacity"],
            }
            for action in self.params["scheduled_actions"]
        }

        def delete(name):
            self.api.delete_scheduled_action(AutoScalingGroupName=self.name, ScheduledActionName=name)

        def put(action):
            name = action["ScheduledActionName"]
            # The API cannot take a size out of an action: one that has a size too many is made anew.
            if any(value is None and key in found.get(name, {}) for key, value in action.items()):
                delete(name)
            self.api.put_scheduled_update_group_action(AutoScalingGroupName=self.name, **without_none(action))

        self._bring_to("scheduled action", found, wanted, put=put, delete=delete)

    def _wait_gone(self):
        def probe():
            group = describe_group(self.api, self.name)
            if not group:
                return True, "gone"
            machines = [f"{item['InstanceId']} {item['LifecycleState']}" for item in group["Instances"]]
            return False, f"{group.get('Status') or 'present'}, machines: {', '.join(machines) or 'none'}"

        wait_until(
            probe,
            f"Deletion of auto scaling group {self.name}",
            self.params["wait_timeout"],
            hint="Run again to go on waiting.",
        )

    def _wait_machines_gone(self):
        """A group that is deleted by force goes before its machines, which hold subnets and security groups."""
        ec2 = Api(self.module, "ec2")
        filters = [
            {"Name": "tag:aws:autoscaling:groupName", "Values": [self.name]},
            {"Name": "instance-state-name", "Values": ["pending", "running", "stopping", "stopped", "shutting-down"]},
        ]

        def probe():
            reservations = ec2.pages("describe_instances", "Reservations", Filters=filters)
            left = [instance["InstanceId"] for item in reservations for instance in item["Instances"]]
            return not left, ", ".join(left)

        wait_until(
            probe,
            f"Termination of the machines of auto scaling group {self.name}",
            self.params["wait_timeout"],
            hint="Run again to go on waiting.",
        )


def main():
    module = AnsibleAWSModule(
        argument_spec=ARGUMENT_SPEC,
        required_if=[
            (
                "state",
                "present",
                ["launch_template_name", "launch_template_version", "subnet_ids", "min_size", "max_size"],
            )
        ],
        supports_check_mode=True,
    )
    params = module.params
    if params["state"] == "present":
        if not params["subnet_ids"]:
            module.fail_json(msg="subnet_ids is empty: give at least one subnet.")
        if not 0 <= params["min_size"] <= params["max_size"]:
            module.fail_json(
                msg=f"min_size {params['min_size']} and max_size {params['max_size']}: 0 <= min_size <= max_size."
            )
        wanted = params["desired_capacity"]
        if wanted is not None and not params["min_size"] <= wanted <= params["max_size"]:
            module.fail_json(
                msg=f"desired_capacity {wanted} does not lie between min_size {params['min_size']} "
                f"and max_size {params['max_size']}."
            )
    run(module, Group(module).work)


if __name__ == "__main__":
    main()
