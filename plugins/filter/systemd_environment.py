# Copyright: stackyard contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A file of environment variables as systemd reads it."""

from __future__ import annotations

DOCUMENTATION = r"""
name: systemd_environment
short_description: Write environment variables for systemd's EnvironmentFile
version_added: 0.1.0
description: Returns the text of a file in which every value arrives as it is, whatever characters it has.
options:
  _input:
    description: Names and values.
    type: dict
    required: true
author: stackyard contributors
"""

EXAMPLES = r"""
text: "{{ {'TZ': 'UTC', 'MAVEN_OPTS': '-Xmx1g -Dx=\"y z\"'} | stackyard.aws.systemd_environment }}"
"""

RETURN = r"""
_value:
  description: The text, a line for each variable.
  type: str
"""

# What a backslash makes itself of between double quotes; see systemd.exec(5).
SPECIAL = '"\\`$'


def systemd_environment(variables: dict) -> str:
    """Return the text of the file."""
    lines = []
    for name, value in sorted(variables.items()):
        escaped = "".join(f"\\{letter}" if letter in SPECIAL else letter for letter in str(value))
        lines.append(f'{name}="{escaped}"\n')
    return "".join(lines)


class FilterModule:
    """The filter."""

    def filters(self):
        return {"systemd_environment": systemd_environment}
