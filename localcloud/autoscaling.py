"""What Auto Scaling groups do beyond moto's model."""

from __future__ import annotations

from localcloud.cloud import Cloud


class Groups:
    """What Auto Scaling groups do beyond moto's model."""

    name = "autoscaling"

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud

    def reconcile(self) -> None:
        """Nothing yet."""

    def close(self) -> None:
        """Nothing to end."""
