# Copyright: stackyard contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Which launch template version a group is to return to."""

from __future__ import annotations

from ansible_collections.stackyard.aws.plugins.module_utils.autoscaling import (
    REFRESH_RUNNING,
    SERVED_TAG,
    served_before,
)

DOCUMENTATION = r"""
name: rollback_version
short_description: Say which launch template version a group is to return to
version_added: 0.1.0
description:
  - Without a running instance refresh it is the version that served before the present one, as the group has noted.
  - With one to a version that served before, a return is under way, and it is that version.
  - With any other it is the version that the group has, to which that refresh is to be turned back.
options:
  _input:
    description: The group, as M(amazon.aws.autoscaling_group_info) returns it.
    type: dict
    required: true
  refreshes:
    description: Its refreshes, the newest first, as M(amazon.aws.autoscaling_instance_refresh_info) returns them.
    type: list
    elements: dict
    required: true
author: stackyard contributors
"""

EXAMPLES = r"""
version: "{{ group.results[0] | stackyard.aws.rollback_version(refreshes.instance_refreshes) }}"
"""

RETURN = r"""
_value:
  description: The version, empty when none served before, and whether a running refresh is to be turned back.
  type: dict
  sample: {version: "6", turn_back: false}
"""


def rollback_version(group, refreshes):
    """Return the version to return to, and whether a running refresh is to be turned back for it."""
    served = next((tag["value"] for tag in group.get("tags", []) if tag["key"] == SERVED_TAG), "")
    own = group["launch_template"]["version"]
    running = next((refresh for refresh in refreshes[:1] if refresh["status"] in REFRESH_RUNNING), None)
    if running is None:
        return {"version": served_before(served, own), "turn_back": False}
    desired = running.get("desired_configuration", {}).get("launch_template", {}).get("version")
    if desired in served.split() and desired != own:
        return {"version": desired, "turn_back": False}
    return {"version": own, "turn_back": True}


class FilterModule:
    """The filter."""

    def filters(self):
        return {"rollback_version": rollback_version}
