# Copyright: stackyard contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Tell where further configuration of Jenkins overrides the role's own."""

from __future__ import annotations

DOCUMENTATION = r"""
name: jenkins_casc_conflicts
short_description: Tell where further configuration of Jenkins overrides the role's own
version_added: 0.1.0
description: Returns where C(configuration) sets what the role's other variables set.
options:
  _input:
    description: The role's values, as P(stackyard.aws.jenkins_casc#filter) takes them.
    type: dict
    required: true
author: stackyard contributors
"""

EXAMPLES = r"""
paths: "{{ {'url': 'https://x/', 'configuration': {'tool': {'git': {}}}} | stackyard.aws.jenkins_casc_conflicts }}"
"""

RETURN = r"""
_value:
  description: Places such as C(jenkins.numExecutors).
  type: list
  elements: str
"""

from ansible_collections.stackyard.aws.plugins.module_utils.jenkins_configuration import overridden


class FilterModule:
    """The filter."""

    def filters(self):
        return {"jenkins_casc_conflicts": overridden}
