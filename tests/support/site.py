"""A deployed stack, seen from outside: its playbooks, its machines, its secrets."""

import json
import os
import re
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from demo.phases import REPOSITORY, program
from demo.stack import Demo
from support.waiting import until

LOGS = REPOSITORY / "build" / "logs"
HEALTHY_SECONDS = 180


@dataclass
class Run:
    """One run of a playbook.

    Attributes:
        output: What it printed, errors included.
        changed: Tasks that reported a change on localhost.
        seconds: Wall clock.
    """

    status: int
    output: str
    seconds: float

    @property
    def changed(self) -> int:
        """The number of changed tasks in the recap."""
        found = re.search(r"^localhost\s+:.*changed=(\d+)", self.output, re.MULTILINE)
        assert found, self.output[-3000:]
        return int(found.group(1))


@dataclass
class Site:
    """A deployed stack, seen from outside.

    Attributes:
        demo: The demo that made it.
        first_run: The deploy on the empty account, at ``-vvv``.
        variables: File of the role variables that its image was baked with.
    """

    demo: Demo
    variables: Path
    first_run: Run | None = None

    @property
    def name(self) -> str:
        return f"{self.demo.environment}-{self.demo.application}"

    @property
    def url(self) -> str:
        return self.demo.url

    def client(self, service: str) -> Any:
        return self.demo.client(service)

    def playbook(self, name: str, *arguments: str, check: bool = True, **variables: Any) -> Run:
        """Run a playbook and keep its output under build/logs."""
        began = time.monotonic()
        done = subprocess.run(
            [*self.demo.playbook_command(name, **variables), *arguments],
            cwd=REPOSITORY,
            env={**os.environ, **self.demo.aws_environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=900,
            check=False,
        )
        run = Run(done.returncode, done.stdout, time.monotonic() - began)
        LOGS.mkdir(parents=True, exist_ok=True)
        (LOGS / f"{name}-{time.strftime('%H%M%S')}.log").write_text(run.output)
        assert not check or run.status == 0, run.output[-6000:]
        return run

    def group(self) -> dict[str, Any]:
        """The Auto Scaling group as the API tells of it."""
        groups = self.client("autoscaling").describe_auto_scaling_groups(AutoScalingGroupNames=[self.name])
        found: dict[str, Any] = groups["AutoScalingGroups"][0]
        return found

    def balancer_address(self) -> str:
        """An address of the load balancer's own, in the network of its machines."""
        balancer = self.client("elbv2").describe_load_balancers(Names=[self.name])["LoadBalancers"][0]
        filters = [{"Name": "group-id", "Values": balancer["SecurityGroups"]}]
        interfaces = self.client("ec2").describe_network_interfaces(Filters=filters)["NetworkInterfaces"]
        return str(interfaces[0]["PrivateIpAddress"])

    def in_service(self) -> list[str]:
        """Ids of the machines that are in service and that the balancer finds healthy."""
        group = self.group()
        targets = self.client("elbv2").describe_target_health(TargetGroupArn=group["TargetGroupARNs"][0])
        healthy = {
            entry["Target"]["Id"]
            for entry in targets["TargetHealthDescriptions"]
            if entry["TargetHealth"]["State"] == "healthy"
        }
        return [
            instance["InstanceId"]
            for instance in group["Instances"]
            if instance["LifecycleState"] == "InService" and instance["InstanceId"] in healthy
        ]

    def wait_healthy(self, count: int = 2, without: set[str] | None = None, seconds: float = HEALTHY_SECONDS) -> float:
        """Wait until exactly so many machines serve, none of them among ``without``; returns the seconds it took.

        Machines that are leaving do not count: a dead one cannot complete its terminate hook, which waits out its time.
        """
        began = time.monotonic()

        def settled() -> bool:
            serving = set(self.in_service())
            staying = [
                entry for entry in self.group()["Instances"] if not entry["LifecycleState"].startswith("Terminating")
            ]
            return len(serving) == count == len(staying) and not serving & (without or set())

        until(f"{count} healthy machines of {self.name}", settled, seconds)
        return time.monotonic() - began

    def shell(self, machine: str, command: str, check: bool = True) -> str:
        """Run a command as root on a machine."""
        done = subprocess.run(
            ["podman", "exec", machine, "/bin/sh", "-c", command],
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert not check or done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
        return done.stdout

    def localcloud(self, *arguments: str) -> str:
        """Run the local cloud's command line; returns what it printed."""
        done = subprocess.run(
            [program("localcloud"), *arguments],
            env={**os.environ, **self.demo.aws_environment},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def containers(self) -> list[dict[str, Any]]:
        """What runs behind the API."""
        found: list[dict[str, Any]] = json.loads(self.localcloud("status", "--json"))["containers"]
        return found

    def files_with(self, image: str, values: list[str]) -> list[str]:
        """Files of an image's own file system that hold one of the values."""
        reference = f"{self.demo.settings.image_repository}:{image}"
        mounted = subprocess.run(
            ["podman", "image", "mount", reference], capture_output=True, text=True, timeout=60, check=True
        ).stdout.strip()
        try:
            found = subprocess.run(
                ["grep", "-rlF", *(word for value in values for word in ("-e", value)), mounted],
                capture_output=True,
                text=True,
                timeout=300,
                check=False,
            )
        finally:
            subprocess.run(["podman", "image", "unmount", reference], capture_output=True, timeout=60, check=True)
        return found.stdout.splitlines()

    def secret(self, name: str) -> str:
        """The value of one of the stack's secrets."""
        value = self.client("secretsmanager").get_secret_value(
            SecretId=f"stackyard/{self.demo.environment}/{self.demo.application}/{name}"
        )
        return str(value["SecretString"])
