"""The role database: from nothing to nothing with each engine, what it alters and keeps, and what it refuses."""

import json

import pytest

from support.stack_account import announcements

TAGS = {"stackyard:environment": "demo", "stackyard:application": "wordpress"}
NAME = "demo-wordpress"
PASSWORD = "correct-horse-battery-staple"
ENGINES = [
    ("mysql", "8.4", 3306, ("require_secure_transport", "1")),
    ("mariadb", "11.4", 3306, ("require_secure_transport", "1")),
    ("postgres", "17", 5432, ("rds.force_ssl", "1")),
]


@pytest.fixture
def variables(cloud):
    ec2 = cloud.client("ec2")
    subnets = sorted(ec2.describe_subnets()["Subnets"], key=lambda subnet: subnet["AvailabilityZone"])[:2]
    group = ec2.create_security_group(GroupName="sql", Description="sql", VpcId=subnets[0]["VpcId"])["GroupId"]
    account = json.dumps({"username": "wordpress", "password": PASSWORD})
    cloud.client("secretsmanager").create_secret(Name="demo/database", SecretString=account)
    return {
        "database_name": NAME,
        "database_tags": TAGS,
        "database_schema": "wordpress",
        "database_secret": "demo/database",
        "database_subnet_ids": [subnet["SubnetId"] for subnet in subnets],
        "database_security_group_ids": [group],
        "database_wait_timeout": 60,
    }


@pytest.fixture
def gone():
    return {"database_name": NAME, "database_tags": TAGS, "database_state": "absent", "database_wait_timeout": 60}


def instance(cloud):
    [found] = cloud.client("rds").describe_db_instances()["DBInstances"]
    return found


def same_as_checked(ansible, cloud, variables):
    """Check, then do; what was announced without a write is what is done."""
    cloud.forget_requests()
    checked = ansible.run_role("database", variables, check=True)
    assert cloud.writes() == []
    done = ansible.run_role("database", variables)
    assert announcements(checked) == announcements(done)
    assert cloud.server_errors() == []
    return done


@pytest.mark.parametrize("kind", ENGINES, ids=lambda kind: kind[0])
def test_from_nothing_to_nothing(ansible, cloud, variables, gone, kind):
    engine, version, port, tls = kind
    variables |= {"database_engine": engine, "database_engine_version": version}
    gone |= {"database_engine": engine, "database_engine_version": version}
    done = same_as_checked(ansible, cloud, variables)
    assert len(announcements(done)) == 3
    assert PASSWORD not in done.stdout

    awaited = ansible.run_role("database", variables, tasks_from="wait")
    made = instance(cloud)
    assert awaited.facts["database_result"] == {
        "identifier": NAME,
        "host": made["Endpoint"]["Address"],
        "port": port,
        "name": "wordpress",
    }
    assert (made["Engine"], made["MasterUsername"], made["DBName"]) == (engine, "wordpress", "wordpress")
    assert made["EngineVersion"].split(".")[: len(version.split("."))] == version.split(".")
    assert (made["StorageEncrypted"], made["MultiAZ"], made["PubliclyAccessible"]) == (True, True, False)
    assert {tag["Key"]: tag["Value"] for tag in made["TagList"]} == TAGS | {"Name": NAME}
    parameters = cloud.client("rds").describe_db_parameters(
        DBParameterGroupName=made["DBParameterGroups"][0]["DBParameterGroupName"]
    )["Parameters"]
    assert tls in [(entry["ParameterName"], entry.get("ParameterValue")) for entry in parameters]

    cloud.forget_requests()
    again = ansible.run_role("database", variables)
    assert (again.changed, cloud.writes()) == ([], [])
    assert again.facts["database_result"] == awaited.facts["database_result"]

    same_as_checked(ansible, cloud, gone)
    rds = cloud.client("rds")
    assert rds.describe_db_instances()["DBInstances"] == []
    assert NAME not in [group["DBSubnetGroupName"] for group in rds.describe_db_subnet_groups()["DBSubnetGroups"]]
    [snapshot] = rds.describe_db_snapshots()["DBSnapshots"]
    assert snapshot["DBSnapshotIdentifier"].startswith(f"{NAME}-final-")
    assert {tag["Key"]: tag["Value"] for tag in snapshot["TagList"]}["stackyard:keep"] == "true"

    cloud.forget_requests()
    assert ansible.run_role("database", gone).changed == []
    # The module of amazon.aws deletes a subnet group without looking for it.
    assert set(cloud.writes()) <= {"rds:DeleteDBSubnetGroup"}


