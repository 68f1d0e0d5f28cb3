"""image_builds_prune.yml: what dead builds have left goes, what a living one needs stays."""

from __future__ import annotations

import time
from typing import Any

import pytest

PLAYBOOK = "playbooks/image_builds_prune.yml"


@pytest.fixture
def prune(ansible, cloud):
    """Run the playbook as an operator does."""
    connection = {"stackyard_aws": cloud.module_defaults["group/aws"]}

    def run(*, check: bool = False, expect_failure: bool = False, **variables: Any):
        return ansible.run_playbook(
            PLAYBOOK, extra_vars={**connection, **variables}, check=check, expect_failure=expect_failure
        )

    return run


def build(ec2: Any, began: float) -> str:
    """What Packer has made of a build that began then; returns the name."""
    name = f"stackyard-wordpress-7.0-debian-13-amd64-{time.strftime('%Y%m%d%H%M%S', time.gmtime(began))}"
    tags = [{"Key": "stackyard:build", "Value": name}]
    group = ec2.create_security_group(
        GroupName=f"packer_{name}",
        Description="of a build",
        TagSpecifications=[{"ResourceType": "security-group", "Tags": tags}],
    )["GroupId"]
    ec2.create_key_pair(KeyName=f"packer_{name}", TagSpecifications=[{"ResourceType": "key-pair", "Tags": tags}])
    ec2.run_instances(
        ImageId=ec2.describe_images()["Images"][0]["ImageId"], MinCount=1, MaxCount=1, SecurityGroupIds=[group],
        KeyName=f"packer_{name}", TagSpecifications=[{"ResourceType": "instance", "Tags": tags}],
    )  # fmt: skip
    return name


def left(ec2: Any) -> set[tuple[str, str]]:
    """What there is of builds, by kind and the build's name."""
    tagged = [{"Name": "tag-key", "Values": ["stackyard:build"]}]
    instances = [
        instance
        for reservation in ec2.describe_instances(Filters=tagged)["Reservations"]
        for instance in reservation["Instances"]
        if instance["State"]["Name"] != "terminated"
    ]
    found = {
        "instance": instances,
        "key pair": ec2.describe_key_pairs(Filters=tagged)["KeyPairs"],
        "security group": ec2.describe_security_groups(Filters=tagged)["SecurityGroups"],
    }
    return {
        (kind, tag["Value"]) for kind, entries in found.items() for entry in entries for tag in entry["Tags"]
        if tag["Key"] == "stackyard:build"
    }  # fmt: skip


def test_what_dead_builds_have_left_goes(prune, cloud) -> None:
    ec2 = cloud.client("ec2")
    build(ec2, time.time() - 4 * 3600)
    alive = build(ec2, time.time() - 600)
    everything = left(ec2)
    assert len(everything) == 6
    announced = prune(check=True)
    assert left(ec2) == everything
    done = prune()
    assert [task.name for task in announced.changed] == [task.name for task in done.changed]
    assert len(done.changed) == 3
    assert left(ec2) == {(kind, alive) for kind in ("instance", "key pair", "security group")}
    assert prune().changed == []
    # What lives goes too when that is asked for.
    prune(image_builds_prune_hours=0)
    assert left(ec2) == set()


def test_what_is_no_number_of_hours_is_refused(prune) -> None:
    refused = prune(image_builds_prune_hours="many", expect_failure=True)
    assert "image_builds_prune_hours is many" in refused.messages[0]
