"""Roll-outs of a deployed site: interrupted, taken back, broken, stopped by an alarm; and machines configured in place.

Each trial runs under steady requests, of which none may fail, and leaves the site with two healthy machines of the
published image. ``make soak`` raises the numbers of requests and of machines of the first.
"""

import os
import signal
import time
from dataclasses import dataclass, field
from typing import Any

import pytest

from support.figures import record
from support.load import SteadyLoad
from support.roll_outs import refreshes, roll_out
from support.site import Run, Site
from support.site_images import Images, serving_images

TITLE = "A site by stackyard"
QUICK = {"fleet_refresh_checkpoint_delay": 1}
SOAK = bool(os.environ.get("STACKYARD_SOAK"))
REQUESTS = 5000 if SOAK else 500
# From three on there are checkpoints.
MACHINES = 4 if SOAK else 3


def resize(site: Site, machines: int) -> None:
    site.client("autoscaling").set_desired_capacity(AutoScalingGroupName=site.name, DesiredCapacity=machines)
    site.wait_healthy(machines)


def test_a_roll_out_is_interrupted_taken_up_and_taken_back(healthy_site: Site, images: Images) -> None:
    """Ctrl-C in the middle, one more run, then rollback.yml; and again until the requests are enough."""
    site, old = healthy_site, serving_images(healthy_site)
    changed = QUICK | {"wordpress_stack_image_id": images.after("true")}
    resize(site, MACHINES)
    with SteadyLoad(site.url, TITLE, seconds=3600) as load:
        with roll_out(site, changed) as run:
            # Once it has begun to watch.
            time.sleep(3)
            os.killpg(run.process.pid, signal.SIGINT)
        assert run.process.returncode != 0
        known = refreshes(site)
        assert known[0]["Status"] in ("Pending", "InProgress")
        taken_up = site.playbook("wordpress", **changed)
        site.wait_healthy(MACHINES)
        assert serving_images(site) == {changed["wordpress_stack_image_id"]}
        assert [refresh["InstanceRefreshId"] for refresh in refreshes(site)] == [
            refresh["InstanceRefreshId"] for refresh in known
        ]
        assert refreshes(site)[0]["Preferences"]["CheckpointPercentages"] == [35, 70, 100]
        assert f"{site.name}: {MACHINES} of {MACHINES} machines of version " in taken_up.output

        back = site.playbook("rollback", stackyard_application="wordpress", **QUICK)
        record("images", rollback_command_s=back.seconds)
        site.wait_healthy(MACHINES)
        assert serving_images(site) == old
        while load.total < REQUESTS:
            site.playbook("wordpress", **changed)
            site.wait_healthy(MACHINES)
            site.playbook("rollback", stackyard_application="wordpress", **QUICK)
            site.wait_healthy(MACHINES)
    record("images", refresh_failed_requests=load.failed, refresh_total_requests=load.total)
    record("wordpress", failed_requests_refresh=load.failed, total_requests_refresh=load.total)
    assert load.failed == 0, load.reasons()
    # The image is the parameter's again and the configuration the inventory's.
    assert site.playbook("wordpress", "--check").changed == 0
    resize(site, 2)


@dataclass
class Broken:
    """A roll-out that must fail.

    Attributes:
        name: Of its figure.
        cause: Text that the error must hold.
        command: Breaks the image; empty for an image that is not broken.
        variables: Break the configuration, or shorten the trial.
    """

    name: str
    cause: str
    command: str = ""
    variables: dict[str, Any] = field(default_factory=dict)


BROKEN = [
    # The machine gives its launch hook up by itself.
    Broken("broken_image", "nginx", command="rm -f /usr/sbin/nginx"),
    Broken("wrong_database", "nowhere.invalid", variables={"wordpress_database_host": "nowhere.invalid"}),
    # Nothing answers the hook, which runs out.
    Broken(
        "hanging_boot",
        "Heartbeat",
        command="ln -sf /dev/null /etc/systemd/system/stackyard-boot.service",
        variables={"fleet_launch_hook_timeout": 30, "fleet_refresh_max_failed_launches": 1},
    ),
]


