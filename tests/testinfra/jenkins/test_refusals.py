"""Wrong variables are refused with one sentence that names them, before anything has changed."""

from __future__ import annotations

import pytest

from support.role_refusals import keep_figures, refusals

CHECKSUM = "sha256:" + 64 * "0"
CASC = {"name": "configuration-as-code", "version": "1", "checksum": CHECKSUM}


def plugins(*more: dict[str, str]) -> dict[str, list[dict[str, str]]]:
    return {"jenkins_plugins": [CASC, *more]}


def plugin(**other: str) -> dict[str, list[dict[str, str]]]:
    return plugins({"name": "git", "version": "5.7.0", "checksum": CHECKSUM} | other)


VOLUME = {"ebs_mount_volume_id": "vol-0123456789", "ebs_mount_region": "us-east-1"}
EBS = {"jenkins_home_storage": "ebs", **VOLUME}
SSH_AGENT = {"name": "a", "launcher": "ssh", "host": "h", "credentials": "agent-key", "host_key": "k"}

FLEET = {
    "jenkins_fleet_group": "demo-jenkins-agents",
    "jenkins_fleet_region": "us-east-1",
    "jenkins_fleet_key": "-----BEGIN OPENSSH PRIVATE KEY-----\nstaple correct horse\n",
}
PUBLIC_KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIMolecule"
# What begins so is a variable of the role jenkins_agent, but for jenkins_agent_port.
ROLES = {
    "": "jenkins",
    "jenkins_agent_packages": "jenkins_agent",
    "jenkins_agent_public_ke": "jenkins_agent",
    "jenkins_agent_version": "jenkins_agent",
}

