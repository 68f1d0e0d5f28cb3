"""Instances as systemd containers at the API's own private addresses."""

from __future__ import annotations

from localcloud.cloud import Cloud


class Machines:
    """Instances as systemd containers at the API's own private addresses."""

    name = "machines"

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud

    def reconcile(self) -> None:
        """Nothing yet."""

    def close(self) -> None:
        """Nothing to end."""
