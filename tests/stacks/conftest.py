"""A WordPress that a stranger's ``make demo`` made, on a local cloud of the session's own.

``site`` is deployed once; each test leaves it healthy. The stack is made by the demo's own phases, so that what the
README promises is what the tests walk on.
"""

import os
import time
from collections.abc import Iterator

import pytest
import requests

from demo.stack import Demo
from support.figures import record
from support.local_cloud import free_port, new_cloud
from support.site import LOGS, Site


@pytest.fixture(scope="session")
def site() -> Iterator[Site]:
    """WordPress in two zones, made by the demo."""
    assert os.geteuid() == 0, "these tests need root: run them with sudo"
    cloud = new_cloud()
    patch = pytest.MonkeyPatch()
    patch.setenv("LOCALCLOUD_HTTP_PORT", str(free_port()))
    variables = {"wordpress_stack_network_cidr": str(next(cloud.ranges))}
    demo = Demo("wordpress", settings=cloud.settings, variables=variables)
    demo.start_cloud()
    try:
        made = Site(demo, demo.fetch())
        began = time.monotonic()
        demo.bake(made.variables)
        record("wordpress", bake_s=time.monotonic() - began)
        demo.publish(made.variables)
        # At -vvv, because that is the output in which no secret may be found.
        made.first_run = made.playbook("wordpress", "-vvv")
        record("wordpress", deploy_s=made.first_run.seconds)
        made.wait_healthy()
        yield made
    finally:
        log = (cloud.settings.state / "server.log").read_text()
        LOGS.mkdir(parents=True, exist_ok=True)
        (LOGS / "localcloud.log").write_text(log)
        demo.stop_cloud()
        patch.undo()
    assert "Traceback" not in log, log[-5000:]


@pytest.fixture
def healthy_site(site: Site) -> Site:
    """The site, with two machines serving."""
    site.wait_healthy()
    assert requests.get(site.url, timeout=15).status_code == 200
    return site
