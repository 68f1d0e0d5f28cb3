# Copyright: stackyard contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The variables of each stack: what each may hold, and what they must be together."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from .input_rules import Rule, choice, cidrs, flag, mapping, number, pem_file, tags, text, texts
from .network_plan import cidr_problem, network_problems

ENVIRONMENT = r"[a-z](-?[a-z0-9]){0,15}"
DOMAIN = r"(?=.{4,253}$)([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z][a-z0-9-]*[a-z0-9]"

CONNECTION = (
    "region",
    "profile",
    "access_key",
    "secret_key",
    "session_token",
    "endpoint_url",
    "aws_ca_bundle",
    "aws_config",
    "validate_certs",
)


def stackyard_rules(purpose: str) -> list[Rule]:
    """Return the rules of the variables that all stacks share."""
    rules = [
        text(
            "stackyard_environment",
            ENVIRONMENT,
            "a name of up to 16 small letters, digits and single hyphens that begins with a letter, such as demo,",
            required=True,
        ),
        text("stackyard_region", r"[a-z]{2}(-[a-z]+)+-\d", "the name of a region, such as us-east-1,", required=True),
        mapping(
            "stackyard_aws",
            CONNECTION,
            f"a mapping with region and, where they are needed, {', '.join(CONNECTION[1:])}",
            ("region",),
        ),
        text("stackyard_ssm_bucket", r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]", "the name of an S3 bucket", empty=True),
    ]
    if purpose == "destroy":
        rules += [
            Rule("stackyard_confirm", lambda value: isinstance(value, str), "the name of the stack"),
            # Given on the command line, where everything is a string.
            Rule("stackyard_purge", lambda value: str(value).lower() in ("true", "false"), "true or false"),
        ]
    return rules


@dataclass(frozen=True)
class Stack:
    """The variables of one stack.

    Attributes:
        application: Name of the application.
        roles: Roles whose variables may be set, apart from the stack's own.
        own: The rules of the stack's variables.
        cross: What the variables must be together.
    """

    application: str
    roles: tuple[str, ...]
    own: tuple[Rule, ...]
    cross: Callable[[Mapping[str, Any]], list[str]]

    def rules(self, purpose: str) -> list[Rule]:
        """Return every rule that holds for a purpose."""
        return [*stackyard_rules(purpose), *self.own]

    def together(self, purpose: str, values: Mapping[str, Any]) -> list[str]:
        """Return what is wrong with values that are each accepted alone."""
        if purpose == "destroy":
            return confirmation(f"{values['stackyard_environment']}-{self.application}", values)
        return self.cross(values)


def confirmation(name: str, values: Mapping[str, Any]) -> list[str]:
    """Return a sentence unless the stack's name was given to confirm."""
    given = values.get("stackyard_confirm", "")
    if given == name:
        return []
    seen = f"stackyard_confirm is {given!r}" if given else "stackyard_confirm is not set"
    return [f"{seen}: to destroy the stack {name} and what it holds, run again with -e stackyard_confirm={name}."]


P = "wordpress_stack_"

# Made at random, or read from a secret of the operator's.
SECRET_VARIABLES = (
    "wordpress_admin_password",
    "wordpress_database_password",
    "wordpress_salts",
    "wordpress_smtp_password",
)
SUBNET_TIERS = ("public", "private", "data")


def is_tier_mapping(value: Any, kind: type | tuple[type, ...]) -> bool:
    """Tell whether a value maps tiers to a kind of value."""
    return (
        isinstance(value, Mapping)
        and set(value) <= set(SUBNET_TIERS)
        and all(isinstance(v, kind) for v in value.values())
    )


def is_schedules(value: Any) -> bool:
    """Tell whether a value is a list of scheduled sizes."""
    keys = {"name", "recurrence", "time_zone", "min", "max", "desired"}
    return isinstance(value, (list, tuple)) and all(
        isinstance(entry, Mapping)
        and set(entry) <= keys
        and {"name", "recurrence"} <= set(entry)
        and len(str(entry["recurrence"]).split()) == 5
        and all(isinstance(entry.get(key, 0), int) and entry.get(key, 0) >= 0 for key in ("min", "max", "desired"))
        for entry in value
    )


