"""The local cloud's control plane alone: patched moto and a request log, without machines.

Run as a program: ``control_plane_server.py PORT REQUEST_LOG patched|stock``; see ``control_plane``. It needs no root.
It leaves out everything that stands behind the API: no container, no network, no DNS.
"""

import os
import sys

from moto.moto_server.werkzeug_app import DomainDispatcherApplication, MotoRequestHandler, create_backend_app
from werkzeug.serving import run_simple

from localcloud.patches import apply_all
from localcloud.request_log import RequestLog


def main() -> None:
    """Serve the API on loopback until terminated."""
    port, log_path = int(sys.argv[1]), sys.argv[2]
    os.environ["MOTO_PORT"] = str(port)
    if sys.argv[3] == "patched":
        apply_all()
    application = RequestLog(DomainDispatcherApplication(create_backend_app), log_path)
    run_simple("127.0.0.1", port, application, threaded=True, request_handler=MotoRequestHandler)


if __name__ == "__main__":
    main()
