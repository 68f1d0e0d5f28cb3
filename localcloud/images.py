"""Machine images, baked by committing containers."""

from __future__ import annotations

from localcloud.cloud import Cloud


class Images:
    """Machine images, baked by committing containers."""

    name = "images"

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud

    def reconcile(self) -> None:
        """Nothing yet."""

    def close(self) -> None:
        """Nothing to end."""
