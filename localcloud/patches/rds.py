"""RDS: instances and snapshots with versions, gp3, Performance Insights, second zones, refusals, statuses.

A database part behind the API (``databases``) sets ``backed``: instances and snapshots then pass through the statuses
of RDS (``creating``, ``modifying``, ``rebooting``, ``stopping``, ``starting``, ``deleting``) until that part has done
the work. Without one (module tests) they arrive at once.
"""

from __future__ import annotations

import json
import secrets
import string
from collections.abc import Callable
from typing import Any

from moto.core.responses import ActionResult
from moto.core.utils import utcnow
from moto.rds.exceptions import (
    InvalidParameterCombination,
    InvalidParameterValue,
    RDSClientError,
)
from moto.rds.models import DBInstance, DBSnapshot, MasterUserSecret, RDSBackend
from moto.rds.responses import RDSResponse

from localcloud import database_parameters as parameters
from localcloud.patches._tools import add, wrap

# Whether real databases stand behind the API.
backed = False

CA = "rds-ca-rsa2048-g1"
GP3_IOPS, GP3_THROUGHPUT = 3000, 125
PASSWORD_LENGTH = {"mysql": (8, 41), "mariadb": (8, 41), "postgres": (8, 128)}


def apply() -> None:
    """Apply all work-rounds of this service."""
    for engine, versions in parameters.VERSIONS.items():
        DBInstance.default_engine_versions[engine] = versions[0]
    # Serialised where they are absent on instances restored from an older state.
    for name, value in {
        "performance_insights_enabled": False,
        "secondary_availability_zone": None,
        "parameters_pending_reboot": False,
    }.items():
        add(DBInstance, name, value)
    add(DBSnapshot, "percent_progress", 100)
    wrap(DBInstance, "__init__", _instance)
    wrap(DBInstance, "default_allocated_storage", _default_allocated_storage)
    wrap(DBInstance, "default_db_parameter_group_details", _default_parameter_group)
    wrap(DBInstance, "update", _update)
    wrap(DBInstance, "save_automated_backup", _save_automated_backup)
    wrap(MasterUserSecret, "_generate_secret_string", _secret_string)
    wrap(RDSBackend, "create_db_instance", _create)
    wrap(RDSBackend, "modify_db_instance", _modify)
    wrap(RDSBackend, "delete_db_instance", _delete)
    wrap(RDSBackend, "stop_db_instance", _stop)
    wrap(RDSBackend, "start_db_instance", _start)
    wrap(RDSBackend, "create_db_snapshot", _create_snapshot)
    wrap(RDSBackend, "restore_db_instance_from_db_snapshot", _restore)
    wrap(RDSBackend, "create_subnet_group", _create_subnet_group)
    wrap(RDSBackend, "delete_subnet_group", _delete_subnet_group)
    wrap(RDSResponse, "reboot_db_instance", _reboot)
    wrap(RDSResponse, "create_db_snapshot", _create_snapshot_response)
    add(RDSResponse, "describe_db_engine_versions", _describe_engine_versions)
    add(RDSResponse, "describe_certificates", _describe_certificates)


def _instance(original: Callable[..., Any], self: Any, *arguments: Any, **named: Any) -> None:
    """What CreateDBInstance fills in by itself.

    The full engine version, IOPS and throughput of gp3, the zone out of the subnet group and a second one for
    Multi-AZ, Performance Insights as asked for, and an id of its own.
    https://docs.aws.amazon.com/AmazonRDS/latest/APIReference/API_DBInstance.html
    """
    if not named.get("db_cluster_identifier"):
        named["engine_version"] = parameters.full_version(named.get("engine", ""), named.get("engine_version"))
    named["ca_certificate_identifier"] = named.get("ca_certificate_identifier") or CA
    original(self, *arguments, **named)
    self.dbi_resource_id = "db-" + "".join(secrets.choice(string.ascii_uppercase + string.digits) for _ in range(26))
    self.performance_insights_enabled = bool(
        named.get("enable_performance_insights", named.get("performance_insights_enabled"))
    )
    _insights(self, named)
    if self.db_cluster_identifier is None:
        _gp3(self)
    _zones(self, named.get("availability_zone"))


