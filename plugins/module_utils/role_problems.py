# Copyright: stackyard contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What the variables of the cloud roles may hold, and what they must be together.

Argument specifications check types and choices; here is what they cannot say: ranges, forms, and what goes with what.
A stack whose variables are handed on to the roles takes their rules from here, under its own names.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import yaml

from .certificate_files import certificate_file_problems
from .input_rules import Rule, check, flag, ids, number, tags, text, texts, unknown_names
from .network_plan import network_problems

ROLES_FOLDER = Path(__file__).resolve().parents[2] / "roles"

DOMAIN = r"([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z][a-z0-9-]*[a-z0-9]"
BUCKET = r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]"
_HTTP_CODES = r"[2-4]\d\d(-[2-4]\d\d)?(,[2-4]\d\d(-[2-4]\d\d)?)*"
_BACKED_UP = re.compile(
    r"arn:aws[a-z-]*:(elasticfilesystem:[a-z0-9-]+:\d{12}:file-system/fs-[0-9a-f]{8,40}"
    r"|ec2:[a-z0-9-]+:\d{12}:volume/vol-[0-9a-f]{8,17})"
)
_CRON_FIELD = re.compile(r"[0-9A-Za-z*/,\-]+")
_VARIABLE = re.compile(r"(?!ansible_)[a-z_][a-z0-9_]*")

SIZES = ("min_size", "desired_capacity", "max_size")


def is_checkpoints(value: Any) -> bool:
    """Tell whether a value is a list of percentages at which a roll-out stops, all machines replaced at the last."""
    if not isinstance(value, (list, tuple)) or not all(isinstance(entry, int) for entry in value):
        return False
    return list(value) == sorted(set(value)) and (not value or (value[0] >= 1 and value[-1] == 100))


def is_schedules(value: Any) -> bool:
    """Tell whether a value is a list of sizes at given times."""
    return (
        isinstance(value, (list, tuple))
        and all(
            isinstance(entry, Mapping)
            and set(entry) <= {"name", "recurrence", "time_zone", *SIZES}
            and isinstance(entry.get("name"), str)
            and isinstance(entry.get("recurrence"), str)
            and len(entry["recurrence"].split()) == 5
            and all(_CRON_FIELD.fullmatch(field) for field in entry["recurrence"].split())
            and any(entry.get(size) is not None for size in SIZES)
            and all(isinstance(entry[size], int) and entry[size] >= 0 for size in SIZES if entry.get(size) is not None)
            for entry in value
        )
        and len({entry["name"] for entry in value}) == len(value)
    )


def is_backed_up(value: Any) -> bool:
    """Tell whether a value is a list of ARNs of EFS file systems and EBS volumes, each of them once."""
    return (
        isinstance(value, (list, tuple))
        and all(isinstance(entry, str) and _BACKED_UP.fullmatch(entry) for entry in value)
        and not _repeated(value)
    )


