"""People who type into a pad, by Etherpad's own protocol (``typists.js``), and what became of their words."""

from __future__ import annotations

import itertools
import json
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import requests

SCRIPT = Path(__file__).with_suffix(".js")


@dataclass
class Typists:
    """Several people type until the ``with`` block ends; they talk to loopback only.

    Attributes:
        source: Folder of Etherpad's code, of the version that serves.
        url: Address of the site, with a slash at its end.
        pad: Name of the pad.
        people: How many.
        interval: Seconds between a person's accepted edit and the next one.
    """

    source: Path
    url: str
    pad: str
    people: int = 4
    interval: float = 0.3
    seen: list[dict[str, Any]] = field(default_factory=list)

    def __enter__(self) -> Typists:
        assert self.url.startswith("http://127.0.0.1:"), self.url
        self._process = subprocess.Popen(
            [
                "node", str(SCRIPT), str(self.source), self.url, self.pad, str(self.people),
                str(round(self.interval * 1000)),
            ],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        return self

    def __exit__(self, kind: object, *rest: object) -> None:
        output, _ = self._process.communicate(timeout=30)
        if kind is None:
            self.seen = json.loads(output)

    @property
    def text(self) -> str:
        """The pad as the site has it now."""
        answer = requests.get(f"{self.url}p/{self.pad}/export/txt", timeout=30)
        answer.raise_for_status()
        return answer.text

    @property
    def sent(self) -> int:
        """Edits that were sent."""
        return sum(person["typed"] for person in self.seen)

    @property
    def accepted(self) -> list[str]:
        """Edits that the server has accepted."""
        return [word for person in self.seen for word, _ in person["accepted"]]

    @property
    def lost(self) -> list[str]:
        """Accepted edits that are not in the pad."""
        there = set(self.text.split())
        return [word for word in self.accepted if word not in there]

    @property
    def disordered(self) -> list[str]:
        """People whose words are in the pad twice or in another order than they were typed."""
        words = [word.split(":") for word in self.text.split() if ":" in word]
        numbers = {person["name"]: [int(n) for name, n in words if name == person["name"]] for person in self.seen}
        return [name for name, found in numbers.items() if found != sorted(set(found))]

    @property
    def longest_silence(self) -> float:
        """Seconds of the longest gap between two accepted edits of one person."""
        gaps = [0.0]
        for person in self.seen:
            times = [moment for _, moment in person["accepted"]]
            gaps += [later - earlier for earlier, later in itertools.pairwise(times)]
        return max(gaps)

    @property
    def trouble(self) -> list[str]:
        """What the server refused, and what came out of order."""
        return [f"{person['name']}: {what}" for person in self.seen for what in person["trouble"]]
