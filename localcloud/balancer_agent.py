"""What runs inside a balancer's container: haproxy, the health checks of its targets, and who may get requests.

Only the standard library: the file is mounted into the container and run by its Python. It goes on when the local
cloud's server is restarted. Over a Unix socket it takes what the API asks for and answers what it sees, one line of
JSON each way; nothing else is kept between calls but what haproxy and the checks know.

Targets come and go through haproxy's run-time interface, and listeners and rules through a reload that keeps old
connections: neither drops a request. Only targets found healthy get requests, or, as on AWS, all unhealthy ones if
there are no others. States, reasons and thresholds are those of
https://docs.aws.amazon.com/elasticloadbalancing/latest/application/target-group-health-checks.html
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import re
import signal
import ssl
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

log = logging.getLogger("balancer")

RUN = Path("/run/haproxy")
SERVERS = re.compile(r"^[ \t]*#servers (?P<backend>\S+)$", re.MULTILINE)
# One check more than a target's own requests may be waiting for this long at most.
RELOAD_SECONDS = 20.0
SOCKET_SECONDS = 5.0


@dataclass(frozen=True)
class Check:
    """How the targets of a group are checked.

    Attributes:
        protocol: ``HTTP`` or ``HTTPS``.
        port: None for the port of the traffic.
        path: Path asked for.
        matcher: Codes that count as healthy, such as ``200,301-399``.
        interval: Seconds from one check to the next.
        timeout: Seconds that a check may take.
        healthy: Checks in a row that make an unhealthy target healthy.
        unhealthy: Checks in a row that make a target unhealthy.
    """

    protocol: str
    port: int | None
    path: str
    matcher: str
    interval: float
    timeout: float
    healthy: int
    unhealthy: int

    def accepts(self, code: int) -> bool:
        """Whether a status counts as healthy."""
        for part in self.matcher.split(","):
            first, _, last = part.strip().partition("-")
            if int(first) <= code <= int(last or first):
                return True
        return False


@dataclass(frozen=True)
class Outcome:
    """What one check found: no reason means healthy."""

    reason: str | None = None
    description: str | None = None


PASSED = Outcome()
FAILED = Outcome("Target.FailedHealthChecks", "Health checks failed")
TIMED_OUT = Outcome("Target.Timeout", "Request timed out")


@dataclass
class Health:
    """Health of one target, from the checks so far."""

    state: str = "initial"
    reason: str | None = "Elb.InitialHealthChecking"
    description: str | None = "Initial health checks in progress"
    passed: int = 0
    failed: int = 0

    def note(self, outcome: Outcome, check: Check) -> bool:
        """Take in a check; returns whether the state changed.

        The first passed check makes a new target healthy; afterwards the thresholds count.
        """
        before = self.state
        if outcome.reason is None:
            self.passed, self.failed = self.passed + 1, 0
            if self.state == "initial" or self.passed >= check.healthy:
                self.state, self.reason, self.description = "healthy", None, None
        else:
            self.passed, self.failed = 0, self.failed + 1
            if self.failed >= check.unhealthy:
                self.state = "unhealthy"
            if self.state == "unhealthy":
                self.reason, self.description = outcome.reason, outcome.description
        return self.state != before


async def probe(address: str, port: int, check: Check) -> Outcome:
    """Check a target once."""
    try:
        async with asyncio.timeout(check.timeout):
            code = await _ask(address, check.port or port, check)
    except TimeoutError:
        return TIMED_OUT
    except (OSError, ValueError, asyncio.IncompleteReadError):
        return FAILED
    if check.accepts(code):
        return PASSED
    return Outcome("Target.ResponseCodeMismatch", f"Health checks failed with these codes: [{code}]")


async def _ask(address: str, port: int, check: Check) -> int:
    context = None
    if check.protocol == "HTTPS":
        # A balancer does not verify its targets' certificates.
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    reader, writer = await asyncio.open_connection(address, port, ssl=context)
    try:
        writer.write(
            f"GET {check.path} HTTP/1.1\r\nHost: {address}:{port}\r\nUser-Agent: ELB-HealthChecker/2.0\r\n"
            "Accept-Encoding: gzip, compressed\r\nConnection: close\r\n\r\n".encode()
        )
        await writer.drain()
        line = (await reader.readuntil(b"\n")).split(b" ", 2)
        if not line[0].startswith(b"HTTP/"):
            raise ValueError(line)
        return int(line[1])
    finally:
        writer.close()


@dataclass
class Target:
    """A target of one group."""

    key: str
    address: str
    port: int
    options: str
    health: Health = field(default_factory=Health)
    draining: bool = False
    enabled: bool = False
    task: asyncio.Task[None] | None = None

    @property
    def server(self) -> str:
        """Its name in haproxy."""
        return re.sub(r"[^A-Za-z0-9.-]", "_", self.key)

    @property
    def place(self) -> tuple[str, int, str]:
        """How it is reached."""
        return self.address, self.port, self.options

    @property
    def line(self) -> str:
        """Its line in haproxy's configuration."""
        state = "" if self.enabled else " disabled"
        return f"    server {self.server} {self.address}:{self.port} {self.options}{state}".rstrip()


