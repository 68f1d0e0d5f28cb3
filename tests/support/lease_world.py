"""Machines that contend for a lease: their processes, the wires between them and DynamoDB, and what really ran.

A machine here is the role's own daemon and one process of the application (see ``lease_contender``), with as much of
systemd as matters: a daemon that ends is started again. What is left out, units and the target, is tested on real
machines.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import selectors
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from support.control_plane import Cloud
from support.lease_contender import application_processes, load_daemon
from support.waiting import until

CONTENDER = Path(__file__).with_name("lease_contender.py")
LEASE = "application"
# Tenths of what a role accepts at the least; the relations between them are the same.
TIMES = {
    "ttl": 1.5,
    "renew": 0.15,
    "stop": 0.4,
    "handover": 1.0,
    "kill": 0.2,
    "margin": 0.3,
    "restart": 0.3,
}
daemon_module = load_daemon()


def boottime() -> float:
    """The clock of the beats."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


class Wire:
    """The way from one machine to DynamoDB, which may be cut.

    Attributes:
        mode: ``open``; ``refused``: nothing answers; ``silent``: nothing comes back and nothing arrives;
            ``deaf``: calls arrive, and their answers are lost.
    """

    def __init__(self, endpoint: str) -> None:
        address = urlsplit(endpoint)
        self._far = (address.hostname, address.port)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.mode = "open"
        self._closed = False
        self.endpoint = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self._closed = True
        self._listener.close()

    def _accept(self) -> None:
        while not self._closed:
            try:
                near, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(near,), daemon=True).start()

    def _serve(self, near: socket.socket) -> None:
        with near, contextlib.suppress(OSError):
            if self.mode == "refused":
                return
            with socket.create_connection(self._far) as far, selectors.DefaultSelector() as selector:
                selector.register(near, selectors.EVENT_READ, far)
                selector.register(far, selectors.EVENT_READ, near)
                while not self._closed:
                    for key, _ in selector.select(timeout=0.1):
                        data = key.fileobj.recv(65536)  # type: ignore[union-attr]
                        if not data or self.mode == "refused":
                            return
                        if self.mode == "open" or (self.mode == "deaf" and key.fileobj is near):
                            key.data.sendall(data)


@dataclass
class Machine:
    """One machine."""

    name: str
    folder: Path
    wire: Wire
    environment: dict[str, str]
    _process: subprocess.Popen[bytes] | None = None
    _wanted: bool = False
    _supervisor: threading.Thread | None = None
    # When it was paused, and when it went on.
    pauses: list[list[float]] = field(default_factory=list)

    def boot(self) -> Machine:
        """Start the daemon, and again whenever it ends."""
        self._wanted = True
        self._start()
        self._supervisor = threading.Thread(target=self._supervise, daemon=True)
        self._supervisor.start()
        return self

    def _start(self) -> None:
        with (self.folder / "log").open("a") as log:
            self._process = subprocess.Popen(
                [sys.executable, str(CONTENDER), str(self.folder / "settings.json")],
                env=self.environment,
                stdout=log,
                stderr=subprocess.STDOUT,
            )

    def _supervise(self) -> None:
        while self._wanted:
            assert self._process
            self._process.wait()
            if self._wanted:
                self._start()

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    @property
    def application(self) -> int:
        """Process number of the application; 0 if none runs."""
        return next(iter(application_processes(self.folder.parent / "record", self.name)), 0)

    @property
    def token(self) -> int:
        """The token that it may run its application with; 0 for none."""
        try:
            return int(json.loads((self.folder / "lease.json").read_text())["token"])
        except FileNotFoundError:
            return 0

    @property
    def log(self) -> str:
        path = self.folder / "log"
        return path.read_text() if path.exists() else ""

    def holds(self, seconds: float = 15) -> int:
        """Wait until it runs its application; returns the token."""
        until(f"{self.name} to hold the lease", lambda: self.token and self.application, seconds, every=0.01)
        return self.token

    def leave(self) -> None:
        """Stop the daemon in good order."""
        self._wanted = False
        self._signal(signal.SIGTERM)
        if self._process:
            self._process.wait(timeout=20)

    def crash(self) -> None:
        """Lose the machine: the daemon and what it runs, at once."""
        self._wanted = False
        self.resume()
        for number in (self._process.pid if self._process else 0, self.application):
            if number:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(number, signal.SIGKILL)
        if self._process:
            self._process.wait(timeout=20)

    def kill_daemon(self) -> None:
        """Lose the daemon alone; it is started again."""
        self._signal(signal.SIGKILL)

    def hang_daemon(self, watchdog: float) -> None:
        """Have the daemon stop in its tracks until systemd would kill it."""
        self._signal(signal.SIGSTOP)
        time.sleep(watchdog)
        self._signal(signal.SIGKILL)

    def step_wall_clock(self) -> None:
        self._signal(signal.SIGUSR1)

    @property
    def paused(self) -> bool:
        return bool(self.pauses) and self.pauses[-1][1] == float("inf")

    def pause(self) -> None:
        """Hang the whole machine, if it does not already."""
        if self.paused:
            return
        self.pauses.append([boottime(), float("inf")])
        self._signal(signal.SIGSTOP)
        if pid := self.application:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGSTOP)

    def resume(self) -> None:
        """Let a machine that hung go on."""
        if self.paused:
            self.pauses[-1][1] = boottime()
            if pid := self.application:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGCONT)
            self._signal(signal.SIGCONT)

    def _signal(self, number: int) -> None:
        if self._process and self._process.poll() is None:
            self._process.send_signal(number)


