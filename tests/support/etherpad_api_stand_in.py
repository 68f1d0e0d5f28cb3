"""A stand-in for the HTTP API of Etherpad's line 3, which cannot be had here: as much as upkeep asks for.

It forgets revisions as upstream's description says of compactPad; that Etherpad itself does is not shown by it.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs

KEY = "k" * 32


@dataclass
class Pad:
    """A pad.

    Attributes:
        edited: When it was last edited, in seconds since 1970.
        revisions: The number of the last revision.
    """

    edited: float
    revisions: int


class StandIn(ThreadingHTTPServer):
    """The API.

    Attributes:
        version: The version that it says it has.
        pads: By name.
        stuck: Names of pads that cannot be compacted.
        paths: What was asked for.
    """

    def __init__(self, pads: dict[str, Pad]) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.version, self.pads = "1.3.1", pads
        self.stuck: set[str] = set()
        self.paths: list[str] = []

    @property
    def url(self) -> str:
        """Its address."""
        return f"http://127.0.0.1:{self.server_address[1]}"

    def answer(self, path: str, given: dict[str, str]) -> dict[str, Any]:
        """Carry a function out."""
        self.paths.append(path)
        if path == "/api":
            return {"currentVersion": self.version, "stand-in": True}
        if given.get("apikey") != KEY:
            return {"code": 4, "message": "no or wrong API Key", "data": None}
        function, pad = path.rpartition("/")[2], self.pads.get(given.get("padID", ""))
        data: dict[str, Any] = {}
        if function == "listAllPads":
            data = {"padIDs": list(self.pads)}
        elif pad is None or given["padID"] in self.stuck:
            return {"code": 1, "message": "padID does not exist", "data": None}
        elif function == "getLastEdited":
            data = {"lastEdited": int(pad.edited * 1000)}
        elif function == "getRevisionsCount":
            data = {"revisions": pad.revisions}
        elif function == "compactPad":
            pad.revisions = min(pad.revisions, int(given["keepRevisions"]))
        return {"code": 0, "message": "ok", "data": data}


class Handler(BaseHTTPRequestHandler):
    """One request."""

    server: StandIn

    def do_GET(self) -> None:
        self._reply({})

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"])).decode()
        self._reply({name: values[0] for name, values in parse_qs(body).items()})

    def _reply(self, given: dict[str, str]) -> None:
        text = json.dumps(self.server.answer(self.path, given)).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@contextmanager
def stand_in(pads: dict[str, Pad]) -> Iterator[StandIn]:
    """The API while the context lasts."""
    server = StandIn(pads)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
