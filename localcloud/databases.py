"""RDS instances: real databases in containers, at an address of the DB subnet group.

MariaDB 11.8 stands behind the engines mysql and mariadb, whatever version the API reports, and PostgreSQL 17 behind
postgres. An instance stays ``creating`` until it answers its master user. Its data is a folder of the state, so that
it outlives its container, a reboot and the server; a final or manual snapshot is a copy of that folder, from which
RestoreDBInstanceFromDBSnapshot starts. The parameters of its parameter group are the server's, TLS has a certificate of
the cloud's authority for the endpoint's name, and its security groups guard its address like any other.

Left out: Aurora, read replicas, restores to a point in time, Multi-AZ's second server (a failover moves the one server
to the other zone's address), storage limits, memory by instance class, option groups, events, metrics.
"""

from __future__ import annotations

import contextlib
import functools
import json
import os
import shutil
import subprocess
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from localcloud import certificates, database_images
from localcloud import database_parameters as parameters
from localcloud.cloud import Cloud
from localcloud.database_engines import CONFIG, DATA, ENGINES, EXCHANGE, Engine, Login, Tuning
from localcloud.network import NetworkError
from localcloud.patches import rds
from localcloud.podman import Container, PodmanError, limit_options

KIND = "database"
AT_ONCE = 4
START_SECONDS = 120
STOP_SECONDS = 60
RETRY_SECONDS = 5
ASK_EVERY = 0.2
# Statuses in which a server is expected to run.
RUNNING = {"available", "resetting-master-credentials", "modifying"}


class DatabaseError(RuntimeError):
    """A database could not be brought into the wanted state."""


@dataclass(frozen=True)
class Database:
    """What the API says of an instance.

    Attributes:
        identifier: Its name.
        resource_id: Its id for life.
        status: Its status.
        engine: Its engine.
        endpoint: The host name of its endpoint.
        vpc_id: Its VPC.
        address: Its private address.
        mac: Its hardware address, kept so that its peers need not learn another one after a restart.
        login: Its master user.
        tuning: What shapes its configuration.
        seed: The snapshot that it starts from.
        immediate: Names of changed parameters that do not wait for a reboot.
    """

    identifier: str
    resource_id: str
    status: str
    engine: str
    endpoint: str
    vpc_id: str
    address: str
    mac: str
    login: Login
    tuning: Tuning
    seed: str | None
    immediate: frozenset[str]

    @property
    def kind(self) -> Engine:
        """The server behind it."""
        return ENGINES[self.engine]


