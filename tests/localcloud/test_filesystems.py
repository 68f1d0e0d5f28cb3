"""EFS: the ordinary mount commands share folders between machines, and refuse as on AWS."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest

from support.local_cloud import TestCloud, TestMachine, Vpc
from support.waiting import until

UPLOADS = {"OwnerUid": 33, "OwnerGid": 33, "Permissions": "0750"}


@dataclass
class FileSystem:
    """A file system with a mount target in each subnet."""

    id: str
    host: str
    targets: list[str]


@pytest.fixture(scope="module")
def clients(security_group: Callable[..., str]) -> str:
    return security_group("nfs-clients")


@pytest.fixture(scope="module")
def make(
    cloud: TestCloud, vpc: Vpc, security_group: Callable[..., str], clients: str
) -> Iterator[Callable[[str], FileSystem]]:
    efs, guard = cloud.client("efs"), security_group("nfs", [(2049, clients)])
    made = []

    def run(token: str) -> FileSystem:
        found = efs.create_file_system(CreationToken=token)["FileSystemId"]
        targets = [
            efs.create_mount_target(FileSystemId=found, SubnetId=subnet, SecurityGroups=[guard])["MountTargetId"]
            for subnet in vpc.subnets
        ]
        made.append(found)

        def states() -> set[str]:
            entries = efs.describe_mount_targets(FileSystemId=found)["MountTargets"]
            return {entry["LifeCycleState"] for entry in entries}

        assert states() <= {"creating", "available"}
        until("the mount targets", lambda: states() == {"available"}, 30)
        return FileSystem(found, f"{found}.efs.{cloud.settings.region}.amazonaws.com", targets)

    yield run
    for file_system in made:
        for target in efs.describe_mount_targets(FileSystemId=file_system)["MountTargets"]:
            efs.delete_mount_target(MountTargetId=target["MountTargetId"])
        efs.delete_file_system(FileSystemId=file_system)
    until("the end of the folders", lambda: not list(cloud.settings.state.glob("filesystems/*")), 15)
    until("the end of the addresses", lambda: not cloud.podman.containers("mount-target"), 30)


@pytest.fixture(scope="module")
def shared(make: Callable[[str], FileSystem]) -> FileSystem:
    return make("shared")


@pytest.fixture(scope="module")
def point(cloud: TestCloud, shared: FileSystem) -> str:
    """An access point for uploads."""
    return str(
        cloud.client("efs").create_access_point(
            ClientToken="uploads",
            FileSystemId=shared.id,
            PosixUser={"Uid": 33, "Gid": 33},
            RootDirectory={"Path": "/wordpress/uploads", "CreationInfo": UPLOADS},
        )["AccessPointId"]
    )


@pytest.fixture(scope="module")
def machines(launch: Callable[..., TestMachine], clients: str, vpc: Vpc) -> list[TestMachine]:
    started = [launch(SecurityGroupIds=[clients], SubnetId=subnet) for subnet in vpc.subnets]
    return [machine.booted() for machine in started]


def mount(machine: TestMachine, kind: str, source: str, options: str = "", target: str = "/mnt") -> str:
    """Try to mount; returns what the command said, empty on success."""
    command = ["podman", "exec", machine.id, "mount", "-t", kind, *(["-o", options] if options else []), source, target]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert bool(done.returncode) == bool(done.stderr), done
    return done.stderr


def umount(machine: TestMachine, target: str = "/mnt") -> None:
    machine.run("umount", target)


def test_machines_in_two_zones_share_files_with_their_owners(machines: list[TestMachine], shared: FileSystem) -> None:
    first, second = machines
    assert mount(first, "efs", f"{shared.id}:/", "tls") == ""
    assert mount(second, "nfs4", f"{shared.host}:/", "nfsvers=4.1,rsize=1048576,hard,timeo=600,_netdev") == ""
    first.run("sh", "-c", "echo hello >/mnt/file && chown 33:33 /mnt/file && chmod 640 /mnt/file")
    assert second.run("cat", "/mnt/file") == "hello\n"
    assert second.run("stat", "-c", "%u:%g %a", "/mnt/file") == "33:33 640\n"
    # A lock taken on one machine holds on the other.
    script = "flock -n 9 || exit 1; nohup sleep 30 >/dev/null 2>&1 &"
    first.run("bash", "-c", f"exec 9>/mnt/lock; {script}")
    assert "held" in second.run("sh", "-c", "flock -n /mnt/lock true || echo held")
    assert shared.id in first.run("findmnt", "--noheadings", "--output=SOURCE", "/mnt")
    first.run("pkill", "sleep")
    for machine in machines:
        umount(machine)


def test_an_access_point_is_the_root_with_its_owner_and_permissions(
    machines: list[TestMachine], shared: FileSystem, point: str
) -> None:
    first, second = machines
    assert mount(first, "efs", shared.id, f"tls,accesspoint={point},ro") == ""
    assert first.run("stat", "-c", "%u:%g %a", "/mnt") == "33:33 750\n"
    assert first.run("sh", "-c", "touch /mnt/x 2>/dev/null || echo read-only") == "read-only\n"
    assert mount(second, "efs", f"{shared.host}:/", "tls") == ""
    assert second.run("ls", "-d", "/mnt/wordpress/uploads").strip() == "/mnt/wordpress/uploads"
    for machine in machines:
        umount(machine)


def test_wrong_mounts_are_refused_in_the_words_of_the_helper(
    cloud: TestCloud, machines: list[TestMachine], shared: FileSystem, point: str
) -> None:
    machine = machines[0]
    assert "check that your file system ID is correct" in mount(machine, "efs", "fs-12345678:/", "tls")
    assert "Invalid file system name" in mount(machine, "efs", "backup:/", "tls")
    assert "Name or service not known" in mount(machine, "nfs4", "fs-12345678.efs.us-east-1.amazonaws.com:/")
    assert "access denied" in mount(machine, "efs", shared.id, "tls,accesspoint=fsap-12345678")
    assert '"tls" option is required' in mount(machine, "efs", shared.id, f"accesspoint={point}")
    assert "No such file or directory" in mount(machine, "efs", f"{shared.id}:/nothing", "tls")
    assert "does not exist" in mount(machine, "efs", shared.id, "tls", target="/nowhere")
    deny = {
        "Effect": "Deny",
        "Principal": {"AWS": "*"},
        "Action": "*",
        "Condition": {"Bool": {"aws:SecureTransport": "false"}},
    }
    efs = cloud.client("efs")
    efs.put_file_system_policy(
        FileSystemId=shared.id, Policy=json.dumps({"Version": "2012-10-17", "Statement": [deny]})
    )
    assert "access denied" in mount(machine, "nfs4", f"{shared.host}:/")
    assert mount(machine, "efs", shared.id, "tls") == ""
    efs.delete_file_system_policy(FileSystemId=shared.id)
    umount(machine)


def test_another_file_systems_access_point_is_refused(
    machines: list[TestMachine], make: Callable[[str], FileSystem], point: str
) -> None:
    other = make("other")
    assert "access denied" in mount(machines[0], "efs", other.id, f"tls,accesspoint={point}")


def test_a_machine_outside_the_security_group_times_out(launch: Callable[..., TestMachine], shared: FileSystem) -> None:
    stranger = launch().booted()
    assert "timed out" in mount(stranger, "nfs4", f"{shared.host}:/")


def test_an_fstab_entry_is_mounted_again_after_a_reboot(
    cloud: TestCloud, machines: list[TestMachine], shared: FileSystem, point: str
) -> None:
    machine = machines[1]
    line = f"{shared.id}:/ /srv/uploads efs _netdev,tls,accesspoint={point} 0 0"
    machine.run("sh", "-c", f"mkdir -p /srv/uploads && echo '{line}' >>/etc/fstab && systemctl daemon-reload")
    machine.run("mount", "/srv/uploads")
    machine.run("sh", "-c", "echo kept >/srv/uploads/kept")
    before = machine.run("cat", "/proc/sys/kernel/random/boot_id", "/proc/1/stat").split()[22]
    cloud.client("ec2").reboot_instances(InstanceIds=[machine.id])

    def again() -> bool:
        stat = machine.run("cat", "/proc/sys/kernel/random/boot_id", "/proc/1/stat", check=False).split()
        return (
            len(stat) > 22 and stat[22] != before and machine.run("cat", "/srv/uploads/kept", check=False) == "kept\n"
        )

    until("the mount after a reboot", again, 60)
    assert machine.run("systemctl", "is-active", "srv-uploads.mount").strip() == "active"


def test_a_packaged_helper_gives_way(machines: list[TestMachine], shared: FileSystem) -> None:
    machine = machines[0]
    # What dpkg does: a new file, moved into place.
    machine.run("sh", "-c", "printf '#!/bin/sh\\nexit 9\\n' >/usr/sbin/new && chmod 755 /usr/sbin/new")
    machine.run("mv", "/usr/sbin/new", "/usr/sbin/mount.nfs")
    machine.run("ln", "-s", "mount.nfs", "/usr/sbin/mount.nfs4")
    until("the helper", lambda: machine.run("findmnt", "/usr/sbin/mount.nfs", check=False), 5)
    assert mount(machine, "nfs4", f"{shared.host}:/") == ""
    umount(machine)


def test_data_outlives_its_machines_and_targets(
    cloud: TestCloud, machines: list[TestMachine], vpc: Vpc, make: Callable[[str], FileSystem]
) -> None:
    file_system, machine = make("kept"), machines[0]
    assert mount(machine, "efs", file_system.id, "tls") == ""
    machine.run("sh", "-c", "echo kept >/mnt/kept")
    umount(machine)
    cloud.command("restart")
    assert mount(machine, "efs", file_system.id, "tls") == ""
    assert machine.run("cat", "/mnt/kept") == "kept\n"
    umount(machine)
    efs = cloud.client("efs")
    with pytest.raises(efs.exceptions.FileSystemInUse):
        efs.delete_file_system(FileSystemId=file_system.id)


def test_no_helper_is_baked(cloud: TestCloud, machines: list[TestMachine]) -> None:
    ec2 = cloud.client("ec2")
    image = ec2.create_image(InstanceId=machines[1].id, Name="without-helper", NoReboot=True)["ImageId"]
    until(
        "the image", lambda: ec2.describe_images(ImageIds=[image])["Images"][0]["State"] == "available", 60, every=0.5
    )
    reference = f"{cloud.settings.image_repository}:{image}"
    root = cloud.podman("image", "mount", reference).strip()
    try:
        found = subprocess.run(
            ["find", root, "-name", "*localcloud*", "-o", "-path", "*/sbin/fs.d*"],
            capture_output=True, text=True, check=True,
        ).stdout  # fmt: skip
    finally:
        cloud.podman("image", "unmount", reference)
    assert found == ""
    ec2.deregister_image(ImageId=image)


def test_a_recovery_point_keeps_files_and_gives_them_back_in_a_folder_of_their_own(
    cloud: TestCloud, machines: list[TestMachine], shared: FileSystem
) -> None:
    machine, backup = machines[0], cloud.client("backup")
    role = "arn:aws:iam::123456789012:role/backup"
    arn = cloud.client("efs").describe_file_systems(FileSystemId=shared.id)["FileSystems"][0]["FileSystemArn"]
    backup.create_backup_vault(BackupVaultName="ours")
    assert mount(machine, "efs", f"{shared.id}:/", "tls") == ""
    machine.run("sh", "-c", "mkdir -p /mnt/jobs && echo old >/mnt/jobs/config.xml && chown -R 33:33 /mnt/jobs")
    job = backup.start_backup_job(BackupVaultName="ours", ResourceArn=arn, IamRoleArn=role)["BackupJobId"]
    until("the backup", lambda: backup.describe_backup_job(BackupJobId=job)["State"] == "COMPLETED", 30)
    machine.run("sh", "-c", "echo new >/mnt/jobs/config.xml")

    [point] = backup.list_recovery_points_by_backup_vault(BackupVaultName="ours")["RecoveryPoints"]
    restore = backup.start_restore_job(
        RecoveryPointArn=point["RecoveryPointArn"],
        Metadata={"file-system-id": shared.id, "newFileSystem": "false", "ItemsToRestore": '["/jobs"]'},
        IamRoleArn=role,
    )["RestoreJobId"]
    until("the restore", lambda: backup.describe_restore_job(RestoreJobId=restore)["Status"] == "COMPLETED", 30)
    assert machine.run("sh", "-c", "cat /mnt/aws-backup-restore_*/jobs/config.xml /mnt/jobs/config.xml") == "old\nnew\n"
    assert machine.run("sh", "-c", "stat -c %u:%g /mnt/aws-backup-restore_*/jobs/config.xml") == "33:33\n"
    umount(machine)
    backup.delete_recovery_point(BackupVaultName="ours", RecoveryPointArn=point["RecoveryPointArn"])
    backup.delete_backup_vault(BackupVaultName="ours")
    until("the end of the copy", lambda: not list(cloud.settings.state.glob("backups/*")), 15)
