# Copyright: stackyard contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The variables of each stack: what each may hold, and what they must be together."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from .input_rules import Rule, choice, cidrs, flag, mapping, number, tags, text, texts
from .network_plan import TIERS, cidr_problem, network_problems
from .role_problems import (
    BUCKET,
    RULES,
    database_problems,
    https_problems,
    is_subscribers,
    schedule_problems,
    size_problems,
)

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


def is_tier_mapping(value: Any, kind: type | tuple[type, ...]) -> bool:
    """Tell whether a value maps tiers to a kind of value."""
    return isinstance(value, Mapping) and set(value) <= set(TIERS) and all(isinstance(v, kind) for v in value.values())


def of_role(name: str, role: str, variable: str) -> Rule:
    """The rule of the role's variable that a stack's variable is handed on to."""
    [rule] = [rule for rule in RULES[role] if rule.name == f"{role}_{variable}"]
    return replace(rule, name=name)


def stack_rules(p: str) -> tuple[Rule, ...]:
    """Return the rules of the variables that each stack has, under the stack's own prefix, such as wordpress_stack_."""
    return (
        tags(f"{p}tags", ("aws:", "stackyard:", "localcloud:")),
        Rule(
            f"{p}network_cidr",
            lambda value: cidr_problem("", value) is None,
            "a private IPv4 network with a prefix length from /16 to /24, such as 10.42.0.0/16,",
        ),
        texts(
            f"{p}network_zones",
            r"[a-z]{2}(-[a-z0-9]+)+-\d[a-z]",
            "two or three availability zones, such as [us-east-1a, us-east-1b],",
        ),
        Rule(
            f"{p}network_subnets",
            lambda value: isinstance(value, (list, tuple)),
            "a list of subnets, each a mapping of name, tier, cidr and zone, or an empty list",
        ),
        choice(f"{p}network_nat", "none", "one", "zone"),
        texts(
            f"{p}network_interface_endpoints",
            r"[a-z0-9.-]+",
            "services by the names AWS has for them, such as [ssm, secretsmanager],",
        ),
        of_role(f"{p}network_vpc_id", "network", "vpc_id"),
        tags(f"{p}network_vpc_tags"),
        Rule(
            f"{p}network_subnet_ids",
            lambda value: is_tier_mapping(value, (list, tuple)),
            "a mapping of public, private and data to lists of subnet ids",
        ),
        Rule(
            f"{p}network_subnet_tags",
            lambda value: is_tier_mapping(value, Mapping),
            "a mapping of public, private and data to tags",
        ),
        number(f"{p}password_length", 16, 128, "characters"),
        of_role(f"{p}secret_recovery_days", "secret", "recovery_days"),
        flag(f"{p}https"),
        of_role(f"{p}domain", "load_balancer", "domain"),
        of_role(f"{p}hosted_zone_id", "load_balancer", "hosted_zone_id"),
        of_role(f"{p}certificate_arn", "load_balancer", "certificate_arn"),
        *(
            text(f"{p}certificate_{file}", r".+", "the path of a PEM file on this machine", empty=True)
            for file in ("file", "key_file", "chain_file")
        ),
        cidrs(f"{p}client_cidrs"),
        tags(f"{p}load_balancer_tags"),
        of_role(f"{p}access_log_bucket", "load_balancer", "access_logs_bucket"),
        text(f"{p}image_id", r"ami-[0-9a-f]{8,17}", "the id of an image, such as ami-0123456789abcdef0", empty=True),
        of_role(f"{p}instance_type", "fleet", "instance_type"),
        of_role(f"{p}volume_gb", "fleet", "volume_size"),
        of_role(f"{p}warmup_seconds", "fleet", "warmup"),
    )


def database_rules(p: str, engines: tuple[str, ...]) -> tuple[Rule, ...]:
    """Return the rules of the variables that each stack with a database has.

    Args:
        p: The stack's prefix.
        engines: Database engines that the application works with.
    """
    return (
        choice(f"{p}database_engine", *engines),
        of_role(f"{p}database_engine_version", "database", "engine_version"),
        of_role(f"{p}database_class", "database", "class"),
        of_role(f"{p}database_storage_gb", "database", "storage_gb"),
        of_role(f"{p}database_max_storage_gb", "database", "max_storage_gb"),
        flag(f"{p}database_multi_az"),
        of_role(f"{p}database_backup_days", "database", "backup_days"),
        flag(f"{p}database_deletion_protection"),
        flag(f"{p}database_final_snapshot"),
    )


