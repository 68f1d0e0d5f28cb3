#!/usr/bin/python
# Copyright: stackyard contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

DOCUMENTATION = r"""
module: check_input
short_description: Refuse wrong variables of a stack, or of a role, before anything changes
version_added: 0.1.0
description:
  - Looks at every variable of a stack or of one cloud role and fails with one sentence that names the first that is
    wrong and what is accepted. Argument specifications tell types and choices; here are ranges, forms, and what goes
    with what.
  - A variable that begins like one of the stack's or the role's and is none of them is taken for a misspelt one;
    ansible-core lets it pass.
  - The variables are taken from where the task stands.
  - Implemented as an action; it calls nothing.
author: stackyard contributors
options:
  stack:
    description: Name of the stack. Either this or O(role) is given.
    type: str
    choices: [etherpad, jenkins, wordpress]
  purpose:
    description: What the play is about to do with O(stack); destroying needs fewer variables, and a confirmation.
    type: str
    choices: [provision, destroy]
    default: provision
  role:
    description:
      - Name of a cloud role of this collection.
      - When its C(<role>_state) is V(absent) nothing is required but what the role's argument specification requires.
    type: str
    choices: [address, alarms, backup, database, filesystem, fleet, lease_table, load_balancer, network, secret]
attributes:
  action:
    description: Runs on the controller, where the variables are.
    support: full
  check_mode:
    description: Changes nothing.
    support: full
"""

EXAMPLES = r"""
- name: Check the variables of the stack
  stackyard.aws.check_input:
    stack: wordpress

- name: Check the variables of a role, within it
  stackyard.aws.check_input:
    role: fleet
"""

RETURN = r"""
problems:
  description: All sentences; the message is the first.
  type: list
  elements: str
  returned: failure
"""
