"""The local cloud's control plane alone: patched moto and a request log, without machines.

Run as a program: ``control_plane_server.py PORT REQUEST_LOG patched|stock``; see ``control_plane``. It needs no root.
It leaves out everything that stands behind the API: no container, no network, no DNS.
"""

import io
import os
import sys
import threading
from collections.abc import Iterable
from typing import Any

from moto.moto_server.werkzeug_app import DomainDispatcherApplication, MotoRequestHandler, create_backend_app
from werkzeug.serving import run_simple
from werkzeug.wsgi import get_input_stream

from localcloud.patches import apply_all
from localcloud.request_log import RequestLog


class OneAtATime:
    """Answers one request at a time, as the local cloud does: moto's models are not made for threads.

    Two conditional writes at once would both find their condition true.
    """

    def __init__(self, application: Any) -> None:
        self._application = application
        self._lock = threading.Lock()

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        """Answer one request; a client that sends its body slowly keeps nobody waiting."""
        body = get_input_stream(environ).read()
        environ["wsgi.input"] = io.BytesIO(body)
        environ["CONTENT_LENGTH"] = str(len(body))
        environ.pop("HTTP_TRANSFER_ENCODING", None)
        with self._lock:
            reply = self._application(environ, start_response)
            try:
                return list(reply)
            finally:
                if hasattr(reply, "close"):
                    reply.close()


def main() -> None:
    """Serve the API on loopback until terminated."""
    port, log_path = int(sys.argv[1]), sys.argv[2]
    os.environ["MOTO_PORT"] = str(port)
    if sys.argv[3] == "patched":
        apply_all()
    application = RequestLog(OneAtATime(DomainDispatcherApplication(create_backend_app)), log_path)
    run_simple("127.0.0.1", port, application, threaded=True, request_handler=MotoRequestHandler)


if __name__ == "__main__":
    main()
