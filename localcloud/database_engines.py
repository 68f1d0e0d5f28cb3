"""How a MariaDB and a PostgreSQL server are configured, asked and changed.

Everything goes through the server's own client inside its container, over its socket, as the container's superuser;
statements and passwords only ever travel on standard input.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

from localcloud import database_parameters as parameters

DATA, CONFIG, EXCHANGE = "/var/lib/database", "/etc/database", "/var/lib/exchange"

# Runs a command in the container: arguments, standard input, operating system user; returns standard output.
Execute = Callable[[list[str], str, str], str]

# What RDS grants its master user of MySQL.
MASTER_PRIVILEGES = (
    "SELECT, INSERT, UPDATE, DELETE, CREATE, DROP, RELOAD, PROCESS, REFERENCES, INDEX, ALTER, SHOW DATABASES, "
    "CREATE TEMPORARY TABLES, LOCK TABLES, EXECUTE, REPLICATION SLAVE, REPLICATION CLIENT, CREATE VIEW, SHOW VIEW, "
    "CREATE ROUTINE, ALTER ROUTINE, CREATE USER, EVENT, TRIGGER, DELETE HISTORY, SHOW CREATE ROUTINE"
)

# What RDS gives its master user in place of the right to end other users' connections.
KILL_PROCEDURES = (
    "CREATE OR REPLACE PROCEDURE mysql.rds_kill(IN thread BIGINT) SQL SECURITY DEFINER KILL CONNECTION thread;",
    "CREATE OR REPLACE PROCEDURE mysql.rds_kill_query(IN thread BIGINT) SQL SECURITY DEFINER KILL QUERY thread;",
)


@dataclass(frozen=True)
class Login:
    """The master user of an instance.

    Attributes:
        user: Its name.
        password: Its password.
        database: The database that is created with the instance, if any.
    """

    user: str
    password: str
    database: str | None


@dataclass(frozen=True)
class Tuning:
    """What shapes a server's configuration.

    Attributes:
        family: The parameter group's family.
        changed: Parameters that the group sets, by name.
        instance_class: The DB instance class, for formulas.
        port: TCP port.
    """

    family: str
    changed: Mapping[str, str]
    instance_class: str
    port: int

    def value(self, name: str) -> str | None:
        """The value of a parameter: the group's, or RDS's default; None leaves it to the server."""
        if name in self.changed:
            return parameters.evaluate(self.changed[name], self.instance_class)
        known = parameters.catalogue(self.family).get(name)
        return parameters.evaluate(known.default, self.instance_class) if known and known.default is not None else None


class Engine(Protocol):
    """A kind of database server."""

    server: str
    owner: str
    stop_signal: str

    def command(self) -> list[str]:
        """The container's first process."""

    def files(self, tuning: Tuning) -> dict[str, str]:
        """Configuration files by name."""

    def is_up(self, execute: Execute) -> bool:
        """Whether the server answers its superuser."""

    def set_master(self, execute: Execute, login: Login, create: bool) -> None:
        """Make the master user as given; with ``create`` the first database too."""

    def answers(self, execute: Execute, login: Login, tuning: Tuning) -> bool:
        """Whether the master user can log in over TCP and TLS."""

    def change(self, execute: Execute, tuning: Tuning, changed: Mapping[str, str | None]) -> None:
        """Apply dynamic parameters to a running server; None is the default."""

    def back_up(self, execute: Execute) -> None:
        """Copy the data of a running server into the exchange folder, ready to start from."""


