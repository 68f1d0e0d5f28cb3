"""The lease on real machines: what systemd does with the daemon, the target and the units that hang on it.

The application is a unit that notes its token and the time while it runs, and takes a second to stop, and another that
tells over HTTP on which machine it runs. All machines of the local cloud share a kernel, hence a clock. What the daemon
decides is tested in tests/unit/lease.
"""

from __future__ import annotations

import json
import re
import subprocess
import time
from collections.abc import Callable
from typing import Any

import pytest

from support.figures import record
from support.lease_world import Beat, boottime, overlaps
from support.local_cloud import TestCloud, TestMachine
from support.waiting import until

TABLE, LEASE = "leases", "counter"
TTL, MARGIN, KILL = 10, 2, 2
PORT = 8099
SETTINGS = {
    "lease_forward_ports": [PORT],
    "lease_table": TABLE,
    "lease_name": LEASE,
    "lease_ttl_seconds": TTL,
    "lease_renew_seconds": 1,
    "lease_stop_seconds": 4,
    "lease_handover_seconds": 5,
    "lease_wait_seconds": 40,
}
PLAY = """
- name: Lease
  hosts: localhost
  connection: local
  gather_facts: false
  tasks:
    - name: Use the role
      ansible.builtin.import_role:
        name: stackyard.aws.lease
"""
PROGRAM = """
import json, os, signal, time
try:
    token = json.load(open("/run/stackyard-lease/lease.json"))["token"]
except FileNotFoundError:
    token = 0
ends = []
if os.path.exists("/etc/stubborn"):
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
else:
    signal.signal(signal.SIGTERM, lambda *_: ends.append(time.monotonic() + 1))
with open("/var/log/counter", "a", buffering=1) as file:
    while not ends or time.monotonic() < ends[0]:
        file.write(f"{token} {time.clock_gettime(time.CLOCK_BOOTTIME):.4f}\\n")
        time.sleep(0.02)
open("/var/log/flushed", "a").write(f"{token}\\n")
"""
COMMANDS = {
    "counter": "/usr/bin/python3 /usr/local/bin/counter",
    "teller": f"/usr/bin/python3 -m http.server --directory=/run/cloud-init {PORT}",
}
UNIT = """
[Unit]
Description=What must not run twice
BindsTo=stackyard-leased.target
After=stackyard-leased.target

[Service]
ExecStart={command}
Restart=always

[Install]
WantedBy=stackyard-leased.target
"""


def write(machine: TestMachine, path: str, text: str) -> None:
    machine.run("sh", "-c", f"cat >{path} <<'END'\n{text}\nEND")


def apply_role(machine: TestMachine, check: bool = True, **variables: Any) -> tuple[int, str]:
    """Run the role on the machine itself, as its boot unit does; returns the number of changes and the output."""
    write(machine, "/root/lease.yml", PLAY)
    write(machine, "/root/variables.json", json.dumps(SETTINGS | variables))
    said = machine.run(
        "env", "ANSIBLE_CONFIG=/opt/stackyard/ansible.cfg", "HOME=/root", "LANG=C.UTF-8",
        "/opt/stackyard/venv/bin/ansible-playbook", "/root/lease.yml", "-e", "@/root/variables.json", check=check,
    )  # fmt: skip
    found = re.search(r"changed=(\d+)", said)
    assert found, said
    return int(found[1]), said


def token(machine: TestMachine) -> int:
    """The token that the machine may run with; 0 for none."""
    said = machine.run("cat", "/run/stackyard-lease/lease.json", check=False)
    return int(json.loads(said)["token"]) if said else 0


def active(machine: TestMachine, unit: str) -> str:
    return machine.run("systemctl", "is-active", unit, check=False).strip()


def holds(machine: TestMachine, seconds: float = TTL + 15) -> int:
    until(f"{machine.id} to hold the lease", lambda: token(machine) and active(machine, "counter") == "active", seconds)
    return token(machine)


def told(machine: TestMachine) -> str:
    """The machine that whoever comes to this one's port is told of; empty if nobody answers."""
    page = machine.run("curl", "-s", "-m", "3", f"http://127.0.0.1:{PORT}/instance-data.json", check=False)
    return str(json.loads(page)["v1"]["instance_id"]) if page else ""


def journal(machine: TestMachine) -> str:
    return machine.run("journalctl", "--no-pager", "--output=cat", "--unit=stackyard-lease.service")


