# Copyright: stackyard contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Jenkins' configuration as code, from the variables of the role."""

from __future__ import annotations

DOCUMENTATION = r"""
name: jenkins_casc
short_description: Make Jenkins' configuration as code of the role's variables
version_added: 0.1.0
description:
  - Returns the configuration as the plug-in configuration-as-code reads it. Secrets are named in it and never part of
    it.
  - Texts arrive in Jenkins as they were given, also where they look like the name of a secret; those of
    C(security_realm), C(tools) and C(configuration) are in the words of Configuration as Code and left as they are.
options:
  _input:
    description:
      - The role's values, by the names of its variables without C(jenkins_); and C(users), the names of Jenkins' own
        users.
    type: dict
    required: true
author: stackyard contributors
"""

EXAMPLES = r"""
configuration: "{{ {'url': 'https://jenkins.example.org/', 'users': ['admin']} | stackyard.aws.jenkins_casc }}"
"""

RETURN = r"""
_value:
  description: The configuration, a mapping of its root elements.
  type: dict
"""

from ansible_collections.stackyard.aws.plugins.module_utils.jenkins_configuration import configuration


class FilterModule:
    """The filter."""

    def filters(self):
        return {"jenkins_casc": configuration}
