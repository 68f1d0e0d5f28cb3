"""WordPress in two zones: deployed once; each test leaves it healthy."""

from collections.abc import Iterator

import pytest

from support.site import Site, deployed
from support.site_images import Images


@pytest.fixture(scope="package")
def site() -> Iterator[Site]:
    """WordPress in two zones, made by the demo."""
    with deployed("wordpress", 2) as made:
        yield made


@pytest.fixture(scope="package")
def images(site: Site) -> Iterator[Images]:
    """Images of the site's own, removed at the end."""
    made = Images(site)
    yield made
    made.remove()