RULES: dict[str, tuple[Rule, ...]] = {
    "network": (
        text("network_vpc_id", r"vpc-[0-9a-f]{8,17}", "the id of a VPC, such as vpc-0123456789abcdef0", empty=True),
    ),
    "alarms": (
        text(
            "alarms_name",
            r"[A-Za-z0-9_-]{1,150}",
            "a name of 1 to 150 letters, digits, hyphens and underscores",
            required=True,
        ),
        tags("alarms_tags"),
        text("alarms_kms_key_id", r"\S+", "the id, ARN or alias of a key", empty=True),
    ),
    "backup": (
        text(
            "backup_name",
            r"[A-Za-z0-9_-]{2,50}",
            "a name of 2 to 50 letters, digits, hyphens and underscores",
            required=True,
        ),
        tags("backup_tags"),
        flag("backup_purge"),
        flag("backup_keep_vault"),
        Rule(
            "backup_resources",
            is_backed_up,
            "a list of ARNs of EFS file systems and EBS volumes, each of them once,",
            required=True,
        ),
        text(
            "backup_vault_name",
            r"[A-Za-z0-9_-]{2,50}",
            "a name of 2 to 50 letters, digits, hyphens and underscores",
            empty=True,
        ),
        text("backup_kms_key_arn", r"arn:aws[a-z-]*:kms:[a-z0-9-]+:\d{12}:key/\S+", "the ARN of a key", empty=True),
        text(
            "backup_schedule",
            r"cron\(\S+( \S+){5}\)",
            "a cron expression of AWS, which has six fields such as cron(0 5 ? * * *),",
        ),
        number("backup_start_window", 60, 525600, "minutes"),
        number("backup_completion_window", 120, 525600, "minutes"),
        number("backup_retention_days", 1, 36500, "days", also=0),
        text(
            "backup_permissions_boundary",
            r"arn:aws[a-z-]*:iam::(\d{12}|aws):policy/\S+",
            "the ARN of a policy",
            empty=True,
        ),
        number("backup_wait_timeout", 30, 86400, "seconds"),
    ),
    "secret": (number("secret_recovery_days", 7, 30, "days", also=0),),
    "lease_table": (
        text(
            "lease_table_name",
            r"[A-Za-z0-9_.-]{3,255}",
            "a name of 3 to 255 letters, digits and characters of _.-",
            required=True,
        ),
        tags("lease_table_tags"),
        number("lease_table_wait_timeout", 30, 3600, "seconds"),
    ),
    "database": (
        text(
            "database_name",
            r"(?=.{1,63}$)[a-z](-?[a-z0-9])*",
            "a name of up to 63 small letters, digits and single hyphens that begins with a letter",
            required=True,
        ),
        text("database_engine_version", r"\d+(\.\d+)?", 'a major version in quotes, such as "8.4",'),
        text("database_schema", r"[A-Za-z]\w{0,62}", "a name of letters, digits and underscores", required=True),
        text("database_secret", r"[\w/+=.@:-]+", "the name of a secret with username and password", required=True),
        text("database_class", r"db\.[a-z0-9-]+\.[a-z0-9]+", "a class of RDS, such as db.t4g.small,"),
        number("database_storage_gb", 20, 65536, "GiB"),
        number("database_max_storage_gb", 22, 65536, "GiB", also=0),
        ids("database_subnet_ids", "two or more subnets in different zones", at_least=2),
        ids("database_security_group_ids", "security groups"),
        number("database_backup_days", 0, 35, "days"),
    ),
    "filesystem": (
        text("filesystem_name", r".{1,64}", "a name of 1 to 64 characters", required=True),
        ids("filesystem_subnet_ids", "subnets, at most one in each zone"),
        ids("filesystem_security_group_ids", "security groups"),
    ),
    "load_balancer": (
        text(
            "load_balancer_name",
            r"(?!internal-)[A-Za-z0-9]([A-Za-z0-9-]{0,30}[A-Za-z0-9])?",
            "a name of at most 32 letters, digits and, inside, hyphens that does not begin with internal-",
            required=True,
        ),
        text("load_balancer_vpc_id", r".+", "the id of a VPC", required=True),
        ids("load_balancer_subnet_ids", "two or more subnets in different zones", at_least=2),
        ids("load_balancer_security_group_ids", "security groups"),
        number("load_balancer_target_port", 1, 65535),
        number("load_balancer_redirect_port", 1, 65535),
        text(
            "load_balancer_health_check_path",
            r"/[\x21-\x7e]{0,1023}",
            "a path that begins with a slash and holds no blanks",
        ),
        text(
            "load_balancer_health_check_matcher",
            _HTTP_CODES,
            'HTTP codes from 200 to 499 in quotes, such as "200", "200-299" or "200,302",',
        ),
        number("load_balancer_health_check_interval", 5, 300, "seconds"),
        number("load_balancer_health_check_timeout", 2, 120, "seconds"),
        number("load_balancer_healthy_threshold", 2, 10),
        number("load_balancer_unhealthy_threshold", 2, 10),
        number("load_balancer_deregistration_delay", 0, 3600, "seconds"),
        number("load_balancer_slow_start", 30, 900, "seconds", also=0),
        number("load_balancer_stickiness", 1, 604800, "seconds", also=0),
        number("load_balancer_idle_timeout", 1, 4000, "seconds"),
        text(
            "load_balancer_domain",
            rf"(?=.{{4,253}}$){DOMAIN}",
            "a domain name, such as www.example.com",
            empty=True,
        ),
        texts("load_balancer_alternative_names", rf"(\*\.)?{DOMAIN}", "domain names, such as [*.example.com],"),
        text(
            "load_balancer_hosted_zone_id",
            r"[A-Z0-9]{4,32}",
            "the id of a hosted zone of Route 53, such as Z0123456789ABCDEFGHIJ",
            empty=True,
        ),
        text(
            "load_balancer_certificate_arn",
            r"arn:aws[a-z-]*:acm:[a-z0-9-]+:\d{12}:certificate/[\w-]+",
            "the ARN of a certificate in ACM",
            empty=True,
        ),
        text("load_balancer_access_logs_bucket", BUCKET, "the name of an S3 bucket", empty=True),
        number("load_balancer_access_logs_days", 1, 3650, "days"),
    ),
    "address": (
        text("address_name", r".{1,255}", "a name of 1 to 255 characters", required=True),
        tags("address_tags"),
        text("address_domain", rf"(?=.{{4,253}}$){DOMAIN}", "a domain name, such as www.example.com", empty=True),
        text(
            "address_hosted_zone_id",
            r"[A-Z0-9]{4,32}",
            "the id of a hosted zone of Route 53, such as Z0123456789ABCDEFGHIJ",
            empty=True,
        ),
        text("address_region", r"[a-z]{2}(-[a-z]+)+-\d", "a region, such as us-east-1,", empty=True),
    ),
    "fleet": (
        # The role, its profile and the group share the name; a role's is the shortest.
        text(
            "fleet_name",
            r"[A-Za-z0-9+=,.@_-]{1,64}",
            "a name of 1 to 64 letters, digits and characters of +=,.@_-",
            required=True,
        ),
        text(
            "fleet_image_id",
            r"ami-[0-9a-f]{8,17}|resolve:ssm:\S+",
            "the id of an image, such as ami-0123456789abcdef0,",
            required=True,
        ),
        text("fleet_instance_type", r"[a-z][a-z0-9-]*\.[a-z0-9-]+", "a type of EC2, such as t3.small,"),
        ids("fleet_subnet_ids", "subnets"),
        ids("fleet_security_group_ids", "security groups"),
        text("fleet_application", r"[a-z][a-z0-9_]*", "the name of a role", required=True),
        number("fleet_min", 0, 1000, "machines"),
        number("fleet_max", 0, 1000, "machines"),
        number("fleet_desired", 0, 1000, "machines"),
        number("fleet_volume_size", 8, 16384, "GiB"),
        number("fleet_metadata_hop_limit", 1, 64),
        number("fleet_health_check_grace_period", 0, 7200, "seconds"),
        number("fleet_warmup", 0, 3600, "seconds"),
        number("fleet_launch_hook_timeout", 30, 7200, "seconds"),
        number("fleet_terminate_hook_timeout", 30, 7200, "seconds"),
        number("fleet_max_instance_lifetime", 86400, 31536000, "seconds", also=0),
        number("fleet_cpu_target", 10, 90, "per cent", also=0, whole=False),
        number("fleet_requests_target", 1, 1000000, "requests a minute for each machine", also=0, whole=False),
        Rule(
            "fleet_schedules",
            is_schedules,
            "a list of mappings of name, recurrence (five fields of cron), time_zone and one or more of min_size, "
            "desired_capacity and max_size, each name once,",
        ),
        number("fleet_refresh_min_healthy_percentage", 0, 100, "per cent"),
        number("fleet_refresh_max_healthy_percentage", 100, 200, "per cent"),
        Rule(
            "fleet_refresh_checkpoints",
            is_checkpoints,
            "a list of ascending percentages of which the last is 100, such as [35, 70, 100], or an empty one",
        ),
        number("fleet_refresh_checkpoint_delay", 0, 172800, "seconds"),
        number("fleet_refresh_bake_time", 0, 172800, "seconds"),
        texts("fleet_refresh_alarms", r"\S.{0,254}", "names of CloudWatch alarms"),
        number("fleet_refresh_max_failed_launches", 0, 1000, "machines"),
        number("fleet_refresh_timeout", 30, 86400, "seconds"),
        number("fleet_wait_timeout", 30, 86400, "seconds"),
    ),
}


