"""What the file systems' part does when a container, or its folder, is not what it might think."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from localcloud.cloud import Cloud
from localcloud.filesystems import KIND, FileSystems, MountTarget
from localcloud.patches import efs
from localcloud.podman import Container
from localcloud.settings import Settings


@pytest.fixture(autouse=True)
def unheard(monkeypatch: pytest.MonkeyPatch) -> None:
    """The part says that it is there, which other tests must not hear."""
    monkeypatch.setattr(efs, "backed", False)


def test_what_is_stored_may_be_elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (tmp_path / "filesystems").symlink_to(elsewhere)
    cloud = Cloud(replace(Settings.from_environment(), state=tmp_path), None)
    part = FileSystems(cloud)
    made = "fs-0123456789abcdef0"
    monkeypatch.setitem(cloud.backend("efs").file_systems_by_id, made, SimpleNamespace())
    part._make_folder(made)
    assert part.folder_of(made, {"path": "/"}) == made
    assert [path.name for path in elsewhere.iterdir()] == [made]
    part.close()


def test_a_mount_target_whose_container_has_just_ended_is_left_for_the_next_look(tmp_path: Path) -> None:
    part = FileSystems(Cloud(replace(Settings.from_environment(), state=tmp_path), None))
    with subprocess.Popen([sys.executable, "-c", ""]) as ended:
        pass
    target = MountTarget("fsmt-1", "fs-1", "127.0.0.1", "02:00:00:00:00:01", "vpc-1", "creating")
    part._keep(target, Container("target", KIND, "fsmt-1", True, ended.pid, {}))
    assert part._doors == {}
    part.close()
