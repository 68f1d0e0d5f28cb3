# Copyright: stackyard contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What is wrong with the variables of a network."""

from __future__ import annotations

from ansible_collections.stackyard.aws.plugins.module_utils.network_plan import network_problems

DOCUMENTATION = r"""
name: network_problems
short_description: Say what is wrong with the variables of a network
version_added: 0.1.0
description:
  - Returns one sentence for each thing that is wrong, each naming the variable and what is accepted; an empty list
    when all is well.
positional: prefix
options:
  _input:
    description: The variables of the role C(network) without their prefix.
    type: dict
    required: true
  prefix:
    description: What the variables begin with, for the sentences.
    type: str
    default: network_
author: stackyard contributors
"""

EXAMPLES = r"""
problems: "{{ {'cidr': '10.42.0.0/8', 'zones': ['us-east-1a'], 'nat': 'one', 'interface_endpoints': []} |
  stackyard.aws.network_problems }}"
"""

RETURN = r"""
_value:
  description: The sentences.
  type: list
  elements: str
"""


class FilterModule:
    """The filter."""

    def filters(self):
        return {"network_problems": network_problems}
