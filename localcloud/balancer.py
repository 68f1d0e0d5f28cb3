"""Application load balancers: a container with haproxy at the balancer's own addresses in its VPC.

One container holds all addresses of a balancer (one in each of its subnets). The agent in it (``balancer_agent``)
runs haproxy and the health checks; this part tells it what the API wants, and the API what it sees: target health,
the end of draining, and when a balancer is active. What of a balancer is modelled stands in ``balancer_config``.

A balancer with the tag ``localcloud:publish`` (``80:8080,443:8443``: listener port, port of this host) can also be
reached on 127.0.0.1. Requests through there come from the network's gateway, as far as security groups are concerned.

Network load balancers have an address and no traffic.
"""

from __future__ import annotations

import json
import logging
import os
import shutil
import socket
import subprocess
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from localcloud import balancer_config as config
from localcloud.base_images import BaseImageError
from localcloud.cloud import Cloud
from localcloud.network import Network, NetworkError
from localcloud.patches import elbv2
from localcloud.podman import PodmanError, limit_options
from localcloud.service_images import ServiceImage

log = logging.getLogger("localcloud")

KIND = "balancer"
IMAGE = ServiceImage("localhost/localcloud-balancer", ("haproxy",))
PUBLISH_TAG = "localcloud:publish"
PUBLISH_LABEL = "localcloud.publish"
AGENT = Path(__file__).with_name("balancer_agent.py")
AGENT_PATH = "/usr/local/lib/balancer_agent.py"
# Longer than a reload may take.
CALL_SECONDS = 25.0
# How soon to look again while something is expected to happen.
SOON = 0.4
# How soon to try again what failed.
LATER = 10.0


@dataclass(frozen=True)
class Plan:
    """What the API says of a balancer, taken under the lock.

    Attributes:
        arn: Its ARN.
        id: Last part of its ARN, the key of everything here.
        dns_name: Its name.
        vpc_id: Its VPC.
        addresses: Its addresses, the container's own first.
        mac: Hardware address of the first interface.
        publish: The tag's value, empty without one.
        files: haproxy's configuration and what belongs to it.
        groups: What the agent has to know of each backend.
        arns: ARN of the target group behind each backend.
    """

    arn: str
    id: str
    dns_name: str
    vpc_id: str
    addresses: list[str]
    mac: str
    publish: str
    files: config.Files
    groups: dict[str, Any]
    arns: dict[str, str]