def test_without_a_last_snapshot_nothing_is_kept(ansible, cloud, variables, gone):
    ansible.run_role("database", variables | {"database_deletion_protection": False})
    ansible.run_role("database", gone | {"database_final_snapshot": False})
    rds = cloud.client("rds")
    assert (rds.describe_db_instances()["DBInstances"], rds.describe_db_snapshots()["DBSnapshots"]) == ([], [])


def test_what_can_be_altered_is_altered_once(ansible, cloud, variables):
    ansible.run_role("database", variables)
    altered = variables | {
        "database_class": "db.t4g.medium",
        "database_storage_gb": 50,
        "database_max_storage_gb": 100,
        "database_multi_az": False,
        "database_backup_days": 14,
        "database_deletion_protection": False,
        "database_parameters": {"max_connections": "200"},
        "database_tags": TAGS | {"owner": "web"},
    }
    same_as_checked(ansible, cloud, altered)
    found = instance(cloud)
    assert (found["DBInstanceClass"], found["AllocatedStorage"]) == ("db.t4g.medium", 50)
    assert (found["MultiAZ"], found["BackupRetentionPeriod"], found["DeletionProtection"]) == (False, 14, False)
    assert {"Key": "owner", "Value": "web"} in found["TagList"]
    cloud.forget_requests()
    assert ansible.run_role("database", altered).changed == []
    assert cloud.writes() == []

    # AWS cannot shrink a volume: the one that is there stays, and nothing is announced for ever after.
    assert ansible.run_role("database", altered | {"database_storage_gb": 20}).changed == []


def test_another_engine_is_refused(ansible, cloud, variables):
    ansible.run_role("database", variables)
    other = variables | {"database_engine": "postgres", "database_engine_version": "17"}
    checked = ansible.run_role("database", other, check=True, expect_failure=True)
    assert "an engine cannot be changed" in checked.messages[0]
    assert instance(cloud)["Engine"] == "mysql"


WRONG = [
    ({"database_name": "Demo"}, "database_name is 'Demo': a name of up to 63 small letters"),
    ({"database_schema": "1st"}, "database_schema is '1st': a name of letters"),
    ({"database_secret": ""}, "database_secret is not set: the name of a secret"),
    ({"database_engine": "oracle"}, "value of database_engine must be one of"),
    ({"database_engine_version": "8"}, "database_engine_version is '8': two numbers"),
    ({"database_class": "t4g.small"}, "database_class is 't4g.small': a class of RDS"),
    ({"database_storage_gb": 5}, "database_storage_gb is 5: a whole number of GiB from 20 to 65536"),
    ({"database_max_storage_gb": 21}, "database_max_storage_gb is 21: 0, or a whole number of GiB from 22"),
    ({"database_storage_gb": 100, "database_max_storage_gb": 105}, "a tenth or more above database_storage_gb (100)"),
    ({"database_backup_days": 36}, "database_backup_days is 36: a whole number of days from 0 to 35"),
    ({"database_subnet_ids": ["subnet-0123456789abcdef0"]}, "two or more subnets in different zones"),
    ({"database_security_group_ids": []}, "database_security_group_ids is not set: a list of security groups"),
    ({"database_multi_zone": True}, "database_multi_az is meant"),
]


def test_wrong_input_is_refused(ansible, cloud, variables):
    cloud.forget_requests()
    said = ansible.refusals("database", [variables | wrong for wrong, _ in WRONG])
    assert [(sentence, text) for (_, sentence), text in zip(WRONG, said, strict=True) if sentence not in text] == []
    assert cloud.writes() == []
