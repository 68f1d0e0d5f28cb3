#!/usr/bin/python
# Copyright: stackyard contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

DOCUMENTATION = r"""
module: images_prune
short_description: Remove old images that nothing refers to, with their snapshots
version_added: 0.1.0
description:
  - Looks at the account's own images with the tag C(stackyard:application) in one region, and keeps each for which
    there is a reason. The rest is deregistered, oldest first, and its snapshots are deleted.
  - An image belongs to each environment whose parameter C(/stackyard/<environment>/<application>/image) holds it, or
    held it once. Images that were never published make up a group of their own.
  - Kept are the newest of each application and environment; what a parameter below C(/stackyard) names, that is the
    current image and the one before; what an instance was launched from that is not terminated; what an Auto Scaling
    group refers to, by a launch template or a launch configuration; what the default version or one of the two newest
    versions of any launch template names; what is shared with another account or with everybody, since nobody here sees
    who uses it; what is still being made; and what is under EC2's protection from deregistration.
  - The tag C(stackyard:keep) is no reason. Every image carries it, and it says that destroying a stack leaves the
    image. Protection from deregistration is how an image is kept for good.
  - Spot fleets and EC2 fleets with launch specifications of their own are not looked at.
author: stackyard contributors
options:
  application:
    description: Application whose images are looked at; those of all applications if not given.
    type: str
  keep:
    description: How many images of each application and environment are kept for being the newest.
    type: int
    default: 5
  limit:
    description: How many images are removed at most; the others are returned as RV(deferred).
    type: int
    default: 20
extends_documentation_fragment:
  - amazon.aws.common.modules
  - amazon.aws.region.modules
  - amazon.aws.boto3
  - stackyard.aws.stack
"""

EXAMPLES = r"""
- name: Keep three images of each application and environment
  stackyard.aws.images_prune:
    keep: 3
"""

RETURN = r"""
removed:
  description: What was removed, or would be in check mode.
  type: list
  elements: dict
  returned: success
  sample: [{id: ami-0123456789abcdef0, name: stackyard-wordpress-7.0, snapshots: [snap-0123456789abcdef0]}]
deferred:
  description: What would be removed as well if O(limit) were higher.
  type: list
  elements: dict
  returned: success
kept:
  description: What is kept, and why.
  type: list
  elements: dict
  returned: success
  sample: [{id: ami-0123456789abcdef0, name: stackyard-wordpress-7.0, reasons: [instance i-0123456789abcdef0]}]
changes:
  description: What was changed, or would be in check mode.
  type: list
  elements: dict
  returned: success
"""

import re
from collections import defaultdict

from ansible_collections.amazon.aws.plugins.module_utils.modules import AnsibleAWSModule
from ansible_collections.amazon.aws.plugins.module_utils.tagging import boto3_tag_list_to_ansible_dict
from ansible_collections.stackyard.aws.plugins.module_utils.aws import Api, found_or_none, run
from ansible_collections.stackyard.aws.plugins.module_utils.plan import Plan

# On a snapshot: the image that it is deleted with. A run that is cut off after the image finds it by this.
RETIRED = "stackyard:retired-with"
PUBLISHED = re.compile(r"^/stackyard/(?P<environment>[^/]+)/(?P<application>[^/]+)/image$")
NEVER_PUBLISHED = ""
NEWEST_VERSIONS = 2
ALIAS = "resolve:ssm:"