class Pair:
    """Two machines, of which the first holds the lease and the second stands by."""

    def __init__(self, cloud: TestCloud, first: TestMachine, second: TestMachine) -> None:
        self._cloud = cloud
        self.region = cloud.settings.region
        self.first, self.second = first, second
        self.pauses: dict[str, list[list[float]]] = {first.id: [], second.id: []}

    def begin(self) -> int:
        for machine in (self.first, self.second):
            machine.run("rm", "-f", "/etc/stubborn")
            # One that heeds no SIGTERM keeps its place until systemd loses patience with it.
            machine.run("systemctl", "kill", "--signal=SIGKILL", "counter", check=False)
            machine.run("systemctl", "stop", "stackyard-lease.service")
            machine.run("rm", "-f", "/var/log/counter", "/var/log/flushed")
            self.held(machine, False)
        self.first.run("systemctl", "start", "stackyard-lease.service")
        mine = holds(self.first)
        self.held(self.second, True)
        self.second.run("systemctl", "start", "stackyard-lease.service")
        until("the second to wait", lambda: f"{self.first.id} holds it, token {mine}" in journal(self.second))
        return mine

    def held(self, machine: TestMachine, before: bool) -> None:
        """Have a machine pass for one that has had its turn, or has not."""
        file = "/var/lib/stackyard-lease/held"
        machine.run("sh", "-c", f"printf {machine.id} >{file}" if before else f"rm -f {file}")

    def beats(self) -> list[Beat]:
        found = []
        for machine in (self.first, self.second):
            for line in machine.run("cat", "/var/log/counter", check=False).splitlines():
                number, at = line.split()
                found.append(Beat(int(number), machine.id, float(at)))
        return sorted(found, key=lambda beat: beat.at)

    def first_beat(self, number: int) -> float:
        return min(beat.at for beat in self.beats() if beat.token == number)

    def last_beat(self, number: int) -> float:
        return max(beat.at for beat in self.beats() if beat.token == number)

    def silence(self, number: int) -> float:
        """Seconds for which nothing ran before a token."""
        return self.first_beat(number) - self.last_beat(number - 1)

    def overlaps(self) -> list[str]:
        return overlaps(self.beats(), self.pauses)[0]

    def item(self) -> dict[str, str]:
        item = self._cloud.client("dynamodb").get_item(
            TableName=TABLE, Key={"lease": {"S": LEASE}}, ConsistentRead=True
        )["Item"]
        return {name: next(iter(value.values())) for name, value in item.items()}


@pytest.fixture(scope="module")
def machines(
    cloud: TestCloud, launch: Callable[..., TestMachine], security_group: Callable[..., str], golden_image: str
) -> tuple[TestMachine, TestMachine]:
    """Two machines with the application, and a table; no lease yet."""
    iam, dynamodb = cloud.client("iam"), cloud.client("dynamodb")
    iam.create_role(RoleName="lease", AssumeRolePolicyDocument="{}")
    iam.create_instance_profile(InstanceProfileName="lease")
    iam.add_role_to_instance_profile(InstanceProfileName="lease", RoleName="lease")
    dynamodb.create_table(
        TableName=TABLE,
        KeySchema=[{"AttributeName": "lease", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "lease", "AttributeType": "S"}],
        BillingMode="PAY_PER_REQUEST",
    )
    group = security_group("lease", [(PORT, "0.0.0.0/0")])
    first, second = (
        launch(ImageId=golden_image, IamInstanceProfile={"Name": "lease"}, SecurityGroupIds=[group]) for _ in range(2)
    )
    for machine in (first.booted(), second.booted()):
        write(machine, "/usr/local/bin/counter", PROGRAM)
        for name, command in COMMANDS.items():
            write(machine, f"/etc/systemd/system/{name}.service", UNIT.format(command=command))
        machine.run("systemctl", "daemon-reload")
        machine.run("systemctl", "enable", *COMMANDS)
    return first, second