def _insights(self: Any, named: dict[str, Any]) -> None:
    if self.performance_insights_enabled:
        self.performance_insights_retention_period = named.get("performance_insights_retention_period") or 7
        self.performance_insights_kms_key_id = named.get("performance_insights_kms_key_id")


def _gp3(self: Any) -> None:
    if self.storage_type == "gp3":
        self.iops = self.iops or GP3_IOPS
        self.storage_throughput = self.storage_throughput or GP3_THROUGHPUT


def _zones(self: Any, wanted: str | None) -> None:
    group = getattr(self, "db_subnet_group", None)
    zones = sorted({entry["SubnetAvailabilityZone"]["Name"] for entry in group.subnets}) if group else []
    if zones and self.availability_zone not in zones:
        self.availability_zone = wanted if wanted in zones else zones[0]
    others = [zone for zone in zones if zone != self.availability_zone]
    if not self.multi_az:
        self.secondary_availability_zone = None
    elif self.secondary_availability_zone in (None, self.availability_zone):
        self.secondary_availability_zone = others[0] if others else f"{self.region}b"


def _default_allocated_storage(original: Callable[..., Any], engine: str, storage_type: str) -> int:
    """gp3 and io2 have default sizes too.

    https://docs.aws.amazon.com/AmazonRDS/latest/UserGuide/CHAP_Storage.html
    """
    result: int = original(engine, {"gp3": "gp2", "io2": "io1"}.get(storage_type, storage_type))
    return result


def _default_parameter_group(original: Callable[..., Any], self: Any) -> tuple[str, str]:
    """The family of mysql and mariadb is major.minor, that of postgres the major version.

    https://docs.aws.amazon.com/AmazonRDS/latest/UserGuide/USER_WorkingWithParamGroups.html
    """
    if self.engine not in parameters.VERSIONS:
        result: tuple[str, str] = original(self)
        return result
    family = parameters.family(self.engine, self.engine_version)
    return family, f"default.{family}"


def _update(original: Callable[..., Any], self: Any, **named: Any) -> None:
    """Modifications that moto drops: Performance Insights, Multi-AZ's second zone, gp3's figures.

    https://docs.aws.amazon.com/AmazonRDS/latest/APIReference/API_ModifyDBInstance.html
    """
    if "enable_performance_insights" in named:
        self.performance_insights_enabled = bool(named["enable_performance_insights"])
        _insights(self, named)
    if named.get("engine_version"):
        named["engine_version"] = parameters.full_version(self.engine, named["engine_version"])
    original(self, **named)
    if self.db_cluster_identifier is None:
        _gp3(self)
    _zones(self, None)


def _secret_string(_original: Callable[..., Any], self: Any) -> str:
    """A managed master password is made at random, for the master user that was asked for.

    https://docs.aws.amazon.com/AmazonRDS/latest/UserGuide/rds-secrets-manager.html
    """
    password = "".join(secrets.choice(string.ascii_letters + string.digits + "-_.~!") for _ in range(32))
    return json.dumps({"username": self.resource.master_username, "password": password})


def _save_automated_backup(original: Callable[..., Any], self: Any) -> None:
    """There are no automated backups with a retention period of zero.

    https://docs.aws.amazon.com/AmazonRDS/latest/APIReference/API_CreateDBInstance.html
    """
    if self.backup_retention_period:
        original(self)


def _check_password(engine: str, password: str | None) -> None:
    """A master password has a length and a few characters that it may not contain.

    https://docs.aws.amazon.com/AmazonRDS/latest/APIReference/API_CreateDBInstance.html
    """
    if password is None:
        return
    least, most = PASSWORD_LENGTH.get(engine, (8, 128))
    if not least <= len(password) <= most:
        raise InvalidParameterValue(
            f"The parameter MasterUserPassword is not a valid password because it is not between {least} and "
            f"{most} characters long."
        )
    if set(password) & set('/@" ') or not password.isprintable():
        raise InvalidParameterValue(
            "The parameter MasterUserPassword is not a valid password. Only printable ASCII characters besides "
            "'/', '@', '\"', ' ' may be used."
        )


