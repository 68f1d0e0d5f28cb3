# Copyright: stackyard contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
name: mitogen_or_linear
version_added: 0.1.0
short_description: Run tasks through Mitogen where the controller has it, else one new Python each
description:
  - With Mitogen for Ansible, the tasks of a play run in one Python process on the machine instead of one each. That
    takes most of the time out of tasks that find nothing to do.
  - Where the controller's Python has no Mitogen, this is the strategy P(ansible.builtin.linear#strategy).
  - The order of tasks and hosts is that of P(ansible.builtin.linear#strategy), with and without.
notes:
  - A connection that Mitogen opens is not shared with other programs, as OpenSSH's control connection is.
author:
  - stackyard contributors (@stackyard)
"""

from ansible.plugins.strategy.linear import StrategyModule as Linear

try:
    from ansible_mitogen import affinity
    from ansible_mitogen.strategy import StrategyMixin
except ImportError:

    class StrategyModule(Linear):
        """Runs tasks as Ansible does by itself."""

else:
    # It would bind its processes, and what they start, to a processor each: on a machine with two, nearly everything
    # that all runs do to the second.
    affinity.policy = affinity.Policy()

    class StrategyModule(StrategyMixin, Linear):
        """Runs tasks in Mitogen's process."""
