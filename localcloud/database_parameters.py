"""The parameters of RDS parameter groups that the local cloud knows, and how they reach MariaDB and PostgreSQL.

A selection: those that operators set for the applications of this collection. Names, types, limits and defaults follow
RDS's parameter groups; a name outside the selection is refused just as RDS refuses a name that it does not know.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

GIB = 1 << 30
# Memory by the size in a DB instance class, in bytes; enough to evaluate {DBInstanceClassMemory/…}.
_CLASS_MEMORY = {
    "micro": 1, "small": 2, "medium": 4, "large": 8, "xlarge": 16, "2xlarge": 32, "4xlarge": 64, "8xlarge": 128,
    "12xlarge": 192, "16xlarge": 256, "24xlarge": 384,
}  # fmt: skip
VERSIONS = {
    "mysql": ("8.4.6", "8.4.5", "8.0.43", "8.0.42"),
    "mariadb": ("11.8.3", "11.4.7", "10.11.13"),
    "postgres": ("17.6", "17.5", "16.10", "15.14", "14.19"),
}


class ParameterError(ValueError):
    """A parameter that RDS would refuse; its text is RDS's."""


@dataclass(frozen=True)
class Parameter:
    """One parameter of a parameter group family.

    Attributes:
        name: Its name in RDS, which is the server's own name but for ``rds.*``.
        default: RDS's value; ``None`` leaves it to the server.
        data_type: ``integer``, ``float``, ``boolean``, ``string`` or ``list``.
        allowed: Allowed values as RDS writes them: ``1-100000``, ``0,1`` or empty for any.
        static: Whether a change needs a reboot.
        since: First major version that has it.
    """

    name: str
    default: str | None
    data_type: str
    allowed: str
    static: bool = False
    since: float = 0

    def check(self, value: str) -> None:
        """Refuse a value that is not allowed.

        Raises:
            ParameterError: It is not.
        """
        if not self.allowed or value.startswith("{") or self._allows(value):
            return
        raise ParameterError(f"Invalid parameter value: {value} for: {self.name} allowed values are: {self.allowed}")

    def _allows(self, value: str) -> bool:
        limits = re.fullmatch(r"(-?[\d.]+)-([\d.]+)", self.allowed)
        if limits:
            try:
                return float(limits.group(1)) <= float(value) <= float(limits.group(2))
            except ValueError:
                return False
        given = value.split(",") if self.data_type == "list" else [value]
        return {part.strip().lower() for part in given} <= {part.lower() for part in self.allowed.split(",")}


