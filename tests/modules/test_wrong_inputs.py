"""Wrong input of each stack: one sentence that names the variable and what is accepted, and no write.

Each line of a table is one run of the stack's playbook with the local inventory and one thing wrong. With
STACKYARD_SOAK set all of them are tried; otherwise the stack's own and, of those that every stack refuses by the same
rules, as many as SHARED says. STACKYARD_SEED repeats a choice of them.
"""

import json
import os
import random
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from support.figures import record

REPOSITORY = Path(__file__).resolve().parents[2]
# In place of it stands the stack's name in names and sentences.
P = "STACK_stack_"
SHARED = 5


@dataclass
class Wrong:
    """One wrong input.

    Attributes:
        kind: The kind of mistake, for the list of figures.
        variable: What the sentence must name.
        says: What else it must hold.
        variables: Extra variables.
        environment: Environment variables.
        playbook: Which playbook.
    """

    kind: str
    variable: str
    says: str
    variables: dict = field(default_factory=dict)
    environment: dict = field(default_factory=dict)
    playbook: str = "STACK.yml"


def one(kind, name, value, says):
    return Wrong(kind, name, says, {name: value})


def certificate(kind, file, says):
    files = {f"{P}certificate_file": file, f"{P}certificate_key_file": "KEY"}
    return Wrong(kind, f"{P}certificate_file", says, {f"{P}https": True} | files)


KEY = "-----BEGIN PRIVATE KEY-----\nbm90IGEga2V5IG9mIGFueWJvZHk=\n-----END PRIVATE KEY-----\n"
UNKNOWN_CERTIFICATE = "arn:aws:acm:us-east-1:123456789012:certificate/00000000-0000-0000-0000-000000000000"
# Those that every stack needs without NAT.
ENDPOINTS = ["ssm", "ssmmessages", "ec2messages", "secretsmanager", "autoscaling"]
SUBNETS = [
    {"name": f"{tier}-{zone}", "tier": tier, "zone": f"us-east-1{zone}", "cidr": f"10.42.{index}.0/24"}
    for index, (tier, zone) in enumerate((t, z) for t in ("public", "private", "data") for z in "ab")
]


WIDE = {f"{P}network_cidr": "10.42.0.0/16"}


def subnets(**change):
    return [SUBNETS[0] | change, *SUBNETS[1:]]


