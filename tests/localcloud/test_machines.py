"""Machines: booted by cloud-init, reached by SSH, told who they are, and seen when they end."""

from __future__ import annotations

import json
import time
from collections.abc import Callable

import pytest

from support.figures import record

USER_DATA = """\
#cloud-config
write_files:
  - {path: /etc/greeting, content: hello, permissions: "0600"}
"""


@pytest.fixture(scope="module")
def profile(cloud) -> str:
    """An instance profile with a role."""
    iam = cloud.client("iam")
    trust = {
        "Statement": [{"Effect": "Allow", "Principal": {"Service": "ec2.amazonaws.com"}, "Action": "sts:AssumeRole"}]
    }
    iam.create_role(RoleName="web", AssumeRolePolicyDocument=json.dumps(trust))
    iam.create_instance_profile(InstanceProfileName="web")
    iam.add_role_to_instance_profile(InstanceProfileName="web", RoleName="web")
    return "web"


@pytest.fixture(scope="module")
def machine(launch: Callable, profile: str):
    """A machine with user data, a role, and version 2 of the metadata service required."""
    return launch(
        UserData=USER_DATA,
        IamInstanceProfile={"Name": profile},
        MetadataOptions={"HttpTokens": "required", "InstanceMetadataTags": "enabled"},
        TagSpecifications=[{"ResourceType": "instance", "Tags": [{"Key": "Name", "Value": "one"}]}],
    ).booted()


def test_launch_takes_a_few_seconds(launch):
    started = time.monotonic()
    launch().booted()
    # About three seconds on an idle machine with two processors.
    assert time.monotonic() - started < 30


def test_ssh_with_the_key_pair(machine):
    assert machine.ssh("hostname", "--fqdn").stdout.strip() == machine.describe()["PrivateDnsName"]


def test_boot_left_nothing_failed(machine):
    assert machine.run("cloud-init", "status").strip() == "status: done"
    assert machine.run("systemctl", "--failed", "--no-legend") == ""


def test_user_data_was_applied(machine):
    assert machine.run("cat", "/etc/greeting") == "hello"
    assert machine.metadata("user-data") == USER_DATA


def test_endpoint_reaches_units_logins_and_sudo(machine, vpc, cloud):
    expected = f"AWS_ENDPOINT_URL=http://{vpc.cidr[2]}:{cloud.settings.port}"
    assert expected in machine.run("systemctl", "show-environment").splitlines() or expected in machine.run(
        "systemd-run", "--pipe", "--wait", "--quiet", "env"
    )
    assert expected in machine.ssh("env").stdout
    assert expected in machine.ssh("sudo", "env").stdout


def test_metadata_version_1_is_refused(machine):
    with pytest.raises(AssertionError):
        machine.metadata("meta-data/instance-id", version=1)


def test_metadata_tells_the_machine_who_it_is(machine, vpc, cloud):
    assert machine.metadata("meta-data/instance-id") == machine.id
    assert machine.metadata("meta-data/local-ipv4") == machine.address
    assert machine.metadata("meta-data/tags/instance/Name") == "one"
    assert machine.metadata("meta-data/placement/availability-zone") == f"{cloud.settings.region}a"
    assert "instance-id" in machine.metadata("meta-data/").splitlines()
    identity = json.loads(machine.metadata("dynamic/instance-identity/document"))
    assert identity["instanceId"] == machine.id
    assert identity["region"] == cloud.settings.region
    mac = machine.metadata("meta-data/mac")
    assert machine.run("cat", "/sys/class/net/eth0/address").strip() == mac
    assert machine.metadata(f"meta-data/network/interfaces/macs/{mac}/vpc-id") == vpc.id


def test_role_credentials_are_those_of_the_profile(machine, cloud, profile):
    name = machine.metadata("meta-data/iam/security-credentials/")
    assert name == profile
    given = json.loads(machine.metadata(f"meta-data/iam/security-credentials/{name}"))
    assert given["Code"] == "Success"
    sts = cloud.session.client(
        "sts",
        endpoint_url=cloud.endpoint,
        aws_access_key_id=given["AccessKeyId"],
        aws_secret_access_key=given["SecretAccessKey"],
        aws_session_token=given["Token"],
    )
    assert sts.get_caller_identity()["Arn"].endswith(f":assumed-role/{profile}/{machine.id}")


def test_api_answers_a_machine(machine, vpc, cloud):
    page = machine.run("curl", "-sf", f"http://{vpc.cidr[2]}:{cloud.settings.port}/localcloud/ready")
    assert page == "ready\n"


def test_s3_by_its_name(machine, cloud):
    s3 = cloud.client("s3")
    s3.create_bucket(Bucket="artefacts")
    s3.put_object(Bucket="artefacts", Key="a/file", Body=b"content", ACL="public-read")
    region = cloud.settings.region
    assert machine.run("curl", "-sf", f"http://s3.{region}.amazonaws.com/artefacts/a/file") == "content"
    assert machine.run("curl", "-sf", f"http://artefacts.s3.{region}.amazonaws.com/a/file") == "content"


