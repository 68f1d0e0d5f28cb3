"""What the roles filesystem, load_balancer and fleet refuse, and that they accept their own defaults."""

from pathlib import Path

import pytest
import yaml
from ansible_collections.stackyard.aws.plugins.filter.unknown_variables import unknown_variables
from ansible_collections.stackyard.aws.plugins.module_utils import role_problems

ROLES = Path(__file__).resolve().parents[3] / "roles"

REQUIRED = {
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
    ("filesystem", {"name": "x" * 65}, "filesystem_name"),
    ("filesystem", {"security_group_ids": []}, "filesystem_security_group_ids is empty"),
    ("filesystem", {"subnet_ids": ["subnet-1", "subnet-1"]}, "each subnet may be listed once"),
    ("filesystem", {"provisioned_throughput": 5}, "filesystem_provisioned_throughput is 5"),
    ("filesystem", {"throughput_mode": "bursting"}, "filesystem_transition_to_archive"),
    ("filesystem", {"access_points": [{"name": "a", "path": "/../a", "uid": 1, "gid": 1}]}, "an absolute path"),
    ("filesystem", {"access_points": [{"name": "a", "path": "/a", "uid": -1, "gid": 1}]}, "uid is -1"),
    ("load_balancer", {"name": "internal-x"}, "load_balancer_name is 'internal-x'"),
    ("load_balancer", {"name": "x" * 33}, "at most 32 letters"),
    ("load_balancer", {"target_port": 0}, "load_balancer_target_port is 0: 1 to 65535 is accepted"),
    ("load_balancer", {"health_check_timeout": 10}, "less than load_balancer_health_check_interval (10)"),
    ("load_balancer", {"healthy_threshold": 1}, "load_balancer_healthy_threshold is 1: 2 to 10 is accepted"),
    ("load_balancer", {"slow_start": 10}, "load_balancer_slow_start is 10: 0, or 30 to 900 seconds is accepted"),
    ("load_balancer", {"stickiness": -1}, "load_balancer_stickiness is -1"),
    ("load_balancer", {"domain": "not a domain"}, "load_balancer_domain is 'not a domain'"),
    ("load_balancer", {"access_logs_bucket": "Big"}, "load_balancer_access_logs_bucket is 'Big'"),
    ("load_balancer", {"https": True, "certificate_arn": "arn"}, "the ARN of a certificate"),
    ("load_balancer", {"https": True, "certificate_file": "a.pem"}, "go together: give both or neither"),
    ("load_balancer", {"https": True, "domain": "a.example.com"}, "load_balancer_https needs a certificate"),
    ("fleet", {"name": "a b"}, "fleet_name is 'a b'"),
    ("fleet", {"instance_type": "big"}, "fleet_instance_type is 'big'"),
    ("fleet", {"max": 1001}, "fleet_max is 1001: 0 to 1000 is accepted"),
    ("fleet", {"volume_size": 4}, "fleet_volume_size is 4: 8 to 16384 GiB is accepted"),
    ("fleet", {"launch_hook_timeout": 10}, "fleet_launch_hook_timeout is 10: 30 to 7200 seconds is accepted"),
    ("fleet", {"max_instance_lifetime": 60}, "0, or 86400 to 31536000 seconds is accepted"),
    ("fleet", {"refresh_min_healthy_percentage": 101}, "0 to 100 per cent is accepted"),
    ("fleet", {"variables": {"a-b": 1}}, "fleet_variables: 'a-b' is not a name of a variable"),
    ("fleet", {"variables": {"a": 1}, "secrets": {"a": {"secret": "s"}}}, "fleet_variables.a is in fleet_secrets too"),
    ("fleet", {"schedules": [{"name": "x", "recurrence": "0 8 * * *"}]}, "give at least one of"),
    (
        "fleet",
        {"schedules": [{"name": "x", "recurrence": "0 8 * * *", "min_size": 3, "max_size": 2}]},
        "0 <= min_size <= desired_capacity <= max_size is accepted",
    ),
]


@pytest.fixture
def problems():
    def find(role, values=None):
        defaults = yaml.safe_load((ROLES / role / "defaults/main.yml").read_text())
        given = {name.removeprefix(f"{role}_"): value for name, value in defaults.items()}
        return getattr(role_problems, f"{role}_problems")(given | REQUIRED[role] | (values or {}))

    return find


@pytest.mark.parametrize("role", sorted(REQUIRED))
def test_the_defaults_are_accepted(problems, role: str) -> None:
    assert problems(role) == []


@pytest.mark.parametrize(("role", "wrong", "sentence"), WRONG)
def test_what_cannot_work_is_refused(problems, role: str, wrong: dict, sentence: str) -> None:
    found = problems(role, wrong)
    assert any(sentence in problem for problem in found), found
    assert all(problem.endswith(".") and "\n" not in problem for problem in found)


def test_a_misspelt_variable_is_told_with_the_one_that_was_meant() -> None:
    spec = str(ROLES / "fleet/meta/argument_specs.yml")
    assert unknown_variables(["fleet_min", "fleet_result"], spec) == []
    [sentence] = unknown_variables(["fleet_mni"], spec)
    assert sentence.startswith("fleet_mni is not a variable of the role fleet. fleet_min was probably meant.")
