"""Wrong variables are refused with one sentence that names them, before anything has changed."""

from __future__ import annotations

import pytest

from support.role_refusals import keep_figures, refusals

CHECKSUM = "sha256:" + 64 * "0"
LINE_3 = {
    "etherpad_version": "3.3.15",
    "etherpad_archive_url": "https://example.org/etherpad_3.3.15-1_amd64.deb",
    "etherpad_archive_checksum": CHECKSUM,
    "nodejs_version": "24.21.0",
}
OIDC = LINE_3 | {
    "etherpad_authentication": "oidc",
    "etherpad_site_url": "https://pads.example.org",
    "etherpad_oidc": {"issuer": "https://id.example.org", "client_id": "pads"},
    "etherpad_oidc_client_secret": "a secret of molecule",
    "etherpad_plugins": [
        {"name": "ep_openid_connect", "version": "5.0.0", "url": "https://example.org/x.tgz", "checksum": CHECKSUM}
    ],
}


def plugin(**other: str) -> dict[str, list[dict[str, str]]]:
    whole = {"name": "ep_x", "version": "1.0.0", "url": "https://example.org/x.tgz", "checksum": CHECKSUM}
    return {"etherpad_plugins": [whole | other]}


# name of the case: (variable that the sentence must name, what is given)
CASES = {
    "version_word": ("etherpad_version", {"etherpad_version": "latest"}),
    "version_between_the_lines": ("etherpad_version", {"etherpad_version": "2.7.3"}),
    "version_with_a_hole": ("etherpad_version", LINE_3 | {"etherpad_version": "3.3.2"}),
    "version_newer_than_known": ("etherpad_version", LINE_3 | {"etherpad_version": "4.0.0"}),
    "archive_url": ("etherpad_archive_url", {"etherpad_archive_url": "ftp://example.org/etherpad.tar.gz"}),
    "archive_of_the_other_kind": ("etherpad_archive_url", {"etherpad_archive_url": "https://example.org/e.deb"}),
    "archive_checksum_missing": ("etherpad_archive_checksum", {"etherpad_archive_checksum": ""}),
    "archive_checksum_kind": ("etherpad_archive_checksum", {"etherpad_archive_checksum": "md5:0123"}),
    "nodejs_too_old_for_it": ("nodejs_version", LINE_3 | {"nodejs_version": "20.20.2"}),
    "nodejs_too_new_for_it": ("nodejs_version", {"nodejs_version": "24.21.0"}),
    "nodejs_not_debian_s": ("nodejs_version", LINE_3 | {"nodejs_version": "24"}),
    "nodejs_checksum_of_another": ("nodejs_archive_checksum", LINE_3 | {"nodejs_version": "24.20.0"}),
    "nodejs_url": ("nodejs_archive_url", LINE_3 | {"nodejs_archive_url": "nodejs.org"}),
    "misspelt_nodejs": ("nodejs_verson", {"nodejs_verson": "20"}),
    "plugin_without_checksum": ("checksum", {"etherpad_plugins": [{"name": "ep_x", "version": "1.0.0", "url": "x"}]}),
    "plugin_name": ("etherpad_plugins", plugin(name="../x")),
    "plugin_version": ("etherpad_plugins", plugin(version="latest")),
    "plugin_url": ("etherpad_plugins", plugin(url="ep_x")),
    "plugin_of_the_role": ("etherpad_plugins", plugin(name="ep_stackyard_health")),
    "authorities_unproved": (
        "etherpad_database_ca_checksum",
        {"etherpad_database_ca_url": "http://example.org/ca.pem", "etherpad_database_ca_checksum": ""},
    ),
    "stop_seconds": ("etherpad_stop_seconds", {"etherpad_stop_seconds": 0}),
    "start_seconds": ("etherpad_start_seconds", {"etherpad_start_seconds": 1}),
    "title_empty": ("etherpad_title", {"etherpad_title": " "}),
    "toolbar_key": ("etherpad_toolbar", {"etherpad_toolbar": {"middle": [["bold"]]}}),
    "toolbar_flat": ("etherpad_toolbar", {"etherpad_toolbar": {"left": "bold"}}),
    "own_setting": ("etherpad_settings", {"etherpad_settings": {"dbType": "dirty"}}),
    "own_setting_of_the_other_line": ("etherpad_settings", {"etherpad_settings": {"updates": {"tier": "auto"}}}),
    "setting_name": ("etherpad_settings", {"etherpad_settings": {"Edit only": True}}),
    "port_range": ("etherpad_port", {"etherpad_port": 80}),
    "port_type": ("etherpad_port", {"etherpad_port": "http"}),
    "database_engine": ("etherpad_database_engine", {"etherpad_database_engine": "sqlite"}),
    "database_host": ("etherpad_database_host", {"etherpad_database_host": "mysql://host"}),
    "database_port": ("etherpad_database_port", {"etherpad_database_port": 70000}),
    "database_name": ("etherpad_database_name", {"etherpad_database_name": "pads`; DROP"}),
    "database_user_of_a_holder": ("etherpad_database_user", {"etherpad_database_user": "etherpad_1"}),
    "database_password": ("etherpad_database_password", {"etherpad_database_password": "short"}),
    "authentication": ("etherpad_authentication", {"etherpad_authentication": "ldap"}),
    "oidc_with_the_old_line": ("etherpad_authentication", {"etherpad_authentication": "oidc"}),
    "oidc_without_its_plugin": ("etherpad_plugins", OIDC | {"etherpad_plugins": []}),
    "oidc_without_a_provider": ("etherpad_oidc", OIDC | {"etherpad_oidc": {}}),
    "oidc_without_a_secret": ("etherpad_oidc_client_secret", OIDC | {"etherpad_oidc_client_secret": ""}),
    "oidc_without_a_site": ("etherpad_site_url", OIDC | {"etherpad_site_url": ""}),
    "site_url_with_path": ("etherpad_site_url", {"etherpad_site_url": "https://example.org/pads"}),
    "administrator_without_password": ("etherpad_passwords", {"etherpad_admin_users": ["eve"]}),
    "password_too_short": ("etherpad_passwords", {"etherpad_passwords": {"admin": "tooshortpw"}}),
    "user_name": ("etherpad_passwords", {"etherpad_passwords": {"admin": 12 * "x", "a:b": 12 * "x"}}),
    "users_without_users": (
        "etherpad_passwords",
        {"etherpad_authentication": "users", "etherpad_admin_users": [], "etherpad_passwords": {}},
    ),
    "session_key": ("etherpad_session_key", {"etherpad_session_key": "abc"}),
    "api_key_missing": ("etherpad_api_key", {"etherpad_api_key": ""}),
    "one_key_for_both": ("etherpad_api_key", {"etherpad_api_key": 40 * "k", "etherpad_session_key": 40 * "k"}),
    "edit_rate": ("etherpad_edit_rate", {"etherpad_edit_rate": 0}),
    "transfer_rate": ("etherpad_transfer_rate", {"etherpad_transfer_rate": -1}),
    "import_size": ("etherpad_import_max_mb", {"etherpad_import_max_mb": 0}),
    "misspelt": ("etherpad_tittle", {"etherpad_tittle": "x"}),
}
SECRETS = ("correct horse battery", "staple correct horse", "tooshortpw", "a secret of molecule", 40 * "k")


@pytest.fixture(scope="module")
def said(tmp_path_factory):
    """What each case was refused with; empty where it was taken."""
    texts = refusals(CASES, host="etherpad", roles={"": "etherpad"}, folder=tmp_path_factory.mktemp("refusals"))
    keep_figures("etherpad-role-inputs", texts)
    return texts


@pytest.mark.parametrize("name", CASES)
def test_wrong_input_is_refused(said, name):
    variable, _ = CASES[name]
    assert variable in said[name], f"refused with: {said[name]!r}"
    assert not [secret for secret in SECRETS if secret in said[name]]


def test_what_the_wrong_ones_are_made_of_is_taken(tmp_path):
    """A case that is refused for another reason than its own would prove nothing."""
    right = {"oidc": ("", OIDC), "line_3": ("", LINE_3 | {"etherpad_plugins": []}), "plugin": ("", plugin())}
    assert refusals(right, host="etherpad", roles={"": "etherpad"}, folder=tmp_path) == dict.fromkeys(right, "")