def _create(original: Callable[..., Any], self: Any, db_kwargs: dict[str, Any]) -> Any:
    """CreateDBInstance refuses bad passwords and missing master users, and takes its time.

    https://docs.aws.amazon.com/AmazonRDS/latest/APIReference/API_CreateDBInstance.html
    """
    engine = db_kwargs.get("engine", "")
    new = not db_kwargs.get("db_cluster_identifier") and not db_kwargs.get("from_snapshot")
    if new and engine in parameters.VERSIONS:
        if not db_kwargs.get("master_username"):
            raise InvalidParameterValue("The parameter MasterUsername must be provided and must not be blank.")
        if not (db_kwargs.get("master_user_password") or db_kwargs.get("manage_master_user_password")):
            raise InvalidParameterValue("The parameter MasterUserPassword must be provided and must not be blank.")
        _check_password(engine, db_kwargs.get("master_user_password"))
    database: Any = original(self, db_kwargs)
    if backed and database.engine in parameters.VERSIONS and database.db_cluster_identifier is None:
        database.status = "creating"
    return database


def _wrong_state(database: Any) -> RDSClientError:
    return RDSClientError(
        "InvalidDBInstanceState", f"DB instance {database.db_instance_identifier} is {database.status}."
    )


def _require_available(database: Any) -> None:
    if database.status != "available":
        raise _wrong_state(database)


def _modify(original: Callable[..., Any], self: Any, db_instance_identifier: str, db_kwargs: dict[str, Any]) -> Any:
    """ModifyDBInstance needs an instance that is up, and a good password.

    https://docs.aws.amazon.com/AmazonRDS/latest/APIReference/API_ModifyDBInstance.html
    """
    database = self.describe_db_instances(db_instance_identifier)[0]
    if database.status not in {"available", "stopped"}:
        raise _wrong_state(database)
    _check_password(database.engine, db_kwargs.get("master_user_password"))
    name = db_kwargs.get("db_parameter_group_name")
    if name:
        # A default group comes into being when it is first asked for.
        self.describe_db_parameter_groups({"db_parameter_group_name": name})
        database.parameters_pending_reboot = name != database.db_parameter_groups()[0].name and backed
    database = original(self, db_instance_identifier, db_kwargs)
    if backed and db_kwargs.get("master_user_password") and database.status == "available":
        database.status = "resetting-master-credentials"
    return database


def _delete(  # noqa: PLR0917 (moto's own arguments)
    original: Callable[..., Any],
    self: Any,
    db_instance_identifier: str,
    final_db_snapshot_identifier: str | None = None,
    skip_final_snapshot: bool | None = False,
    delete_automated_backups: bool | None = True,
    **named: Any,
) -> Any:
    """DeleteDBInstance wants to know about the final snapshot, and takes its time.

    https://docs.aws.amazon.com/AmazonRDS/latest/APIReference/API_DeleteDBInstance.html
    """
    database = self.databases.get(db_instance_identifier)
    # The database part comes back for the rest with `finished`.
    finished = named.pop("finished", False)
    if database is not None and not finished:
        if final_db_snapshot_identifier and skip_final_snapshot:
            raise InvalidParameterCombination(
                "FinalDBSnapshotIdentifier can not be specified when deleting with SkipFinalSnapshot."
            )
        if not (final_db_snapshot_identifier or skip_final_snapshot or database.db_cluster_identifier):
            raise InvalidParameterCombination(
                "FinalDBSnapshotIdentifier is required unless SkipFinalSnapshot is specified."
            )
        if database.status == "deleting":
            raise _wrong_state(database)
        if backed and database.engine in parameters.VERSIONS and not database.db_cluster_identifier:
            if database.deletion_protection:
                raise InvalidParameterCombination(
                    "Cannot delete protected DB Instance, please disable deletion protection and try again."
                )
            if final_db_snapshot_identifier:
                self.create_db_snapshot(db_instance_identifier, final_db_snapshot_identifier, snapshot_type="manual")
            database.status = "deleting"
            return database
    result: DBInstance = original(
        self, db_instance_identifier, final_db_snapshot_identifier, skip_final_snapshot, delete_automated_backups
    )
    return result


