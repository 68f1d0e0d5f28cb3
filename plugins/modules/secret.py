#!/usr/bin/python
# Copyright: stackyard contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

DOCUMENTATION = r"""
module: secret
short_description: Keep a secret whose random fields are made once and never leave the module
version_added: 0.1.0
description:
  - Makes a secret in Secrets Manager whose value is a JSON object of fields. A random field is made inside the
    module, in the
    process that calls AWS, so that it never is an argument, a variable or a result of Ansible, at no verbosity.
  - A field that is there keeps its value; missing fields are added; fixed fields are brought to what is asked.
  - A name that is still in its deletion window is restored, with the values it had, since AWS refuses to make it anew.
  - M(community.aws.secretsmanager_secret) takes the value as an argument, so that it has to be made in a variable
    first.
author: stackyard contributors
options:
  name:
    description: Name of the secret, as in V(stackyard/demo/wordpress/database).
    type: str
    required: true
  description:
    description: What the secret is for.
    type: str
    default: ""
  fields:
    description:
      - Fields by name. Each is a mapping of one of C(value), a fixed string that is no secret, C(random), the length
        of a random string of letters and digits, from 16 to 128, and C(ssh_key), the kind of a private SSH key, which
        is V(ed25519).
      - C(special) gives further characters that a random field may hold.
    type: dict
    default: {}
  kms_key_id:
    description: Key to encrypt with; the account's key for Secrets Manager when left out.
    type: str
  tags:
    description: Tags.
    type: dict
    default: {}
  recovery_days:
    description: With O(state=absent), days (7 to 30) in which the secret can be restored; V(0) removes it at once and
      for good.
    type: int
    default: 7
  state:
    description: Present or absent.
    type: str
    choices: [present, absent]
    default: present
requirements:
  - cryptography, for C(ssh_key)
extends_documentation_fragment:
  - amazon.aws.common.modules
  - amazon.aws.region.modules
  - amazon.aws.boto3
attributes:
  check_mode:
    description: Announces exactly what a run would change.
    support: full
  diff_mode:
    description: Shows the names of fields, never a value.
    support: full
"""

EXAMPLES = r"""
- name: Keep the account of the database
  stackyard.aws.secret:
    name: stackyard/demo/wordpress/database
    description: Master account of the database
    fields:
      username: {value: wordpress}
      password: {random: 32}
    tags:
      stackyard:environment: demo
      stackyard:application: wordpress
"""

RETURN = r"""
name:
  description: Name of the secret.
  type: str
  returned: always
arn:
  description: Its ARN; empty while it is only announced.
  type: str
  returned: when state is present
public_keys:
  description: The public halves of its SSH keys by field, as in C(authorized_keys); empty while only announced.
  type: dict
  returned: when state is present
changes:
  description: What was changed, or would be; names only.
  type: list
  elements: dict
  returned: always
"""

import contextlib
import json
import secrets
import string
import traceback

with contextlib.suppress(ImportError):  # AnsibleAWSModule says so in a sentence
    from botocore.exceptions import BotoCoreError, ClientError

CRYPTOGRAPHY_ERROR = None
try:
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
except ImportError:
    CRYPTOGRAPHY_ERROR = traceback.format_exc()

from ansible.module_utils.basic import missing_required_lib
from ansible_collections.amazon.aws.plugins.module_utils.modules import AnsibleAWSModule
from ansible_collections.amazon.aws.plugins.module_utils.tagging import (
    ansible_dict_to_boto3_tag_list,
    boto3_tag_list_to_ansible_dict,
)
from ansible_collections.stackyard.aws.plugins.module_utils.plan import Plan, missing_tags

ALPHABET = string.ascii_letters + string.digits


def random_text(length, special):
    """Return a random string that holds a small letter, a capital and a digit, since some services ask for all "
    "three."""
    alphabet = ALPHABET + special
    while True:
        text = "".join(secrets.choice(alphabet) for _unused in range(length))
        if any(c.islower() for c in text) and any(c.isupper() for c in text) and any(c.isdigit() for c in text):
            return text


def ssh_private_key():
    """Return a new private key in OpenSSH's form."""
    return (
        Ed25519PrivateKey.generate()
        .private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.OpenSSH, serialization.NoEncryption())
        .decode()
    )


def ssh_public_key(private):
    """Return the public half of a private key as in authorized_keys."""
    key = serialization.load_ssh_private_key(private.encode(), password=None)
    return key.public_key().public_bytes(serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH).decode()


def check_fields(fields):
    """Return a sentence on the first field that is not understood, or None."""
    for name, field in fields.items():
        accepted = (
            "it takes one of 'value' (a string), 'random' (a length from 16 to 128, with an optional 'special') and "
            "'ssh_key' (ed25519)"
        )
        if not isinstance(field, dict) or set(field) - {"value", "random", "special", "ssh_key"}:
            return f"fields.{name} is not understood: {accepted}."
        if len({"value", "random", "ssh_key"} & set(field)) != 1:
            return f"fields.{name} must have one of 'value', 'random' and 'ssh_key': {accepted}."
        if "ssh_key" in field and field["ssh_key"] != "ed25519":
            return f"fields.{name}.ssh_key is {field['ssh_key']}: ed25519 is accepted."
        if "random" in field and not (str(field["random"]).isdigit() and 16 <= int(field["random"]) <= 128):
            return f"fields.{name}.random is {field['random']}: a length from 16 to 128 is accepted."
    return None


