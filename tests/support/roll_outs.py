"""Roll-outs of a deployed site that are under way."""

import contextlib
import os
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from demo.phases import REPOSITORY
from support.site import Site
from support.waiting import until


def refreshes(site: Site) -> list[dict[str, Any]]:
    """The roll-outs of a site, the newest first."""
    answer = site.client("autoscaling").describe_instance_refreshes(AutoScalingGroupName=site.name)
    found: list[dict[str, Any]] = answer["InstanceRefreshes"]
    return found


@dataclass
class RollOut:
    """A run of the playbook whose roll-out has begun; it has printed its output once the ``with`` block has ended."""

    process: subprocess.Popen[str]
    output: str = ""


@contextlib.contextmanager
def roll_out(site: Site, variables: dict[str, Any]) -> Iterator[RollOut]:
    """Run the application's playbook, and enter the block when the roll-out is under way."""
    known = {refresh["InstanceRefreshId"] for refresh in refreshes(site)}
    with subprocess.Popen(
        site.demo.playbook_command(site.demo.application, **variables),
        cwd=REPOSITORY,
        env={**os.environ, **site.demo.aws_environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    ) as process:
        try:
            until(
                "a roll-out",
                lambda: any(
                    refresh["InstanceRefreshId"] not in known and refresh["Status"] == "InProgress"
                    for refresh in refreshes(site)
                ),
                240,
            )
            run = RollOut(process)
            yield run
            run.output, _ = process.communicate(timeout=600)
        finally:
            process.kill()
