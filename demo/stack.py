"""One application on one local cloud, from an empty machine to a served site.

What is done is decided by what is there: a cloud that runs is kept, an image is baked only if its sources have
changed since, and the playbook reports no change when there is none.
"""

import hashlib
import json
import os
import shutil
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import boto3
from botocore.exceptions import ClientError

from demo import artefacts
from demo.phases import REPOSITORY, PhaseError, phase, program, read, run
from localcloud.settings import Settings

BUILD = REPOSITORY / "build" / "demo"
INVENTORY = "inventory/local"
# As in inventory/local: the local cloud takes any credentials, and these open nothing.
CREDENTIALS = {"AWS_ACCESS_KEY_ID": "localcloud", "AWS_SECRET_ACCESS_KEY": "localcloud-secret-key"}
# What an image is made of.
SOURCES = (
    "roles",
    "plugins",
    "playbooks/image.yml",
    "playbooks/configure.yml",
    "packer",
    "inventory/local",
    "galaxy.yml",
)


@dataclass
class Demo:
    """An application's demo.

    Attributes:
        application: Its name, as in ``playbooks/<application>.yml``.
        environment: Name of the environment, as inventory/local sets it.
        settings: The local cloud; from the environment's LOCALCLOUD_* variables.
        variables: Extra variables for the application's playbook.
    """

    application: str
    environment: str = "demo"
    settings: Settings = field(default_factory=Settings.from_environment)
    variables: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.application not in artefacts.APPLICATIONS:
            known = ", ".join(artefacts.APPLICATIONS)
            raise PhaseError(f"APP is '{self.application}': there is a demo of {known}.")

    def up(self) -> None:
        """Run every phase and say where the site is."""
        with phase("Starting the local cloud"):
            self.start_cloud()
        with phase(f"Fetching what {self.application} is made of"):
            variables = self.fetch()
        if self.image_is_current(variables):
            print("== The image is current: nothing to bake", flush=True)
        else:
            with phase("Baking the image with Packer (one to four minutes)"):
                self.bake(variables)
                self.publish(variables)
        with phase(f"Deploying {self.environment}-{self.application} with Ansible (one to two minutes)"):
            self.deploy()
        self.tell_what_next()

    def start_cloud(self) -> None:
        """Make the images that stand behind the API, where they are missing, and start the local cloud."""
        for command in (("base-image", "debian-13"), ("database-image", "mariadb"), ("up",)):
            run(program("localcloud"), *command, environment=self.aws_environment)

    def fetch(self, suite: str = "trixie") -> Path:
        """Put the application's code into a bucket of the local cloud.

        Returns:
            A file of role variables that name it.
        """
        source = artefacts.APPLICATIONS[self.application]
        variables = source(self.client("s3"), self.settings.region, suite)
        return artefacts.write_variables(BUILD / self.settings.name / f"{self.application}-{suite}.yml", variables)

    def bake(self, variables: Path, application: str = "") -> None:
        """Bake an image; Packer's manifest tells of it.

        Args:
            variables: File of its role variables.
            application: What it is of, where a stack has machines of several kinds.
        """
        network = self.settings.default_vpc_cidr
        run(
            *(self.packer, "build", "-timestamp-ui"),
            f"-var-file=packer/{application or self.application}.pkrvars.hcl",
            f"-var-file={INVENTORY}/packer.pkrvars.hcl",
            *("-var", f"region={self.settings.region}"),
            *("-var", f"ansible_playbook={program('ansible-playbook')}"),
            *("-var", f"source_cidrs={json.dumps([f'{network[1]}/32'])}"),
            *("-var", f"variable_files={json.dumps([f'{INVENTORY}/image.yml', str(variables)])}"),
            "packer/",
            environment=self.aws_environment,
        )

    def publish(self, variables: Path) -> None:
        """Make the image of the last bake the environment's.

        Unproven, because the demo's own deployment is the first to boot it, a minute later.
        """
        self.playbook("image_publish", image_application=self.application, image_prove=False)
        (BUILD / self.settings.name / f"{self.application}.digest").write_text(_digest(variables))

    def image_is_current(self, variables: Path) -> bool:
        """Whether an image is published that was baked from the sources as they are now."""
        digest = BUILD / self.settings.name / f"{self.application}.digest"
        if not digest.exists() or digest.read_text() != _digest(variables):
            return False
        try:
            self.client("ssm").get_parameter(Name=f"/stackyard/{self.environment}/{self.application}/image")
        except ClientError:
            return False
        return True

    def deploy(self) -> None:
        """Provision or update the stack."""
        self.playbook(self.application)

    def playbook(self, name: str, **variables: Any) -> None:
        """Run one of the playbooks as an operator would."""
        run(*self.playbook_command(name, **variables), environment=self.aws_environment)

    def playbook_command(self, name: str, **variables: Any) -> list[str]:
        """The command that runs a playbook."""
        command = [program("ansible-playbook"), "-i", INVENTORY, f"playbooks/{name}.yml"]
        given = self.variables | variables
        return [*command, "--extra-vars", json.dumps(given)] if given else command

    def stop_cloud(self, *options: str) -> None:
        """Remove the local cloud with all that is in it."""
        run(program("localcloud"), "down", *options, environment=self.aws_environment)
        shutil.rmtree(BUILD / self.settings.name, ignore_errors=True)

    def tell_what_next(self) -> None:
        """Print what a stranger may try."""
        machines = self.machines()
        first = machines[0] if machines else "MACHINE"
        more = f"""
  add one                     .venv/bin/ansible-playbook -i {INVENTORY} playbooks/{self.application}.yml \\
                                -e '{{"{self.application}_stack_machines_min": 3}}'"""
        print(
            f"""
The site is at {self.url}; the lines above say how to see the administrator's password.

Try next:
  kill a machine and watch    .venv/bin/localcloud kill {first}; .venv/bin/localcloud status
  look inside one             .venv/bin/localcloud console {first}{more if self.application == "wordpress" else ""}
  update                      change something under roles/, then make demo
  destroy                     .venv/bin/ansible-playbook -i {INVENTORY} playbooks/{self.application}_destroy.yml \\
                                -e stackyard_confirm={self.environment}-{self.application}
  remove all of it            make demo-down""",
            flush=True,
        )

    def machines(self) -> list[str]:
        """Ids of the stack's running machines."""
        filters = [
            {"Name": "tag:stackyard:environment", "Values": [self.environment]},
            {"Name": "tag:stackyard:application", "Values": [self.application]},
            {"Name": "instance-state-name", "Values": ["running"]},
        ]
        reservations = self.client("ec2").describe_instances(Filters=filters)["Reservations"]
        return [instance["InstanceId"] for entry in reservations for instance in entry["Instances"]]

    @property
    def url(self) -> str:
        """Where the site is published on this machine, as inventory/local has it."""
        first = int(os.environ.get("LOCALCLOUD_HTTP_PORT", "8080"))
        return f"http://127.0.0.1:{first + list(artefacts.APPLICATIONS).index(self.application)}/"

    @property
    def packer(self) -> str:
        """Path of a current Packer."""
        return read("tools/packer/obtain").splitlines()[-1]

    @property
    def aws_environment(self) -> dict[str, str]:
        """How any AWS tool, the inventory and the command line reach the local cloud."""
        return {
            **CREDENTIALS,
            "LOCALCLOUD_NAME": self.settings.name,
            "LOCALCLOUD_PORT": str(self.settings.port),
            "LOCALCLOUD_STATE": str(self.settings.state),
            "LOCALCLOUD_DEFAULT_VPC_CIDR": str(self.settings.default_vpc_cidr),
            "AWS_ENDPOINT_URL": self.settings.endpoint,
            "AWS_REGION": self.settings.region,
            # The calls take no time here, so that Packer need not wait 15 s between two.
            "AWS_POLL_DELAY_SECONDS": "1",
            "ANSIBLE_CONFIG": str(REPOSITORY / "ansible.cfg"),
        }

    def client(self, service: str) -> Any:
        """A boto3 client of the local cloud."""
        return boto3.client(
            service,
            endpoint_url=self.settings.endpoint,
            region_name=self.settings.region,
            aws_access_key_id=CREDENTIALS["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=CREDENTIALS["AWS_SECRET_ACCESS_KEY"],
        )


def _digest(variables: Path) -> str:
    """SHA-256 over all that an image is made of."""
    digest = hashlib.sha256()
    for path in _files((*(REPOSITORY / name for name in SOURCES), REPOSITORY / variables)):
        digest.update(str(path).encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()


def _files(paths: Iterable[Path]) -> list[Path]:
    found: set[Path] = set()
    for path in paths:
        found.update(entry for entry in path.rglob("*") if entry.is_file()) if path.is_dir() else found.add(path)
    return sorted(path for path in found if "__pycache__" not in path.parts and "manifests" not in path.parts)
