"""The guard lets Jenkins start on its own home alone."""

import json
import os
from pathlib import Path

import pytest

from support.programs import load

PROGRAM = Path(__file__).resolve().parents[3] / "roles/jenkins/files/usr/local/lib/jenkins/guard"
MACHINE = {
    "name": "demo/jenkins",
    "policy": "existing",
    "newer": False,
    "free_mb": 1,
    "mounted": False,
    "version": "2.580.2",
    "leased": True,
}


class Guard:
    """The guard with a home, a lease and settings of its own."""

    def __init__(self, folder: Path) -> None:
        self.module = load(PROGRAM)
        self.folder = folder
        self.home = folder / "home"
        self.home.mkdir()
        self.module.MACHINE = folder / "machine.json"
        self.module.LEASE = folder / "lease.json"
        self.module.STARTED = folder / "run/started"
        self.module.BEGUN = folder / "begun"
        self.configure()
        self.hold(5)

    def configure(self, **other: object) -> None:
        self.module.MACHINE.write_text(json.dumps(MACHINE | {"home": str(self.home)} | other))

    def hold(self, token: int) -> None:
        self.module.LEASE.write_text(json.dumps({"token": token}))

    def mark(self, **other: object) -> None:
        mark = {"home": "demo/jenkins", "version": "2.580.1", "token": 3}
        (self.home / ".stackyard-home.json").write_text(json.dumps(mark | other))

    def fill(self, version: str = "2.580.1") -> None:
        (self.home / "config.xml").write_text(f"<?xml version='1.1'?>\n<hudson>\n<version>{version}</version></hudson>")
        (self.home / "jenkins.install.InstallUtil.lastExecVersion").write_text(version)
        (self.home / "jobs").mkdir()

    def call(self, command: str = "take") -> int:
        return self.module.main([command])


@pytest.fixture
def guard(tmp_path: Path) -> Guard:
    return Guard(tmp_path)


def test_own_home_is_taken_and_marked(guard: Guard) -> None:
    guard.fill()
    guard.mark()
    assert guard.call() == 0
    mark = json.loads((guard.home / ".stackyard-home.json").read_text())
    assert (mark["home"], mark["version"], mark["token"]) == ("demo/jenkins", "2.580.2", 5)
    assert (guard.folder / "run/started").exists()


def test_looking_writes_nothing(guard: Guard) -> None:
    guard.fill()
    guard.mark()
    before = (guard.home / ".stackyard-home.json").read_text()
    guard.module.LEASE.unlink()
    assert guard.call("look") == 0
    assert (guard.home / ".stackyard-home.json").read_text() == before


@pytest.mark.parametrize("noise", [[], ["lost+found", "plugins", "caches", "init.groovy.d"]])
def test_empty_home_is_taken_only_where_one_is_to_begin(guard: Guard, noise: list[str], capsys) -> None:
    for name in noise:
        (guard.home / name).mkdir()
    assert guard.call() == 1
    assert "is empty, though it should be the one of demo/jenkins" in capsys.readouterr().err
    assert sorted(path.name for path in guard.home.iterdir()) == sorted(noise)
    guard.configure(policy="adopt")
    assert guard.call() == 1
    guard.configure(policy="create")
    assert guard.call() == 0


def test_empty_home_is_taken_first_and_not_once_it_was_begun(guard: Guard, capsys) -> None:
    guard.configure(policy="first")
    assert guard.call() == 0
    guard.module.BEGUN.touch()
    assert guard.call() == 1
    assert "is empty, though it should be the one of demo/jenkins" in capsys.readouterr().err


def test_home_of_which_only_the_mark_is_left_is_empty(guard: Guard, capsys) -> None:
    guard.mark()
    assert guard.call() == 1
    assert "is empty" in capsys.readouterr().err


def test_home_without_its_configuration_is_refused(guard: Guard, capsys) -> None:
    guard.mark()
    (guard.home / "jobs").mkdir()
    assert guard.call() == 1
    assert "has lost its config.xml" in capsys.readouterr().err