# What every stack refuses.
EVERY = [
    # Types
    one("type", f"{P}network_zones", "us-east-1a", "a list of two or three"),
    one("type", f"{P}tags", ["cost"], "a mapping of tags"),
    one("type", "stackyard_aws", {"endpoint": "http://127.0.0.1"}, "a mapping with region"),
    # Ranges
    one("range", f"{P}volume_gb", 1, "from 8 to 16384"),
    one("range", f"{P}secret_recovery_days", 3, "0, or a whole number of days from 7 to 30"),
    one("password too short", f"{P}password_length", 8, "from 16 to 128"),
    # Words
    one("word", f"{P}network_nat", "two", "one of none, one, zone"),
    one("word", "stackyard_environment", "My Demo", "small letters, digits and single hyphens"),
    one("word", "stackyard_region", "virginia", "such as us-east-1"),
    one("word", f"{P}domain", "https://example.com/", "such as www.example.com"),
    # Addresses
    one("cidr", f"{P}network_cidr", "10.42.0.0", "prefix length from /16 to /24"),
    one("cidr", f"{P}network_cidr", "10.42.0.0/28", "prefix length from /16 to /24"),
    one("cidr", f"{P}network_cidr", "8.8.0.0/16", "private IPv4"),
    one("cidr", f"{P}network_cidr", "300.1.0.0/16", "private IPv4"),
    one("cidr", f"{P}client_cidrs", ["everyone"], "a list of networks"),
    Wrong(
        "cidr overlaps",
        f"{P}network_subnets[1].cidr",
        "overlaps",
        WIDE | {f"{P}network_subnets": subnets(cidr="10.42.0.0/23")},
    ),
    Wrong(
        "cidr does not fit",
        f"{P}network_subnets[0].cidr",
        "does not fit",
        WIDE | {f"{P}network_subnets": subnets(cidr="10.43.0.0/24")},
    ),
    Wrong(
        "cidr",
        f"{P}network_subnets[0].cidr",
        "from /16 to /28",
        WIDE | {f"{P}network_subnets": subnets(cidr="10.42.9.0/30")},
    ),
    Wrong("missing subnet", f"{P}network_subnets", "lacks a subnet data", WIDE | {f"{P}network_subnets": SUBNETS[:5]}),
    # Zones
    one("one zone", f"{P}network_zones", ["us-east-1a"], "two or three different"),
    one("zone twice", f"{P}network_zones", ["us-east-1a", "us-east-1a"], "two or three different"),
    one("unknown zone", f"{P}network_zones", ["us-east-1a", "us-east-1z"], "names us-east-1z"),
    one("zone elsewhere", f"{P}network_zones", ["eu-west-1a", "eu-west-1b"], "zones of stackyard_region"),
    # Together
    one("no way out", f"{P}network_interface_endpoints", ["ssm"], "could not reach AWS"),
    one("certificate without a source", f"{P}https", True, "where the certificate comes from"),
    Wrong(
        "certificate in vain",
        f"{P}https",
        "true is accepted",
        {f"{P}hosted_zone_id": "Z0123456789ABCDEFGHIJ", f"{P}domain": "www.example.com"},
    ),
    one("key without certificate", f"{P}certificate_file", "KEYLESS", "certificate_key_file is not set"),
    # Files
    certificate("not PEM", "NOT_PEM", "a certificate in PEM form"),
    certificate("no file", "/nonexistent.pem", "the path of a PEM file on this machine"),
    certificate("key for certificate", "KEY", "a certificate in PEM form"),
    # Names
    one("misspelt", "stackyard_enviroment", "demo", "stackyard_environment is meant"),
    one("misspelt", "network_ciddr", "10.0.0.0/16", "network_cidr is meant"),
    one("undefined in a value", f"{P}domain", "{{ my_domain }}", "cannot be worked out"),
    # Missing
    one("missing", "stackyard_environment", "", "is not set"),
    # What AWS knows
    one("image does not exist", f"{P}image_id", "ami-00000000000000001", "there is no such image"),
    one("image of another", f"{P}image_id", "FOREIGN_IMAGE", "does not carry the tag stackyard:application=STACK"),
    Wrong("no image yet", f"{P}image_id", "packer build", {"stackyard_environment": "other"}),
    one("unknown type", f"{P}instance_type", "t3.gigantic", "not on offer"),
    Wrong(
        "unknown hosted zone",
        f"{P}hosted_zone_id",
        "no such public hosted zone",
        {f"{P}https": True, f"{P}hosted_zone_id": "Z0123456789ABCDEFGHIJ", f"{P}domain": "www.example.com"},
    ),
    Wrong(
        "unknown certificate",
        f"{P}certificate_arn",
        "no such certificate",
        {
            f"{P}https": True,
            f"{P}certificate_arn": UNKNOWN_CERTIFICATE,
        },
    ),
    one("unknown VPC", f"{P}network_vpc_id", "vpc-0123456789abcdef0", "no such VPC"),
    # The way to AWS
    Wrong("no credentials", "AWS_PROFILE", "no AWS credentials", {"stackyard_aws": {"region": "us-east-1"}}),
    Wrong("endpoint down", "endpoint_url", "Nothing answers at http://127.0.0.1:9", {}, {"LOCALCLOUD_PORT": "9"}),
    # Destroying
    Wrong("not confirmed", "stackyard_confirm", "demo-STACK", {}, {}, "STACK_destroy.yml"),
    Wrong(
        "confirmed another",
        "stackyard_confirm",
        "-e stackyard_confirm=demo-STACK",
        {"stackyard_confirm": "production-STACK"},
        {},
        "STACK_destroy.yml",
    ),
]


