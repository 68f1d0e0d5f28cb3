# Copyright: stackyard contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The variables of each stack: what each may hold, and what they must be together."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from .input_rules import Rule, choice, cidrs, flag, mapping, number, tags, text, texts
from .network_plan import TIERS, cidr_problem, network_problems
from .role_problems import BUCKET, RULES, database_problems, https_problems, schedule_problems, size_problems

ENVIRONMENT = r"[a-z](-?[a-z0-9]){0,15}"

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
        text("stackyard_ssm_bucket", BUCKET, "the name of an S3 bucket", empty=True),
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


def is_tier_mapping(value: Any, kind: type | tuple[type, ...]) -> bool:
    """Tell whether a value maps tiers to a kind of value."""
    return isinstance(value, Mapping) and set(value) <= set(TIERS) and all(isinstance(v, kind) for v in value.values())


def of_role(name: str, role: str, variable: str) -> Rule:
    """The rule of the role's variable that a stack's variable is handed on to."""
    [rule] = [rule for rule in RULES[role] if rule.name == f"{role}_{variable}"]
    return replace(rule, name=name)


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
    of_role(f"{P}network_vpc_id", "network", "vpc_id"),
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
    of_role(f"{P}secret_recovery_days", "secret", "recovery_days"),
    choice(f"{P}database_engine", "mysql", "mariadb"),
    of_role(f"{P}database_engine_version", "database", "engine_version"),
    of_role(f"{P}database_class", "database", "class"),
    of_role(f"{P}database_storage_gb", "database", "storage_gb"),
    of_role(f"{P}database_max_storage_gb", "database", "max_storage_gb"),
    flag(f"{P}database_multi_az"),
    of_role(f"{P}database_backup_days", "database", "backup_days"),
    flag(f"{P}database_deletion_protection"),
    flag(f"{P}database_final_snapshot"),
    choice(f"{P}filesystem_throughput", "elastic", "bursting"),
    choice(f"{P}filesystem_mount", "efs", "nfs4"),
    flag(f"{P}filesystem_backup"),
    flag(f"{P}https"),
    of_role(f"{P}domain", "load_balancer", "domain"),
    of_role(f"{P}hosted_zone_id", "load_balancer", "hosted_zone_id"),
    of_role(f"{P}certificate_arn", "load_balancer", "certificate_arn"),
    *(
        text(f"{P}certificate_{file}", r".+", "the path of a PEM file on this machine", empty=True)
        for file in ("file", "key_file", "chain_file")
    ),
    cidrs(f"{P}client_cidrs"),
    tags(f"{P}load_balancer_tags"),
    of_role(f"{P}access_log_bucket", "load_balancer", "access_logs_bucket"),
    text(
        f"{P}site_url", r"https?://[A-Za-z0-9.-]+(:\d{1,5})?", "an address such as https://www.example.com", empty=True
    ),
    text(f"{P}image_id", r"ami-[0-9a-f]{8,17}", "the id of an image, such as ami-0123456789abcdef0", empty=True),
    of_role(f"{P}instance_type", "fleet", "instance_type"),
    of_role(f"{P}volume_gb", "fleet", "volume_size"),
    # A site needs a machine, and a hundred are a slip of the hand.
    number(f"{P}machines_min", 1, 100, "machines"),
    number(f"{P}machines_max", 1, 100, "machines"),
    number(f"{P}machines_desired", 1, 100, "machines"),
    of_role(f"{P}target_cpu_percent", "fleet", "cpu_target"),
    of_role(f"{P}target_requests", "fleet", "requests_target"),
    of_role(f"{P}warmup_seconds", "fleet", "warmup"),
    of_role(f"{P}schedules", "fleet", "schedules"),
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
    *(
        Rule(
            name, lambda value: False, "nothing, since it is made in Secrets Manager where nobody sees it,", hidden=True
        )
        for name in SECRET_VARIABLES
    ),
)


def wordpress_together(values: Mapping[str, Any]) -> list[str]:
    """Return what is wrong with a WordPress stack's variables together."""
    v = part(values, P)
    problems = network_problems(part(v, "network_"), f"{P}network_")
    if any(not zone.startswith(values["stackyard_region"]) for zone in v["network_zones"]):
        problems.append(
            f"{P}network_zones is {v['network_zones']!r}: zones of stackyard_region ({values['stackyard_region']})"
            " are accepted."
        )
    problems += size_problems(part(v, "machines_"), f"{P}machines_")
    problems += schedule_problems(v["schedules"], f"{P}schedules")
    problems += database_problems(part(v, "database_"), f"{P}database_")
    problems += https_problems(v, P)
    if not v["https"] and (v["hosted_zone_id"] or v["certificate_arn"] or v["certificate_file"]):
        problems.append(
            f"{P}https is false, and a certificate is named: {P}https: true is accepted, or no certificate."
        )
    return problems


def part(values: Mapping[str, Any], prefix: str) -> dict[str, Any]:
    """The values whose names begin with the prefix, without it."""
    return {name.removeprefix(prefix): value for name, value in values.items() if name.startswith(prefix)}


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
