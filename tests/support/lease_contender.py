"""A machine that wants a lease, for tests: the role's own daemon, with a process in place of systemd's units.

``lease_contender.py SETTINGS.json`` runs the daemon; ``lease_contender.py application …`` is what runs under the lease:
it writes its token and the time to a file all the while, so that the file tells what really ran, whatever the daemon
believes. The process outlives a daemon that is killed, as units may that systemd has only begun to stop.

``SIGUSR1`` sets the daemon's wall clock forward and back by days.
"""

from __future__ import annotations

import contextlib
import importlib.machinery
import importlib.util
import itertools
import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import ModuleType
from typing import Any

DAEMON = Path(__file__).resolve().parents[2] / "roles/lease/files/opt/stackyard/bin/lease"
BEAT_SECONDS = 0.004


def load_daemon() -> ModuleType:
    """Import the daemon, which has no suffix."""
    loader = importlib.machinery.SourceFileLoader("lease_daemon", str(DAEMON))
    specification = importlib.util.spec_from_loader(loader.name, loader)
    assert specification
    module = importlib.util.module_from_spec(specification)
    sys.modules[loader.name] = module
    # No folder of bytecode beside what is copied to machines.
    sys.dont_write_bytecode = True
    loader.exec_module(module)
    return module


def application_processes(record: Path, machine: str) -> list[int]:
    """Process numbers of a machine's application, whoever has started it."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        # A zombie has no command line.
        with contextlib.suppress(OSError):
            arguments = (folder / "cmdline").read_bytes().split(b"\0")
            if str(record).encode() in arguments and machine.encode() in arguments:
                found.append(int(folder.name))
    return found


class ProcessApplication:
    """One process, found again by a later daemon.

    Args:
        folder: The machine's folder.
        record: File that the process writes to.
        stubborn: Of how many ends one does not heed SIGTERM at all; 0 for none.
        linger: Seconds at most from SIGTERM to the end.
        program: What the process runs, called as this file is.
    """

    def __init__(self, folder: Path, record: Path, *, stubborn: float, linger: float, program: str = __file__) -> None:
        self._folder = folder
        self._program = program
        self._record = record
        self._stubborn = stubborn
        self._linger = linger
        self._chance = random.Random()
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        lease = self._folder / "lease.json"
        token = json.loads(lease.read_text())["token"] if lease.exists() else os.getpid()
        stubborn = self._chance.random() < self._stubborn
        linger = 3600 if stubborn else self._chance.uniform(0, self._linger)
        self._process = subprocess.Popen(
            [
                sys.executable,
                "-ES",
                self._program,
                "application",
                str(self._record),
                str(token),
                self._folder.name,
                str(linger),
            ]
        )

    def _processes(self) -> list[int]:
        if self._process:
            return [self._process.pid] if self._process.poll() is None else []
        return application_processes(self._record, self._folder.name)

    def stop(self) -> None:
        self._signal(signal.SIGTERM)

    def kill(self) -> None:
        self._signal(signal.SIGKILL)

    def gone(self) -> bool:
        return not self._processes()

    def fence(self) -> None:
        (self._folder / "fenced").touch()

    def forward(self, address: str) -> None:
        (self._folder / "forwarded").write_text(address)

    def _signal(self, number: int) -> None:
        for process in self._processes():
            with contextlib.suppress(ProcessLookupError):
                os.kill(process, number)


def run_application(record: str, token: str, machine: str, linger: str) -> None:
    """Write beats until SIGTERM, and a while longer."""
    ends: list[float] = []
    signal.signal(signal.SIGTERM, lambda *_: ends.append(time.monotonic() + float(linger)))
    file = os.open(record, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    while not ends or time.monotonic() < ends[0]:
        os.write(file, f"{token} {machine} {time.clock_gettime(time.CLOCK_BOOTTIME):.4f}\n".encode())
        time.sleep(BEAT_SECONDS)


def without_a_lease(application: ProcessApplication, leaving: list[bool]) -> None:
    """What a machine does that knows of no lease: run the application as long as the machine does."""
    if application.gone():
        application.start()
    while not leaving:
        time.sleep(0.02)
    application.stop()
    # As systemd does, when the time of the unit is over.
    patience = time.monotonic() + 1
    while not application.gone():
        if time.monotonic() > patience:
            application.kill()
        time.sleep(0.02)


def run_machine(settings: dict[str, Any]) -> None:
    """Run the daemon until SIGTERM."""
    folder = Path(settings["folder"])
    offsets, wall_clock, offset = itertools.cycle([86400.0, -200000.0, 0.0]), time.time, [0.0]
    time.time = lambda: wall_clock() + offset[0]

    def step(*_: Any) -> None:
        offset[0] = next(offsets)

    signal.signal(signal.SIGUSR1, step)
    application = ProcessApplication(
        folder,
        Path(settings["record"]),
        stubborn=settings["stubborn"],
        linger=settings["linger"],
        program=settings["program"],
    )
    if not settings["leased"]:
        leaving: list[bool] = []
        signal.signal(signal.SIGTERM, lambda *_: leaving.append(True))
        without_a_lease(application, leaving)
        return
    module = load_daemon()
    daemon = module.Daemon(module.Settings(**settings["settings"]), application, run=folder, state=folder)
    signal.signal(signal.SIGTERM, lambda *_: daemon.leave())
    daemon.run()


if __name__ == "__main__":
    if sys.argv[1] == "application":
        run_application(*sys.argv[2:])
    else:
        run_machine(json.loads(Path(sys.argv[1]).read_text()))