def test_console_output_is_the_boot_journal(machine, cloud):
    output = cloud.client("ec2").get_console_output(InstanceId=machine.id)["Output"]
    assert "Cloud-init" in output
    assert "Cloud-init" in cloud.command("logs", machine.id).stdout


def test_console_opens_a_shell_by_name(machine, cloud):
    done = cloud.command("console", "one", check=False)
    assert done.returncode == 0, done.stderr


def test_stop_start_and_reboot_keep_the_disk(launch, cloud):
    machine, ec2 = launch().booted(), cloud.client("ec2")
    machine.run("touch", "/var/kept")
    boot = machine.run("cat", "/proc/sys/kernel/random/boot_id", "/proc/1/stat")
    ec2.stop_instances(InstanceIds=[machine.id])
    _wait_running(cloud, machine, False)
    ec2.start_instances(InstanceIds=[machine.id])
    _wait_running(cloud, machine, True)
    assert machine.run("ls", "/var/kept")
    pid = cloud.podman.container(machine.id).pid
    ec2.reboot_instances(InstanceIds=[machine.id])
    _wait(lambda: (cloud.podman.container(machine.id).pid or pid) != pid)
    assert machine.run("ls", "/var/kept")
    assert machine.run("cat", "/proc/sys/kernel/random/boot_id", "/proc/1/stat") != boot
    assert machine.describe()["State"]["Name"] == "running"


def test_a_machine_that_is_recovered_has_its_id_its_address_and_its_disk(launch, cloud):
    machine, cloudwatch = launch().booted(), cloud.client("cloudwatch")
    before = machine.describe()
    machine.run("touch", "/var/kept", "/run/lost")
    pid = cloud.podman.container(machine.id).pid
    cloudwatch.put_metric_alarm(
        AlarmName="broken",
        Namespace="AWS/EC2",
        MetricName="StatusCheckFailed_System",
        Dimensions=[{"Name": "InstanceId", "Value": machine.id}],
        Statistic="Maximum",
        Period=60,
        EvaluationPeriods=1,
        Threshold=1,
        ComparisonOperator="GreaterThanOrEqualToThreshold",
        AlarmActions=[f"arn:aws:automate:{cloud.settings.region}:ec2:recover"],
    )
    cloudwatch.set_alarm_state(AlarmName="broken", StateValue="ALARM", StateReason="a test")
    _wait(lambda: (cloud.podman.container(machine.id).pid or pid) != pid)
    assert machine.run("ls", "/var/kept")
    assert "No such file" in machine.run("sh", "-c", "ls /run/lost 2>&1", check=False)
    after = machine.describe()
    assert [after[key] for key in ("State", "PrivateIpAddress", "ImageId")] == [
        before[key] for key in ("State", "PrivateIpAddress", "ImageId")
    ]
    assert machine.id == after["InstanceId"]
    cloudwatch.delete_alarms(AlarmNames=["broken"])


def test_poweroff_inside_stops_or_terminates(launch, cloud):
    stays = launch().booted()
    goes = launch(InstanceInitiatedShutdownBehavior="terminate").booted()
    for machine in (stays, goes):
        machine.run("systemctl", "poweroff", check=False)
    stays.wait_state("stopped")
    goes.wait_state("terminated")
    assert goes.describe()["StateReason"]["Code"] == "Client.InstanceInitiatedShutdown"
    _wait(lambda: cloud.podman.container(goes.id) is None)


def test_reboot_inside_goes_on(launch, cloud):
    machine = launch().booted()
    pid = cloud.podman.container(machine.id).pid
    machine.run("systemctl", "reboot", check=False)
    _wait(lambda: (cloud.podman.container(machine.id).pid or pid) != pid)
    assert machine.describe()["State"]["Name"] == "running"


def test_a_killed_machine_is_soon_seen(launch, cloud):
    machine = launch(InstanceInitiatedShutdownBehavior="terminate").booted()
    cloud.command("kill", machine.id)
    began = time.monotonic()
    # Within two seconds on an idle machine.
    machine.wait_state("terminated", 20)
    record("localcloud", killed_seen_s=time.monotonic() - began)


def test_an_unknown_machine_is_refused(cloud, machine):
    done = cloud.command("kill", "nobody", check=False)
    assert done.returncode == 1
    assert done.stderr.startswith("localcloud: There is no machine 'nobody': use one of ")


def test_terminate_removes_the_container(launch, cloud):
    machine = launch().booted()
    cloud.client("ec2").terminate_instances(InstanceIds=[machine.id])
    _wait(lambda: cloud.podman.container(machine.id) is None)
    assert "Cloud-init" in cloud.client("ec2").get_console_output(InstanceId=machine.id)["Output"]
    assert "Cloud-init" in cloud.command("logs", machine.id).stdout


def _wait(look: Callable[[], bool], seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while not look():
        assert time.monotonic() < deadline, "not within the deadline"
        time.sleep(0.2)


def _wait_running(cloud, machine, running: bool) -> None:
    _wait(lambda: cloud.podman.container(machine.id).running is running)