class Balancers:
    """The part of the reconciler for load balancers."""

    name = "balancer"

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud
        self._agents: dict[str, Agent] = {}
        self._plugged: dict[str, tuple[int, tuple[str, ...]]] = {}
        self._written: dict[str, str] = {}
        self._retry: dict[str, float] = {}
        self._complaints: dict[str, str] = {}
        self._building: threading.Thread | None = None
        self._image_failed = 0.0
        self._timer: threading.Timer | None = None
        elbv2.backing.data_plane = True

    def reconcile(self) -> None:
        """Bring containers in line with the API, and the API in line with what they see."""
        with self._cloud.lock:
            backend = self._cloud.backend("elbv2")
            plans = [
                self._plan(balancer)
                for balancer in backend.load_balancers.values()
                if balancer.type == "application" and elbv2.interfaces(balancer)
            ]
        self._cloud.dns.set(self.name, {plan.dns_name: plan.addresses for plan in plans})
        self._remove_others({container_name(plan.id) for plan in plans})
        if not plans or not self._image_is_ready():
            return
        for plan in plans:
            if time.monotonic() < self._retry.get(plan.id, 0.0):
                continue
            try:
                self._serve(plan)
            except (PodmanError, NetworkError, OSError, ValueError) as error:
                self._complain(plan.id, str(error))
                self._retry[plan.id] = time.monotonic() + LATER

    def close(self) -> None:
        """Containers go on; only the calls to them end."""
        if self._timer is not None:
            self._timer.cancel()
        for agent in self._agents.values():
            agent.close()

    # What is wanted
    # --------------

    def _plan(self, balancer: Any) -> Plan:
        backend = self._cloud.backend("elbv2")
        ec2 = backend.ec2_backend
        listeners = [self._listener(listener) for listener in balancer.listeners.values()]
        arns = {
            arn
            for listener in listeners
            for rule in listener.rules
            for action in rule.actions
            for arn in config.forwards(action)
            if arn in backend.target_groups
        }
        groups = [backend.target_groups[arn] for arn in sorted(arns)]
        tags = backend.tagging_service.get_tag_dict_for_resource(balancer.arn)
        publish = tags.get(PUBLISH_TAG, "")
        descriptions = [
            config.TargetGroup(group.arn, group.protocol, group.protocol_version or "HTTP1", dict(group.attributes))
            for group in groups
        ]
        interfaces = [ec2.enis[entry] for entry in elbv2.interfaces(balancer).values() if entry in ec2.enis]
        zones = {subnet.availability_zone for subnet in balancer.subnets}
        return Plan(
            arn=balancer.arn,
            id=balancer.arn.rpartition("/")[2],
            dns_name=balancer.dns_name,
            vpc_id=balancer.vpc_id,
            addresses=[interface.private_ip_address for interface in interfaces],
            mac=interfaces[0].mac_address,
            publish=publish,
            files=config.render(
                config.Balancer(balancer.name, dict(balancer.attrs), listeners, descriptions, self._published(publish))
            ),
            groups={
                config.backend_name(group.arn): {
                    "check": _check(group),
                    "targets": _targets(group, config.server_options(description), zones),
                }
                for group, description in zip(groups, descriptions, strict=True)
            },
            arns={config.backend_name(group.arn): group.arn for group in groups},
        )

    def _listener(self, listener: Any) -> config.Listener:
        rules = sorted(listener._non_default_rules.values(), key=lambda rule: int(rule.priority))
        default = listener._default_rule[0]
        return config.Listener(
            port=int(listener.port),
            protocol=listener.protocol,
            rules=[
                config.Rule(list(rule.conditions or []), [action.data for action in rule.actions])
                for rule in [*rules, default]
            ],
            certificates=[self._certificate(arn) for arn in listener.certificates],
            policy=listener.ssl_policy or "",
        )

    def _certificate(self, arn: str) -> str:
        """Key, certificate and chain in one text, as haproxy wants them."""
        if ":acm:" in arn:
            bundle = self._cloud.backend("acm").get_certificate(arn)
            parts = [bundle.cert, bundle.chain, bundle.key]
        else:
            bundle = self._cloud.backend("iam").get_certificate_by_arn(arn)
            parts = [bundle.cert_body, bundle.cert_chain, bundle.private_key]
        texts = [part.decode() if isinstance(part, bytes) else str(part) for part in parts if part]
        return "".join(f"{text.strip()}\n" for text in texts)

    def _published(self, publish: str) -> dict[int, int]:
        try:
            return published_ports(publish)
        except ValueError as error:
            self._complain(publish, str(error))
            return {}

    # What runs
    # ---------

    def _serve(self, plan: Plan) -> None:
        network = self._cloud.network(plan.vpc_id)
        pid = self._run_container(plan, network)
        if self._plugged.get(plan.id) != (pid, tuple(plan.addresses)):
            plug(pid, plan.addresses, network)
            self._plugged[plan.id] = (pid, tuple(plan.addresses))
        digest = plan.files.digest
        if self._written.get(plan.id) != digest:
            write_files(self._folder(plan.id), plan.files)
            self._written[plan.id] = digest
        agent = self._agents.setdefault(plan.id, Agent(self._folder(plan.id) / "agent.sock"))
        try:
            seen = agent.call({"digest": digest, "groups": plan.groups})
        except OSError as error:
            # It has not begun to listen yet, or is about to be replaced.
            self._look_soon()
            log.debug("balancer %s: %s", plan.id, error)
            return
        if seen["error"]:
            self._complain(plan.id, f"haproxy refused the configuration: {seen['error']}")
        self._report(plan, seen)

    def _run_container(self, plan: Plan, network: Network) -> int:
        name = container_name(plan.id)
        container = self._cloud.podman.container(name)
        published = published_ports(plan.publish)
        label = ",".join(f"{port}:{host_port}" for port, host_port in sorted(published.items()))
        identity = f"{IMAGE.reference} {label}"
        if container and container.running and container.labels.get(PUBLISH_LABEL) == identity:
            return container.pid
        if container:
            log.info("balancer %s: its container is replaced", plan.id)
            self._cloud.podman.remove(name)
        folder = self._folder(plan.id)
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        (folder / "agent.sock").unlink(missing_ok=True)
        self._cloud.podman(
            "run", "--detach", f"--name={name}", *self._cloud.podman.labels(KIND, plan.id),
            f"--label={PUBLISH_LABEL}={identity}", f"--network={network.name}", f"--ip={plan.addresses[0]}",
            f"--mac-address={plan.mac}", f"--hostname={name}", "--no-hosts", f"--dns={network.resolver}",
            *(f"--publish=127.0.0.1:{host_port}:{port}" for port, host_port in sorted(published.items())),
            *limit_options(), "--stop-signal=SIGTERM", "--log-opt=max-size=4mb",
            f"--volume={folder}:{config.MOUNT}", f"--volume={AGENT}:{AGENT_PATH}:ro",
            IMAGE.reference, "python3", AGENT_PATH, config.MOUNT,
        )  # fmt: skip
        container = self._cloud.podman.container(name)
        if container is None or not container.pid:
            raise PodmanError(f"the container {name} ended at once: see podman logs {name}")
        log.info("balancer %s runs at %s %s", plan.id, " ".join(plan.addresses), label)
        return container.pid

    def _report(self, plan: Plan, seen: dict[str, Any]) -> None:
        """Tell the API what the agent sees."""
        changed, expecting = False, False
        with self._cloud.lock:
            backend = self._cloud.backend("elbv2")
            balancer = backend.load_balancers.get(plan.arn)
            if balancer is None:
                return
            if balancer.state != "active" and seen["digest"]:
                balancer.state, changed = "active", True
            for name, targets in seen["groups"].items():
                group = backend.target_groups.get(plan.arns.get(name))
                if group is None:
                    continue
                for key, entry in targets.items():
                    if entry["state"] == "draining":
                        if entry["sessions"] == 0 and elbv2.drainings(group).pop(key, None):
                            changed = True
                        expecting = True
                        continue
                    expecting |= entry["state"] == "initial"
                    health = elbv2.Health(entry["state"], entry["reason"], entry["description"])
                    if key in group.targets and elbv2.measured(group).get(key) != health:
                        elbv2.measured(group)[key] = health
                        changed = True
        if changed:
            self._cloud.changed()
        elif expecting:
            self._look_soon()

    def _remove_others(self, wanted: set[str]) -> None:
        for container in self._cloud.podman.containers(KIND):
            if container.name not in wanted:
                self._cloud.podman.remove(container.name)
                shutil.rmtree(self._folder(container.id), ignore_errors=True)
                for known in (self._plugged, self._written, self._retry, self._complaints):
                    known.pop(container.id, None)
                if agent := self._agents.pop(container.id, None):
                    agent.close()
                log.info("balancer %s removed", container.id)

    def _folder(self, balancer_id: str) -> Path:
        return self._cloud.state / "balancers" / balancer_id

    def _look_soon(self) -> None:
        if self._timer is None or not self._timer.is_alive():
            self._timer = threading.Timer(SOON, self._cloud.dirty)
            self._timer.daemon = True
            self._timer.start()

    def _complain(self, key: str, text: str) -> None:
        if self._complaints.get(key) != text:
            self._complaints[key] = text
            log.warning("balancer %s: %s", key, text)

    def _image_is_ready(self) -> bool:
        """Whether the image is there; has it made beside the reconciler if it is not."""
        if self._building is not None and self._building.is_alive():
            return False
        if IMAGE.exists():
            return True
        if time.monotonic() < self._image_failed:
            return False

        def build() -> None:
            try:
                IMAGE.build(log.info)
            except BaseImageError as error:
                self._complain("image", str(error))
                self._image_failed = time.monotonic() + LATER
            self._cloud.dirty()

        self._building = threading.Thread(target=build, name="balancer-image", daemon=True)
        self._building.start()
        return False


