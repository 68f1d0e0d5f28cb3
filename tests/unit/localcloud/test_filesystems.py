"""What the file systems' part does when a container is not what it was a moment ago."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from localcloud.cloud import Cloud
from localcloud.filesystems import KIND, FileSystems, MountTarget
from localcloud.patches import efs
from localcloud.podman import Container
from localcloud.settings import Settings


def test_a_mount_target_whose_container_has_just_ended_is_left_for_the_next_look(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The part says that it is there, which other tests must not hear.
    monkeypatch.setattr(efs, "backed", False)
    part = FileSystems(Cloud(replace(Settings.from_environment(), state=tmp_path), None))
    with subprocess.Popen([sys.executable, "-c", ""]) as ended:
        pass
    target = MountTarget("fsmt-1", "fs-1", "127.0.0.1", "02:00:00:00:00:01", "vpc-1", "creating")
    part._keep(target, Container("target", KIND, "fsmt-1", True, ended.pid, {}))
    assert part._doors == {}
    part.close()
