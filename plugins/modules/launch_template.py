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
  - Creates an EC2 launch template, adds a version when none is as asked for, and deletes it.
  - The default version is the one that was asked for last. An earlier one that is the same is taken again, so that what
    is undone leads back to the version from before.
  - IMDSv2 is required, the root volume is encrypted, and there is neither a key pair nor, unless asked for, a public
    address.
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
  version:
    description: An earlier version to return to, in place of all that describes one.
    type: str
  image_id:
    description: The image. Required when O(state=present), unless O(version) is given.
    type: str
  instance_type:
    description: The instance type. Required when O(state=present), unless O(version) is given.
    type: str
  user_data:
    description: User data as plain text, at most 16384 bytes. It can be read in the API, so no secrets.
    type: str
  instance_profile:
    description: Name of the instance profile.
    type: str
  security_group_ids:
    description:
      - The security groups of the machine's interface. Required when O(state=present), unless O(version) is given.
    type: list
    elements: str
  public_address:
    description: Whether AWS assigns a public IPv4 address to each machine, whatever the subnet says.
    type: bool
    default: false
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

- name: Return to what it was
  stackyard.aws.launch_template:
    name: demo-wordpress
    version: "3"
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
  description: Number of the version that is as asked for, in check mode of the one that would be created.
  returned: when O(state=present)
  type: str
  sample: "3"
image_id:
  description: The image of that version.
  returned: when O(state=present)
  type: str
  sample: ami-0123456789abcdef0
"""

import base64

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
    "version": {},
    "image_id": {},
    "instance_type": {},
    "user_data": {},
    "instance_profile": {},
    "security_group_ids": {"type": "list", "elements": "str"},
    "public_address": {"type": "bool", "default": False},
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
    """One launch template, of which the default version counts: the one that was asked for last."""

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
        """Create the template, or a version of it when none is as asked for."""
        if self.params["version"]:
            return self._return()
        wanted = self._data()
        if self.found is None:
            template_id, version = placeholder("lt"), 1
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
        return self._result(template_id, version, self.params["image_id"])

    def _return(self):
        """Make an earlier version the one that was asked for last."""
        number = self.params["version"]
        known = {str(version["VersionNumber"]): version for version in (self._versions() if self.found else [])}
        if number not in known:
            self.module.fail_json(
                msg=f"version is {number}: a version of {KIND} {self.name} is accepted "
                f"({', '.join(sorted(known, key=int)) or 'there is no such template'})."
            )
        before = self._data_of(str(self.found["DefaultVersionNumber"]))
        self._take(int(number), before, known[number]["LaunchTemplateData"])
        image = known[number]["LaunchTemplateData"].get("ImageId", "")
        return self._result(self.found["LaunchTemplateId"], number, image)

    def _result(self, template_id, version, image_id):
        return {
            **self.plan.result(),
            "launch_template_id": template_id,
            "version": str(version),
            "image_id": image_id,
        }

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
            # Only an interface of the template can say whether there is a public address, whatever the subnet gives.
            "NetworkInterfaces": [
                {
                    "DeviceIndex": 0,
                    "AssociatePublicIpAddress": self.params["public_address"],
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

    def _versions(self):
        return self.ec2.pages(
            "describe_launch_template_versions",
            "LaunchTemplateVersions",
            LaunchTemplateId=self.found["LaunchTemplateId"],
        )

    def _data_of(self, version):
        answer = self.ec2.describe_launch_template_versions(
            LaunchTemplateId=self.found["LaunchTemplateId"], Versions=[version]
        )
        return answer["LaunchTemplateVersions"][0]["LaunchTemplateData"]

    def _version(self, wanted):
        """Return the number of the version that is as wanted, the newest if there are several; add one if none is."""
        number = self.found["DefaultVersionNumber"]
        current = self._comparable(self._data_of(str(number)), wanted)
        if current == wanted:
            return number
        for version in sorted(self._versions(), key=lambda version: -version["VersionNumber"]):
            if self._comparable(version["LaunchTemplateData"], wanted) == wanted:
                number = version["VersionNumber"]
                break
        else:
            number = None
        return self._take(number, current, wanted)

    def _take(self, number, before, wanted):
        """Make a version the default, one that is still to be added when it has no number; return its number."""
        if number == self.found["DefaultVersionNumber"]:
            return number
        changed = sorted(key for key in {*before, *wanted} if before.get(key) != wanted.get(key))
        shown_before, shown_after = self._shown(before), self._shown(wanted)
        now = self.plan.update(
            KIND,
            self.name,
            {key: shown_before[key] for key in changed if key in shown_before},
            {key: shown_after[key] for key in changed if key in shown_after},
        )
        template_id = self.found["LaunchTemplateId"]
        if number is None and now:
            answer = self.ec2.create_launch_template_version(LaunchTemplateId=template_id, LaunchTemplateData=wanted)
            number = answer["LaunchTemplateVersion"]["VersionNumber"]
        if now:
            self.ec2.modify_launch_template(LaunchTemplateId=template_id, DefaultVersion=str(number))
        return self.found["LatestVersionNumber"] + 1 if number is None else number

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
        mutually_exclusive=[("version", "image_id")],
        required_if=[("state", "present", ["version", "image_id"], True)],
        required_by={"image_id": ["instance_type", "security_group_ids"]},
        supports_check_mode=True,
    )
    user_data = module.params["user_data"]
    if user_data and len(user_data.encode()) > USER_DATA_LIMIT:
        module.fail_json(
            msg=f"user_data is {len(user_data.encode())} bytes long; EC2 takes at most {USER_DATA_LIMIT} bytes."
        )
    if module.params["image_id"] and not module.params["security_group_ids"]:
        module.fail_json(msg="security_group_ids is empty: give at least one security group.")
    run(module, LaunchTemplate(module).work)


if __name__ == "__main__":
    main()
