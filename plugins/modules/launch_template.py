#!/usr/bin/python
# Copyright: stackyard contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
---
module: launch_template
version_added: 0.1.0
short_description: Manage the launch template of a fleet, with safe settings built in
description:
  - Creates an EC2 launch template, adds a version when something differs from the newest one, and deletes it.
  - IMDSv2 is required, the root volume is encrypted, and there is neither a key pair nor a public address.
  - M(amazon.aws.ec2_launch_template) tells no version in check mode, merges each version with the one before so that a
    setting cannot be taken out again, and compares with an answer of AWS that holds more than was asked for.
author:
  - stackyard contributors (@stackyard)
options:
  name:
    description: Name of the template.
    type: str
    required: true
  state:
    description: Whether the template exists. V(absent) deletes all its versions.
    type: str
    choices: [present, absent]
    default: present
  image_id:
    description: The image. Required when O(state=present).
    type: str
  instance_type:
    description: The instance type. Required when O(state=present).
    type: str
  user_data:
    description: User data as plain text, at most 16384 bytes. It can be read in the API, so no secrets.
    type: str
  instance_profile:
    description: Name of the instance profile.
    type: str
  security_group_ids:
    description: The security groups of the machine's interface. Required when O(state=present).
    type: list
    elements: str
  metadata_hop_limit:
    description: Through how many network hops metadata is answered. With 1 no container of a bridge reaches it.
    type: int
    default: 1
  detailed_monitoring:
    description: Whether EC2 publishes metrics each minute, at a price, rather than every five.
    type: bool
    default: false
  volume_device:
    description: Device name of the root volume. That of the image when not given.
    type: str
  volume_size:
    description: Size of the root volume in GiB. That of the image when not given.
    type: int
  volume_iops:
    description: Operations per second of the gp3 volume, 3000 to 16000. AWS's base of 3000 when not given.
    type: int
  volume_throughput:
    description: Throughput of the gp3 volume in MiB/s, 125 to 1000. AWS's base of 125 when not given.
    type: int
  volume_kms_key_id:
    description: The key that the volume is encrypted with. The account's default key for EBS when not given.
    type: str
  tags:
    description: Tags of the template, and of the machines, volumes and interfaces that are launched from it.
    type: dict
    aliases: [resource_tags]
  purge_tags:
    description: Whether tags of the template that are not in O(tags) are removed.
    type: bool
    default: true
extends_documentation_fragment:
  - stackyard.aws.stack
  - amazon.aws.common.modules
  - amazon.aws.region.modules
  - amazon.aws.boto3
"""

EXAMPLES = r"""
- name: Create the template, or a new version if something differs
  stackyard.aws.launch_template:
    name: demo-wordpress
    image_id: ami-0123456789abcdef0
    instance_type: t3.small
    security_group_ids: [sg-0123456789abcdef0]
    volume_size: 16
    tags:
      stackyard:environment: demo
  register: template
"""

RETURN = r"""
changes:
  description: What was changed, or would be in check mode.
  returned: success
  type: list
  elements: dict
  sample: [{action: create, type: launch template, name: demo-wordpress}]
launch_template_id:
  description: Id of the template. C(lt-00000000000000000) in check mode when it would be created.
  returned: when O(state=present)
  type: str
  sample: lt-0123456789abcdef0
version:
  description: Number of the newest version, in check mode of the one that would be created.
  returned: when O(state=present)
  type: str
  sample: "3"
