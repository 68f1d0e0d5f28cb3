"""EFS as shared folders."""

from __future__ import annotations

from localcloud.cloud import Cloud


class FileSystems:
    """EFS as shared folders."""

    name = "filesystems"

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud

    def reconcile(self) -> None:
        """Nothing yet."""

    def close(self) -> None:
        """Nothing to end."""