def _check(group: Any) -> dict[str, Any] | None:
    if not group.health_check_enabled:
        return None
    port = group.health_check_port
    return {
        "protocol": group.health_check_protocol,
        "port": None if port in (None, "traffic-port") else int(port),
        "path": group.health_check_path or "/",
        "matcher": str((group.matcher or {}).get("HttpCode") or "200"),
        "interval": float(group.health_check_interval_seconds),
        "timeout": float(group.health_check_timeout_seconds),
        "healthy": int(group.healthy_threshold_count),
        "unhealthy": int(group.unhealthy_threshold_count),
    }


def _targets(group: Any, options: str, zones: set[str]) -> dict[str, Any]:
    """The targets that the agent has to know, by their key."""
    entries = [(key, target, False) for key, target in group.targets.items()]
    entries += [(key, entry.target, True) for key, entry in elbv2.drainings(group).items()]
    found = {}
    for key, target, draining in entries:
        address = target["Id"]
        if group.target_type == "instance":
            instance = group.ec2_backend.get_instance_by_id(target["Id"])
            if instance is None or instance.availability_zone not in zones or not instance.nics:
                continue
            if instance.state != "running" and not draining:
                continue
            address = instance.private_ip_address
        found[key] = {"address": address, "port": int(target["Port"]), "options": options, "draining": draining}
    return found


