"""Which API action a request is, and a log of them.

The query protocols name their action in the body, the JSON protocols in a header; the REST services
(S3, EFS, Route 53, Backup …) only in method and path, so these are matched against botocore's model of
the service. What is left out: bodies. A request's body may hold a secret, and the log never does.
"""

from __future__ import annotations

import functools
import io
import json
import re
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, TextIO
from urllib.parse import parse_qs

import botocore.session
from botocore.exceptions import UnknownServiceError

READ_PREFIXES = ("BatchGet", "Check", "Decode", "Describe", "Get", "Head", "List", "Lookup", "Search", "Simulate")
# Reads by what they do, whatever they are called.
READ_ACTIONS = frozenset({"AssumeRole", "AssumeRoleWithWebIdentity", "Query", "Scan", "EstimateTemplateCost"})
# Names in a request's signature that differ from botocore's name of the service.
SIGNING_NAMES = {
    "elasticloadbalancing": "elbv2",
    "elasticfilesystem": "efs",
    "monitoring": "cloudwatch",
    "email": "ses",
}
FORM = "application/x-www-form-urlencoded"


@dataclass(frozen=True)
class Action:
    """One API call.

    Attributes:
        service: botocore's name of the service (``ec2``, ``elbv2``); ``unknown`` for an unsigned request.
        name: The action (``RunInstances``); method and path where the service's model has none for it.
        write: Whether it may change something.
    """

    service: str
    name: str
    write: bool


@dataclass(frozen=True)
class _RestOperation:
    """How a REST operation is told from the others: ``CopyObject`` is a ``PutObject`` with one more header."""

    name: str
    method: str
    path: re.Pattern[str]
    query: frozenset[str]
    headers: frozenset[str]


@functools.cache
def _session() -> botocore.session.Session:
    return botocore.session.get_session()


@functools.cache
def _rest_operations(service: str) -> list[_RestOperation]:
    """The REST operations of a service, most specific first."""
    try:
        model = _session().get_service_model(service)
    except UnknownServiceError:
        return []
    operations = []
    for name in model.operation_names:
        operation = model.operation_model(name)
        http = operation.http
        path, _, query = http["requestUri"].partition("?")
        pattern = ""
        for part in re.split(r"(\{[^}]+\})", path.rstrip("/")):
            if part.startswith("{"):
                pattern += ".+" if part.endswith("+}") else "[^/]+"
            else:
                pattern += re.escape(part)
        keys = {item.partition("=")[0] for item in query.split("&") if item}
        headers = set()
        shape = operation.input_shape
        for member in shape.required_members if shape else ():
            place = shape.members[member].serialization
            if place.get("location") == "querystring":
                keys.add(place["name"])
            elif place.get("location") == "header":
                headers.add("HTTP_" + place["name"].upper().replace("-", "_"))
        operations.append(
            _RestOperation(name, http["method"], re.compile(f"{pattern}/?"), frozenset(keys), frozenset(headers))
        )
    # A required query key, a required header and a literal path beat a wildcard: "GET /bucket?policy" is not
    # "GET /bucket/key".
    return sorted(
        operations,
        key=lambda entry: (
            -len(entry.query) - len(entry.headers),
            entry.path.pattern.count("[^/]+"),
            -len(entry.path.pattern),
        ),
    )


def _signed_service(authorization: str) -> str | None:
    match = re.search(r"Credential=[^/]+/\d+/[^/]*/([^/]+)/", authorization)
    return match.group(1).lower() if match else None


def identify(environ: dict[str, Any], body: bytes) -> Action:
    """Name the API action of a WSGI request.

    Args:
        environ: The WSGI environment.
        body: The body of a form-encoded request; may be empty for the other protocols.
    """
    service = _signed_service(environ.get("HTTP_AUTHORIZATION", ""))
    method, path = environ.get("REQUEST_METHOD", "GET"), environ.get("PATH_INFO", "/")
    query = parse_qs(environ.get("QUERY_STRING", ""), keep_blank_values=True)
    if service is None and "X-Amz-Credential" in query:
        service = query["X-Amz-Credential"][0].split("/")[3]
    service = SIGNING_NAMES.get(service or "", service)
    name = None
    if target := environ.get("HTTP_X_AMZ_TARGET"):
        name = target.rpartition(".")[2]
    elif "Action" in query:
        name = query["Action"][0]
    elif environ.get("CONTENT_TYPE", "").startswith(FORM):
        name = next(iter(parse_qs(body.decode("utf-8", "replace")).get("Action", [])), None)
    if name is None:
        for operation in _rest_operations(service or "s3"):
            if (
                operation.method == method
                and operation.query <= query.keys()
                and operation.headers <= environ.keys()
                and operation.path.fullmatch(path)
            ):
                name = operation.name
                break
    if name is None:
        return Action(service or "unknown", f"{method} {path}", method not in {"GET", "HEAD", "OPTIONS"})
    read = name.startswith(READ_PREFIXES) or name in READ_ACTIONS
    # HeadObject and the like are reads, and so is any unnamed GET.
    return Action(service or "s3", name, not read)


class RequestLog:
    """WSGI middleware that appends one JSON line per API request to a file.

    Each line has ``time`` (seconds since the epoch), ``service``, ``action``, ``write``, ``status``,
    ``seconds`` and ``client`` (the caller's address). The control plane's own calls under ``/moto-api/``
    are not logged.
    """

    def __init__(self, application: Any, path: str, after: Callable[[Action, int], None] | None = None) -> None:
        """Wrap an application.

        Args:
            application: The WSGI application that answers.
            path: File to append to.
            after: Called after each reply with the action and its status.
        """
        self._application = application
        self._after = after
        self._lock = threading.Lock()
        self._file: TextIO = open(path, "a", buffering=1, encoding="utf-8")  # noqa: SIM115 (lives as long as the server)

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        """Answer one request."""
        if environ.get("PATH_INFO", "").startswith("/moto-api/"):
            return self._application(environ, start_response)  # type: ignore[no-any-return]
        action = identify(environ, self._form(environ))
        started = time.time()
        status = 500

        def remember_status(line: str, headers: Any, exc_info: Any = None) -> Any:
            nonlocal status
            status = int(line.split(" ", 1)[0])
            return start_response(line, headers, exc_info) if exc_info else start_response(line, headers)

        try:
            return self._application(environ, remember_status)  # type: ignore[no-any-return]
        finally:
            line = {
                "time": round(started, 3),
                "service": action.service,
                "action": action.name,
                "write": action.write,
                "status": status,
                "seconds": round(time.time() - started, 4),
                "client": environ.get("REMOTE_ADDR", ""),
            }
            with self._lock:
                self._file.write(json.dumps(line) + "\n")
            if self._after is not None:
                self._after(action, status)

    @staticmethod
    def _form(environ: dict[str, Any]) -> bytes:
        """Read a form-encoded body and put it back."""
        if not environ.get("CONTENT_TYPE", "").startswith(FORM):
            return b""
        body: bytes = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        environ["wsgi.input"] = io.BytesIO(body)
        return body
