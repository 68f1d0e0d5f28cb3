# Copyright: stackyard contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What is wrong with the variables of the roles filesystem, load_balancer and fleet.

Argument specifications check types and choices; here is what they cannot say: ranges, forms, and what goes with what.
Each problem is one sentence that names the variable and what is accepted.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

AGES = ["never", *(f"AFTER_{days}_DAY{'S' if days > 1 else ''}" for days in (1, 7, 14, 30, 60, 90, 180, 270, 365))]

_HTTP_CODES = re.compile(r"[2-4]\d\d(-[2-4]\d\d)?(,[2-4]\d\d(-[2-4]\d\d)?)*")
_DOMAIN = re.compile(r"(\*\.)?([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z]{2,63}", re.IGNORECASE)
_BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
_CRON_FIELD = re.compile(r"[0-9A-Za-z*/,\-]+")
_VARIABLE = re.compile(r"(?!ansible_)[a-z_][a-z0-9_]*")


class _Checks:
    """Collects the sentences about the variables of one role."""

    def __init__(self, values: Mapping[str, Any], prefix: str) -> None:
        self.values = values
        self.prefix = prefix
        self.problems: list[str] = []

    def need(self, good: bool, name: str, accepted: str) -> None:
        if not good:
            value = self.values[name]
            shown = "empty" if value in ("", [], {}) else repr(value)
            self.problems.append(f"{self.prefix}{name} is {shown}: {accepted}.")

    def between(self, name: str, least: float, most: float, *, unit: str = "", or_zero: bool = False) -> None:
        value = self.values[name]
        good = value is None or least <= value <= most or (or_zero and value == 0)
        zero = "0, or " if or_zero else ""
        self.need(good, name, f"{zero}{least} to {most}{' ' + unit if unit else ''} is accepted")

    def filled(self, name: str, what: str) -> None:
        self.need(bool(self.values[name]), name, f"{what} is required")


def filesystem_problems(values: Mapping[str, Any]) -> list[str]:
    """Return what is wrong with the variables of the role filesystem, given without their prefix."""
    checks = _Checks(values, "filesystem_")
    checks.need(1 <= len(values["name"]) <= 64, "name", "1 to 64 characters are accepted")
    checks.filled("subnet_ids", "a list of subnets, at most one in each zone,")
    checks.need(
        len(values["subnet_ids"]) == len(set(values["subnet_ids"])) or all("000000" in i for i in values["subnet_ids"]),
        "subnet_ids",
        "each subnet may be listed once",
    )
    checks.filled("security_group_ids", "a list of security groups")
    provisioned = values["throughput_mode"] == "provisioned"
    if provisioned or values["provisioned_throughput"]:
        good = provisioned and 1 <= values["provisioned_throughput"] <= 3414
        checks.need(
            good,
            "provisioned_throughput",
            "1 to 3414 MiB/s with filesystem_throughput_mode: provisioned, else 0 is accepted",
        )
    cold, archive = values["transition_to_ia"], values["transition_to_archive"]
    if archive != "never":
        checks.need(
            values["throughput_mode"] == "elastic",
            "transition_to_archive",
            "only never is accepted unless filesystem_throughput_mode is elastic",
        )
        checks.need(
            cold == "never" or AGES.index(archive) > AGES.index(cold),
            "transition_to_archive",
            f"never, or an age greater than filesystem_transition_to_ia ({cold}) is accepted",
        )
    names = [point["name"] for point in values["access_points"]]
    checks.need(len(names) == len(set(names)), "access_points", "each name may be given once")
    for point in values["access_points"]:
        _access_point(checks, point)
    return checks.problems


def _access_point(checks: _Checks, point: Mapping[str, Any]) -> None:
    where = f"filesystem_access_points, {point['name']}"
    parts = [part for part in point["path"].split("/") if part]
    if not re.fullmatch(r"(/[^/\s]+){1,4}", point["path"]) or len(point["path"]) > 100 or {".", ".."} & set(parts):
        checks.problems.append(
            f"{where}: path is {point['path']!r}: an absolute path of at most four parts and 100 characters "
            "is accepted."
        )
    checks.problems.extend(
        f"{where}: {name} is {point[name]}: 0 to 4294967295 is accepted."
        for name in ("uid", "gid")
        if not 0 <= point[name] <= 4294967295
    )
    if not re.fullmatch(r"0?[0-7]{3}", point.get("permissions") or "0750"):
        checks.problems.append(
            f'{where}: permissions is {point["permissions"]!r}: three or four octal digits such as "0750" are accepted.'
        )


