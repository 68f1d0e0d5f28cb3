"""How the suites are spread over processes, and which long trials are made in a run."""

import math
import os
import random
import uuid

import pytest
from xdist.remote import Producer
from xdist.scheduler import LoadScopeScheduling

# Of so many long trials of a folder, one is made in a run.
LONG = 3


class FolderScheduling(LoadScopeScheduling):
    """Keeps the tests of a folder in one process: they share its cloud and its stack."""

    def _split_scope(self, nodeid: str) -> str:
        return folder_of(nodeid)


def folder_of(nodeid: str) -> str:
    """The folder of a test."""
    return nodeid.partition("::")[0].rpartition("/")[0]


def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> LoadScopeScheduling | None:
    """Have ``--dist=loadscope`` go by folders."""
    return FolderScheduling(config, log) if config.getvalue("dist") == "loadscope" else None


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Skip the long trials whose turn it is not, of those that are asked for.

    Turns are by chance, and the same in each of the run's processes. With STACKYARD_SOAK set all are made.
    """
    if os.environ.get("STACKYARD_SOAK"):
        return
    run = getattr(config, "workerinput", {}).get("testrunuid") or uuid.uuid4().hex
    trials: dict[str, list[pytest.Item]] = {}
    for item in items:
        if item.get_closest_marker("long"):
            trials.setdefault(folder_of(item.nodeid), []).append(item)
    for folder, found in trials.items():
        made = random.Random(run + folder).sample(found, math.ceil(len(found) / LONG))
        for item in found:
            if item not in made:
                item.add_marker(pytest.mark.skip(reason="another one's turn; set STACKYARD_SOAK"))