# name of the case: (variable that the sentence must name, what is given)
CASES = {
    "version_word": ("jenkins_version", {"jenkins_version": "lts"}),
    "version_weekly": ("jenkins_version", {"jenkins_version": "2.589"}),
    "repository_url": ("jenkins_repository_url", {"jenkins_repository_url": "ftp://example.org"}),
    "key_url": ("jenkins_repository_key_url", {"jenkins_repository_key_url": "jenkins.asc"}),
    "key_fingerprint_short": ("jenkins_repository_key_fingerprint", {"jenkins_repository_key_fingerprint": "14ABFC68"}),
    "key_checksum": ("jenkins_repository_key_checksum", {"jenkins_repository_key_checksum": "md5:0"}),
    "java_too_old": ("java_version", {"java_version": "17"}),
    "java_not_debian_s": ("java_version", {"java_version": "23"}),
    "java_without_an_archive": ("java_archive_url", {"java_version": "21.0.13+9"}),
    "java_archive_of_nothing": ("java_archive_url", {"java_archive_url": "https://example.org/jdk.tar.gz"}),
    "misspelt_java": ("java_verson", {"java_verson": "21"}),
    "packages": ("jenkins_packages", {"jenkins_packages": ["git; reboot"]}),
    "no_configuration_as_code": ("configuration-as-code", {"jenkins_plugins": []}),
    "plugin_without_checksum": ("checksum", {"jenkins_plugins": [{"name": "git", "version": "1"}]}),
    "plugin_name": ("jenkins_plugins", plugin(name="../git")),
    "plugin_version": ("jenkins_plugins", plugin(version="latest")),
    "plugin_checksum": ("jenkins_plugins", plugin(checksum="sha256:0")),
    "plugin_twice": ("jenkins_plugins", plugins(CASC)),
    "plugin_missing_for_jobs": ("job-dsl", {**plugins(), "jenkins_credentials": [], "jenkins_agents": []}),
    "manager_url": ("jenkins_plugin_manager_url", {"jenkins_plugin_manager_url": "x.jar"}),
    "manager_checksum_missing": ("jenkins_plugin_manager_checksum", {"jenkins_plugin_manager_checksum": ""}),
    "update_center_slash": ("jenkins_update_center_url", {"jenkins_update_center_url": "https://updates.jenkins.io/"}),
    "uid_of_a_person": ("jenkins_uid", {"jenkins_uid": 0}),
    "storage": ("jenkins_home_storage", {"jenkins_home_storage": "s3"}),
    "no_volume": ("ebs_mount_volume_id", {"jenkins_home_storage": "ebs"}),
    "volume_of_no_use": ("ebs_mount_volume_id", VOLUME),
    "volume": ("ebs_mount_volume_id", EBS | {"ebs_mount_volume_id": "fs-0123456789"}),
    "volume_without_region": ("ebs_mount_region", EBS | {"ebs_mount_region": ""}),
    "volume_size": ("ebs_mount_size", EBS | {"ebs_mount_size": 0}),
    "misspelt_volume": ("ebs_mount_volume", {"ebs_mount_volume": "vol-0123456789"}),
    "address": ("elastic_address_allocation_id", {"elastic_address_allocation_id": "203.0.113.1"}),
    "health_url": ("instance_health_url", {"instance_health_url": "login"}),
    "file_system": ("jenkins_home_file_system_id", {"jenkins_home_file_system_id": "vol-0123456789"}),
    "access_point_missing": ("jenkins_home_access_point_id", {"jenkins_home_access_point_id": ""}),
    "mount_in_the_clear": ("efs_mount_type", {"efs_mount_type": "nfs4", "efs_mount_region": "us-east-1"}),
    "home_name_missing": ("jenkins_home_name", {"jenkins_home_name": ""}),
    "home_policy": ("jenkins_home_policy", {"jenkins_home_policy": "force"}),
    "home_free": ("jenkins_home_free_mb", {"jenkins_home_free_mb": 0}),
    "url_without_slash": ("jenkins_url", {"jenkins_url": "https://jenkins.example.org"}),
    "url_missing": ("jenkins_url", {"jenkins_url": ""}),
    "listen_address": ("jenkins_listen_address", {"jenkins_listen_address": "localhost"}),
    "port_low": ("jenkins_port", {"jenkins_port": 80}),
    "port_type": ("jenkins_port", {"jenkins_port": "http"}),
    "agent_port_of_jenkins": ("jenkins_agent_port", {"jenkins_agent_port": 8080}),
    "executors": ("jenkins_executors", {"jenkins_executors": -1}),
    "no_users": ("jenkins_passwords", {"jenkins_passwords": {}}),
    "password_too_short": ("jenkins_passwords", {"jenkins_passwords": {"admin": "tooshortpw"}}),
    "user_name": ("jenkins_passwords", {"jenkins_passwords": {"a/b": 12 * "x"}}),
    "two_realms": ("jenkins_security_realm", {"jenkins_security_realm": {"ldap": {}, "pam": {}}}),
    "permission_of_nobody": ("jenkins_permissions", {"jenkins_permissions": [{"permissions": ["Overall/Administer"]}]}),
    "permission_name": ("jenkins_permissions", {"jenkins_permissions": [{"user": "a", "permissions": ["Administer"]}]}),
    "no_administrator": ("jenkins_permissions", {"jenkins_permissions": [{"user": "a", "permissions": ["Job/Read"]}]}),
    "agent_name": ("jenkins_agents", {"jenkins_agents": [{"name": "a b"}]}),
    "agent_twice": ("jenkins_agents", {"jenkins_agents": [{"name": "a"}, {"name": "a"}]}),
    "agent_launcher": ("launcher", {"jenkins_agents": [{"name": "a", "launcher": "rsh"}]}),
    "ssh_agent_without_host_key": (
        "jenkins_agents",
        {"jenkins_agents": [{key: value for key, value in SSH_AGENT.items() if key != "host_key"}]},
    ),
    "fleet_without_its_plugins": ("ec2-fleet", {**plugins(), **FLEET}),
    "fleet_without_a_region": ("jenkins_fleet_region", FLEET | {"jenkins_fleet_region": ""}),
    "fleet_without_a_key": ("jenkins_fleet_key", FLEET | {"jenkins_fleet_key": "staple correct horse"}),
    "fleet_group": ("jenkins_fleet_group", FLEET | {"jenkins_fleet_group": "a group"}),
    "fleet_of_none": ("jenkins_fleet_max", {"jenkins_fleet_max": 0}),
    "fleet_without_labels": ("jenkins_fleet_labels", {"jenkins_fleet_labels": []}),
    "fleet_label_of_two_words": ("jenkins_fleet_labels", {"jenkins_fleet_labels": ["a b"]}),
    "fleet_executors": ("jenkins_fleet_executors", {"jenkins_fleet_executors": 0}),
    "fleet_idle_minutes": ("jenkins_fleet_idle_minutes", {"jenkins_fleet_idle_minutes": 0}),
    "fleet_drain_longer_than_a_hook": ("jenkins_fleet_drain_seconds", {"jenkins_fleet_drain_seconds": 7200}),
    "fleet_s_credential": (
        "jenkins_credentials",
        FLEET
        | {
            "jenkins_agents": [],
            "jenkins_credentials": [{"id": "fleet", "kind": "text"}],
            "jenkins_credential_secrets": {"fleet": "an old secret"},
        },
    ),
    "agent_version": ("jenkins_agent_version", {"jenkins_agent_version": "latest"}),
    "agent_packages": ("jenkins_agent_packages", {"jenkins_agent_packages": ["maven; reboot"]}),
    "agent_public_key_missing": ("jenkins_agent_public_key", {"jenkins_agent_public_key": ""}),
    "agent_public_key_with_options": (
        "jenkins_agent_public_key",
        {"jenkins_agent_public_key": 'command="sh" ' + PUBLIC_KEY},
    ),
    "misspelt_of_an_agent": ("jenkins_agent_public_kee", {"jenkins_agent_public_kee": PUBLIC_KEY}),
    "ssh_agent_without_its_key": ("jenkins_agents", {"jenkins_agents": [SSH_AGENT | {"credentials": "token"}]}),
    "credential_kind": ("kind", {"jenkins_credentials": [{"id": "a", "kind": "certificate"}]}),
    "credential_without_user": (
        "jenkins_credentials",
        {"jenkins_credentials": [{"id": "a", "kind": "password"}], "jenkins_credential_secrets": {"a": "x"}},
    ),
    "credential_without_secret": ("jenkins_credential_secrets", {"jenkins_credential_secrets": {"token": "x"}}),
    "secret_without_credential": (
        "jenkins_credential_secrets",
        {"jenkins_credentials": [], "jenkins_agents": [], "jenkins_credential_secrets": {"old": "an old secret"}},
    ),
    "job_twice": ("jenkins_jobs", {"jenkins_jobs": [{"name": "a", "script": ""}, {"name": "a", "script": ""}]}),
    "configuration_of_the_role": ("jenkins.numExecutors", {"jenkins_configuration": {"jenkins": {"numExecutors": 4}}}),
    "configuration_root": ("jenkins_configuration", {"jenkins_configuration": {"Un classified": {}}}),
    "secret_in_the_clear": (
        "apiToken",
        {"jenkins_configuration": {"unclassified": {"x": {"apiToken": "a clear token"}}}},
    ),
    "secret_name": ("jenkins_secrets", {"jenkins_secrets": {"a/b": "x"}}),
    "secret_of_the_role": ("jenkins_secrets", {"jenkins_secrets": {"password-admin": "x"}}),
    "heap": ("jenkins_heap_percent", {"jenkins_heap_percent": 95}),
    "property_of_the_role": (
        "runSetupWizard",
        {"jenkins_system_properties": {"jenkins.install.runSetupWizard": "true"}},
    ),
    "property_of_two_lines": ("jenkins_system_properties", {"jenkins_system_properties": {"a": "b\nc"}}),
    "java_option_of_the_heap": ("jenkins_java_options", {"jenkins_java_options": ["-Xmx4g"]}),
    "java_option_word": ("jenkins_java_options", {"jenkins_java_options": ["Xint"]}),
    "environment_of_the_role": ("JENKINS_HOME", {"jenkins_environment": {"JENKINS_HOME": "/tmp"}}),
    "environment_name": ("jenkins_environment", {"jenkins_environment": {"A-B": "x"}}),
    "start_seconds": ("jenkins_start_seconds", {"jenkins_start_seconds": 1}),
    "stop_seconds": ("jenkins_stop_seconds", {"jenkins_stop_seconds": 0}),
    "drain_seconds": ("jenkins_drain_seconds", {"jenkins_drain_seconds": -1}),
    "handover_longer_than_the_lease_s": (
        "lease_handover_seconds",
        {"jenkins_handover_seconds": 300, "lease_table": "leases", "lease_name": "jenkins"},
    ),
    "misspelt": ("jenkins_ur1", {"jenkins_ur1": "x"}),
    "debian_12": (
        "Debian 12",
        {"ansible_facts": {"distribution": "Debian", "distribution_major_version": "12", "memtotal_mb": 8000}},
    ),
}
SECRETS = ("tooshortpw", "staple correct horse", "an old secret", "a clear token", "molecule registry secret")


