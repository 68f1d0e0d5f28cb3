"""What the cloud roles refuse, and that they accept their own defaults."""

from pathlib import Path

import pytest
import yaml
from ansible_collections.stackyard.aws.plugins.module_utils.role_problems import RULES, TOGETHER, role_problems

ROLES = Path(__file__).resolve().parents[3] / "roles"

HOME = "arn:aws:elasticfilesystem:us-east-1:123456789012:file-system/fs-0123456789abcdef0"
ALARM = {
    "name": "credits",
    "namespace": "AWS/EFS",
    "metric": "BurstCreditBalance",
    "statistic": "Minimum",
    "threshold": 1,
    "comparison": "LessThanThreshold",
}
RATIO = {"name": "used", "expression": "100 * moved", "threshold": 80, "comparison": "GreaterThanThreshold"}

REQUIRED = {
    "network": {
        "name": "demo",
        "tags": {},
        "cidr": "10.42.0.0/16",
        "zones": ["us-east-1a", "us-east-1b"],
        "nat": "one",
    },
    "address": {"name": "demo-jenkins", "tags": {}},
    "alarms": {"name": "demo-jenkins", "tags": {}, "alarms": [ALARM]},
    "backup": {"name": "demo-jenkins", "tags": {}, "resources": [HOME]},
    "secret": {"tags": {}, "secrets": [{"key": "a", "name": "demo/a", "fields": {"password": {"random": 32}}}]},
    "lease_table": {"name": "demo-leases", "tags": {}},
    "database": {
        "name": "demo",
        "tags": {},
        "schema": "wordpress",
        "secret": "demo/a",
        "subnet_ids": ["subnet-1", "subnet-2"],
        "security_group_ids": ["sg-1"],
    },
    "filesystem": {"name": "demo", "tags": {}, "subnet_ids": ["subnet-1"], "security_group_ids": ["sg-1"]},
    "load_balancer": {
        "name": "demo",
        "tags": {},
        "vpc_id": "vpc-1",
        "subnet_ids": ["subnet-1", "subnet-2"],
        "security_group_ids": ["sg-1"],
        "https": False,
    },
    "fleet": {
        "name": "demo",
        "tags": {},
        "image_id": "ami-0123456789abcdef0",
        "subnet_ids": ["subnet-1"],
        "security_group_ids": ["sg-1"],
        "application": "wordpress",
        "environment": "demo",
        "region": "us-east-1",
    },
}

