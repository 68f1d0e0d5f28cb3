# Copyright: stackyard contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Shows how an instance refresh gets on, which the module of that name cannot. See the module's documentation.

The module acts and looks; it is called again and again, each time to follow the refresh for a moment, and what it saw
becomes a line on the terminal.
"""

from __future__ import annotations

import time

from ansible.module_utils.parsing.convert_bool import boolean
from ansible.plugins.action import ActionBase
from ansible.utils.display import Display
from ansible_collections.stackyard.aws.plugins.module_utils.autoscaling import (
    GIVEN_UP,
    GROUP_KIND,
    LEAVING,
    REFRESH_PROGRESS_INTERVAL,
    REFRESH_WAIT_TIMEOUT,
    explanation,
    tells_of_boot,
)

MODULE = "stackyard.aws.autoscaling_instance_refresh"
# What the first call knows: what it began, and from where.
FIRST = ("changed", "changes", "diff", "to_replace_instance_ids", "instances_before")


def merged(first, last):
    """Return the result of all calls: what the first one began, and how the last one found it."""
    result = {**last, **{key: first[key] for key in FIRST if key in first}}
    if "instances_after" in last:
        staying = {machine["instance_id"] for machine in last["instances_after"] if not leaving(machine)}
        before = {machine["instance_id"] for machine in first["instances_before"]}
        result["replaced_instance_ids"] = sorted(before - staying)
    return result


def leaving(machine):
    """Tell whether a machine that the module tells of is on its way out."""
    return machine["lifecycle_state"].startswith(LEAVING)


def newest_consoles(consoles, faults, result):
    """Return consoles and faults with those of a further call.

    Of a machine that was given up the first lines are kept, from before it was ended, unless others tell why.
    """
    faults, told = {**faults, **result.get("faults", {})}, result.get("consoles", {})
    kept = {
        machine: lines
        for machine, lines in consoles.items()
        if lines and faults[machine].startswith(GIVEN_UP) and not tells_of_boot(told.get(machine, []))
    }
    return {**consoles, **told, **kept}, faults


class ActionModule(ActionBase):
    """The action."""

    _supports_check_mode = True
    _supports_async = False

    def run(self, tmp=None, task_vars=None):
        super().run(tmp, task_vars)
        arguments = dict(self._task.args)
        try:
            wait = boolean(arguments.get("wait", True)) and not self._task.check_mode
            timeout = float(arguments.get("wait_timeout", REFRESH_WAIT_TIMEOUT))
            interval = float(arguments.get("progress_interval", REFRESH_PROGRESS_INTERVAL))
        except (TypeError, ValueError):
            # The module says what is wrong with them.
            wait, timeout, interval = False, 0, 0
        if not wait:
            return self._execute_module(MODULE, module_args=arguments, task_vars=task_vars)

        began = time.monotonic()
        first = last = self._execute_module(MODULE, module_args={**arguments, "wait": False}, task_vars=task_vars)
        if first.get("failed") or not first.get("instance_refresh_id"):
            return first
        name = arguments.get("name")
        self._tell(f"{name}: instance refresh {first['instance_refresh_id']}: {first['progress']}")
        consoles, faults = {}, {}
        while True:
            left = began + timeout - time.monotonic()
            last = self._execute_module(
                MODULE,
                module_args={
                    **arguments,
                    "instance_refresh_id": first["instance_refresh_id"],
                    "wait_timeout": int(max(1, min(interval, left))),
                },
                task_vars=task_vars,
            )
            consoles, faults = newest_consoles(consoles, faults, last)
            seconds = time.monotonic() - began
            if last.get("progress"):
                self._tell(f"{name}: {last['progress']} ({seconds:.0f} s)")
            if not last.get("timed_out") or seconds > timeout:
                break
        result = {**merged(first, last), "seconds": round(seconds, 1)}
        if "reason" in last:
            if last.get("timed_out"):
                result["reason"] = (
                    f"Instance refresh {first['instance_refresh_id']} of {GROUP_KIND} {name} did not end within "
                    f"{timeout:.0f} seconds; last seen: {last['progress']}. It goes on; run again to wait on."
                )
            result["consoles"] = consoles
            result["msg"] = explanation([result["reason"]], last["faults"], consoles)
        return result

    @staticmethod
    def _tell(line):
        Display().display(f"  {line}")
