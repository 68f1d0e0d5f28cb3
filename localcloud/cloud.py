"""What the parts of the local cloud share: the API's state, podman, networks, names, and the wake-up call.

Locking: moto's objects may only be touched while ``lock`` is held; every API request holds it too. It is an RLock,
and ``client()`` answers in the calling thread, so a part may call the API while holding it. Nothing slow (podman,
waiting) belongs under it.
"""

from __future__ import annotations

import functools
import io
import logging
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import boto3
from botocore.awsrequest import AWSResponse
from botocore.config import Config
from moto.backends import get_backend
from moto.core.base_backend import BackendDict
from werkzeug.test import EnvironBuilder, run_wsgi_app

from localcloud.dns import Dns
from localcloud.network import Network, Networks
from localcloud.podman import Podman
from localcloud.settings import Settings

if TYPE_CHECKING:
    from botocore.awsrequest import AWSPreparedRequest

# A page served beside the API: returns content type and body.
Page = Callable[[], tuple[str, bytes]]
# Set in the WSGI environment of the local cloud's own calls, which are no business of the request log.
INTERNAL = "localcloud.internal"


class Part(Protocol):
    """A kind of resource that is backed by containers or processes."""

    name: str

    def __init__(self, cloud: Cloud) -> None: ...

    def reconcile(self) -> None:
        """Compare the API's state with what runs, and act.

        Called after every change and at least every two seconds, always from the reconciler's thread. Idempotent;
        raises only on a bug.
        """

    def close(self) -> None:
        """End the helper processes that this part started: the server is going down, containers stay."""


class Cloud:
    """One local cloud inside its server process.

    Attributes:
        settings: Its settings.
        podman: Its containers.
        dns: Its names.
        networks: Its bridges, by VPC.
        lock: Held while moto's objects are touched.
        log: Logger of the package.
        pages: Extra pages under the API's address, by path (``/localcloud/...``).
        held: Instances whose container a part is busy with; ``machines`` leaves them alone.
        save: Has the API's state written to disk; set by the server.
        machine_volumes: ``podman run --volume`` values that every new machine gets, such as shared folders and
            mount helpers. Nothing of them may be baked: see ``images``.
    """

    def __init__(self, settings: Settings, application: Any) -> None:
        """Tie a cloud together.

        Args:
            settings: Its settings.
            application: The WSGI application that answers the API.
        """
        self.settings = settings
        self.podman = Podman(settings)
        self.lock = threading.RLock()
        self.log = logging.getLogger("localcloud")
        self.pages: dict[str, Page] = {}
        self.machine_volumes: list[str] = []
        self.dns = Dns(settings)
        self.networks = Networks(self)
        self.woken = threading.Event()
        # Instances whose container another part is busy with; ``machines`` leaves them alone.
        self.held: set[str] = set()
        self.save: Callable[[], None] = lambda: None
        self._application = application
        self._clients: dict[tuple[str, str], Any] = {}

    @property
    def state(self) -> Path:
        """Folder of the state."""
        return self.settings.state

    def dirty(self) -> None:
        """Wake the reconciler: something may have to be done."""
        self.woken.set()

    def changed(self) -> None:
        """Moto's objects were changed without an API call: keep that, and look again."""
        self.save()
        self.dirty()

    def network(self, vpc_id: str) -> Network:
        """The network of a VPC, created on first use.

        Raises:
            KeyError: There is no such VPC.
        """
        return self.networks.get(vpc_id)

    def backend(self, service: str, region: str | None = None) -> Any:
        """The moto backend of a service in this cloud's account; hold ``lock`` while touching it.

        Args:
            service: moto's name of the service, such as ``ec2`` or ``elbv2``.
            region: Defaults to the cloud's region. Global services (IAM, S3, Route 53) ignore it.
        """
        backends: BackendDict[Any] = get_backend(service)
        account = backends[self.settings.account]
        region = region or self.settings.region
        return account[region] if region in account else account["global"]

    def regions(self, service: str) -> list[Any]:
        """The backends of a service in all regions that were used; hold ``lock`` while touching them."""
        backends: BackendDict[Any] = get_backend(service)
        return list(dict.values(backends[self.settings.account]))

    def client(self, service: str, region: str | None = None) -> Any:
        """A boto3 client whose calls are answered in this thread, outside the request log."""
        key = (service, region or self.settings.region)
        if key not in self._clients:
            client = boto3.client(
                service,
                region_name=key[1],
                endpoint_url=self.settings.endpoint,
                aws_access_key_id="localcloud",
                aws_secret_access_key="localcloud",  # noqa: S106 (accepted by anyone who reaches the port)
                config=Config(retries={"mode": "standard", "total_max_attempts": 1}),
            )
            client.meta.events.register("before-send", functools.partial(_answer, self._application))
            self._clients[key] = client
        return self._clients[key]


def _answer(application: Any, request: AWSPreparedRequest, **_: Any) -> AWSResponse:
    """Answer a botocore request from a WSGI application."""
    body = request.body.read() if hasattr(request.body, "read") else request.body
    builder = EnvironBuilder(
        path=request.url,
        method=request.method,
        headers=[(name, _text(value)) for name, value in request.headers.items()],
        input_stream=io.BytesIO(_bytes(body)),
    )
    environ = builder.get_environ()
    environ["CONTENT_LENGTH"] = str(len(_bytes(body)))
    environ[INTERNAL] = True
    chunks, status, headers = run_wsgi_app(application, environ, buffered=True)
    return AWSResponse(request.url, int(status.split(" ", 1)[0]), dict(headers.items()), _Body(b"".join(chunks)))


class _Body(io.BytesIO):
    """What botocore expects of urllib3's response."""

    def stream(self, amount: int = 65536, **_: Any) -> Iterator[bytes]:
        while chunk := self.read(amount):
            yield chunk


def _text(value: str | bytes) -> str:
    return value.decode() if isinstance(value, bytes) else value


def _bytes(value: str | bytes | bytearray | None) -> bytes:
    return value.encode() if isinstance(value, str) else bytes(value or b"")
