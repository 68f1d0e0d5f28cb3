# Copyright: stackyard contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Tags as the filters that Describe operations take."""

from __future__ import annotations

DOCUMENTATION = r"""
name: tag_filters
short_description: Turn tags into the filters of a Describe operation
version_added: 0.1.0
description: Puts C(tag:) before each key.
options:
  _input:
    description: Tags.
    type: dict
    required: true
author: stackyard contributors
"""

EXAMPLES = r"""
filters: "{{ {'stackyard:environment': 'demo'} | stackyard.aws.tag_filters }}"
"""

RETURN = r"""
_value:
  description: Filters.
  type: dict
"""


def tag_filters(tags: dict) -> dict:
    """Return filters that match what carries all the tags."""
    return {f"tag:{key}": value for key, value in tags.items()}


class FilterModule:
    """The filter."""

    def filters(self):
        return {"tag_filters": tag_filters}
