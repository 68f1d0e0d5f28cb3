"""The strategy of an image's build, by the processes that a play's tasks run in."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[3]
PLAY = """
- hosts: localhost
  connection: local
  gather_facts: false
  strategy: stackyard.aws.mitogen_or_linear
  vars:
    ansible_python_interpreter: "{{ ansible_playbook_python }}"
  tasks:
    - ansible.builtin.command: {argv: [sh, -c, 'echo $PPID']}
      register: first
    - ansible.builtin.command: {argv: [sh, -c, 'echo $PPID']}
      register: second
    - ansible.builtin.command: {argv: [nproc]}
      register: processors
    - ansible.builtin.copy:
        content: "{{ {'processes': [first.stdout, second.stdout], 'processors': processors.stdout} | to_json }}"
        dest: "{{ seen }}"
        mode: "0600"
"""


@pytest.mark.parametrize(("installed", "processes"), [(True, 1), (False, 2)])
def test_tasks_share_a_process_where_mitogen_is_installed_and_may_use_all_processors(
    tmp_path: Path, installed: bool, processes: int
) -> None:
    if not installed:
        hidden = tmp_path / "ansible_mitogen"
        hidden.mkdir()
        (hidden / "__init__.py").write_text("raise ImportError('hidden')\n")
    playbook, seen = tmp_path / "play.yml", tmp_path / "seen.json"
    playbook.write_text(PLAY)
    done = subprocess.run(
        [Path(sys.executable).with_name("ansible-playbook"), "-i", "localhost,", playbook, "-e", f"seen={seen}"],
        env={**os.environ, "ANSIBLE_CONFIG": str(REPOSITORY / "ansible.cfg"), "PYTHONPATH": str(tmp_path)},
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads(seen.read_text())
    assert len(set(found["processes"])) == processes
    assert int(found["processors"]) == len(os.sched_getaffinity(0))
