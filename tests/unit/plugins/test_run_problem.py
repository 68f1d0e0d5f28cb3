"""The filter tells a run that changed nothing from one that failed, changed something, or never began."""

from __future__ import annotations

import json
from importlib import import_module
from typing import Any

import pytest


def run(*results: dict[str, Any]) -> str:
    """What ansible-playbook prints: some warnings, then the callback's document."""
    tasks = [{"task": {"name": f"task {number}"}, "hosts": {"i-1": result}} for number, result in enumerate(results)]
    document = {"custom_stats": {}, "plays": [{"tasks": tasks}], "stats": {"i-1": {}}}
    return "[WARNING]: {something}\n" + json.dumps(document, indent=0).replace("{\n", "{", 1)


@pytest.mark.parametrize(
    ("output", "said"),
    [
        (run({"changed": False}, {"skipped": True}), ""),
        (run({"changed": True}, {}, {"changed": True}), "changed a machine of it, in 'task 0', 'task 2'."),
        (run({"changed": True}, {"failed": True, "msg": "no such package"}), "'task 1' failed: no such package"),
        (run({"unreachable": True, "msg": "timed out"}), "'task 0' failed: timed out"),
        (run({"failed": True, "results": [{}, {"failed": True, "msg": "second"}]}), "'task 0' failed: second"),
        ("", "ansible-playbook did not run: no such inventory"),
    ],
)
def test_the_problem_is_told(output: str, said: str) -> None:
    run_problem = import_module("ansible_collections.stackyard.aws.plugins.filter.run_problem").run_problem
    problem = run_problem(output, "no such inventory\n")
    assert problem.endswith(said)
    assert bool(problem) == bool(said)