def secret_name(name: str, what: str) -> Rule:
    """The rule of a variable that names a secret of the operator's, or none."""
    return text(name, r"[\w/+=.@-]{1,256}", f"the name of a secret with {what}", empty=True)


def made_in_secrets_manager(*names: str) -> tuple[Rule, ...]:
    """Return rules that refuse variables which are made at random, or read from a secret of the operator's."""
    accepted = "nothing, since it is made in Secrets Manager where nobody sees it,"
    return tuple(Rule(name, lambda value: False, accepted, hidden=True) for name in names)


def stack_together(values: Mapping[str, Any], p: str) -> list[str]:
    """Return what is wrong with the variables of ``stack_rules`` together."""
    v = part(values, p)
    tier = "public" if v.get("entry") == "address" else "private"
    problems = network_problems(part(v, "network_") | {"machines_tier": tier}, f"{p}network_")
    if any(not zone.startswith(values["stackyard_region"]) for zone in v["network_zones"]):
        problems.append(
            f"{p}network_zones is {v['network_zones']!r}: zones of stackyard_region ({values['stackyard_region']})"
            " are accepted."
        )
    if v.get("entry") == "address":
        return problems + address_entry_problems(v, p)
    problems += https_problems(v, p)
    if v.get("certificate_secret"):
        problems.append(
            f"{p}certificate_secret is {v['certificate_secret']!r}, and {p}entry is load_balancer, which takes its "
            f"certificate from ACM: nothing is accepted, or {p}entry: address."
        )
    if not v["https"] and (v["hosted_zone_id"] or v["certificate_arn"] or v["certificate_file"]):
        problems.append(
            f"{p}https is false, and a certificate is named: {p}https: true is accepted, or no certificate."
        )
    return problems


def address_entry_problems(v: Mapping[str, Any], p: str) -> list[str]:
    """Return what is wrong with the variables of an entry that is an address."""
    problems = [
        f"{p}{name} is {v[name]!r}, and {p}entry is address, which has no load balancer: nothing is accepted, or "
        f"{p}entry: load_balancer."
        for name in ("certificate_arn", "certificate_file", "certificate_key_file", "access_log_bucket")
        if v[name]
    ]
    if v["hosted_zone_id"] and not v["domain"]:
        problems.append(f"{p}domain is not set and {p}hosted_zone_id is: a domain of that zone is accepted.")
    if v["https"] and not v["certificate_secret"]:
        problems.append(
            f"{p}https is true, and nothing says where the machine's certificate comes from: the name of a secret of "
            f"yours in {p}certificate_secret is accepted, or {p}https: false for plain HTTP."
        )
    if v["certificate_secret"] and not v["https"]:
        problems.append(
            f"{p}https is false, and {p}certificate_secret names one: {p}https: true is accepted, or no certificate."
        )
    return problems


def part(values: Mapping[str, Any], prefix: str) -> dict[str, Any]:
    """The values whose names begin with the prefix, without it."""
    return {name.removeprefix(prefix): value for name, value in values.items() if name.startswith(prefix)}


WORDPRESS = "wordpress_stack_"

WORDPRESS_RULES = (
    *stack_rules(WORDPRESS),
    *database_rules(WORDPRESS, ("mysql", "mariadb")),
    choice(f"{WORDPRESS}filesystem_throughput", "elastic", "bursting"),
    choice(f"{WORDPRESS}filesystem_mount", "efs", "nfs4"),
    flag(f"{WORDPRESS}filesystem_backup"),
    text(
        f"{WORDPRESS}site_url",
        r"https?://[A-Za-z0-9.-]+(:\d{1,5})?",
        "an address such as https://www.example.com",
        empty=True,
    ),
    # A site needs a machine, and a hundred are a slip of the hand.
    number(f"{WORDPRESS}machines_min", 1, 100, "machines"),
    number(f"{WORDPRESS}machines_max", 1, 100, "machines"),
    number(f"{WORDPRESS}machines_desired", 1, 100, "machines"),
    of_role(f"{WORDPRESS}target_cpu_percent", "fleet", "cpu_target"),
    of_role(f"{WORDPRESS}target_requests", "fleet", "requests_target"),
    of_role(f"{WORDPRESS}schedules", "fleet", "schedules"),
    secret_name(f"{WORDPRESS}smtp_secret", "a field password"),
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
    *made_in_secrets_manager(
        "wordpress_admin_password", "wordpress_database_password", "wordpress_salts", "wordpress_smtp_password"
    ),
)