def container_name(balancer_id: str) -> str:
    """Name of a balancer's container."""
    return f"elb-{balancer_id}"


def published_ports(tag: str) -> dict[int, int]:
    """Listener ports and ports of this host in the tag's value.

    Args:
        tag: Such as ``80:8080,443:8443``; empty for none.

    Raises:
        ValueError: It is of another form.
    """
    found: dict[int, int] = {}
    for part in filter(None, tag.replace(" ", "").split(",")):
        listener, _, host = part.partition(":")
        if not (listener.isdecimal() and host.isdecimal() and 0 < int(listener) < 65536 and 0 < int(host) < 65536):
            raise ValueError(f"the tag {PUBLISH_TAG} is {tag!r}: use LISTENER-PORT:HOST-PORT, such as 80:8080,443:8443")
        found[int(listener)] = int(host)
    return found


def plug(pid: int, addresses: list[str], network: Network) -> None:
    """Give a container the further addresses of its balancer, in its own network name space.

    Raises:
        NetworkError: It could not be done.
    """
    for address in addresses[1:]:
        command = [
            "nsenter", f"--net=/proc/{pid}/ns/net", "ip", "address", "replace", f"{address}/{network.cidr.prefixlen}",
            "dev", "eth0",
        ]  # fmt: skip
        done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
        if done.returncode:
            raise NetworkError(f"{' '.join(command)} failed: {done.stderr.strip()}")


def write_files(folder: Path, files: config.Files) -> None:
    """Write a balancer's files; those of earlier configurations go once they are not used any more."""
    for path, text in files.texts.items():
        target = folder / path
        target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        fresh = target.with_name(f"{target.name}.new")
        fresh.touch(mode=0o600)
        fresh.write_text(text, encoding="utf-8")
        fresh.replace(target)
    kept = {folder / path for path in files.texts}
    for old in [*folder.glob("certificates/*"), *folder.glob("pages/*")]:
        if old not in kept:
            # haproxy has read them into memory.
            old.unlink()


class Agent:
    """Calls the agent in a balancer's container."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._connection: socket.socket | None = None

    def call(self, request: dict[str, Any]) -> dict[str, Any]:
        """Say what is wanted; returns what is seen.

        Raises:
            OSError: It does not answer.
        """
        try:
            if self._connection is None:
                self._connection = connect(self._path)
            self._connection.sendall(json.dumps(request).encode() + b"\n")
            reply = b""
            while not reply.endswith(b"\n"):
                chunk = self._connection.recv(65536)
                if not chunk:
                    raise ConnectionResetError("the agent hung up")
                reply += chunk
        except OSError:
            self.close()
            raise
        result: dict[str, Any] = json.loads(reply)
        return result

    def close(self) -> None:
        """Hang up."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None


def connect(path: Path) -> socket.socket:
    """Connect to a Unix socket, however long its path is."""
    connection = socket.socket(socket.AF_UNIX)
    connection.settimeout(CALL_SECONDS)
    try:
        # The kernel takes 107 bytes at most; through its folder's descriptor any path is short.
        descriptor = os.open(path.parent, os.O_PATH | os.O_DIRECTORY)
        try:
            connection.connect(f"/proc/self/fd/{descriptor}/{path.name}")
        finally:
            os.close(descriptor)
    except OSError:
        connection.close()
        raise
    return connection
