"""Figures of a test run: flat name -> number or string, kept as build/figures/<name>.json."""

import fcntl
import json
from pathlib import Path

FOLDER = Path(__file__).resolve().parents[2] / "build" / "figures"


def record(name: str, **figures: float | int | str) -> None:
    """Add figures to those that this run has already written under the same name.

    Args:
        name: Stem of the file, e.g. ``wordpress``.
        **figures: Names and values; seconds end in ``_s``, counts have no suffix.
    """
    FOLDER.mkdir(parents=True, exist_ok=True)
    path = FOLDER / f"{name}.json"
    # Test processes run side by side and add to the same file.
    with path.open("a+") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        file.seek(0)
        known = json.loads(file.read() or "{}")
        known.update({key: round(value, 2) if isinstance(value, float) else value for key, value in figures.items()})
        file.truncate(0)
        file.write(json.dumps(dict(sorted(known.items())), indent=2) + "\n")
