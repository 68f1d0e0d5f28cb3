"""RDS."""

import json
from typing import Any

import pytest
from botocore.exceptions import ClientError

from support.control_plane import Cloud
from support.gaps import gap

FAMILY = "mysql8.4"


def _create(cloud: Cloud, **more: Any) -> dict[str, Any]:
    arguments = {
        "DBInstanceIdentifier": "one",
        "DBInstanceClass": "db.t4g.micro",
        "Engine": "mysql",
        "AllocatedStorage": 20,
        "MasterUsername": "admin",
        "MasterUserPassword": "long-enough-1",
    }
    return cloud.client("rds").create_db_instance(**(arguments | more))["DBInstance"]


def _subnet_group(cloud: Cloud, zones: int = 2) -> str:
    subnets = cloud.client("ec2").describe_subnets()["Subnets"][:zones]
    cloud.client("rds").create_db_subnet_group(
        DBSubnetGroupName="data",
        DBSubnetGroupDescription="-",
        SubnetIds=[subnet["SubnetId"] for subnet in subnets],
    )
    return "data"


def _group(cloud: Cloud) -> Any:
    rds = cloud.client("rds")
    rds.create_db_parameter_group(DBParameterGroupName="own", DBParameterGroupFamily=FAMILY, Description="-")
    return rds


@gap("rds_parameter_groups")
def an_unknown_parameter_group_is_not_found(cloud: Cloud) -> None:
    with pytest.raises(ClientError, match="DBParameterGroupNotFound"):
        cloud.client("rds").describe_db_parameter_groups(DBParameterGroupName="none")


@gap("rds_parameter_groups")
def a_default_parameter_group_exists(cloud: Cloud) -> None:
    groups = cloud.client("rds").describe_db_parameter_groups(DBParameterGroupName=f"default.{FAMILY}")
    assert groups["DBParameterGroups"][0]["DBParameterGroupFamily"] == FAMILY


@gap("rds_parameter_groups")
def a_parameter_group_holds_every_parameter_of_its_family(cloud: Cloud) -> None:
    rds = _group(cloud)
    change = {"ParameterName": "max_connections", "ParameterValue": "77", "ApplyMethod": "immediate"}
    rds.modify_db_parameter_group(DBParameterGroupName="own", Parameters=[change])
    found = {
        entry["ParameterName"]: entry for entry in rds.describe_db_parameters(DBParameterGroupName="own")["Parameters"]
    }
    assert (found["max_connections"]["ParameterValue"], found["max_connections"]["Source"]) == ("77", "user")
    assert found["require_secure_transport"]["IsModifiable"] is True
    assert found["innodb_buffer_pool_size"]["Source"] == "system"
    own = rds.describe_db_parameters(DBParameterGroupName="own", Source="user")["Parameters"]
    assert [entry["ParameterName"] for entry in own] == ["max_connections"]
    rds.reset_db_parameter_group(DBParameterGroupName="own", ResetAllParameters=True)
    assert rds.describe_db_parameters(DBParameterGroupName="own", Source="user")["Parameters"] == []


@gap("rds_parameter_groups")
def a_family_has_default_parameters(cloud: Cloud) -> None:
    found = cloud.client("rds").describe_engine_default_parameters(DBParameterGroupFamily="postgres17")
    values = {entry["ParameterName"]: entry.get("ParameterValue") for entry in found["EngineDefaults"]["Parameters"]}
    assert values["rds.force_ssl"] == "1"


@gap("rds_parameter_groups")
def unknown_parameters_and_wrong_values_are_refused(cloud: Cloud) -> None:
    rds = _group(cloud)
    for name, value, method in (
        ("max_conections", "77", "immediate"),
        ("max_connections", "0", "immediate"),
        ("require_secure_transport", "yes", "immediate"),
        ("performance_schema", "1", "immediate"),
        ("max_connections", "{DBInstanceClassMemry/7}", "immediate"),
    ):
        change = {"ParameterName": name, "ParameterValue": value, "ApplyMethod": method}
        with pytest.raises(ClientError, match="InvalidParameter"):
            rds.modify_db_parameter_group(DBParameterGroupName="own", Parameters=[change])


@gap("rds")
def groups_in_use_stay(cloud: Cloud) -> None:
    rds = _group(cloud)
    _create(cloud, DBParameterGroupName="own", DBSubnetGroupName=_subnet_group(cloud))
    with pytest.raises(ClientError, match="InvalidDBParameterGroupState"):
        rds.delete_db_parameter_group(DBParameterGroupName="own")
    with pytest.raises(ClientError, match="InvalidDBSubnetGroupState"):
        rds.delete_db_subnet_group(DBSubnetGroupName="data")


