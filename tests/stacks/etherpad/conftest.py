"""Etherpad on one machine: deployed once; each test leaves it healthy."""

from collections.abc import Iterator

import pytest
import requests

from support.site import Site, deployed


@pytest.fixture(scope="package")
def site() -> Iterator[Site]:
    """Etherpad on one machine, made by the demo."""
    with deployed("etherpad", 1) as made:
        yield made


@pytest.fixture
def healthy_site(site: Site) -> Site:
    """The site, serving."""
    site.wait_healthy()
    assert requests.get(site.url, timeout=15).status_code == 200
    return site