@pytest.mark.parametrize("policy", ["existing", "first", "create"])
def test_foreign_home_is_refused(guard: Guard, policy: str, capsys) -> None:
    guard.configure(policy=policy)
    guard.fill()
    assert guard.call() == 1
    assert "does not say whose it is" in capsys.readouterr().err
    guard.mark(home="production/jenkins")
    assert guard.call() == 1
    assert "is the one of production/jenkins and not of demo/jenkins" in capsys.readouterr().err


def test_foreign_home_is_adopted_if_it_is_one(guard: Guard, capsys) -> None:
    guard.configure(policy="adopt")
    (guard.home / "holiday.jpg").touch()
    assert guard.call() == 1
    assert "none of Jenkins" in capsys.readouterr().err
    guard.fill()
    guard.mark(home="production/jenkins", token=99)
    assert guard.call() == 0


@pytest.mark.parametrize(
    ("found", "taken"), [("2.580.2", True), ("2.99.1", True), ("2.580.10", False), ("2.581", False)]
)
def test_newer_home_is_refused(guard: Guard, found: str, taken: bool, capsys) -> None:
    guard.fill(found)
    guard.mark()
    assert (guard.call() == 0) is taken
    if not taken:
        assert f"was written by Jenkins {found}, which is newer than this machine's 2.580.2" in capsys.readouterr().err
        guard.configure(newer=True)
        assert guard.call() == 0


@pytest.mark.parametrize("where", ["mark", "config.xml", "lastExecVersion"])
def test_every_place_that_tells_a_newer_version_counts(guard: Guard, where: str) -> None:
    guard.fill()
    guard.mark(version="2.600.1" if where == "mark" else "2.580.1")
    if where == "config.xml":
        (guard.home / "config.xml").write_text("<hudson><version>2.600.1</version></hudson>")
    if where == "lastExecVersion":
        (guard.home / "jenkins.install.InstallUtil.lastExecVersion").write_text("2.600.1\n")
    assert guard.call("look") == 1


def test_damaged_mark_is_refused(guard: Guard, capsys) -> None:
    guard.fill()
    (guard.home / ".stackyard-home.json").write_text("{")
    assert guard.call() == 1
    assert "is damaged" in capsys.readouterr().err


def test_home_that_is_not_mounted_is_refused(guard: Guard, capsys) -> None:
    guard.fill()
    guard.mark()
    guard.configure(mounted=True)
    assert guard.call() == 1
    assert "is not mounted" in capsys.readouterr().err
    guard.home.rename(guard.folder / "away")
    assert guard.call() == 1
    assert "does not exist" in capsys.readouterr().err


def test_full_file_system_is_refused(guard: Guard, capsys, monkeypatch: pytest.MonkeyPatch) -> None:
    guard.fill()
    guard.mark()
    guard.configure(free_mb=2**40)
    assert guard.call() == 1
    assert "must be free (jenkins_home_free_mb)" in capsys.readouterr().err
    guard.configure()

    def full(*_ignored: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(guard.module.Home, "write_mark", full)
    assert guard.call() == 1
    assert "is full" in capsys.readouterr().err


def test_machine_without_the_lease_takes_nothing(guard: Guard, capsys) -> None:
    guard.fill()
    guard.mark()
    guard.module.LEASE.unlink()
    assert guard.call() == 1
    assert "does not hold the lease" in capsys.readouterr().err
    guard.configure(leased=False)
    assert guard.call() == 0
    assert json.loads((guard.home / ".stackyard-home.json").read_text())["token"] == 0


def test_later_holder_s_home_is_refused_until_it_is_forgotten(guard: Guard, capsys) -> None:
    guard.fill()
    guard.mark(token=6)
    assert guard.call() == 1
    assert "already belongs to the holder 6" in capsys.readouterr().err
    assert guard.call("forget") == 0
    assert guard.call() == 0


def test_what_is_asked_wrongly_is_said(guard: Guard) -> None:
    assert guard.module.main([]) == 2
    assert guard.module.main(["give"]) == 2
    os.unlink(guard.module.MACHINE)
    assert guard.call() == 1
