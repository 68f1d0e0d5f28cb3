"""Gaps of stock moto that ``localcloud.patches`` works round: one function each that shows the right behaviour.

A function gets an empty account and passes where the API behaves as AWS documents it. The unit tests run each twice:
against the patched control plane it must pass, and against moto as published it must fail; once that passes too, the
work-round can go. A module of this package per service; functions are registered by ``@gap``.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable
from dataclasses import dataclass

from support.control_plane import Cloud


@dataclass(frozen=True)
class Gap:
    """One work-round.

    Attributes:
        patch: Module under ``localcloud.patches`` that holds it.
        name: What it is about.
        show: Passes where the API behaves.
    """

    patch: str
    name: str
    show: Callable[[Cloud], None]


_gaps: list[Gap] = []


def gap(patch: str) -> Callable[[Callable[[Cloud], None]], Callable[[Cloud], None]]:
    """Register a function as the proof that a work-round of ``localcloud.patches.<patch>`` is needed and works."""

    def register(show: Callable[[Cloud], None]) -> Callable[[Cloud], None]:
        _gaps.append(Gap(patch, show.__name__, show))
        return show

    return register


def all_gaps() -> list[Gap]:
    """Every registered gap."""
    for module in pkgutil.iter_modules(__path__):
        importlib.import_module(f"{__name__}.{module.name}")
    return sorted(_gaps, key=lambda entry: (entry.patch, entry.name))