class Reasons:
    """Why images are kept: reasons by the image's id, from every service that may refer to one."""

    def __init__(self, ec2, autoscaling, ssm):
        self.ec2, self.autoscaling, self.ssm = ec2, autoscaling, ssm
        self.by_image = defaultdict(list)
        self.environments = defaultdict(set)

    def add(self, image_id, reason):
        if image_id and reason not in self.by_image[image_id]:
            self.by_image[image_id].append(reason)

    def read(self):
        self._parameters()
        self._instances()
        self._launch_configurations()
        self._launch_templates(self._versions_of_groups())

    def _parameters(self):
        for parameter in self.ssm.pages("get_parameters_by_path", "Parameters", Path="/stackyard", Recursive=True):
            name = parameter["Name"]
            self.add(parameter["Value"], f"parameter {name}")
            published = PUBLISHED.match(name)
            if published:
                for version in self.ssm.pages("get_parameter_history", "Parameters", Name=name):
                    self.environments[version["Value"]].add(published["environment"])

    def _instances(self):
        alive = [
            {"Name": "instance-state-name", "Values": ["pending", "running", "shutting-down", "stopping", "stopped"]}
        ]
        for reservation in self.ec2.pages("describe_instances", "Reservations", Filters=alive):
            for instance in reservation["Instances"]:
                self.add(instance["ImageId"], f"instance {instance['InstanceId']}")

    def _launch_configurations(self):
        for found in self.autoscaling.pages("describe_launch_configurations", "LaunchConfigurations"):
            self.add(found.get("ImageId"), f"launch configuration {found['LaunchConfigurationName']}")

    def _versions_of_groups(self):
        """Return the groups that name a version, by the template's id and the version as it is named."""
        named = defaultdict(set)

        def note(specification, group):
            if specification.get("LaunchTemplateId"):
                version = specification.get("Version", "$Default")
                named[specification["LaunchTemplateId"], version].add(f"group {group['AutoScalingGroupName']}")

        for group in self.autoscaling.pages("describe_auto_scaling_groups", "AutoScalingGroups"):
            note(group.get("LaunchTemplate", {}), group)
            template = group.get("MixedInstancesPolicy", {}).get("LaunchTemplate", {})
            note(template.get("LaunchTemplateSpecification", {}), group)
            for override in template.get("Overrides", []):
                note(override.get("LaunchTemplateSpecification", {}), group)
                self._named(override.get("ImageId"), f"group {group['AutoScalingGroupName']}")
            for instance in group["Instances"]:
                note(instance.get("LaunchTemplate", {}), group)
        return named

    def _launch_templates(self, named):
        for template in self.ec2.pages("describe_launch_templates", "LaunchTemplates"):
            identifier, latest = template["LaunchTemplateId"], template["LatestVersionNumber"]
            symbols = {"$Default": template["DefaultVersionNumber"], "$Latest": latest}
            for version in self.ec2.pages(
                "describe_launch_template_versions", "LaunchTemplateVersions", LaunchTemplateId=identifier
            ):
                number = version["VersionNumber"]
                users = set()
                for (used, name), groups in named.items():
                    if used == identifier and str(symbols.get(name, name)) == str(number):
                        users |= groups
                newest = number > latest - NEWEST_VERSIONS
                if users or newest or number == template["DefaultVersionNumber"]:
                    reason = f"launch template {template['LaunchTemplateName']} version {number}"
                    used_by = f" ({', '.join(sorted(users))})" if users else ""
                    self._named(version["LaunchTemplateData"].get("ImageId"), reason + used_by)

    def _named(self, image, reason):
        """Note an image that is named as a launch template may name it: by its id or by a parameter."""
        if str(image or "").startswith(ALIAS):
            answer = found_or_none(
                self.ssm.get_parameter, ["ParameterNotFound", "ParameterVersionNotFound"], Name=image[len(ALIAS) :]
            )
            image = answer["Parameter"]["Value"] if answer else None
        self.add(image, reason)


