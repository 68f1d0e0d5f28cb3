"""Phases of a run: each says what it does, and how long it took."""

import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[1]


class PhaseError(Exception):
    """A phase failed; the text is one sentence for the user."""


@contextlib.contextmanager
def phase(what: str) -> Iterator[None]:
    """Print what is being done, and afterwards how many seconds it took."""
    print(f"== {what}", flush=True)
    began = time.monotonic()
    yield
    print(f"   ({time.monotonic() - began:.0f} s)", flush=True)


def run(*command: str, environment: Mapping[str, str] | None = None) -> None:
    """Run a program in the repository with its output shown.

    Raises:
        PhaseError: It ended with another status than 0.
    """
    completed = subprocess.run(command, cwd=REPOSITORY, env={**os.environ, **(environment or {})}, check=False)
    if completed.returncode:
        raise PhaseError(f"'{' '.join(command)}' ended with status {completed.returncode}; its last lines say why.")


def read(*command: str) -> str:
    """Run a program in the repository and return what it printed; its progress is shown.

    Raises:
        PhaseError: It ended with another status than 0.
    """
    completed = subprocess.run(command, cwd=REPOSITORY, stdout=subprocess.PIPE, text=True, check=False)
    if completed.returncode:
        raise PhaseError(f"'{' '.join(command)}' ended with status {completed.returncode}; its last lines say why.")
    return completed.stdout.strip()


def program(name: str) -> str:
    """Path of a program that is installed beside the running Python."""
    return str(Path(sys.executable).with_name(name))
