"""What the tests of the WordPress machine share."""

from __future__ import annotations

import json
import shlex
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest

import testinfra

SITE = "blog.example.org"


@dataclass
class Answer:
    """An HTTP answer."""

    status: int
    headers: dict[str, str]
    body: str
    cookies: dict[str, str] = field(default_factory=dict)

    def json(self):
        return json.loads(self.body)


class Machine:
    """The machine under test, asked as a load balancer asks it: over HTTP, from an address that it trusts or not."""

    def __init__(self, host):
        self.host = host

    def get(
        self, path: str, *, trusted: bool = True, headers: dict[str, str] | None = None, options: str = ""
    ) -> Answer:
        """Ask for a path; trusted comes from 127.0.0.2 and says https, as the scenario's load balancer would."""
        wanted = {"Host": SITE}
        if trusted:
            wanted |= {"X-Forwarded-Proto": "https", "X-Forwarded-For": "203.0.113.7"}
        wanted |= headers or {}
        words = " ".join(f"-H {shlex.quote(f'{name}: {value}')}" for name, value in wanted.items())
        source = "--interface 127.0.0.2" if trusted else ""
        done = self.host.run(f"curl -sS -i -m 30 {source} {words} {options} {shlex.quote('http://127.0.0.1' + path)}")
        assert done.rc == 0, done.stderr
        # Answers to an upload have a 100 before the real one.
        head, _, body = done.stdout.replace("\r\n", "\n").partition("\n\n")
        while head.startswith("HTTP/1.1 100"):
            head, _, body = body.partition("\n\n")
        lines = head.splitlines()
        answer = Answer(int(lines[0].split()[1]), {}, body)
        for line in lines[1:]:
            name, _, value = line.partition(": ")
            if name.lower() == "set-cookie":
                cookie, _, content = value.partition(";")[0].partition("=")
                answer.cookies[cookie] = content
            answer.headers[name.lower()] = value
        return answer

    def log_in(self, password: str) -> Answer:
        """Log in as the administrator."""
        given = shlex.quote(f"pwd={password}")
        form = f"--data-urlencode log=admin --data-urlencode {given} -d wp-submit=1 -d testcookie=1"
        return self.get("/wp-login.php", headers={"Cookie": "wordpress_test_cookie=WP%20Cookie%20check"}, options=form)

    def php(self, code: str) -> str:
        """Run code within WordPress, as the web user."""
        load = 'require "/usr/local/lib/wordpress/config.php"; stackyard_pose_as_request("https://blog.example.org"); '
        script = f"{load} require '/srv/wordpress/current/wp-load.php'; {code}"
        done = self.host.run(f"setpriv --reuid=33 --regid=33 --clear-groups php -r {shlex.quote(script)}")
        assert done.rc == 0, done.stderr + done.stdout
        return done.stdout

    def wait_for_health(self, healthy: bool, seconds: int = 60) -> Answer:
        """Wait until /healthz says so."""
        wanted = 200 if healthy else 503
        return wait(lambda: self.get("/healthz", trusted=False), lambda answer: answer.status == wanted, seconds)


def wait(ask: Callable[[], Answer], enough: Callable[[Answer], bool], seconds: int) -> Answer:
    """Ask until the answer is good enough."""
    deadline = time.monotonic() + seconds
    while True:
        answer = ask()
        if enough(answer):
            return answer
        if time.monotonic() > deadline:
            raise AssertionError(f"waited {seconds} s; the last answer was {answer}")
        time.sleep(0.5)


@pytest.fixture(scope="session")
def machine():
    return Machine(testinfra.get_host("podman://wordpress"))


@pytest.fixture(scope="session")
def database():
    return testinfra.get_host("podman://database")


@pytest.fixture(scope="session")
def probe(machine):
    """The scenario's plug-in, switched on."""
    machine.php(
        "require_once ABSPATH.'wp-admin/includes/plugin.php'; activate_plugin('molecule-probe/molecule-probe.php');"
    )

    def ask(**options):
        answer = machine.get("/wp-json/molecule/v1/probe", **options)
        assert answer.status == 200, answer
        return answer.json()

    return ask


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    """A failing test shows what the machine's units have said."""
    report = (yield).get_result()
    if report.when == "call" and report.failed:
        said = testinfra.get_host("podman://wordpress").run(
            "journalctl --no-pager -n 40 -u 'php*' -u nginx -u 'wordpress-*';"
            "tail -n 20 /var/log/nginx/error.log /var/log/php*.log"
        )
        report.sections.append(("the machine's journal", said.stdout))
