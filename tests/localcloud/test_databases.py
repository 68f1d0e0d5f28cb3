"""RDS instances are real databases: reached by name, over verified TLS, by whom their security groups let."""

from __future__ import annotations

import concurrent.futures
import subprocess
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from localcloud import database_images
from localcloud.podman import limit_options, runtime_options
from support.local_cloud import TestCloud, TestMachine, Vpc
from support.waiting import until

PASSWORD = "it's\\a~pass-word!"
START_SECONDS = 60


class Client:
    """Asks a database from a machine: its network, its resolver, with the clients of the database image."""

    def __init__(self, cloud: TestCloud, machine: TestMachine) -> None:
        self.cloud = cloud
        self.machine = machine

    def run(self, server: str, command: list[str], text: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [
                "podman", *runtime_options(), "run", "--rm", "--interactive", f"--network=container:{self.machine.id}",
                *limit_options(), f"--volume={self.cloud.settings.state}/ca/ca.pem:/ca.pem:ro",
                database_images.reference(server), *command,
            ],
            input=text, capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip

    def mysql(
        self, host: str, password: str, sql: str, *options: str, user: str = "admin"
    ) -> subprocess.CompletedProcess[str]:
        quoted = password.replace("\\", "\\\\").replace('"', '\\"')
        script = f'cat >/tmp/options && exec mariadb --defaults-file=/tmp/options {" ".join(options)} --execute="$1"'
        text = f'[client]\nhost={host}\nuser={user}\npassword="{quoted}"\nbatch\nskip-column-names\nconnect-timeout=3\n'
        return self.run("mariadb", ["sh", "-c", script, "sh", sql], text)

    def verified(self, host: str, password: str, sql: str) -> str:
        done = self.mysql(host, password, sql, "--ssl-ca=/ca.pem", "--ssl-verify-server-cert")
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def postgres(
        self, host: str, password: str, sql: str, mode: str = "verify-full"
    ) -> subprocess.CompletedProcess[str]:
        target = f"host={host} user=admin dbname=app sslmode={mode} sslrootcert=/ca.pem connect_timeout=3"
        # The first line is the password, asked for on the terminal that there is not.
        script = 'read -r PGPASSWORD && export PGPASSWORD && exec psql --no-psqlrc -tA -v ON_ERROR_STOP=1 -c "$2" "$1"'
        return self.run("postgresql", ["bash", "-c", script, "bash", target, sql], password + "\n")


@pytest.fixture(scope="module")
def client(cloud: TestCloud, launch: Callable[..., TestMachine], web: str) -> Client:
    # Its network settles while it boots.
    return Client(cloud, launch(SecurityGroupIds=[web]).booted())


@pytest.fixture(scope="module")
def web(security_group: Callable[..., str]) -> str:
    return security_group("db-clients")


@pytest.fixture(scope="module")
def data(security_group: Callable[..., str], web: str) -> str:
    return security_group("databases", [(3306, web), (5432, web)])


@pytest.fixture(scope="module")
def create(cloud: TestCloud, vpc: Vpc, data: str) -> Iterator[Callable[..., dict[str, Any]]]:
    """Create an instance and wait until it is available; all are gone at the end of the module."""
    for server in database_images.RECIPES:
        database_images.build(server, print)
    rds = cloud.client("rds")
    rds.create_db_subnet_group(DBSubnetGroupName="data", DBSubnetGroupDescription="-", SubnetIds=vpc.subnets)

    def run(identifier: str, **more: Any) -> dict[str, Any]:
        rds.create_db_instance(
            **{
                "DBInstanceIdentifier": identifier,
                "DBInstanceClass": "db.t4g.micro",
                "Engine": "mysql",
                "AllocatedStorage": 20,
                "MasterUsername": "admin",
                "MasterUserPassword": PASSWORD,
                "DBName": "app",
                "DBSubnetGroupName": "data",
                "VpcSecurityGroupIds": [data],
                **more,
            }
        )
        return available(cloud, identifier)

    yield run
    for entry in rds.describe_db_instances()["DBInstances"]:
        if entry["DBInstanceStatus"] != "deleting":
            rds.delete_db_instance(DBInstanceIdentifier=entry["DBInstanceIdentifier"], SkipFinalSnapshot=True)
    until("the end of all databases", lambda: not rds.describe_db_instances()["DBInstances"], 60)
    assert cloud.podman.containers("database") == []
    assert list(cloud.settings.state.glob("databases/*")) == []
    rds.delete_db_subnet_group(DBSubnetGroupName="data")


def describe(cloud: TestCloud, identifier: str) -> dict[str, Any]:
    found = cloud.client("rds").describe_db_instances(DBInstanceIdentifier=identifier)["DBInstances"][0]
    return dict(found)


def available(cloud: TestCloud, identifier: str, status: str = "available") -> dict[str, Any]:
    until(
        f"status {status} of {identifier}",
        lambda: describe(cloud, identifier)["DBInstanceStatus"] == status,
        START_SECONDS,
    )
    return describe(cloud, identifier)


@pytest.fixture(scope="module")
def mysql(create: Callable[..., dict[str, Any]], cloud: TestCloud) -> str:
    """An instance with a parameter group; its endpoint."""
    rds = cloud.client("rds")
    rds.create_db_parameter_group(DBParameterGroupName="strict", DBParameterGroupFamily="mysql8.0", Description="-")
    rds.modify_db_parameter_group(
        DBParameterGroupName="strict",
        Parameters=[
            {"ParameterName": "require_secure_transport", "ParameterValue": "1", "ApplyMethod": "immediate"},
            {"ParameterName": "max_connections", "ParameterValue": "77", "ApplyMethod": "immediate"},
            {
                "ParameterName": "innodb_buffer_pool_size",
                "ParameterValue": "{DBInstanceClassMemory/16}",
                "ApplyMethod": "immediate",
            },
        ],
    )
    started = time.monotonic()
    found = create("shop", EngineVersion="8.0", DBParameterGroupName="strict", MultiAZ=True)
    print(f"available after {time.monotonic() - started:.1f} s")
    assert found["DBParameterGroups"] == [{"DBParameterGroupName": "strict", "ParameterApplyStatus": "in-sync"}]
    return str(found["Endpoint"]["Address"])


def test_the_endpoint_answers_by_name_over_verified_tls(client: Client, mysql: str) -> None:
    said = client.verified(mysql, PASSWORD, "SELECT DATABASE(), CURRENT_USER(), @@version LIKE '%MariaDB%'")
    assert said == "NULL\tadmin@%\t1"
    assert "ssl" in client.verified(mysql, PASSWORD, "SHOW STATUS LIKE 'Ssl_version'").lower()


def test_the_name_of_another_host_does_not_verify(client: Client, mysql: str) -> None:
    address = client.machine.run("getent", "hosts", mysql).split()[0]
    done = client.mysql(address, PASSWORD, "SELECT 1", "--ssl-ca=/ca.pem", "--ssl-verify-server-cert")
    assert done.returncode != 0


def test_tls_is_required_where_the_parameter_group_says_so(client: Client, mysql: str) -> None:
    done = client.mysql(mysql, PASSWORD, "SELECT 1", "--skip-ssl")
    assert done.returncode != 0
    assert "insecure transport" in done.stderr


def test_parameters_are_the_servers(client: Client, mysql: str) -> None:
    sql = "SELECT @@max_connections, @@innodb_buffer_pool_size"
    assert client.verified(mysql, PASSWORD, sql) == f"77\t{(1 << 30) // 16}"


def test_a_dynamic_parameter_changes_at_once_and_a_static_one_at_a_reboot(
    cloud: TestCloud, client: Client, mysql: str
) -> None:
    rds = cloud.client("rds")
    rds.modify_db_parameter_group(
        DBParameterGroupName="strict",
        Parameters=[
            {"ParameterName": "max_connections", "ParameterValue": "78", "ApplyMethod": "immediate"},
            {"ParameterName": "performance_schema", "ParameterValue": "1", "ApplyMethod": "pending-reboot"},
        ],
    )
    until("the new limit", lambda: client.verified(mysql, PASSWORD, "SELECT @@max_connections") == "78", 15, every=0.5)
    assert client.verified(mysql, PASSWORD, "SELECT @@performance_schema") == "0"
    assert describe(cloud, "shop")["DBParameterGroups"][0]["ParameterApplyStatus"] == "pending-reboot"
    rds.reboot_db_instance(DBInstanceIdentifier="shop")
    assert available(cloud, "shop")["DBParameterGroups"][0]["ParameterApplyStatus"] == "in-sync"
    assert client.verified(mysql, PASSWORD, "SELECT @@performance_schema") == "1"


def test_the_master_user_makes_users_and_grants_them_a_database(client: Client, mysql: str) -> None:
    client.verified(
        mysql,
        PASSWORD,
        "CREATE USER 'wp'@'%' IDENTIFIED BY 'app-password' REQUIRE SSL; GRANT ALL ON `app`.* TO 'wp'@'%';",
    )
    done = client.mysql(mysql, "app-password", "CREATE TABLE app.posts (id INT); SELECT 1", user="wp")
    assert (done.returncode, done.stdout.strip()) == (0, "1"), done.stderr
    assert client.mysql(mysql, PASSWORD, "SET GLOBAL read_only = 1").returncode != 0


def test_the_master_user_ends_connections_of_others_by_rds_s_procedure_alone(client: Client, mysql: str) -> None:
    client.verified(mysql, PASSWORD, "CREATE USER 'other'@'%' IDENTIFIED BY 'other-password'")
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        held = pool.submit(client.mysql, mysql, "other-password", "SELECT SLEEP(60)", user="other")
        find = "SELECT ID FROM information_schema.PROCESSLIST WHERE USER = 'other'"
        connection = until("the connection", lambda: client.verified(mysql, PASSWORD, find), 15)
        refused = client.mysql(mysql, PASSWORD, f"KILL {connection}")
        assert refused.returncode != 0
        assert "1095" in refused.stderr
        client.verified(mysql, PASSWORD, f"CALL mysql.rds_kill({connection})")
        assert held.result(timeout=15).returncode != 0
    assert client.verified(mysql, PASSWORD, find) == ""


def test_only_members_of_the_group_reach_it(
    cloud: TestCloud, client: Client, mysql: str, launch: Callable[..., TestMachine]
) -> None:
    stranger = Client(cloud, launch().booted())
    done = stranger.mysql(mysql, PASSWORD, "SELECT 1")
    assert done.returncode != 0
    assert "connect" in done.stderr.lower()


def test_a_failover_moves_to_the_other_zone_with_the_data(
    cloud: TestCloud, client: Client, vpc: Vpc, mysql: str
) -> None:
    client.verified(mysql, PASSWORD, "CREATE TABLE app.kept (id INT); INSERT INTO app.kept VALUES (42)")
    before, address = describe(cloud, "shop"), client.machine.run("getent", "hosts", mysql).split()[0]
    cloud.client("rds").reboot_db_instance(DBInstanceIdentifier="shop", ForceFailover=True)
    after = available(cloud, "shop")
    assert after["AvailabilityZone"] == before["SecondaryAvailabilityZone"]
    until("the new address", lambda: client.machine.run("getent", "hosts", mysql).split()[0] != address, 10)
    assert client.verified(mysql, PASSWORD, "SELECT id FROM app.kept") == "42"


def test_a_new_master_password_replaces_the_old_one(cloud: TestCloud, client: Client, mysql: str) -> None:
    rds = cloud.client("rds")
    rds.modify_db_instance(DBInstanceIdentifier="shop", MasterUserPassword="another-1", ApplyImmediately=True)
    available(cloud, "shop")
    assert client.verified(mysql, "another-1", "SELECT 1") == "1"
    assert client.mysql(mysql, PASSWORD, "SELECT 1").returncode != 0
    rds.modify_db_instance(DBInstanceIdentifier="shop", MasterUserPassword=PASSWORD, ApplyImmediately=True)
    available(cloud, "shop")


def test_data_survives_the_end_of_the_container_and_of_the_server(cloud: TestCloud, client: Client, mysql: str) -> None:
    client.verified(mysql, PASSWORD, "CREATE TABLE app.durable (id INT); INSERT INTO app.durable VALUES (7)")
    (container,) = [entry for entry in cloud.podman.containers("database") if entry.labels["localcloud.name"] == "shop"]
    cloud.podman("kill", container.name)

    def answers() -> bool:
        return client.mysql(mysql, PASSWORD, "SELECT id FROM app.durable").stdout.strip() == "7"

    until("the database after its container was killed", answers, 30, every=0.5)
    cloud.command("restart")
    assert answers()
    assert available(cloud, "shop")["Endpoint"]["Address"] == mysql


def test_stopped_it_is_not_reached_and_started_it_is_as_before(cloud: TestCloud, client: Client, mysql: str) -> None:
    rds = cloud.client("rds")
    rds.stop_db_instance(DBInstanceIdentifier="shop")
    available(cloud, "shop", "stopped")
    assert client.mysql(mysql, PASSWORD, "SELECT 1").returncode != 0
    rds.start_db_instance(DBInstanceIdentifier="shop")
    available(cloud, "shop")
    assert client.verified(mysql, PASSWORD, "SELECT id FROM app.durable") == "7"


def test_postgresql_insists_on_tls_and_lets_the_master_make_roles(
    client: Client, create: Callable[..., dict[str, Any]]
) -> None:
    host = create("forum", Engine="postgres", EngineVersion="17")["Endpoint"]["Address"]
    sql = "CREATE EXTENSION hstore; CREATE EXTENSION vector; CREATE ROLE web LOGIN PASSWORD 'x'; SELECT current_user"
    done = client.postgres(host, PASSWORD, sql)
    assert (done.returncode, done.stdout.split()[-1:]) == (0, ["admin"]), done.stderr
    assert "no encryption" in client.postgres(host, PASSWORD, "SELECT 1", mode="disable").stderr
    assert client.postgres(host, "wrong-password", "SELECT 1").returncode != 0


def test_snapshots_hold_the_data_and_instances_start_from_them(
    cloud: TestCloud, client: Client, create: Callable[..., dict[str, Any]], data: str
) -> None:
    rds = cloud.client("rds")
    host = create("first", DeletionProtection=True)["Endpoint"]["Address"]
    client.verified(host, PASSWORD, "CREATE TABLE app.t (id INT); INSERT INTO app.t VALUES (1)")
    rds.create_db_snapshot(DBInstanceIdentifier="first", DBSnapshotIdentifier="live")
    until_snapshot(cloud, "live")
    client.verified(host, PASSWORD, "INSERT INTO app.t VALUES (2)")
    with pytest.raises(rds.exceptions.ClientError, match="protected"):
        rds.delete_db_instance(DBInstanceIdentifier="first", SkipFinalSnapshot=True)
    rds.modify_db_instance(DBInstanceIdentifier="first", DeletionProtection=False)
    rds.delete_db_instance(DBInstanceIdentifier="first", FinalDBSnapshotIdentifier="final")
    until(
        "the end of the instance",
        lambda: "first" not in [entry["DBInstanceIdentifier"] for entry in rds.describe_db_instances()["DBInstances"]],
        30,
    )
    until_snapshot(cloud, "final")
    for snapshot, rows in (("live", "1"), ("final", "1\n2")):
        rds.restore_db_instance_from_db_snapshot(
            DBInstanceIdentifier=f"from-{snapshot}",
            DBSnapshotIdentifier=snapshot,
            DBSubnetGroupName="data",
            VpcSecurityGroupIds=[data],
        )
        restored = available(cloud, f"from-{snapshot}")["Endpoint"]["Address"]
        assert client.verified(restored, PASSWORD, "SELECT id FROM app.t ORDER BY id") == rows
        rds.delete_db_snapshot(DBSnapshotIdentifier=snapshot)
    folder = cloud.settings.state / "snapshots"
    until(
        "the end of the snapshots' data", lambda: not {"live", "final"} & {path.name for path in folder.iterdir()}, 15
    )


def until_snapshot(cloud: TestCloud, name: str) -> None:
    rds = cloud.client("rds")
    until(
        f"snapshot {name}",
        lambda: rds.describe_db_snapshots(DBSnapshotIdentifier=name)["DBSnapshots"][0]["Status"] == "available",
        30,
    )


def test_machines_can_fetch_the_authoritys_bundle(cloud: TestCloud, client: Client) -> None:
    fetched = client.machine.run("curl", "-sSf", "http://truststore.pki.rds.amazonaws.com/global/global-bundle.pem")
    assert fetched == (cloud.settings.state / "ca/ca.pem").read_text()
    client.machine.run(
        "sh",
        "-ec",
        "cd /tmp && u=http://truststore.pki.rds.amazonaws.com/global/global-bundle.pem &&"
        " curl -sSfO $u && curl -sSfO $u.sha256 && sha256sum -c global-bundle.pem.sha256",
    )


def test_no_password_is_on_a_command_line_or_in_a_log(cloud: TestCloud, mysql: str) -> None:
    del mysql
    for path in cloud.settings.state.glob("**/*.log"):
        assert PASSWORD not in path.read_text(errors="replace"), path
    assert PASSWORD not in (cloud.settings.state / "requests.jsonl").read_text()
    for container in cloud.podman.containers("database"):
        assert PASSWORD not in str(cloud.podman.inspect(container.name))
        assert PASSWORD not in cloud.podman("logs", container.name)