@pytest.mark.long
@pytest.mark.parametrize("broken", BROKEN, ids=lambda broken: broken.name)
def test_what_is_broken_is_rolled_back(healthy_site: Site, images: Images, broken: Broken) -> None:
    site, machines = healthy_site, set(healthy_site.in_service())
    version = site.group()["LaunchTemplate"]["Version"]
    given = QUICK | {"wordpress_setup_deadline": 10} | broken.variables
    if broken.command:
        given["wordpress_stack_image_id"] = images.after(broken.command)
    with SteadyLoad(site.url, TITLE) as load:
        run = site.playbook("wordpress", check=False, **given)
    record("images", **{f"rollback_{broken.name}_s": run.seconds})
    assert run.status != 0
    assert "was rolled back" in run.output, run.output[-6000:]
    assert broken.cause in message(run), message(run)
    assert load.failed == 0, load.reasons()
    assert refreshes(site)[0]["Status"] == "RollbackSuccessful"
    # Nobody who served was replaced, and the group is as it was.
    site.wait_healthy()
    assert set(site.in_service()) == machines
    assert site.group()["LaunchTemplate"]["Version"] == version
    # Taken back: the template's version from before is taken again, and nothing is left to do.
    site.playbook("wordpress")
    assert set(site.in_service()) == machines
    assert site.playbook("wordpress", "--check").changed == 0


def message(run: Run) -> str:
    """What the run said when it failed."""
    return run.output[run.output.index("was rolled back") :]


@pytest.mark.long
def test_an_alarm_turns_a_roll_out_back(healthy_site: Site, images: Images) -> None:
    site, old = healthy_site, serving_images(healthy_site)
    cloudwatch, alarm = site.client("cloudwatch"), f"{site.name}-errors"
    cloudwatch.put_metric_alarm(
        AlarmName=alarm, Namespace="AWS/ApplicationELB", MetricName="HTTPCode_Target_5XX_Count", Statistic="Sum",
        Period=60, EvaluationPeriods=1, Threshold=1, ComparisonOperator="GreaterThanThreshold",
    )  # fmt: skip
    changed = QUICK | {"wordpress_stack_image_id": images.after("true"), "fleet_refresh_alarms": [alarm]}
    try:
        with SteadyLoad(site.url, TITLE) as load:
            with roll_out(site, changed) as run:
                cloudwatch.set_alarm_state(AlarmName=alarm, StateValue="ALARM", StateReason="a trial")
            assert run.process.returncode != 0
            assert "was rolled back" in run.output, run.output[-6000:]
            assert alarm in run.output[run.output.index("was rolled back") :]
            known = refreshes(site)
            assert known[0]["Status"] == "RollbackSuccessful"
            # While it is in ALARM nothing is begun.
            refused = site.playbook("wordpress", check=False, **changed)
            assert refused.status != 0
            assert f"The alarm {alarm} is in the state ALARM" in refused.output
            assert len(refreshes(site)) == len(known)
            site.wait_healthy()
        assert load.failed == 0, load.reasons()
        assert serving_images(site) == old
    finally:
        cloudwatch.delete_alarms(AlarmNames=[alarm])
    site.playbook("wordpress")
    assert site.playbook("wordpress", "--check").changed == 0


@pytest.mark.long
def test_machines_are_configured_in_place(healthy_site: Site) -> None:
    """One after the other, out of service meanwhile; a failure stops the run and leaves the others alone."""
    site, machines = healthy_site, sorted(healthy_site.in_service())
    with SteadyLoad(site.url, TITLE) as load:
        site.playbook("configure", "-l", ",".join(machines), wordpress_title="In place")
        site.wait_healthy()
        assert sorted(site.in_service()) == machines
        failed = site.playbook(
            "configure", "-l", ",".join(machines), check=False, wordpress_database_host="nowhere.invalid",
            wordpress_setup_deadline=10,
        )  # fmt: skip
        assert failed.status != 0
        states = sorted(entry["LifecycleState"] for entry in site.group()["Instances"])
        assert states == ["InService", "Standby"]
        site.playbook("configure", "-l", ",".join(machines))
        site.wait_healthy()
    assert load.failed == 0, load.reasons()
    assert sorted(site.in_service()) == machines
    assert site.group()["MinSize"] == 2