"""

import base64
import hashlib
import json

from ansible_collections.amazon.aws.plugins.module_utils.modules import AnsibleAWSModule
from ansible_collections.amazon.aws.plugins.module_utils.tagging import (
    ansible_dict_to_boto3_tag_list,
    boto3_tag_list_to_ansible_dict,
)
from ansible_collections.stackyard.aws.plugins.module_utils.aws import (
    Api,
    found_or_none,
    run,
    tag_changes,
    without_none,
)
from ansible_collections.stackyard.aws.plugins.module_utils.plan import Plan, is_placeholder, placeholder

KIND = "launch template"
USER_DATA_LIMIT = 16384

ARGUMENT_SPEC = {
    "name": {"required": True},
    "state": {"choices": ["present", "absent"], "default": "present"},
    "image_id": {},
    "instance_type": {},
    "user_data": {},
    "instance_profile": {},
    "security_group_ids": {"type": "list", "elements": "str"},
    "metadata_hop_limit": {"type": "int", "default": 1},
    "detailed_monitoring": {"type": "bool", "default": False},
    "volume_device": {},
    "volume_size": {"type": "int"},
    "volume_iops": {"type": "int"},
    "volume_throughput": {"type": "int"},
    "volume_kms_key_id": {"no_log": False},
    "tags": {"type": "dict", "aliases": ["resource_tags"]},
    "purge_tags": {"type": "bool", "default": True},
}


class LaunchTemplate:
    """One launch template, of which the newest version counts."""

    def __init__(self, module):
        self.module = module
        self.params = module.params
        self.name = module.params["name"]
        self.plan = Plan(module.check_mode)
        self.ec2 = Api(module, "ec2")
        self.found = None

    def work(self):
        """Look the template up and bring it to the state asked for."""
        answer = found_or_none(
            self.ec2.describe_launch_templates,
            ["InvalidLaunchTemplateName.NotFoundException"],
            LaunchTemplateNames=[self.name],
        )
        self.found = next(iter((answer or {}).get("LaunchTemplates", [])), None)
        return self.present() if self.params["state"] == "present" else self.absent()

    def present(self):
        """Create the template, or a version of it when something differs."""
        wanted = self._data()
        if self.found is None:
            template_id, version = placeholder("lt"), "1"
            if self.plan.create(KIND, self.name, self._shown(wanted)):
                tags = {"Name": self.name, **(self.params["tags"] or {})}
                answer = self.ec2.create_launch_template(
                    LaunchTemplateName=self.name,
                    LaunchTemplateData=wanted,
                    TagSpecifications=[
                        {"ResourceType": "launch-template", "Tags": ansible_dict_to_boto3_tag_list(tags)}
                    ],
                )
                template_id = answer["LaunchTemplate"]["LaunchTemplateId"]
        else:
            template_id, version = self.found["LaunchTemplateId"], self._version(wanted)
            self._tags(template_id)
        return {**self.plan.result(), "launch_template_id": template_id, "version": version}

    def absent(self):
        """Delete the template with all versions."""
        if self.found and self.plan.delete(KIND, self.name, self.found["LaunchTemplateId"]):
            found_or_none(
                self.ec2.delete_launch_template,
                ["InvalidLaunchTemplateId.NotFound"],
                LaunchTemplateId=self.found["LaunchTemplateId"],
            )
        return self.plan.result()

    def _data(self):
        tags = [{"Key": key, "Value": str(value)} for key, value in sorted((self.params["tags"] or {}).items())]
        tagged = [{"ResourceType": kind, "Tags": tags} for kind in ("instance", "network-interface", "volume")]
        user_data = self.params["user_data"]
        profile = self.params["instance_profile"]
        data = {
            "ImageId": self.params["image_id"],
            "InstanceType": self.params["instance_type"],
            "UserData": base64.b64encode(user_data.encode()).decode() if user_data else None,
            "IamInstanceProfile": {"Name": profile} if profile else None,
            "Monitoring": {"Enabled": self.params["detailed_monitoring"]},
            "MetadataOptions": {
                "HttpEndpoint": "enabled",
                "HttpTokens": "required",
                "HttpPutResponseHopLimit": self.params["metadata_hop_limit"],
                "InstanceMetadataTags": "enabled",
            },
            # Only an interface of the template can say that there is no public address, whatever the subnet gives.
            "NetworkInterfaces": [
                {
                    "DeviceIndex": 0,
                    "AssociatePublicIpAddress": False,
                    "DeleteOnTermination": True,
                    "Groups": sorted(self.params["security_group_ids"]),
                }
            ],
            "BlockDeviceMappings": [
                {
                    "DeviceName": self.params["volume_device"] or self._root_device(),
                    "Ebs": without_none(
                        {
                            "Encrypted": True,
                            "DeleteOnTermination": True,
                            "VolumeType": "gp3",
                            "VolumeSize": self.params["volume_size"],
                            "Iops": self.params["volume_iops"],
                            "Throughput": self.params["volume_throughput"],
                            "KmsKeyId": self.params["volume_kms_key_id"],
                        }
                    ),
                }
            ],
            "TagSpecifications": tagged if tags else None,
        }
        return {key: value for key, value in data.items() if value is not None}

    def _root_device(self):
        image_id = self.params["image_id"]
        if is_placeholder(image_id) and self.module.check_mode:
            return "/dev/xvda"
        answer = found_or_none(
            self.ec2.describe_images,
            ["InvalidAMIID.NotFound", "InvalidAMIID.Malformed", "InvalidAMIID.Unavailable"],
            ImageIds=[image_id],
        )
        images = (answer or {}).get("Images", [])
        if not images:
            self.module.fail_json(
                msg=f"image_id {image_id}: there is no such image in region {self.module.region}, or this account may "
                "not use it. Give the id of an available image."
            )
        return images[0].get("RootDeviceName", "/dev/xvda")

    @staticmethod
    def _shown(data):
        """Return the data as the diff shows it: user data as readable text."""
        shown = dict(data)
        if "UserData" in shown:
            shown["UserData"] = base64.b64decode(shown["UserData"]).decode(errors="replace")
        return shown

    @staticmethod
    def _comparable(found, wanted):
        """Return what was found without what AWS adds to its answer, and in the order of what is wanted."""
        comparable = {key: value for key, value in found.items() if value not in ([], {}, None)}
        # AWS also tells the state of these options, and those left at their default.
        options = comparable.get("MetadataOptions", {})
        comparable["MetadataOptions"] = {key: options.get(key) for key in wanted["MetadataOptions"]}
        if "TagSpecifications" in comparable:
            comparable["TagSpecifications"] = [
                {**item, "Tags": sorted(item["Tags"], key=lambda tag: tag["Key"])}
                for item in sorted(comparable["TagSpecifications"], key=lambda item: item["ResourceType"])
            ]
        comparable["NetworkInterfaces"] = [
            {**item, "Groups": sorted(item.get("Groups", []))} for item in comparable.get("NetworkInterfaces", [])
        ]
        return comparable

    def _version(self, wanted):
        versions = self.ec2.describe_launch_template_versions(
            LaunchTemplateId=self.found["LaunchTemplateId"], Versions=["$Latest"]
        )["LaunchTemplateVersions"]
        latest = versions[0]
        found = self._comparable(latest["LaunchTemplateData"], wanted)
        number = latest["VersionNumber"]
        if found != wanted:
            changed = sorted(key for key in {*found, *wanted} if found.get(key) != wanted.get(key))
            before, after = self._shown(found), self._shown(wanted)
            if self.plan.update(
                KIND,
                self.name,
                {key: before[key] for key in changed if key in before},
                {key: after[key] for key in changed if key in after},
            ):
                # The same token for the same step: a run cut off before the reply adds no second version.
                seed = json.dumps([self.found["LaunchTemplateId"], number, wanted], sort_keys=True)
                answer = self.ec2.create_launch_template_version(
                    LaunchTemplateId=self.found["LaunchTemplateId"],
                    ClientToken=hashlib.sha256(seed.encode()).hexdigest(),
                    LaunchTemplateData=wanted,
                )
                number = answer["LaunchTemplateVersion"]["VersionNumber"]
            else:
                number += 1
        if self.found["DefaultVersionNumber"] != number:
            if found == wanted:
                # Left by a run that was cut off.
                now = self.plan.update(
                    f"default version of {KIND}", self.name, self.found["DefaultVersionNumber"], number
                )
            else:
                now = not self.module.check_mode
            if now:
                self.ec2.modify_launch_template(
                    LaunchTemplateId=self.found["LaunchTemplateId"], DefaultVersion=str(number)
                )
        return str(number)

    def _tags(self, template_id):
        current = boto3_tag_list_to_ansible_dict(self.found.get("Tags", []))
        wanted = None if self.params["tags"] is None else {"Name": self.name, **self.params["tags"]}
        to_set, to_remove = tag_changes(
            self.plan, KIND, self.name, current=current, wanted=wanted, purge=self.params["purge_tags"]
        )
        if to_set:
            self.ec2.create_tags(Resources=[template_id], Tags=ansible_dict_to_boto3_tag_list(to_set))
        if to_remove:
            self.ec2.delete_tags(Resources=[template_id], Tags=[{"Key": key} for key in to_remove])


def main():
    module = AnsibleAWSModule(
        argument_spec=ARGUMENT_SPEC,
        required_if=[("state", "present", ["image_id", "instance_type", "security_group_ids"])],
        supports_check_mode=True,
    )
    user_data = module.params["user_data"]
    if user_data and len(user_data.encode()) > USER_DATA_LIMIT:
        module.fail_json(
            msg=f"user_data is {len(user_data.encode())} bytes long; EC2 takes at most {USER_DATA_LIMIT} bytes."
        )
    if module.params["state"] == "present" and not module.params["security_group_ids"]:
        module.fail_json(msg="security_group_ids is empty: give at least one security group.")
    run(module, LaunchTemplate(module).work)


if __name__ == "__main__":
    main()
