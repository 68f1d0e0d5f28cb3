"""A deployed stack, seen from outside: its playbooks, its machines, its secrets."""

import contextlib
import json
import os
import re
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from demo.artefacts import write_variables
from demo.phases import REPOSITORY, program
from demo.stack import BUILD, Demo
from support.figures import record
from support.local_cloud import free_port, new_cloud
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
        machines: How many serve.
    """

    demo: Demo
    variables: Path
    machines: int = 1
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
        """Ids of the machines in service that the group, and the balancer if there is one, find healthy."""
        group = self.group()
        serving = {
            instance["InstanceId"]
            for instance in group["Instances"]
            if (instance["LifecycleState"], instance["HealthStatus"]) == ("InService", "Healthy")
        }
        for target_group in group["TargetGroupARNs"]:
            targets = self.client("elbv2").describe_target_health(TargetGroupArn=target_group)
            serving &= {
                entry["Target"]["Id"]
                for entry in targets["TargetHealthDescriptions"]
                if entry["TargetHealth"]["State"] == "healthy"
            }
        return sorted(serving)

    def wait_healthy(
        self, count: int | None = None, without: set[str] | None = None, seconds: float = HEALTHY_SECONDS
    ) -> float:
        """Wait until exactly so many machines serve, none of them among ``without``; returns the seconds it took.

        As many as the site has when no number is given. Machines that are leaving do not count: a dead one cannot
        complete its terminate hook, which waits out its time.
        """
        began, count = time.monotonic(), self.machines if count is None else count

        def settled() -> bool:
            serving = set(self.in_service())
            staying = [
                entry for entry in self.group()["Instances"] if not entry["LifecycleState"].startswith("Terminating")
            ]
            return len(serving) == count == len(staying) and not serving & (without or set())

        until(f"{count} healthy machines of {self.name}", settled, seconds)
        return time.monotonic() - began

    def boot_seconds(self) -> float:
        """Seconds from the launch of a machine in service until it completed its own hook, being healthy."""
        machine = self.in_service()[0]
        activities = self.client("autoscaling").describe_scaling_activities(AutoScalingGroupName=self.name)
        wanted = f"Launching a new EC2 instance: {machine}"
        [launch] = [entry for entry in activities["Activities"] if entry["Description"] == wanted]
        return float((launch["EndTime"] - launch["StartTime"]).total_seconds())

    def zone(self, machine: str) -> str:
        """The availability zone that a machine is in."""
        reservations = self.client("ec2").describe_instances(InstanceIds=[machine])["Reservations"]
        return str(reservations[0]["Instances"][0]["Placement"]["AvailabilityZone"])

    def leave_zone(self, zone: str) -> None:
        """Let the group launch nothing more in a zone; the stack's playbook takes that back."""
        subnets = self.client("ec2").describe_subnets(SubnetIds=self.group()["VPCZoneIdentifier"].split(","))
        others = [subnet["SubnetId"] for subnet in subnets["Subnets"] if subnet["AvailabilityZone"] != zone]
        self.client("autoscaling").update_auto_scaling_group(
            AutoScalingGroupName=self.name, VPCZoneIdentifier=",".join(others)
        )

    def shell(self, machine: str, command: str, check: bool = True) -> str:
        """Run a command as root on a machine."""
        done = subprocess.run(
            ["podman", "exec", "--user", "root", machine, "/bin/sh", "-c", command],
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert not check or done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
        return done.stdout

    def podman(self, command: str, container: str) -> None:
        """Do to a container what the API has no call for, such as to pause it."""
        subprocess.run(["podman", command, container], capture_output=True, timeout=60, check=True)

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

    def secret_values(self) -> set[str]:
        """Every value of the stack's secrets that is long enough to be one."""
        prefix = f"stackyard/{self.demo.environment}/{self.demo.application}/"
        names = [entry["Name"] for entry in self.client("secretsmanager").list_secrets()["SecretList"]]
        own = [name.removeprefix(prefix) for name in names if name.startswith(prefix)]
        return {value for name in own for value in json.loads(self.secret(name)).values() if len(value) >= 16}


@contextlib.contextmanager
def deployed(
    application: str, machines: int, file_systems: Path | None = None, also: tuple[str, ...] = (), **variables: Any
) -> Iterator[Site]:
    """A stack made by the demo's own phases, on a local cloud of its own that is gone afterwards.

    What the README promises is so what the tests walk on. At the end the log of the local cloud may hold no traceback.

    Args:
        application: Its name.
        machines: How many serve.
        file_systems: Folder for what the local cloud keeps of EFS, in place of one of its own.
        also: Applications whose images its further machines are of.
        variables: Variables of the stack beside those of inventory/local.
    """
    assert os.geteuid() == 0, "these tests need root: run them with sudo"
    cloud = new_cloud()
    patch = pytest.MonkeyPatch()
    patch.setenv("LOCALCLOUD_HTTP_PORT", str(free_port()))
    given = {f"{application}_stack_network_cidr": str(next(cloud.ranges)), **variables}
    demo = Demo(application, settings=cloud.settings, variables=given)
    if file_systems:
        cloud.settings.state.mkdir(parents=True)
        (cloud.settings.state / "filesystems").symlink_to(file_systems)
    demo.start_cloud()
    try:
        site = Site(demo, demo.fetch(), machines)
        began = time.monotonic()
        demo.bake(site.variables)
        record(application, bake_s=time.monotonic() - began)
        demo.publish(site.variables)
        for image in also:
            began = time.monotonic()
            demo.bake(write_variables(BUILD / cloud.settings.name / f"{image}.yml", {}), image)
            record(application, **{f"bake_{image}_s": time.monotonic() - began})
            demo.playbook("image_publish", image_application=image, image_prove=False)
        # At -vvv, because that is the output in which no secret may be found.
        site.first_run = site.playbook(application, "-vvv")
        record(application, deploy_s=site.first_run.seconds)
        site.wait_healthy()
        yield site
    finally:
        log = (cloud.settings.state / "server.log").read_text()
        LOGS.mkdir(parents=True, exist_ok=True)
        (LOGS / f"localcloud-{application}.log").write_text(log)
        demo.stop_cloud()
        patch.undo()
    assert "Traceback" not in log, log[-5000:]
