# Copyright: stackyard contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Some keys of a mapping."""

from __future__ import annotations

DOCUMENTATION = r"""
name: pick
short_description: Keep some keys of a mapping
version_added: 0.1.0
description: Returns a mapping with the named keys only; a key that is not there is left out.
positional: keys
options:
  _input:
    description: A mapping.
    type: dict
    required: true
  keys:
    description: The keys to keep.
    type: list
    elements: str
    required: true
author: stackyard contributors
"""

EXAMPLES = r"""
result: "{{ {'name': 'a', 'arn': 'b', 'changed': true} | stackyard.aws.pick(['name', 'arn']) }}"
"""

RETURN = r"""
_value:
  description: The smaller mapping.
  type: dict
"""


def pick(mapping: dict, keys: list) -> dict:
    """Return the named keys of a mapping, in the order named."""
    return {key: mapping[key] for key in keys if key in mapping}


class FilterModule:
    """The filter."""

    def filters(self):
        return {"pick": pick}
