"""Fixtures for modules and cloud roles: a patched control plane and a runner for ansible-playbook.

``cloud`` is an empty account on a real HTTP endpoint; ``ansible`` runs tasks or playbooks against it
with the group defaults that every playbook of the collection uses. One control plane serves the whole
session and is emptied before each test (10 ms; a start is 2 s).
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
import yaml

from support.control_plane import REPOSITORY, Cloud, control_plane_process

PLAYBOOK_DEADLINE = 300


@dataclass
class TaskResult:
    """What one task did on one host.

    Attributes:
        name: The task's name, with its role's name before it as Ansible prints it.
        action: Full name of the module or action.
        result: What the module returned (loops: under ``results``), censored where ``no_log`` is set.
        began: When Ansible began with it, in seconds since the epoch.
    """

    name: str
    host: str
    action: str
    result: dict[str, Any]
    began: float

    @property
    def changed(self) -> bool:
        return bool(self.result.get("changed"))

    @property
    def failed(self) -> bool:
        return bool(self.result.get("failed"))

    @property
    def skipped(self) -> bool:
        return bool(self.result.get("skipped"))


@dataclass
class PlaybookResult:
    """The outcome of one run of ansible-playbook.

    Attributes:
        rc: Exit status of ansible-playbook.
        tasks: Every task result, in order; empty when the playbook did not parse.
        facts: Facts set for ``localhost`` by ``set_fact`` (role results such as ``network_result``).
        seconds: Wall clock.
    """

    rc: int
    stdout: str
    stderr: str
    tasks: list[TaskResult]
    seconds: float

    @property
    def changed(self) -> list[TaskResult]:
        """Tasks that reported a change."""
        return [task for task in self.tasks if task.changed]

    @property
    def failed(self) -> list[TaskResult]:
        """Tasks that failed (rescued and ignored ones too)."""
        return [task for task in self.tasks if task.failed]

    @property
    def facts(self) -> dict[str, Any]:
        facts: dict[str, Any] = {}
        for task in self.tasks:
            facts.update(task.result.get("ansible_facts") or {})
        return facts

    @property
    def messages(self) -> list[str]:
        """Messages of the failed tasks, items of loops included: what an operator reads."""
        found = []
        for task in self.failed:
            for result in [task.result, *task.result.get("results", [])]:
                if result.get("failed") and result.get("msg"):
                    found.append(str(result["msg"]))
        return found

    def task(self, name: str) -> dict[str, Any]:
        """The result of the last task whose name ends with ``name``."""
        matching = [task for task in self.tasks if task.name.endswith(name)]
        if not matching:
            raise KeyError(f"no task {name!r}; there were: {[task.name for task in self.tasks]}")
        return matching[-1].result

    @property
    def last(self) -> dict[str, Any]:
        """The result of the last task that ran."""
        return self.tasks[-1].result


@dataclass
class Ansible:
    """Runs ansible-playbook against a cloud."""

    cloud: Cloud
    directory: Path
    collections: Path
    _runs: int = 0

    def run_playbook(
        self,
        playbook: Path | str,
        *,
        extra_vars: dict[str, Any] | None = None,
        check: bool = False,
        diff: bool = True,
        arguments: tuple[str, ...] = (),
        environment: dict[str, str] | None = None,
        expect_failure: bool = False,
        timeout: float = PLAYBOOK_DEADLINE,
    ) -> PlaybookResult:
        """Run a playbook and parse its results.

        Args:
            playbook: Path; a relative one counts from the repository's root.
            extra_vars: Passed as a JSON file, so every type survives.
            check: Run with ``--check``.
            diff: Run with ``--diff``; differences are in the task results under ``diff``.
            arguments: More arguments for ansible-playbook (``("-i", "inventory/local")``).
            environment: More environment variables.
            expect_failure: Whether a run that fails is what the test wants.
            timeout: Seconds until the run is killed.

        Raises:
            AssertionError: The run failed though it was not expected to, or the reverse.
        """
        self._runs += 1
        command = [str(Path(sys.executable).parent / "ansible-playbook"), str(playbook)]
        if "-i" not in arguments:
            command += ["-i", "localhost,"]
        if check:
            command.append("--check")
        if diff:
            command.append("--diff")
        if extra_vars is not None:
            variables = self.directory / f"variables-{self._runs}.json"
            variables.write_text(json.dumps(extra_vars))
            command += ["-e", f"@{variables}"]
        started = time.monotonic()
        completed = subprocess.run(
            [*command, *arguments],
            cwd=REPOSITORY,
            env=self._environment() | (environment or {}),
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )
        result = PlaybookResult(
            rc=completed.returncode,
            stdout=completed.stdout,
            stderr=completed.stderr,
            tasks=_task_results(completed.stdout),
            seconds=time.monotonic() - started,
        )
        if (result.rc != 0) != expect_failure:
            raise AssertionError(self._explain(result))
        return result

    def run_tasks(
        self, tasks: str | list[dict[str, Any]], *, variables: dict[str, Any] | None = None, **options: Any
    ) -> PlaybookResult:
        """Run tasks (YAML text or a list) in a play on localhost with the module defaults of this cloud."""
        if isinstance(tasks, str):
            tasks = yaml.safe_load(textwrap.dedent(tasks))
        return self.run_play({"tasks": tasks, "vars": variables or {}}, **options)

    def run_role(
        self, role: str, variables: dict[str, Any] | None = None, *, tasks_from: str | None = None, **options: Any
    ) -> PlaybookResult:
        """Run one role of the collection with role variables."""
        include: dict[str, Any] = {"name": f"stackyard.aws.{role}"}
        if tasks_from:
            include["tasks_from"] = tasks_from
        task = {"name": f"Run {role}", "ansible.builtin.import_role": include, "vars": variables or {}}
        return self.run_play({"tasks": [task]}, **options)

    def refusals(self, role: str, wrong: list[dict[str, Any]], *, tasks_from: str = "main") -> list[str]:
        """Run one role with one set of wrong variables after the other, in one play, each from a fresh start.

        Args:
            role: Its name.
            wrong: The sets of variables.
            tasks_from: Which of its stages; a machine role must not go on to change this machine.

        Returns:
            What each run said when it failed; an empty text where it did not.
        """
        blocks = [
            {
                "name": f"Try {number}",
                "block": [
                    {
                        "name": "Run",
                        "ansible.builtin.include_role": {"name": f"stackyard.aws.{role}", "tasks_from": tasks_from},
                        "vars": variables,
                    }
                ],
                "rescue": [{"name": "Go on", "ansible.builtin.debug": {"msg": "refused"}}],
                "always": [{"name": f"End of {number}", "ansible.builtin.debug": {"msg": ""}}],
            }
            for number, variables in enumerate(wrong)
        ]
        said: list[list[str]] = [[]]
        for task in self.run_tasks(blocks).tasks:
            if task.name == f"End of {len(said) - 1}":
                said.append([])
            elif task.failed:
                answers = [task.result, *task.result.get("results", [])]
                said[-1] += [str(answer["msg"]) for answer in answers if answer.get("failed") and answer.get("msg")]
                said[-1] += [str(answer["argument_errors"]) for answer in answers if answer.get("argument_errors")]
        return [" ".join(messages) for messages in said[:-1]]

    def run_play(self, play: dict[str, Any], **options: Any) -> PlaybookResult:
        """Run one play on localhost with the module defaults of this cloud."""
        playbook = self.directory / f"play-{self._runs + 1}.yml"
        skeleton = {
            "name": "Test",
            "hosts": "localhost",
            "connection": "local",
            "gather_facts": False,
            "module_defaults": self.cloud.module_defaults,
        }
        playbook.write_text(yaml.safe_dump([skeleton | play], sort_keys=False))
        return self.run_playbook(playbook, **options)

    def _environment(self) -> dict[str, str]:
        kept = {key: value for key, value in os.environ.items() if not key.startswith(("AWS_", "ANSIBLE_"))}
        return kept | {
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "ANSIBLE_CONFIG": str(REPOSITORY / "ansible.cfg"),
            "ANSIBLE_COLLECTIONS_PATH": str(self.collections),
            "ANSIBLE_STDOUT_CALLBACK": "ansible.posix.json",
            "ANSIBLE_JSON_INDENT": "0",
            "ANSIBLE_CALLBACK_RESULT_FORMAT": "json",
            "ANSIBLE_LOCALHOST_WARNING": "false",
            "ANSIBLE_DEPRECATION_WARNINGS": "true",
            "ANSIBLE_PYTHON_INTERPRETER": sys.executable,
            "ANSIBLE_LOCAL_TEMP": str(self.directory / "tmp"),
            "ANSIBLE_REMOTE_TEMP": str(self.directory / "tmp"),
            # The test's own credentials only: never those of the person who runs the tests.
            "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_CONFIG_FILE": os.devnull,
            "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        }

    def _explain(self, result: PlaybookResult) -> str:
        server_log = self.cloud.server_log.read_text().splitlines()
        return "\n".join(
            [
                f"ansible-playbook ended with {result.rc}",
                *(f"{task.name} ({task.action}): {json.dumps(task.result)[:3000]}" for task in result.failed),
                result.stderr[-3000:],
                *([] if result.tasks else [result.stdout[-3000:]]),
                "--- last lines of the server:",
                *server_log[-15:],
            ]
        )


def _task_results(stdout: str) -> list[TaskResult]:
    """Read the JSON document that the callback prints at the end of a run."""
    start = stdout.find('{"custom_stats"')
    if start < 0:
        return []
    document, _ = json.JSONDecoder().raw_decode(stdout[start:])
    return [
        TaskResult(
            name=task["task"]["name"],
            host=host,
            action=result.get("action", ""),
            result=result,
            began=datetime.fromisoformat(task["task"]["duration"]["start"]).timestamp(),
        )
        for play in document["plays"]
        for task in play["tasks"]
        for host, result in task["hosts"].items()
    ]


@pytest.fixture(scope="session")
def control_plane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    """One patched control plane for the session. Tests use ``cloud``, which is empty at their start."""
    with control_plane_process(tmp_path_factory.mktemp("control-plane")) as cloud:
        yield cloud


@pytest.fixture
def cloud(control_plane: Cloud) -> Cloud:
    """An empty account (default VPC apart)."""
    control_plane.reset()
    return control_plane


@pytest.fixture(scope="session")
def collections(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A collections path in which this work tree is ``stackyard.aws``; needs no ``make setup``."""
    root = tmp_path_factory.mktemp("collections")
    namespace = root / "ansible_collections" / "stackyard"
    namespace.mkdir(parents=True)
    (namespace / "aws").symlink_to(REPOSITORY)
    return root


@pytest.fixture
def ansible(cloud: Cloud, collections: Path, tmp_path: Path) -> Ansible:
    """A runner for ansible-playbook against ``cloud``."""
    if not shutil.which(str(Path(sys.executable).parent / "ansible-playbook")):
        pytest.fail("ansible-playbook is not beside this Python; install the 'controller' extra")
    return Ansible(cloud=cloud, directory=tmp_path, collections=collections)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the longest tests: whoever is handed one at the end makes the others wait for it.

    pytest-xdist hands out the first tests two by two. The life of the stack, which is the longest of all, is paired
    with one that is skipped.
    """
    first = ["test_stacks.py", "test_oldest.py", "test_cut_and_rerun.py", "test_wrong_inputs.py"]
    items.sort(key=lambda item: first.index(item.path.name) if item.path.name in first else len(first))
