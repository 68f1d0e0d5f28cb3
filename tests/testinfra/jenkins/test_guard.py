"""Jenkins is not started on a home that is empty, another's, newer, full or away, and what is there stays as it is."""

from __future__ import annotations

import contextlib
import json

import pytest

from support.jenkins_machine import HOME, wait

MARK = f"{HOME}/.stackyard-home.json"


@pytest.fixture
def stopped(machine):
    """The machine without Jenkins, which runs again afterwards."""
    machine.host.check_output("systemctl stop jenkins")
    machine.host.check_output("cp -a /etc/jenkins/machine.json /root/machine.json")
    yield machine
    machine.host.check_output("systemctl stop jenkins")
    machine.host.check_output("cp -a /root/machine.json /etc/jenkins/machine.json")
    machine.host.check_output("systemctl start jenkins")
    machine.wait_for_health()


def configure(machine, **other):
    path = "/etc/jenkins/machine.json"
    content = json.loads(machine.host.check_output(f"cat {path}")) | other
    assert machine.host.run(f"cat > {path} <<'END'\n{json.dumps(content)}\nEND\n").rc == 0


def refused(machine) -> str:
    """What the machine says when Jenkins is to be started, which it must not be."""
    began = machine.now()
    machine.host.run("systemctl --no-block start jenkins")
    said = wait(lambda: machine.said_since(began), lambda text: "guard: " in text, 20)
    assert machine.ask("/login").status == 0
    machine.host.check_output("systemctl stop jenkins")
    return said


@contextlib.contextmanager
def home_moved_away(machine):
    """An empty folder in the home's place: what is in it lies beside."""
    folder = "/srv/efs-stand-in"
    machine.host.check_output(
        f"mkdir {folder}/away && find {HOME} -mindepth 1 -maxdepth 1 -exec mv -t {folder}/away {{}} +"
    )
    try:
        yield
    finally:
        machine.host.check_output(
            f"find {HOME} -mindepth 1 -delete && find {folder}/away -mindepth 1 -maxdepth 1 -exec mv -t {HOME} {{}} +"
            f" && rmdir {folder}/away"
        )


def test_home_carries_its_mark(machine):
    mark = json.loads(machine.host.check_output(f"cat {MARK}"))
    assert (mark["home"], mark["version"], mark["token"]) == ("molecule/jenkins", "2.580.2", 0)


def test_empty_home_is_refused_and_stays_empty(stopped):
    configure(stopped, policy="existing")
    with home_moved_away(stopped):
        assert "is empty, though it should be the one of molecule/jenkins" in refused(stopped)
        # systemd makes the folders that the unit's binds are laid over before it asks the guard.
        assert stopped.host.check_output(f"find {HOME} -mindepth 1 -not -type d") == ""
        assert stopped.host.check_output(f"ls {HOME}").split() == ["caches", "init.groovy.d", "plugins"]


def test_foreign_home_is_refused(stopped):
    configure(stopped, name="production/jenkins")
    assert "is the one of molecule/jenkins and not of production/jenkins" in refused(stopped)


def test_newer_home_is_refused(stopped):
    path = f"{HOME}/jenkins.install.InstallUtil.lastExecVersion"
    before = stopped.host.check_output(f"cat {path}")
    stopped.host.check_output(f"printf 2.999.1 >{path}")
    try:
        assert "was written by Jenkins 2.999.1, which is newer than this machine's 2.580.2" in refused(stopped)
        assert stopped.host.check_output(f"cat {path}") == "2.999.1"
    finally:
        stopped.host.check_output(f"printf {before} >{path}")


def test_full_file_system_is_refused(stopped):
    stopped.host.run("dd if=/dev/zero of=/srv/efs-stand-in/filler bs=1M")
    try:
        assert "must be free (jenkins_home_free_mb)" in refused(stopped)
    finally:
        stopped.host.check_output("rm /srv/efs-stand-in/filler")


def test_home_that_is_away_is_seen_and_mounted_when_jenkins_starts(stopped):
    stopped.host.check_output(f"umount {HOME}")
    looked = stopped.host.run("/usr/local/lib/jenkins/guard look")
    assert looked.rc == 1
    assert "is not mounted" in looked.stderr
    stopped.host.check_output("systemctl start jenkins")
    assert stopped.host.mount_point(HOME).exists


def test_home_of_a_later_holder_is_refused_until_it_is_forgotten(stopped):
    # A token of a lease that nobody here holds.
    mark = json.loads(stopped.host.check_output(f"cat {MARK}"))
    assert stopped.host.run(f"cat > {MARK} <<'END'\n{json.dumps(mark | {'token': 9})}\nEND\n").rc == 0
    configure(stopped, leased=True)
    assert "does not hold the lease" in refused(stopped)
    stopped.host.check_output(
        "mkdir -p /run/stackyard-lease && printf '{\"token\": 8}' >/run/stackyard-lease/lease.json"
    )
    try:
        assert "already belongs to the holder 9" in refused(stopped)
        stopped.host.check_output("/usr/local/lib/jenkins/guard forget")
        stopped.host.check_output("systemctl start jenkins")
    finally:
        stopped.host.check_output("rm /run/stackyard-lease/lease.json")


def test_jenkins_starts_by_itself_when_the_home_is_in_order_again(stopped):
    configure(stopped, free_mb=2**30)
    began = stopped.now()
    stopped.host.run("systemctl --no-block start jenkins")
    wait(lambda: stopped.said_since(began), lambda text: "guard: " in text, 20)
    stopped.host.check_output("cp -a /root/machine.json /etc/jenkins/machine.json")
    stopped.wait_for_health(20)
