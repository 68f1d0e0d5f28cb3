"""What the local cloud does not model, in one text: ``localcloud limits`` prints it and docs/limits.md is it."""

from __future__ import annotations

from pathlib import Path

TEXT = Path(__file__).with_name("data") / "limits.md"


def text() -> str:
    """The limits, as Markdown."""
    return TEXT.read_text(encoding="utf-8")