def load_balancer_problems(values: Mapping[str, Any]) -> list[str]:
    """Return what is wrong with the variables of the role load_balancer, given without their prefix."""
    checks = _Checks(values, "load_balancer_")
    name = values["name"]
    checks.need(
        bool(re.fullmatch(r"[A-Za-z0-9]([A-Za-z0-9-]{0,30}[A-Za-z0-9])?", name)) and not name.startswith("internal-"),
        "name",
        "at most 32 letters, digits and, inside, hyphens, not beginning with internal-, are accepted",
    )
    checks.filled("vpc_id", "the id of a VPC")
    checks.need(len(values["subnet_ids"]) >= 2, "subnet_ids", "two or more subnets in different zones are required")
    checks.filled("security_group_ids", "a list of security groups")
    for port in ("target_port", "redirect_port"):
        checks.between(port, 1, 65535)
    checks.need(
        bool(re.fullmatch(r"/[\x21-\x7e]{0,1023}", values["health_check_path"])),
        "health_check_path",
        "a path that begins with a slash and holds no blanks is accepted",
    )
    checks.need(
        bool(_HTTP_CODES.fullmatch(values["health_check_matcher"])),
        "health_check_matcher",
        "HTTP codes from 200 to 499 such as 200 or 200-299 or 200,302 are accepted",
    )
    checks.between("health_check_interval", 5, 300, unit="seconds")
    checks.between("health_check_timeout", 2, 120, unit="seconds")
    checks.need(
        values["health_check_timeout"] < values["health_check_interval"],
        "health_check_timeout",
        f"less than load_balancer_health_check_interval ({values['health_check_interval']}) is accepted",
    )
    checks.between("healthy_threshold", 2, 10)
    checks.between("unhealthy_threshold", 2, 10)
    checks.between("deregistration_delay", 0, 3600, unit="seconds")
    checks.between("slow_start", 30, 900, unit="seconds", or_zero=True)
    checks.between("stickiness", 1, 604800, unit="seconds", or_zero=True)
    checks.between("idle_timeout", 1, 4000, unit="seconds")
    checks.need(
        not (values["slow_start"] and values["algorithm"] == "least_outstanding_requests"),
        "slow_start",
        "only 0 is accepted with load_balancer_algorithm: least_outstanding_requests",
    )
    for name in ("domain", *(["alternative_names"] if values["alternative_names"] else [])):
        given = values[name] if isinstance(values[name], list) else [values[name]] if values[name] else []
        checks.need(
            all(_DOMAIN.fullmatch(domain) for domain in given), name, "domains such as blog.example.com are accepted"
        )
    if values["access_logs_bucket"]:
        checks.need(
            bool(_BUCKET.fullmatch(values["access_logs_bucket"])),
            "access_logs_bucket",
            "3 to 63 small letters, digits, dots and hyphens are accepted",
        )
        checks.between("access_logs_days", 1, 3650, unit="days")
    if values["https"]:
        _certificate(checks, values)
    return checks.problems


def _certificate(checks: _Checks, values: Mapping[str, Any]) -> None:
    arn, file, key = values["certificate_arn"], values["certificate_file"], values["certificate_key_file"]
    by_dns = bool(values["domain"] and values["hosted_zone_id"])
    if arn:
        checks.need(
            bool(re.fullmatch(r"arn:aws[a-z-]*:(acm|iam):[a-z0-9-]*:\d{12}:.+", arn)),
            "certificate_arn",
            "the ARN of a certificate of ACM or IAM is accepted",
        )
    if arn and file:
        checks.problems.append(
            "load_balancer_certificate_arn and load_balancer_certificate_file are both given: one of them is accepted."
        )
    if bool(file) != bool(key):
        checks.problems.append(
            "load_balancer_certificate_file and load_balancer_certificate_key_file go together: give both or neither."
        )
    if not (arn or file or by_dns):
        checks.problems.append(
            "load_balancer_https needs a certificate: set load_balancer_certificate_arn, or "
            "load_balancer_certificate_file and load_balancer_certificate_key_file, or load_balancer_domain and "
            "load_balancer_hosted_zone_id to have one issued; or choose plain HTTP with load_balancer_https: false."
        )


