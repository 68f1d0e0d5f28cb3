# Copyright: stackyard contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
name: run_problem
version_added: 0.1.0
short_description: Why a run of a playbook that was to change nothing did not do so
description:
  - Reads the output of C(ansible-playbook) with the callback P(ansible.posix.json#callback), and says which task failed
    and why, or which tasks changed something. Empty when the run ended well without a change.
options:
  _input:
    description: What the run printed.
    type: str
    required: true
  errors:
    description: What it printed to its error output, for a run that did not begin.
    type: str
    default: ""
author:
  - stackyard contributors (@stackyard)
"""

EXAMPLES = r"""
- name: Refuse a machine that is not complete
  ansible.builtin.assert:
    that: run.stdout | stackyard.aws.run_problem(run.stderr) == ''
"""

RETURN = r"""
_value:
  description: A sentence, or nothing.
  type: str
"""

import json
from collections.abc import Callable, Iterator
from typing import Any

# Of the callback's document, with an indentation of 0.
BEGINNING = '{"custom_stats"'
ERROR_CHARACTERS = 2000


def run_problem(output: str, errors: str = "") -> str:
    """Return why a run was no run without changes, nothing if it was one."""
    start = output.find(BEGINNING)
    if start < 0:
        said = (errors.strip() or output.strip())[-ERROR_CHARACTERS:]
        return f"ansible-playbook did not run: {said}"
    document, _ = json.JSONDecoder().raw_decode(output[start:])
    results = list(_results(document))
    failed = [f"'{name}' failed: {_reason(result)}" for name, result in results if _is(result, "failed", "unreachable")]
    if failed:
        return failed[-1]
    changed = [f"'{name}'" for name, result in results if _is(result, "changed")]
    if changed:
        return f"the install stage changed a machine of it, in {', '.join(changed)}."
    return "" if document["stats"] else "there was no machine to run on."


def _results(document: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for play in document["plays"]:
        for task in play["tasks"]:
            for result in task["hosts"].values():
                yield task["task"]["name"], result


def _is(result: dict[str, Any], *states: str) -> bool:
    return any(result.get(state) for state in states)


def _reason(result: dict[str, Any]) -> str:
    items = [item for item in result.get("results", []) if item.get("failed")]
    return str((items or [result])[0].get("msg", "it does not say why"))


class FilterModule:
    """The filter."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        return {"run_problem": run_problem}