# What a stack with a database refuses.
DATABASE = [
    one("type", f"{P}database_multi_az", "maybe", "true or false"),
    one("range", f"{P}database_storage_gb", 5, "from 20 to 65536"),
    one("range", f"{P}database_backup_days", 36, "from 0 to 35"),
    one("word", f"{P}database_class", "t3.small", "such as db.t4g.small"),
    Wrong(
        "limit below size",
        f"{P}database_max_storage_gb",
        "a tenth or more above",
        {f"{P}database_max_storage_gb": 40, f"{P}database_storage_gb": 50},
    ),
]

# What a stack refuses of its own variables.
OWN = {
    "wordpress": [
        *DATABASE,
        one("type", f"{P}machines_min", "two", "a whole number of machines from 1 to 100"),
        one("type", f"{P}machines_min", "2", "as JSON"),
        one("type", f"{P}schedules", {"name": "night"}, "a list of mappings of name, recurrence"),
        one("range", f"{P}machines_max", 1000, "from 1 to 100"),
        one("range", f"{P}machines_min", 0, "from 1 to 100"),
        one("range", f"{P}target_cpu_percent", 99, "from 10 to 90"),
        one("word", f"{P}database_engine", "postgres", "one of mysql, mariadb"),
        one("word", f"{P}filesystem_throughput", "fast", "one of elastic, bursting"),
        one("word", "wordpress_admin_email", "admin", "mail address"),
        Wrong("min above max", f"{P}machines_min", f"up to {P}machines_max (4)", {f"{P}machines_min": 9}),
        Wrong("desired above max", f"{P}machines_desired", f"to {P}machines_max (4)", {f"{P}machines_desired": 5}),
        one("misspelt", f"{P}machine_min", 2, f"{P}machines_min is meant"),
        one("misspelt", "wordpress_titel", "x", "wordpress_title is meant"),
        one("secret in variables", "wordpress_admin_password", "correct-horse-battery-staple", "Secrets Manager"),
        one("missing", "wordpress_admin_email", "", "is not set"),
    ],
    "etherpad": [
        *DATABASE,
        one("type", f"{P}lease", "yes please", "true or false"),
        one("type", "etherpad_admin_users", "admin", "names of letters"),
        one("range", "etherpad_port", 80, "from 1024 to 65535"),
        one("word", f"{P}database_engine", "oracle", "one of mysql, mariadb, postgres"),
        one("word", "etherpad_authentication", "ldap", "one of none, users, oidc"),
        one("users without passwords", "etherpad_authentication", "users", "etherpad_stack_users_secret is not set"),
        one("client without secret", "etherpad_authentication", "oidc", "etherpad_stack_oidc_secret is not set"),
        one("misspelt", f"{P}leese", True, f"{P}lease is meant"),
        one("misspelt", "etherpad_titel", "x", "etherpad_title is meant"),
        one("more than one machine", f"{P}machines_max", 2, "edits would be lost"),
        one("secret in variables", "etherpad_passwords", {"admin": "correct-horse-battery"}, "Secrets Manager"),
    ],
    "jenkins": [
        one("type", f"{P}backup", "yes please", "true or false"),
        one("word", f"{P}backup_schedule", "daily", "six fields"),
        one("range", f"{P}backup_retention_days", -1, "from 1 to 36500"),
        one("shape", f"{P}backup_kms_key_arn", "alias/backup", "the ARN of a key"),
        one("type", f"{P}alarms_subscribers", ["operators@example.com"], "a list of {protocol, endpoint}"),
        one("shape", "stackyard_recovery_point", "before the upgrade", "the name of a backup"),
        Wrong("no home", "stackyard_environment", "has no home of Jenkins", playbook="jenkins_rollback.yml"),
        one("range", "jenkins_port", 80, "from 1024 to 65535"),
        one("range", "jenkins_handover_seconds", 900, "from 0 to 480"),
        one("range", "jenkins_drain_seconds", 7200, "from 0 to 6900"),
        one("word", f"{P}home", "nfs", "one of efs, ebs"),
        one("range", f"{P}home_gb", 0, "from 1 to 16384"),
        Wrong(
            "volume that nothing recovers",
            f"{P}alarms",
            "where an alarm recovers the machine",
            {f"{P}home": "ebs", f"{P}alarms": False},
        ),
        one("range", "jenkins_stack_agents_max", -1, "from 0 to 1000"),
        one("shape", "jenkins_stack_agents_image_id", "jenkins_agent", "the id of an image of jenkins_agent"),
        one("range", "jenkins_fleet_drain_seconds", 7200, "from 0 to 6900"),
        one("contradiction", "jenkins_fleet_group", "builders", "jenkins_stack_agents_max"),
        Wrong(
            "agents nobody can ask for",
            "jenkins_fleet_labels",
            "one label or more",
            {"jenkins_stack_agents_max": 2, "jenkins_fleet_labels": []},
        ),
        Wrong(
            "agents nobody can look for",
            f"{P}network_interface_endpoints",
            "lacks ec2",
            {"jenkins_stack_agents_max": 2, f"{P}network_interface_endpoints": ENDPOINTS},
        ),
        Wrong("no image", "jenkins_agent", "bake one", {"jenkins_stack_agents_max": 2}),
        one("word", f"{P}filesystem_throughput", "fast", "one of elastic, bursting"),
        one("word", f"{P}entry", "elastic_ip", "one of load_balancer, address"),
        Wrong(
            "address without certificate",
            f"{P}https",
            f"{P}certificate_secret",
            {f"{P}https": True, f"{P}entry": "address"},
        ),
        Wrong(
            "certificate of ACM for an address",
            f"{P}certificate_arn",
            f"{P}entry is address",
            {f"{P}https": True, f"{P}entry": "address", f"{P}certificate_arn": UNKNOWN_CERTIFICATE},
        ),
        one("certificate in vain", f"{P}certificate_secret", "tls", f"{P}entry is load_balancer"),
        one("secret in variables", "jenkins_certificate_key", KEY, "Secrets Manager"),
        one("no such variable", f"{P}database_engine", "mysql", f"{P}database_engine"),
        one("misspelt", f"{P}backups", True, f"{P}backup is meant"),
        one("misspelt", "jenkins_plugin", [], "jenkins_plugins is meant"),
        one("more than one machine", f"{P}machines_max", 2, "one controller"),
        one("secret in variables", "jenkins_passwords", {"admin": "correct-horse-battery"}, "Secrets Manager"),
        one(
            "credentials without secret",
            "jenkins_credentials",
            [{"id": "deploy", "kind": "text"}],
            f"{P}credentials_secret is not set",
        ),
    ],
}


