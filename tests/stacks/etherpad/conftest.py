"""Etherpad on one machine: deployed once; each test leaves it healthy."""

from collections.abc import Iterator

import pytest
import requests

from support.site import Site, deployed


@pytest.fixture(scope="package")
def site() -> Iterator[Site]:
    """Etherpad on one machine, made by the demo."""
    # All who type in the tests have one address, and its changes in a second are limited.
    with deployed("etherpad", 1, etherpad_edit_rate=100) as made:
        yield made


@pytest.fixture
def healthy_site(site: Site) -> Site:
    """The site, serving."""
    site.wait_healthy()
    assert requests.get(site.url, timeout=15).status_code == 200
    return site