class Prune:
    """Removes what nothing refers to."""

    def __init__(self, module):
        self.module = module
        self.plan = Plan(module.check_mode)
        self.ec2 = Api(module, "ec2")
        self.reasons = Reasons(self.ec2, Api(module, "autoscaling"), Api(module, "ssm"))

    def prune(self):
        limit = self.module.params["limit"]
        images = self._images()
        self.reasons.read()
        self._keep_newest(images)
        removed, deferred, kept = [], [], []
        for image in images:
            entry = {"id": image["ImageId"], "name": image.get("Name", "")}
            reasons = self._reasons(image)
            if reasons:
                kept.append({**entry, "reasons": reasons})
            elif len(removed) == limit:
                deferred.append({**entry, "snapshots": snapshots_of(image)})
            else:
                removed.append({**entry, "snapshots": snapshots_of(image)})
        self._finish_what_was_cut_off()
        for entry in removed:
            self._remove(entry)
        return {"removed": removed, "deferred": deferred, "kept": kept, **self.plan.result()}

    def _images(self):
        """Return the images, oldest first."""
        application = self.module.params["application"]
        filters = [{"Name": "tag-key", "Values": ["stackyard:application"]}]
        if application:
            filters = [{"Name": "tag:stackyard:application", "Values": [application]}]
        images = self.ec2.pages("describe_images", "Images", Owners=["self"], Filters=filters, IncludeDeprecated=True)
        # Packer's names end in the time, where the API's own is the same.
        return sorted(images, key=lambda image: (image["CreationDate"], image.get("Name", "")))

    def _keep_newest(self, images):
        groups = defaultdict(list)
        for image in images:
            application = boto3_tag_list_to_ansible_dict(image["Tags"])["stackyard:application"]
            for environment in self.reasons.environments.get(image["ImageId"], {NEVER_PUBLISHED}):
                groups[application, environment].append(image["ImageId"])
        for (application, environment), group in groups.items():
            of = f"{application} in {environment}" if environment else f"{application} that were never published"
            for image_id in group[-self.module.params["keep"] :]:
                self.reasons.add(image_id, f"one of the newest of {of}")

    def _reasons(self, image):
        """Return why an image is kept; whether it is shared is only asked when nothing else keeps it."""
        reasons = list(self.reasons.by_image.get(image["ImageId"], []))
        if image["State"] in ("pending", "transient"):
            reasons.append("still being made")
        if image.get("DeregistrationProtection", "disabled").startswith("enabled"):
            reasons.append("protected from deregistration")
        if not reasons:
            answer = self.ec2.describe_image_attribute(ImageId=image["ImageId"], Attribute="launchPermission")
            shared = [next(iter(permission.values())) for permission in answer.get("LaunchPermissions", [])]
            reasons += [f"shared with {whom}" for whom in shared]
        return reasons

    def _remove(self, entry):
        image_id, snapshots = entry["id"], entry["snapshots"]
        if self.plan.delete("image", image_id, entry["name"]):
            if snapshots:
                self.ec2.create_tags(Resources=snapshots, Tags=[{"Key": RETIRED, "Value": image_id}])
            found_or_none(
                self.ec2.deregister_image, ["InvalidAMIID.NotFound", "InvalidAMIID.Unavailable"], ImageId=image_id
            )
        for snapshot in snapshots:
            self._delete_snapshot(snapshot, image_id)

    def _delete_snapshot(self, snapshot, image_id):
        if self.plan.delete("snapshot", snapshot, f"of {image_id}"):
            found_or_none(self.ec2.delete_snapshot, ["InvalidSnapshot.NotFound"], SnapshotId=snapshot)

    def _finish_what_was_cut_off(self):
        """Delete the snapshots of images that an earlier run has deregistered."""
        filters = [{"Name": "tag-key", "Values": [RETIRED]}]
        snapshots = self.ec2.pages("describe_snapshots", "Snapshots", OwnerIds=["self"], Filters=filters)
        if not snapshots:
            return
        own = self.ec2.pages("describe_images", "Images", Owners=["self"], IncludeDeprecated=True)
        used = {snapshot for image in own for snapshot in snapshots_of(image)}
        for snapshot in snapshots:
            if snapshot["SnapshotId"] not in used:
                image_id = boto3_tag_list_to_ansible_dict(snapshot["Tags"])[RETIRED]
                self._delete_snapshot(snapshot["SnapshotId"], image_id)


def snapshots_of(image):
    """Return the ids of the snapshots that an image is made of."""
    devices = [device.get("Ebs", {}).get("SnapshotId") for device in image.get("BlockDeviceMappings", [])]
    return [snapshot for snapshot in devices if snapshot]


def main():
    module = AnsibleAWSModule(
        argument_spec={
            "application": {"type": "str"},
            "keep": {"type": "int", "default": 5},
            "limit": {"type": "int", "default": 20},
        },
        supports_check_mode=True,
    )
    for option in ("keep", "limit"):
        if module.params[option] < 1:
            module.fail_json(msg=f"{option} is {module.params[option]}: 1 or more is accepted.")
    run(module, lambda: Prune(module).prune())


if __name__ == "__main__":
    main()
