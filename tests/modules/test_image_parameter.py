"""image_parameter: an image is published, the one before is kept, what is no image of the application is refused."""

import pytest

PARAMETER = "/stackyard/demo/wordpress/image"
PREVIOUS = PARAMETER + "-previous"


@pytest.fixture
def images(cloud) -> list[str]:
    """Three images of the application."""
    ec2 = cloud.client("ec2")
    source = ec2.describe_images()["Images"][0]["ImageId"]
    instance = ec2.run_instances(ImageId=source, MinCount=1, MaxCount=1)["Instances"][0]["InstanceId"]
    made = [ec2.create_image(InstanceId=instance, Name=f"image-{number}")["ImageId"] for number in range(3)]
    ec2.create_tags(Resources=made, Tags=[{"Key": "stackyard:application", "Value": "wordpress"}])
    return made


@pytest.fixture
def publish(ansible):
    def run(image_id: str, **options):
        task = {
            "name": "Publish",
            "stackyard.aws.image_parameter": {
                "application": "wordpress",
                "environment": "demo",
                "image_id": image_id,
                "parameter": PARAMETER,
            },
        }
        return ansible.run_tasks([task], **options)

    return run


def value(cloud, name: str) -> str | None:
    found = cloud.client("ssm").get_parameters(Names=[name])["Parameters"]
    return found[0]["Value"] if found else None


def test_the_life_of_the_parameter(publish, cloud, images) -> None:
    first, second, third = images

    checked = publish(first, check=True).last
    assert checked["changed"]
    assert value(cloud, PARAMETER) is None

    created = publish(first).last
    assert created["changes"] == checked["changes"]
    assert (value(cloud, PARAMETER), value(cloud, PREVIOUS)) == (first, None)
    assert not publish(first).last["changed"]
    assert not publish(first, check=True).last["changed"]

    moved = publish(second).last
    assert moved["previous_image_id"] == first
    assert (value(cloud, PARAMETER), value(cloud, PREVIOUS)) == (second, first)
    cloud.forget_requests()
    assert not publish(second).last["changed"]
    assert cloud.writes() == []

    publish(third)
    assert (value(cloud, PARAMETER), value(cloud, PREVIOUS)) == (third, second)


def test_what_is_published_is_found_by_the_stacks_tags(publish, cloud, images) -> None:
    publish(images[0])
    publish(images[1])
    for name in (PARAMETER, PREVIOUS):
        tags = cloud.client("ssm").list_tags_for_resource(ResourceType="Parameter", ResourceId=name)["TagList"]
        assert {tag["Key"]: tag["Value"] for tag in tags} == {
            "Name": name,
            "stackyard:environment": "demo",
            "stackyard:application": "wordpress",
            "stackyard:keep": "true",
        }
    tags = cloud.client("ec2").describe_images(ImageIds=[images[0]])["Images"][0]["Tags"]
    assert {"Key": "stackyard:environment", "Value": "demo"} in tags


@pytest.mark.parametrize("wrong", ["missing", "foreign"])
def test_refusals_write_nothing(publish, cloud, images, wrong: str) -> None:
    image = "ami-0123456789abcdef0"
    if wrong == "foreign":
        image = images[0]
        cloud.client("ec2").create_tags(Resources=[image], Tags=[{"Key": "stackyard:application", "Value": "jenkins"}])
    cloud.forget_requests()
    result = publish(image, expect_failure=True)
    assert image in result.last["msg"]
    assert {"missing": "there is no such image", "foreign": "stackyard:application=wordpress"}[wrong] in result.last[
        "msg"
    ]
    assert cloud.writes() == []