WRONG = [
    ("network", {"nat": "none"}, "network_nat is none"),
    ("network", {"vpc_id": "main"}, "network_vpc_id is 'main': the id of a VPC"),
    ("alarms", {"name": "demo jenkins"}, "alarms_name is 'demo jenkins'"),
    ("alarms", {"alarms": [ALARM, ALARM]}, "has the name 'credits' twice"),
    ("alarms", {"alarms": [ALARM | {"name": "a b"}]}, "alarms_alarms, a b: a name of 1 to 100 letters"),
    ("alarms", {"alarms": [ALARM | {"extended_statistic": "p99"}]}, "one of statistic and extended_statistic"),
    ("alarms", {"alarms": [ALARM | {"statistic": None}]}, "one of statistic and extended_statistic"),
    ("alarms", {"alarms": [ALARM | {"metric": None}]}, "namespace and metric, or expression and metrics, are accepted"),
    ("alarms", {"alarms": [ALARM | {"expression": "a"}]}, "namespace is accepted without expression alone"),
    ("alarms", {"alarms": [RATIO | {"metrics": {}}]}, "metrics is not set"),
    ("alarms", {"alarms": [RATIO | {"metrics": {"A": {}}}]}, "a name that begins with a small letter, with namespace"),
    (
        "alarms",
        {"alarms": [ALARM | {"statistic": None, "extended_statistic": "99"}]},
        "a percentile such as p99",
    ),
    ("alarms", {"alarms": [ALARM | {"period": 45}]}, "10, 20, 30 or a multiple of 60 seconds is accepted"),
    ("alarms", {"alarms": [ALARM | {"period": 300, "evaluation_periods": 300}]}, "as long as they are a day together"),
    ("alarms", {"alarms": [ALARM | {"datapoints_to_alarm": 2}]}, "1 to evaluation_periods (1) is accepted"),
    ("alarms", {"alarms": [ALARM | {"actions": ["recover"]}]}, "actions has 'recover': ARNs"),
    ("alarms", {"alarms": [ALARM | {"actions": [f"arn:aws:sns:{n}" for n in range(5)]}]}, "at most 4 are accepted"),
    ("alarms", {"alarms": [ALARM | {"dimensions": {str(n): "x" for n in range(31)}}]}, "at most 30 are accepted"),
    ("alarms", {"subscribers": [{"protocol": "email", "endpoint": "operators"}]}, "operators@example.com"),
    ("alarms", {"subscribers": [{"protocol": "https", "endpoint": "https://a:b@example.com/"}]}, "without a user"),
    ("alarms", {"subscribers": [{"protocol": "https", "endpoint": "https://example.com/?key=1"}]}, "without a user"),
    ("alarms", {"kms_key_id": "alias/aws/sns"}, "whose policy lets CloudWatch use it"),
    ("backup", {"name": "demo.jenkins"}, "backup_name is 'demo.jenkins': a name of 2 to 50 letters"),
    ("backup", {"tags": {"aws:x": "y"}}, "none beginning with 'aws:'"),
    ("backup", {"purge": "yes"}, "backup_purge is 'yes': true or false is accepted"),
    ("backup", {"keep_vault": "yes"}, "backup_keep_vault is 'yes': true or false is accepted"),
    ("backup", {"resources": []}, "backup_resources is not set: a list of ARNs of EFS file systems and EBS volumes"),
    ("backup", {"resources": ["arn:aws:rds:us-east-1:123456789012:db:demo"]}, "a list of ARNs of EFS file systems"),
    ("backup", {"resources": [HOME, HOME]}, "each of them once"),
    ("backup", {"vault_name": "a"}, "backup_vault_name is 'a'"),
    ("backup", {"kms_key_arn": "alias/backup"}, "the ARN of a key"),
    ("backup", {"schedule": "0 5 * * *"}, "which has six fields such as cron(0 5 ? * * *), is accepted"),
    ("backup", {"start_window": 30}, "a whole number of minutes from 60 to 525600 is accepted"),
    ("backup", {"start_window": 480, "completion_window": 500}, "an hour more than backup_start_window (480)"),
    ("backup", {"retention_days": -1}, "0, or a whole number of days from 1 to 36500, is accepted"),
    ("backup", {"permissions_boundary": "boundary"}, "the ARN of a policy"),
    ("backup", {"wait_timeout": 1}, "backup_wait_timeout is 1"),
    ("secret", {"recovery_days": 3}, "0, or a whole number of days from 7 to 30, is accepted"),
    ("secret", {"secrets": [{"key": k, "name": "x", "fields": {}} for k in "ab"]}, "has the name 'x' twice"),
    ("database", {"name": "1"}, "database_name is '1': a name of up to 63"),
    ("database", {"schema": None}, "database_schema is not set"),
    ("database", {"subnet_ids": ["subnet-1"]}, "two or more subnets in different zones"),
    ("database", {"class": "small"}, "such as db.t4g.small"),
    ("database", {"engine_version": "8"}, "two numbers, such as"),
    ("database", {"storage_gb": 100, "max_storage_gb": 105}, "a tenth or more above database_storage_gb (100)"),
    ("database", {"storage_gb": "50"}, "on the command line as JSON"),
    ("filesystem", {"name": "x" * 65}, "a name of 1 to 64 characters is accepted"),
    ("filesystem", {"security_group_ids": []}, "filesystem_security_group_ids is not set"),
    ("filesystem", {"subnet_ids": ["subnet-1", "subnet-1"]}, "at most one in each zone, each of them once"),
    ("filesystem", {"provisioned_throughput": 5}, "filesystem_provisioned_throughput is 5"),
    ("filesystem", {"throughput_mode": "bursting"}, "filesystem_transition_to_archive"),
    ("filesystem", {"access_points": [{"name": "a", "path": "/../a", "uid": 1, "gid": 1}]}, "an absolute path"),
    ("filesystem", {"access_points": [{"name": "a", "path": "/a", "uid": -1, "gid": 1}]}, "uid is -1"),
    ("load_balancer", {"name": "internal-x"}, "load_balancer_name is 'internal-x'"),
    ("load_balancer", {"name": "x" * 33}, "at most 32 letters"),
    ("load_balancer", {"target_port": 0}, "load_balancer_target_port is 0: a whole number from 1 to 65535 is accepted"),
    ("load_balancer", {"health_check_timeout": 10}, "less than load_balancer_health_check_interval (10)"),
    ("load_balancer", {"healthy_threshold": 1}, "a whole number from 2 to 10 is accepted"),
    ("load_balancer", {"slow_start": 10}, "is 10: 0, or a whole number of seconds from 30 to 900, is accepted"),
    ("load_balancer", {"stickiness": -1}, "load_balancer_stickiness is -1"),
    ("load_balancer", {"domain": "not a domain"}, "load_balancer_domain is 'not a domain'"),
    ("load_balancer", {"alternative_names": ["*"]}, "a list of domain names"),
    ("load_balancer", {"access_logs_bucket": "Big"}, "load_balancer_access_logs_bucket is 'Big'"),
    ("load_balancer", {"https": True, "certificate_arn": "arn"}, "the ARN of a certificate"),
    ("load_balancer", {"https": True, "certificate_file": "a.pem"}, "both of them, or neither, are accepted"),
    ("load_balancer", {"https": True, "domain": "a.example.com"}, "nothing says where the certificate comes from"),
    (
        "fleet",
        {"refresh_checkpoints": [35, 70]},
        "fleet_refresh_checkpoints is [35, 70]: a list of ascending percentages",
    ),
    ("fleet", {"refresh_checkpoints": [70, 35, 100]}, "ascending percentages of which the last is 100"),
    ("fleet", {"refresh_alarms": "errors"}, "fleet_refresh_alarms is 'errors': a list of names of CloudWatch alarms"),
    ("fleet", {"name": "a b"}, "fleet_name is 'a b'"),
    ("fleet", {"instance_type": "big"}, "fleet_instance_type is 'big'"),
    ("fleet", {"max": 1001}, "fleet_max is 1001: a whole number of machines from 0 to 1000 is accepted"),
    ("fleet", {"min": 5}, "fleet_min is 5: a number up to fleet_max (4) is accepted"),
    ("fleet", {"volume_size": 4}, "a whole number of GiB from 8 to 16384 is accepted"),
    ("fleet", {"launch_hook_timeout": 10}, "a whole number of seconds from 30 to 7200 is accepted"),
    ("fleet", {"max_instance_lifetime": 60}, "0, or a whole number of seconds from 86400 to 31536000, is accepted"),
    ("fleet", {"cpu_target": 99}, "0, or a number of per cent from 10 to 90, is accepted"),
    ("fleet", {"refresh_min_healthy_percentage": 101}, "a whole number of per cent from 0 to 100 is accepted"),
    ("fleet", {"variables": {"a-b": 1}}, "fleet_variables: 'a-b' is not a name of a variable"),
    ("fleet", {"variables": {"a": 1}, "secrets": {"a": {"secret": "s"}}}, "fleet_variables.a is in fleet_secrets too"),
    ("fleet", {"schedules": [{"name": "x", "recurrence": "0 8 * * *"}]}, "one or more of min_size"),
    (
        "fleet",
        {"schedules": [{"name": "x", "recurrence": "0 8 * * *", "min_size": 3, "max_size": 2}]},
        "fleet_schedules[0] has {'min_size': 3, 'max_size': 2}: min_size <= max_size is accepted",
    ),
    ("fleet", {"mni": 1}, "fleet_mni is no variable of the role fleet: fleet_min is meant, perhaps."),
]


