"""How the suites are spread over processes."""

import pytest
from xdist.remote import Producer
from xdist.scheduler import LoadScopeScheduling


class FolderScheduling(LoadScopeScheduling):
    """Keeps the tests of a folder in one process: they share its cloud and its stack."""

    def _split_scope(self, nodeid: str) -> str:
        return nodeid.partition("::")[0].rpartition("/")[0]


def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> LoadScopeScheduling | None:
    """Have ``--dist=loadscope`` go by folders."""
    return FolderScheduling(config, log) if config.getvalue("dist") == "loadscope" else None
