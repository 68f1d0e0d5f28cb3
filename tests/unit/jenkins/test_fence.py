"""Two controllers are forced onto one home, at random, and no two ever write to it; without a lease they do.

Their daemons, and the guard that lets them start, are the roles' own; Jenkins is a process that writes, and the home a
folder: that NFS keeps to what a folder does is not shown. STACKYARD_SEED repeats the trials.
"""

from __future__ import annotations

import os
import random
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from support import controller_contender
from support.control_plane import Cloud
from support.figures import record
from support.lease_world import TIMES, Machine, World, world
from support.waiting import until

TRIALS = 200 if os.environ.get("STACKYARD_SOAK") else 12
AT_ONCE = 2
TTL = TIMES["ttl"]
# What a machine that hung as a whole may run on after it woke up, until its daemon has had its turn.
WOKEN = 5.0
FAULTS = ("controller frozen", "machine frozen", "no file system", "no DynamoDB", "clock")


def controllers(made: World) -> list[Machine]:
    """Two machines, each with its own way to the home."""
    home = made.folder / "home"
    home.mkdir()
    machines = []
    for name in ("one", "two"):
        machine = made.machine(name)
        (machine.folder / "home").symlink_to(home)
        if made.leased:
            (machine.folder / "leased").touch()
        machines.append(machine)
    # Made by the first that the guard lets start.
    made.record = home / "writes"
    return machines


def strike(machine: Machine, fault: str, chance: random.Random) -> None:
    """Have something happen to a machine for up to two and a half terms."""
    seconds = chance.uniform(0, 2.5 * TTL)
    if fault == "controller frozen" and (number := machine.application):
        os.kill(number, signal.SIGSTOP)
        time.sleep(seconds)
        # The daemon may have killed it since.
        if machine.application == number:
            os.kill(number, signal.SIGCONT)
    elif fault == "machine frozen":
        machine.pause()
        time.sleep(seconds)
        machine.resume()
    elif fault == "no file system":
        (machine.folder / "home").rename(machine.folder / "away")
        time.sleep(seconds)
        (machine.folder / "away").rename(machine.folder / "home")
    elif fault == "no DynamoDB":
        machine.wire.mode = chance.choice(["refused", "silent", "deaf"])
        time.sleep(seconds)
        machine.wire.mode = "open"
    elif fault == "clock":
        machine.step_wall_clock()


def trial(cloud: Cloud, folder: Path, seed: str, leased: bool) -> tuple[int, list[str], list[float]]:
    """Start two controllers, the second at any moment of the first's life.

    Returns:
        How many controllers have written one after the other, and what ``overlaps`` tells.
    """
    chance = random.Random(seed)
    folder.mkdir(parents=True)
    with world(cloud, folder, leased=leased, linger=TIMES["stop"], program=Path(controller_contender.__file__)) as made:
        machines = controllers(made)
        chance.shuffle(machines)
        first, second = machines
        first.boot()
        if chance.random() < 0.8:
            until("the first controller's first writing", made.record.exists, 30, every=0.02)
        time.sleep(chance.uniform(0, TTL))
        second.boot()
        time.sleep(chance.uniform(0, TTL))
        for fault in chance.sample(FAULTS, 2):
            strike(first, fault, chance)
        until("a controller", made.record.exists, 30)
        time.sleep(TTL)
        return len({beat.token for beat in made.beats()}), *made.overlaps()


def test_no_two_controllers_write_to_a_home_and_without_a_lease_they_do(dynamodb: Cloud, tmp_path: Path) -> None:
    seed = os.environ.get("STACKYARD_SEED") or str(random.randrange(1_000_000))
    print(f"STACKYARD_SEED={seed}")
    violations = {True: [], False: []}
    woken, controllers_in_turn = [], 0
    with ThreadPoolExecutor(AT_ONCE) as pool:
        # A tenth without a lease is enough: each of them finds some.
        runs = [(number, True) for number in range(TRIALS)] + [(number, False) for number in range(TRIALS // 6)]
        done = [
            (leased, pool.submit(trial, dynamodb, tmp_path / f"{number}-{leased}", f"{seed}-{number}", leased))
            for number, leased in runs
        ]
        for leased, future in done:
            ran, sentences, late = future.result()
            assert ran
            violations[leased] += sentences
            if leased:
                controllers_in_turn += ran
                woken += late
    record(
        "jenkins",
        lease_trials=TRIALS,
        lease_controllers=controllers_in_turn,
        lease_violations=len(violations[True]),
        lease_violations_without_lease=len(violations[False]),
        lease_woken=len(woken),
        lease_woken_longest_s=max(woken, default=0.0),
    )
    assert violations[True] == []
    # Not because the second never had its turn.
    assert controllers_in_turn > TRIALS
    assert max(woken, default=0) < WOKEN
    assert violations[False], "the trials find no violation even without a lease: they prove nothing"
