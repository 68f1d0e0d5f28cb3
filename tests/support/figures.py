"""Figures of a test run: flat name -> number or string, kept as build/figures/<name>.json."""

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
    known = json.loads(path.read_text()) if path.exists() else {}
    known.update({key: round(value, 2) if isinstance(value, float) else value for key, value in figures.items()})
    path.write_text(json.dumps(dict(sorted(known.items())), indent=2) + "\n")
