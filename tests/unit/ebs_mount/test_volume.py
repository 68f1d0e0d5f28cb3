"""How a machine that holds the lease comes by its volume, against moto's EC2."""

from __future__ import annotations

from pathlib import Path

import boto3
import pytest
from moto import mock_aws

from localcloud.patches import apply_all
from support.programs import load

PROGRAM = Path(__file__).resolve().parents[3] / "roles/ebs_mount/files/opt/stackyard/bin/ebs-mount"
ZONE = "us-east-1a"


@pytest.fixture
def program(monkeypatch):
    program = load(PROGRAM)
    monkeypatch.setattr(program, "LOOK_SECONDS", 0.01)
    return program


@pytest.fixture
def ec2(monkeypatch):
    apply_all()
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "test")
    with mock_aws():
        yield boto3.client("ec2", region_name="us-east-1")


@pytest.fixture
def launch(ec2):
    image = ec2.describe_images()["Images"][0]["ImageId"]

    def launch(zone=ZONE):
        made = ec2.run_instances(ImageId=image, MinCount=1, MaxCount=1, Placement={"AvailabilityZone": zone})
        return made["Instances"][0]["InstanceId"]

    return launch


@pytest.fixture
def volume_id(ec2):
    return ec2.create_volume(AvailabilityZone=ZONE, Size=1)["VolumeId"]


@pytest.fixture
def volume_of(program, ec2, volume_id):
    """The volume as a machine sees it."""
    return lambda machine: program.Volume(ec2, volume_id, machine)


@pytest.fixture
def owner(ec2, volume_id):
    def owner():
        attachments = ec2.describe_volumes(VolumeIds=[volume_id])["Volumes"][0]["Attachments"]
        return [entry["InstanceId"] for entry in attachments]

    return owner


def test_a_free_volume_is_taken_and_given_back(volume_of, launch, owner):
    machine = launch()
    volume = volume_of(machine)
    volume.take()
    assert owner() == [machine]
    volume.take()
    assert owner() == [machine]
    volume.give_back()
    assert owner() == []


def test_a_volume_is_taken_from_the_machine_that_has_it(volume_of, launch, owner, capsys):
    first, second = launch(), launch()
    volume_of(first).take()
    volume_of(second).take()
    assert owner() == [second]
    assert f" from {first}.\n" in capsys.readouterr().out


def test_a_machine_that_does_not_let_go_has_it_taken_by_force(program, volume_of, launch, monkeypatch, capsys):
    first, second = launch(), launch()
    volume_of(first).take()
    monkeypatch.setattr(program, "FORCE_SECONDS", -1)
    volume_of(second).take()
    assert f" from {first}, by force.\n" in capsys.readouterr().out


def test_a_volume_of_another_zone_is_told_of_at_once(program, volume_of, launch):
    with pytest.raises(program.ClientError, match="not in the same availability zone"):
        volume_of(launch("us-east-1b")).take()


def test_waiting_ends(program, ec2, volume_of, launch):
    machine = launch()
    ec2.terminate_instances(InstanceIds=[machine])
    with pytest.raises(program.MountError, match=r"vol-\w+ was not attached within 0 s"):
        volume_of(machine).take(seconds=0.05)


def test_a_device_that_is_missing_or_too_small_is_told(program, tmp_path):
    with pytest.raises(program.MountError, match="is missing"):
        program.await_device(tmp_path / "none", 1, seconds=0)
    disk = tmp_path / "disk"
    disk.touch()
    with disk.open("ab") as file:
        file.truncate(2 * program.GIB)
    program.await_device(disk, 2, seconds=0)
    with pytest.raises(program.MountError, match="has 2 GiB and not 3"):
        program.await_device(disk, 3, seconds=0)


def test_a_command_that_fails_is_told_by_its_last_words(program):
    with pytest.raises(program.MountError, match=r"sh -c .* ended with 3: second"):
        program.run("sh", "-c", "echo first >&2; echo second >&2; exit 3")
