"""A stand-in for Jenkins on one machine: deployed once; each test leaves it healthy."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.controller import Controller
from support.site import Site, deployed
from support.site_images import Images

# Until their trial has turned them off.
AGENTS = {
    "jenkins_stack_agents_max": 2,
    "jenkins_fleet_drain_seconds": 90,
    "jenkins_system_properties": {"standin.agents.idle.seconds": "8"},
}


@pytest.fixture(scope="package")
def file_systems(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A file system for what the local cloud keeps of EFS, which can be frozen."""
    folder = tmp_path_factory.mktemp("efs")
    disk, mounted = folder / "disk", folder / "mounted"
    mounted.mkdir()
    subprocess.run(["truncate", "--size=2G", disk], check=True)
    subprocess.run(["mkfs.ext4", "-q", disk], check=True)
    subprocess.run(["mount", "-o", "loop", disk, mounted], check=True)
    yield mounted
    subprocess.run(["umount", mounted], check=True)


@pytest.fixture(scope="package")
def site(request: pytest.FixtureRequest, file_systems: Path) -> Iterator[Site]:
    """A stand-in for Jenkins on one machine, made by the demo; with agents where their trial is made in this run."""
    agents = any("test_agents_" in item.name and not item.get_closest_marker("skip") for item in request.session.items)
    images, variables = (("jenkins_agent",), AGENTS) if agents else ((), {})
    with deployed("jenkins", 1, file_systems, images, **variables) as made:
        yield made


@pytest.fixture(scope="package")
def images(site: Site) -> Iterator[Images]:
    """Images of the site's own, removed at the end."""
    made = Images(site)
    yield made
    made.remove()


@pytest.fixture
def controller(healthy_site: Site) -> Controller:
    """The controller as its administrator sees it."""
    return Controller(healthy_site.url, healthy_site.secret("admin"))
