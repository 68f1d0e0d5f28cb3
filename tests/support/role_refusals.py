"""Asks a role's check of its variables what it makes of wrong ones, all in one run of ansible-playbook.

Each case is a block that includes the check with one variable set wrong, on the machine of the scenario, with the
scenario's own inventory, and keeps what was said.
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

REPOSITORY = Path(__file__).resolve().parents[2]


def refusals(
    cases: Mapping[str, tuple[str, Mapping[str, Any]]], *, host: str, roles: Mapping[str, str], folder: Path
) -> dict[str, str]:
    """Return what each case was refused with, empty where it was taken.

    Args:
        cases: By name, the variable that the sentence must name, and what is given.
        host: The machine whose facts and variables count.
        roles: The role that is asked, by what the variable begins with; "" stands for all others.
        folder: For the playbook and what was said.
    """
    tasks: list[dict[str, Any]] = [{"name": "Begin with nothing said", "ansible.builtin.set_fact": {"said": {}}}]
    for name, (variable, given) in cases.items():
        role = next(role for start, role in sorted(roles.items(), reverse=True) if variable.startswith(start))
        tasks.append({
            "name": f"Try {name}",
            "block": [{
                "name": f"Check {name}",
                "ansible.builtin.include_role": {"name": f"stackyard.aws.{role}", "tasks_from": "preflight"},
            }],
            # Written to a file once, at the end: a module's run for each case would take most of the time.
            "rescue": [{
                "name": f"Keep {name}",
                "ansible.builtin.set_fact": {"said": "{{ said | combine({case: ansible_failed_result.msg}) }}"},
            }],
            "vars": {**given, "case": name},
        })  # fmt: skip
    tasks.append({
        "name": "Write what was said",
        "ansible.builtin.copy": {"content": "{{ said | to_json }}", "dest": str(folder / "said.json"), "mode": "0600"},
        "delegate_to": "localhost",
        "become": False,
    })  # fmt: skip
    play = [{"name": "Try wrong inputs", "hosts": host, "become": True, "gather_facts": True, "tasks": tasks}]
    playbook = folder / "refusals.yml"
    playbook.write_text(yaml.safe_dump(play, sort_keys=False), encoding="utf-8")
    done = subprocess.run(
        ["ansible-playbook", "-i", os.environ["MOLECULE_INVENTORY_FILE"], str(playbook)],
        capture_output=True,
        text=True,
        check=False,
        cwd=REPOSITORY,
        env=os.environ | {"ANSIBLE_NOCOLOR": "1", "ANSIBLE_CONFIG": str(REPOSITORY / "ansible.cfg")},
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return dict.fromkeys(cases, "") | json.loads((folder / "said.json").read_text())


def keep_figures(name: str, said: Mapping[str, str]) -> None:
    """Write how many wrong inputs were tried and refused into build/figures."""
    figures = REPOSITORY / "build" / "figures"
    figures.mkdir(parents=True, exist_ok=True)
    refused = sum(1 for text in said.values() if text)
    (figures / f"{name}.json").write_text(
        json.dumps({"wrong_inputs_tried": len(said), "wrong_inputs_refused": refused})
    )
