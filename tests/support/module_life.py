"""The cycle that every API module of the collection is put through."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass
class ModuleLife:
    """Runs one module with arguments against a control plane.

    Attributes:
        ansible: The runner fixture.
        cloud: The account fixture.
        module: Full name of the module.
        common: Arguments of every run.
    """

    ansible: Any
    cloud: Any
    module: str
    common: dict[str, Any]

    def run(self, arguments: dict[str, Any], *, check: bool = False, **options: Any) -> dict[str, Any]:
        """Run the module once and return its result."""
        task = {"name": "Run", self.module: self.common | arguments}
        result: dict[str, Any] = self._play([task], check=check, **options).last
        return result

    def refused(self, arguments: dict[str, Any]) -> str:
        """Run the module with arguments that it must refuse, without a write, and return its message."""
        self.cloud.forget_requests()
        message = str(self.run(arguments, expect_failure=True)["msg"])
        assert self.cloud.writes() == []
        return message

    def live(self, arguments: dict[str, Any]) -> dict[str, Any]:
        """Check, do, check again, do again; return what the run that did something returned.

        The check writes nothing and announces exactly what the run does; what follows changes nothing.
        """
        self.cloud.forget_requests()
        steps = [(arguments, check) for check in (True, False, True, False)]
        runs = self._runs(steps)
        announced, done, announced_again, done_again = (run.result for run in runs)
        assert self.cloud.server_errors() == []
        assert announced["changed"] is True
        assert announced["changes"] == done["changes"]
        assert announced_again["changes"] == done_again["changes"] == []
        assert announced_again["changed"] is done_again["changed"] is False
        others = [entry for entry in self.cloud.requests() if not runs[1].began <= entry["time"] < runs[2].began]
        assert [entry["action"] for entry in others if entry["write"]] == []
        return done

    def alter(self, start: dict[str, Any], alterations: list[tuple[dict[str, Any], str]]) -> None:
        """Alter one property after the other, then all of them back.

        Each is announced by a check as it is done. That it is done only once shows in the step after it, which
        changes nothing but its own property.

        Args:
            start: Arguments of the resource to start from.
            alterations: Pairs of altered arguments and the type of change that they make, and no other.
        """
        steps, arguments = [(start, False)], start
        for altered, _ in alterations:
            arguments = arguments | altered
            steps += [(arguments, True), (arguments, False)]
        results = self.sequence([*steps, (start, True), (start, False), (start, True)])
        assert self.cloud.server_errors() == []
        for index, (altered, kind) in enumerate(alterations):
            announced, done = results[1 + index * 2 : 3 + index * 2]
            assert {change["type"] for change in done["changes"]} == {kind}, altered
            assert announced["changes"] == done["changes"], altered
            assert announced["diff"] == done["diff"], altered
        announced, back, settled = results[-3:]
        assert announced["changes"] == back["changes"]
        assert {change["type"] for change in back["changes"]} == {kind for _, kind in alterations}
        assert settled["changes"] == []

    def sequence(self, steps: list[tuple[dict[str, Any], bool]]) -> list[dict[str, Any]]:
        """Run the module several times in one play, each with its arguments, in check mode or not."""
        return [run.result for run in self._runs(steps)]

    def _runs(self, steps: list[tuple[dict[str, Any], bool]]) -> list[Any]:
        tasks = [
            {"name": f"Run {number}", self.module: self.common | arguments, "check_mode": check}
            for number, (arguments, check) in enumerate(steps)
        ]
        # Through Mitogen, whose own start costs as much as a few tasks without it.
        runs: list[Any] = self._play(tasks, strategy="stackyard.aws.mitogen_or_linear").tasks
        return runs

    def _play(self, tasks: list[dict[str, Any]], *, strategy: str = "linear", **options: Any) -> Any:
        # Defaults of groups, as playbooks set them, take a quarter of a second to find all the groups' modules.
        defaults = {self.module: self.cloud.module_defaults["group/aws"]}
        return self.ansible.run_play({"tasks": tasks, "strategy": strategy, "module_defaults": defaults}, **options)
