#!/usr/bin/python
# Copyright: stackyard contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

DOCUMENTATION = r"""
module: image_info
short_description: Tell which image of an application is current
version_added: 0.1.0
description:
  - Resolves an id, or else a parameter of Systems Manager, to an image that exists, is available, and carries the
    application's tag. Otherwise fails with a sentence that says what to do.
author: stackyard contributors
options:
  application:
    description: Application that the image must have been baked for, by its tag C(stackyard:application).
    type: str
    required: true
  image_id:
    description: Id of the image.
    type: str
  parameter:
    description: Parameter that holds the id when O(image_id) is not given.
    type: str
    required: true
  variable:
    description: What the operator calls O(image_id), for the error's sentence.
    type: str
    default: image_id
extends_documentation_fragment:
  - amazon.aws.common.modules
  - amazon.aws.region.modules
  - amazon.aws.boto3
attributes:
  check_mode:
    description: Changes nothing.
    support: full
"""

EXAMPLES = r"""
- name: Tell the current image
  stackyard.aws.image_info:
    application: wordpress
    parameter: /stackyard/demo/wordpress/image
"""

RETURN = r"""
id:
  description: Id of the image.
  type: str
  returned: success
name:
  description: Name of the image.
  type: str
  returned: success
tags:
  description: Tags of the image.
  type: dict
  returned: success
"""

from ansible_collections.amazon.aws.plugins.module_utils.modules import AnsibleAWSModule
from ansible_collections.amazon.aws.plugins.module_utils.tagging import boto3_tag_list_to_ansible_dict
from ansible_collections.stackyard.aws.plugins.module_utils.aws import Api, found_or_none, run
from ansible_collections.stackyard.aws.plugins.module_utils.plan import placeholder


def resolve(module):
    p = module.params
    application = p["application"]
    bake = f"bake one: packer build -var-file=packer/{application}.pkrvars.hcl packer/"
    identifier = p["image_id"]
    source = f"{p['variable']} is {identifier}"
    if not identifier:
        answer = found_or_none(Api(module, "ssm").get_parameter, ["ParameterNotFound"], Name=p["parameter"])
        if not answer and module.check_mode:
            # What else would be made is worth knowing before the first bake.
            module.warn(f"There is no image of {application} yet: before a real run, {bake}.")
            return {"changed": False, "id": placeholder("ami"), "name": "", "tags": {}}
        if not answer:
            module.fail_json(
                msg=f"There is no image of {application} yet (no parameter {p['parameter']}): "
                f"{bake}, or set {p['variable']}."
            )
        identifier = answer["Parameter"]["Value"]
        source = f"The parameter {p['parameter']} holds {identifier}"
    answer = found_or_none(
        Api(module, "ec2").describe_images,
        ["InvalidAMIID.NotFound", "InvalidAMIID.Malformed", "InvalidAMIID.Unavailable"],
        ImageIds=[identifier],
    )
    images = answer["Images"] if answer else []
    if not images:
        module.fail_json(msg=f"{source}, and there is no such image in this region: name one that exists, or {bake}.")
    image = images[0]
    if image["State"] != "available":
        module.fail_json(msg=f"{source}, and that image is {image['State']}: name one that is available, or {bake}.")
    tags = boto3_tag_list_to_ansible_dict(image.get("Tags", []))
    if tags.get("stackyard:application") != application:
        module.fail_json(
            msg=f"{source}, and that image does not carry the tag stackyard:application={application}: "
            f"an image baked for it is accepted; {bake}."
        )
    return {"changed": False, "id": identifier, "name": image.get("Name", ""), "tags": tags}


def main():
    module = AnsibleAWSModule(
        argument_spec={
            "application": {"type": "str", "required": True},
            "image_id": {"type": "str"},
            "parameter": {"type": "str", "required": True},
            "variable": {"type": "str", "default": "image_id"},
        },
        supports_check_mode=True,
    )
    run(module, lambda: resolve(module))


if __name__ == "__main__":
    main()
