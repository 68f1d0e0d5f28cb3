"""Console output of machines: the file that podman writes, read back without its marks.

It outlives its machine for an hour, as on EC2, so that one can read why a machine was given up.
https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_GetConsoleOutput.html
"""

from __future__ import annotations

import os
from collections.abc import Collection
from contextlib import suppress
from pathlib import Path

# What EC2 keeps, and for how many seconds after a machine's end.
CONSOLE_BYTES = 64 * 1024
CONSOLE_SECONDS = 3600


def console_path(state: Path, instance_id: str) -> Path:
    """Where a machine's console output is kept."""
    return state / "console" / f"{instance_id}.log"


def console_tail(path: Path, size: int = CONSOLE_BYTES) -> str:
    """The last ``size`` bytes of a console log, without podman's marks; empty if there is none yet."""
    try:
        with path.open("rb") as file:
            # Each line has a time and a mark before it.
            file.seek(max(0, path.stat().st_size - 4 * size - 4096))
            lines = file.read().decode("utf-8", "replace").splitlines()
    except FileNotFoundError:
        return ""
    text = ""
    for line in lines:
        parts = line.split(" ", 3)
        if len(parts) >= 3 and parts[1] in {"stdout", "stderr"}:
            # F: the line is complete; P: the next one goes on.
            text += (parts[3] if len(parts) == 4 else "") + ("\n" if parts[2] == "F" else "")
    return text[-size:]


def close_console(path: Path) -> None:
    """The machine has ended: its console's hour begins."""
    with suppress(FileNotFoundError):
        os.utime(path)


def drop_consoles(state: Path, machines: Collection[str], now: float) -> None:
    """Remove the consoles of machines that ended more than an hour ago.

    Args:
        state: The cloud's folder of state.
        machines: Ids of the machines that there still are.
        now: Seconds since the epoch.
    """
    for path in (state / "console").glob("*.log"):
        if path.stem not in machines and path.stat().st_mtime < now - CONSOLE_SECONDS:
            path.unlink()
