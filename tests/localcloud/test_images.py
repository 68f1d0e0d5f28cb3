"""Images: baked from a machine, launched from, copied, deregistered; nothing of the local cloud in them."""

from __future__ import annotations

import subprocess

import pytest
from botocore.exceptions import ClientError

from support.waiting import until


def _available(cloud, image_id: str) -> bool:
    state = cloud.client("ec2").describe_images(ImageIds=[image_id])["Images"][0]["State"]
    assert state in {"pending", "available"}
    return state == "available"


def _tags(cloud) -> set[str]:
    listing = cloud.podman("images", "--format={{.Tag}}", f"--filter=reference={cloud.settings.image_repository}")
    return set(listing.split())


@pytest.fixture(scope="module")
def source(launch):
    """A machine with something in it that an image must keep."""
    machine = launch().booted()
    machine.run("sh", "-c", "echo baked >/opt/baked")
    return machine


@pytest.fixture(scope="module")
def image(cloud, source) -> str:
    """An image of it, made as Packer makes one: tags for the image and its snapshot in the same call."""
    ec2 = cloud.client("ec2")
    image_id: str = ec2.create_image(
        InstanceId=source.id,
        Name="baked",
        TagSpecifications=[
            {"ResourceType": kind, "Tags": [{"Key": "application", "Value": kind}]} for kind in ("image", "snapshot")
        ],
    )["ImageId"]
    assert ec2.describe_images(ImageIds=[image_id])["Images"][0]["State"] == "pending"
    until("the image", lambda: _available(cloud, image_id), 60)
    return image_id


def test_image_and_snapshot_carry_their_tags(cloud, image):
    ec2 = cloud.client("ec2")
    described = ec2.describe_images(ImageIds=[image], Owners=["self"])["Images"][0]
    assert described["Tags"] == [{"Key": "application", "Value": "image"}]
    snapshot = ec2.describe_snapshots(SnapshotIds=[described["BlockDeviceMappings"][0]["Ebs"]["SnapshotId"]])
    assert snapshot["Snapshots"][0]["Tags"] == [{"Key": "application", "Value": "snapshot"}]


def test_the_source_was_restarted(cloud, source, image):
    assert source.describe()["State"]["Name"] == "running"
    until("the source", lambda: cloud.podman.container(source.id).running)
    assert source.run("cat", "/opt/baked") == "baked\n"


def test_a_machine_from_the_image_has_its_contents_and_its_own_identity(launch, source, image):
    machine = launch(ImageId=image).booted()
    assert machine.run("cat", "/opt/baked") == "baked\n"
    assert machine.ssh("hostname").stdout.strip() == machine.describe()["PrivateDnsName"].partition(".")[0]
    assert machine.run("cloud-init", "query", "instance_id").strip() == machine.id


def test_nothing_of_the_local_cloud_is_in_the_image(cloud, source, image):
    podman, reference = cloud.podman, f"{cloud.settings.image_repository}:{image}"
    root = podman("image", "mount", reference).strip()
    try:
        found = subprocess.run(
            ["grep", "-rIlE", f"AWS_ENDPOINT_URL|:{cloud.settings.port}", f"{root}/etc", f"{root}/opt"],
            capture_output=True, text=True, check=False,
        ).stdout  # fmt: skip
        left = subprocess.run(
            ["find", root, "-ipath", "*localcloud*"], capture_output=True, text=True, check=False
        ).stdout
    finally:
        podman("image", "unmount", reference)
    assert (found, left) == ("", "")


def test_what_is_made_of_an_image_is_not_taken_for_its_machine(cloud, image):
    """What the cloud takes for a machine that the API does not know, it removes."""
    name = f"{cloud.settings.name}-looked-at"
    cloud.podman("create", f"--name={name}", f"{cloud.settings.image_repository}:{image}")
    try:
        assert name not in {container.name for container in cloud.podman.containers("machine")}
    finally:
        cloud.podman("rm", "--force", "--ignore", name)


def test_a_running_machine_can_be_copied_without_a_stop(cloud, source, image):
    pid = cloud.podman.container(source.id).pid
    live = cloud.client("ec2").create_image(InstanceId=source.id, Name="live", NoReboot=True)["ImageId"]
    until("the image", lambda: _available(cloud, live), 60)
    assert cloud.podman.container(source.id).pid == pid
    root = cloud.podman("image", "mount", f"{cloud.settings.image_repository}:{live}").strip()
    try:
        left = subprocess.run(["find", root, "-ipath", "*localcloud*"], capture_output=True, text=True, check=False)
    finally:
        cloud.podman("image", "unmount", f"{cloud.settings.image_repository}:{live}")
    assert left.stdout == ""


def test_a_name_is_used_once(cloud, source, image):
    with pytest.raises(ClientError, match=r"InvalidAMIName\.Duplicate"):
        cloud.client("ec2").create_image(InstanceId=source.id, Name="baked")


def test_copy_and_deregister(cloud, source, image):
    ec2 = cloud.client("ec2")
    copy = ec2.copy_image(SourceImageId=image, SourceRegion=cloud.settings.region, Name="copy")["ImageId"]
    until("the copy", lambda: _available(cloud, copy))
    assert {image, copy} <= _tags(cloud)
    ec2.deregister_image(ImageId=copy)
    until("the end of the copy", lambda: copy not in _tags(cloud))
    assert image in _tags(cloud)


def test_a_stopped_machine_is_baked_as_packer_does(launch, cloud):
    machine, ec2 = launch().booted(), cloud.client("ec2")
    machine.run("sh", "-c", "echo late >/opt/late")
    ec2.stop_instances(InstanceIds=[machine.id])
    ec2.get_waiter("instance_stopped").wait(InstanceIds=[machine.id])
    image_id = ec2.create_image(InstanceId=machine.id, Name="from-stopped")["ImageId"]
    until("the image", lambda: _available(cloud, image_id), 60)
    assert launch(ImageId=image_id).booted().run("cat", "/opt/late") == "late\n"


def test_an_image_that_is_not_there_is_refused(launch):
    with pytest.raises(ClientError, match=r"InvalidAMIID\.NotFound"):
        launch(ImageId="ami-0123456789abcdef0")
