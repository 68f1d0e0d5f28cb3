"""A run of a stack that is killed at a creating call, and the run after it.

STACKYARD_SOAK set: each stack at as many cut points as POINTS says, otherwise at one by chance.
STACKYARD_SEED repeats a choice of points.
"""

import os
import random
import subprocess
import sys
import uuid
from pathlib import Path

import pytest

from support.account import Account
from support.control_plane import REPOSITORY
from support.cutting_proxy import CuttingProxy, choose_cuts
from support.figures import record
from support.stack_account import INVENTORY, VARIABLES, announcements, bake, environment

POINTS = {"wordpress": 14, "etherpad": 5, "jenkins": 5}
CUT_DEADLINE = 300
SOAK = bool(os.environ.get("STACKYARD_SOAK"))


@pytest.fixture(params=POINTS)
def application(request):
    return request.param


@pytest.fixture
def playbook(application):
    return f"playbooks/{application}.yml"


@pytest.fixture
def run(ansible, cloud, playbook):
    """Runs the playbook to its end."""

    def run(**options):
        return ansible.run_playbook(
            playbook, arguments=INVENTORY, environment=environment(cloud.endpoint), extra_vars=VARIABLES, **options
        )

    return run


def run_until(cut, playbook, ansible, cloud):
    """Run the playbook through a proxy that kills it; tell whether it came to that."""
    mark = ("STACKYARD_CUT", uuid.uuid4().hex)
    with CuttingProxy(cloud.endpoint, cut, "=".join(mark)) as proxy:
        command = [str(Path(sys.executable).parent / "ansible-playbook"), *INVENTORY, playbook]
        for name, value in VARIABLES.items():
            command += ["-e", f'{{"{name}": {str(value).lower()}}}']
        subprocess.run(
            command,
            cwd=REPOSITORY,
            env=ansible._environment() | environment(proxy.endpoint) | dict([mark]),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            timeout=CUT_DEADLINE,
            check=False,
        )
        return proxy.happened


@pytest.mark.long
def test_a_run_that_was_cut_off_is_completed_by_the_next(run, playbook, application, ansible, cloud):
    count = POINTS[application] if SOAK else 1
    seed = int(os.environ.get("STACKYARD_SEED") or random.SystemRandom().randrange(10_000))
    bake(cloud, application)
    run()
    whole = Account(cloud.client)
    cuts = choose_cuts(cloud.writes(), count, seed)
    print(f"STACKYARD_SEED={seed}: {', '.join(map(str, cuts))}")

    problems = {}
    for cut in cuts:
        cloud.reset()
        bake(cloud, application)
        if not run_until(cut, playbook, ansible, cloud):
            problems[str(cut)] = ["the call was never made"]
            continue
        run()
        found = Account(cloud.client).differences(whole)
        found += [f"the next run repeats {change}" for change in announcements(run())]
        print(f"{cut}: {found or 'completed'}", flush=True)
        if found:
            problems[str(cut)] = found
    record(application, cut_points_tried=count, cut_points_completed=count - len(problems))
    assert problems == {}, f"seed {seed}\n" + "\n".join(
        f"{cut}: {line}" for cut, lines in problems.items() for line in lines
    )