def address_problems(v: Mapping[str, Any]) -> list[str]:
    """Return what is wrong with the record of an address."""
    return [
        f"address_{name} is not set and address_hosted_zone_id is: {accepted} is accepted."
        for name, accepted in (("domain", "a domain of that zone"), ("region", "a region"))
        if v["hosted_zone_id"] and not v[name]
    ]


def alarms_problems(v: Mapping[str, Any]) -> list[str]:
    """Return what is wrong with alarms and subscribers."""
    problems = [
        f"alarms_alarms has the name {name!r} twice: different ones are accepted."
        for name in _repeated(alarm["name"] for alarm in v["alarms"])
    ]
    for alarm in v["alarms"]:
        problems += _alarm_problems(alarm)
    for subscriber in v["subscribers"]:
        problems += _subscriber_problems(subscriber["protocol"], subscriber["endpoint"])
    if v["kms_key_id"] == "alias/aws/sns":
        problems.append(
            "alarms_kms_key_id is alias/aws/sns: a key whose policy lets CloudWatch use it is accepted, or nothing for "
            "one of its own."
        )
    return problems


def is_subscribers(value: Any) -> bool:
    """Tell whether a value is a list of those whom a topic is to tell."""
    return isinstance(value, list) and all(
        isinstance(entry, Mapping)
        and set(entry) == {"protocol", "endpoint"}
        and entry["protocol"] in ("email", "https")
        and not _subscriber_problems(entry["protocol"], str(entry["endpoint"]))
        for entry in value
    )


