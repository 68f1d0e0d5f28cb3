"""The drain waits for builds as long as it was told, once, and never for a Jenkins that says nothing."""

import json
import os
import time
from pathlib import Path

import pytest

from support.programs import load

PROGRAM = Path(__file__).resolve().parents[3] / "roles/jenkins/files/usr/local/lib/jenkins/drain"


class Drain:
    """The drain with a Jenkins that only says what it is told to."""

    def __init__(self, folder: Path) -> None:
        self.module = load(PROGRAM)
        self.run = folder / "run"
        self.run.mkdir()
        self.module.RUN = self.run
        self.module.MACHINE = folder / "machine.json"
        self.module.LOOK_SECONDS = 0.05
        self.module.in_a_hurry = lambda: False
        self.times(leave=0.5, stop=0.2)

    def times(self, *, leave: float, stop: float) -> None:
        self.module.MACHINE.write_text(json.dumps({"drain_seconds": leave, "handover_seconds": stop}))

    def say(self, *builds: str, quiet: bool = True, age: float = 0) -> None:
        path = self.run / "builds.json"
        path.write_text(json.dumps({"quiet": quiet, "builds": builds}))
        os.utime(path, (time.time() - age,) * 2)

    def call(self, command: str) -> float:
        began = time.monotonic()
        assert self.module.main([command]) == 0
        return time.monotonic() - began


@pytest.fixture
def drain(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Drain:
    monkeypatch.setenv("MAINPID", "1")
    return Drain(tmp_path)


def test_jenkins_without_builds_is_not_waited_for(drain: Drain) -> None:
    drain.say()
    assert drain.call("leave") < 0.2
    assert (drain.run / "drain").exists()


def test_builds_get_their_time_and_no_more(drain: Drain, capsys) -> None:
    drain.say("demo #3")
    assert 0.4 < drain.call("leave") < 1.5
    said = capsys.readouterr().out
    assert "Waiting for demo #3." in said
    assert "No more time for demo #3." in said


def test_jenkins_that_is_not_quiet_yet_may_still_begin_one(drain: Drain) -> None:
    drain.say(quiet=False)
    assert drain.call("leave") > 0.4


def test_stop_after_the_drain_does_not_wait_again(drain: Drain) -> None:
    drain.times(leave=0, stop=30)
    drain.say("demo #3")
    drain.call("leave")
    assert drain.call("stop") < 1.5


@pytest.mark.parametrize("how", ["nothing", "old", "damaged"])
def test_jenkins_that_says_nothing_is_not_waited_for(drain: Drain, how: str) -> None:
    drain.times(leave=30, stop=30)
    if how == "old":
        drain.say("demo #3", age=60)
    if how == "damaged":
        (drain.run / "builds.json").write_text("{")
    assert drain.call("leave") < 1


def test_jenkins_that_has_ended_by_itself_is_not_waited_for(drain: Drain, monkeypatch: pytest.MonkeyPatch) -> None:
    drain.times(leave=30, stop=30)
    drain.say("demo #3")
    monkeypatch.delenv("MAINPID")
    assert drain.call("stop") < 0.2


def test_no_time_is_taken_when_the_lease_runs_out(drain: Drain) -> None:
    drain.times(leave=30, stop=30)
    drain.say("demo #3")
    drain.module.in_a_hurry = lambda: True
    assert drain.call("stop") < 0.2
    assert not (drain.run / "drain").exists()


def test_what_jenkins_has_put_in_the_way_is_not_followed(drain: Drain, tmp_path: Path) -> None:
    target = tmp_path / "shadow"
    target.write_text("kept")
    (drain.run / "drain").symlink_to(target)
    drain.say()
    drain.call("leave")
    assert target.read_text() == "kept"
    assert not (drain.run / "drain").is_symlink()


def test_stop_goes_on_whatever_goes_wrong(drain: Drain, capsys) -> None:
    drain.module.MACHINE.unlink()
    drain.call("stop")
    assert "FileNotFoundError" in capsys.readouterr().err
    assert drain.module.main(["go"]) == 2