def _stop(
    original: Callable[..., Any],
    self: Any,
    db_instance_identifier: str,
    db_snapshot_identifier: str | None = None,
) -> Any:
    """StopDBInstance takes its time.

    https://docs.aws.amazon.com/AmazonRDS/latest/APIReference/API_StopDBInstance.html
    """
    database: Any = original(self, db_instance_identifier, db_snapshot_identifier)
    if backed:
        database.status = "stopping"
    return database


def _start(original: Callable[..., Any], self: Any, db_instance_identifier: str) -> Any:
    """StartDBInstance takes its time.

    https://docs.aws.amazon.com/AmazonRDS/latest/APIReference/API_StartDBInstance.html
    """
    database: Any = original(self, db_instance_identifier)
    if backed:
        database.status = "starting"
    return database


def _reboot(original: Callable[..., Any], self: RDSResponse) -> Any:
    """RebootDBInstance reboots; with a failover the second zone takes over.

    https://docs.aws.amazon.com/AmazonRDS/latest/APIReference/API_RebootDBInstance.html
    """
    database: Any = self.backend.describe_db_instances(self.params.get("DBInstanceIdentifier"))[0]
    _require_available(database)
    if self.params.get("ForceFailover"):
        if not database.multi_az:
            raise InvalidParameterCombination("Cannot perform a force failover on a Single-AZ instance.")
        database.availability_zone, database.secondary_availability_zone = (
            database.secondary_availability_zone,
            database.availability_zone,
        )
    if backed:
        database.status = "rebooting"
    else:
        database.parameters_pending_reboot = False
    return original(self)


def _create_snapshot_response(original: Callable[..., Any], self: RDSResponse) -> Any:
    """A snapshot needs an instance that is up.

    https://docs.aws.amazon.com/AmazonRDS/latest/APIReference/API_CreateDBSnapshot.html
    """
    if backed:
        _require_available(self.backend.describe_db_instances(self.params["DBInstanceIdentifier"])[0])
    return original(self)


def _create_snapshot(original: Callable[..., Any], self: Any, *arguments: Any, **named: Any) -> Any:
    """A snapshot takes its time; its copy of the instance is the instance as it was.

    https://docs.aws.amazon.com/AmazonRDS/latest/APIReference/API_CreateDBSnapshot.html
    """
    snapshot: Any = original(self, *arguments, **named)
    database = snapshot.database
    snapshot.storage_type = database.storage_type
    snapshot.option_group_name = database.option_group_name
    snapshot.availability_zone = database.availability_zone
    snapshot.license_model = database.license_model
    snapshot.iops, snapshot.storage_throughput = database.iops, database.storage_throughput
    snapshot.vpc_id = database.db_subnet_group.vpc_id if getattr(database, "db_subnet_group", None) else None
    if backed and database.engine in parameters.VERSIONS:
        snapshot.status = "creating"
        snapshot.percent_progress = 0
    return snapshot


def _restore(original: Callable[..., Any], self: Any, from_snapshot_id: str, overrides: dict[str, Any]) -> Any:
    """A restored instance starts from the snapshot's data, and is in the subnet group that was asked for.

    https://docs.aws.amazon.com/AmazonRDS/latest/APIReference/API_RestoreDBInstanceFromDBSnapshot.html
    """
    if from_snapshot_id.startswith("arn:"):
        from_snapshot_id = self.extract_snapshot_name_from_arn(from_snapshot_id)
    snapshot = self.describe_db_snapshots(None, from_snapshot_id)[0]
    if snapshot.status != "available":
        raise RDSClientError("InvalidDBSnapshotState", f"DB snapshot {from_snapshot_id} is not available.")
    wanted = {key: overrides[key] for key in overrides} | {"from_snapshot": snapshot.db_snapshot_identifier}
    # The copied instance carries the group object of its source, and its old address.
    database: Any = original(self, from_snapshot_id, wanted)
    database.from_snapshot = snapshot.db_snapshot_identifier
    database.deletion_protection = bool(overrides.get("deletion_protection"))
    database.multi_az = bool(overrides.get("multi_az"))
    database.tags = overrides.get("tags") or []
    database.network_interface_id = None
    _zones(database, None)
    return database


