"""Wrong variables are refused with one sentence that names them, before anything has changed."""

from __future__ import annotations

import pytest

from support.role_refusals import keep_figures, refusals

# name of the case: (variable that the sentence must name, what is given)
CASES = {
    "version": ("wordpress_version", {"wordpress_version": "latest"}),
    "archive_url": ("wordpress_archive_url", {"wordpress_archive_url": "ftp://example.org/wordpress.tar.gz"}),
    "archive_checksum": ("wordpress_archive_checksum", {"wordpress_archive_checksum": "md5:0123"}),
    "checksum_of_another_version": (
        "wordpress_archive_checksum",
        {"wordpress_version": "7.0", "wordpress_archive_checksum": "sha1:761b8101538f0631a0bfc4fba7bc4abeea92f81c"},
    ),
    "plugin_without_checksum": ("checksum", {"wordpress_plugins": [{"name": "x", "url": "https://example.org/x.zip"}]}),
    "plugin_name": (
        "wordpress_plugins",
        {"wordpress_plugins": [{"name": "../x", "url": "https://example.org/x.zip", "checksum": "sha256:" + 64 * "0"}]},
    ),
    "authorities_unproved": (
        "wordpress_database_ca_checksum",
        {"wordpress_database_ca_url": "http://example.org/ca.pem", "wordpress_database_ca_checksum": ""},
    ),
    "site_url_missing": ("wordpress_site_url", {"wordpress_site_url": ""}),
    "site_url_with_path": ("wordpress_site_url", {"wordpress_site_url": "https://example.org/blog"}),
    "admin_email": ("wordpress_admin_email", {"wordpress_admin_email": "nobody"}),
    "password_too_short": ("wordpress_admin_password", {"wordpress_admin_password": "short"}),
    "database_host": ("wordpress_database_host", {"wordpress_database_host": "mysql://host"}),
    "database_port_range": ("wordpress_database_port", {"wordpress_database_port": 70000}),
    "database_port_type": ("wordpress_database_port", {"wordpress_database_port": "many"}),
    "table_prefix": ("wordpress_table_prefix", {"wordpress_table_prefix": "wp-`; DROP"}),
    "salts_missing": ("wordpress_salts", {"wordpress_salts": {"AUTH_KEY": 64 * "a"}}),
    "multisite": ("wordpress_multisite", {"wordpress_multisite": "maybe"}),
    "upload_size": ("wordpress_upload_max_mb", {"wordpress_upload_max_mb": 0}),
    "smtp_without_password": (
        "wordpress_smtp_password",
        {"wordpress_smtp": {"host": "smtp.example.org", "username": "u"}, "wordpress_smtp_password": ""},
    ),
    "own_constant": ("wordpress_constants", {"wordpress_constants": {"DISALLOW_FILE_MODS": False}}),
    "misspelt": ("wordpress_tittle", {"wordpress_tittle": "x"}),
    "misspelt_nginx": ("nginx_trusted_proxy", {"nginx_trusted_proxy": ["10.0.0.0/8"]}),
    "proxies_not_networks": ("nginx_trusted_proxies", {"nginx_trusted_proxies": ["balancer"]}),
    "memory": ("php_memory_mb", {"php_memory_mb": 100}),
    "file_system_id": ("file_system_id", {"efs_mount_points": [{"path": "/srv/x", "file_system_id": "fs-?"}]}),
    "mount_type": ("efs_mount_type", {"efs_mount_type": "smb"}),
    "region": ("efs_mount_region", {"efs_mount_type": "nfs4", "efs_mount_region": "Europe"}),
    "agent_unproved": (
        "base_ssm_agent",
        {"base_ssm_agent": True, "base_ssm_agent_checksum": "", "base_ssm_agent_key_fingerprint": ""},
    ),
}
SECRETS = ("correct horse battery", "smtp password of molecule", "short")


@pytest.fixture(scope="module")
def said(tmp_path_factory):
    """What each case was refused with; empty where it was taken."""
    roles = {"": "wordpress", "base_": "base"}
    texts = refusals(CASES, host="wordpress", roles=roles, folder=tmp_path_factory.mktemp("refusals"))
    keep_figures("wordpress-role-inputs", texts)
    return texts


@pytest.mark.parametrize("name", CASES)
def test_wrong_input_is_refused(said, name):
    variable, _ = CASES[name]
    assert variable in said[name], f"refused with: {said[name]!r}"
    assert not [secret for secret in SECRETS if secret in said[name]]
