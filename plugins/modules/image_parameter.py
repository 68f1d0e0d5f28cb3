#!/usr/bin/python
# Copyright: stackyard contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

DOCUMENTATION = r"""
module: image_parameter
short_description: Publish an image to an environment
version_added: 0.1.0
description:
  - Moves the parameter of Systems Manager that tells an environment's current image to another image, and keeps the one
    that it held in a second parameter, to return to.
  - Refuses an image that does not exist, is not available, or was not baked for the application.
  - Tags the image with the environment, which is how the resources of a stack are found. An image published to several
    environments bears the last one's tag.
  - Nobody's module does the three together; one after the other, a run cut off in between would lose the previous
    image.
author: stackyard contributors
options:
  application:
    description: Application that the image must have been baked for, by its tag C(stackyard:application).
    type: str
    required: true
  environment:
    description: Environment that the image is published to.
    type: str
    required: true
  image_id:
    description: Id of the image.
    type: str
    required: true
  parameter:
    description:
      - Name of the parameter. The previous image is kept in the parameter of this name with C(-previous) after it.
    type: str
    required: true
extends_documentation_fragment:
  - amazon.aws.common.modules
  - amazon.aws.region.modules
  - amazon.aws.boto3
  - stackyard.aws.stack
"""

EXAMPLES = r"""
- name: Publish the image
  stackyard.aws.image_parameter:
    application: wordpress
    environment: demo
    image_id: ami-0123456789abcdef0
    parameter: /stackyard/demo/wordpress/image
"""

RETURN = r"""
image_id:
  description: Id of the image that is current now.
  type: str
  returned: success
previous_image_id:
  description: Id of the image to return to; empty if there is none.
  type: str
  returned: success
changes:
  description: What was changed, or would be in check mode.
  type: list
  elements: dict
  returned: success
"""

from ansible_collections.amazon.aws.plugins.module_utils.modules import AnsibleAWSModule
from ansible_collections.amazon.aws.plugins.module_utils.tagging import (
    ansible_dict_to_boto3_tag_list,
    boto3_tag_list_to_ansible_dict,
)
from ansible_collections.stackyard.aws.plugins.module_utils.aws import Api, found_or_none, run, tag_changes
from ansible_collections.stackyard.aws.plugins.module_utils.plan import Plan

MISSING_IMAGE = ("InvalidAMIID.NotFound", "InvalidAMIID.Malformed", "InvalidAMIID.Unavailable")


class Publication:
    """Publishes one image."""

    def __init__(self, module):
        self.module = module
        self.plan = Plan(module.check_mode)
        self.ec2 = Api(module, "ec2")
        self.ssm = Api(module, "ssm")

    def publish(self):
        p = self.module.params
        image = self._image()
        parameter, kept = p["parameter"], p["parameter"] + "-previous"
        tags = {
            "Name": parameter,
            "stackyard:environment": p["environment"],
            "stackyard:application": p["application"],
            "stackyard:keep": "true",
        }
        current, previous = self._value(parameter), self._value(kept)
        self._tag_image(image, p["environment"])
        if current not in (None, p["image_id"]):
            # First what is kept: cut off between the two, the next run finds both as they were.
            self._put(kept, previous, current, f"The image of {p['application']} before the current one")
            previous = current
        self._put(parameter, current, p["image_id"], f"The current image of {p['application']}")
        for name, value in ((parameter, current), (kept, previous)):
            if value is not None or name == parameter:
                self._tag_parameter(name, {**tags, "Name": name})
        return {**self.plan.result(), "image_id": p["image_id"], "previous_image_id": previous or ""}

    def _image(self):
        p = self.module.params
        answer = found_or_none(self.ec2.describe_images, MISSING_IMAGE, ImageIds=[p["image_id"]])
        if not answer or not answer["Images"]:
            self.module.fail_json(msg=f"image_id is {p['image_id']}, and there is no such image in this region.")
        image = answer["Images"][0]
        if image["State"] != "available":
            self.module.fail_json(msg=f"image_id is {p['image_id']}, an image that is {image['State']}, not available.")
        if boto3_tag_list_to_ansible_dict(image.get("Tags", [])).get("stackyard:application") != p["application"]:
            self.module.fail_json(
                msg=f"image_id is {p['image_id']}, an image without the tag stackyard:application={p['application']}: "
                "only one that was baked for it can be published."
            )
        return image

    def _value(self, name):
        answer = found_or_none(self.ssm.get_parameter, ["ParameterNotFound"], Name=name)
        return answer["Parameter"]["Value"] if answer else None

    def _put(self, name, before, after, description):
        if before == after:
            return
        note = self.plan.create if before is None else lambda *what: self.plan.update(*what[:2], before, what[2])
        if note("parameter", name, after):
            self.ssm.put_parameter(Name=name, Value=after, Type="String", Description=description, Overwrite=True)

    def _tag_parameter(self, name, wanted):
        answer = found_or_none(
            self.ssm.list_tags_for_resource, ["InvalidResourceId"], ResourceType="Parameter", ResourceId=name
        )
        current = boto3_tag_list_to_ansible_dict(answer["TagList"]) if answer else {}
        to_set, _removed = tag_changes(self.plan, "parameter", name, current=current, wanted=wanted, purge=False)
        if to_set:
            self.ssm.add_tags_to_resource(
                ResourceType="Parameter", ResourceId=name, Tags=ansible_dict_to_boto3_tag_list(to_set)
            )

    def _tag_image(self, image, environment):
        current = boto3_tag_list_to_ansible_dict(image.get("Tags", []))
        wanted = {"stackyard:environment": environment}
        to_set, _removed = tag_changes(
            self.plan, "image", image["ImageId"], current=current, wanted=wanted, purge=False
        )
        if to_set:
            snapshots = [
                mapping["Ebs"]["SnapshotId"]
                for mapping in image.get("BlockDeviceMappings", [])
                if mapping.get("Ebs", {}).get("SnapshotId")
            ]
            self.ec2.create_tags(Resources=[image["ImageId"], *snapshots], Tags=ansible_dict_to_boto3_tag_list(to_set))


def main():
    module = AnsibleAWSModule(
        argument_spec={
            "application": {"type": "str", "required": True},
            "environment": {"type": "str", "required": True},
            "image_id": {"type": "str", "required": True},
            "parameter": {"type": "str", "required": True},
        },
        supports_check_mode=True,
    )
    run(module, lambda: Publication(module).publish())


if __name__ == "__main__":
    main()
