"""A proxy in front of the API that ends a playbook at a chosen call.

It stands for an operator's laptop that dies: the call is either never sent, or carried out without
its reply ever arriving. It leaves every request before that as it is and lets none through after it.
"""

import contextlib
import http.client
import io
import os
import random
import signal
import threading
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from werkzeug.serving import make_server

from localcloud.request_log import identify

CREATING = (
    "Allocate",
    "Create",
    "Import",
    "Put",
    "Register",
    "Request",
    "Run",
    "Add",
    "Attach",
    "Associate",
    "Authorize",
)
HOP_BY_HOP = {"connection", "keep-alive", "transfer-encoding", "te", "upgrade"}


@dataclass(frozen=True)
class Cut:
    """Where a run is cut off.

    Attributes:
        call: ``service:Action``.
        occurrence: Which of the calls of that name, from 1.
        after: True: the call is carried out and its reply is lost. False: it never arrives.
    """

    call: str
    occurrence: int
    after: bool

    def __str__(self) -> str:
        return f"{'after' if self.after else 'before'} {self.call} #{self.occurrence}"


def choose_cuts(writes: list[str], count: int, seed: int) -> list[Cut]:
    """Choose cut points spread over all kinds of creating calls, in turn before and after the reply.

    The kinds are taken at even distances along the run, so that even two points lie in different halves of the stack.

    Args:
        writes: The ``service:Action`` of each write of an uninterrupted run, in order.
        count: How many cut points.
        seed: Makes the choice repeatable.
    """
    chooser = random.Random(seed)
    creating = [call for call in writes if call.partition(":")[2].startswith(CREATING)]
    kinds = list(dict.fromkeys(creating))
    start = chooser.randrange(len(kinds))
    cuts = []
    for number in range(count):
        call = kinds[(start + number * len(kinds) // count) % len(kinds)]
        cuts.append(Cut(call, chooser.randint(1, creating.count(call)), after=bool((number + seed) % 2)))
    return cuts


def kill_marked(mark: str) -> None:
    """Kill every process that has ``mark`` (``NAME=value``) in its environment, until none is left.

    Ansible's workers and modules lead sessions of their own, so that neither a process group nor the tree of parents
    holds them all.
    """
    wanted = mark.encode()
    while True:
        found = []
        for entry in Path("/proc").iterdir():
            with contextlib.suppress(OSError):
                if entry.name.isdigit() and wanted in (entry / "environ").read_bytes().split(b"\0"):
                    found.append(int(entry.name))
        if not found:
            return
        for process in found:
            with contextlib.suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)


class CuttingProxy:
    """Forwards to an endpoint and kills its caller at the cut.

    Attributes:
        endpoint: Where the playbook is to send its calls.
        happened: Whether the cut was reached.
    """

    def __init__(self, upstream: str, cut: Cut, mark: str) -> None:
        """Prepare the cut.

        Args:
            upstream: The endpoint that answers.
            cut: Where to cut.
            mark: ``NAME=value`` in the environment of all that is to be killed.
        """
        parts = urlsplit(upstream)
        self._upstream = (parts.hostname or "", parts.port or 80)
        self._cut = cut
        self._seen = 0
        self._lock = threading.Lock()
        self._mark = mark
        self.happened = False
        self._server = make_server("127.0.0.1", 0, self._answer, threaded=True)
        self.endpoint = f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> "CuttingProxy":
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def _answer(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        action = identify(environ, body)
        cut_here = False
        if f"{action.service}:{action.name}" == self._cut.call:
            with self._lock:
                self._seen += 1
                cut_here = self._seen == self._cut.occurrence and not self.happened
        if self.happened:
            raise ConnectionAbortedError("cut off before")
        if cut_here and not self._cut.after:
            return self._kill()
        status, headers, content = self._forward(environ, body)
        if cut_here:
            return self._kill()
        start_response(status, headers)
        return [content]

    def _forward(self, environ: dict[str, Any], body: bytes) -> tuple[str, list[tuple[str, str]], bytes]:
        connection = http.client.HTTPConnection(*self._upstream, timeout=120)
        headers = {
            key[5:].replace("_", "-").title(): value for key, value in environ.items() if key.startswith("HTTP_")
        }
        headers.pop("Connection", None)
        if environ.get("CONTENT_TYPE"):
            headers["Content-Type"] = environ["CONTENT_TYPE"]
        headers["Content-Length"] = str(len(body))
        connection.request(environ["REQUEST_METHOD"], environ["RAW_URI"], body=io.BytesIO(body), headers=headers)
        reply = connection.getresponse()
        content = reply.read()
        connection.close()
        kept = [(key, value) for key, value in reply.getheaders() if key.lower() not in HOP_BY_HOP]
        return f"{reply.status} {reply.reason}", kept, content

    def _kill(self) -> Iterable[bytes]:
        self.happened = True
        kill_marked(self._mark)
        raise ConnectionAbortedError("cut off here")
