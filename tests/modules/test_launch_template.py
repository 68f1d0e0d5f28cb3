"""launch_template: versions are added only when something differs, and are told beforehand."""

import base64

import pytest

from support.module_life import ModuleLife

NAME = "demo-wordpress"


@pytest.fixture
def wanted(cloud):
    ec2 = cloud.client("ec2")
    image = ec2.describe_images(Owners=["amazon", "self"])["Images"][0]
    return {
        "image_id": image["ImageId"],
        "instance_type": "t3.small",
        "user_data": "#cloud-config\n",
        "instance_profile": "demo-wordpress",
        "security_group_ids": ["sg-0123456789abcdef0"],
        "volume_size": 16,
        "tags": {"stackyard:environment": "demo", "stackyard:application": "wordpress"},
    }


@pytest.fixture
def life(ansible, cloud):
    return ModuleLife(ansible, cloud, "stackyard.aws.launch_template", {"name": NAME})


def current(cloud):
    versions = cloud.client("ec2").describe_launch_template_versions(LaunchTemplateName=NAME, Versions=["$Default"])
    return versions["LaunchTemplateVersions"][0]


def test_a_template_from_nothing_to_nothing(life, cloud, wanted):
    created = life.live(wanted)
    assert created["version"] == "1"
    data = current(cloud)["LaunchTemplateData"]
    assert data["MetadataOptions"]["HttpTokens"] == "required"
    assert data["MetadataOptions"]["HttpPutResponseHopLimit"] == 1
    assert data["NetworkInterfaces"][0]["AssociatePublicIpAddress"] is False
    assert data["BlockDeviceMappings"][0]["Ebs"]["Encrypted"] is True
    assert "KeyName" not in data
    assert base64.b64decode(data["UserData"]).decode() == "#cloud-config\n"
    assert {item["ResourceType"] for item in data["TagSpecifications"]} == {"instance", "volume", "network-interface"}

    altered = life.live(wanted | {"instance_type": "t3.medium"})
    assert altered["version"] == "2"
    assert altered["diff"] == {
        "before": {f"launch template {NAME}": {"InstanceType": "t3.small"}},
        "after": {f"launch template {NAME}": {"InstanceType": "t3.medium"}},
    }
    life.live({"state": "absent"})
    assert cloud.client("ec2").describe_launch_templates()["LaunchTemplates"] == []


def test_each_property_altered(life, wanted):
    kind = "launch template"
    life.alter(
        wanted,
        [
            ({"instance_type": "t3.large"}, kind),
            ({"user_data": "#cloud-config\nwrite_files: []\n"}, kind),
            ({"security_group_ids": ["sg-0123456789abcdef1", "sg-0123456789abcdef0"]}, kind),
            ({"metadata_hop_limit": 2}, kind),
            ({"detailed_monitoring": True}, kind),
            ({"volume_size": 20}, kind),
            ({"volume_iops": 4000}, kind),
            ({"volume_throughput": 250}, kind),
            ({"volume_kms_key_id": "alias/stackyard"}, kind),
            ({"volume_device": "/dev/sdz"}, kind),
            ({"instance_profile": "other"}, kind),
        ],
    )


def test_a_setting_can_be_taken_out_again(life, cloud, wanted):
    life.run(wanted | {"volume_kms_key_id": "alias/stackyard"})
    life.run(wanted)
    assert "KmsKeyId" not in current(cloud)["LaunchTemplateData"]["BlockDeviceMappings"][0]["Ebs"]


def test_a_version_that_was_not_taken_yet_is_taken(life, cloud, wanted):
    """What a run leaves that was cut off between its two writes."""
    life.run(wanted)
    ec2 = cloud.client("ec2")
    life.run(wanted | {"instance_type": "t3.large"})
    ec2.modify_launch_template(LaunchTemplateName=NAME, DefaultVersion="1")
    done = life.live(wanted | {"instance_type": "t3.large"})
    assert done["version"] == "2"
    template = ec2.describe_launch_templates()["LaunchTemplates"][0]
    assert (template["DefaultVersionNumber"], template["LatestVersionNumber"]) == (2, 2)


def test_what_is_undone_leads_back_to_the_version_from_before(life, cloud, wanted):
    life.run(wanted)
    life.run(wanted | {"instance_type": "t3.large"})
    back = life.live(wanted)
    assert back["version"] == "1"
    assert cloud.client("ec2").describe_launch_templates()["LaunchTemplates"][0]["LatestVersionNumber"] == 2


def test_a_version_can_be_returned_to_by_its_number(life, cloud, wanted):
    life.run(wanted)
    life.run(wanted | {"instance_type": "t3.large"})
    back = life.live({"version": "1"})
    assert (back["version"], back["image_id"]) == ("1", wanted["image_id"])
    assert life.run(wanted)["changed"] is False
    message = life.refused({"version": "7"})
    assert message == f"version is 7: a version of launch template {NAME} is accepted (1, 2)."


def test_an_unknown_image_is_refused(life, wanted):
    message = life.refused(wanted | {"image_id": "ami-0123456789abcdef0"})
    assert "image_id ami-0123456789abcdef0: there is no such image in region us-east-1" in message


def test_user_data_that_is_too_long_is_refused(life, wanted):
    assert "EC2 takes at most 16384 bytes" in life.refused(wanted | {"user_data": "x" * 16385})