def of_stack(application, value):
    """Put the stack's name into a line of a table."""
    if isinstance(value, str):
        return value.replace("STACK", application)
    if isinstance(value, dict):
        return {of_stack(application, name): of_stack(application, entry) for name, entry in value.items()}
    if isinstance(value, list):
        return [of_stack(application, entry) for entry in value]
    return value


@pytest.fixture(params=OWN)
def application(request):
    return request.param


@pytest.fixture
def table(application):
    shared = EVERY
    if not os.environ.get("STACKYARD_SOAK"):
        seed = int(os.environ.get("STACKYARD_SEED") or random.SystemRandom().randrange(10_000))
        print(f"STACKYARD_SEED={seed}")
        shared = random.Random(seed).sample(EVERY, SHARED)
    lines = shared + OWN[application]
    return [Wrong(**{name: of_stack(application, value) for name, value in vars(line).items()}) for line in lines]


@pytest.fixture
def prepared(cloud, tmp_path, application):
    """An account with an image of another application, and files that are no certificates."""
    ec2 = cloud.client("ec2")
    instance = ec2.run_instances(ImageId=ec2.describe_images()["Images"][0]["ImageId"], MinCount=1, MaxCount=1)
    instance_id = instance["Instances"][0]["InstanceId"]
    images = {}
    for name in (application, "another"):
        tags = [{"Key": "stackyard:application", "Value": name}]
        images[name] = ec2.create_image(
            InstanceId=instance_id, Name=name, TagSpecifications=[{"ResourceType": "image", "Tags": tags}]
        )["ImageId"]
    ec2.terminate_instances(InstanceIds=[instance_id])
    parameter = f"/stackyard/demo/{application}/image"
    cloud.client("ssm").put_parameter(Name=parameter, Value=images[application], Type="String")
    words = {"FOREIGN_IMAGE": images["another"]}
    for word, content in (
        ("NOT_PEM", "certificate\n"),
        ("KEY", KEY),
        ("KEYLESS", KEY.replace("PRIVATE KEY", "CERTIFICATE")),
    ):
        (tmp_path / word).write_text(content)
        words[word] = str(tmp_path / word)
    # Ends what would import it. Its start takes longer than most refusals, and playbooks have to do without it too.
    (tmp_path / "ansible_mitogen.py").write_text("raise ImportError\n")
    cloud.forget_requests()
    return words


