# Copyright: stackyard contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
name: collection_path
version_added: 0.1.0
short_description: Folder of an installed collection
description:
  - Returns the folder that Ansible, as it runs, takes a collection from.
options:
  _terms:
    description: Names of collections.
    type: list
    elements: str
    required: true
author:
  - stackyard contributors (@stackyard)
"""

EXAMPLES = r"""
- name: Say where ansible.posix comes from
  ansible.builtin.debug:
    msg: "{{ lookup('stackyard.aws.collection_path', 'ansible.posix') }}"
"""

RETURN = r"""
_raw:
  description: The folders, in the order of the names.
  type: list
  elements: path
"""

import re
from importlib import import_module
from typing import Any

from ansible.errors import AnsibleLookupError
from ansible.plugins.lookup import LookupBase


class LookupModule(LookupBase):
    """Ask Ansible's own importer, the only one who knows which of several copies it uses."""

    def run(self, terms: list[str], variables: Any = None, **kwargs: Any) -> list[str]:
        return [self._folder(name) for name in terms]

    @staticmethod
    def _folder(name: str) -> str:
        if not re.fullmatch(r"[a-z0-9_]+\.[a-z0-9_]+", name):
            raise AnsibleLookupError(f"'{name}' is no collection's name: give namespace.name.")
        try:
            package = import_module(f"ansible_collections.{name}")
        except ImportError:
            raise AnsibleLookupError(
                f"The collection {name} is not installed here: see collections/requirements.yml."
            ) from None
        return str(next(iter(package.__path__)))
