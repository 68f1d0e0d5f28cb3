"""What the tests of the machine with the stand-in for Jenkins share."""

from __future__ import annotations

import pytest

from support.jenkins_machine import Machine


@pytest.fixture(scope="session")
def machine():
    found = Machine()
    found.wait_for_health()
    return found


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    """A failing test shows what the machine's unit has said."""
    report = (yield).get_result()
    if report.when == "call" and report.failed:
        under_test = item.funcargs.get("machine") if hasattr(item, "funcargs") else None
        if under_test is not None:
            report.sections.append(("the journal of the stand-in", under_test.journal(40)))
