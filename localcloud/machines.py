"""Instances: systemd containers at the API's own private addresses (``virtual_machines`` for those with a kernel).

What a machine has because it runs here, and not on AWS, is given to it at run time under /run or as a bind mount, so
that none of it is in an image baked from it:

- cloud-init's source of data, on its "kernel command line" (in a container, that of the first process);
- ``AWS_ENDPOINT_URL`` for systemd's units, and through /etc/environment for logins, ``sudo`` and ``cron``;
- the host's bundle of certificate authorities, where the host itself needs one (``SSL_CERT_FILE``);
- its console: systemd's journal, kept in a file as EC2 keeps the serial console's output.

Left out: memory and CPU limits by instance type.
"""

from __future__ import annotations

import os
import shutil
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from botocore.exceptions import ClientError
from moto.ec2.models.instances import StateReason

from localcloud import virtual_machines
from localcloud.base_images import BaseImageError
from localcloud.cloud import Cloud
from localcloud.console import close_console, console_path, console_tail, drop_consoles
from localcloud.network import Network, NetworkError
from localcloud.patches import ec2_instances
from localcloud.podman import Container, PodmanError, limit_options

KIND = "machine"
# Tells the firewall whose address this is while a terminated machine shuts down.
ADDRESS_LABEL = "localcloud.address"
# Without SYS_ADMIN systemd silently drops the sandboxing of units; without SYS_BOOT a reboot cannot be told from a
# poweroff (in its own process namespace, either only ends the container).
CAPABILITIES = "SYS_ADMIN,SYS_BOOT,NET_ADMIN,NET_RAW,AUDIT_WRITE"
# How EC2 gives a machine time to shut down, shortened.
STOP_SECONDS = 30
TERMINATE_SECONDS = 15
# reboot(2) in a process namespace ends its first process by SIGHUP, a poweroff by SIGINT.
EXIT_REBOOT = 129
LAUNCH_ATTEMPTS = 3
AT_ONCE = 4
# No udev answers in a container, so that cloud-init must not wait for hotplugged interfaces.
CLOUD_INIT = (
    "{datasource: {Ec2: {strict_id: false, max_wait: 30, metadata_urls: ['http://169.254.169.254']}},"
    " updates: {network: {when: [boot-new-instance]}}}"
)
CA_PATH = "/run/localcloud/ca-bundle.pem"
CA_VARIABLES = (
    "SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "PIP_CERT", "CURL_CA_BUNDLE", "GIT_SSL_CAINFO", "NODE_EXTRA_CA_CERTS",
)  # fmt: skip


@dataclass(frozen=True)
class Machine:
    """What the API says of an instance.

    Attributes:
        id: The instance's id.
        image_id: Its image.
        address: Its private address.
        mac: Its hardware address.
        host_name: Its private DNS name.
        vpc_id: Its VPC.
        type: Its instance type.
        virtual: Whether it has a kernel of its own.
    """

    id: str
    image_id: str
    address: str
    mac: str
    host_name: str
    vpc_id: str
    type: str
    virtual: bool


