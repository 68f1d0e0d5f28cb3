"""A stack against a control plane: an account as a bake leaves it, and what a run announced or did."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from support.control_plane import Cloud

INVENTORY = ("-i", "inventory/local/hosts.yml")
# Without machines nothing completes a launch hook, so no run waits for the fleet.
VARIABLES = {"fleet_wait": False, "network_wait_timeout": 30}


def bake(cloud: Cloud, application: str) -> None:
    """Put an image and its parameter into the account, as a bake does, and empty the request log."""
    ec2 = cloud.client("ec2")
    base = ec2.describe_images()["Images"][0]["ImageId"]
    instance = ec2.run_instances(ImageId=base, MinCount=1, MaxCount=1)["Instances"][0]["InstanceId"]
    tags = [
        {"Key": "stackyard:application", "Value": application},
        {"Key": "stackyard:environment", "Value": "demo"},
        {"Key": "stackyard:keep", "Value": "true"},
    ]
    image = ec2.create_image(
        InstanceId=instance, Name=application, TagSpecifications=[{"ResourceType": "image", "Tags": tags}]
    )["ImageId"]
    ec2.terminate_instances(InstanceIds=[instance])
    cloud.client("ssm").put_parameter(
        Name=f"/stackyard/demo/{application}/image", Value=image, Type="String", Tags=tags
    )
    cloud.forget_requests()


def environment(endpoint: str) -> dict[str, str]:
    """The variables by which inventory/local finds an endpoint on loopback."""
    return {"LOCALCLOUD_PORT": endpoint.rsplit(":", 1)[1]}


def stack_runs(ansible: Any, cloud: Cloud, application: str, **standing: Any) -> Callable[..., Any]:
    """Bake the application, and return what runs a playbook on the account: by default the one that deploys it.

    Args:
        ansible: Runs playbooks.
        cloud: The account.
        application: Its name.
        standing: Variables of every run.
    """
    bake(cloud, application)

    def run(
        playbook: str = application,
        variables: dict[str, Any] | None = None,
        more: tuple[str, ...] = (),
        **options: Any,
    ) -> Any:
        return ansible.run_playbook(
            f"playbooks/{playbook}.yml",
            arguments=(*INVENTORY, *more),
            environment=environment(cloud.endpoint),
            extra_vars={**VARIABLES, **standing, **(variables or {})},
            **options,
        )

    return run


def announcements(result: Any) -> list[tuple[str, str, str]]:
    """What changed, or would: the changes of our modules by resource, those of others by task and item."""
    found = []
    for task in result.tasks:
        for answer in [task.result, *task.result.get("results", [])]:
            if answer.get("changes"):
                found += [(c["action"], c["type"], c["name"]) for c in answer["changes"]]
            elif answer.get("changed") and "results" not in answer:
                found.append(("change", task.name, str(answer.get("item", ""))))
    # Mount targets are named by subnets, whose ids a check cannot know.
    return sorted((action, kind, re.sub(r"subnet-[0-9a-f]+$", "subnet", name)) for action, kind, name in found)
