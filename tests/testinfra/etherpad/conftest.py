"""What the tests of the Etherpad machines share."""

from __future__ import annotations

import pytest

from support.etherpad_machine import MACHINES, Machine


@pytest.fixture(scope="session", params=MACHINES)
def machine(request):
    found = Machine(request.param)
    found.wait_for_health(True)
    return found


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    """A failing test shows what the machine's unit has said."""
    report = (yield).get_result()
    if report.when == "call" and report.failed:
        under_test = item.funcargs.get("machine") if hasattr(item, "funcargs") else None
        if under_test is not None:
            report.sections.append((f"the journal of {under_test.name}", under_test.journal(40)))
