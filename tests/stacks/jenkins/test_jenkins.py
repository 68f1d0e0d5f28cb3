"""Jenkins end to end on the local cloud: killed, changed over, drained, destroyed, made again.

What answers is a stand-in, not Jenkins; what is around it is real, but for the file system, which is no NFS here.
"""

import json
import os
import re
import signal
import subprocess
import threading
import time
from collections.abc import Sequence
from pathlib import Path

import pytest
import requests

from support.certificate import make_certificate, visitor
from support.controller import Controller
from support.figures import record
from support.roll_outs import roll_out
from support.site import Site
from support.site_images import Images, serving_images
from support.stack_trials import StackTrials
from support.waiting import until

# GiB; what is on it are a few small files.
ON_A_VOLUME = {"jenkins_stack_home": "ebs", "jenkins_stack_home_gb": 2}

# Makes a machine one of a newer version of the stand-in, as an image with another jenkins_version would be.
NEWER = """python3 - <<'EOF'
import json, pathlib, zipfile
war = pathlib.Path("/usr/share/java/jenkins.war")
with zipfile.ZipFile(war) as old:
    files = {name: old.read(name) for name in old.namelist()}
record = pathlib.Path("/etc/stackyard/image.json")
image = json.loads(record.read_text())
newer = image["variables"]["jenkins_version"].rpartition(".")[0] + ".9"
image["variables"]["jenkins_version"] = newer
record.write_text(json.dumps(image))
manifest = files["META-INF/MANIFEST.MF"].decode()
lines = [line for line in manifest.splitlines() if line and not line.startswith("Jenkins-Version")]
files["META-INF/MANIFEST.MF"] = "\\n".join([*lines, f"Jenkins-Version: {newer}", ""]).encode()
with zipfile.ZipFile(war, "w") as new:
    for name, content in files.items():
        new.writestr(name, content)
EOF"""


class Silence:
    """How long the page of log-in is away, asked ten times a second."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self.longest = 0.0

    def __enter__(self) -> "Silence":
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._end.set()
        self._thread.join()

    def _watch(self) -> None:
        last = time.monotonic()
        while not self._end.wait(0.1):
            try:
                answered = requests.get(f"{self._site.url}login", timeout=5).status_code == 200
            except requests.RequestException:
                answered = False
            now = time.monotonic()
            if answered:
                self.longest = max(self.longest, now - last)
                last = now
        self.longest = max(self.longest, time.monotonic() - last)


def test_the_figures_name_the_stand_in(healthy_site: Site) -> None:
    answer = requests.get(f"{healthy_site.url}login", timeout=15)
    assert answer.headers["X-Jenkins"] == "stand-in"
    record("jenkins", application=answer.headers["X-Jenkins"])


def test_how_soon_a_machine_is_healthy(healthy_site: Site) -> None:
    record("jenkins", boot_to_healthy_golden_s=healthy_site.boot_seconds())


@pytest.mark.long
def test_agents_come_for_builds_are_drained_and_go(healthy_site: Site, controller: Controller) -> None:
    """And the controller does not change meanwhile."""
    site, name = healthy_site, f"{healthy_site.name}-agents"
    scaling = site.client("autoscaling")

    def agents() -> dict[str, str]:
        """The group's machines, and where each stands in its life."""
        [group] = scaling.describe_auto_scaling_groups(AutoScalingGroupNames=[name])["AutoScalingGroups"]
        return {machine["InstanceId"]: machine["LifecycleState"] for machine in group["Instances"]}

    before = site.in_service()
    assert agents() == {}
    controller.make_job("on-an-agent", label="fleet")
    began = time.monotonic()
    first = controller.build("on-an-agent", 45)
    assert [item["task"]["name"] for item in controller.get("queue/api/json")["items"]] == ["on-an-agent #1"]
    until("the build on an agent", lambda: controller.agent(first) != "", 180)
    record("jenkins", agent_s=time.monotonic() - began)
    [agent] = agents()
    assert controller.agent(first) == agent

    # It builds as soon as it lets Jenkins in, which is a moment before it has told its group so.
    until("an agent in service", lambda: agents() == {agent: "InService"}, 30)

    # The group ends it while it builds; what is queued meanwhile is for another one.
    scaling.terminate_instance_in_auto_scaling_group(InstanceId=agent, ShouldDecrementDesiredCapacity=True)
    until("the agent's drain", lambda: agents().get(agent) == "Terminating:Wait", 30)
    told = f"built by jenkins on {site.shell(agent, 'hostname').strip()}"
    until(
        "an agent that gets no more builds", lambda: controller.get("computer/api/json")["computer"][0]["offline"], 30
    )
    assert controller.result(first) is None
    second = controller.build("on-an-agent", 30)
    # Jenkins' plug-in has altered the group, and has a machine in it.
    until("another agent", lambda: controller.agent(second) != "", 180)
    assert site.playbook("jenkins").changed == 0
    assert controller.agent(second) != agent
    assert controller.result(first) == "SUCCESS"
    assert told in controller.log(first)
    until("the end of the second build", lambda: controller.result(second) == "SUCCESS", 60)
    until("the end of all agents", lambda: agents() == {}, 90)
    assert site.in_service() == before

    site.demo.variables["jenkins_stack_agents_max"] = 0
    site.playbook("jenkins")
    site.wait_healthy()
    assert scaling.describe_auto_scaling_groups(AutoScalingGroupNames=[name])["AutoScalingGroups"] == []
    assert [
        entry
        for entry in site.client("ec2").describe_launch_templates()["LaunchTemplates"]
        if entry["LaunchTemplateName"] == name
    ] == []
    assert set(json.loads(site.secret("admin"))) == {"admin"}
    names = [entry["Name"] for entry in site.client("secretsmanager").list_secrets()["SecretList"]]
    assert not [entry for entry in names if entry.endswith("/jenkins/agents")]
    assert controller.jobs() == ["on-an-agent"]


