# Copyright: stackyard contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Tell where a configuration holds a secret in the clear."""

from __future__ import annotations

DOCUMENTATION = r"""
name: secrets_in_the_clear
short_description: Tell where a configuration holds a secret in the clear
version_added: 0.1.0
description: Returns where a text stands under a name for secrets, such as C(password), and is not the name of a secret.
options:
  _input:
    description: A configuration of Jenkins as code.
    type: dict
    required: true
author: stackyard contributors
"""

EXAMPLES = r"""
paths: "{{ {'a': {'bindPassword': 'x'}} | stackyard.aws.secrets_in_the_clear }}"
"""

RETURN = r"""
_value:
  description: Places such as C(a.bindPassword).
  type: list
  elements: str
"""

from ansible_collections.stackyard.aws.plugins.module_utils.jenkins_configuration import secrets_in_the_clear


class FilterModule:
    """The filter."""

    def filters(self):
        return {"secrets_in_the_clear": secrets_in_the_clear}
