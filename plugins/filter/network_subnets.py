# Copyright: stackyard contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Subnets of a VPC as data."""

from __future__ import annotations

from ansible_collections.stackyard.aws.plugins.module_utils.network_plan import subnets

DOCUMENTATION = r"""
name: network_subnets
short_description: Share out a VPC's addresses
version_added: 0.1.0
description:
  - The VPC is cut into quarters (public, private, data, and one kept free), each quarter into four, one for each zone
    in the
    order given. A third zone can so be added later without moving anything.
positional: zones
options:
  _input:
    description: The VPC's addresses.
    type: str
    required: true
  zones:
    description: The availability zones.
    type: list
    elements: str
    required: true
author: stackyard contributors
"""

EXAMPLES = r"""
# 10.42.0.0/20 and 10.42.16.0/20 are public, 10.42.64.0/20 and 10.42.80.0/20 private, 10.42.128.0/20 and
# 10.42.144.0/20 data
subnets: "{{ '10.42.0.0/16' | stackyard.aws.network_subnets(['us-east-1a', 'us-east-1b']) }}"
"""

RETURN = r"""
_value:
  description: Subnets as mappings of name, tier, zone and cidr.
  type: list
  elements: dict
"""


class FilterModule:
    """The filter."""

    def filters(self):
        return {"network_subnets": subnets}