@pytest.fixture
def problems():
    def find(role, values=None):
        defaults = yaml.safe_load((ROLES / role / "defaults/main.yml").read_text())
        given = {f"{role}_{name}": value for name, value in (REQUIRED[role] | (values or {})).items()}
        return role_problems(role, defaults | given, defaults | given)

    return find


@pytest.mark.parametrize("role", sorted(REQUIRED))
def test_the_defaults_are_accepted(problems, role: str) -> None:
    assert problems(role) == []


@pytest.mark.parametrize(("role", "wrong", "sentence"), WRONG)
def test_what_cannot_work_is_refused(problems, role: str, wrong: dict, sentence: str) -> None:
    found = problems(role, wrong)
    assert any(sentence in problem for problem in found), found
    assert all(problem.endswith(".") and "\n" not in problem for problem in found)


@pytest.mark.parametrize("role", sorted(REQUIRED))
def test_to_remove_it_takes_no_more_than_a_name(role: str) -> None:
    defaults = yaml.safe_load((ROLES / role / "defaults/main.yml").read_text())
    given = defaults | {f"{role}_name": "demo", f"{role}_state": "absent"}
    given = {name: value for name, value in given.items() if name != "secret_name"}
    assert role_problems(role, given, given) == []


def test_every_role_has_rules_and_they_are_about_its_variables() -> None:
    assert sorted(RULES) == sorted(TOGETHER) == sorted(REQUIRED)
    for role, rules in RULES.items():
        options = yaml.safe_load((ROLES / role / "meta/argument_specs.yml").read_text())["argument_specs"]["main"]
        assert {rule.name for rule in rules} <= set(options["options"])
