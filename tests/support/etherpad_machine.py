"""An Etherpad machine as tests see it: over HTTP, through its API, and from its database."""

from __future__ import annotations

import hashlib
import json
import random
import shlex
import time
import urllib.parse
from collections.abc import Callable
from dataclasses import dataclass, field

import testinfra

PORT = 9001
API_KEY = hashlib.sha256(b"molecule-api-key").hexdigest()
PASSWORDS = {"admin": "correct horse battery", "ada": "staple correct horse"}
MACHINES = ("etherpad", "etherpad-postgresql")
DATABASE = "pads_of_molecule"


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
    """A machine under test, asked as a load balancer asks it.

    Attributes:
        name: Of the machine.
        engine: Of its database, mysql or postgresql.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.host = testinfra.get_host(f"podman://{name}")
        self.database_host = testinfra.get_host("podman://etherpad-database")
        self.engine = "postgresql" if name == "etherpad-postgresql" else "mysql"
        self.database_unit = "mariadb.service" if self.engine == "mysql" else "postgresql@*-main.service"

    def get(self, path: str, *, headers: dict[str, str] | None = None, options: str = "", most: float = 30) -> Answer:
        """Ask for a path."""
        words = " ".join(f"-H {shlex.quote(f'{name}: {value}')}" for name, value in (headers or {}).items())
        done = self.host.run(f"curl -sS -i -m {most} {words} {options} {shlex.quote(f'http://127.0.0.1:{PORT}{path}')}")
        if done.rc != 0:
            return Answer(0, {}, done.stderr)
        head, _, body = done.stdout.replace("\r\n", "\n").partition("\n\n")
        lines = head.splitlines()
        answer = Answer(int(lines[0].split()[1]), {}, body)
        for line in lines[1:]:
            name, _, value = line.partition(": ")
            if name.lower() == "set-cookie":
                cookie, _, content = value.partition(";")[0].partition("=")
                answer.cookies[cookie] = content
            answer.headers[name.lower()] = value
        return answer

    def api(self, function: str, *, key: str = API_KEY, **arguments: str):
        """Call Etherpad's API and return its answer."""
        query = urllib.parse.urlencode({"apikey": key} | arguments)
        answer = self.get(f"/api/1.2.15/{function}?{query}")
        return (
            answer.json()
            if answer.status in (200, 401, 500) and answer.body.startswith("{")
            else {"code": None, "answer": answer}
        )

    def new_pad(self, text: str | None = None) -> str:
        """Make a pad of its own for a test."""
        name = f"test-{random.randrange(10**9)}"
        made = self.api("createPad", padID=name, **({} if text is None else {"text": text}))
        assert made["code"] == 0, made
        return name

    def text(self, pad: str) -> str:
        """Return what is in a pad, without the empty lines at its end, of which Etherpad adds one."""
        return self.api("getText", padID=pad)["data"]["text"].rstrip("\n")

    def wait_for_health(self, healthy: bool, seconds: int = 60) -> Answer:
        """Wait until /healthz says so."""
        wanted = (200,) if healthy else (503, 0)
        return wait(lambda: self.get("/healthz", most=10), lambda answer: answer.status in wanted, seconds)

    def settings(self):
        """What Etherpad was given."""
        return json.loads(self.host.check_output("cat /run/etherpad/settings.json"))

    def query(self, statement: str) -> list[str]:
        """Ask the database as its superuser."""
        if self.engine == "mysql":
            return self.database_host.check_output(f"mariadb -N {DATABASE} -e {shlex.quote(statement)}").splitlines()
        return self.database_host.check_output(
            "cd / && setpriv --reuid=postgres --regid=postgres --init-groups"
            f" psql --no-psqlrc -qAt {DATABASE} -c {shlex.quote(statement)}"
        ).splitlines()

    def accounts(self) -> list[str]:
        """Holders' accounts in the database."""
        if self.engine == "mysql":
            return sorted(self.query("SELECT User FROM mysql.user WHERE User REGEXP '^etherpad_[0-9]+$'"))
        return sorted(self.query("SELECT rolname FROM pg_roles WHERE rolname ~ '^etherpad_[0-9]+$'"))

    def database(self, action: str) -> None:
        """Start, stop, freeze or thaw the database."""
        unit = self.database_unit
        if action == "start" and self.engine == "postgresql":
            # A pattern finds only what runs.
            unit = "postgresql.service"
            action = "restart"
        if action in ("freeze", "thaw"):
            signal = "STOP" if action == "freeze" else "CONT"
            self.database_host.check_output(f"systemctl kill --signal={signal} '{unit}'")
        else:
            self.database_host.check_output(f"systemctl {action} '{unit}'")

    def python(self, code: str, *arguments: str):
        """Run code with the machine's own Python as root; it can use ``connect(settings)``."""
        words = " ".join(shlex.quote(word) for word in arguments)
        return self.host.run(f"python3 -c {shlex.quote(CONNECT + code)} {words}")

    def said_since(self, seconds: str) -> str:
        """What the unit has said since a time of the machine's clock."""
        return self.host.check_output(f"journalctl --no-pager -o cat --since @{seconds} -u etherpad")

    def journal(self, lines: int = 60) -> str:
        """What the unit has said last."""
        return self.host.check_output(f"journalctl --no-pager -o cat -n {lines} -u etherpad")


# Connects with Etherpad's own account, as its driver does.
CONNECT = """
import json, ssl, sys
def connect(settings):
    given = settings["dbSettings"]
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(cadata=given["ssl"]["ca"])
    if settings["dbType"] == "mysql":
        import pymysql
        return pymysql.connect(host=given["host"], port=given["port"], user=given["user"], password=given["password"],
                               database=given["database"], ssl=context, autocommit=True)
    import psycopg2
    made = psycopg2.connect(host=given["host"], port=given["port"], user=given["user"], password=given["password"],
                            dbname=given["database"], sslmode="verify-full",
                            sslrootcert="/etc/etherpad/database-ca.pem")
    made.autocommit = True
    return made
"""


def wait(ask: Callable[[], Answer], enough: Callable[[Answer], bool], seconds: float) -> Answer:
    """Ask until the answer is good enough."""
    deadline = time.monotonic() + seconds
    while True:
        answer = ask()
        if enough(answer):
            return answer
        if time.monotonic() > deadline:
            raise AssertionError(f"waited {seconds} s; the last answer was {answer}")
        time.sleep(0.3)
