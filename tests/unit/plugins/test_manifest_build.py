"""The filter takes the image of Packer's last run, and what it was made with, from its manifest."""

from importlib import import_module

import pytest
from ansible.errors import AnsibleFilterError

MANIFEST = {
    "builds": [
        {"packer_run_uuid": "one", "artifact_id": "us-east-1:ami-1"},
        {
            "packer_run_uuid": "two",
            "artifact_id": "eu-central-1:ami-2,us-east-1:ami-3",
            "custom_data": {"variable_files": '["/etc/image.yml"]'},
        },
    ],
    "last_run_uuid": "two",
}


@pytest.fixture
def manifest_build():
    return import_module("ansible_collections.stackyard.aws.plugins.filter.manifest_build").manifest_build


def test_the_last_run_counts(manifest_build) -> None:
    assert manifest_build(MANIFEST, "us-east-1") == {"image_id": "ami-3", "variable_files": ["/etc/image.yml"]}
    first = manifest_build({**MANIFEST, "last_run_uuid": "one"}, "us-east-1")
    assert first == {"image_id": "ami-1", "variable_files": []}


def test_a_region_without_the_image_is_told(manifest_build) -> None:
    with pytest.raises(AnsibleFilterError, match="no image in eu-west-1, only in eu-central-1, us-east-1"):
        manifest_build(MANIFEST, "eu-west-1")


def test_an_empty_manifest_is_told(manifest_build) -> None:
    with pytest.raises(AnsibleFilterError, match="no build"):
        manifest_build({"builds": []}, "us-east-1")
