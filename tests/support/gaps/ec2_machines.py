"""EC2: instances, their interfaces and addresses, and images."""

from __future__ import annotations

import ipaddress
from typing import Any

import pytest
from botocore.exceptions import ClientError

from support.control_plane import Cloud
from support.gaps import gap


def _tags(kind: str) -> dict[str, Any]:
    return {"ResourceType": kind, "Tags": [{"Key": "kind", "Value": kind}]}


def _launch(cloud: Cloud, **arguments: Any) -> dict[str, Any]:
    ec2 = cloud.client("ec2")
    instance: dict[str, Any] = ec2.run_instances(
        # Which image does not matter here; listing all of moto's takes seconds.
        ImageId="ami-12345678",
        InstanceType="t3.micro",
        MinCount=1,
        MaxCount=1,
        **arguments,
    )["Instances"][0]
    return instance


def _image(cloud: Cloud, **arguments: Any) -> dict[str, Any]:
    ec2 = cloud.client("ec2")
    instance = _launch(cloud)
    image_id = ec2.create_image(InstanceId=instance["InstanceId"], **{"Name": "image", **arguments})["ImageId"]
    image: dict[str, Any] = ec2.describe_images(ImageIds=[image_id])["Images"][0]
    return image


@gap("ec2_instances")
def the_interface_of_a_launch_ends_with_its_instance(cloud: Cloud) -> None:
    ec2 = cloud.client("ec2")
    instance = _launch(cloud)
    ec2.terminate_instances(InstanceIds=[instance["InstanceId"]])
    assert ec2.describe_network_interfaces()["NetworkInterfaces"] == []


@gap("ec2_instances")
def a_reboot_does_not_start_a_stopped_instance(cloud: Cloud) -> None:
    ec2 = cloud.client("ec2")
    instance = _launch(cloud)["InstanceId"]
    ec2.stop_instances(InstanceIds=[instance])
    ec2.reboot_instances(InstanceIds=[instance])
    state = ec2.describe_instances(InstanceIds=[instance])["Reservations"][0]["Instances"][0]["State"]["Name"]
    assert state == "stopped"


@gap("ec2_instances")
def console_output_is_not_a_sample(cloud: Cloud) -> None:
    output = cloud.client("ec2").get_console_output(InstanceId=_launch(cloud)["InstanceId"]).get("Output", "")
    assert "2.6.16-xenU" not in output


@gap("ec2_addresses")
def the_first_four_addresses_are_reserved_and_the_rest_given_out_in_turn(cloud: Cloud) -> None:
    ec2 = cloud.client("ec2")
    vpc = ec2.create_vpc(CidrBlock="10.77.0.0/16")["Vpc"]["VpcId"]
    subnet = ec2.create_subnet(VpcId=vpc, CidrBlock="10.77.8.0/28")["Subnet"]["SubnetId"]
    first = _launch(cloud, SubnetId=subnet)
    ec2.terminate_instances(InstanceIds=[first["InstanceId"]])
    addresses = [first["PrivateIpAddress"]]
    for _ in range(12):
        instance = _launch(cloud, SubnetId=subnet)
        addresses.append(instance["PrivateIpAddress"])
        ec2.terminate_instances(InstanceIds=[instance["InstanceId"]])
    expected = [f"10.77.8.{4 + number % 11}" for number in range(13)]
    assert addresses == expected


@gap("ec2_images")
def an_image_and_its_snapshot_are_tagged_by_the_call_that_makes_them(cloud: Cloud) -> None:
    image = _image(cloud, TagSpecifications=[_tags("image"), _tags("snapshot")])
    assert image["Tags"] == _tags("image")["Tags"]
    snapshot_id = image["BlockDeviceMappings"][0]["Ebs"]["SnapshotId"]
    snapshot = cloud.client("ec2").describe_snapshots(SnapshotIds=[snapshot_id])["Snapshots"][0]
    assert snapshot["Tags"] == _tags("snapshot")["Tags"]


@gap("ec2_images")
def an_image_has_the_root_device_that_was_asked_for(cloud: Cloud) -> None:
    ec2 = cloud.client("ec2")
    instance = _launch(cloud)
    root = ec2.describe_instances(InstanceIds=[instance["InstanceId"]])["Reservations"][0]["Instances"][0][
        "RootDeviceName"
    ]
    device = {"DeviceName": root, "Ebs": {"VolumeSize": 20, "VolumeType": "gp3", "Encrypted": True}}
    image_id = ec2.create_image(InstanceId=instance["InstanceId"], Name="sized", BlockDeviceMappings=[device])[
        "ImageId"
    ]
    mapping = ec2.describe_images(ImageIds=[image_id])["Images"][0]["BlockDeviceMappings"][0]
    assert mapping["DeviceName"] == root
    assert (mapping["Ebs"]["VolumeSize"], mapping["Ebs"]["VolumeType"], mapping["Ebs"]["Encrypted"]) == (
        20, "gp3", True,
    )  # fmt: skip


@gap("ec2_images")
def an_image_of_an_encrypted_volume_is_encrypted(cloud: Cloud) -> None:
    ec2 = cloud.client("ec2")
    for encrypted in (True, False):
        root = {"DeviceName": "/dev/sda1", "Ebs": {"VolumeSize": 11, "Encrypted": encrypted}}
        instance = _launch(cloud, BlockDeviceMappings=[root])["InstanceId"]
        image = ec2.create_image(InstanceId=instance, Name=f"encrypted {encrypted}")["ImageId"]
        found = ec2.describe_images(ImageIds=[image])["Images"][0]["BlockDeviceMappings"][0]["Ebs"]
        assert found["Encrypted"] is encrypted
        assert found["VolumeSize"] == 11