class MariaDb:
    """MariaDB, for the engines mysql and mariadb."""

    server = "mariadb"
    owner = "mysql"
    stop_signal = "SIGTERM"
    # Formulas of RDS that assume that the machine is the database's alone.
    own_default = frozenset({"innodb_buffer_pool_size"})

    def command(self) -> list[str]:
        """The server in the foreground."""
        return ["mariadbd", f"--defaults-file={CONFIG}/my.cnf"]

    def files(self, tuning: Tuning) -> dict[str, str]:
        """One option file."""
        lines = [
            "[mariadbd]",
            f"datadir={DATA}/data",
            f"socket={DATA}/mariadb.sock",
            f"pid-file={DATA}/mariadb.pid",
            f"port={tuning.port}",
            "bind-address=0.0.0.0",
            f"ssl-cert={CONFIG}/server.pem",
            f"ssl-key={CONFIG}/server-key.pem",
            f"ssl-ca={CONFIG}/ca.pem",
            "skip-name-resolve",
            "skip-log-bin",
            "character-set-server=utf8mb4",
            "innodb-log-file-size=16M",
        ]
        lines += [f"loose_{name}={value}" for name, value in self._settings(tuning).items()]
        return {"my.cnf": "\n".join([*lines, ""])}

    def _settings(self, tuning: Tuning) -> dict[str, str]:
        found = {}
        for name in parameters.catalogue(tuning.family):
            if name in self.own_default and name not in tuning.changed:
                continue
            value = tuning.value(name)
            if value is not None:
                found[name] = value
        return found

    def is_up(self, execute: Execute) -> bool:
        """``SELECT 1`` as root."""
        return self._sql(execute, "SELECT 1;").strip() == "1"

    def set_master(self, execute: Execute, login: Login, create: bool) -> None:
        """A user from anywhere, with what RDS's master user may do."""
        user = f"{_quoted(login.user)}@'%'"
        statements = [
            f"CREATE USER IF NOT EXISTS {user};",
            f"ALTER USER {user} IDENTIFIED BY {_quoted(login.password)};",
            f"GRANT {MASTER_PRIVILEGES} ON *.* TO {user} WITH GRANT OPTION;",
            *KILL_PROCEDURES,
        ]
        if create and login.database:
            statements.append(f"CREATE DATABASE IF NOT EXISTS `{login.database.replace('`', '``')}`;")
        self._sql(execute, "\n".join(statements))

    def answers(self, execute: Execute, login: Login, tuning: Tuning) -> bool:
        """Logs in through the loopback address, verifying nothing but that TLS works."""
        options = "\n".join(
            [
                "[client]",
                f"user={_option(login.user)}",
                f"password={_option(login.password)}",
                "host=127.0.0.1",
                f"port={tuning.port}",
                "ssl=1",
                "disable-ssl-verify-server-cert",
                "",
            ]
        )
        command = ["mariadb", "--defaults-file=/dev/stdin", "--batch", "--skip-column-names", "--execute=SELECT 1"]
        return execute(command, options, self.owner).strip() == "1"

    def change(self, execute: Execute, tuning: Tuning, changed: Mapping[str, str | None]) -> None:
        """``SET GLOBAL``, each for itself: some RDS parameters are no variables of MariaDB."""
        lines = []
        for name in changed:
            value = tuning.value(name)
            if name in self.own_default and name not in tuning.changed:
                value = None
            literal = "DEFAULT" if value is None else value if re.fullmatch(r"\d+", value) else _quoted(value)
            lines.append(f"SET GLOBAL {name} = {literal};")
        self._sql(execute, "\n".join(lines), "--force")

    def back_up(self, execute: Execute) -> None:
        """mariadb-backup: consistent while the server goes on writing."""
        tool = ["mariadb-backup", f"--defaults-file={CONFIG}/my.cnf", f"--target-dir={EXCHANGE}/data"]
        execute([*tool, "--backup", f"--socket={DATA}/mariadb.sock", "--user=root"], "", "root")
        execute([*tool, "--prepare"], "", "root")
        execute(["chown", "-R", f"{self.owner}:{self.owner}", f"{EXCHANGE}/data"], "", "root")

    def _sql(self, execute: Execute, statements: str, *options: str) -> str:
        command = [
            "mariadb", "--no-defaults", f"--socket={DATA}/mariadb.sock", "--user=root", "--batch",
            "--skip-column-names", *options,
        ]  # fmt: skip
        return execute(command, statements, "root")


