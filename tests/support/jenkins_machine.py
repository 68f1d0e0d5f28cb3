"""A machine of Jenkins as tests see it: over HTTP and from inside. What answers is a stand-in, not Jenkins."""

from __future__ import annotations

import json
import shlex
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import testinfra

PORT = 8080
PASSWORDS = {"admin": "a\"b'c\\d$e{{f g#h%i", "ada": "staple correct horse"}
SECRETS = (
    "molecule registry secret",
    "molecule token secret",
    "file secret",
    "molecule key secret",
    "molecule smtp secret",
)
HOME = "/var/lib/jenkins"
SITE = "jenkins.example.org"
CERTIFICATE = "/etc/nginx/tls/jenkins.pem"


@dataclass
class Answer:
    """An HTTP answer."""

    status: int
    headers: dict[str, str]
    body: str

    def json(self) -> Any:
        return json.loads(self.body)


class Machine:
    """A machine under test, asked as a load balancer asks it."""

    def __init__(self, name: str = "jenkins") -> None:
        self.host = testinfra.get_host(f"podman://{name}")

    def ask(self, path: str, *, user: str = "", method: str = "GET", data: str = "", **headers: str) -> Answer:
        """Ask for a path; a header's name is written with _ for -."""
        words = ["-X", method]
        for name, value in headers.items():
            words += ["-H", f"{name.replace('_', '-')}: {value}"]
        if user:
            words += ["-u", f"{user}:{PASSWORDS[user]}"]
        if data:
            words += ["--data-binary", data]
        return self._curl(*words, f"http://127.0.0.1:{PORT}{path}")

    def visit(self, url: str) -> Answer:
        """Ask for an address of the site as a visitor does, who trusts its certificate and follows nothing."""
        names = [word for port in (80, 443) for word in ("--resolve", f"{SITE}:{port}:127.0.0.1")]
        return self._curl("--cacert", CERTIFICATE, *names, url)

    def _curl(self, *words: str) -> Answer:
        done = self.host.run(" ".join(map(shlex.quote, ["curl", "-sS", "-i", "-m", "30", *words])))
        if done.rc != 0:
            return Answer(0, {}, done.stderr)
        head, _, body = done.stdout.replace("\r\n", "\n").partition("\n\n")
        lines = head.splitlines()
        return Answer(
            int(lines[0].split()[1]),
            {name.lower(): value for name, _, value in (line.partition(": ") for line in lines[1:])},
            body,
        )

    def post(self, path: str, *, user: str = "admin", data: str = "") -> Answer:
        """Post with a crumb."""
        crumb = self.ask("/crumbIssuer/api/json", user=user).json()["crumb"]
        return self.ask(path, user=user, method="POST", data=data, Jenkins_Crumb=crumb)

    def new_job(self) -> str:
        """Make a job of its own for a test."""
        name = f"test-{time.monotonic_ns()}"
        assert self.post(f"/createItem?name={name}", data="<project/>").status == 200
        return name

    def build(self, job: str, seconds: float) -> str:
        """Begin a build and return its path."""
        begun = self.post(f"/job/{job}/build?seconds={seconds}")
        assert begun.status == 201, begun
        return f"/job/{job}/{begun.body.strip()}"

    def result(self, build: str) -> str | None:
        """Return how a build ended, None while it runs."""
        found: str | None = self.ask(f"{build}/api/json", user="admin").json()["result"]
        return found

    def wait_for_health(self, seconds: float = 60) -> None:
        """Wait until the page of log-in is there."""
        wait(lambda: self.ask("/login").status, lambda status: status == 200, seconds)

    def show(self, name: str, unit: str = "jenkins.service") -> str:
        """Return a property of a unit."""
        found: str = self.host.check_output(f"systemctl show -P {name} {unit}")
        return found

    def said_since(self, seconds: str) -> str:
        """What the unit has said since a time of the machine's clock."""
        said: str = self.host.check_output(f"journalctl --no-pager -o cat --since @{seconds} -u jenkins")
        return said

    def now(self) -> str:
        """The machine's clock."""
        found: str = self.host.check_output("date +%s")
        return found

    def journal(self, lines: int = 60) -> str:
        """What the unit has said last."""
        said: str = self.host.check_output(f"journalctl --no-pager -o cat -n {lines} -u jenkins")
        return said


def wait(ask: Callable[[], Any], enough: Callable[[Any], bool], seconds: float) -> Any:
    """Ask until the answer is good enough."""
    deadline = time.monotonic() + seconds
    while True:
        answer = ask()
        if enough(answer):
            return answer
        if time.monotonic() > deadline:
            raise AssertionError(f"waited {seconds} s; the last answer was {answer!r}")
        time.sleep(0.3)
