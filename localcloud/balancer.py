"""Application load balancers as haproxy."""

from __future__ import annotations

from localcloud.cloud import Cloud


class Balancers:
    """Application load balancers as haproxy."""

    name = "balancer"

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud

    def reconcile(self) -> None:
        """Nothing yet."""

    def close(self) -> None:
        """Nothing to end."""
