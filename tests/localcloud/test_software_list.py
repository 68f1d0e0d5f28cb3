"""The software list of a build names all that the finished image reports of itself, and keeps to CycloneDX's schema."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from urllib.parse import unquote

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

from localcloud.podman import limit_options
from support.figures import record
from support.local_cloud import TestCloud

VENV = "/opt/stackyard/venv/bin/python"
# WordPress' own reader of headers, which needs no database.
PLUGIN_READER = """
define('ABSPATH', '/srv/wordpress/current/');
define('WPINC', 'wp-includes');
define('KB_IN_BYTES', 1024);
require ABSPATH . 'wp-includes/functions.php';
$plugins = ABSPATH . 'wp-content/plugins';
foreach (array_merge(glob("$plugins/*.php"), glob("$plugins/*/*.php")) as $file) {
    $header = get_file_data($file, ['name' => 'Plugin Name', 'version' => 'Version']);
    $name = dirname($file) == $plugins ? basename($file, '.php') : basename(dirname($file));
    if ($header['name']) echo $name, chr(9), $header['version'], PHP_EOL;
}
"""


@pytest.fixture(scope="module")
def listed(software_list: Path) -> dict:
    """The list, valid."""
    text = software_list.read_text()
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(text) is None
    document: dict = json.loads(text)
    return document


@pytest.fixture(scope="module")
def inside(cloud: TestCloud, golden_image: str) -> Callable[..., str]:
    """Runs a program in the finished image."""
    reference = f"{cloud.settings.image_repository}:{golden_image}"
    return lambda program, *rest: cloud.podman(
        "run", "--rm", *limit_options(), f"--entrypoint={program}", reference, *rest
    )


def of(listed: dict, kind: str) -> set[tuple[str, str]]:
    """Names and versions in the list's package URLs of one kind."""
    pattern = re.compile(rf"^pkg:{kind}/([^@]+)@([^?]+)")
    found = (pattern.match(entry["purl"]) for entry in listed["components"])
    return {(unquote(match[1]), unquote(match[2])) for match in found if match}


def test_it_names_the_image(cloud: TestCloud, golden_image: str, listed: dict) -> None:
    image = cloud.client("ec2").describe_images(ImageIds=[golden_image])["Images"][0]
    assert listed["metadata"]["component"]["name"] == image["Name"]


def test_it_names_every_package_of_the_system(listed: dict, inside: Callable[..., str]) -> None:
    reported = inside("dpkg-query", "--show", "--showformat=${Package}\t${Version}\n").splitlines()
    packages = {tuple(line.split("\t")) for line in reported}
    assert len(packages) > 150
    assert of(listed, "deb/debian") == packages
    record("images", software_packages=len(packages), software_listed=len(listed["components"]))


def test_it_names_every_package_of_python(listed: dict, inside: Callable[..., str]) -> None:
    program = (
        "import importlib.metadata as found, json;"
        "print(json.dumps([[entry.name, entry.version] for entry in found.distributions()]))"
    )
    packages = {(name.lower(), version) for name, version in json.loads(inside(VENV, "-c", program))}
    assert {"ansible-core", "boto3"} <= {name for name, _ in packages}
    assert {(name.lower(), version) for name, version in of(listed, "pypi")} == packages


def test_it_names_the_application_as_it_reports_itself(listed: dict, inside: Callable[..., str]) -> None:
    version = inside("php", "-r", "require '/srv/wordpress/current/wp-includes/version.php'; echo $wp_version;")
    assert of(listed, "generic") >= {("wordpress", version)}
    plugins = {tuple(line.split("\t")) for line in inside("php", "-r", PLUGIN_READER).splitlines()}
    assert {(name.removeprefix("wordpress-plugin/"), version) for name, version in of(listed, "generic")} >= plugins