def test_a_killed_machine_is_replaced_in_another_zone_with_its_jobs(healthy_site: Site, controller: Controller) -> None:
    site = healthy_site
    controller.make_job("before-the-kill")
    before = controller.jobs()
    [victim] = site.in_service()
    # As when the whole zone fails: there is no room left in it.
    site.leave_zone(site.zone(victim))
    site.localcloud("kill", victim)
    heal = site.wait_healthy(without={victim}, seconds=300)
    [successor] = site.in_service()
    after = controller.jobs()
    record("jenkins", heal_s=heal, jobs_before=len(before), jobs_after=len(after))
    assert after == before
    assert site.zone(successor) != site.zone(victim)
    site.playbook("jenkins")
    assert site.in_service() == [successor]


def test_a_new_image_takes_over_and_running_builds_end_first(
    healthy_site: Site, images: Images, controller: Controller
) -> None:
    site, image = healthy_site, images.after("true")
    controller.make_job("long")
    began, before = {}, controller.jobs()

    def begin_when_the_successor_is_up() -> None:
        """A build that still runs when the old controller is asked to hand over."""
        known = set(site.in_service())
        until("a second machine", lambda: len(site.group()["Instances"]) > len(known), 120)
        began["build"] = controller.build("long", 20)

    builder = threading.Thread(target=begin_when_the_successor_is_up)
    with Silence(site) as silence:
        builder.start()
        site.playbook("jenkins", jenkins_stack_image_id=image)
        builder.join()
        site.wait_healthy()
    assert serving_images(site) == {image}
    record("jenkins", change_over_outage_s=silence.longest)
    assert controller.jobs() == before
    assert controller.result(began["build"]) == "SUCCESS"
    site.playbook("jenkins")
    site.wait_healthy()


@pytest.mark.long
def test_an_upgrade_is_interrupted_taken_up_and_taken_back_with_the_home(
    healthy_site: Site, images: Images, controller: Controller
) -> None:
    """Ctrl-C in the middle, one more run, and back to the home from before, which the newer version has changed."""
    site, image = healthy_site, images.after(NEWER)
    [before] = serving_images(site)
    controller.make_job("before-the-upgrade")
    kept = controller.jobs()
    with Silence(site) as silence:
        with roll_out(site, {"jenkins_stack_image_id": image}) as run:
            os.killpg(run.process.pid, signal.SIGINT)
        assert run.process.returncode != 0
        site.playbook("jenkins", jenkins_stack_image_id=image)
        site.wait_healthy()
    record("jenkins", upgrade_outage_s=silence.longest)
    assert serving_images(site) == {image}
    assert controller.jobs() == kept
    controller.make_job("after-the-upgrade")

    # The older version alone would not be started on the home.
    told = site.playbook("jenkins_rollback", check=False)
    assert told.status != 0
    [name] = set(re.findall(rf"before-{image}-[\dT-]+", told.output))
    with Silence(site) as silence:
        site.playbook("jenkins_rollback", stackyard_recovery_point=name)
        site.wait_healthy()
    record("jenkins", rollback_outage_s=silence.longest)
    assert serving_images(site) == {before}
    assert controller.jobs() == kept
    assert site.playbook("jenkins_rollback", stackyard_recovery_point=name).changed == 0
    assert site.playbook("jenkins").changed == 0


