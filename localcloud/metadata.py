"""Instance metadata, version 2 (IMDSv2), as a WSGI application on each network's resolver address."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from localcloud.cloud import Cloud


class Metadata:
    """Answers the machine that asks, which it knows by its address."""

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        """Answer one request."""
        start_response("404 Not Found", [("Content-Length", "0")])
        return []
