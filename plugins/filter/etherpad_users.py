# Copyright: stackyard contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Users as Etherpad's settings have them."""

from __future__ import annotations

DOCUMENTATION = r"""
name: etherpad_users
short_description: Make Etherpad's users of their passwords
version_added: 0.1.0
description: Returns the users of Etherpad's settings, each with a password and whether it is an administrator's.
positional: administrators
options:
  _input:
    description: Names of users and their passwords.
    type: dict
    required: true
  administrators:
    description: Names of those who may open the administrator's pages.
    type: list
    elements: str
    required: true
author: stackyard contributors
"""

EXAMPLES = r"""
users: "{{ etherpad_passwords | stackyard.aws.etherpad_users(['admin']) }}"
"""

RETURN = r"""
_value:
  description: Users by name, each with C(password) and C(is_admin).
  type: dict
"""


def etherpad_users(passwords: dict, administrators: list) -> dict:
    """Return Etherpad's users."""
    return {
        name: {"password": str(password), "is_admin": name in administrators} for name, password in passwords.items()
    }


class FilterModule:
    """The filter."""

    def filters(self):
        return {"etherpad_users": etherpad_users}
