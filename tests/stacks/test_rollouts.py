"""Roll-outs of a deployed site that are broken, and machines that are configured in place.

Each trial runs under steady requests, of which none may fail, and leaves the site with two healthy machines of the
published image.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from support.figures import record
from support.load import SteadyLoad
from support.site import Run, Site
from support.waiting import until

TITLE = "A site by stackyard"
QUICK = {"fleet_refresh_checkpoint_delay": 1}


@dataclass
class Images:
    """Images that differ from the one that serves in one thing."""

    site: Site
    _made: dict[str, str]

    def after(self, command: str) -> str:
        """An image of a machine that a command was run on."""
        if command not in self._made:
            self._made[command] = self._make(command)
        return self._made[command]

    def _make(self, command: str) -> str:
        ec2 = self.site.client("ec2")
        serving = ec2.describe_instances(InstanceIds=self.site.in_service()[:1])["Reservations"][0]["Instances"][0]
        # Without user data nothing is configured, so that it is as it was baked.
        machine = ec2.run_instances(
            ImageId=serving["ImageId"],
            InstanceType=serving["InstanceType"],
            SubnetId=serving["SubnetId"],
            MinCount=1,
            MaxCount=1,
        )["Instances"][0]["InstanceId"]
        try:
            booted = "systemctl is-system-running 2>/dev/null | grep -qE 'running|degraded' && echo booted"
            until(f"the boot of {machine}", lambda: "booted" in self.site.shell(machine, booted, check=False), 90)
            self.site.shell(machine, f"cloud-init clean --logs; : > /etc/machine-id; {command}")
            name = f"rollout-{len(self._made)}-{machine}"
            image = str(ec2.create_image(InstanceId=machine, Name=name)["ImageId"])
            ec2.create_tags(Resources=[image], Tags=[{"Key": "stackyard:application", "Value": "wordpress"}])
            until(f"the image {image}", lambda: self._state(image) == "available", 120)
        finally:
            ec2.terminate_instances(InstanceIds=[machine])
        return image

    def _state(self, image: str) -> str:
        return str(self.site.client("ec2").describe_images(ImageIds=[image])["Images"][0]["State"])


@pytest.fixture(scope="session")
def images(site: Site) -> Iterator[Images]:
    made = Images(site, {})
    yield made
    for image in made._made.values():
        site.client("ec2").deregister_image(ImageId=image)


def refreshes(site: Site) -> list[dict[str, Any]]:
    answer = site.client("autoscaling").describe_instance_refreshes(AutoScalingGroupName=site.name)
    found: list[dict[str, Any]] = answer["InstanceRefreshes"]
    return found


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
]


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