_ON_OFF = "0,1"
_MYSQL = (
    Parameter("autocommit", None, "boolean", _ON_OFF),
    Parameter("character_set_client", None, "string", ""),
    Parameter("character_set_connection", None, "string", ""),
    Parameter("character_set_database", None, "string", ""),
    Parameter("character_set_results", None, "string", ""),
    Parameter("character_set_server", None, "string", "utf8mb4,utf8mb3,utf8,latin1,ascii,binary"),
    Parameter("collation_connection", None, "string", ""),
    Parameter("collation_server", None, "string", ""),
    Parameter("connect_timeout", None, "integer", "2-31536000"),
    Parameter("event_scheduler", None, "string", "ON,OFF"),
    Parameter("general_log", None, "boolean", _ON_OFF),
    Parameter("group_concat_max_len", None, "integer", "4-18446744073709551615"),
    Parameter("innodb_buffer_pool_size", "{DBInstanceClassMemory*3/4}", "integer", "5242880-18446744073709551615"),
    Parameter("innodb_file_per_table", "1", "boolean", _ON_OFF),
    Parameter("innodb_flush_log_at_trx_commit", "1", "integer", "0-2"),
    Parameter("innodb_lock_wait_timeout", None, "integer", "1-1073741824"),
    Parameter("innodb_log_buffer_size", "8388608", "integer", "262144-4294967295", static=True),
    Parameter("interactive_timeout", None, "integer", "1-31536000"),
    Parameter("local_infile", "1", "boolean", _ON_OFF),
    Parameter("lock_wait_timeout", None, "integer", "1-31536000"),
    Parameter("log_bin_trust_function_creators", None, "boolean", _ON_OFF),
    Parameter("log_output", "TABLE", "list", "TABLE,FILE,NONE"),
    Parameter("long_query_time", None, "float", "0-31536000"),
    Parameter("lower_case_table_names", None, "integer", _ON_OFF, static=True),
    Parameter("max_allowed_packet", None, "integer", "1024-1073741824"),
    Parameter("max_connect_errors", None, "integer", "1-9223372036854775807"),
    Parameter("max_connections", "{DBInstanceClassMemory/12582880}", "integer", "1-100000"),
    Parameter("max_heap_table_size", None, "integer", "16384-1844674407370954752"),
    Parameter("net_read_timeout", None, "integer", "1-31536000"),
    Parameter("net_write_timeout", None, "integer", "1-31536000"),
    Parameter("performance_schema", "0", "boolean", _ON_OFF, static=True),
    Parameter("require_secure_transport", None, "boolean", _ON_OFF),
    Parameter("skip_name_resolve", None, "boolean", _ON_OFF, static=True),
    Parameter("slow_query_log", None, "boolean", _ON_OFF),
    Parameter("sql_mode", None, "list", ""),
    Parameter("sync_binlog", "1", "integer", "0-18446744073709547520"),
    Parameter("table_open_cache", None, "integer", "1-524288"),
    Parameter("thread_cache_size", None, "integer", "0-16384"),
    Parameter("time_zone", None, "string", ""),
    Parameter("tls_version", "TLSv1.2,TLSv1.3", "list", "TLSv1.2,TLSv1.3", static=True),
    Parameter("tmp_table_size", None, "integer", "1024-18446744073709551615"),
    Parameter("transaction_isolation", None, "string",
              "READ-UNCOMMITTED,READ-COMMITTED,REPEATABLE-READ,SERIALIZABLE"),
    Parameter("wait_timeout", None, "integer", "1-31536000"),
)  # fmt: skip
_POSTGRES = (
    Parameter("autovacuum", "1", "boolean", _ON_OFF),
    Parameter("autovacuum_naptime", "15", "integer", "1-2147483"),
    Parameter("checkpoint_timeout", None, "integer", "30-3600"),
    Parameter("client_encoding", None, "string", ""),
    Parameter("default_text_search_config", None, "string", ""),
    Parameter("effective_cache_size", "{DBInstanceClassMemory/16384}", "integer", "1-2147483647"),
    Parameter("idle_in_transaction_session_timeout", "86400000", "integer", "0-2147483647"),
    Parameter("lc_messages", None, "string", ""),
    Parameter("lock_timeout", None, "integer", "0-2147483647"),
    Parameter("log_connections", None, "boolean", _ON_OFF),
    Parameter("log_disconnections", None, "boolean", _ON_OFF),
    Parameter("log_lock_waits", None, "boolean", _ON_OFF),
    Parameter("log_min_duration_statement", None, "integer", "-1-2147483647"),
    Parameter("log_statement", None, "string", "none,ddl,mod,all"),
    Parameter("maintenance_work_mem", "{GREATEST({DBInstanceClassMemory*1024/63963136},65536)}", "integer",
              "1024-2147483647"),
    Parameter("max_connections", "{LEAST({DBInstanceClassMemory/9531392},5000)}", "integer", "6-8388607", static=True),
    Parameter("max_parallel_workers_per_gather", None, "integer", "0-1024"),
    Parameter("max_wal_size", "2048", "integer", "128-201326592"),
    Parameter("max_worker_processes", "{GREATEST({DBInstanceVCPU*2},8)}", "integer", "0-262143", static=True),
    Parameter("password_encryption", "scram-sha-256", "string", "md5,scram-sha-256"),
    Parameter("random_page_cost", None, "float", "0-100000"),
    Parameter("rds.force_ssl", "1", "boolean", _ON_OFF, since=15),
    Parameter("rds.force_ssl", "0", "boolean", _ON_OFF, since=0),
    Parameter("rds.logical_replication", "0", "boolean", _ON_OFF, static=True),
    Parameter("shared_buffers", "{DBInstanceClassMemory/32768}", "integer", "16-1073741823", static=True),
    Parameter("ssl_min_protocol_version", "TLSv1.2", "string", "TLSv1.2,TLSv1.3"),
    Parameter("statement_timeout", None, "integer", "0-2147483647"),
    Parameter("timezone", "UTC", "string", ""),
    Parameter("wal_buffers", None, "integer", "-1-262143", static=True),
    Parameter("work_mem", None, "integer", "64-2147483647"),
)  # fmt: skip
# Families in which RDS insists on TLS by itself.
_SECURE_BY_DEFAULT = {"mysql8.4", "mariadb11.8"}


def family(engine: str, version: str) -> str:
    """The parameter group family of an engine version: ``mysql8.4``, ``postgres17``."""
    parts = version.split(".")
    return engine + (parts[0] if engine == "postgres" else ".".join(parts[:2]))