def next_value(current, fields):
    """Return the fields as they are to be, with the names of those that are new or altered."""
    value, touched = dict(current), []
    for name, field in fields.items():
        if "random" in field:
            if not value.get(name):
                value[name] = random_text(int(field["random"]), field.get("special", ""))
                touched.append(name)
        elif "ssh_key" in field:
            if not value.get(name):
                value[name] = ssh_private_key()
                touched.append(name)
        elif value.get(name) != str(field["value"]):
            value[name] = str(field["value"])
            touched.append(name)
    return value, touched


class Secret:
    """One secret in Secrets Manager."""

    def __init__(self, client, plan, params):
        self.client = client
        self.plan = plan
        self.params = params
        self.name = params["name"]
        self.keys = [name for name, field in params["fields"].items() if "ssh_key" in field]
        self.public_keys = dict.fromkeys(self.keys, "")

    def describe(self):
        try:
            return self.client.describe_secret(SecretId=self.name)
        except ClientError as error:
            if error.response["Error"]["Code"] == "ResourceNotFoundException":
                return None
            raise

    def value(self):
        try:
            text = self.client.get_secret_value(SecretId=self.name)["SecretString"]
        except ClientError as error:
            # Made, but cut off before it had a value.
            if error.response["Error"]["Code"] == "ResourceNotFoundException":
                return {}
            raise
        return json.loads(text)

    def present(self):
        p = self.params
        found = self.describe()
        if found is None:
            value, touched = next_value({}, p["fields"])
            if not self.plan.create("secret", self.name, {"fields": sorted(touched)}):
                return ""
            self.know_public_keys(value)
            options = {"KmsKeyId": p["kms_key_id"]} if p["kms_key_id"] else {}
            # botocore adds a client token: a repeated request makes one version.
            return self.client.create_secret(
                Name=self.name,
                Description=p["description"],
                SecretString=json.dumps(value),
                Tags=ansible_dict_to_boto3_tag_list({**p["tags"], "Name": self.name}),
                **options,
            )["ARN"]
        if found.get("DeletedDate"):
            state = {"deletion": str(found["DeletedDate"])}
            if not self.plan.update("secret", self.name, state, {"deletion": None}):
                # Its value cannot be read before it is restored, and it is then what it was.
                return found["ARN"]
            self.client.restore_secret(SecretId=self.name)
        value, touched = next_value(self.value(), p["fields"])
        if not touched or self.plan.update("secret", self.name, None, {"fields": sorted(touched)}):
            self.know_public_keys(value)
            if touched:
                self.client.put_secret_value(SecretId=self.name, SecretString=json.dumps(value))
        if p["description"] != found.get("Description", "") and self.plan.update(
            "secret-description", self.name, found.get("Description", ""), p["description"]
        ):
            self.client.update_secret(SecretId=self.name, Description=p["description"])
        add = missing_tags(boto3_tag_list_to_ansible_dict(found.get("Tags", [])), {**p["tags"], "Name": self.name})
        if add and self.plan.update("secret-tags", self.name, None, add):
            self.client.tag_resource(SecretId=self.name, Tags=ansible_dict_to_boto3_tag_list(add))
        return found["ARN"]

    def know_public_keys(self, value):
        """Take the public halves of the keys that the secret holds, or is about to."""
        self.public_keys = {name: ssh_public_key(value[name]) for name in self.keys}

    def absent(self):
        found = self.describe()
        days = self.params["recovery_days"]
        if found is None or (found.get("DeletedDate") and days):
            return
        if not self.plan.delete("secret", self.name, {"recovery_days": days}):
            return
        if days:
            self.client.delete_secret(SecretId=self.name, RecoveryWindowInDays=days)
            return
        if found.get("DeletedDate"):
            # AWS refuses to shorten a window that has begun.
            self.client.restore_secret(SecretId=self.name)
        self.client.delete_secret(SecretId=self.name, ForceDeleteWithoutRecovery=True)


def main():
    module = AnsibleAWSModule(
        argument_spec={
            "name": {"type": "str", "required": True},
            "description": {"type": "str", "default": ""},
            "fields": {"type": "dict", "default": {}},
            "kms_key_id": {"type": "str", "no_log": False},
            "tags": {"type": "dict", "default": {}},
            "recovery_days": {"type": "int", "default": 7},
            "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
        },
        supports_check_mode=True,
    )
    p = module.params
    plan = Plan(module.check_mode)
    problem = check_fields(p["fields"])
    if problem:
        module.fail_json(msg=problem)
    if p["recovery_days"] != 0 and not 7 <= p["recovery_days"] <= 30:
        module.fail_json(
            msg=f"recovery_days is {p['recovery_days']}: 0, or a number of days from 7 to 30, is accepted."
        )
    secret = Secret(module.client("secretsmanager"), plan, p)
    if secret.keys and CRYPTOGRAPHY_ERROR:
        module.fail_json(msg=missing_required_lib("cryptography"), exception=CRYPTOGRAPHY_ERROR)
    result = {"name": p["name"]}
    try:
        if p["state"] == "present":
            result["arn"] = secret.present()
            result["public_keys"] = secret.public_keys
        else:
            secret.absent()
    except (BotoCoreError, ClientError) as error:
        module.fail_json_aws(error, msg=f"The secret {p['name']} could not be brought in order")
    except ValueError:
        # Nothing of the value may show in the message.
        module.fail_json(
            msg=f"The secret {p['name']} is there, but its value is no JSON object, or a key in it is none: it is not "
            "one of ours."
        )
    module.exit_json(**result, **plan.result())


if __name__ == "__main__":
    main()
