# Copyright: stackyard contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Variables that look like a role's and are not."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from pathlib import Path

import yaml

DOCUMENTATION = r"""
name: unknown_variables
short_description: Name the variables that look like a role's and are not
version_added: 0.1.0
description:
  - ansible-core checks the variables that a role's argument specification names, and lets a misspelt one pass.
  - Returns one sentence for each name that the specification does not hold, with the name that was probably meant.
options:
  _input:
    description: Names of variables that begin with the role's prefix.
    type: list
    elements: str
    required: true
  spec:
    description: Path of the role's C(meta/argument_specs.yml).
    type: path
    required: true
author: stackyard contributors
"""

EXAMPLES = r"""
problems: "{{ ['fleet_maxx'] | stackyard.aws.unknown_variables(role_path ~ '/meta/argument_specs.yml') }}"
"""

RETURN = r"""
_value:
  description: The sentences.
  type: list
  elements: str
"""


def unknown_variables(names: Iterable[str], spec: str) -> list[str]:
    """Return a sentence for each name that is neither an argument of the role nor its result."""
    document = yaml.safe_load(Path(spec).read_text(encoding="utf-8"))
    known = {name for entry in document["argument_specs"].values() for name in entry.get("options", {})}
    role = Path(spec).resolve().parent.parent.name
    sentences = []
    for name in sorted(set(names) - known - {f"{role}_result"}):
        close = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
        meant = f" {close[0]} was probably meant." if close else ""
        sentences.append(
            f"{name} is not a variable of the role {role}.{meant} Its README lists those that are accepted."
        )
    return sentences


class FilterModule:
    """The filter."""

    def filters(self):
        return {"unknown_variables": unknown_variables}
