# Copyright: stackyard contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations


class ModuleDocFragment:
    """Documentation that the modules of this collection share."""

    DOCUMENTATION = r"""
attributes:
  check_mode:
    description: Can run in check mode and return the changes that it would make, without making one.
    support: full
  diff_mode:
    description: Returns what is changed, before and after, when in diff mode.
    support: full
"""

    WAIT = r"""
options:
  wait_timeout:
    description: Seconds after which waiting is given up, with an error that says what was awaited and what was seen.
    type: int
    default: 600
"""