def _alarm_problems(alarm: Mapping[str, Any]) -> list[str]:
    where = f"alarms_alarms, {alarm['name']}"
    problems = []
    if not re.fullmatch(r"[A-Za-z0-9_-]{1,100}", alarm["name"]):
        problems.append(f"{where}: a name of 1 to 100 letters, digits, hyphens and underscores is accepted.")
    problems += _expression_problems(where, alarm) if alarm.get("expression") else _metric_problems(where, alarm)
    percentile = alarm.get("extended_statistic")
    if percentile and not re.fullmatch(r"p(\d{1,2}(\.\d{1,10})?|100)", percentile):
        problems.append(
            f"{where}: extended_statistic is {percentile!r}: a percentile such as p99 or p99.9 is accepted."
        )
    period, periods = alarm.get("period", 60), alarm.get("evaluation_periods", 1)
    if period not in (10, 20, 30) and (period < 60 or period % 60):
        problems.append(f"{where}: period is {period}: 10, 20, 30 or a multiple of 60 seconds is accepted.")
    elif periods < 1 or period * periods > (86400 if period < 3600 else 7 * 86400):
        problems.append(
            f"{where}: evaluation_periods is {periods}: 1 or more is accepted, as long as they are a day together, or "
            "a week where the period is an hour or more."
        )
    points = alarm.get("datapoints_to_alarm")
    if points is not None and not 1 <= points <= periods:
        problems.append(f"{where}: datapoints_to_alarm is {points}: 1 to evaluation_periods ({periods}) is accepted.")
    actions = alarm.get("actions") or []
    problems += [
        f"{where}: actions has {action!r}: ARNs, such as arn:aws:automate:<region>:ec2:recover, are accepted."
        for action in actions
        if not re.fullmatch(r"arn:aws[a-z-]*:\S+", action)
    ]
    # The topic is one of the five that AWS allows for a state.
    if len(actions) > 4:
        problems.append(f"{where}: actions has {len(actions)}: at most 4 are accepted.")
    if len(alarm.get("dimensions") or {}) > 30:
        problems.append(f"{where}: dimensions has more than 30: at most 30 are accepted.")
    return problems


