"""What the tests of every stack begin with; each folder deploys its own ``site``."""

import pytest
import requests

from support.site import Site


@pytest.fixture
def healthy_site(site: Site) -> Site:
    """The site, serving."""
    site.wait_healthy()
    assert requests.get(site.url, timeout=15).status_code == 200
    return site