@pytest.fixture(scope="module")
def configured(cloud: TestCloud, machines: tuple[TestMachine, TestMachine]) -> Pair:
    """The role on both, one after the other as in a roll-out."""
    first, second = machines
    region = cloud.settings.region
    assert apply_role(first, lease_region=region)[0] > 0
    before = holds(first)
    # The run ends when the new machine holds the lease: the old one has handed it over.
    assert apply_role(second, lease_region=region)[0] > 0
    pair = Pair(cloud, first, second)
    assert token(second) == before + 1
    assert active(first, "stackyard-lease.service") == "active"
    assert [active(first, unit) for unit in ("stackyard-leased.target", "counter")] == ["inactive", "inactive"]
    assert pair.last_beat(before) < until("its first beat", lambda: pair.first_beat(before + 1))
    # It has had the time to stop by itself.
    assert str(before) in first.run("cat", "/var/log/flushed")
    return pair


@pytest.fixture
def pair(configured: Pair) -> Pair:
    """The first holds the lease, the second stands by."""
    configured.begin()
    return configured


def test_a_second_run_changes_nothing(pair: Pair) -> None:
    assert apply_role(pair.first, lease_region=pair.region)[0] == 0


def test_a_machine_that_waits_in_vain_says_for_what(pair: Pair) -> None:
    changes, said = apply_role(pair.second, check=False, lease_region=pair.region, lease_wait_seconds=15)
    assert changes == 0
    assert f"The daemon says: Waiting for the lease {LEASE}: {pair.first.id} holds it" in " ".join(said.split())


def test_the_status_tells_what_it_does(pair: Pair) -> None:
    assert f"Holding the lease {LEASE}" in pair.first.run("systemctl", "status", "stackyard-lease.service")
    assert pair.first.id in pair.second.run("systemctl", "status", "stackyard-lease.service")


def test_nothing_starts_without_the_lease_whoever_asks(pair: Pair) -> None:
    for unit in ("counter.service", "stackyard-leased.target"):
        pair.second.run("systemctl", "start", unit, check=False)
        assert active(pair.second, unit) != "active"
    assert pair.overlaps() == []
    assert {beat.machine for beat in pair.beats()} == {pair.first.id}


def test_a_machine_that_leaves_stops_before_it_releases(pair: Pair) -> None:
    mine = token(pair.first)
    left = boottime()
    pair.first.run("run-parts", "/etc/stackyard/drain.d")
    assert active(pair.first, "counter") == "inactive"
    assert pair.first.run("cat", "/var/log/flushed").split() == [str(mine)]
    assert "The lease is released." in journal(pair.first)
    assert holds(pair.second) == mine + 1
    # It stopped for a second, and nobody waited for the term.
    assert pair.first_beat(mine + 1) - left < TTL - MARGIN
    record("lease", lease_silence_leave_s=pair.silence(mine + 1))
    assert pair.overlaps() == []


def test_a_hand_over_on_request_and_back_when_the_new_one_fails(pair: Pair) -> None:
    mine = token(pair.first)
    pair.held(pair.second, False)
    assert holds(pair.second) == mine + 1
    assert active(pair.first, "stackyard-leased.target") == "inactive"
    assert pair.first.run("cat", "/var/log/flushed").split() == [str(mine)]
    # A load balancer that still knows the first reaches the second by it.
    for machine in (pair.first, pair.second):
        until("the second's answer", lambda asked=machine: told(asked) == pair.second.id)
    pair.second.run("systemctl", "stop", "stackyard-lease.service")
    assert holds(pair.first) == mine + 2
    until("the first's answer", lambda: told(pair.first) == pair.first.id)
    record("lease", lease_silence_handover_s=pair.silence(mine + 1), lease_silence_back_s=pair.silence(mine + 2))
    assert pair.overlaps() == []


def test_an_application_that_does_not_stop_is_killed(pair: Pair) -> None:
    pair.first.run("touch", "/etc/stubborn")
    pair.first.run("systemctl", "restart", "counter")
    mine = token(pair.first)
    pair.held(pair.second, False)
    assert holds(pair.second) == mine + 1
    assert "is killed" in journal(pair.first)
    assert pair.overlaps() == []


def test_a_machine_that_is_cut_off_stops_before_its_term_is_over(pair: Pair) -> None:
    mine = token(pair.first)
    pair.first.run("touch", "/etc/stubborn")
    pair.first.run("systemctl", "restart", "counter")
    address = re.search(r"http://([\d.]+)", pair.first.run("cat", "/etc/environment"))
    assert address
    pair.first.run("ip", "route", "add", "blackhole", f"{address[1]}/32")
    cut = boottime()
    try:
        assert holds(pair.second) == mine + 1
        assert pair.last_beat(mine) - cut < TTL - MARGIN
        assert active(pair.first, "counter") != "active"
    finally:
        pair.first.run("ip", "route", "del", "blackhole", f"{address[1]}/32")
    assert pair.overlaps() == []


