"""The local cloud's control plane alone, in a process of its own, for tests that need no machines."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config

REPOSITORY = Path(__file__).resolve().parents[2]
REGION = "us-east-1"
START_DEADLINE = 60


@dataclass
class Cloud:
    """An account of the local cloud's control plane.

    Attributes:
        endpoint: URL of the API.
        request_log: File with one JSON object per request (``service``, ``action``, ``write``, ``status``).
        server_log: What the server printed, tracebacks included.
    """

    endpoint: str
    request_log: Path
    server_log: Path
    region: str = REGION
    access_key: str = "AKIAIOSFODNN7EXAMPLE"
    secret_key: str = "not-a-secret-but-long-enough-for-a-key"
    _session: Any = field(default=None, repr=False)

    @property
    def session(self) -> boto3.session.Session:
        """A boto3 session with the account's credentials (the endpoint is passed by ``client``)."""
        if self._session is None:
            self._session = boto3.session.Session(
                aws_access_key_id=self.access_key, aws_secret_access_key=self.secret_key, region_name=self.region
            )
        return self._session

    def client(self, service: str) -> Any:
        """A boto3 client of one service at the endpoint."""
        # An answer of 500 is a finding, not a reason to ask again.
        config = Config(retries={"total_max_attempts": 1})
        return self.session.client(service, endpoint_url=self.endpoint, config=config)

    @property
    def module_defaults(self) -> dict[str, dict[str, str]]:
        """What a cloud playbook sets for every AWS module."""
        connection = {
            "region": self.region,
            "endpoint_url": self.endpoint,
            "access_key": self.access_key,
            "secret_key": self.secret_key,
        }
        return {"group/aws": connection, "group/stackyard.aws.aws": connection}

    def reset(self) -> None:
        """Empty the account and the request log."""
        with urllib.request.urlopen(f"{self.endpoint}/moto-api/reset", data=b"", timeout=30) as reply:
            reply.read()
        self.forget_requests()

    def forget_requests(self) -> None:
        """Empty the request log, to count from here."""
        os.truncate(self.request_log, 0)

    def requests(self) -> list[dict[str, Any]]:
        """The API requests since the last ``forget_requests``, oldest first."""
        return [json.loads(line) for line in self.request_log.read_text().splitlines()]

    def writes(self) -> list[str]:
        """``service:Action`` of every request that may change something, oldest first."""
        return [f"{entry['service']}:{entry['action']}" for entry in self.requests() if entry["write"]]

    def server_errors(self) -> list[dict[str, Any]]:
        """Requests answered with a 5xx status: a gap of the control plane rather than of the caller."""
        return [entry for entry in self.requests() if entry["status"] >= 500]


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextlib.contextmanager
def control_plane_process(directory: Path, *, patched: bool = True) -> Iterator[Cloud]:
    """Run a control plane while the context lasts.

    Args:
        directory: Folder for its logs.
        patched: With the local cloud's work-rounds; without them it is moto as it was published.
    """
    port = _free_port()
    request_log, server_log = directory / "requests.jsonl", directory / "server.log"
    request_log.touch()
    # Without what patches that other tests applied in this process have set.
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MOTO_")}
    with server_log.open("w") as output:
        process = subprocess.Popen(
            [
                sys.executable,
                str(Path(__file__).with_name("control_plane_server.py")),
                str(port),
                str(request_log),
                "patched" if patched else "stock",
            ],
            env={**environment, "PYTHONPATH": str(REPOSITORY)},
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    try:
        cloud = Cloud(endpoint=f"http://127.0.0.1:{port}", request_log=request_log, server_log=server_log)
        deadline = time.monotonic() + START_DEADLINE
        while True:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
                break
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"the control plane did not start: {server_log.read_text()[-3000:]}")
            time.sleep(0.05)
        yield cloud
    finally:
        process.terminate()
        process.wait(timeout=20)