@dataclass
class Group:
    """A target group as a backend of haproxy."""

    backend: str
    check: Check | None
    targets: dict[str, Target] = field(default_factory=dict)
    # Servers of haproxy that are no targets any more, until their last request is done.
    leaving: set[str] = field(default_factory=set)

    def wanted(self) -> set[str]:
        """Keys of the targets that get requests."""
        usable = [target for target in self.targets.values() if not target.draining]
        healthy = {target.key for target in usable if target.health.state == "healthy"}
        return healthy or {target.key for target in usable if target.health.state == "unhealthy"}


class Haproxy:
    """The haproxy of this container."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.process: asyncio.subprocess.Process | None = None
        self.digest: str | None = None

    async def load(self, digest: str, groups: dict[str, Group]) -> str | None:
        """Start with the folder's configuration, or change over to it; returns what is wrong with it, if anything."""
        text = (self._folder / "haproxy.cfg").read_text(encoding="utf-8")
        text = SERVERS.sub(lambda match: _server_lines(groups.get(match["backend"])), text)
        fresh = RUN / "haproxy.cfg.new"
        fresh.write_text(text, encoding="utf-8")
        verdict = await _run("haproxy", "-c", "-q", "-f", str(fresh))
        if verdict:
            return verdict
        fresh.replace(RUN / "haproxy.cfg")
        if self.process is None:
            self.process = await asyncio.create_subprocess_exec(
                "haproxy", "-W", "-S", str(RUN / "master.sock"), "-f", str(RUN / "haproxy.cfg")
            )
            await _appears(RUN / "admin.sock")
        else:
            answer = await ask_socket(RUN / "master.sock", "reload", RELOAD_SECONDS)
            if "Success=1" not in answer:
                return answer.strip()
        self.digest = digest
        log.info("configuration %s loaded", digest)
        return None

    async def command(self, *commands: str) -> str:
        """Run-time commands; returns what haproxy answered."""
        return await ask_socket(RUN / "admin.sock", ";".join(commands))

    async def sessions(self) -> dict[tuple[str, str], int]:
        """Requests under way to each server, over all workers that still have any."""
        counts: dict[tuple[str, str], int] = {}
        listing = await ask_socket(RUN / "master.sock", "show proc")
        workers = [line.split()[0] for line in listing.splitlines() if re.match(r"^\d+\s+worker", line)]
        for pid in workers:
            text = await ask_socket(RUN / "master.sock", f"@!{pid} show stat -1 4 -1")
            for line in text.splitlines():
                fields = line.split(",")
                if len(fields) > 4 and not line.startswith("#"):
                    key = (fields[0], fields[1])
                    counts[key] = counts.get(key, 0) + int(fields[4] or 0) + int(fields[2] or 0)
        return counts


def _server_lines(group: Group | None) -> str:
    return "" if group is None else "\n".join(target.line for target in group.targets.values())


