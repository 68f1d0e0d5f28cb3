"""Waiting for a condition with a deadline and an error that says what was seen."""

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def until(what: str, probe: Callable[[], T], seconds: float = 30, every: float = 0.25) -> T:
    """Ask until the answer is true.

    Args:
        what: What is awaited, for the error.
        probe: Returns something true when it has come, or what was seen instead.
        seconds: The deadline.
        every: Seconds between two askings.

    Returns:
        The first true answer.

    Raises:
        TimeoutError: The deadline passed; it holds the last answer.
    """
    deadline = time.monotonic() + seconds
    while True:
        seen = probe()
        if seen:
            return seen
        if time.monotonic() > deadline:
            raise TimeoutError(f"waited {seconds:g} s for {what}; last seen: {seen!r}")
        time.sleep(every)
