"""What a machine carries is told from its files, and the document made of it keeps to CycloneDX's schema."""

from __future__ import annotations

import json
import os
from importlib import import_module
from pathlib import Path

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

PLUGINS = "ansible_collections.stackyard.aws.plugins"
FACTS = {
    "distribution": {"id": "debian", "version": "13"},
    "software": [
        {"kind": "deb", "name": "libc6", "version": "2.41-12", "architecture": "amd64", "source": "glibc",
         "source_version": "2.41-12"},
        {"kind": "deb", "name": "nginx", "version": "1.26.3-3+deb13u1", "architecture": "amd64", "source": "nginx",
         "source_version": "1.26.3-3+deb13u1"},
        {"kind": "npm", "name": "@etherpad/core", "version": "2.5.0"},
        {"kind": "pypi", "name": "ansible-core", "version": "2.21.5"},
        {"kind": "ansible-collection", "name": "stackyard.aws", "version": "0.1.0"},
        {"kind": "wordpress", "name": "wordpress", "version": "7.0"},
        {"kind": "wordpress-plugin", "name": "akismet", "version": "5.4"},
    ],
}  # fmt: skip


@pytest.fixture
def machine(tmp_path: Path) -> Path:
    """A folder with one of each kind, and with what only looks like it."""
    files = {
        "venv/lib/python3/site-packages/boto3-1.44.0.dist-info/METADATA": "Name: boto3\nVersion: 1.44.0\n\nVersion: 2",
        "node_modules/@etherpad/core/package.json": '{"name": "@etherpad/core", "version": "2.5.0"}',
        "node_modules/ws/package.json": '{"name": "ws", "version": "8.18.0"}',
        "node_modules/ws/lib/package.json": '{"type": "module"}',
        "pads/src/ep.json": "{}",
        "pads/src/package.json": '{"name": "ep_etherpad-lite", "version": "1.8.14"}',
        "pads/seed/.versions/ep_headings2@0.2.68/ep.json": "{}",
        "pads/seed/.versions/ep_headings2@0.2.68/package.json": '{"name": "ep_headings2", "version": "0.2.68"}',
        "pads/tests/package.json": '{"name": "tests", "version": "1.0.0"}',
        "collections/ansible_collections/ansible/posix/MANIFEST.json": json.dumps(
            {"collection_info": {"namespace": "ansible", "name": "posix", "version": "2.1.0"}}
        ),
        "collections/ansible_collections/stackyard/aws/galaxy.yml": "namespace: stackyard\nname: aws\nversion: 0.1.0",
        "jenkins/plugins/0123/lock.json": '[{"name": "git", "version": "5.7.0", "checksum": "sha256:0"}]',
        "jenkins/plugins/0123/wanted.json": "{}",
        "jenkins/plugins/0123/plugins/git.jpi": "",
        "java/21/release": 'IMPLEMENTOR="Eclipse Adoptium"\nJAVA_RUNTIME_VERSION="21.0.13+9-LTS"\n',
        "java/21/bin/java": "",
        "java/21/lib/modules": "",
        "site/wp-includes/version.php": "<?php\n$wp_version = '7.0';\n",
        "site/wp-content/plugins/akismet/akismet.php": "<?php\n/*\nPlugin Name: Akismet\nVersion: 5.4\n*/",
        "site/wp-content/plugins/akismet/class.php": "<?php\n/* Version: 1 */",
        "site/wp-content/plugins/hello.php": "<?php\n/**\n * Plugin Name: Hello\n * Version: 1.7.2 */\n",
        "site/wp-content/mu-plugins/own.php": "<?php // Plugin Name: Own\n",
        "site/wp-content/themes/plain/style.css": "/*\nTheme Name: Plain\nVersion: 1.3\n*/",
    }
    for name, content in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(content)
    return tmp_path


def test_each_kind_is_told_from_its_files(machine: Path) -> None:
    described = import_module(f"{PLUGINS}.modules.software_info").described
    found = [
        (entry["kind"], entry["name"], entry["version"])
        for folder, names, files in os.walk(machine)
        for entry in described(Path(folder), names, files)
    ]
    assert sorted(found) == [
        ("ansible-collection", "ansible.posix", "2.1.0"),
        ("ansible-collection", "stackyard.aws", "0.1.0"),
        ("etherpad", "etherpad", "1.8.14"),
        ("jenkins-plugin", "git", "5.7.0"),
        ("npm", "@etherpad/core", "2.5.0"),
        ("npm", "ep_headings2", "0.2.68"),
        ("npm", "ws", "8.18.0"),
        ("openjdk", "openjdk", "21.0.13+9-LTS"),
        ("pypi", "boto3", "1.44.0"),
        ("wordpress", "wordpress", "7.0"),
        ("wordpress-plugin", "akismet", "5.4"),
        ("wordpress-plugin", "hello", "1.7.2"),
        ("wordpress-plugin", "own", "unknown"),
        ("wordpress-theme", "plain", "1.3"),
    ]


def test_the_document_is_valid_and_names_everything() -> None:
    cyclonedx = import_module(f"{PLUGINS}.filter.cyclonedx").cyclonedx
    text = cyclonedx(FACTS, "stackyard-wordpress-7.0", "7.0")
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(text) is None
    document = json.loads(text)
    assert document["metadata"]["component"]["name"] == "stackyard-wordpress-7.0"
    assert {entry["purl"] for entry in document["components"]} == {
        "pkg:deb/debian/libc6@2.41-12?arch=amd64&distro=debian-13&upstream=glibc%402.41-12",
        "pkg:deb/debian/nginx@1.26.3-3%2Bdeb13u1?arch=amd64&distro=debian-13",
        "pkg:generic/ansible-collection/stackyard.aws@0.1.0",
        "pkg:generic/wordpress-plugin/akismet@5.4",
        "pkg:generic/wordpress@7.0",
        "pkg:npm/%40etherpad/core@2.5.0",
        "pkg:pypi/ansible-core@2.21.5",
    }
    application = next(entry for entry in document["components"] if entry["type"] == "application")
    assert application["cpe"] == "cpe:2.3:a:wordpress:wordpress:7.0:*:*:*:*:*:*:*"
