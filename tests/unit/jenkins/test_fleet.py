"""Agents that their group ends go when no build runs on them, or when their time is over, and never before."""

import json
import os
import time
from pathlib import Path
from typing import Any

import pytest

from support.programs import load

PROGRAM = Path(__file__).resolve().parents[3] / "roles/jenkins/files/usr/local/lib/jenkins/fleet"


class Group:
    """An Auto Scaling group that remembers which machines it was told to let go."""

    def __init__(self) -> None:
        self.states: dict[str, str] = {}
        self.completed: list[tuple[str, str]] = []

    def describe_auto_scaling_groups(self, AutoScalingGroupNames: list[str]) -> dict[str, Any]:  # noqa: N803
        assert AutoScalingGroupNames == ["demo-agents"]
        instances = [{"InstanceId": name, "LifecycleState": state} for name, state in self.states.items()]
        return {"AutoScalingGroups": [{"Instances": instances}]}

    def describe_lifecycle_hooks(self, AutoScalingGroupName: str) -> dict[str, Any]:  # noqa: N803
        return {
            "LifecycleHooks": [
                {"LifecycleHookName": "launch", "LifecycleTransition": "autoscaling:EC2_INSTANCE_LAUNCHING"},
                {"LifecycleHookName": "terminate", "LifecycleTransition": "autoscaling:EC2_INSTANCE_TERMINATING"},
            ]
        }

    def complete_lifecycle_action(self, **action: str) -> None:
        assert (action["AutoScalingGroupName"], action["LifecycleActionResult"]) == ("demo-agents", "CONTINUE")
        self.completed.append((action["InstanceId"], action["LifecycleHookName"]))


class World:
    """The program with a group and a Jenkins that only say what they are told to."""

    def __init__(self, folder: Path) -> None:
        self.module = load(PROGRAM)
        self.run = folder / "run"
        self.run.mkdir()
        self.module.RUN = self.run
        self.group = Group()
        self.drain = self.module.Drain({"group": "demo-agents", "drain_seconds": 60}, self.group)

    def say(self, age: float = 0, **agents: dict[str, Any]) -> None:
        path = self.run / "agents.json"
        path.write_text(json.dumps(agents))
        os.utime(path, (time.time() - age,) * 2)

    @property
    def told(self) -> list[str]:
        """The machines that Jenkins is told of."""
        return (self.run / "leaving").read_text().split()

    @property
    def gone(self) -> list[str]:
        """The machines that were let go, each by the terminate hook alone."""
        assert {hook for _machine, hook in self.group.completed} <= {"terminate"}
        return [machine for machine, _hook in self.group.completed]


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def agent(*builds: str, leaving: bool = True) -> dict[str, Any]:
    return {"leaving": leaving, "builds": list(builds)}


def test_machines_that_stay_are_nobody_s_concern(world: World) -> None:
    world.group.states = {"i-1": "InService", "i-2": "Pending:Wait", "i-3": "Terminating:Proceed"}
    world.say(**{"i-1": agent(leaving=False)})
    world.drain.look()
    assert (world.told, world.gone) == ([], [])


def test_a_machine_goes_when_its_builds_are_over(world: World) -> None:
    world.group.states = {"i-1": "Terminating:Wait", "i-2": "InService"}
    world.say(**{"i-1": agent("job #1"), "i-2": agent(leaving=False)})
    world.drain.look()
    assert (world.told, world.gone) == (["i-1"], [])
    world.say(**{"i-1": agent(), "i-2": agent(leaving=False)})
    world.drain.look()
    assert world.gone == ["i-1"]


def test_an_idle_machine_waits_until_it_gets_no_more_builds(world: World) -> None:
    world.group.states = {"i-1": "Terminating:Wait"}
    world.say(**{"i-1": agent(leaving=False)})
    world.drain.look()
    assert world.gone == []


def test_a_machine_that_jenkins_does_not_know_goes_at_once(world: World) -> None:
    world.group.states = {"i-1": "Terminating:Wait"}
    world.say()
    world.drain.look()
    assert world.gone == ["i-1"]


@pytest.mark.parametrize("said", ["nothing", "old", "nonsense"])
def test_a_machine_waits_while_jenkins_says_nothing_and_no_longer_than_its_time(world: World, said: str) -> None:
    world.group.states = {"i-1": "Terminating:Wait"}
    if said == "old":
        world.say(age=30, **{"i-1": agent()})
    if said == "nonsense":
        (world.run / "agents.json").write_text("[")
    world.drain.look()
    assert world.gone == []
    world.drain.since["i-1"] -= 60
    world.drain.look()
    assert world.gone == ["i-1"]


def test_a_build_that_takes_too_long_is_not_waited_for(world: World) -> None:
    world.group.states = {"i-1": "Terminating:Wait"}
    world.say(**{"i-1": agent("job #1")})
    world.drain.look()
    world.drain.since["i-1"] -= 60
    world.drain.look()
    assert world.gone == ["i-1"]


def test_a_jenkins_that_is_away_is_not_told_and_costs_nothing_else(world: World) -> None:
    world.group.states = {"i-1": "Terminating:Wait"}
    world.run.rmdir()
    world.drain.look()
    assert world.gone == []
    world.run.mkdir()
    world.drain.look()
    assert world.told == ["i-1"]


def test_who_comes_back_into_service_is_forgotten(world: World) -> None:
    world.group.states = {"i-1": "Terminating:Wait"}
    world.drain.look()
    world.group.states = {}
    world.drain.look()
    assert (world.told, world.drain.since) == ([], {})
