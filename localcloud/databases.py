"""RDS instances as real databases."""

from __future__ import annotations

from localcloud.cloud import Cloud


class Databases:
    """RDS instances as real databases."""

    name = "databases"

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud

    def reconcile(self) -> None:
        """Nothing yet."""

    def close(self) -> None:
        """Nothing to end."""