def fleet_problems(values: Mapping[str, Any]) -> list[str]:
    """Return what is wrong with the variables of the role fleet, given without their prefix."""
    checks = _Checks(values, "fleet_")
    # The role, its profile and the group share the name; a role's is the shortest.
    checks.need(
        bool(re.fullmatch(r"[A-Za-z0-9+=,.@_-]{1,64}", values["name"])),
        "name",
        "1 to 64 letters, digits and characters of +=,.@_- are accepted",
    )
    checks.need(
        bool(re.fullmatch(r"ami-[0-9a-f]{8,17}|resolve:ssm:\S+", values["image_id"])),
        "image_id",
        "the id of an image, ami- and 8 to 17 hexadecimal digits, is accepted",
    )
    checks.need(
        bool(re.fullmatch(r"[a-z][a-z0-9-]*\.[a-z0-9-]+", values["instance_type"])),
        "instance_type",
        "an instance type such as t3.small is accepted",
    )
    checks.filled("subnet_ids", "a list of private subnets")
    checks.filled("security_group_ids", "a list of security groups")
    least, most, desired = values["min"], values["max"], values["desired"]
    checks.between("min", 0, 1000)
    checks.between("max", 0, 1000)
    checks.need(least <= most, "min", f"at most fleet_max ({most}) is accepted")
    if desired is not None and least <= most:
        checks.need(least <= desired <= most, "desired", f"fleet_min to fleet_max ({least} to {most}) is accepted")
    checks.between("volume_size", 8, 16384, unit="GiB")
    checks.between("metadata_hop_limit", 1, 64)
    checks.between("health_check_grace_period", 0, 7200, unit="seconds")
    checks.between("warmup", 0, 3600, unit="seconds")
    checks.between("launch_hook_timeout", 30, 7200, unit="seconds")
    checks.between("terminate_hook_timeout", 30, 7200, unit="seconds")
    checks.between("max_instance_lifetime", 86400, 31536000, unit="seconds", or_zero=True)
    checks.between("cpu_target", 1, 100, unit="per cent", or_zero=True)
    checks.between("requests_target", 1, 1000000, unit="requests per machine and minute", or_zero=True)
    if values["requests_target"]:
        checks.need(
            bool(values["load_balancer_arn"] and len(values["target_group_arns"]) == 1),
            "requests_target",
            "it needs fleet_load_balancer_arn and one ARN in fleet_target_group_arns",
        )
    checks.between("refresh_min_healthy_percentage", 0, 100, unit="per cent")
    checks.between("refresh_max_healthy_percentage", 100, 200, unit="per cent")
    checks.need(
        values["refresh_max_healthy_percentage"] - values["refresh_min_healthy_percentage"] <= 100,
        "refresh_max_healthy_percentage",
        "at most 100 more than fleet_refresh_min_healthy_percentage is accepted",
    )
    for timeout in ("wait_timeout", "refresh_timeout"):
        checks.between(timeout, 30, 86400, unit="seconds")
    checks.need(
        bool(re.fullmatch(r"[a-z][a-z0-9_]*", values["application"])), "application", "the name of a role is accepted"
    )
    _boot_document(checks, values)
    _schedules(checks, values)
    return checks.problems


def _boot_document(checks: _Checks, values: Mapping[str, Any]) -> None:
    for variable, reference in values["secrets"].items():
        if not _VARIABLE.fullmatch(variable):
            checks.problems.append(f"fleet_secrets: {variable!r} is not a name of a variable.")
        elif not isinstance(reference, Mapping) or not reference.get("secret") or set(reference) - {"secret", "key"}:
            checks.problems.append(
                f"fleet_secrets.{variable}: a mapping of secret, the name in Secrets Manager, and optionally key "
                "is accepted."
            )
    checks.problems.extend(
        f"fleet_variables: {variable!r} is not a name of a variable."
        for variable in values["variables"]
        if not _VARIABLE.fullmatch(variable)
    )
    checks.problems.extend(
        f"fleet_variables.{variable} is in fleet_secrets too: a value comes from one of them."
        for variable in sorted(set(values["variables"]) & set(values["secrets"]))
    )


def _schedules(checks: _Checks, values: Mapping[str, Any]) -> None:
    names = [schedule["name"] for schedule in values["schedules"]]
    checks.need(len(names) == len(set(names)), "schedules", "each name may be given once")
    for schedule in values["schedules"]:
        where = f"fleet_schedules, {schedule['name']}"
        fields = schedule["recurrence"].split()
        if len(fields) != 5 or not all(_CRON_FIELD.fullmatch(field) for field in fields):
            checks.problems.append(
                f'{where}: recurrence is {schedule["recurrence"]!r}: five cron fields such as "0 8 * * 1-5" are '
                "accepted."
            )
        sizes = {
            key: schedule.get(key)
            for key in ("min_size", "max_size", "desired_capacity")
            if schedule.get(key) is not None
        }
        if not sizes:
            checks.problems.append(f"{where}: give at least one of min_size, max_size and desired_capacity.")
        ordered = [sizes[key] for key in ("min_size", "desired_capacity", "max_size") if key in sizes]
        if ordered != sorted(ordered) or any(size < 0 for size in ordered):
            checks.problems.append(f"{where}: 0 <= min_size <= desired_capacity <= max_size is accepted, not {sizes}.")
