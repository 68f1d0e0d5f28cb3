"""How the work-rounds get into moto."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

_MARK = "_localcloud_patch"


def wrap(owner: Any, name: str, replacement: Callable[..., Any]) -> None:
    """Replace a method or function by one that gets the original as its first argument.

    Args:
        owner: A class or module of moto.
        name: The attribute; it must exist, so that a new moto that has renamed it is noticed at start-up.
        replacement: Called as ``replacement(original, *arguments, **named)``.
    """
    original = getattr(owner, name)
    if getattr(original, _MARK, False):
        return

    @functools.wraps(original)
    def patched(*arguments: Any, **named: Any) -> Any:
        return replacement(original, *arguments, **named)

    setattr(patched, _MARK, True)
    setattr(owner, name, patched)


def add(owner: Any, name: str, attribute: Any) -> None:
    """Add a method, property or attribute that moto's class lacks."""
    if not hasattr(owner, name):
        setattr(owner, name, attribute)