async def _run(*command: str) -> str | None:
    """Run a program; returns its complaint if it fails."""
    process = await asyncio.create_subprocess_exec(
        *command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    output, _ = await process.communicate()
    return None if process.returncode == 0 else output.decode(errors="replace").strip() or "failed"


async def _appears(path: Path) -> None:
    async with asyncio.timeout(RELOAD_SECONDS):
        while True:
            with contextlib.suppress(OSError):
                await ask_socket(path, "show version")
                return
            await asyncio.sleep(0.02)


async def ask_socket(path: Path, command: str, seconds: float = SOCKET_SECONDS) -> str:
    """One command over one of haproxy's sockets."""
    async with asyncio.timeout(seconds):
        reader, writer = await asyncio.open_unix_connection(str(path))
        try:
            writer.write(f"{command}\n".encode())
            # The master's socket would otherwise wait for the next command.
            writer.write_eof()
            return (await reader.read()).decode(errors="replace")
        finally:
            writer.close()


class Agent:
    """Brings haproxy in line with what was asked for and with the health of the targets."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._haproxy = Haproxy(folder)
        self._groups: dict[str, Group] = {}
        self._lock = asyncio.Lock()
        self._error: str | None = None
        self._refused: str | None = None

    async def apply(self, request: dict[str, Any]) -> dict[str, Any]:
        """Take in what is asked for; returns what is seen."""
        async with self._lock:
            await self._sync(request)
            return await self._report()

    async def _sync(self, request: dict[str, Any]) -> None:
        digest, wanted = request["digest"], request["groups"]
        reload = digest != self._haproxy.digest
        for backend in [entry for entry in self._groups if entry not in wanted]:
            for target in self._groups.pop(backend).targets.values():
                _stop(target)
        for backend, entry in wanted.items():
            check = Check(**entry["check"]) if entry["check"] else None
            group = self._groups.setdefault(backend, Group(backend, check))
            changed, group.check = group.check != check, check
            await self._sync_targets(group, entry["targets"], restart=changed, running=not reload)
        if reload and digest != self._refused:
            self._error = await self._haproxy.load(digest, self._groups)
            self._refused = digest if self._error else None
            if self._error:
                log.error("configuration %s refused: %s", digest, self._error)
        if self._haproxy.digest is not None:
            for group in self._groups.values():
                await self._enable(group)

    async def _sync_targets(self, group: Group, wanted: dict[str, Any], *, restart: bool, running: bool) -> None:
        for key in [entry for entry in group.targets if entry not in wanted]:
            target = group.targets.pop(key)
            _stop(target)
            group.leaving.add(target.server)
        for key, entry in wanted.items():
            known = group.targets.get(key)
            target = Target(key, entry["address"], entry["port"], entry["options"])
            if known is not None and known.place == target.place:
                target = known
            else:
                if known is not None:
                    _stop(known)
                group.targets[key] = target
                await self._add(group, target, running=running)
            if entry["draining"]:
                target.draining = True
                _stop(target)
            elif target.draining:
                target.draining, target.health = False, Health()
            if group.check is None and target.health.state != "healthy":
                target.health = Health("healthy", None, None)
            if group.check and not target.draining and (restart or target.task is None):
                _stop(target)
                target.task = asyncio.create_task(self._watch(group, target, group.check))

    async def _add(self, group: Group, target: Target, *, running: bool) -> None:
        if not running or self._haproxy.digest is None:
            return
        path = f"{group.backend}/{target.server}"
        group.leaving.discard(target.server)
        await self._haproxy.command(f"set server {path} state maint", f"del server {path}")
        answer = await self._haproxy.command(
            f"add server {path} {target.address}:{target.port} {target.options}".rstrip()
        )
        if "New server registered" not in answer:
            log.error("server %s: %s", path, answer.strip())

    async def _watch(self, group: Group, target: Target, check: Check) -> None:
        loop = asyncio.get_running_loop()
        while True:
            started = loop.time()
            outcome = await probe(target.address, target.port, check)
            if target.health.note(outcome, check):
                log.info("%s %s is %s (%s)", group.backend, target.key, target.health.state, target.health.description)
                async with self._lock:
                    await self._enable(group)
            await asyncio.sleep(max(0.05, started + check.interval - loop.time()))

    async def _enable(self, group: Group) -> None:
        """Let the right targets have requests, and remove what has left."""
        if self._haproxy.digest is None:
            return
        wanted = group.wanted()
        # First who may, then who may not: no moment without a server.
        for target in sorted(group.targets.values(), key=lambda entry: entry.key not in wanted):
            enabled = target.key in wanted
            if enabled != target.enabled:
                state = "ready" if enabled else "maint"
                await self._haproxy.command(f"set server {group.backend}/{target.server} state {state}")
                target.enabled = enabled
        for server in list(group.leaving):
            path = f"{group.backend}/{server}"
            answer = await self._haproxy.command(f"set server {path} state maint", f"del server {path}")
            if "Server deleted" in answer or "No such server" in answer:
                group.leaving.discard(server)

    async def _report(self) -> dict[str, Any]:
        draining = any(target.draining for group in self._groups.values() for target in group.targets.values())
        sessions = await self._haproxy.sessions() if draining and self._haproxy.digest is not None else {}
        return {
            "digest": self._haproxy.digest,
            "error": self._error,
            "groups": {
                group.backend: {
                    target.key: {
                        "state": "draining" if target.draining else target.health.state,
                        "reason": target.health.reason,
                        "description": target.health.description,
                        "sessions": sessions.get((group.backend, target.server), 0),
                    }
                    for target in group.targets.values()
                }
                for group in self._groups.values()
            },
        }

    async def serve(self) -> None:
        """Answer on the socket until told to stop, or until haproxy ends."""
        stopping = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stopping.set)
        path = self._folder / "agent.sock"
        path.unlink(missing_ok=True)
        server = await asyncio.start_unix_server(self._answer, str(path), limit=2**24)
        waits = {asyncio.create_task(stopping.wait()), asyncio.create_task(self._haproxy_ends())}
        async with server:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        if (process := self._haproxy.process) is not None and process.returncode is None:
            # SIGUSR1 lets haproxy finish its requests; podman kills what takes longer than the stop's time.
            process.send_signal(signal.SIGUSR1 if stopping.is_set() else signal.SIGTERM)
            await process.wait()

    async def _haproxy_ends(self) -> None:
        while self._haproxy.process is None:
            await asyncio.sleep(0.2)
        await self._haproxy.process.wait()
        log.error("haproxy ended with %s", self._haproxy.process.returncode)

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while line := await reader.readline():
                writer.write(json.dumps(await self.apply(json.loads(line))).encode() + b"\n")
                await writer.drain()
        except (ConnectionError, TimeoutError, OSError) as error:
            log.warning("a call broke off: %s", error)
        finally:
            writer.close()


def _stop(target: Target) -> None:
    if target.task is not None:
        target.task.cancel()
        target.task = None


def main() -> None:
    """Run until told to stop."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s", stream=sys.stdout)
    RUN.mkdir(parents=True, exist_ok=True)
    asyncio.run(Agent(Path(sys.argv[1])).serve())


if __name__ == "__main__":
    main()