def test_a_daemon_that_is_killed_takes_the_application_along(pair: Pair) -> None:
    mine = token(pair.first)
    pair.first.run("systemctl", "kill", "--signal=SIGKILL", "stackyard-lease.service")
    killed = boottime()
    until("the next token", lambda: token(pair.first) == mine + 1)
    assert holds(pair.first) == mine + 1
    # systemd stops it at once, and gently: it is not the next daemon that has to see to it.
    assert pair.last_beat(mine) - killed < 2
    assert pair.first.run("cat", "/var/log/flushed").split() == [str(mine)]
    assert pair.overlaps() == []


def test_a_daemon_that_hangs_is_killed_in_time(pair: Pair) -> None:
    mine = token(pair.first)
    pair.first.run("touch", "/etc/stubborn")
    pair.first.run("systemctl", "restart", "counter")
    pair.first.run("systemctl", "kill", "--signal=SIGSTOP", "stackyard-lease.service")
    hung = boottime()
    until("the next token", lambda: max(token(pair.first), token(pair.second)) == mine + 1, TTL + 15)
    # The application heeds no SIGTERM either: the next daemon has killed it.
    assert pair.last_beat(mine) - hung < TTL - MARGIN
    assert "earlier daemon" in journal(pair.first)
    assert pair.overlaps() == []


def test_a_machine_that_hangs_loses_the_lease_and_stops_when_it_wakes_up(pair: Pair) -> None:
    mine = token(pair.first)
    subprocess.run(["podman", "pause", pair.first.id], check=True, capture_output=True)
    pair.pauses[pair.first.id].append([boottime(), float("inf")])
    try:
        assert holds(pair.second) == mine + 1
        time.sleep(1)
    finally:
        pair.pauses[pair.first.id][-1][1] = boottime()
        subprocess.run(["podman", "unpause", pair.first.id], check=True, capture_output=True)
    until("its end", lambda: active(pair.first, "counter") != "active", 10)
    sentences, woken = overlaps(pair.beats(), pair.pauses)
    assert sentences == []
    # This moment is what the token at the writer is for.
    assert max(woken, default=0) < 2
    assert token(pair.second) == mine + 1
    silence = pair.first_beat(mine + 1) - pair.pauses[pair.first.id][-1][0]
    record("lease", lease_ttl_s=TTL, lease_silence_hang_s=silence, lease_woken_s=max(woken, default=0.0))


def test_a_reboot_hands_over_and_does_not_take_back(cloud: TestCloud, pair: Pair) -> None:
    mine = token(pair.first)
    started = boottime()
    before = pair.first.run("stat", "--format=%Y", "/proc/1")
    cloud.client("ec2").reboot_instances(InstanceIds=[pair.first.id])
    assert holds(pair.second) == mine + 1
    # Released on the way down.
    assert pair.first_beat(mine + 1) - started < TTL
    until(
        "the first to wait again",
        lambda: (
            pair.first.run("stat", "--format=%Y", "/proc/1", check=False) not in ("", before)
            and active(pair.first, "stackyard-lease.service") == "active"
        ),
        60,
    )
    time.sleep(3)
    assert (token(pair.first), token(pair.second)) == (0, mine + 1)
    assert "request" not in pair.item()
    assert pair.overlaps() == []


def test_without_a_table_the_target_is_simply_started(pair: Pair) -> None:
    pair.second.run("systemctl", "stop", "stackyard-lease.service")
    off = {"lease_table": "", "lease_name": ""}
    assert apply_role(pair.second, **off)[0] > 0
    assert active(pair.second, "counter") == "active"
    assert active(pair.second, "stackyard-lease.service") == "inactive"
    assert pair.second.run("systemctl", "is-enabled", "stackyard-leased.target").strip() == "enabled"
    assert apply_role(pair.second, **off)[0] == 0
    # The first goes on with its lease: this is the overlap that a lease prevents, and that these tests can see.
    until("an overlap", pair.overlaps)
    pair.first.run("systemctl", "stop", "stackyard-lease.service")
    assert apply_role(pair.second, lease_region=pair.region)[0] > 0
    assert token(pair.second)
    assert pair.second.run("systemctl", "is-enabled", "stackyard-leased.target", check=False).strip() == "disabled"
