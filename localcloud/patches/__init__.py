"""Work-rounds for what moto's model of AWS lacks or gets wrong.

One module per AWS service. Each has an ``apply()`` that may be called more than once, and each work-round
in it cites the page of the AWS API reference that it follows. ``tests/unit/localcloud`` runs every
one of them against stock moto too and fails once a work-round has become unnecessary.
"""

from __future__ import annotations

import importlib
import pkgutil

_applied: set[str] = set()


def apply_all() -> None:
    """Apply every work-round to the moto that is loaded in this process; harmless when repeated."""
    for module in sorted(entry.name for entry in pkgutil.iter_modules(__path__)):
        if module not in _applied and not module.startswith("_"):
            importlib.import_module(f"{__name__}.{module}").apply()
            _applied.add(module)