class Machines:
    """Keeps a container for every instance that is not terminated."""

    name = "machines"

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud
        self._pool = ThreadPoolExecutor(AT_ONCE, thread_name_prefix="machine")
        self._lock = threading.Lock()
        self._busy: set[str] = set()
        # Seen running by this process: if one of these ends, it ended by itself.
        self._up: set[str] = set()
        self._failures: dict[str, int] = {}
        self._environments: dict[str, str] = {}
        ec2_instances.console_output = self.console

    def reconcile(self) -> None:
        """Start, stop and remove containers; report machines that ended by themselves."""
        containers = {entry.name: entry for entry in self._cloud.podman.containers(KIND)}
        names: dict[str, list[str]] = {}
        with self._cloud.lock:
            instances = {
                instance.id: instance
                for reservation in self._cloud.backend("ec2").reservations.values()
                for instance in reservation.instances
            }
            states = {
                instance_id: (instance.state, ec2_instances.restart_wanted(instance))
                for instance_id, instance in instances.items()
            }
            wanted = {i: _machine(instances[i]) for i, (state, _) in states.items() if state == "running"}
        for instance_id, (state, restart) in states.items():
            container = containers.get(instance_id)
            if state == "running":
                names[wanted[instance_id].host_name] = [wanted[instance_id].address]
                self._keep_running(wanted[instance_id], container, restart)
            elif state == "stopped" and container and container.running:
                self._start_job(instance_id, self._stop)
            elif state == "terminated" and container:
                self._start_job(instance_id, self._remove)
        for name in containers.keys() - instances.keys():
            self._start_job(name, self._remove)
        drop_consoles(self._cloud.state, containers.keys(), time.time())
        self._cloud.dns.set(self.name, names)

    def close(self) -> None:
        """Let what is under way finish."""
        self._pool.shutdown(wait=True)

    def console(self, instance_id: str) -> str:
        """The newest console output of a machine, running or not."""
        return console_tail(self._console_path(instance_id))

    def _keep_running(self, machine: Machine, container: Container | None, restart: str) -> None:
        if self._is_busy(machine.id) or machine.id in self._cloud.held:
            return
        if container is None:
            self._start_job(machine.id, lambda _: self._launch(machine))
        elif container.running:
            self._up.add(machine.id)
            if restart:
                # The host of a machine that is recovered has failed: nothing there shuts down.
                seconds = 0 if restart == "recover" else STOP_SECONDS
                self._start_job(machine.id, lambda _: self._restart(machine.id, seconds))
        elif machine.id in self._up:
            self._start_job(machine.id, lambda _: self._ended(machine))
        else:
            self._start_job(machine.id, self._start)

    def _is_busy(self, instance_id: str) -> bool:
        with self._lock:
            return instance_id in self._busy

    def _start_job(self, instance_id: str, job: Callable[[str], None]) -> None:
        """Do something about one machine, beside the reconciler; one thing at a time for each."""
        with self._lock:
            if instance_id in self._busy:
                return
            self._busy.add(instance_id)
        self._pool.submit(self._run_job, instance_id, job)

    def _run_job(self, instance_id: str, job: Callable[[str], None]) -> None:
        try:
            job(instance_id)
        except Exception:
            self._cloud.log.exception("machine %s", instance_id)
            # The next tick tries again; not at once.
            time.sleep(1)
        finally:
            with self._lock:
                self._busy.discard(instance_id)
            self._cloud.podman.forget()
            self._cloud.dirty()

    def _launch(self, machine: Machine) -> None:
        started = time.monotonic()
        try:
            reference = self._image_reference(machine.image_id)
            self._run(machine, reference)
        except LaunchError as error:
            self._fail(machine, str(error))
            return
        except (PodmanError, NetworkError, BaseImageError) as error:
            self._failures[machine.id] = self._failures.get(machine.id, 0) + 1
            self._cloud.log.warning("machine %s: %s", machine.id, error)
            self._cloud.podman.remove(machine.id)
            if self._failures[machine.id] >= LAUNCH_ATTEMPTS or isinstance(error, NetworkError):
                self._fail(machine, str(error))
            return
        self._up.add(machine.id)
        seconds = time.monotonic() - started
        self._cloud.log.info("machine %s (%s) runs at %s after %.1f s", machine.id, reference, machine.address, seconds)

    def _image_reference(self, image_id: str) -> str:
        with self._cloud.lock:
            image = self._cloud.backend("ec2").amis.get(image_id)
            reference = ec2_instances.image_reference(image) if image else None
        if reference is None or not self._cloud.podman.image_exists(reference):
            raise LaunchError(
                f"image {image_id} has no file system here"
                + (f": run `localcloud base-image {reference.rpartition(':')[2]}`" if reference else "")
            )
        return reference

    def _run(self, machine: Machine, reference: str) -> None:
        network = self._cloud.network(machine.vpc_id)
        environment = self._environment(network.resolver, machine.virtual)
        folder = self._write_files(machine, reference, environment)
        console = self._console_path(machine.id)
        console.parent.mkdir(parents=True, exist_ok=True)
        if machine.virtual:
            virtual_machines.IMAGE.build(self._cloud.log.info)
            own = virtual_machines.options(machine, network, reference, folder)
        else:
            own = self._container_options(machine, network, reference, folder, environment)
        self._cloud.podman(
            "run", "--detach", "--tty", f"--name={machine.id}", *self._cloud.podman.labels(KIND, machine.id),
            f"--label={ADDRESS_LABEL}={machine.address}", f"--network={network.name}", f"--ip={machine.address}",
            *limit_options(), "--log-driver=k8s-file", f"--log-opt=path={console}", "--log-opt=max-size=8mb", *own,
        )  # fmt: skip

    def _container_options(
        self, machine: Machine, network: Network, reference: str, folder: Path, environment: dict[str, str]
    ) -> list[str]:
        """What ``podman run`` is told of a machine that is a container; the image and the command come last."""
        volumes = [
            f"{folder}/systemd.conf:/run/systemd/system.conf.d/localcloud.conf:ro",
            f"{folder}/journald.conf:/run/systemd/journald.conf.d/localcloud.conf:ro",
            f"{folder}/environment:/etc/environment:ro",
            f"{folder}/sudoers:/etc/sudoers.d/localcloud:ro",
            *self._cloud.machine_volumes,
        ]
        if bundle := os.environ.get("SSL_CERT_FILE"):
            volumes.append(f"{bundle}:{CA_PATH}:ro")
        return [
            f"--mac-address={machine.mac}", f"--hostname={machine.host_name.partition('.')[0]}", "--no-hosts",
            f"--dns={network.resolver}", f"--dns-search={machine.host_name.partition('.')[2]}", "--systemd=always",
            # Volumes are loop devices, which come and go while a machine runs.
            f"--cap-add={CAPABILITIES}", "--device-cgroup-rule=b 7:* rw", *(f"--volume={volume}" for volume in volumes),
            *(f"--env={name}={value}" for name, value in environment.items()),
            reference, "/sbin/init", "network-config=disabled", f"cc:{CLOUD_INIT}end_cc",
        ]  # fmt: skip

    def _environment(self, resolver: str, virtual: bool) -> dict[str, str]:
        environment = {"AWS_ENDPOINT_URL": f"http://{resolver}:{self._cloud.settings.port}"}
        # A virtual machine boots a finished image, which fetches nothing from outside.
        if os.environ.get("SSL_CERT_FILE") and not virtual:
            environment |= dict.fromkeys(CA_VARIABLES, CA_PATH)
        return environment

    def _write_files(self, machine: Machine, reference: str, environment: dict[str, str]) -> Path:
        folder = self._cloud.state / "machines" / machine.id
        folder.mkdir(parents=True, exist_ok=True)
        variables = [f"{name}={value}" for name, value in environment.items()]
        files = {
            "systemd.conf": f"[Manager]\nDefaultEnvironment={' '.join(variables)}\n",
            "journald.conf": "[Journal]\nForwardToConsole=yes\nMaxLevelConsole=info\n",
            # Packer's provisioners work through sudo, which drops what it is not told to keep.
            "sudoers": f'Defaults env_keep += "{" ".join(environment)}"\n',
            "environment": self._image_environment(reference) + "".join(f"{line}\n" for line in variables),
        }
        for name, text in files.items():
            (folder / name).write_text(text, encoding="utf-8")
        (folder / "sudoers").chmod(0o440)
        return folder

    def _image_environment(self, reference: str) -> str:
        """The image's own /etc/environment, which ours is mounted over."""
        image_id = self._cloud.podman("image", "inspect", "--format={{.Id}}", reference).strip()
        if image_id not in self._environments:
            root = Path(self._cloud.podman("image", "mount", reference).strip())
            try:
                path = root / "etc/environment"
                text = path.read_text(encoding="utf-8") if path.is_file() else ""
            finally:
                self._cloud.podman("image", "unmount", reference)
            self._environments[image_id] = text if not text or text.endswith("\n") else f"{text}\n"
        return self._environments[image_id]

    def _start(self, instance_id: str) -> None:
        self._cloud.log.info("machine %s: starting again", instance_id)
        self._cloud.podman("start", instance_id)
        self._up.add(instance_id)

    def _stop(self, instance_id: str, seconds: int = STOP_SECONDS) -> None:
        self._up.discard(instance_id)
        self._cloud.podman("stop", f"--time={seconds}", instance_id, timeout=seconds + 60)
        self._cloud.log.info("machine %s stopped", instance_id)

    def _restart(self, instance_id: str, seconds: int) -> None:
        with self._cloud.lock:
            ec2_instances.restart_begun(self._cloud.backend("ec2").get_instance(instance_id))
        self._stop(instance_id, seconds)
        self._start(instance_id)

    def _remove(self, instance_id: str) -> None:
        self._up.discard(instance_id)
        container = self._cloud.podman.container(instance_id)
        if container and container.running:
            seconds = TERMINATE_SECONDS
            self._cloud.podman("stop", f"--time={seconds}", instance_id, timeout=seconds + 60, check=False)
        self._cloud.podman.remove(instance_id)
        close_console(self._console_path(instance_id))
        shutil.rmtree(self._cloud.state / "machines" / instance_id, ignore_errors=True)
        self._cloud.log.info("machine %s removed", instance_id)

    def _ended(self, machine: Machine) -> None:
        """A machine ended by itself: say so in the API as EC2 would."""
        exit_code = self._cloud.podman.inspect(machine.id)["State"]["ExitCode"]
        if exit_code == EXIT_REBOOT:
            self._start(machine.id)
            return
        self._up.discard(machine.id)
        with self._cloud.lock:
            instance = self._cloud.backend("ec2").get_instance(machine.id)
            if instance.state != "running":
                return
            behaviour = instance.instance_initiated_shutdown_behavior
            self._cloud.log.info("machine %s ended by itself (%s): %s", machine.id, exit_code, behaviour)
            ec2 = self._cloud.client("ec2")
            if behaviour == "terminate":
                self._terminate(instance)
            else:
                ec2.stop_instances(InstanceIds=[machine.id])
            instance.state_reason = StateReason(
                "Client.InstanceInitiatedShutdown: Instance initiated shutdown", "Client.InstanceInitiatedShutdown"
            )

    def _fail(self, machine: Machine, reason: str) -> None:
        """An instance that cannot be launched goes from pending to terminated on EC2."""
        self._cloud.log.error("machine %s cannot be launched: %s", machine.id, reason)
        with self._cloud.lock:
            instance = self._cloud.backend("ec2").get_instance(machine.id)
            self._terminate(instance)
            instance.state_reason = StateReason(f"Server.InternalError: {reason}", "Server.InternalError")

    def _terminate(self, instance: Any) -> None:
        # Termination protection is against the API's callers, not against the machine itself.
        instance.disable_api_termination = False
        try:
            self._cloud.client("ec2").terminate_instances(InstanceIds=[instance.id])
        except ClientError:
            self._cloud.log.exception("machine %s", instance.id)

    def _console_path(self, instance_id: str) -> Path:
        return console_path(self._cloud.state, instance_id)


class LaunchError(RuntimeError):
    """An instance can never be launched; the text is its state reason."""


def _machine(instance: Any) -> Machine:
    interface = instance.nics[0]
    return Machine(
        id=instance.id,
        image_id=instance.image_id,
        address=interface.private_ip_address,
        mac=interface.mac_address,
        host_name=host_name(interface.private_ip_address, instance.region_name),
        vpc_id=instance.vpc_id,
        type=instance.instance_type,
        virtual=virtual_machines.wanted(instance),
    )


def host_name(address: str, region: str) -> str:
    """The private DNS name that EC2 gives to an address."""
    domain = "ec2.internal" if region == "us-east-1" else f"{region}.compute.internal"
    return f"ip-{address.replace('.', '-')}.{domain}"
