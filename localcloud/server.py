"""The server: moto as the control plane, and the reconciler beside it, in one detached process.

It listens on 127.0.0.1 and on each network's resolver address, where it also answers instance metadata.
"""

from __future__ import annotations

import io
import logging
import signal
import threading
import time
from collections.abc import Iterable
from typing import Any

from moto.ec2.exceptions import DefaultVpcAlreadyExists
from moto.ec2.models.vpcs import VPCBackend
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, MotoRequestHandler, create_backend_app
from werkzeug.serving import BaseWSGIServer, make_server
from werkzeug.wsgi import get_input_stream

from localcloud.cloud import INTERNAL, Cloud
from localcloud.metadata import Metadata
from localcloud.network import METADATA_PORT, Network
from localcloud.patches import apply_all
from localcloud.reconciler import Reconciler
from localcloud.request_log import Action, RequestLog, identify
from localcloud.settings import Settings
from localcloud.state import Store

log = logging.getLogger("localcloud")

# Anyone may ask whether the server is up; no call of the API.
READY = "/localcloud/ready"


class ControlPlane:
    """The WSGI application of the API: one request at a time, under the cloud's lock.

    moto's models are not made for threads. Bodies are read and replies finished outside the lock's reach of slow
    clients: the body is read before it is taken, and the reply is complete when it is given back.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.cloud: Cloud
        self.store: Store
        self._moto = DomainDispatcherApplication(create_backend_app)

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        """Answer one request."""
        page = self.cloud.pages.get(environ.get("PATH_INFO", ""))
        if page is not None and environ["REQUEST_METHOD"] == "GET":
            content_type, content = page()
            start_response("200 OK", [("Content-Type", content_type), ("Content-Length", str(len(content)))])
            return [content]
        body = get_input_stream(environ).read()
        environ["wsgi.input"] = io.BytesIO(body)
        environ["CONTENT_LENGTH"] = str(len(body))
        environ.pop("HTTP_TRANSFER_ENCODING", None)
        with self.cloud.lock:
            reply = self._moto(environ, start_response)
            try:
                chunks = list(reply)
            finally:
                if hasattr(reply, "close"):
                    reply.close()
        if environ.get(INTERNAL):
            self.after(identify(environ, body), 200)
        return chunks

    def after(self, action: Action, _status: int) -> None:
        """Save and look again after a write."""
        if action.write:
            self.store.changed()
            self.cloud.dirty()


class _Handler(MotoRequestHandler):
    """The request log is a file of its own; nothing on standard error."""

    protocol_version = "HTTP/1.1"

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        pass


class Listeners:
    """The sockets on which the server answers."""

    def __init__(self, settings: Settings, application: Any, metadata: Any) -> None:
        self._settings = settings
        self._application = application
        self._metadata = metadata
        self._servers: dict[tuple[str, int], BaseWSGIServer] = {}

    def open(self, address: str, port: int, application: Any) -> None:
        """Answer on one more address."""
        server = make_server(address, port, application, threaded=True, request_handler=_Handler)
        server.daemon_threads = True  # type: ignore[attr-defined]
        threading.Thread(target=server.serve_forever, name=f"http-{address}:{port}", daemon=True).start()
        self._servers[(address, port)] = server

    def open_network(self, network: Network) -> None:
        """Answer the API and metadata on a network."""
        self.open(network.resolver, self._settings.port, self._application)
        self.open(network.resolver, METADATA_PORT, self._metadata)

    def close_network(self, network: Network) -> None:
        """Stop answering on a network."""
        for port in (self._settings.port, METADATA_PORT):
            self._close((network.resolver, port))

    def close(self) -> None:
        """Stop answering."""
        for key in list(self._servers):
            self._close(key)

    def _close(self, key: tuple[str, int]) -> None:
        server = self._servers.pop(key)
        server.shutdown()
        server.server_close()


def serve(settings: Settings) -> None:
    """Run the server until SIGTERM or SIGINT."""
    logging.Formatter.converter = time.gmtime
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    logging.getLogger("werkzeug").setLevel(logging.WARNING)
    for noisy in ("botocore", "boto3", "urllib3"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    apply_all()
    _set_default_vpc(settings)
    plane = ControlPlane(settings)
    cloud = plane.cloud = Cloud(settings, plane)
    store = plane.store = Store(settings.state, cloud.lock)
    cloud.save = store.changed
    restored = store.load()
    logged = RequestLog(plane, str(settings.state / "requests.jsonl"), after=plane.after)
    listeners = Listeners(settings, logged, Metadata(cloud))
    cloud.networks.on_create.append(listeners.open_network)
    cloud.networks.on_remove.append(listeners.close_network)
    stopping = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopping.set())
    cloud.pages[READY] = lambda: ("text/plain", b"ready\n")
    reconciler = Reconciler(cloud)
    cloud.networks.adopt()
    store.start()
    reconciler.start()
    listeners.open("127.0.0.1", settings.port, logged)
    log.info("serving %s, state %s", settings.endpoint, "restored" if restored else "new")
    stopping.wait()
    log.info("stopping")
    listeners.close()
    reconciler.close()
    cloud.dns.close()
    store.close()


def _set_default_vpc(settings: Settings) -> None:
    """Give the default VPC this cloud's range: several clouds may run side by side, and AWS's may clash."""

    def create_default_vpc(self: Any) -> Any:
        if self.get_default_vpc():
            raise DefaultVpcAlreadyExists
        vpc = self.create_vpc(cidr_block=str(settings.default_vpc_cidr), is_default=True)
        for zone in self.describe_availability_zones():
            self.create_default_subnet(zone.name)
        return vpc

    VPCBackend.create_default_vpc = create_default_vpc
