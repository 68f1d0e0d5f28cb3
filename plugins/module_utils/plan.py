# Copyright: stackyard contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a module changes, told the same way in a check and in a real run.

A module asks the API first and notes every difference here; only then, and only
outside check mode, does it call a write. So that a play can go on in check mode on
an empty account, resources that are still to be made carry a placeholder id.
"""

from __future__ import annotations

import hashlib
import json
import re
import time
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

T = TypeVar("T")


def placeholder(prefix: str, name: str = "") -> str:
    """Return the id that stands for a resource which a check has only announced.

    It has the shape of a real id, so that what is handed on passes argument checks, and it belongs to nobody, so that
    a filter with it matches nothing. Different names give different ids.
    """
    return f"{prefix}-00000000{hashlib.sha256(name.encode()).hexdigest()[:9] if name else '0' * 9}"


def is_placeholder(value: str | None) -> bool:
    """Tell whether an id was made by `placeholder`."""
    return bool(value) and re.search(r"-0{8}[0-9a-f]{9}$", str(value)) is not None


class Plan:
    """The changes of one module run, in the order in which they are made."""

    def __init__(self, check_mode: bool) -> None:
        self.check_mode = check_mode
        self.changes: list[dict[str, Any]] = []
        self._before: dict[str, Any] = {}
        self._after: dict[str, Any] = {}

    def _note(self, action: str, kind: str, name: str, before: Any, after: Any) -> bool:
        self.changes.append({"action": action, "type": kind, "name": name})
        key = f"{kind} {name}"
        if before is not None:
            self._before.setdefault(key, before)
        if after is not None:
            self._after[key] = after
        return not self.check_mode

    def create(self, kind: str, name: str, after: Any) -> bool:
        """Note a resource to be made; true when the caller is to make it now."""
        return self._note("create", kind, name, None, after)

    def update(self, kind: str, name: str, before: Any, after: Any) -> bool:
        """Note a resource to be altered; true when the caller is to alter it now."""
        return self._note("update", kind, name, before, after)

    def delete(self, kind: str, name: str, before: Any) -> bool:
        """Note a resource to be removed; true when the caller is to remove it now."""
        return self._note("delete", kind, name, before, None)

    @property
    def changed(self) -> bool:
        """Whether anything was noted."""
        return bool(self.changes)

    def result(self) -> dict[str, Any]:
        """Return what every module of the collection hands to `exit_json`."""
        return {
            "changed": self.changed,
            "changes": self.changes,
            "diff": {"before": self._before, "after": self._after},
        }


def missing_tags(current: Mapping[str, str], desired: Mapping[str, str]) -> dict[str, str]:
    """Return the desired tags that are absent or differ; foreign tags are left alone."""
    return {key: value for key, value in desired.items() if current.get(key) != value}


def canonical(document: Any) -> str:
    """Return JSON that is equal for equal documents, for comparing policies."""
    return json.dumps(document, sort_keys=True, separators=(",", ":"))


class WaitTimeout(Exception):  # noqa: N818 - named for what happened, as botocore's own
    """A deadline passed; the message says what was awaited and what was seen."""


def wait_until(
    probe: Callable[[], tuple[bool, str]],
    what: str,
    timeout: float,
    delay: float = 5.0,
    hint: str = "",
) -> None:
    """Call `probe` until it says true.

    Args:
        probe: Returns whether the awaited state is reached, and what it saw.
        what: What is awaited, as the subject of the error sentence.
        timeout: Seconds until giving up.
        delay: Seconds between two calls; the first pauses are shorter, since the
            thing is often ready at once.
        hint: What to try, appended to the error.

    Raises:
        WaitTimeout: The deadline passed.
    """
    deadline = time.monotonic() + timeout
    pause = min(0.5, delay)
    while True:
        reached, seen = probe()
        if reached:
            return
        if time.monotonic() + pause > deadline:
            raise WaitTimeout(
                f"{what} was not reached within {timeout:.0f} seconds; last seen: {seen}.{' ' + hint if hint else ''}"
            )
        time.sleep(pause)
        pause = min(delay, pause * 2)
