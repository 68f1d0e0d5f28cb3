"""DynamoDB: a table's id."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import Any

from moto.dynamodb.models.table import Table

from localcloud.patches._tools import wrap


def apply() -> None:
    """Apply all work-rounds of this service."""
    wrap(Table, "describe", _describe)


def _describe(original: Callable[..., Any], self: Table, base_key: str = "TableDescription") -> dict[str, Any]:
    """A description holds the table's id, which another table of the same name does not have.

    https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_TableDescription.html
    """
    result: dict[str, Any] = original(self, base_key)
    result[base_key]["TableId"] = str(uuid.uuid5(uuid.NAMESPACE_URL, f"{self.table_arn} {self.created_at.isoformat()}"))
    return result