@gap("ec2_images")
def the_name_of_an_image_is_used_once(cloud: Cloud) -> None:
    _image(cloud)
    with pytest.raises(ClientError, match=r"InvalidAMIName\.Duplicate"):
        _image(cloud)


@gap("ec2_images")
def a_copy_takes_the_tags_along_when_asked(cloud: Cloud) -> None:
    ec2 = cloud.client("ec2")
    source = _image(cloud, TagSpecifications=[_tags("image")])
    copy_id = ec2.copy_image(
        SourceImageId=source["ImageId"], SourceRegion=cloud.region, Name="copy", CopyImageTags=True
    )["ImageId"]
    assert ec2.describe_images(ImageIds=[copy_id])["Images"][0]["Tags"] == source["Tags"]


@gap("ec2_images")
def a_deregistered_image_takes_its_snapshot_along_when_asked(cloud: Cloud) -> None:
    ec2 = cloud.client("ec2")
    image = _image(cloud)
    snapshot_id = image["BlockDeviceMappings"][0]["Ebs"]["SnapshotId"]
    ec2.deregister_image(ImageId=image["ImageId"], DeleteAssociatedSnapshots=True)
    snapshots = {snapshot["SnapshotId"] for snapshot in ec2.describe_snapshots(OwnerIds=["self"])["Snapshots"]}
    assert snapshot_id not in snapshots


@gap("ec2_public_addresses")
def a_public_address_is_nobody_s_on_the_internet(cloud: Cloud) -> None:
    address = cloud.client("ec2").allocate_address(Domain="vpc")["PublicIp"]
    assert ipaddress.IPv4Address(address) in ipaddress.IPv4Network("198.18.0.0/15")


@gap("ec2_public_addresses")
def an_elastic_ip_leaves_whatever_had_it(cloud: Cloud) -> None:
    ec2 = cloud.client("ec2")
    allocation = ec2.allocate_address(Domain="vpc")
    machines = [_launch(cloud)["InstanceId"] for _ in range(2)]
    for machine in machines:
        ec2.associate_address(AllocationId=allocation["AllocationId"], InstanceId=machine, AllowReassociation=True)
    reservations = ec2.describe_instances(InstanceIds=machines)["Reservations"]
    addresses = {i["InstanceId"]: i.get("PublicIpAddress") for r in reservations for i in r["Instances"]}
    assert addresses[machines[1]] == allocation["PublicIp"] != addresses[machines[0]]


@gap("ec2_instances")
def an_elastic_ip_outlives_its_instance_unassociated(cloud: Cloud) -> None:
    ec2 = cloud.client("ec2")
    allocation = ec2.allocate_address(Domain="vpc")["AllocationId"]
    machine = _launch(cloud)["InstanceId"]
    ec2.associate_address(AllocationId=allocation, InstanceId=machine)
    ec2.terminate_instances(InstanceIds=[machine])
    [address] = ec2.describe_addresses()["Addresses"]
    assert not address.get("AssociationId")


def _volume(cloud: Cloud, zone: str = "us-east-1a") -> str:
    volume: str = cloud.client("ec2").create_volume(Size=2, AvailabilityZone=zone)["VolumeId"]
    return volume


def _attach(cloud: Cloud, volume: str, instance: dict[str, Any]) -> None:
    cloud.client("ec2").attach_volume(VolumeId=volume, InstanceId=instance["InstanceId"], Device="/dev/sdf")


def _zone(cloud: Cloud, zone: str) -> dict[str, Any]:
    return _launch(cloud, Placement={"AvailabilityZone": zone})


@gap("ec2_volumes")
def a_volume_is_attached_to_one_instance(cloud: Cloud) -> None:
    first, second, volume = _zone(cloud, "us-east-1a"), _zone(cloud, "us-east-1a"), _volume(cloud)
    _attach(cloud, volume, first)
    with pytest.raises(ClientError, match="VolumeInUse"):
        _attach(cloud, volume, second)


@gap("ec2_volumes")
def a_volume_is_attached_in_its_zone(cloud: Cloud) -> None:
    with pytest.raises(ClientError, match="ZoneMismatch"):
        _attach(cloud, _volume(cloud, "us-east-1b"), _zone(cloud, "us-east-1a"))


@gap("ec2_volumes")
def a_volume_is_not_made_smaller(cloud: Cloud) -> None:
    with pytest.raises(ClientError, match="smaller"):
        cloud.client("ec2").modify_volume(VolumeId=_volume(cloud), Size=1)


@gap("ec2_volumes")
def a_volume_is_detached_from_whatever_has_it(cloud: Cloud) -> None:
    volume = _volume(cloud)
    _attach(cloud, volume, _zone(cloud, "us-east-1a"))
    cloud.client("ec2").detach_volume(VolumeId=volume)
    assert cloud.client("ec2").describe_volumes(VolumeIds=[volume])["Volumes"][0]["State"] == "available"


@gap("ec2_volumes")
def a_volume_that_is_made_of_no_snapshot_says_so(cloud: Cloud) -> None:
    assert cloud.client("ec2").describe_volumes(VolumeIds=[_volume(cloud)])["Volumes"][0]["SnapshotId"] == ""
