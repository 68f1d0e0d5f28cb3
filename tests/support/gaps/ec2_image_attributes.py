"""EC2: what an image is told after it was made."""

import pytest
from botocore.exceptions import ClientError

from support.control_plane import Cloud
from support.gaps import gap


def _image(cloud: Cloud) -> str:
    ec2 = cloud.client("ec2")
    source = ec2.describe_images()["Images"][0]["ImageId"]
    instance = ec2.run_instances(ImageId=source, MinCount=1, MaxCount=1)["Instances"][0]["InstanceId"]
    return ec2.create_image(InstanceId=instance, Name="image")["ImageId"]


@gap("ec2_image_attributes")
def images_are_deprecated_at_a_date(cloud: Cloud) -> None:
    ec2, image = cloud.client("ec2"), _image(cloud)
    ec2.enable_image_deprecation(ImageId=image, DeprecateAt="2030-01-02T03:04:05Z")
    assert ec2.describe_images(ImageIds=[image])["Images"][0]["DeprecationTime"] == "2030-01-02T03:04:00.000Z"
    ec2.disable_image_deprecation(ImageId=image)
    assert "DeprecationTime" not in ec2.describe_images(ImageIds=[image])["Images"][0]


@gap("ec2_image_attributes")
def images_ask_for_imdsv2(cloud: Cloud) -> None:
    ec2, image = cloud.client("ec2"), _image(cloud)
    ec2.modify_image_attribute(ImageId=image, ImdsSupport={"Value": "v2.0"})
    assert ec2.describe_images(ImageIds=[image])["Images"][0]["ImdsSupport"] == "v2.0"


@gap("ec2_image_attributes")
def protected_images_are_not_deregistered(cloud: Cloud) -> None:
    ec2, image = cloud.client("ec2"), _image(cloud)
    ec2.enable_image_deregistration_protection(ImageId=image)
    with pytest.raises(ClientError, match="OperationNotPermitted"):
        ec2.deregister_image(ImageId=image)
    ec2.disable_image_deregistration_protection(ImageId=image)
    ec2.deregister_image(ImageId=image)