def _metric_problems(where: str, alarm: Mapping[str, Any]) -> list[str]:
    if not alarm.get("namespace") or not alarm.get("metric"):
        return [f"{where}: namespace and metric, or expression and metrics, are accepted."]
    if bool(alarm.get("statistic")) == bool(alarm.get("extended_statistic")):
        return [f"{where}: one of statistic and extended_statistic is accepted."]
    return []


def _expression_problems(where: str, alarm: Mapping[str, Any]) -> list[str]:
    single = [key for key in ("namespace", "metric", "statistic", "extended_statistic") if alarm.get(key)]
    if single:
        return [f"{where}: {single[0]} is accepted without expression alone."]
    wanted = {"namespace", "metric", "statistic", "period"}
    metrics = alarm.get("metrics") or {}
    if not metrics:
        return [f"{where}: metrics is not set: those of the expression by their ids are accepted."]
    return [
        f"{where}: metrics has {name!r}: a name that begins with a small letter, with namespace, metric, statistic, "
        "period and, if there are any, dimensions, is accepted."
        for name, metric in metrics.items()
        if not re.fullmatch(r"[a-z][A-Za-z0-9_]{0,254}", name)
        or not isinstance(metric, Mapping)
        or set(metric) - {"dimensions"} != wanted
    ]


def _subscriber_problems(protocol: str, endpoint: str) -> list[str]:
    if protocol == "email" and not re.fullmatch(r"[^@\s]+@[^@\s]+\.[^@\s]+", endpoint):
        return [f"alarms_subscribers has {endpoint!r}: an address such as operators@example.com is accepted for email."]
    if protocol == "https" and not re.fullmatch(rf"https://{DOMAIN}(:\d+)?(/[^\s?#@]*)?", endpoint):
        # Not repeated: it may hold a secret.
        return [
            "alarms_subscribers has an endpoint for https that is none: a URL such as https://alarms.example.com/sns "
            "is accepted, without a user, a password or a query in it."
        ]
    return []


def backup_problems(v: Mapping[str, Any]) -> list[str]:
    """Return what is wrong with the variables of backups together."""
    start, completion = v["start_window"], v["completion_window"]
    if completion >= start + 60:
        return []
    return [
        f"backup_completion_window is {completion}: at least an hour more than backup_start_window ({start}) is "
        "accepted."
    ]


def secret_problems(v: Mapping[str, Any]) -> list[str]:
    """Return what is wrong with secrets together."""
    return [
        f"secret_secrets has the {what} {value!r} twice: different ones are accepted."
        for what in ("key", "name")
        for value in _repeated(secret[what] for secret in v["secrets"])
    ]


def database_problems(v: Mapping[str, Any], prefix: str) -> list[str]:
    """Return what is wrong with the variables of a database together."""
    problems = []
    if v["engine"] in ("mysql", "mariadb") and "." not in v["engine_version"]:
        problems.append(
            f'{prefix}engine_version is {v["engine_version"]!r}: two numbers, such as "8.4", are accepted for '
            f"{v['engine']}."
        )
    storage, most = v["storage_gb"], v["max_storage_gb"]
    if most and most < storage * 1.1:
        problems.append(
            f"{prefix}max_storage_gb is {most}: 0, or a tenth or more above {prefix}storage_gb ({storage}), is "
            "accepted."
        )
    return problems


def filesystem_problems(v: Mapping[str, Any]) -> list[str]:
    """Return what is wrong with the variables of a file system together."""
    problems = []
    mode, throughput = v["throughput_mode"], v["provisioned_throughput"]
    if not (1 <= throughput <= 3414 if mode == "provisioned" else throughput == 0):
        problems.append(
            f"filesystem_provisioned_throughput is {throughput}: 1 to 3414 MiB/s with filesystem_throughput_mode: "
            "provisioned, else 0 is accepted."
        )
    cold, archive = v["transition_to_ia"], v["transition_to_archive"]
    if archive != "never" and mode != "elastic":
        problems.append(
            f"filesystem_transition_to_archive is {archive}: never is accepted unless filesystem_throughput_mode is "
            "elastic."
        )
    if "never" not in (cold, archive) and _days(archive) <= _days(cold):
        problems.append(
            f"filesystem_transition_to_archive is {archive}: never, or an age greater than filesystem_transition_to_ia "
            f"({cold}), is accepted."
        )
    problems += [
        f"filesystem_access_points has the name {name!r} twice: different ones are accepted."
        for name in _repeated(point["name"] for point in v["access_points"])
    ]
    for point in v["access_points"]:
        problems += _access_point_problems(point)
    return problems


