"""images_prune: what is referred to stays, the rest goes with its snapshots, a run that was cut off is completed."""

from __future__ import annotations

import pytest

from support.figures import record

PARAMETER = "/stackyard/{}/{}/image"


class Account:
    """Images with known ages, and what refers to them."""

    def __init__(self, cloud) -> None:
        self.ec2, self.ssm = cloud.client("ec2"), cloud.client("ssm")
        self.autoscaling = cloud.client("autoscaling")
        self.base = self.ec2.describe_images()["Images"][0]["ImageId"]
        self.maker = self.launch(self.base)
        self.images: list[str] = []

    def launch(self, image: str) -> str:
        return self.ec2.run_instances(ImageId=image, MinCount=1, MaxCount=1)["Instances"][0]["InstanceId"]

    def image(self, application: str = "wordpress") -> str:
        made = self.ec2.create_image(InstanceId=self.maker, Name=f"{application}-{len(self.images):02}")["ImageId"]
        tags = [
            {"Key": "stackyard:application", "Value": application},
            {"Key": "stackyard:keep", "Value": "true"},
        ]
        self.ec2.create_tags(Resources=[made, *self.snapshots(made)], Tags=tags)
        self.images.append(made)
        return made

    def snapshots(self, image: str) -> list[str]:
        described = self.ec2.describe_images(ImageIds=[image])["Images"][0]
        return [device["Ebs"]["SnapshotId"] for device in described["BlockDeviceMappings"] if "Ebs" in device]

    def publish(self, environment: str, *images: str, application: str = "wordpress") -> None:
        for image in images:
            name = PARAMETER.format(environment, application)
            self.ssm.put_parameter(Name=name, Value=image, Type="String", Overwrite=True)

    def template(self, name: str, *images: str, default: int | None = None) -> None:
        self.ec2.create_launch_template(LaunchTemplateName=name, LaunchTemplateData={"ImageId": images[0]})
        for image in images[1:]:
            self.ec2.create_launch_template_version(LaunchTemplateName=name, LaunchTemplateData={"ImageId": image})
        if default:
            self.ec2.modify_launch_template(LaunchTemplateName=name, DefaultVersion=str(default))

    def group(self, name: str, template: str, version: str) -> None:
        self.autoscaling.create_auto_scaling_group(
            AutoScalingGroupName=name, MinSize=0, MaxSize=1, AvailabilityZones=["us-east-1a"],
            LaunchTemplate={"LaunchTemplateName": template, "Version": version},
        )  # fmt: skip

    def left(self) -> set[str]:
        return {image["ImageId"] for image in self.ec2.describe_images(Owners=["self"])["Images"]}

    def left_snapshots(self) -> set[str]:
        return {found["SnapshotId"] for found in self.ec2.describe_snapshots(OwnerIds=["self"])["Snapshots"]}


@pytest.fixture
def account(cloud) -> Account:
    return Account(cloud)


@pytest.fixture
def prune(ansible):
    def run(*, check: bool = False, expect_failure: bool = False, **options):
        task = {"name": "Prune", "stackyard.aws.images_prune": options}
        return ansible.run_tasks([task], check=check, expect_failure=expect_failure).last

    return run


