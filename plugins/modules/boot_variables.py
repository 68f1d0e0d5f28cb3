#!/usr/bin/python
# Copyright: stackyard contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: boot_variables
version_added: 0.1.0
short_description: Read what a machine is made of, its boot document, and the secrets that this names
description:
  - Runs on a machine that a fleet launched. Reads the boot document, a JSON file that holds the role variables of
    this machine and, for those that are secret, the names of secrets in AWS Secrets Manager.
  - Below them are the role variables that the machine's image was made with, from the image's record: what the document
    gives wins.
  - Fetches each secret once, with the credentials of the instance's own role, and returns every variable with its
    value.
  - Changes nothing, in check mode or without.
  - B(The result holds secrets.) Always set C(no_log=true) on the task; a failure's message never holds one, so that it
    may be shown from a C(rescue) section.
options:
  path:
    description: The boot document.
    type: path
    default: /etc/stackyard/boot.json
  image_path:
    description: The image's record, which the build has left in the image. A machine without one has no such variables.
    type: path
    default: /etc/stackyard/image.json
  timeout:
    description:
      - Seconds to wait, in all, for credentials and for Secrets Manager to become reachable.
      - A machine's network, its role's credentials and the endpoints may come up seconds after its first unit starts.
    type: int
    default: 60
notes:
  - Needs C(secretsmanager:GetSecretValue) on the named secrets, and C(kms:Decrypt) on their key where it is one of your
    own.
  - Region comes from the document, credentials from the instance's role, and another endpoint, if any, from the
    environment variable E(AWS_ENDPOINT_URL), as the AWS SDKs have it.
requirements:
  - boto3
attributes:
  check_mode:
    description: Can run in check mode and returns the same.
    support: full
author:
  - stackyard contributors (@stackyard)
"""

EXAMPLES = r"""
- name: Read the boot document and the secrets that it names
  stackyard.aws.boot_variables:
  register: __configure_boot
  no_log: true

- name: Take them as role variables
  ansible.builtin.set_fact:
  args: "{{ __configure_boot.variables }}"
  no_log: true
"""

RETURN = r"""
application:
  description: Role that the machine runs.
  returned: success
  type: str
  sample: wordpress
environment:
  description: Environment that the machine belongs to.
  returned: success
  type: str
  sample: demo
region:
  description: AWS region.
  returned: success
  type: str
  sample: us-east-1
group:
  description: Name of the Auto Scaling group; empty for a machine that belongs to none.
  returned: success
  type: str
  sample: demo-wordpress
variables:
  description: Every role variable of the image and of the document with its value, secrets included.
  returned: success
  type: dict
  sample: {"wordpress_site_url": "https://www.example.com", "wordpress_database_password": "..."}