def _days(age: str) -> int:
    """The number in AFTER_30_DAYS."""
    return int(age.split("_")[1])


def _access_point_problems(point: Mapping[str, Any]) -> list[str]:
    where = f"filesystem_access_points, {point['name']}"
    problems = []
    path, permissions = point["path"], point.get("permissions") or "0750"
    if not re.fullmatch(r"(/[^/\s]+){1,4}", path) or len(path) > 100 or {".", ".."} & set(path.split("/")):
        problems.append(
            f"{where}: path is {path!r}: an absolute path of at most four parts and 100 characters is accepted."
        )
    problems += [
        f"{where}: {name} is {point[name]}: 0 to 4294967295 is accepted."
        for name in ("uid", "gid")
        if not 0 <= point[name] <= 4294967295
    ]
    if not re.fullmatch(r"0?[0-7]{3}", permissions):
        problems.append(
            f'{where}: permissions is {permissions!r}: three or four octal digits such as "0750" are accepted.'
        )
    return problems


def https_problems(v: Mapping[str, Any], prefix: str) -> list[str]:
    """Return what is wrong with where the certificate for HTTPS is to come from, and with its files."""
    problems = []
    arn, file, key = v["certificate_arn"], v["certificate_file"], v["certificate_key_file"]
    if bool(file) != bool(key):
        absent, there = ("key_file", "file") if file else ("file", "key_file")
        problems.append(
            f"{prefix}certificate_{absent} is not set and {prefix}certificate_{there} is: both of them, or neither, "
            "are accepted."
        )
    if arn and file:
        problems.append(f"{prefix}certificate_arn and {prefix}certificate_file are both set: one of them is accepted.")
    if v["hosted_zone_id"] and not v["domain"]:
        problems.append(f"{prefix}domain is not set and {prefix}hosted_zone_id is: a domain of that zone is accepted.")
    if v["https"] and not (arn or file or v["hosted_zone_id"]):
        problems.append(
            f"{prefix}https is true, and nothing says where the certificate comes from: one of {prefix}hosted_zone_id "
            f"(with {prefix}domain), {prefix}certificate_arn and {prefix}certificate_file is accepted, or "
            f"{prefix}https: false for plain HTTP."
        )
    if v["https"] and file and not problems:
        problems = certificate_file_problems(v, prefix)
    return problems


def load_balancer_problems(v: Mapping[str, Any]) -> list[str]:
    """Return what is wrong with the variables of a load balancer together."""
    problems = []
    if v["health_check_timeout"] >= v["health_check_interval"]:
        problems.append(
            f"load_balancer_health_check_timeout is {v['health_check_timeout']}: less than "
            f"load_balancer_health_check_interval ({v['health_check_interval']}) is accepted."
        )
    if v["slow_start"] and v["algorithm"] == "least_outstanding_requests":
        problems.append(
            f"load_balancer_slow_start is {v['slow_start']}: 0 is accepted with load_balancer_algorithm: "
            "least_outstanding_requests."
        )
    return problems + https_problems(v, "load_balancer_")


def size_problems(v: Mapping[str, Any], prefix: str) -> list[str]:
    """Return what is wrong with the numbers of machines `min`, `desired` (or None) and `max`."""
    least, desired, most = (v.get(which) for which in ("min", "desired", "max"))
    if least > most:
        return [f"{prefix}min is {least}: a number up to {prefix}max ({most}) is accepted."]
    if desired is not None and not least <= desired <= most:
        return [
            f"{prefix}desired is {desired}: a number from {prefix}min ({least}) to {prefix}max ({most}) is accepted."
        ]
    return []


