# Copyright: stackyard contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What alarms do when their state changes."""

from __future__ import annotations

DOCUMENTATION = r"""
name: alarms_notify
short_description: Have alarms tell a topic
version_added: 0.1.0
description:
  - Takes alarms of the role C(alarms) and returns them as M(stackyard.aws.metric_alarms) takes them. One whose
    C(notify) is not V(false) tells the topic when its state becomes ALARM or OK, beside its other actions.
options:
  _input:
    description: The alarms.
    type: list
    elements: dict
    required: true
  topic:
    description: ARN of the topic.
    type: str
    required: true
author: stackyard contributors
"""

EXAMPLES = r"""
alarms: "{{ alarms_alarms | stackyard.aws.alarms_notify(topic.arn) }}"
"""

RETURN = r"""
_value:
  description: The alarms.
  type: list
  elements: dict
"""


def alarms_notify(alarms, topic):
    """Return the alarms with the topic among their actions."""
    told = []
    for alarm in alarms:
        tells = [topic] if alarm.get("notify", True) else []
        kept = {key: value for key, value in alarm.items() if key != "notify" and value is not None}
        told.append({**kept, "actions": [*tells, *(alarm.get("actions") or [])], "ok_actions": tells})
    return told


class FilterModule:
    """The filter."""

    def filters(self):
        return {"alarms_notify": alarms_notify}
