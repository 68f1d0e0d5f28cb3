"""The boot document is read strictly, and every refusal is a sentence that names the file and the fault."""

import json
from importlib import import_module
from pathlib import Path

import pytest

GOOD = {
    "application": "wordpress",
    "environment": "demo",
    "region": "us-east-1",
    "group": "demo-wordpress",
    "launch_hook": "launch",
    "terminate_hook": "terminate",
    "secrets": {"wordpress_database_password": {"secret": "stackyard/demo/wordpress/database", "key": "password"}},
    "variables": {"wordpress_site_url": "https://www.example.com", "wordpress_plugins": []},
}


@pytest.fixture
def boot_document():
    return import_module("ansible_collections.stackyard.aws.plugins.module_utils.boot_document")


def test_a_full_document_is_read(boot_document, tmp_path: Path) -> None:
    path = tmp_path / "boot.json"
    path.write_text(json.dumps(GOOD))
    document = boot_document.read(str(path))
    assert document.application == "wordpress"
    assert document.launch_hook == "launch"
    assert document.secrets["wordpress_database_password"] == boot_document.SecretReference(
        "stackyard/demo/wordpress/database", "password"
    )
    assert document.variables == GOOD["variables"]


def test_a_machine_of_no_group_needs_three_entries_only(boot_document) -> None:
    document = boot_document.parse({key: GOOD[key] for key in ("application", "environment", "region")})
    assert (document.group, document.launch_hook, document.secrets, document.variables) == ("", "", {}, {})


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"application": ""}, "needs 'application'"),
        ({"application": "../../etc"}, "no role's name"),
        ({"application": "Word Press"}, "no role's name"),
        ({"region": 1}, "needs 'region'"),
        ({"environment": None}, "needs 'environment'"),
        ({"group": []}, "'group' that is not a string"),
        ({"launch_hok": "launch"}, "unknown entries launch_hok"),
        ({"variables": []}, "'variables' that is not a mapping"),
        ({"variables": {"ansible_connection": "ssh"}}, "no role variable's name: ansible_connection"),
        ({"variables": {"a-b": 1}}, "no role variable's name: a-b"),
        ({"secrets": {"wordpress_salts": "name"}}, "'wordpress_salts' a mapping with 'secret'"),
        ({"secrets": {"wordpress_salts": {"secret": ""}}}, "'wordpress_salts' a mapping with 'secret'"),
        ({"secrets": {"wordpress_salts": {"secret": "a", "value": "b"}}}, "'wordpress_salts' a mapping with 'secret'"),
        ({"secrets": {"wordpress_site_url": {"secret": "a"}}}, "wordpress_site_url both"),
    ],
)
def test_refusals(boot_document, change: dict, words: str) -> None:
    with pytest.raises(
        boot_document.BootDocumentError, match=r"^The boot document /etc/stackyard/boot\.json "
    ) as refusal:
        boot_document.parse({**GOOD, **change})
    assert words in str(refusal.value)


def test_what_is_no_object_is_refused(boot_document) -> None:
    with pytest.raises(boot_document.BootDocumentError, match="must hold a JSON object"):
        boot_document.parse([GOOD])


def test_a_missing_or_broken_file_is_told(boot_document, tmp_path: Path) -> None:
    with pytest.raises(boot_document.BootDocumentError, match="There is no boot document"):
        boot_document.read(str(tmp_path / "none.json"))
    broken = tmp_path / "boot.json"
    broken.write_text('{"application": ')
    with pytest.raises(boot_document.BootDocumentError, match="is not JSON"):
        boot_document.read(str(broken))
    broken.write_bytes(b"\xff\xfe")
    with pytest.raises(boot_document.BootDocumentError, match="cannot be read"):
        boot_document.read(str(broken))
