# Copyright: stackyard contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What is wrong with the variables of the role load_balancer."""

from __future__ import annotations

from ansible_collections.stackyard.aws.plugins.module_utils.role_problems import load_balancer_problems

DOCUMENTATION = r"""
name: load_balancer_problems
short_description: Say what is wrong with the variables of the role load_balancer
version_added: 0.1.0
description:
  - Returns one sentence for each thing that is wrong, each naming the variable and what is accepted.
options:
  _input:
    description: The variables of the role without their prefix.
    type: dict
    required: true
author: stackyard contributors
"""

EXAMPLES = r"""
problems: "{{ __load_balancer_arguments | stackyard.aws.load_balancer_problems }}"
"""

RETURN = r"""
_value:
  description: The sentences, none when all is well.
  type: list
  elements: str
"""


class FilterModule:
    """The filter."""

    def filters(self):
        return {"load_balancer_problems": load_balancer_problems}