def wordpress_together(values: Mapping[str, Any]) -> list[str]:
    """Return what is wrong with a WordPress stack's variables together."""
    v = part(values, WORDPRESS)
    problems = stack_together(values, WORDPRESS)
    problems += database_problems(part(v, "database_"), f"{WORDPRESS}database_")
    problems += size_problems(part(v, "machines_"), f"{WORDPRESS}machines_")
    return problems + schedule_problems(v["schedules"], f"{WORDPRESS}schedules")


ETHERPAD = "etherpad_stack_"

ETHERPAD_RULES = (
    *stack_rules(ETHERPAD),
    *database_rules(ETHERPAD, ("mysql", "mariadb", "postgres")),
    flag(f"{ETHERPAD}lease"),
    *(
        Rule(
            f"{ETHERPAD}machines_{size}",
            lambda value: value == 1,
            "1, since two machines would hold the same pads in memory and edits would be lost,",
        )
        for size in ("min", "max", "desired")
    ),
    secret_name(f"{ETHERPAD}users_secret", "a password for each user"),
    secret_name(f"{ETHERPAD}oidc_secret", "a field client_secret"),
    choice("etherpad_authentication", "none", "users", "oidc"),
    texts("etherpad_admin_users", r"[\w.@-]{1,60}", "names of letters, digits and . _ - @, such as [admin],"),
    number("etherpad_port", 1024, 65535),
    *made_in_secrets_manager(
        "etherpad_database_password",
        "etherpad_passwords",
        "etherpad_session_key",
        "etherpad_api_key",
        "etherpad_oidc_client_secret",
    ),
)


def etherpad_together(values: Mapping[str, Any]) -> list[str]:
    """Return what is wrong with an Etherpad stack's variables together."""
    problems = stack_together(values, ETHERPAD)
    problems += database_problems(part(values, f"{ETHERPAD}database_"), f"{ETHERPAD}database_")
    authentication = values.get("etherpad_authentication", "none")
    for needed, secret in (("users", "users_secret"), ("oidc", "oidc_secret")):
        if authentication == needed and not values[f"{ETHERPAD}{secret}"]:
            problems.append(
                f"{ETHERPAD}{secret} is not set and etherpad_authentication is {needed}: the name of a secret of yours "
                "is accepted."
            )
    return problems


JENKINS = "jenkins_stack_"

