"""A steady stream of requests, bounded in rate and time, whose failures are counted.

It models visitors of a site: each request is a fresh connection, and what counts as
failed is what a visitor would see (no answer, a cut answer, a status of 500 and above,
or a page without the text that was expected). It only ever talks to loopback.
"""

import ipaddress
import threading
import time
from dataclasses import dataclass, field
from urllib.parse import urlsplit

import requests


@dataclass
class Failure:
    """One failed request: when it began (monotonic seconds), how long it took, and why it counts as failed."""

    began: float
    seconds: float
    reason: str


@dataclass
class SteadyLoad:
    """Sends requests from a few threads until the ``with`` block ends.

    Attributes:
        url: Where to; its host must be a loopback address.
        expect: Text that every answer must hold.
        rate: Requests a second, all threads together. Each page costs a machine some 50 ms of CPU, and all of them
            share two cores with the load itself and with other suites: three a second leave room for a boot.
        threads: Requests that may be under way at once.
        seconds: The longest that it runs, even if the block does not end.
    """

    url: str
    expect: str
    rate: float = 3.0
    threads: int = 4
    seconds: float = 900.0
    total: int = 0
    failures: list[Failure] = field(default_factory=list)

    def __post_init__(self) -> None:
        if not ipaddress.ip_address(urlsplit(self.url).hostname or "").is_loopback:
            raise ValueError(f"a load goes to loopback only, not to {self.url}")
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._workers = [threading.Thread(target=self._work, daemon=True) for _ in range(self.threads)]

    def __enter__(self) -> "SteadyLoad":
        self._deadline = time.monotonic() + self.seconds
        for worker in self._workers:
            worker.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._stop.set()
        for worker in self._workers:
            worker.join()

    @property
    def failed(self) -> int:
        """How many requests failed so far."""
        return len(self.failures)

    def reasons(self) -> str:
        """The failures in a readable form, at most ten."""
        return "\n".join(f"at {f.began:.2f} after {f.seconds:.2f} s: {f.reason}" for f in self.failures[:10])

    def _work(self) -> None:
        pause = self.threads / self.rate
        while not self._stop.is_set() and time.monotonic() < self._deadline:
            began = time.monotonic()
            reason = self._request()
            with self._lock:
                self.total += 1
                if reason:
                    self.failures.append(Failure(began, time.monotonic() - began, reason))
            self._stop.wait(max(0.0, began + pause - time.monotonic()))

    def _request(self) -> str:
        try:
            answer = requests.get(self.url, timeout=30, headers={"Connection": "close"})
        except requests.RequestException as error:
            return f"{type(error).__name__}: {error}"
        if answer.status_code >= 500:
            return f"status {answer.status_code}"
        return "" if self.expect in answer.text else f"status {answer.status_code} without the text '{self.expect}'"