@dataclass(frozen=True)
class Beat:
    """A moment at which an application ran."""

    token: int
    machine: str
    at: float


class World:
    """A table, and machines that contend for its lease.

    Args:
        cloud: Where DynamoDB is.
        folder: Scratch.
        leased: False for machines that know of no lease.
        stubborn: Which part of the applications' ends does not heed SIGTERM.
        linger: Seconds at most from SIGTERM to the end of an application that does.
        program: What the application is.
    """

    _numbers = itertools.count(1)

    def __init__(
        self,
        cloud: Cloud,
        folder: Path,
        *,
        leased: bool = True,
        stubborn: float = 0,
        linger: float = 0.05,
        program: Path = CONTENDER,
    ) -> None:
        self.cloud = cloud
        self.folder = folder
        self.program = program
        self.leased, self.stubborn, self.linger = leased, stubborn, linger
        self.table = f"leases-{next(self._numbers)}"
        self.record = folder / "record"
        self.record.touch()
        self.machines: dict[str, Machine] = {}

    def make_table(self) -> None:
        self.cloud.client("dynamodb").create_table(
            TableName=self.table,
            KeySchema=[{"AttributeName": "lease", "KeyType": "HASH"}],
            AttributeDefinitions=[{"AttributeName": "lease", "AttributeType": "S"}],
            BillingMode="PAY_PER_REQUEST",
        )

    def machine(self, name: str, **settings: Any) -> Machine:
        """A new machine, not booted."""
        folder = self.folder / name
        folder.mkdir()
        wire = Wire(self.cloud.endpoint)
        content = {
            "settings": {"table": self.table, "lease": LEASE, "holder": name, "region": self.cloud.region}
            | TIMES
            | settings,
            "folder": str(folder),
            "record": str(self.record),
            "leased": self.leased,
            "stubborn": self.stubborn,
            "linger": self.linger,
            "program": str(self.program),
        }
        (folder / "settings.json").write_text(json.dumps(content))
        environment = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")} | {
            "AWS_ENDPOINT_URL": wire.endpoint,
            "AWS_ACCESS_KEY_ID": self.cloud.access_key,
            "AWS_SECRET_ACCESS_KEY": self.cloud.secret_key,
            "AWS_EC2_METADATA_DISABLED": "true",
        }
        self.machines[name] = machine = Machine(name, folder, wire, environment)
        return machine

    def close(self) -> None:
        """End everything that still runs."""
        for machine in self.machines.values():
            machine.crash()
            machine.wire.close()

    def item(self) -> dict[str, Any]:
        """The item, without DynamoDB's types."""
        item = self.cloud.client("dynamodb").get_item(
            TableName=self.table, Key={"lease": {"S": LEASE}}, ConsistentRead=True
        )
        return {name: next(iter(value.values())) for name, value in item.get("Item", {}).items()}

    def set(self, **values: dict[str, str]) -> None:
        """Write attributes of the item, past every rule."""
        self.cloud.client("dynamodb").update_item(
            TableName=self.table,
            Key={"lease": {"S": LEASE}},
            UpdateExpression="SET " + ", ".join(f"#{name} = :{name}" for name in values),
            ExpressionAttributeNames={f"#{name}": name for name in values},
            ExpressionAttributeValues={f":{name}": value for name, value in values.items()},
        )

    def beats(self) -> list[Beat]:
        """What ran, in the order of time."""
        found = []
        for line in self.record.read_text().splitlines():
            token, machine, at = line.split()
            found.append(Beat(int(token), machine, float(at)))
        return sorted(found, key=lambda beat: beat.at)

    def last_beat(self, token: int) -> float:
        return max(beat.at for beat in self.beats() if beat.token == token)

    def first_beat(self, token: int) -> float:
        """When an application began; awaits it."""
        return until(
            f"a beat with the token {token}",
            lambda: min((beat.at for beat in self.beats() if beat.token == token), default=0),
            5,
            every=0.02,
        )

    def overlaps(self) -> tuple[list[str], list[float]]:
        """See the function of that name."""
        return overlaps(self.beats(), {name: machine.pauses for name, machine in self.machines.items()})


def overlaps(beats: list[Beat], pauses: dict[str, list[list[float]]]) -> tuple[list[str], list[float]]:
    """What ran beside something that had begun later.

    Args:
        beats: In the order of time.
        pauses: Beginnings and ends of the times at which a machine hung.

    Returns:
        Overlaps as sentences; and, apart from them, the seconds for which machines that had hung while the lease
        changed hands ran on after they woke up. No lease can prevent those.
    """
    begun: dict[int, Beat] = {}
    for beat in beats:
        begun.setdefault(beat.token, beat)
    order = sorted(begun.values(), key=lambda beat: beat.at)
    sentences, woken = [], []
    for first, later in itertools.pairwise(order):
        late = [beat.at for beat in beats if beat.token == first.token and beat.at >= later.at]
        if not late:
            continue
        # It hung when the other began: all that it ran on was after it woke up.
        ends = [end for start, end in pauses.get(first.machine, []) if start <= later.at <= end <= late[0]]
        if ends:
            woken.append(late[-1] - ends[0])
        else:
            sentences.append(
                f"{first.machine} (token {first.token}) still ran {late[-1] - later.at:.3f} s after "
                f"{later.machine} (token {later.token}) had begun"
            )
    return sentences, woken


@contextlib.contextmanager
def world(cloud: Cloud, folder: Path, **options: Any) -> Iterator[World]:
    """A world with its table while the context lasts."""
    made = World(cloud, folder, **options)
    made.make_table()
    try:
        yield made
    finally:
        made.close()


MakeWorld = Callable[..., World]