def _describe_engine_versions(self: RDSResponse) -> Any:
    """DescribeDBEngineVersions lists what can be created.

    https://docs.aws.amazon.com/AmazonRDS/latest/APIReference/API_DescribeDBEngineVersions.html
    """
    wanted, version = self.params.get("Engine"), self.params.get("EngineVersion")
    family = self.params.get("DBParameterGroupFamily")
    found = []
    for engine, versions in parameters.VERSIONS.items():
        for full in versions[:1] if self.params.get("DefaultOnly") else versions:
            entry = {
                "Engine": engine,
                "EngineVersion": full,
                "MajorEngineVersion": parameters.family(engine, full).removeprefix(engine),
                "DBParameterGroupFamily": parameters.family(engine, full),
                "DBEngineDescription": engine,
                "DBEngineVersionDescription": f"{engine} {full}",
                "Status": "available",
                "SupportedCACertificateIdentifiers": [CA],
            }
            if (
                wanted in (None, engine)
                and family in (None, entry["DBParameterGroupFamily"])
                and (version is None or full == version or full.startswith(f"{version}."))
            ):
                found.append(entry)
    return ActionResult({"DBEngineVersions": found})


def _describe_certificates(self: RDSResponse) -> Any:
    """DescribeCertificates names the authority that signs instances' certificates.

    https://docs.aws.amazon.com/AmazonRDS/latest/APIReference/API_DescribeCertificates.html
    """
    entry = {
        "CertificateIdentifier": CA,
        "CertificateType": "CA",
        "CertificateArn": f"arn:aws:rds:{self.region}::cert:{CA}",
        "ValidFrom": utcnow(),
        "ValidTill": utcnow().replace(year=utcnow().year + 30, day=1),
        "CustomerOverride": False,
    }
    return ActionResult({"Certificates": [entry], "DefaultCertificateForNewLaunches": CA})


def _create_subnet_group(
    original: Callable[..., Any], self: Any, subnet_name: str, description: str, subnets: Any, *arguments: Any,
    **named: Any,
) -> Any:  # fmt: skip
    """A subnet group covers at least two zones, and its name is taken once.

    https://docs.aws.amazon.com/AmazonRDS/latest/APIReference/API_CreateDBSubnetGroup.html
    """
    if subnet_name in self.subnet_groups:
        raise RDSClientError("DBSubnetGroupAlreadyExists", f"The DB subnet group '{subnet_name}' already exists.")
    if len({subnet.availability_zone for subnet in subnets}) < 2:
        raise RDSClientError(
            "DBSubnetGroupDoesNotCoverEnoughAZs",
            "The DB subnet group doesn't meet Availability Zone (AZ) coverage requirement. Current AZ coverage: "
            f"{', '.join(sorted({subnet.availability_zone for subnet in subnets}))}. "
            "Add subnets to cover at least 2 AZs.",
        )
    return original(self, subnet_name, description, subnets, *arguments, **named)


def _delete_subnet_group(original: Callable[..., Any], self: Any, subnet_name: str) -> Any:
    """A subnet group that an instance uses cannot be deleted.

    https://docs.aws.amazon.com/AmazonRDS/latest/APIReference/API_DeleteDBSubnetGroup.html
    """
    for database in self.databases.values():
        group = getattr(database, "db_subnet_group", None)
        if group is not None and group.name == subnet_name:
            raise RDSClientError(
                "InvalidDBSubnetGroupStateFault",
                f"Cannot delete the subnet group '{subnet_name}' because at least one database instance: "
                f"{database.db_instance_identifier} is still using it.",
            )
    return original(self, subnet_name)
