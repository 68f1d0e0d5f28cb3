"""The filter takes the image of Packer's last run from its manifest."""

from importlib import import_module

import pytest
from ansible.errors import AnsibleFilterError

MANIFEST = {
    "builds": [
        {"packer_run_uuid": "one", "artifact_id": "us-east-1:ami-1"},
        {
            "packer_run_uuid": "two",
            "artifact_id": "eu-central-1:ami-2,us-east-1:ami-3",
        },
    ],
    "last_run_uuid": "two",
}


@pytest.fixture
def manifest_image():
    return import_module("ansible_collections.stackyard.aws.plugins.filter.manifest_image").manifest_image


def test_the_last_run_counts(manifest_image) -> None:
    assert manifest_image(MANIFEST, "us-east-1") == "ami-3"
    assert manifest_image({**MANIFEST, "last_run_uuid": "one"}, "us-east-1") == "ami-1"


def test_a_region_without_the_image_is_told(manifest_image) -> None:
    with pytest.raises(AnsibleFilterError, match="no image in eu-west-1, only in eu-central-1, us-east-1"):
        manifest_image(MANIFEST, "eu-west-1")


def test_an_empty_manifest_is_told(manifest_image) -> None:
    with pytest.raises(AnsibleFilterError, match="no build"):
        manifest_image({"builds": []}, "us-east-1")
