"""EBS volumes: disks that keep what is on them while machines come and go."""

from __future__ import annotations

import pytest

from localcloud.volumes import folder, loop_devices
from support.waiting import until

MOUNTED = "/mnt/data"


def path(volume: str) -> str:
    """Where udev would name it on AWS."""
    return f"/dev/disk/by-id/nvme-Amazon_Elastic_Block_Store_{volume.replace('-', '')}"


@pytest.fixture
def make_volume(cloud, vpc):
    ec2, made = cloud.client("ec2"), []
    zone = ec2.describe_subnets(SubnetIds=[vpc.subnets[0]])["Subnets"][0]["AvailabilityZone"]

    def make(**source):
        made.append(ec2.create_volume(AvailabilityZone=zone, VolumeType="gp3", **source)["VolumeId"])
        return made[-1]

    yield make
    for volume in made:
        if ec2.describe_volumes(VolumeIds=[volume])["Volumes"][0]["Attachments"]:
            ec2.detach_volume(VolumeId=volume)
        ec2.delete_volume(VolumeId=volume)
    until("the end of the disks", lambda: not loop_devices(folder(cloud.settings.state)), 10)
    until("the end of their files", lambda: not list(folder(cloud.settings.state).iterdir()), 10)


@pytest.fixture
def attach(cloud):
    def attach(volume, machine):
        cloud.client("ec2").attach_volume(VolumeId=volume, InstanceId=machine.id, Device="/dev/sdf")
        until("the disk", lambda: machine.run("sh", "-c", f"test -b {path(volume)} && echo yes", check=False), 20)

    return attach


def mount(machine, volume):
    machine.run("mkdir", "-p", MOUNTED)
    machine.run("mount", path(volume), MOUNTED)


def read(machine):
    return machine.run("cat", f"{MOUNTED}/file").strip()


def test_a_volume_keeps_its_data_from_machine_to_machine(launch, cloud, make_volume, attach):
    ec2, first, volume = cloud.client("ec2"), launch().booted(), make_volume(Size=1)
    attach(volume, first)
    assert first.run("blockdev", "--getsize64", path(volume)).strip() == str(1 << 30)
    first.run("mkfs.ext4", "-q", path(volume))
    mount(first, volume)
    first.run("sh", "-c", f"echo kept >{MOUNTED}/file; sync")

    ec2.stop_instances(InstanceIds=[first.id])
    first.wait_state("stopped")
    ec2.start_instances(InstanceIds=[first.id])
    first.booted()
    until("the disk", lambda: first.run("sh", "-c", f"test -b {path(volume)} && echo yes", check=False), 20)
    mount(first, volume)
    assert read(first) == "kept"

    ec2.modify_volume(VolumeId=volume, Size=2)
    until("a larger disk", lambda: first.run("blockdev", "--getsize64", path(volume)).strip() == str(2 << 30), 10)
    first.run("umount", MOUNTED)
    first.run("e2fsck", "-fp", path(volume))
    first.run("resize2fs", path(volume))
    mount(first, volume)

    # It dies with the volume mounted.
    second = launch().booted()
    cloud.command("kill", first.id)
    ec2.terminate_instances(InstanceIds=[first.id])
    attach(volume, second)
    mount(second, volume)
    assert read(second) == "kept"
    second.run("umount", MOUNTED)
    ec2.detach_volume(VolumeId=volume)
    until("no disk", lambda: not second.run("sh", "-c", "ls /dev/nvme* 2>/dev/null", check=False), 10)


def test_a_snapshot_is_what_a_new_volume_begins_with(launch, cloud, make_volume, attach):
    ec2, machine, volume = cloud.client("ec2"), launch().booted(), make_volume(Size=1)
    attach(volume, machine)
    machine.run("mkfs.ext4", "-q", path(volume))
    mount(machine, volume)
    machine.run("sh", "-c", f"echo before >{MOUNTED}/file; sync")
    snapshot = ec2.create_snapshot(VolumeId=volume)["SnapshotId"]
    machine.run("sh", "-c", f"echo after >{MOUNTED}/file; sync")
    machine.run("umount", MOUNTED)
    copy = make_volume(SnapshotId=snapshot)
    ec2.delete_snapshot(SnapshotId=snapshot)
    ec2.attach_volume(VolumeId=copy, InstanceId=machine.id, Device="/dev/sdg")
    until("the copy", lambda: machine.run("sh", "-c", f"test -b {path(copy)} && echo yes", check=False), 20)
    mount(machine, copy)
    assert read(machine) == "before"
    machine.run("umount", MOUNTED)
    mount(machine, volume)
    assert read(machine) == "after"
    machine.run("umount", MOUNTED)
