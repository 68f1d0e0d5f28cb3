"""The lease's trial: machines come, go, crash, hang and are cut off at random, and two never run at once.

STACKYARD_LEASE_EVENTS says how much happens, STACKYARD_LEASE_SEED repeats a trial. The same trial without a lease must
find machines that run side by side: one that cannot find them proves nothing.
"""

from __future__ import annotations

import os
import random
import threading
import time
from concurrent.futures import ThreadPoolExecutor

from support.figures import record
from support.lease_world import TIMES, daemon_module

EVENTS = int(os.environ.get("STACKYARD_LEASE_EVENTS") or (300 if os.environ.get("STACKYARD_SOAK") else 10))
SEED = int(os.environ.get("STACKYARD_LEASE_SEED") or random.randrange(1_000_000))
# How many machines there are at most.
MOST = 3
TTL = TIMES["ttl"]
WATCHDOG = daemon_module.Settings(table="t", lease="l", **TIMES).watchdog
# What a machine may run on after it woke up: until its daemon has had its turn, on a busy machine too.
WOKEN = 5.0


class Trial:
    """One run of the same events in a world."""

    def __init__(self, world, seed, events):
        self.world = world
        self.chance = random.Random(seed)
        self.events = events
        self.number = 0
        self.alive = []
        self.counts = {}
        self.later = []

    def run(self):
        self.new_machine()
        for _ in range(self.events):
            time.sleep(self.chance.uniform(0.1, TTL))
            if len(self.alive) < 2:
                self.new_machine()
                continue
            kinds = [
                self.cut,
                self.cut,
                self.pause,
                self.pause,
                self.kill_daemon,
                self.hang_daemon,
                self.crash,
                self.leave,
            ]
            kinds += [self.step, *([self.new_machine] * 3 if len(self.alive) < MOST else [])]
            kind = self.chance.choice(kinds)
            # More often than not it is the one that matters.
            holders = [machine for machine in self.alive if machine.application]
            machine = self.chance.choice(holders if holders and self.chance.random() < 0.7 else self.alive)
            self.counts[kind.__name__] = self.counts.get(kind.__name__, 0) + 1
            kind(*([] if kind == self.new_machine else [machine]))
        for timer in self.later:
            timer.join()
        time.sleep(TTL)

    def new_machine(self):
        """As in a roll-out: it is ready and asks."""
        self.number += 1
        self.alive.append(self.world.machine(f"machine-{self.number}").boot())

    def after(self, seconds, function):
        timer = threading.Timer(seconds, function)
        timer.start()
        self.later.append(timer)

    def cut(self, machine):
        machine.wire.mode = self.chance.choice(["refused", "silent", "deaf"])
        self.after(self.chance.uniform(0, 2 * TTL), lambda: setattr(machine.wire, "mode", "open"))

    def pause(self, machine):
        machine.pause()
        self.after(self.chance.uniform(0, 2.5 * TTL), machine.resume)

    def kill_daemon(self, machine):
        if not machine.paused:
            machine.kill_daemon()

    def hang_daemon(self, machine):
        # One that hangs as a whole cannot be seen to by its own systemd.
        if not machine.paused:
            machine.hang_daemon(WATCHDOG)

    def step(self, machine):
        machine.step_wall_clock()

    def crash(self, machine):
        self.alive.remove(machine)
        machine.crash()

    def leave(self, machine):
        self.alive.remove(machine)
        machine.resume()
        machine.wire.mode = "open"
        machine.leave()


def test_two_machines_never_run_at_once_and_without_a_lease_they_do(make_world):
    print(f"STACKYARD_LEASE_SEED={SEED} STACKYARD_LEASE_EVENTS={EVENTS}")
    worlds = [
        make_world(name, leased=leased, stubborn=0.2, linger=TIMES["stop"] * 1.5)
        for name, leased in (("leased", True), ("unleased", False))
    ]
    trials = [Trial(world, SEED, EVENTS) for world in worlds]
    with ThreadPoolExecutor() as pool:
        for ran in [pool.submit(trial.run) for trial in trials]:
            ran.result()
    leased, unleased = worlds
    sentences, woken = leased.overlaps()
    without, _ = unleased.overlaps()
    acquisitions = len({beat.token for beat in leased.beats()})
    print(f"{trials[0].counts}; {acquisitions} acquisitions; ran on after waking up: {[f'{s:.3f} s' for s in woken]}")
    record(
        "lease",
        lease_trial_seed=SEED,
        lease_trial_events=EVENTS,
        lease_trial_acquisitions=acquisitions,
        lease_trial_overlaps=len(sentences),
        lease_trial_overlaps_without_lease=len(without),
        lease_trial_woken=len(woken),
        lease_trial_woken_longest_s=max(woken, default=0.0),
    )
    assert sentences == []
    # Not because nothing ran.
    assert acquisitions >= max(2, EVENTS // 8)
    assert max(woken, default=0) < WOKEN
    assert [machine.name for machine in leased.machines.values() if (machine.folder / "fenced").exists()] == []
    assert without, "the trial finds no overlap even without a lease: it proves nothing"
