"""How the suites are spread over processes."""

import pytest


@pytest.hookimpl(tryfirst=True)  # Before pytest-xdist, which reads the marks in a hook of the same name.
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Keep the tests of a folder in one process under ``--dist=loadgroup``: they share its cloud and its stack."""
    for item in items:
        item.add_marker(pytest.mark.xdist_group(item.path.parent.name))