class PostgreSql:
    """PostgreSQL."""

    server = "postgresql"
    owner = "postgres"
    # Ask clients to leave, but do not wait until they have.
    stop_signal = "SIGINT"
    own_default = frozenset(
        {"shared_buffers", "effective_cache_size", "maintenance_work_mem", "max_worker_processes", "max_wal_size"}
    )

    def command(self) -> list[str]:
        """The server in the foreground."""
        return ["/usr/lib/postgresql/17/bin/postgres", "-D", f"{DATA}/data", "-c", f"config_file={CONFIG}/server.conf"]

    def files(self, tuning: Tuning) -> dict[str, str]:
        """Configuration, who may log in, and who is the superuser."""
        secure = tuning.value("rds.force_ssl") == "1"
        settings = {
            "data_directory": f"{DATA}/data",
            "hba_file": f"{CONFIG}/hba.conf",
            "ident_file": f"{CONFIG}/ident.conf",
            "listen_addresses": "*",
            "port": str(tuning.port),
            "unix_socket_directories": DATA,
            "ssl": "on",
            "ssl_cert_file": f"{CONFIG}/server.pem",
            "ssl_key_file": f"{CONFIG}/server-key.pem",
            "log_destination": "stderr",
            "shared_preload_libraries": "pg_stat_statements",
            "wal_level": "logical" if tuning.value("rds.logical_replication") == "1" else "replica",
        }
        for name in parameters.catalogue(tuning.family):
            if name.startswith("rds.") or (name in self.own_default and name not in tuning.changed):
                continue
            value = tuning.value(name)
            if value is not None:
                settings[name] = value
        lines = [f"{name} = '{value.replace(chr(39), chr(39) * 2)}'" for name, value in settings.items()]
        access = [
            "local all rdsadmin peer map=cloud",
            "local replication rdsadmin peer map=cloud",
            f"{'hostssl' if secure else 'host'} all all 0.0.0.0/0 scram-sha-256",
        ]
        return {
            "server.conf": "\n".join([*lines, ""]),
            "hba.conf": "\n".join([*access, ""]),
            "ident.conf": "cloud postgres rdsadmin\n",
        }

    def is_up(self, execute: Execute) -> bool:
        """``SELECT 1`` as the superuser."""
        return self._sql(execute, "SELECT 1;").strip() == "1"

    def set_master(self, execute: Execute, login: Login, create: bool) -> None:
        """A user that creates roles and databases, in RDS's role of administrators."""
        user = _identifier(login.user)
        statements = [
            "SELECT 'CREATE ROLE rds_superuser NOLOGIN' WHERE NOT EXISTS"
            " (SELECT FROM pg_roles WHERE rolname = 'rds_superuser') \\gexec",
            "GRANT pg_monitor, pg_signal_backend, pg_checkpoint, pg_read_all_data, pg_write_all_data"
            " TO rds_superuser WITH ADMIN OPTION;",
            # psql has no parameters for statements such as these: every value in them is quoted.
            f"SELECT {_literal(f'CREATE ROLE {user} LOGIN')} WHERE NOT EXISTS"  # noqa: S608
            f" (SELECT FROM pg_roles WHERE rolname = {_literal(login.user)}) \\gexec",
            f"ALTER ROLE {user} LOGIN CREATEDB CREATEROLE PASSWORD {_literal(login.password)};",
            f"GRANT rds_superuser TO {user} WITH ADMIN OPTION;",
        ]
        if create:
            name = login.database or "postgres"
            if name != "postgres":
                creation = _literal(f"CREATE DATABASE {_identifier(name)} OWNER {user}")
                statements.append(
                    f"SELECT {creation} WHERE NOT EXISTS"  # noqa: S608
                    f" (SELECT FROM pg_database WHERE datname = {_literal(name)}) \\gexec"
                )
            statements.append(f"ALTER DATABASE {_identifier(name)} OWNER TO {user};")
        # The password must not reach the server's log when a statement fails.
        self._sql(execute, "\n".join(["SET log_min_error_statement = panic;", *statements]))

    def answers(self, execute: Execute, login: Login, tuning: Tuning) -> bool:
        """Connects again as the master user, over TCP and TLS."""

        def word(value: str) -> str:
            return "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"

        target = (
            f"host=127.0.0.1 port={tuning.port} dbname={word(login.database or 'postgres')} sslmode=require "
            f"user={word(login.user)} password={word(login.password)}"
        )
        script = "\\connect " + _psql_quoted(target) + "\nSELECT 1;"
        return self._sql(execute, script).strip().endswith("1")

    def change(self, execute: Execute, tuning: Tuning, changed: Mapping[str, str | None]) -> None:
        """The new files are in place: read them again."""
        del tuning, changed
        self._sql(execute, "SELECT pg_reload_conf();")

    def back_up(self, execute: Execute) -> None:
        """pg_basebackup: consistent while the server goes on writing."""
        execute(
            [
                "pg_basebackup", f"--host={DATA}", "--username=rdsadmin", f"--pgdata={EXCHANGE}/data",
                "--wal-method=stream", "--checkpoint=fast", "--no-sync",
            ],
            "",
            self.owner,
        )  # fmt: skip

    def _sql(self, execute: Execute, statements: str) -> str:
        command = [
            "psql", "--no-psqlrc", "--quiet", "--tuples-only", "--no-align", "--set=ON_ERROR_STOP=1", f"--host={DATA}",
            "--username=rdsadmin", "--dbname=postgres",
        ]  # fmt: skip
        return execute(command, statements, self.owner)


ENGINES: dict[str, Engine] = {"mysql": MariaDb(), "mariadb": MariaDb(), "postgres": PostgreSql()}


def _quoted(text: str) -> str:
    """A string literal of MariaDB."""
    return "'" + text.replace("\\", "\\\\").replace("'", "''") + "'"


def _option(text: str) -> str:
    """A value in an option file of MariaDB."""
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _identifier(text: str) -> str:
    """A quoted name of PostgreSQL."""
    return '"' + text.replace('"', '""') + '"'


def _literal(text: str) -> str:
    """A quoted string of PostgreSQL."""
    return "'" + text.replace("'", "''") + "'"


def _psql_quoted(text: str) -> str:
    """An argument of a psql command."""
    return '"' + text.replace('"', '""') + '"'
