"""image_publish.yml without machines: what it refuses, what it keeps, and what it says when it is told not to prove."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

PARAMETER = "/stackyard/demo/wordpress/image"


@pytest.fixture
def image(cloud) -> str:
    ec2 = cloud.client("ec2")
    source = ec2.describe_images()["Images"][0]["ImageId"]
    instance = ec2.run_instances(ImageId=source, MinCount=1, MaxCount=1)["Instances"][0]["InstanceId"]
    made: str = ec2.create_image(InstanceId=instance, Name="stackyard-wordpress-7.0")["ImageId"]
    ec2.create_tags(Resources=[made], Tags=[{"Key": "stackyard:application", "Value": "wordpress"}])
    return made


@pytest.fixture
def publish(ansible, image: str, tmp_path: Path):
    """Runs the playbook after a build that made the image."""
    build = {"packer_run_uuid": "one", "artifact_id": f"us-east-1:{image}"}
    manifest = tmp_path / "wordpress.json"
    manifest.write_text(json.dumps({"builds": [build], "last_run_uuid": "one"}))

    def run(*, check: bool = False, expect_failure: bool = False, **given: Any):
        variables = {
            "stackyard_environment": "demo",
            "stackyard_region": "us-east-1",
            "stackyard_aws": dict(ansible.cloud.module_defaults["group/aws"]),
            "image_application": "wordpress",
            "image_manifest": str(manifest),
            **given,
        }
        return ansible.run_playbook(
            "playbooks/image_publish.yml", extra_vars=variables, check=check, expect_failure=expect_failure
        )

    return run


def write_list(folder: Path, image_name: str) -> None:
    document = {"metadata": {"component": {"name": image_name}}}
    (folder / "wordpress.cdx.json").write_text(json.dumps(document))


def parameters(cloud) -> list[str]:
    return [found["Value"] for found in cloud.client("ssm").get_parameters(Names=[PARAMETER])["Parameters"]]


def test_an_image_is_published_unproven_when_that_is_asked_for(publish, cloud, image, tmp_path) -> None:
    s3 = cloud.client("s3")
    s3.create_bucket(Bucket="lists")
    write_list(tmp_path, "stackyard-wordpress-7.0")
    cloud.forget_requests()
    publish(check=True, image_software_bucket="lists")
    assert cloud.writes() == []

    done = publish(image_prove=False, image_software_bucket="lists")
    assert "unproven" in done.task("Say that the image is not proven")["msg"]
    assert parameters(cloud) == [image]
    kept = json.loads(s3.get_object(Bucket="lists", Key=f"wordpress/{image}.cdx.json")["Body"].read())
    assert kept["metadata"]["component"]["name"] == "stackyard-wordpress-7.0"
    tags = cloud.client("ec2").describe_images(ImageIds=[image])["Images"][0]["Tags"]
    assert "stackyard:proven" not in {tag["Key"] for tag in tags}

    again = publish(image_prove=False, image_software_bucket="lists")
    assert [task.name for task in again.changed] == []


def test_an_image_that_is_proven_needs_no_second_proof(publish, cloud, image) -> None:
    cloud.client("ec2").create_tags(
        Resources=[image], Tags=[{"Key": "stackyard:proven", "Value": "2026-01-01T00:00:00Z"}]
    )
    done = publish()
    assert parameters(cloud) == [image]
    assert not [task for task in done.tasks if "proof" in task.name and not task.skipped]


def test_the_software_list_of_another_image_is_refused(publish, cloud, tmp_path) -> None:
    write_list(tmp_path, "stackyard-wordpress-6.9")
    cloud.forget_requests()
    refused = publish(expect_failure=True, image_prove=False, image_software_bucket="lists")
    assert "lists the software of stackyard-wordpress-6.9" in refused.messages[-1]
    assert cloud.writes() == []


def test_no_application_is_refused(ansible, cloud) -> None:
    connection = dict(ansible.cloud.module_defaults["group/aws"])
    variables = {"stackyard_environment": "demo", "stackyard_region": "us-east-1", "stackyard_aws": connection}
    refused = ansible.run_playbook("playbooks/image_publish.yml", extra_vars=variables, expect_failure=True)
    assert refused.messages[-1].startswith("image_application is not set")
