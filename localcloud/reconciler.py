"""One thread that brings what runs in line with what the API says.

Level triggered: a wake-up only means "look again", so none can be lost. It looks after every change, when a
container's first process ends (a pidfd tells, so nothing has to ask podman), and every two seconds for what depends
on time.
"""

from __future__ import annotations

import os
import selectors
import threading
import time

from localcloud.autoscaling import Groups
from localcloud.backups import Backups
from localcloud.balancer import Balancers
from localcloud.cloud import Cloud, Part
from localcloud.databases import Databases
from localcloud.filesystems import FileSystems
from localcloud.firewall import Firewall
from localcloud.images import Images
from localcloud.machines import Machines
from localcloud.volumes import Volumes

TICK = 2.0
# podman notes an exit a moment after the process has ended.
EXIT_NOTED = 0.4


def parts(cloud: Cloud) -> list[Part]:
    """All parts, in the order in which they are reconciled.

    Stores come first, since machines need them; rules before the machines that they protect; targets leave the
    balancers before machines die.
    """
    return [
        Firewall(cloud),
        FileSystems(cloud),
        Backups(cloud),
        Databases(cloud),
        Groups(cloud),
        Balancers(cloud),
        Images(cloud),
        Machines(cloud),
        Volumes(cloud),
    ]


class Reconciler:
    """Runs the parts until told to stop."""

    def __init__(self, cloud: Cloud, its_parts: list[Part] | None = None) -> None:
        self._cloud = cloud
        self._parts = parts(cloud) if its_parts is None else its_parts
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="reconciler", daemon=True)
        self._watch = ExitWatch(cloud)

    def start(self) -> None:
        """Begin."""
        self._watch.start()
        self._thread.start()

    def close(self) -> None:
        """Finish the pass under way, then end every part's helper processes."""
        self._stopping.set()
        self._cloud.dirty()
        self._thread.join(timeout=60)
        for part in reversed(self._parts):
            part.close()
        self._watch.close()

    def _run(self) -> None:
        while not self._stopping.is_set():
            self._cloud.woken.clear()
            self.reconcile()
            self._cloud.woken.wait(TICK)

    def reconcile(self) -> None:
        """One pass over all parts."""
        for part in self._parts:
            if self._stopping.is_set():
                return
            started = time.monotonic()
            try:
                part.reconcile()
            except Exception:
                # One part's trouble must not stop the others, and the next pass tries again.
                self._cloud.log.exception("%s: reconciling failed", part.name)
            if (seconds := time.monotonic() - started) > 1:
                self._cloud.log.info("%s: took %.1f s", part.name, seconds)
        self._cloud.networks.remove_unused()
        self._cloud.dns.apply(self._cloud.networks.existing())
        self._watch.follow({entry.pid for entry in self._cloud.podman.containers() if entry.pid})


class ExitWatch:
    """Wakes the reconciler when a process ends, without asking anybody meanwhile."""

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud
        self._selector = selectors.DefaultSelector()
        self._pids: set[int] = set()
        self._lock = threading.Lock()
        self._reader, self._writer = os.pipe()
        self._selector.register(self._reader, selectors.EVENT_READ, None)
        self._thread = threading.Thread(target=self._run, name="exit-watch", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def close(self) -> None:
        """Stop watching."""
        os.write(self._writer, b"x")
        self._thread.join(timeout=5)

    def follow(self, pids: set[int]) -> None:
        """Watch these processes too."""
        with self._lock:
            new = pids - self._pids
            self._pids |= new
        for pid in new:
            try:
                descriptor = os.pidfd_open(pid)
            except ProcessLookupError:
                self._ended(pid)
                continue
            self._selector.register(descriptor, selectors.EVENT_READ, pid)

    def _run(self) -> None:
        while True:
            for key, _ in self._selector.select():
                if key.data is None:
                    return
                self._selector.unregister(key.fd)
                os.close(key.fd)
                self._ended(key.data)

    def _ended(self, pid: int) -> None:
        with self._lock:
            self._pids.discard(pid)
        threading.Timer(EXIT_NOTED, self._look_again).start()

    def _look_again(self) -> None:
        self._cloud.podman.forget()
        self._cloud.dirty()