def engine_of(its_family: str) -> str:
    """The engine of a family, or an empty string for one that the local cloud does not run."""
    return next((engine for engine in VERSIONS if its_family.startswith(engine)), "")


def families() -> set[str]:
    """All families of the engines that the local cloud runs."""
    return {family(engine, version) for engine, versions in VERSIONS.items() for version in versions}


def full_version(engine: str, version: str | None) -> str | None:
    """The version that RDS picks for a version, a version's beginning, or none at all."""
    known = VERSIONS.get(engine, ())
    if not version:
        return known[0] if known else None
    return next((full for full in known if full == version or full.startswith(f"{version}.")), version)


def catalogue(its_family: str) -> dict[str, Parameter]:
    """The parameters of a family, by name."""
    engine = engine_of(its_family)
    if engine == "postgres":
        major = float(its_family.removeprefix("postgres") or 0)
        found: dict[str, Parameter] = {}
        for entry in _POSTGRES:
            if entry.since <= major:
                found.setdefault(entry.name, entry)
        return found
    if engine:
        found = {entry.name: entry for entry in _MYSQL}
        secure = found["require_secure_transport"]
        found[secure.name] = Parameter(
            secure.name, "1" if its_family in _SECURE_BY_DEFAULT else "0", secure.data_type, secure.allowed
        )
        return found
    return {}


def as_api(its_family: str, changed: dict[str, dict[str, Any]]) -> list[dict[str, Any]]:
    """The parameters of a group as DescribeDBParameters reports them.

    Args:
        its_family: The group's family.
        changed: What ModifyDBParameterGroup set, by name.
    """
    result = []
    for name, parameter in sorted(catalogue(its_family).items()):
        entry: dict[str, Any] = {
            "ParameterName": name,
            "Description": f"{name} (see the server's documentation)",
            "Source": "engine-default" if parameter.default is None else "system",
            "ApplyType": "static" if parameter.static else "dynamic",
            "DataType": parameter.data_type,
            "IsModifiable": True,
            "ApplyMethod": "pending-reboot",
        }
        if parameter.allowed:
            entry["AllowedValues"] = parameter.allowed
        if parameter.default is not None:
            entry["ParameterValue"] = parameter.default
        if name in changed:
            entry |= changed[name] | {"Source": "user"}
        result.append(entry)
    return result


def evaluate(formula: str, instance_class: str) -> str:
    """The value of an RDS formula such as ``{DBInstanceClassMemory*3/4}`` for an instance class.

    A plain value is returned as it is.

    Raises:
        ParameterError: It is not a formula that RDS knows.
    """
    if not formula.startswith("{"):
        return formula
    memory = _CLASS_MEMORY.get(instance_class.rsplit(".", 1)[-1], 2) * GIB
    return str(_evaluate(formula, {"DBInstanceClassMemory": memory, "DBInstanceVCPU": 2, "AllocatedStorage": 20 * GIB}))


def _evaluate(formula: str, variables: dict[str, int]) -> int:
    text = formula.strip()
    while text.startswith("{") and text.endswith("}"):
        text = text[1:-1].strip()
    if function := re.fullmatch(r"(GREATEST|LEAST|SUM)\((.*)\)", text, re.DOTALL):
        values = [_evaluate(part, variables) for part in _arguments(function.group(2))]
        if function.group(1) == "SUM":
            return sum(values)
        return max(values) if function.group(1) == "GREATEST" else min(values)
    tokens = re.findall(r"[A-Za-z]+|\d+|[*/]", text)
    if not tokens or "".join(tokens) != text.replace(" ", ""):
        raise ParameterError(f"Invalid parameter formula: {formula}")
    values = [_operand(token, variables, formula) for token in tokens[::2]]
    result = values[0]
    for operator, value in zip(tokens[1::2], values[1:], strict=True):
        result = result * value if operator == "*" else result // value
    return result


def _operand(token: str, variables: dict[str, int], formula: str) -> int:
    if token.isdecimal():
        return int(token)
    if token in variables:
        return variables[token]
    raise ParameterError(f"Invalid parameter formula: {formula}")


def _arguments(text: str) -> list[str]:
    """Split at the commas that are not within braces."""
    parts, depth, current = [], 0, ""
    for character in text:
        depth += {"{": 1, "(": 1, "}": -1, ")": -1}.get(character, 0)
        if character == "," and depth == 0:
            parts.append(current)
            current = ""
        else:
            current += character
    return [*parts, current]
