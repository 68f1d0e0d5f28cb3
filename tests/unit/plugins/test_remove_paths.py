"""Removal by wildcard touches what was named, and nothing beside it."""

import os
from importlib import import_module
from pathlib import Path

import pytest


@pytest.fixture
def remove_paths():
    return import_module("ansible_collections.stackyard.aws.plugins.modules.remove_paths")


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    for name in (
        "etc/ssh_host_rsa_key",
        "etc/ssh_host_rsa_key.pub",
        "etc/config",
        "log/a",
        "log/sub/b",
        "tmp/x/y",
        "tmp/kept/z",
    ):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside/file").write_text("stays")
    (tmp_path / "tmp/link").symlink_to(tmp_path / "outside")
    return tmp_path


def left(tree: Path) -> set[str]:
    return {str(path.relative_to(tree)) for path in tree.rglob("*") if path.is_file() and not path.is_symlink()}


def act(remove_paths, **parameters: list[str]) -> list[str]:
    found = remove_paths.find({"paths": [], "emptied": [], "files_of": [], "kept": [], **parameters})
    for path in found:
        remove_paths.remove(path)
    return found


def test_wildcards_remove_what_they_match(remove_paths, tree: Path) -> None:
    act(remove_paths, paths=[f"{tree}/etc/ssh_host_*"])
    assert left(tree) >= {"etc/config", "log/a"}
    assert not list(tree.glob("etc/ssh_host_*"))


def test_an_emptied_folder_stays_and_links_are_not_followed(remove_paths, tree: Path) -> None:
    os.chmod(tree / "tmp", 0o1777)
    act(remove_paths, emptied=[f"{tree}/tmp"])
    assert list((tree / "tmp").iterdir()) == []
    assert (tree / "tmp").stat().st_mode & 0o7777 == 0o1777
    assert (tree / "outside/file").exists()


def test_what_is_kept_stays_with_all_below_it(remove_paths, tree: Path) -> None:
    act(remove_paths, emptied=[f"{tree}/tmp"], kept=[f"{tree}/tmp/kept"])
    assert (tree / "tmp/kept/z").exists()
    assert not (tree / "tmp/x").exists()


def test_files_go_and_folders_stay(remove_paths, tree: Path) -> None:
    assert act(remove_paths, files_of=[f"{tree}/log"]) == [f"{tree}/log/a", f"{tree}/log/sub/b"]
    assert (tree / "log/sub").is_dir()


def test_a_second_run_finds_nothing(remove_paths, tree: Path) -> None:
    parameters = {"paths": [f"{tree}/etc/ssh_host_*"], "emptied": [f"{tree}/tmp"], "files_of": [f"{tree}/log"]}
    assert act(remove_paths, **parameters)
    assert act(remove_paths, **parameters) == []


@pytest.mark.parametrize("pattern", ["/", "/etc", "etc/passwd", "", "/home/../etc", "//"])
def test_paths_that_would_remove_too_much_are_refused(remove_paths, pattern: str) -> None:
    assert "accepted are absolute paths" in remove_paths.refusal("paths", pattern)


def test_ordinary_paths_are_accepted(remove_paths) -> None:
    assert remove_paths.refusal("paths", "/etc/ssh/ssh_host_*") == ""
    assert remove_paths.refusal("emptied", "/tmp") == ""
