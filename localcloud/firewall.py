"""Security groups, enforced by nftables."""

from __future__ import annotations

from localcloud.cloud import Cloud


class Firewall:
    """Security groups, enforced by nftables."""

    name = "firewall"

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud

    def reconcile(self) -> None:
        """Nothing yet."""

    def close(self) -> None:
        """Nothing to end."""
