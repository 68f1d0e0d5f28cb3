"""CloudWatch alarms that stop, terminate, reboot or recover an instance.

What is left out: alarms are never evaluated, so that SetAlarmState alone changes their state; SNS topics, scaling
policies and what else an alarm may do are not told; composite alarms.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable
from typing import Any

from moto.cloudwatch.models import Alarm, CloudWatchBackend
from moto.ec2.exceptions import EC2ClientError
from moto.ec2.models import EC2Backend, ec2_backends

from localcloud.patches import ec2_instances
from localcloud.patches._tools import wrap

ACTION = re.compile(r"arn:aws[a-z-]*:automate:(?P<region>[a-z0-9-]+):ec2:(?P<action>recover|stop|terminate|reboot)")


def apply() -> None:
    """Apply all work-rounds of this service."""
    wrap(CloudWatchBackend, "set_alarm_state", _set_alarm_state)


def _set_alarm_state(original: Callable[..., None], self: CloudWatchBackend, alarm_name: str, *arguments: Any) -> None:
    """A state that differs from the one before has the actions of that state done, as far as instances go.

    https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_SetAlarmState.html
    https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/UsingAlarmActions.html
    """
    before = self.alarms[alarm_name].state_value if alarm_name in self.alarms else None
    original(self, alarm_name, *arguments)
    alarm = self.alarms[alarm_name]
    if before == alarm.state_value or not alarm.actions_enabled:
        return
    actions = {
        "ALARM": alarm.alarm_actions,
        "OK": alarm.ok_actions,
        "INSUFFICIENT_DATA": alarm.insufficient_data_actions,
    }
    for arn in actions[alarm.state_value] or []:
        if (match := ACTION.fullmatch(arn)) and match["region"] == self.region_name:
            _act(ec2_backends[self.account_id][self.region_name], alarm, match["action"])


def _act(ec2: EC2Backend, alarm: Alarm, action: str) -> None:
    """Do it to the instance that the alarm's metric is of."""
    for instance_id in [entry.value for entry in alarm.dimensions if entry.name == "InstanceId"]:
        instance = ec2.get_instance_by_id(instance_id)
        if instance is None or instance.state == "terminated":
            continue
        # What EC2 refuses, such as ending an instance that is protected, is no error of whoever sets the state.
        with contextlib.suppress(EC2ClientError):
            if action == "stop":
                ec2.stop_instances([instance_id])
            elif action == "terminate":
                ec2.terminate_instances([instance_id])
            elif action == "reboot":
                ec2.reboot_instances([instance_id])
            else:
                ec2_instances.recover(instance)
