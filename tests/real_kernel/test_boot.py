"""A baked image on a real kernel: what a container cannot show of it.

The stack is the demo's own. Beside its machines one more is launched from its launch template, with a kernel of its own
(see ``localcloud/virtual_machines.py``).
"""

import os
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from demo.stack import Demo
from localcloud import nfs_server, virtual_machines
from support.figures import record
from support.local_cloud import free_port, new_cloud
from support.site import LOGS, Site
from support.waiting import until

# The processor may be emulated, on a busy machine.
BOOT_SECONDS = 900
SSH_SECONDS = 120
UPLOADS = "/srv/wordpress/uploads"


@dataclass
class VirtualMachine:
    """An instance with a kernel of its own, reached by SSH."""

    site: Site
    id: str
    address: str
    key: Path
    seconds: float

    def ssh(self, command: str, check: bool = True) -> str:
        """Run a command as root."""
        done = subprocess.run(
            [
                "ssh", "-i", str(self.key), "-o", "BatchMode=yes", "-o", "StrictHostKeyChecking=no", "-o",
                "UserKnownHostsFile=/dev/null", "-o", "ConnectTimeout=10", "-o", "LogLevel=ERROR",
                f"admin@{self.address}", "sudo", "sh", "-c", f"'{command}'",
            ],
            capture_output=True, text=True, timeout=SSH_SECONDS, check=False,
        )  # fmt: skip
        assert not check or done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
        return done.stdout.strip()


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    """WordPress as the demo makes it, with an image baked for it."""
    assert os.geteuid() == 0, "these tests need root: run them with sudo"
    # Made once for all local clouds of this host, and no part of a boot.
    virtual_machines.IMAGE.build(print)
    nfs_server.IMAGE.build(print)
    cloud = new_cloud()
    patch = pytest.MonkeyPatch()
    patch.setenv("LOCALCLOUD_HTTP_PORT", str(free_port()))
    # Amazon's own client, which the other machines' helper stands in for, cannot be had here: see roles/efs_mount.
    given = {"wordpress_stack_network_cidr": str(next(cloud.ranges)), "wordpress_stack_filesystem_mount": "nfs4"}
    demo = Demo("wordpress", settings=cloud.settings, variables=given)
    demo.start_cloud()
    try:
        variables = demo.fetch()
        demo.bake(variables)
        demo.publish(variables)
        demo.deploy()
        yield Site(demo, variables)
    finally:
        LOGS.mkdir(parents=True, exist_ok=True)
        (LOGS / "real-kernel-localcloud.log").write_text((cloud.settings.state / "server.log").read_text())
        demo.stop_cloud()
        patch.undo()


@pytest.fixture(scope="module")
def machine(site: Site, tmp_path_factory: pytest.TempPathFactory) -> Iterator[VirtualMachine]:
    """One more machine of the stack, once the balancer finds it healthy."""
    ec2, balancing, group = site.client("ec2"), site.client("elbv2"), site.group()
    key = tmp_path_factory.mktemp("ssh") / "key"
    key.write_text(ec2.create_key_pair(KeyName="real-kernel", KeyType="ed25519")["KeyMaterial"])
    key.chmod(0o600)
    example = ec2.describe_instances(InstanceIds=[group["Instances"][0]["InstanceId"]])["Reservations"][0]["Instances"][
        0
    ]
    began = time.monotonic()
    launched = ec2.run_instances(
        MinCount=1,
        MaxCount=1,
        LaunchTemplate={"LaunchTemplateId": group["LaunchTemplate"]["LaunchTemplateId"], "Version": "$Latest"},
        SubnetId=example["SubnetId"],
        SecurityGroupIds=[entry["GroupId"] for entry in example["SecurityGroups"]]
        + [ssh_group(site, example["VpcId"])],
        KeyName="real-kernel",
        MetadataOptions={"HttpTokens": "required", "HttpPutResponseHopLimit": 1},
        TagSpecifications=[
            {"ResourceType": "instance", "Tags": [{"Key": virtual_machines.TAG, "Value": virtual_machines.VALUE}]}
        ],
    )["Instances"][0]
    target = {"TargetGroupArn": group["TargetGroupARNs"][0], "Targets": [{"Id": launched["InstanceId"]}]}
    balancing.register_targets(**target)
    try:
        until("a healthy machine", lambda: health(balancing, target) == "healthy", BOOT_SECONDS, 1)
        seconds = time.monotonic() - began
        record("images", boot_real_kernel_s=seconds)
        yield VirtualMachine(site, launched["InstanceId"], launched["PrivateIpAddress"], key, seconds)
    finally:
        LOGS.mkdir(parents=True, exist_ok=True)
        (LOGS / "real-kernel-console.log").write_text(console(ec2, launched["InstanceId"]))
        balancing.deregister_targets(**target)
        ec2.terminate_instances(InstanceIds=[launched["InstanceId"]])
        until("its end", lambda: launched["InstanceId"] not in {entry["name"] for entry in site.containers()}, 90)