WORDPRESS_RULES = (
    tags(f"{P}tags", ("aws:", "stackyard:", "localcloud:")),
    Rule(
        f"{P}network_cidr",
        lambda value: cidr_problem("", value) is None,
        "a private IPv4 network with a prefix length from /16 to /24, such as 10.42.0.0/16,",
    ),
    texts(
        f"{P}network_zones",
        r"[a-z]{2}(-[a-z0-9]+)+-\d[a-z]",
        "two or three availability zones, such as [us-east-1a, us-east-1b],",
    ),
    Rule(
        f"{P}network_subnets",
        lambda value: isinstance(value, (list, tuple)),
        "a list of subnets, each a mapping of name, tier, cidr and zone, or an empty list",
    ),
    choice(f"{P}network_nat", "none", "one", "zone"),
    texts(
        f"{P}network_interface_endpoints",
        r"[a-z0-9.-]+",
        "services by the names AWS has for them, such as [ssm, secretsmanager],",
    ),
    text(f"{P}network_vpc_id", r"vpc-[0-9a-f]{8,17}", "the id of a VPC, such as vpc-0123456789abcdef0", empty=True),
    tags(f"{P}network_vpc_tags"),
    Rule(
        f"{P}network_subnet_ids",
        lambda value: is_tier_mapping(value, (list, tuple)),
        "a mapping of public, private and data to lists of subnet ids",
    ),
    Rule(
        f"{P}network_subnet_tags",
        lambda value: is_tier_mapping(value, Mapping),
        "a mapping of public, private and data to tags",
    ),
    number(f"{P}password_length", 16, 128, "characters"),
    number(f"{P}secret_recovery_days", 7, 30, "days", also=0),
    choice(f"{P}database_engine", "mysql", "mariadb"),
    text(f"{P}database_engine_version", r"\d+\.\d+", 'a major version in quotes, such as "8.4",'),
    text(f"{P}database_class", r"db\.[a-z0-9-]+\.[a-z0-9]+", "a class of RDS, such as db.t4g.small,"),
    number(f"{P}database_storage_gb", 20, 65536, "GiB"),
    number(f"{P}database_max_storage_gb", 22, 65536, "GiB", also=0),
    flag(f"{P}database_multi_az"),
    number(f"{P}database_backup_days", 0, 35, "days"),
    flag(f"{P}database_deletion_protection"),
    flag(f"{P}database_final_snapshot"),
    choice(f"{P}filesystem_throughput", "elastic", "bursting"),
    choice(f"{P}filesystem_mount", "efs", "nfs4"),
    flag(f"{P}filesystem_backup"),
    flag(f"{P}https"),
    text(f"{P}domain", DOMAIN, "a domain name, such as www.example.com", empty=True),
    text(
        f"{P}hosted_zone_id",
        r"Z[A-Z0-9]{4,31}",
        "the id of a hosted zone of Route 53, such as Z0123456789ABCDEFGHIJ",
        empty=True,
    ),
    text(
        f"{P}certificate_arn",
        r"arn:aws[a-z-]*:acm:[a-z0-9-]+:\d{12}:certificate/[\w-]+",
        "the ARN of a certificate in ACM",
        empty=True,
    ),
    pem_file(f"{P}certificate_file", "a certificate", "CERTIFICATE"),
    pem_file(f"{P}certificate_key_file", "a private key", "PRIVATE KEY", "RSA PRIVATE KEY", "EC PRIVATE KEY"),
    pem_file(f"{P}certificate_chain_file", "certificates", "CERTIFICATE"),
    cidrs(f"{P}client_cidrs"),
    tags(f"{P}load_balancer_tags"),
    text(f"{P}access_log_bucket", r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]", "the name of an S3 bucket", empty=True),
    text(
        f"{P}site_url", r"https?://[A-Za-z0-9.-]+(:\d{1,5})?", "an address such as https://www.example.com", empty=True
    ),
    text(f"{P}image_id", r"ami-[0-9a-f]{8,17}", "the id of an image, such as ami-0123456789abcdef0", empty=True),
    text(f"{P}instance_type", r"[a-z0-9-]+\.[a-z0-9-]+", "a type of EC2, such as t3.small,"),
    number(f"{P}volume_gb", 8, 16384, "GiB"),
    number(f"{P}machines_min", 1, 100, "machines"),
    number(f"{P}machines_max", 1, 100, "machines"),
    number(f"{P}machines_desired", 1, 100, "machines"),
    number(f"{P}target_cpu_percent", 10, 90, "per cent", also=0),
    number(f"{P}target_requests", 1, 1000000, "requests a minute for each machine", also=0),
    number(f"{P}warmup_seconds", 0, 3600, "seconds"),
    Rule(
        f"{P}schedules",
        is_schedules,
        "a list of mappings of name, recurrence (five fields of cron), time_zone, min, max and desired",
    ),
    text(f"{P}smtp_secret", r"[\w/+=.@-]{1,256}", "the name of a secret with a field password", empty=True),
    text(
        "wordpress_admin_email",
        r"[^@\s]+@[^@\s]+\.[^@\s.]+",
        "the administrator's mail address, such as admin@example.com,",
        required=True,
    ),
    text("wordpress_admin_user", r"[\w.@-]{1,60}", "a name of letters, digits and . _ - @"),
    Rule(
        "wordpress_title",
        lambda value: isinstance(value, str) and 0 < len(value) <= 200,
        "a title of 1 to 200 characters",
    ),
    number("wordpress_upload_max_mb", 1, 4096, "MB"),
    flag("wordpress_xmlrpc"),
    flag("wordpress_page_cache"),
    choice("wordpress_multisite", "none", "subdirectory", "subdomain"),
    *(Rule(name, lambda value: True, "nothing", hidden=True) for name in SECRET_VARIABLES),
)


