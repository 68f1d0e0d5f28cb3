"""Etherpad on one machine: deployed once; each test leaves it healthy."""

from collections.abc import Iterator

import pytest

from support.site import Site, deployed
from support.site_images import Images


@pytest.fixture(scope="package")
def site() -> Iterator[Site]:
    """Etherpad on one machine, made by the demo."""
    # All who type in the tests have one address, and its changes in a second are limited.
    with deployed("etherpad", 1, etherpad_edit_rate=100) as made:
        yield made


@pytest.fixture(scope="package")
def images(site: Site) -> Iterator[Images]:
    """Images of the site's own, removed at the end."""
    made = Images(site)
    yield made
    made.remove()