class Databases:
    """Keeps a database server for every RDS instance."""

    name = "databases"

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud
        self._authority = certificates.open_authority(cloud)
        self._folder = cloud.state / "databases"
        self._snapshots = cloud.state / "snapshots"
        self._pool = ThreadPoolExecutor(AT_ONCE, thread_name_prefix="database")
        self._lock = threading.Lock()
        self._busy: set[str] = set()
        self._not_before: dict[str, float] = {}
        self._closing = False
        # Snapshots that a new instance is being copied from.
        self._seeding: set[str] = set()
        rds.backed = True

    def reconcile(self) -> None:
        """Bring servers, addresses, data folders and names in line with the API."""
        containers = {entry.id: entry for entry in self._cloud.podman.containers(KIND)}
        with self._cloud.lock:
            backend = self._cloud.backend("rds")
            databases = [
                self._describe(entry)
                for entry in backend.databases.values()
                if entry.engine in ENGINES and entry.db_cluster_identifier is None
            ]
            snapshots = {
                name: (entry.dbi_resource_id, entry.status) for name, entry in backend.database_snapshots.items()
            }
        names: dict[str, list[str]] = {}
        for database in databases:
            names[database.endpoint] = [database.address]
            waiting = [
                name
                for name, (resource_id, status) in snapshots.items()
                if resource_id == database.resource_id and status == "creating"
            ]
            self._act(database, containers.get(database.resource_id), waiting)
        known = {database.resource_id for database in databases}
        for resource_id in containers.keys() - known:
            self._start_job(resource_id, functools.partial(self._discard, resource_id))
        self._remove_folders(self._folder, known)
        self._remove_folders(self._snapshots, set(snapshots))
        self._cloud.dns.set(self.name, names)

    def close(self) -> None:
        """Let what is under way finish; the servers go on."""
        self._closing = True
        self._pool.shutdown(wait=True)

    # What the API says

    def _describe(self, entry: Any) -> Database:
        """Read an instance of moto, giving it an address in its zone; the lock is held."""
        group = entry.db_parameter_groups()[0]
        changed = {
            name: str(value["ParameterValue"]) for name, value in group.parameters.items() if "ParameterValue" in value
        }
        family = group.family or parameters.family(entry.engine, entry.engine_version)
        known = parameters.catalogue(family)
        interface = self._interface(entry)
        return Database(
            identifier=entry.db_instance_identifier,
            resource_id=entry.dbi_resource_id,
            status=entry.status,
            engine=entry.engine,
            endpoint=entry.address,
            vpc_id=interface.subnet.vpc_id,
            address=interface.private_ip_address,
            mac=interface.mac_address,
            login=Login(entry.master_username, self._password(entry), entry.db_name),
            tuning=Tuning(family, changed, entry.db_instance_class, int(entry.port)),
            seed=getattr(entry, "from_snapshot", None),
            immediate=frozenset(
                name
                for name, value in group.parameters.items()
                if value.get("ApplyMethod") == "immediate" and name in known and not known[name].static
            ),
        )

    def _password(self, entry: Any) -> str:
        secret = getattr(entry, "master_user_secret", None)
        if secret is None:
            return str(entry._master_user_password)
        client = self._cloud.client("secretsmanager")
        value = client.get_secret_value(SecretId=secret.secret_arn)["SecretString"]
        return str(json.loads(value)["password"])

    def _interface(self, entry: Any) -> Any:
        """The network interface of an instance: in its zone, with its security groups."""
        ec2 = self._cloud.backend("ec2")
        interface = ec2.enis.get(getattr(entry, "network_interface_id", None) or "")
        if interface is not None and interface.subnet.availability_zone != entry.availability_zone:
            ec2.delete_network_interface(interface.id)
            interface = None
        if interface is None:
            interface = ec2.create_network_interface(
                self._subnet(entry),
                None,
                group_ids=list(entry.vpc_security_group_ids),
                description="RDSNetworkInterface",
            )
            interface.requester_managed, interface.requester_id, interface.status = True, "amazon-rds", "in-use"
            entry.network_interface_id = interface.id
            self._cloud.changed()
        elif {group.id for group in interface.group_set} != set(entry.vpc_security_group_ids):
            ec2.modify_network_interface_attribute(eni_id=interface.id, group_ids=list(entry.vpc_security_group_ids))
            self._cloud.changed()
        return interface

    def _subnet(self, entry: Any) -> Any:
        ec2 = self._cloud.backend("ec2")
        group = getattr(entry, "db_subnet_group", None)
        if group is not None:
            candidates = [ec2.get_subnet(subnet["SubnetIdentifier"]) for subnet in group.subnets]
        else:
            candidates = [
                subnet
                for zone in ec2.subnets.values()
                for subnet in zone.values()
                if subnet.vpc_id == ec2.default_vpc.id
            ]
        in_zone = [subnet for subnet in candidates if subnet.availability_zone == entry.availability_zone]
        return (in_zone or candidates)[0]

    # What to do about it

    def _act(self, database: Database, container: Container | None, waiting: list[str]) -> None:
        key, status = database.resource_id, database.status
        running = container is not None and container.running
        if status == "creating":
            self._start_job(key, lambda: self._create(database))
        elif status == "deleting":
            self._start_job(key, lambda: self._delete(database, waiting))
        elif status == "rebooting":
            self._start_job(key, lambda: self._restart(database))
        elif status == "stopping":
            self._start_job(key, lambda: self._stop(database))
        elif status == "starting" or (status in RUNNING and not running):
            self._start_job(key, lambda: self._restart(database))
        elif status == "resetting-master-credentials":
            self._start_job(key, lambda: self._reset_master(database))
        elif waiting and running:
            self._start_job(key, lambda: self._snapshot(database, waiting))
        elif status == "available" and running and self._drift(database):
            self._start_job(key, lambda: self._apply_parameters(database))

    def _start_job(self, key: str, job: Callable[[], None]) -> None:
        """Do something about one instance, beside the reconciler; one thing at a time for each."""
        with self._lock:
            if key in self._busy or self._closing or self._not_before.get(key, 0) > time.monotonic():
                return
            self._busy.add(key)
        self._pool.submit(self._run_job, key, job)

    def _run_job(self, key: str, job: Callable[[], None]) -> None:
        try:
            job()
        except (DatabaseError, PodmanError, NetworkError, database_images.DatabaseImageError) as error:
            self._cloud.log.warning("database %s: %s", key, error)
            self._not_before[key] = time.monotonic() + RETRY_SECONDS
        except Exception:
            self._cloud.log.exception("database %s", key)
            self._not_before[key] = time.monotonic() + RETRY_SECONDS
        finally:
            with self._lock:
                self._busy.discard(key)
            self._cloud.podman.forget()
            self._cloud.dirty()

    def _set_status(self, database: Database, status: str, was: str) -> None:
        with self._cloud.lock:
            entry = self._cloud.backend("rds").databases.get(database.identifier)
            # DeleteDBInstance may have come meanwhile.
            if entry is not None and entry.dbi_resource_id == database.resource_id and entry.status == was:
                entry.status = status
        self._cloud.changed()

    # Jobs

    def _create(self, database: Database) -> None:
        started = time.monotonic()
        database_images.build(database.kind.server, self._cloud.log.info)
        self._seed(database)
        self._run(database)
        self._await_up(database)
        database.kind.set_master(self._executor(database), database.login, create=database.seed is None)
        self._await_answer(database)
        self._set_status(database, "available", was="creating")
        self._cloud.log.info(
            "database %s (%s) answers at %s after %.1f s",
            database.identifier, database.kind.server, database.address, time.monotonic() - started,
        )  # fmt: skip

    def _restart(self, database: Database) -> None:
        """Start a stopped server, or a running one afresh: with today's parameters, at today's address."""
        if not (self._home(database) / "data").exists():
            raise DatabaseError(f"the data of {database.identifier} is gone from {self._home(database)}")
        database_images.build(database.kind.server, self._cloud.log.info)
        self._cloud.podman.remove(self._container_name(database), grace=STOP_SECONDS)
        self._run(database)
        self._await_up(database)
        # The password may have been changed while it was stopped.
        database.kind.set_master(self._executor(database), database.login, create=False)
        self._await_answer(database)
        with self._cloud.lock:
            entry = self._cloud.backend("rds").databases.get(database.identifier)
            if entry is not None:
                entry.parameters_pending_reboot = False
        for status in ("rebooting", "starting", "resetting-master-credentials"):
            self._set_status(database, "available", was=status)
        self._cloud.log.info("database %s answers again at %s", database.identifier, database.address)

    def _stop(self, database: Database) -> None:
        self._cloud.podman.remove(self._container_name(database), grace=STOP_SECONDS)
        self._set_status(database, "stopped", was="stopping")

    def _reset_master(self, database: Database) -> None:
        database.kind.set_master(self._executor(database), database.login, create=False)
        self._await_answer(database)
        self._set_status(database, "available", was="resetting-master-credentials")

    def _delete(self, database: Database, waiting: list[str]) -> None:
        self._cloud.podman.remove(self._container_name(database), grace=STOP_SECONDS)
        data = self._home(database) / "data"
        for number, name in enumerate(waiting):
            target = self._snapshots / name
            if data.exists() and not target.exists():
                target.mkdir(parents=True)
                if number == len(waiting) - 1:
                    data.rename(target / "data")
                else:
                    _copy(data, target / "data")
            self._snapshot_done(name)
        shutil.rmtree(self._home(database), ignore_errors=True)
        with self._cloud.lock:
            backend, ec2 = self._cloud.backend("rds"), self._cloud.backend("ec2")
            entry = backend.databases.get(database.identifier)
            if entry is not None and entry.dbi_resource_id == database.resource_id:
                interface_id = getattr(entry, "network_interface_id", None)
                if interface_id in ec2.enis:
                    ec2.delete_network_interface(interface_id)
                backend.delete_db_instance(database.identifier, skip_final_snapshot=True, finished=True)
        self._cloud.changed()
        self._cloud.log.info("database %s is gone", database.identifier)

    def _snapshot(self, database: Database, names: list[str]) -> None:
        exchange = self._home(database) / "exchange"
        for name in names:
            _empty(exchange)
            database.kind.back_up(self._executor(database))
            target = self._snapshots / name
            target.mkdir(parents=True, exist_ok=True)
            (exchange / "data").rename(target / "data")
            self._snapshot_done(name)

    def _snapshot_done(self, name: str) -> None:
        with self._cloud.lock:
            snapshot = self._cloud.backend("rds").database_snapshots.get(name)
            if snapshot is not None:
                snapshot.status, snapshot.percent_progress = "available", 100
        self._cloud.changed()

    def _apply_parameters(self, database: Database) -> None:
        drift = self._drift(database)
        known = parameters.catalogue(database.tuning.family)
        now: dict[str, str | None] = {
            name: database.tuning.changed.get(name)
            for name in drift
            if name in known
            and not known[name].static
            # A parameter that the group no longer sets falls back at once.
            and (name in database.immediate or name not in database.tuning.changed)
        }
        self._write_config(database)
        if now:
            database.kind.change(self._executor(database), database.tuning, now)
        self._note_applied(database)
        self._cloud.log.info("database %s: parameters %s changed", database.identifier, ", ".join(sorted(drift)))

    def _discard(self, resource_id: str) -> None:
        for container in self._cloud.podman.containers(KIND):
            if container.id == resource_id:
                self._cloud.podman.remove(container.name, grace=STOP_SECONDS)

    # Servers

    def _home(self, database: Database) -> Path:
        return self._folder / database.resource_id

    def _container_name(self, database: Database) -> str:
        return f"localcloud-{self._cloud.settings.name}-{database.resource_id}"

    def _seed(self, database: Database) -> None:
        """Give a new instance its data: the image's prepared folder, or a snapshot's."""
        home = self._home(database)
        data = home / "data"
        if data.exists():
            return
        home.mkdir(parents=True, exist_ok=True)
        half = home / "data.new"
        shutil.rmtree(half, ignore_errors=True)
        if database.seed is not None:
            source = self._snapshots / database.seed / "data"
            if not source.exists():
                raise DatabaseError(f"snapshot {database.seed} has no data here")
            with self._lock:
                self._seeding.add(database.seed)
            try:
                _copy(source, half)
            finally:
                with self._lock:
                    self._seeding.discard(database.seed)
        else:
            image = database_images.reference(database.kind.server)
            root = Path(self._cloud.podman("image", "mount", image).strip())
            try:
                _copy(root / database_images.PREPARED.lstrip("/"), half)
            finally:
                self._cloud.podman("image", "unmount", image)
        half.rename(data)

    def _run(self, database: Database) -> None:
        network = self._cloud.network(database.vpc_id)
        home = self._home(database)
        self._write_config(database)
        (home / "exchange").mkdir(exist_ok=True)
        owner = (home / "data").stat()
        # The server's socket and pid file lie beside its data.
        for folder in (home, home / "exchange"):
            os.chown(folder, owner.st_uid, owner.st_gid)
        self._cloud.podman.remove(self._container_name(database))
        self._cloud.podman(
            "run", "--detach", f"--name={self._container_name(database)}",
            *self._cloud.podman.labels(KIND, database.resource_id),
            f"--label=localcloud.name={database.identifier}",
            f"--network={network.name}", f"--ip={database.address}", f"--mac-address={database.mac}",
            "--no-hosts", f"--dns={network.resolver}",
            f"--hostname={database.identifier}", f"--user={database.kind.owner}", "--log-driver=k8s-file",
            "--log-opt=max-size=8mb", f"--stop-signal={database.kind.stop_signal}", "--shm-size=256m",
            *limit_options(), f"--volume={home}:{DATA}", f"--volume={home / 'config'}:{CONFIG}:ro",
            f"--volume={home / 'exchange'}:{EXCHANGE}",
            database_images.reference(database.kind.server), *database.kind.command(),
        )  # fmt: skip
        self._note_applied(database)

    def _write_config(self, database: Database) -> None:
        config, owner = self._home(database) / "config", (self._home(database) / "data").stat()
        config.mkdir(parents=True, exist_ok=True)
        files = {name: text.encode() for name, text in database.kind.files(database.tuning).items()}
        if not (config / "server.pem").exists() or (config / "name").read_text() != database.endpoint:
            certificate, key, _ = self._authority.issue([database.endpoint])
            files |= {"server.pem": certificate, "server-key.pem": key, "ca.pem": self._authority.bundle}
            files["name"] = database.endpoint.encode()
        for name, content in files.items():
            temporary = config / f".{name}.new"
            descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            with os.fdopen(descriptor, "wb") as file:
                file.write(content)
            os.chown(temporary, owner.st_uid, owner.st_gid)
            temporary.rename(config / name)

    def _note_applied(self, database: Database) -> None:
        path = self._home(database) / "applied.json"
        path.write_text(json.dumps(dict(database.tuning.changed), sort_keys=True), encoding="utf-8")

    def _drift(self, database: Database) -> set[str]:
        """Parameters whose value differs from what the server was last given."""
        applied: dict[str, str] = {}
        with contextlib.suppress(FileNotFoundError):
            applied = json.loads((self._home(database) / "applied.json").read_text(encoding="utf-8"))
        wanted = database.tuning.changed
        return {name for name in wanted.keys() | applied.keys() if wanted.get(name) != applied.get(name)}

    def _executor(self, database: Database) -> Callable[[list[str], str, str], str]:
        def execute(command: list[str], text: str, user: str) -> str:
            return self._cloud.podman(
                "exec", "--interactive", f"--user={user}", self._container_name(database), *command,
                input=text, timeout=600,
            )  # fmt: skip

        return execute

    def _await_up(self, database: Database) -> None:
        execute = self._executor(database)
        self._await(database, "answer its superuser", lambda: database.kind.is_up(execute))

    def _await_answer(self, database: Database) -> None:
        execute = self._executor(database)
        self._await(
            database,
            "let its master user log in over TLS",
            lambda: database.kind.answers(execute, database.login, database.tuning),
        )

    def _await(self, database: Database, what: str, probe: Callable[[], bool]) -> None:
        deadline = time.monotonic() + START_SECONDS
        seen = "nothing"
        while time.monotonic() < deadline:
            try:
                if probe():
                    return
            except PodmanError as error:
                seen = str(error).rpartition("failed")[2].strip()
            container = self._cloud.podman.inspect(self._container_name(database))
            if not container["State"]["Running"]:
                log = self._cloud.podman("logs", "--tail=5", self._container_name(database), check=False)
                raise DatabaseError(f"the server of {database.identifier} ended: {' / '.join(log.splitlines())}")
            time.sleep(ASK_EVERY)
        raise DatabaseError(f"{database.identifier} did not {what} within {START_SECONDS} s; last seen: {seen}")

    def _remove_folders(self, folder: Path, known: set[str]) -> None:
        if not folder.exists():
            return
        for path in folder.iterdir():
            with self._lock:
                busy = path.name in self._busy or path.name in self._seeding
            if path.name not in known and not busy:
                shutil.rmtree(path, ignore_errors=True)


def _copy(source: Path, target: Path) -> None:
    """Copy a data folder with owners and holes, by reference where the file system can."""
    subprocess.run(
        ["cp", "--archive", "--reflink=auto", "--sparse=always", str(source), str(target)],
        check=True, capture_output=True, timeout=600,
    )  # fmt: skip


def _empty(folder: Path) -> None:
    for path in folder.iterdir():
        shutil.rmtree(path) if path.is_dir() else path.unlink()