def refuse(wrong, ansible, words, number):
    """Run the playbook with one wrong input; return what is wrong with its refusal, or None."""
    variables = {k: words.get(v, v) if isinstance(v, str) else v for k, v in wrong.variables.items()}
    file = ansible.directory / f"wrong-{number}.json"
    file.write_text(json.dumps(variables))
    environment = (
        ansible._environment() | {"LOCALCLOUD_PORT": ansible.cloud.endpoint.rsplit(":", 1)[1]} | wrong.environment
    )
    environment |= {
        "ANSIBLE_LOCAL_TEMP": str(ansible.directory / f"tmp-{number}"),
        "AWS_EC2_METADATA_DISABLED": "true",
        "PYTHONPATH": str(ansible.directory),
    }
    run = subprocess.run(
        [
            str(Path(sys.executable).parent / "ansible-playbook"),
            "-i",
            "inventory/local/hosts.yml",
            f"playbooks/{wrong.playbook}",
            "-e",
            f"@{file}",
        ],
        cwd=REPOSITORY,
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    if run.returncode == 0:
        return "it was accepted"
    start = run.stdout.find('{"custom_stats"')
    if start < 0:
        return f"no result: {run.stdout[-500:]} {run.stderr[-500:]}"
    document, _ = json.JSONDecoder().raw_decode(run.stdout[start:])
    failed = [h for p in document["plays"] for t in p["tasks"] for h in t["hosts"].values() if h.get("failed")]
    if len(failed) != 1:
        return f"{len(failed)} tasks failed"
    message = failed[0]["msg"]
    if wrong.variable not in message or wrong.says not in message:
        return f"it says: {message}"
    if "\n" in message or len(message) > 400 or not message.endswith("."):
        return f"it is not one clear sentence: {message}"
    return None


@pytest.mark.long
def test_every_wrong_input_is_refused_before_anything_is_written(ansible, cloud, application, table, prepared):
    workers = min(4, max(2, os.cpu_count() or 2))
    with ThreadPoolExecutor(workers) as pool:
        answers = list(pool.map(lambda n: refuse(table[n], ansible, prepared, n), range(len(table))))
    problems = [f"{w.kind}: {w.variables}: {answer}" for w, answer in zip(table, answers, strict=True) if answer]
    figures = {"wrong_inputs_tried": len(table), "wrong_inputs_refused": answers.count(None)}
    print(figures)
    record(application, **figures)
    assert problems == [], "\n" + "\n".join(problems)
    assert cloud.writes() == []
    assert len(table) >= 20
