"""What runs under the lease in the trials of a home: a controller that the role's own guard lets start.

Called as ``lease_contender.py application``. Its machine's folder has ``home``, a link to the home that all share;
without it the machine is cut off from the file system.
"""

from __future__ import annotations

import contextlib
import importlib.machinery
import importlib.util
import json
import os
import signal
import sys
import time
from pathlib import Path

GUARD = Path(__file__).resolve().parents[2] / "roles/jenkins/files/usr/local/lib/jenkins/guard"
BEAT_SECONDS = 0.004


def may_start(folder: Path) -> bool:
    """Ask the guard, with this machine's files in place of a real one's."""
    sys.dont_write_bytecode = True
    loader = importlib.machinery.SourceFileLoader("guard", str(GUARD))
    specification = importlib.util.spec_from_loader("guard", loader)
    assert specification
    guard = importlib.util.module_from_spec(specification)
    loader.exec_module(guard)
    machine = {
        "home": str(folder / "home"),
        "name": "trial",
        "policy": "create",
        "newer": False,
        "free_mb": 1,
        "mounted": False,
        "version": "2.580.2",
        "leased": (folder / "leased").exists(),
    }
    (folder / "machine.json").write_text(json.dumps(machine))
    guard.MACHINE, guard.LEASE, guard.STARTED = folder / "machine.json", folder / "lease.json", folder / "run/started"
    return bool(guard.main(["take"]) == 0)


def run(record: str, token: str, machine: str, linger: str) -> None:
    """Start as systemd would, again and again, and write into the home until SIGTERM and a while longer."""
    ends: list[float] = []
    signal.signal(signal.SIGTERM, lambda *_: ends.append(time.monotonic() + float(linger)))
    folder = Path(record).parent / machine
    while not may_start(folder):
        if ends:
            return
        time.sleep(0.05)
    while not ends or time.monotonic() < ends[0]:
        with contextlib.suppress(FileNotFoundError):
            file = os.open(folder / "home/writes", os.O_WRONLY | os.O_APPEND | os.O_CREAT)
            os.write(file, f"{token} {machine} {time.clock_gettime(time.CLOCK_BOOTTIME):.4f}\n".encode())
            os.close(file)
        time.sleep(BEAT_SECONDS)


if __name__ == "__main__":
    run(*sys.argv[2:])