def test_thirty_images_with_mixed_references(account, prune, cloud) -> None:
    old = [account.image() for _ in range(18)]
    unpublished = [account.image() for _ in range(4)]
    other = [account.image("jenkins") for _ in range(4)]
    recent = [account.image() for _ in range(4)]
    assert len(account.images) == 30
    foreign = account.ec2.create_image(InstanceId=account.maker, Name="of-somebody-else")["ImageId"]

    account.publish("production", *old[:14], *recent[:3])
    account.publish("test", *old[10:18], recent[3])
    account.publish("production", *other, application="jenkins")
    account.ssm.put_parameter(
        Name=PARAMETER.format("production", "wordpress") + "-previous", Value=old[0], Type="String"
    )
    account.launch(old[1])
    stopped = account.launch(old[2])
    account.ec2.stop_instances(InstanceIds=[stopped])
    ended = account.launch(old[3])
    account.ec2.terminate_instances(InstanceIds=[ended])
    # Version 1 is in use by a group, 2 is the default, 3 by nobody, 4 and 5 are the newest.
    account.template("web", old[4], old[5], old[6], old[7], old[8], default=2)
    account.group("web", "web", "1")
    account.autoscaling.create_launch_configuration(
        LaunchConfigurationName="classic", ImageId=old[9], InstanceType="t3.micro"
    )
    account.ec2.enable_image_deregistration_protection(ImageId=old[10])
    account.ec2.modify_image_attribute(
        ImageId=old[11],
        LaunchPermission={"Add": [{"UserId": "123456789012"}]},
        OperationType="add",
        UserIds=["123456789012"],
    )
    account.ssm.put_parameter(Name="/elsewhere/image", Value=old[12], Type="String")
    account.template("by-name", "resolve:ssm:/elsewhere/image")

    # Newest two of each: production old[13] is not, for recent[:3] are; test has old[17] and recent[3].
    kept_for = {
        "parameter /stackyard/production/wordpress/image-previous": old[0],
        "instance ": old[1],
        f"instance {stopped}": old[2],
        "launch template web version 1 (group web)": old[4],
        "launch template web version 2": old[5],
        "launch template web version 4": old[7],
        "launch template web version 5": old[8],
        "launch configuration classic": old[9],
        "protected from deregistration": old[10],
        "shared with 123456789012": old[11],
        "launch template by-name version 1": old[12],
        "one of the newest of wordpress in test": old[17],
        "one of the newest of wordpress in production": recent[2],
        "one of the newest of wordpress that were never published": unpublished[3],
        "one of the newest of jenkins in production": other[3],
    }
    gone = {old[3], old[6], *old[13:17], *unpublished[:2], *other[:2], recent[0]}
    snapshots = {snapshot for image in gone for snapshot in account.snapshots(image)}
    assert len(snapshots) == len(gone)
    every_snapshot = account.left_snapshots()

    cloud.forget_requests()
    announced = prune(check=True, keep=2)
    assert cloud.writes() == []
    assert {entry["id"] for entry in announced["removed"]} == gone
    reasons = {entry["id"]: entry["reasons"] for entry in announced["kept"]}
    for reason, image in kept_for.items():
        assert any(given.startswith(reason) for given in reasons[image]), (reason, reasons[image])

    done = prune(keep=2)
    assert done["changes"] == announced["changes"]
    assert (done["removed"], done["kept"]) == (announced["removed"], announced["kept"])
    assert set(account.images) - account.left() == gone
    assert foreign in account.left()
    assert every_snapshot - account.left_snapshots() == snapshots
    assert cloud.server_errors() == []

    cloud.forget_requests()
    again = prune(keep=2)
    assert (again["changed"], again["removed"]) == (False, [])
    assert cloud.writes() == []
    record("images", pruned_of_30=len(gone), pruned_wrongly=len((set(account.images) - account.left()) ^ gone))


def test_no_more_than_the_limit_goes_in_one_run_oldest_first(account, prune) -> None:
    for _ in range(6):
        account.image()
    done = prune(keep=1, limit=2)
    assert [entry["id"] for entry in done["removed"]] == account.images[:2]
    assert [entry["id"] for entry in done["deferred"]] == account.images[2:5]
    assert set(account.images) - account.left() == set(account.images[:2])


def test_one_application_alone(account, prune) -> None:
    for application in ("wordpress", "jenkins"):
        account.image(application)
        account.image(application)
    done = prune(application="jenkins", keep=1)
    assert [entry["id"] for entry in done["removed"]] == [account.images[2]]


def test_a_run_that_was_cut_off_is_completed(account, prune) -> None:
    image, _ = account.image(), account.image()
    (snapshot,) = account.snapshots(image)
    account.ec2.create_tags(Resources=[snapshot], Tags=[{"Key": "stackyard:retired-with", "Value": image}])
    account.ec2.deregister_image(ImageId=image)
    assert snapshot in account.left_snapshots()
    assert [change["name"] for change in prune(check=True)["changes"]] == [snapshot]
    assert [change["name"] for change in prune()["changes"]] == [snapshot]
    assert snapshot not in account.left_snapshots()
    assert prune()["changed"] is False


@pytest.mark.parametrize(("option", "value"), [("keep", 0), ("limit", 0)])
def test_refusals_write_nothing(account, prune, cloud, option: str, value: int) -> None:
    cloud.forget_requests()
    assert prune(expect_failure=True, **{option: value})["msg"] == f"{option} is {value}: 1 or more is accepted."
    assert cloud.writes() == []


def test_the_playbook_tells_what_it_does(account, ansible) -> None:
    account.image()
    account.image()
    variables = {"stackyard_aws": account_connection(ansible), "images_prune_keep": 1}
    told = ansible.run_playbook("playbooks/images_prune.yml", extra_vars=variables).task("Tell what was done")["msg"]
    assert told["removed"] == account.images[:1]
    assert told["kept"] == {account.images[1]: ["one of the newest of wordpress that were never published"]}


def account_connection(ansible) -> dict[str, str]:
    return dict(ansible.cloud.module_defaults["group/aws"])
