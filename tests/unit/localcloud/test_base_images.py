"""Base images: where packages come from, and when an image is made anew."""

from __future__ import annotations

from pathlib import Path

import pytest

from localcloud import base_images
from localcloud.base_images import Archive

DEB822 = """\
Types: deb
# a comment
URIs: http://archive.test/debian
Suites: bookworm bookworm-updates
Components: main contrib
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg

Types: deb
URIs: http://archive.test/debian-security
Suites: bookworm-security
Components: main

Types: deb
URIs: http://other.test/node
Suites: nodistro
Components: main

Enabled: no
Types: deb
URIs: http://off.test/debian
Suites: bookworm
Components: main
"""
ONE_LINE = """\
# deb http://commented.test/debian bookworm main
deb [arch=amd64 signed-by=/k.gpg] http://archive.test/debian bookworm main non-free-firmware
deb-src http://archive.test/debian bookworm main
deb http://archive.test/debian-security bookworm-security main
"""


def _etc(folder: Path, identity: str = "debian") -> Path:
    (folder / "apt/sources.list.d").mkdir(parents=True)
    (folder / "os-release").write_text(f'ID={identity}\nVERSION_CODENAME="bookworm"\n')
    return folder


def test_archives_from_deb822(tmp_path: Path) -> None:
    etc = _etc(tmp_path)
    (etc / "apt/sources.list.d/debian.sources").write_text(DEB822)
    archives = base_images.host_archives(etc)
    assert archives == [
        Archive("http://archive.test/debian", ("", "-updates"), ("main",)),
        Archive("http://archive.test/debian-security", ("-security",), ("main",)),
    ]
    assert base_images.sources_list(archives, "trixie").splitlines() == [
        "deb http://archive.test/debian trixie main",
        "deb http://archive.test/debian trixie-updates main",
        "deb http://archive.test/debian-security trixie-security main",
    ]


def test_archives_from_one_line_entries(tmp_path: Path) -> None:
    etc = _etc(tmp_path)
    (etc / "apt/sources.list").write_text(ONE_LINE)
    assert base_images.host_archives(etc) == [
        Archive("http://archive.test/debian", ("",), ("main",)),
        Archive("http://archive.test/debian-security", ("-security",), ("main",)),
    ]


def test_another_system_uses_debians_own_archive(tmp_path: Path) -> None:
    etc = _etc(tmp_path, "ubuntu")
    (etc / "apt/sources.list.d/debian.sources").write_text(DEB822)
    assert base_images.sources_list(base_images.host_archives(etc), "trixie") == ""


def test_a_changed_recipe_is_another_image(monkeypatch: pytest.MonkeyPatch) -> None:
    before = base_images.recipe_digest("debian-13", "")
    assert before != base_images.recipe_digest("debian-12", "")
    assert before != base_images.recipe_digest("debian-13", "deb http://archive.test/debian trixie main\n")
    monkeypatch.setattr(base_images, "PACKAGES", (*base_images.PACKAGES, "vim"))
    assert before != base_images.recipe_digest("debian-13", "")


def test_an_unknown_suite_is_one_sentence() -> None:
    with pytest.raises(base_images.BaseImageError, match=r"no base image 'sid': use one of debian-12, debian-13\."):
        base_images.build("sid", print)