@gap("rds")
def no_retention_means_no_automated_backup(cloud: Cloud) -> None:
    _create(cloud, BackupRetentionPeriod=0)
    assert cloud.client("rds").describe_db_snapshots()["DBSnapshots"] == []


@gap("rds")
def managed_passwords_are_random_and_for_the_master_user(cloud: Cloud) -> None:
    secrets = cloud.client("secretsmanager")
    found = []
    for name in ("one", "two"):
        arguments = {
            "DBInstanceIdentifier": name,
            "DBInstanceClass": "db.t4g.micro",
            "Engine": "mysql",
            "AllocatedStorage": 20,
            "MasterUsername": "root_of_all",
            "ManageMasterUserPassword": True,
        }
        secret = cloud.client("rds").create_db_instance(**arguments)["DBInstance"]["MasterUserSecret"]
        found.append(json.loads(secrets.get_secret_value(SecretId=secret["SecretArn"])["SecretString"]))
    assert {entry["username"] for entry in found} == {"root_of_all"}
    assert found[0]["password"] != found[1]["password"]


@gap("rds")
def gp3_has_its_figures(cloud: Cloud) -> None:
    created = _create(cloud, StorageType="gp3")
    assert (created["Iops"], created["StorageThroughput"]) == (3000, 125)


@gap("rds")
def a_version_is_completed_and_names_its_family(cloud: Cloud) -> None:
    created = _create(cloud, EngineVersion="8.0")
    assert created["EngineVersion"].startswith("8.0.")
    assert created["DBParameterGroups"][0]["DBParameterGroupName"] == "default.mysql8.0"


@gap("rds")
def performance_insights_are_kept(cloud: Cloud) -> None:
    assert _create(cloud, EnablePerformanceInsights=True)["PerformanceInsightsEnabled"] is True
    changed = cloud.client("rds").modify_db_instance(DBInstanceIdentifier="one", EnablePerformanceInsights=False)
    assert changed["DBInstance"]["PerformanceInsightsEnabled"] is False


@gap("rds")
def multi_az_has_a_second_zone_and_fails_over(cloud: Cloud) -> None:
    created = _create(cloud, MultiAZ=True, DBSubnetGroupName=_subnet_group(cloud))
    first, second = created["AvailabilityZone"], created["SecondaryAvailabilityZone"]
    assert first != second
    after = cloud.client("rds").reboot_db_instance(DBInstanceIdentifier="one", ForceFailover=True)["DBInstance"]
    assert (after["AvailabilityZone"], after["SecondaryAvailabilityZone"]) == (second, first)


@gap("rds")
def instances_have_ids_of_their_own(cloud: Cloud) -> None:
    ids = {_create(cloud, DBInstanceIdentifier=name)["DbiResourceId"] for name in ("one", "two")}
    assert len(ids) == 2


@gap("rds")
def bad_passwords_are_refused(cloud: Cloud) -> None:
    for password in ("short", "with space in it", "with/slash/in-it"):
        with pytest.raises(ClientError, match="MasterUserPassword"):
            _create(cloud, MasterUserPassword=password)


@gap("rds")
def deleting_asks_for_a_final_snapshot(cloud: Cloud) -> None:
    _create(cloud)
    rds = cloud.client("rds")
    with pytest.raises(ClientError, match="FinalDBSnapshotIdentifier is required"):
        rds.delete_db_instance(DBInstanceIdentifier="one")
    rds.delete_db_instance(DBInstanceIdentifier="one", FinalDBSnapshotIdentifier="last")
    assert rds.describe_db_snapshots(DBSnapshotIdentifier="last")["DBSnapshots"][0]["Status"] == "available"


@gap("rds")
def a_subnet_group_covers_two_zones_and_is_made_once(cloud: Cloud) -> None:
    with pytest.raises(ClientError, match="DoesNotCoverEnoughAZs"):
        _subnet_group(cloud, zones=1)
    _subnet_group(cloud)
    with pytest.raises(ClientError, match="DBSubnetGroupAlreadyExists"):
        _subnet_group(cloud)


@gap("rds")
def engine_versions_and_authorities_are_listed(cloud: Cloud) -> None:
    rds = cloud.client("rds")
    versions = rds.describe_db_engine_versions(Engine="mysql", DefaultOnly=True)["DBEngineVersions"]
    assert [entry["DBParameterGroupFamily"] for entry in versions] == [FAMILY]
    assert _create(cloud)["CACertificateIdentifier"] in {
        entry["CertificateIdentifier"] for entry in rds.describe_certificates()["Certificates"]
    }