def schedule_problems(schedules: Iterable[Mapping[str, Any]], variable: str) -> list[str]:
    """Return a sentence for each schedule whose sizes contradict each other."""
    problems = []
    for index, schedule in enumerate(schedules):
        given = {size: schedule[size] for size in SIZES if schedule.get(size) is not None}
        if list(given.values()) != sorted(given.values()):
            problems.append(f"{variable}[{index}] has {given}: {' <= '.join(given)} is accepted.")
    return problems


def fleet_problems(v: Mapping[str, Any]) -> list[str]:
    """Return what is wrong with the variables of a fleet together."""
    problems = size_problems(v, "fleet_") + schedule_problems(v["schedules"], "fleet_schedules")
    if v["requests_target"] and not (v["load_balancer_arn"] and len(v["target_group_arns"]) == 1):
        problems.append(
            f"fleet_requests_target is {v['requests_target']}: 0 is accepted, unless fleet_load_balancer_arn and one "
            "ARN in fleet_target_group_arns are set."
        )
    least, most = v["refresh_min_healthy_percentage"], v["refresh_max_healthy_percentage"]
    if most - least > 100:
        problems.append(
            f"fleet_refresh_max_healthy_percentage is {most}: at most 100 more than "
            f"fleet_refresh_min_healthy_percentage ({least}) is accepted."
        )
    return problems + _boot_document_problems(v)


def _boot_document_problems(v: Mapping[str, Any]) -> list[str]:
    problems = [
        f"fleet_{option}: {name!r} is not a name of a variable."
        for option in ("secrets", "variables")
        for name in v[option]
        if not _VARIABLE.fullmatch(name)
    ]
    problems += [
        f"fleet_secrets.{name}: a mapping of secret, the name in Secrets Manager, and optionally key is accepted."
        for name, reference in v["secrets"].items()
        if not isinstance(reference, Mapping) or not reference.get("secret") or set(reference) - {"secret", "key"}
    ]
    problems += [
        f"fleet_variables.{name} is in fleet_secrets too: a value comes from one of them."
        for name in sorted(set(v["variables"]) & set(v["secrets"]))
    ]
    return problems


TOGETHER: dict[str, Callable[[Mapping[str, Any]], list[str]]] = {
    "network": network_problems,
    "address": address_problems,
    "alarms": alarms_problems,
    "backup": backup_problems,
    "secret": secret_problems,
    "lease_table": lambda v: [],
    "database": lambda v: database_problems(v, "database_"),
    "filesystem": filesystem_problems,
    "load_balancer": load_balancer_problems,
    "fleet": fleet_problems,
}


def _repeated(values: Iterable[Any]) -> list[Any]:
    values = list(values)
    return sorted({value for value in values if values.count(value) > 1})


def role_variables(role: str) -> set[str]:
    """Return the public variables of a role, and the fact that it publishes."""
    specs = yaml.safe_load((ROLES_FOLDER / role / "meta" / "argument_specs.yml").read_text(encoding="utf-8"))
    names = {name for entry in specs["argument_specs"].values() for name in entry.get("options", {})}
    return names | {f"{role}_result"}


def role_problems(role: str, values: Mapping[str, Any], names: Iterable[str]) -> list[str]:
    """Return what is wrong with the variables of a role.

    To remove something takes no more than its name: with the state `absent` nothing else is required, and only what is
    given is looked at.

    Args:
        role: Name of the role.
        values: The role's variables.
        names: The names of all variables, to find misspelt ones.
    """
    problems = unknown_names(names, role_variables(role), [f"{role}_"], f"the role {role}")
    if problems:
        return problems
    if values[f"{role}_state"] == "absent":
        given = {name: value for name, value in values.items() if value not in ("", [], {}, None)}
        return check([rule for rule in RULES[role] if rule.name in given], given)
    problems = check(RULES[role], {name: value for name, value in values.items() if value is not None})
    return problems or TOGETHER[role](
        {name.removeprefix(f"{role}_"): values.get(name) for name in role_variables(role)}
    )
