#!/usr/bin/python
# Copyright: stackyard contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

DOCUMENTATION = r"""
module: check_input
short_description: Refuse wrong variables of a stack before anything changes
version_added: 0.1.0
description:
  - Looks at every variable of a stack and fails with one sentence that names the first that is wrong and what is
    accepted.
  - A variable that begins like one of the stack's and is none of them is taken for a misspelt one; ansible-core lets
    it pass.
  - Implemented as an action; it calls nothing.
author: stackyard contributors
options:
  stack:
    description: Name of the stack.
    type: str
    required: true
    choices: [wordpress]
  purpose:
    description: What the play is about to do; destroying needs fewer variables, and a confirmation.
    type: str
    choices: [provision, destroy]
    default: provision
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
"""

RETURN = r"""
problems:
  description: All sentences; the message is the first.
  type: list
  elements: str
  returned: failure
"""