@pytest.fixture(scope="module")
def said(tmp_path_factory):
    """What each case was refused with; empty where it was taken."""
    texts = refusals(CASES, host="jenkins", roles=ROLES, folder=tmp_path_factory.mktemp("refusals"))
    keep_figures("jenkins-role-inputs", texts)
    return texts


@pytest.mark.parametrize("name", CASES)
def test_wrong_input_is_refused(said, name):
    variable, _ = CASES[name]
    assert variable in said[name], f"refused with: {said[name]!r}"
    assert not [secret for secret in SECRETS if secret in said[name]]


def test_what_the_wrong_ones_are_made_of_is_taken(tmp_path):
    """A case that is refused for another reason than its own would prove nothing."""
    less = {"jenkins_credentials": [], "jenkins_credential_secrets": {}, "jenkins_agents": [], "jenkins_jobs": []}
    right = {
        "nothing_wrong": ("", {}),
        "plugin": ("", plugin() | less | {"jenkins_permissions": []}),
        "ssh_agent": ("", {"jenkins_agents": [SSH_AGENT]}),
        "volume": ("", EBS),
        "fleet": ("", FLEET),
        "agent": ("jenkins_agent_public_key", {"jenkins_agent_public_key": PUBLIC_KEY}),
        "java_archive": (
            "",
            {
                "java_version": "21.0.13+9",
                "java_archive_url": "https://example.org/jdk.tar.gz",
                "java_archive_checksum": CHECKSUM,
            },
        ),
    }
    assert refusals(right, host="jenkins", roles=ROLES, folder=tmp_path) == dict.fromkeys(right, "")