def ssh_group(site: Site, vpc_id: str) -> str:
    """A security group that lets this host in by SSH."""
    ec2 = site.client("ec2")
    group = ec2.create_security_group(GroupName="real-kernel", Description="SSH from the host", VpcId=vpc_id)["GroupId"]
    permission = {"IpProtocol": "tcp", "FromPort": 22, "ToPort": 22, "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}
    ec2.authorize_security_group_ingress(GroupId=group, IpPermissions=[permission])
    return str(group)


def health(balancing: Any, target: dict[str, Any]) -> str:
    """What the balancer finds of one target."""
    return str(balancing.describe_target_health(**target)["TargetHealthDescriptions"][0]["TargetHealth"]["State"])


def console(ec2: Any, instance_id: str) -> str:
    """A machine's console output."""
    return str(ec2.get_console_output(InstanceId=instance_id)["Output"])


def test_it_boots_by_uefi_a_kernel_of_its_own(machine: VirtualMachine) -> None:
    machine.ssh("test -d /sys/firmware/efi")
    kernel = machine.ssh("uname -r")
    assert kernel.endswith("cloud-amd64")
    assert kernel != os.uname().release
    assert machine.ssh("systemd-detect-virt") == "amazon"


def test_its_console_can_be_read(machine: VirtualMachine) -> None:
    output = console(machine.site.client("ec2"), machine.id)
    assert "login:" in output, output[-3000:]


def test_cloud_init_takes_ec2_s_way_with_tokens(machine: VirtualMachine) -> None:
    """As on AWS: metadata answers nobody without a token, cloud-init neither."""
    assert machine.ssh("cloud-id") == "aws"
    assert machine.ssh("cloud-init query instance_id") == machine.id
    assert "IMDSv2" in machine.ssh("grep -m 1 -i imdsv2 /var/log/cloud-init.log")
    asked = "curl -s -o /dev/null -w %{http_code} -A Cloud-Init/25 http://169.254.169.254/latest/meta-data/instance-id"
    assert machine.ssh(asked) == "401"


def test_its_boot_unit_made_it_healthy(machine: VirtualMachine) -> None:
    # The balancer may find it healthy a moment before the unit does.
    state = "systemctl show --property ActiveState --value stackyard-boot.service"
    until("the end of the boot unit", lambda: machine.ssh(state) != "activating", BOOT_SECONDS, 1)
    assert machine.ssh(state) == "active"
    assert machine.ssh("curl -s -o /dev/null -w %{http_code} http://127.0.0.1/healthz") == "200"


def test_no_unit_failed(machine: VirtualMachine) -> None:
    until(
        "the end of the boot", lambda: "running" in machine.ssh("systemctl is-system-running --wait", check=False), 60
    )
    assert machine.ssh("systemctl --failed --no-legend --plain") == ""


def test_uploads_are_a_real_nfs_mount(machine: VirtualMachine) -> None:
    kind, options = machine.ssh(f"findmnt --noheadings --output FSTYPE,OPTIONS {UPLOADS}").split()
    assert kind == "nfs4"
    assert "vers=4.1" in options.split(",")


def test_files_of_the_mount_are_shared_with_the_other_machines(machine: VirtualMachine) -> None:
    """With their owners: numbers of users are the same on both sides."""
    machine.ssh(f'setpriv --reuid=33 --regid=33 --clear-groups sh -c "echo crates > {UPLOADS}/yard.txt"')
    other = machine.site.group()["Instances"][0]["InstanceId"]
    assert machine.site.shell(other, f"stat --format=%u:%g {UPLOADS}/yard.txt; cat {UPLOADS}/yard.txt").split() == [
        "33:33",
        "crates",
    ]


def test_locks_hold_on_the_mount(machine: VirtualMachine) -> None:
    lock = f"{UPLOADS}/lock"
    assert machine.ssh(f"flock {lock} flock --nonblock {lock} true; echo $?") == "1"
    assert machine.ssh(f"flock --nonblock {lock} true; echo $?") == "0"