def wordpress_together(values: Mapping[str, Any]) -> list[str]:
    """Return what is wrong with a WordPress stack's variables together."""
    v = {name.removeprefix(P): value for name, value in values.items() if name.startswith(P)}
    problems = [
        f"{name} is set: nothing secret may stand in variables, so it is made in Secrets Manager; leave it out, "
        "which alone is accepted."
        for name in SECRET_VARIABLES
        if name in values
    ]
    problems += network_problems(
        {
            name: v[f"network_{name}"]
            for name in ("cidr", "zones", "subnets", "nat", "interface_endpoints", "vpc_id", "vpc_tags")
        },
        f"{P}network_",
    )
    if any(not zone.startswith(values["stackyard_region"]) for zone in v["network_zones"]):
        problems.append(
            f"{P}network_zones is {v['network_zones']!r}: zones of stackyard_region ({values['stackyard_region']})"
            " are accepted."
        )
    least, desired, most = (v[f"machines_{which}"] for which in ("min", "desired", "max"))
    if least > most:
        problems.append(f"{P}machines_min is {least}: a number up to {P}machines_max ({most}) is accepted.")
    elif not least <= desired <= most:
        problems.append(
            f"{P}machines_desired is {desired}: a number from {P}machines_min ({least}) to {P}machines_max "
            f"({most}) is accepted."
        )
    storage, most_storage = v["database_storage_gb"], v["database_max_storage_gb"]
    if most_storage and most_storage < storage * 1.1:
        problems.append(
            f"{P}database_max_storage_gb is {most_storage}: 0, or a tenth or more above {P}database_storage_gb "
            f"({storage}), is accepted."
        )
    problems += certificate_problems(v)
    for index, schedule in enumerate(v["schedules"]):
        if schedule.get("min", 0) > schedule.get("max", 100):
            problems.append(
                f"{P}schedules[{index}].min is {schedule['min']}: a number up to its max ({schedule['max']}) is "
                "accepted."
            )
    return problems


def certificate_problems(v: Mapping[str, Any]) -> list[str]:
    """Return what is wrong with where HTTPS is to come from."""
    problems = []
    given = bool(v["certificate_file"])
    if given != bool(v["certificate_key_file"]):
        absent, there = ("key_file", "file") if given else ("file", "key_file")
        problems.append(
            f"{P}certificate_{absent} is not set and {P}certificate_{there} is: both of them, or neither, are accepted."
        )
    if given and v["certificate_arn"]:
        problems.append(f"{P}certificate_arn and {P}certificate_file are both set: one of them is accepted.")
    if v["hosted_zone_id"] and not v["domain"]:
        problems.append(f"{P}domain is not set and {P}hosted_zone_id is: a domain of that zone is accepted.")
    source = bool(v["hosted_zone_id"] or v["certificate_arn"] or given)
    if v["https"] and not source:
        problems.append(
            f"{P}https is true, and nothing says where the certificate comes from: one of {P}hosted_zone_id (with "
            f"{P}domain), {P}certificate_arn and {P}certificate_file is accepted, or {P}https: false for plain HTTP."
        )
    if source and not v["https"]:
        problems.append(
            f"{P}https is false, and a certificate is named: {P}https: true is accepted, or no certificate."
        )
    return problems


STACKS = {
    "wordpress": Stack(
        application="wordpress",
        roles=(
            "wordpress",
            "wordpress_stack",
            "network",
            "secret",
            "database",
            "filesystem",
            "load_balancer",
            "fleet",
            "image",
        ),
        own=WORDPRESS_RULES,
        cross=wordpress_together,
    ),
}
