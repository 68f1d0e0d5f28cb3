"""localcloud: AWS's API on this machine, with real systemd machines behind it.

Settings come from the environment: LOCALCLOUD_NAME, LOCALCLOUD_PORT, LOCALCLOUD_STATE, LOCALCLOUD_DEFAULT_VPC_CIDR,
LOCALCLOUD_REGION.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable
from typing import Any

from localcloud import base_images, database_images, lifecycle, limits
from localcloud.console import console_path, console_tail
from localcloud.network import NetworkError
from localcloud.podman import Podman, PodmanError
from localcloud.prerequisites import PrerequisiteError, check_platform, check_programs
from localcloud.settings import Settings, SettingsError

EXPECTED = (
    SettingsError, PrerequisiteError, lifecycle.LifecycleError, base_images.BaseImageError, PodmanError, NetworkError,
)  # fmt: skip


class UsageError(RuntimeError):
    """The command cannot be carried out; the text is one sentence."""


def main(arguments: list[str] | None = None) -> int:
    """Run one command; returns the exit status."""
    options = _parser().parse_args(arguments)
    command: Callable[[Settings, argparse.Namespace], int] = options.run
    try:
        return command(Settings.from_environment(), options)
    except (*EXPECTED, UsageError) as error:
        print(f"localcloud: {error}", file=sys.stderr)
        return 1
    except BrokenPipeError:
        # The reader (head, less) has seen enough.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="localcloud", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def add(name: str, run: Callable[[Settings, argparse.Namespace], int], text: str | None) -> argparse.ArgumentParser:
        # Without a text a command stays out of the help.
        named: dict[str, Any] = {"help": text} if text else {}
        sub = commands.add_parser(name, description=text, **named)
        sub.set_defaults(run=run)
        return sub

    add("up", _up, "start the local cloud; machines of an earlier run come back")
    down = add("down", _down, "remove the local cloud: machines, images, networks, rules, state")
    down.add_argument("--base-images", action="store_true", help="remove the base machine images too")
    add("restart", _restart, "start the server again; machines go on and the state is kept")
    status = add("status", _status, "show what runs; exit status 3 if the server does not")
    status.add_argument("--json", action="store_true", help="as JSON")
    console = add("console", _console, "open a root shell on a machine")
    console.add_argument("machine", metavar="MACHINE", help="instance id or tag Name")
    logs = add("logs", _logs, "show the server's log, or a machine's console output")
    logs.add_argument("machine", nargs="?", metavar="MACHINE", help="instance id or tag Name")
    kill = add("kill", _kill, "kill a machine as a power failure would")
    kill.add_argument("machine", metavar="MACHINE", help="instance id or tag Name")
    add("limits", _limits, "say what the local cloud does not model")
    base = add("base-image", _base_image, "make a base machine image unless it is there")
    base.add_argument("suite", metavar="SUITE", choices=list(base_images.SUITES), help=", ".join(base_images.SUITES))
    base.add_argument("--force", action="store_true", help="make it again")
    database = add("database-image", _database_image, "make a database server's image unless it is there")
    database.add_argument("server", metavar="SERVER", choices=list(database_images.RECIPES), help="mariadb, postgresql")
    add("serve", _serve, None)
    return parser


def _say(line: str) -> None:
    print(line, flush=True)


def _up(settings: Settings, _options: argparse.Namespace) -> int:
    if lifecycle.up(settings, _say):
        _say(f"the local cloud {settings.name!r} answers at {settings.endpoint}")
    else:
        _say(f"the local cloud {settings.name!r} already answers at {settings.endpoint}")
    return 0


def _down(settings: Settings, options: argparse.Namespace) -> int:
    check_platform()
    check_programs()
    found = lifecycle.down(settings, _say, with_base_images=options.base_images)
    _say(f"the local cloud {settings.name!r} is gone" if found else f"there is no local cloud {settings.name!r}")
    return 0


def _restart(settings: Settings, _options: argparse.Namespace) -> int:
    lifecycle.stop(settings)
    return _up(settings, _options)


def _status(settings: Settings, options: argparse.Namespace) -> int:
    server = lifecycle.running_server(settings)
    containers = [] if os.geteuid() else Podman(settings).containers()
    machines = _instances(settings) if server else {}
    if options.json:
        print(
            json.dumps(
                {
                    "name": settings.name,
                    "endpoint": settings.endpoint,
                    "running": server is not None,
                    "pid": server.pid if server else None,
                    "state": str(settings.state),
                    "containers": [
                        {"name": entry.name, "kind": entry.kind, "id": entry.id, "running": entry.running}
                        for entry in containers
                    ],
                    "instances": list(machines.values()),
                },
                indent=2,
            )
        )
        return 0 if server else 3
    if server:
        _say(f"{settings.name}: {settings.endpoint}, process {server.pid}, state in {settings.state}")
    else:
        _say(f"{settings.name}: not running")
    for entry in containers:
        machine = machines.get(entry.id, {})
        words = [entry.kind, entry.name, "running" if entry.running else "stopped"]
        words += [machine[key] for key in ("address", "zone", "name") if machine.get(key)]
        _say("  " + "  ".join(words))
    return 0 if server else 3


def _console(settings: Settings, options: argparse.Namespace) -> int:
    machine = _find(settings, options.machine)
    terminal = ["--tty"] if sys.stdin.isatty() else []
    command = ["podman", "exec", "--interactive", *terminal, machine, "/bin/bash", "--login"]
    os.execvp(command[0], command)  # noqa: S606 (argument list)


def _logs(settings: Settings, options: argparse.Namespace) -> int:
    if options.machine:
        path = console_path(settings.state, options.machine)
        if not path.exists():
            # By its name then; the id of a machine that has ended is known by its console only.
            path = console_path(settings.state, _find(settings, options.machine))
        print(console_tail(path, 1 << 20), end="")
        return 0
    try:
        with lifecycle.log_file(settings).open(encoding="utf-8", errors="replace") as file:
            for line in file:
                print(line, end="")
    except FileNotFoundError:
        raise UsageError(f"There is no local cloud {settings.name!r}: run `localcloud up`.") from None
    return 0


def _kill(settings: Settings, options: argparse.Namespace) -> int:
    machine = _find(settings, options.machine)
    Podman(settings)("kill", "--signal=KILL", machine)
    _say(f"{machine} killed")
    return 0


def _limits(_settings: Settings, _options: argparse.Namespace) -> int:
    print(limits.text(), end="")
    return 0


def _base_image(_settings: Settings, options: argparse.Namespace) -> int:
    check_platform()
    check_programs()
    made = base_images.build(options.suite, _say, force=options.force)
    _say(f"{base_images.reference(options.suite)} {'made' if made else 'is there'}")
    return 0


def _database_image(_settings: Settings, options: argparse.Namespace) -> int:
    check_platform()
    check_programs()
    made = database_images.build(options.server, _say)
    _say(f"{database_images.reference(options.server)} {'made' if made else 'is there'}")
    return 0


def _serve(settings: Settings, _options: argparse.Namespace) -> int:
    # Only the server needs moto, which takes seconds to import.
    from localcloud.server import serve  # noqa: PLC0415

    serve(settings)
    return 0


def _instances(settings: Settings) -> dict[str, dict[str, str]]:
    """The instances that are not terminated, by id."""
    import boto3  # noqa: PLC0415 (slow to import, and most commands do without)

    ec2 = boto3.client(
        "ec2",
        region_name=settings.region,
        endpoint_url=settings.endpoint,
        aws_access_key_id="localcloud",
        aws_secret_access_key="localcloud",  # noqa: S106 (accepted by anyone who reaches the port)
    )
    found = {}
    for page in ec2.get_paginator("describe_instances").paginate():
        for instance in (entry for reservation in page["Reservations"] for entry in reservation["Instances"]):
            if instance["State"]["Name"] != "terminated":
                tags = {tag["Key"]: tag["Value"] for tag in instance.get("Tags", [])}
                found[instance["InstanceId"]] = {
                    "id": instance["InstanceId"],
                    "name": tags.get("Name", ""),
                    "state": instance["State"]["Name"],
                    "address": instance.get("PrivateIpAddress", ""),
                    "zone": instance["Placement"]["AvailabilityZone"],
                    "image": instance["ImageId"],
                }
    return found


def _find(settings: Settings, text: str) -> str:
    """The machine that is meant by an id or a name."""
    names = {entry.name for entry in Podman(settings).containers("machine")}
    if text in names:
        return text
    instances = _instances(settings) if lifecycle.running_server(settings) else {}
    matches = [entry["id"] for entry in instances.values() if entry["name"] == text and entry["id"] in names]
    if len(matches) == 1:
        return matches[0]
    what = f"{len(matches)} machines are named {text!r}" if matches else f"There is no machine {text!r}"
    known = f": use one of {', '.join(sorted(names))}." if names else ": none runs."
    raise UsageError(what + known)