JENKINS_RULES = (
    *stack_rules(JENKINS),
    choice(f"{JENKINS}entry", "load_balancer", "address"),
    secret_name(f"{JENKINS}certificate_secret", "the fields certificate and private_key"),
    choice(f"{JENKINS}home", "efs", "ebs"),
    number(f"{JENKINS}home_gb", 1, 16384, "GiB"),
    choice(f"{JENKINS}filesystem_throughput", "elastic", "bursting"),
    flag(f"{JENKINS}backup"),
    of_role(f"{JENKINS}backup_schedule", "backup", "schedule"),
    of_role(f"{JENKINS}backup_retention_days", "backup", "retention_days"),
    of_role(f"{JENKINS}backup_kms_key_arn", "backup", "kms_key_arn"),
    flag(f"{JENKINS}last_backup"),
    flag(f"{JENKINS}alarms"),
    Rule(
        f"{JENKINS}alarms_subscribers",
        is_subscribers,
        "a list of {protocol, endpoint}, of email and an address or https and a URL without a user or token in it,",
    ),
    text("stackyard_recovery_point", r"[A-Za-z0-9._-]{1,64}", "the name of a backup", empty=True),
    *(
        Rule(
            f"{JENKINS}machines_{size}",
            lambda value: value == 1,
            "1, since a home belongs to one controller,",
        )
        for size in ("min", "max", "desired")
    ),
    secret_name(f"{JENKINS}users_secret", "a password for each user"),
    secret_name(f"{JENKINS}credentials_secret", "what is secret of jenkins_credentials, by their ids"),
    secret_name(f"{JENKINS}configuration_secret", "the values of what is written as ${name}, by name"),
    Rule(
        "jenkins_credentials",
        lambda value: isinstance(value, list) and all(isinstance(entry, Mapping) and "id" in entry for entry in value),
        "a list of mappings with id and kind",
    ),
    number("jenkins_port", 1024, 65535),
    # A new machine waits as long, and has 15 minutes to boot.
    number("jenkins_handover_seconds", 0, 480, "seconds"),
    # A hook of Auto Scaling lasts at most two hours.
    number("jenkins_drain_seconds", 0, 6900, "seconds"),
    number("jenkins_stop_seconds", 1, 120, "seconds"),
    number(f"{JENKINS}agents_max", 0, 1000, "agents"),
    text(
        f"{JENKINS}agents_image_id",
        r"ami-[0-9a-f]{8,17}",
        "the id of an image of jenkins_agent, such as ami-0123456789abcdef0",
        empty=True,
    ),
    of_role(f"{JENKINS}agents_instance_type", "fleet", "instance_type"),
    of_role(f"{JENKINS}agents_volume_gb", "fleet", "volume_size"),
    texts("jenkins_fleet_labels", r"[A-Za-z0-9][\w.-]*", "labels of letters, digits and . _ -, such as [linux],"),
    number("jenkins_fleet_executors", 1, 100, "builds"),
    number("jenkins_fleet_idle_minutes", 1, 1440, "minutes"),
    number("jenkins_fleet_drain_seconds", 0, 6900, "seconds"),
    *(
        Rule(name, lambda value: False, f"nothing, since the stack sets it by {JENKINS}agents_max,")
        for name in ("jenkins_fleet_group", "jenkins_fleet_region", "jenkins_fleet_max")
    ),
    number("jenkins_uid", 1, 60000),
    number("jenkins_gid", 1, 60000),
    *made_in_secrets_manager(
        "jenkins_passwords",
        "jenkins_credential_secrets",
        "jenkins_secrets",
        "jenkins_fleet_key",
        "jenkins_certificate",
        "jenkins_certificate_key",
    ),
)


def jenkins_together(values: Mapping[str, Any]) -> list[str]:
    """Return what is wrong with a Jenkins stack's variables together."""
    problems = stack_together(values, JENKINS)
    if values.get("jenkins_credentials") and not values[f"{JENKINS}credentials_secret"]:
        problems.append(
            f"{JENKINS}credentials_secret is not set and jenkins_credentials names some: the name of a secret of yours"
            " is accepted."
        )
    if values[f"{JENKINS}home"] == "ebs" and not values[f"{JENKINS}alarms"]:
        problems.append(
            f"{JENKINS}alarms is false, and {JENKINS}home is ebs, where an alarm recovers the machine: true is"
            " accepted."
        )
    return problems + agents_problems(part(values, JENKINS), part(values, "jenkins_fleet_"))


def agents_problems(v: Mapping[str, Any], fleet: Mapping[str, Any]) -> list[str]:
    """Return what is wrong with the variables of Jenkins' agents together."""
    problems = []
    if not v["agents_max"]:
        return problems
    private = v["entry"] == "load_balancer" and not v["network_vpc_id"] and not v["network_vpc_tags"]
    if private and v["network_nat"] == "none" and "ec2" not in v["network_interface_endpoints"]:
        problems.append(
            f"{JENKINS}network_interface_endpoints lacks ec2, by which Jenkins looks for its agents, and "
            f"{JENKINS}network_nat is none: NAT (one or zone), or that endpoint as well, is accepted."
        )
    if not fleet.get("labels", ["fleet"]):
        problems.append(
            "jenkins_fleet_labels is empty: one label or more, by which builds ask for agents, is accepted."
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
    "etherpad": Stack(
        application="etherpad",
        roles=(
            "etherpad",
            "etherpad_stack",
            "lease",
            "lease_table",
            "network",
            "secret",
            "database",
            "load_balancer",
            "fleet",
            "image",
        ),
        own=ETHERPAD_RULES,
        cross=etherpad_together,
    ),
    "jenkins": Stack(
        application="jenkins",
        roles=(
            "jenkins",
            "jenkins_agent",
            "jenkins_stack",
            "java",
            "efs_mount",
            "ebs_mount",
            "lease",
            "lease_table",
            "network",
            "secret",
            "filesystem",
            "backup",
            "alarms",
            "load_balancer",
            "address",
            "elastic_address",
            "instance_health",
            "nginx",
            "fleet",
            "image",
        ),
        own=JENKINS_RULES,
        cross=jenkins_together,
    ),
}
