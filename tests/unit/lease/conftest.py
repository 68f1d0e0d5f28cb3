"""Worlds of machines that contend for a lease."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from support.control_plane import Cloud
from support.lease_world import MakeWorld, World, world


@pytest.fixture
def make_world(dynamodb: Cloud, tmp_path: Path) -> Iterator[MakeWorld]:
    """Make worlds that end with the test."""
    made: list[World] = []
    with contextlib.ExitStack() as stack:

        def make(name: str = "world", **options: Any) -> World:
            folder = tmp_path / name
            folder.mkdir()
            made.append(stack.enter_context(world(dynamodb, folder, **options)))
            return made[-1]

        yield make
    # Shown by pytest when the test has failed.
    for machine in (machine for one in made for machine in one.machines.values()):
        print(f"--- {machine.folder.parent.name}/{machine.name}\n{machine.log}")


@pytest.fixture
def one_world(make_world: MakeWorld) -> World:
    """A world of machines that behave."""
    return make_world()
