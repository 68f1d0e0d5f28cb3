"""Address ranges of test sessions that run side by side: chosen at the same moment, and yet not the same."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[3]
CHOOSE = (
    "import sys; from support.local_cloud import free_range;"
    "print(free_range(f'10.{number}.0.0/16' for number in range(200, 250)), flush=True); sys.stdin.read()"
)


@contextlib.contextmanager
def choosing(count: int) -> Iterator[list[str]]:
    """The ranges that processes choose which start together, each alive until the end of the block."""
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", CHOOSE],
            env=os.environ | {"PYTHONPATH": f"{REPOSITORY}:{REPOSITORY / 'tests'}"},
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )
        for _ in range(count)
    ]  # fmt: skip
    try:
        yield [process.stdout.readline().strip() for process in processes if process.stdout]
    finally:
        for process in processes:
            process.kill()
            process.communicate()


def test_processes_that_choose_at_once_get_different_ranges() -> None:
    with choosing(3) as ranges:
        assert all(ranges)
        assert len(set(ranges)) == 3


def test_a_range_is_free_again_when_its_process_has_ended() -> None:
    with choosing(1) as first:
        pass
    with choosing(1) as second:
        assert second == first
