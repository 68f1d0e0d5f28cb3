"""What every stack must pass, whatever it runs: a class of tests that each application's own tests inherit."""

import json
from typing import Any, ClassVar

from support.figures import record
from support.site import Site


class StackTrials:
    """Run again, looked at without changing, searched for secrets, destroyed and made again.

    Attributes:
        secrets: How many secret values the stack has at least.
        kept: What the playbook that destroys says is kept, with {environment} in its name.
        created_again: Variables with which the stack is made again at the end.
    """

    secrets = 4
    kept = "{environment}-{application}-final-"
    created_again: ClassVar[dict[str, Any]] = {}

    def test_a_second_run_changes_nothing(self, healthy_site: Site) -> None:
        application = healthy_site.demo.application
        again = healthy_site.playbook(application)
        record(application, deploy_again_s=again.seconds)
        assert again.changed == 0

    def test_check_mode_changes_nothing(self, healthy_site: Site) -> None:
        checked = healthy_site.playbook(healthy_site.demo.application, "--check", "--diff")
        assert checked.changed == 0

    def test_no_secret_is_anywhere(self, healthy_site: Site) -> None:
        """The actual values are searched for in all places where one might have been left."""
        site = healthy_site
        values = site.secret_values()
        assert len(values) >= self.secrets
        templates = site.client("ec2").describe_launch_template_versions(
            LaunchTemplateName=site.name, Versions=["$Latest", "$Default"]
        )
        places = {
            "the launch template": json.dumps(templates, default=str),
            "Ansible's output at -vvv": site.first_run.output if site.first_run else "",
            "the local cloud's logs": "".join(
                path.read_text(errors="replace") for path in site.demo.settings.state.glob("*.log*")
            )
            + (site.demo.settings.state / "requests.jsonl").read_text(),
        }
        assert places["Ansible's output at -vvv"]
        for machine in site.in_service():
            places[f"user data of {machine}"] = site.shell(
                machine, "cat /etc/stackyard/boot.json /var/lib/cloud/instance/user-data.txt"
            )
            places[f"arguments on {machine}"] = site.shell(
                machine, "cat /proc/[0-9]*/cmdline /proc/[0-9]*/environ 2>/dev/null | tr '\\0' '\\n'", check=False
            )
            places[f"logs of {machine}"] = site.shell(
                machine, "journalctl --no-pager -a; cat /var/log/*.log /var/log/*/*.log 2>/dev/null", check=False
            )
        found = [where for where, text in places.items() if any(value in text for value in values)]
        assert not found
        # The image itself: what was baked knows nothing of an environment.
        machine = site.in_service()[0]
        image = site.client("ec2").describe_instances(InstanceIds=[machine])["Reservations"][0]["Instances"][0][
            "ImageId"
        ]
        assert not site.files_with(image, sorted(values))

    def test_destroy_twice_and_create_again(self, healthy_site: Site) -> None:
        site = healthy_site
        refused = site.playbook(f"{site.demo.application}_destroy", check=False)
        assert refused.status != 0
        assert "stackyard_confirm" in refused.output
        destroyed = site.playbook(f"{site.demo.application}_destroy", stackyard_confirm=site.name)
        assert self.kept.format(**vars(site.demo)) in destroyed.output
        twice = site.playbook(f"{site.demo.application}_destroy", stackyard_confirm=site.name)
        assert twice.changed == 0
        left = left_behind(site)
        record(site.demo.application, left_after_destroy=len(left))
        assert not left, left
        assert site.containers() == []
        site.playbook(site.demo.application, **self.created_again)
        site.wait_healthy()


def left_behind(site: Site) -> list[str]:
    """Resources that carry the stack's tags and are not kept on purpose.

    EC2 tells of a terminated instance for about an hour after its end, and KMS of a deleted key for days: these are
    records, nothing that is left. A vault stays with the backups in it.
    """
    wanted = [
        {"Key": "stackyard:environment", "Values": [site.demo.environment]},
        {"Key": "stackyard:application", "Values": [site.demo.application]},
    ]
    pages = site.client("resourcegroupstaggingapi").get_paginator("get_resources").paginate(TagFilters=wanted)
    reservations = site.client("ec2").describe_instances(
        Filters=[{"Name": "instance-state-name", "Values": ["terminated"]}]
    )["Reservations"]
    ended = {instance["InstanceId"] for entry in reservations for instance in entry["Instances"]}
    kms = site.client("kms")
    keys = [kms.describe_key(KeyId=key["KeyId"])["KeyMetadata"] for key in kms.list_keys()["Keys"]]
    ended |= {key["KeyId"] for key in keys if key["KeyState"] == "PendingDeletion"}
    vaults = site.client("backup").list_backup_vaults()["BackupVaultList"]
    filled = {vault["BackupVaultArn"] for vault in vaults if vault["NumberOfRecoveryPoints"]}
    return [
        entry["ResourceARN"]
        for page in pages
        for entry in page["ResourceTagMappingList"]
        if {"Key": "stackyard:keep", "Value": "true"} not in entry["Tags"]
        and entry["ResourceARN"].rpartition("/")[2] not in ended
        and entry["ResourceARN"] not in filled
    ]