@pytest.mark.long
@pytest.mark.parametrize(("seconds", "result"), [(10, "SUCCESS"), (600, "ABORTED")])
def test_a_build_never_vanishes_when_the_machine_is_ended(
    healthy_site: Site, controller: Controller, seconds: int, result: str
) -> None:
    """inventory/local gives builds 60 seconds then."""
    site = healthy_site
    [machine] = site.in_service()
    job = f"ended-after-{seconds}"
    controller.make_job(job)
    build = controller.build(job, seconds)
    site.client("autoscaling").terminate_instance_in_auto_scaling_group(
        InstanceId=machine, ShouldDecrementDesiredCapacity=False
    )
    site.wait_healthy(without={machine}, seconds=300)
    assert controller.result(build) == result


@pytest.mark.long
def test_a_home_that_does_not_answer_for_a_minute_costs_no_machine_and_no_build(
    healthy_site: Site, controller: Controller, file_systems: Path
) -> None:
    """Whoever writes to it waits, as with an EFS that is away: its mounts are hard."""
    site = healthy_site
    [machine] = site.in_service()
    controller.make_job("while-away")
    build = controller.build("while-away", 5)
    subprocess.run(["fsfreeze", "--freeze", file_systems], check=True)
    try:
        time.sleep(60)
    finally:
        subprocess.run(["fsfreeze", "--unfreeze", file_systems], check=True)
    until("the end of the build", lambda: controller.result(build) is not None, 30)
    site.wait_healthy()
    assert site.in_service() == [machine]
    assert controller.result(build) == "SUCCESS"
    assert "while-away" in controller.jobs()


@pytest.mark.long
def test_the_entry_becomes_an_address_that_follows_the_machine(
    healthy_site: Site, controller: Controller, tmp_path: Path
) -> None:
    """And back to the load balancer, without a job lost on the way."""
    site, name = healthy_site, "jenkins.example.org"
    controller.make_job("by-address")
    jobs = controller.jobs()
    certificate, key = make_certificate(tmp_path, name)
    secret = site.client("secretsmanager").create_secret(
        Name="jenkins-certificate",
        SecretString=json.dumps({"certificate": certificate.read_text(), "private_key": key.read_text()}),
    )["Name"]
    entry = {
        "jenkins_stack_entry": "address",
        "jenkins_stack_https": True,
        "jenkins_stack_domain": name,
        "jenkins_stack_certificate_secret": secret,
    }
    site.playbook("jenkins", **entry)
    site.wait_healthy()
    filters = [{"Name": "tag:Name", "Values": [site.name]}]
    [address] = site.client("ec2").describe_addresses(Filters=filters)["Addresses"]
    visited = Controller(f"https://{address['PublicIp']}/", site.secret("admin"), visitor(name, certificate))
    assert visited.jobs() == jobs
    assert site.client("elbv2").describe_load_balancers()["LoadBalancers"] == []
    # Jenkins itself is not open to everybody.
    with pytest.raises(requests.ConnectionError):
        requests.get(f"http://{address['PublicIp']}:8080/login", timeout=3)
    assert site.playbook("jenkins", **entry).changed == 0

    [victim] = site.in_service()
    site.localcloud("kill", victim)
    record("jenkins", heal_by_address_s=site.wait_healthy(without={victim}, seconds=300))
    assert visited.jobs() == jobs

    site.playbook("jenkins")
    site.wait_healthy()
    assert site.client("ec2").describe_addresses(Filters=filters)["Addresses"] == []
    assert controller.jobs() == jobs
    site.client("secretsmanager").delete_secret(SecretId=secret, ForceDeleteWithoutRecovery=True)


class TestStack(StackTrials):
    """What every stack must pass."""

    secrets = 1
    kept = "/stackyard/{environment}/{application}/image"
    created_again = ON_A_VOLUME


