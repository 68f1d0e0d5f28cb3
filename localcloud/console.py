"""Console output of machines: the file that podman writes, read back without its marks."""

from __future__ import annotations

from pathlib import Path

# What EC2 keeps.
CONSOLE_BYTES = 64 * 1024


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