"""

import contextlib
import json
import time
from typing import Any

with contextlib.suppress(ImportError):  # reported by main()
    import boto3
    import botocore.config
    import botocore.exceptions

from ansible.module_utils.basic import AnsibleModule, missing_required_lib
from ansible_collections.stackyard.aws.plugins.module_utils import boot_document, image_record

PAUSE = 1.0


class SecretError(Exception):
    """A secret cannot be had; the text says why in a sentence and never holds a value."""


class Secrets:
    """Reads secrets by name, each once.

    Args:
        region: AWS region.
        timeout: Seconds, over all secrets, until what may mend itself is given up.
    """

    def __init__(self, region: str, timeout: float) -> None:
        self._region = region
        self._deadline = time.monotonic() + timeout
        self._values: dict[str, str] = {}
        self._client: Any = None

    def value(self, variable: str, reference: boot_document.SecretReference) -> Any:
        """Return the value of a role variable.

        Raises:
            SecretError: The secret, its key or the right to read it is missing.
        """
        text = self._fetch(variable, reference.secret)
        try:
            parsed = json.loads(text)
        except ValueError:
            parsed = None
        if not reference.key:
            # Only objects are parsed: a password of digits stays the string that it is.
            return parsed if isinstance(parsed, dict) else text
        if not isinstance(parsed, dict):
            raise SecretError(
                f"The secret '{reference.secret}' (for {variable}) is not a JSON object, so it has no key "
                f"'{reference.key}'."
            )
        if reference.key not in parsed:
            raise SecretError(
                f"The secret '{reference.secret}' (for {variable}) has no key '{reference.key}'; "
                f"it has {', '.join(sorted(parsed)) or 'none'}."
            )
        return parsed[reference.key]

    def _fetch(self, variable: str, name: str) -> str:
        while name not in self._values:
            try:
                reply = self._api().get_secret_value(SecretId=name)
            except botocore.exceptions.ClientError as error:
                raise SecretError(self._explain(variable, name, error)) from None
            except (
                botocore.exceptions.NoCredentialsError,
                botocore.exceptions.ConnectionError,
                botocore.exceptions.HTTPClientError,
            ) as error:
                self._client = None
                if time.monotonic() + PAUSE > self._deadline:
                    raise SecretError(self._explain_unreachable(variable, name, error)) from None
                time.sleep(PAUSE)
            except botocore.exceptions.BotoCoreError as error:
                raise SecretError(f"The secret '{name}' (for {variable}) cannot be read: {error}") from None
            else:
                if "SecretString" not in reply:
                    raise SecretError(f"The secret '{name}' (for {variable}) is binary; store it as text.")
                self._values[name] = reply["SecretString"]
        return self._values[name]

    def _api(self) -> Any:
        if self._client is None:
            # A fresh session each time: one that found no credentials remembers it.
            session = boto3.session.Session(region_name=self._region)
            config = botocore.config.Config(
                connect_timeout=3, read_timeout=10, retries={"mode": "standard", "total_max_attempts": 5}
            )
            self._client = session.client("secretsmanager", config=config)
        return self._client

    def _explain(self, variable: str, name: str, error: Any) -> str:
        code = error.response["Error"].get("Code", "")
        subject = f"The secret '{name}' (for {variable})"
        if code == "ResourceNotFoundException":
            return f"{subject} does not exist in {self._region}."
        if code == "InvalidRequestException":
            return f"{subject} cannot be read, most likely because it is scheduled for deletion: {error}."
        if code in ("AccessDeniedException", "AccessDenied", "DecryptionFailure"):
            return (
                f"{subject} may not be read by this machine's role: allow it secretsmanager:GetSecretValue on the "
                f"secret and kms:Decrypt on its key ({code})."
            )
        return f"{subject} cannot be read: {error}."

    def _explain_unreachable(self, variable: str, name: str, error: Exception) -> str:
        if isinstance(error, botocore.exceptions.NoCredentialsError):
            return (
                f"There are no AWS credentials to read the secret '{name}' (for {variable}) with: "
                "the instance needs an instance profile."
            )
        return (
            f"Secrets Manager in {self._region} cannot be reached for '{name}' (for {variable}); without a NAT gateway "
            f"the network needs an interface endpoint for it: {error}"
        )


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "path": {"type": "path", "default": boot_document.DEFAULT_PATH},
            "image_path": {"type": "path", "default": image_record.DEFAULT_PATH},
            "timeout": {"type": "int", "default": 60},
        },
        supports_check_mode=True,
    )
    if "boto3" not in globals():
        module.fail_json(msg=missing_required_lib("boto3"))
    if module.params["timeout"] < 0:
        module.fail_json(msg=f"timeout is {module.params['timeout']}; accepted is a number of seconds from 0.")

    try:
        document = boot_document.read(module.params["path"])
        baked = image_record.read(module.params["image_path"])
        secrets = Secrets(document.region, module.params["timeout"])
        values = {name: secrets.value(name, reference) for name, reference in document.secrets.items()}
    except (boot_document.BootDocumentError, image_record.ImageRecordError, SecretError) as error:
        module.fail_json(msg=str(error))

    module.exit_json(
        changed=False,
        application=document.application,
        environment=document.environment,
        region=document.region,
        group=document.group,
        variables={**baked, **document.variables, **values},
    )


if __name__ == "__main__":
    main()