class TestHomeOnAVolume:
    """The other kind of home: one zone, one volume, and a machine that is recovered in place of being replaced."""

    @pytest.fixture(autouse=True)
    def on_a_volume(self, site: Site) -> None:
        """The stack with such a home, which ``TestStack`` has left when it ran."""
        if not home_volumes(site):
            site.playbook("jenkins_destroy", stackyard_confirm=site.name)
            site.playbook("jenkins", **ON_A_VOLUME)

    @pytest.mark.long
    def test_a_machine_whose_host_fails_is_started_again_with_its_jobs(
        self, healthy_site: Site, controller: Controller
    ) -> None:
        site = healthy_site
        controller.make_job("before-the-recovery")
        jobs, [machine] = controller.jobs(), site.in_service()
        began = site.shell(machine, "ps -o lstart= -p 1")
        alarms, alarm = site.client("cloudwatch"), f"{site.name}-recovery"
        alarms.set_alarm_state(AlarmName=alarm, StateValue="ALARM", StateReason="its host has failed")
        start = time.monotonic()
        until("its restart", lambda: site.shell(machine, "ps -o lstart= -p 1", check=False) not in ("", began), 120)
        until("its jobs", lambda: answered_jobs(controller) == jobs, 180)
        record("jenkins", recovery_s=time.monotonic() - start)
        alarms.set_alarm_state(AlarmName=alarm, StateValue="OK", StateReason="it runs")
        site.wait_healthy()
        assert site.in_service() == [machine]
        assert site.playbook("jenkins", **ON_A_VOLUME).changed == 0

    @pytest.mark.skipif(not os.environ.get("STACKYARD_SOAK"), reason="waits for minutes; set STACKYARD_SOAK")
    def test_a_machine_whose_jenkins_hangs_is_replaced_with_its_jobs(
        self, healthy_site: Site, controller: Controller
    ) -> None:
        """It tells the group itself, which does not ask."""
        site = healthy_site
        jobs, [machine] = controller.jobs(), site.in_service()
        site.shell(machine, "systemctl kill --signal=SIGSTOP jenkins.service")
        record("jenkins", heal_hung_s=site.wait_healthy(without={machine}, seconds=600))
        assert controller.jobs() == jobs
        site.playbook("jenkins", **ON_A_VOLUME)

    @pytest.mark.long
    def test_an_upgrade_takes_the_volume_over_and_is_taken_back_with_a_snapshot(
        self, healthy_site: Site, images: Images, controller: Controller
    ) -> None:
        site, image = healthy_site, images.after(NEWER)
        [before] = serving_images(site)
        [volume] = home_volumes(site)
        controller.make_job("before-the-upgrade")
        kept = controller.jobs()
        with Silence(site) as silence:
            site.playbook("jenkins", jenkins_stack_image_id=image, **ON_A_VOLUME)
            site.wait_healthy()
        record("jenkins", upgrade_outage_volume_s=silence.longest)
        assert serving_images(site) == {image}
        assert controller.jobs() == kept
        controller.make_job("after-the-upgrade")

        told = site.playbook("jenkins_rollback", check=False, **ON_A_VOLUME)
        [name] = set(re.findall(rf"before-{image}-[\dT-]+", told.output))
        site.playbook("jenkins_rollback", stackyard_recovery_point=name, **ON_A_VOLUME)
        site.wait_healthy()
        assert serving_images(site) == {before}
        assert controller.jobs() == kept
        assert len(home_volumes(site)) == 2
        assert volume in home_volumes(site)
        assert site.playbook("jenkins_rollback", stackyard_recovery_point=name, **ON_A_VOLUME).changed == 0

    @pytest.mark.long
    def test_a_machine_that_has_ended_is_replaced_by_the_next_run(
        self, healthy_site: Site, controller: Controller
    ) -> None:
        site = healthy_site
        jobs, [machine] = controller.jobs(), site.in_service()
        site.client("ec2").terminate_instances(InstanceIds=[machine])
        larger = ON_A_VOLUME | {"jenkins_stack_home_gb": ON_A_VOLUME["jenkins_stack_home_gb"] + 1}
        site.playbook("jenkins", **larger)
        site.wait_healthy(without={machine}, seconds=300)
        assert controller.jobs() == jobs
        [successor] = site.in_service()
        size = int(site.shell(successor, "df --output=size -B1 /var/lib/jenkins | tail -1"))
        assert size > ON_A_VOLUME["jenkins_stack_home_gb"] << 30

    def test_its_last_backup_is_what_is_left(self, healthy_site: Site) -> None:
        site = healthy_site
        [volume] = home_volumes(site, ["in-use"])
        destroyed = site.playbook("jenkins_destroy", stackyard_confirm=site.name)
        assert home_volumes(site) == []
        backup = site.client("backup")
        points = backup.list_recovery_points_by_backup_vault(BackupVaultName=site.name)["RecoveryPoints"]
        names = {p["RecoveryPointArn"]: backup.list_tags(ResourceArn=p["RecoveryPointArn"])["Tags"] for p in points}
        [last] = [arn for arn, tags in names.items() if tags["stackyard:name"] == f"last-{volume}"]
        assert last in destroyed.output


def home_volumes(site: Site, states: Sequence[str] = ("available", "in-use")) -> list[str]:
    """The volumes that are or were the home."""
    filters = [{"Name": "tag-key", "Values": ["stackyard:home"]}, {"Name": "status", "Values": states}]
    return [volume["VolumeId"] for volume in site.client("ec2").describe_volumes(Filters=filters)["Volumes"]]


def answered_jobs(controller: Controller) -> list[str] | None:
    """The jobs, or None where nobody tells them."""
    try:
        return controller.jobs()
    except (AssertionError, requests.RequestException):
        return None
