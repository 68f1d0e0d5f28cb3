# Copyright: stackyard contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Looks at the variables of a stack where they are: on the controller. See the module's documentation."""

from __future__ import annotations

from pathlib import Path

import yaml
from ansible.errors import AnsibleError
from ansible.plugins.action import ActionBase
from ansible_collections.stackyard.aws.plugins.module_utils.input_rules import check, unknown_names
from ansible_collections.stackyard.aws.plugins.module_utils.stack_rules import STACKS

ROLES = Path(__file__).resolve().parents[2] / "roles"


def role_variables(role: str) -> set[str]:
    """Return the public variables of a role, and the fact that it publishes."""
    path = ROLES / role / "meta" / "argument_specs.yml"
    if not path.exists():
        return set()
    specs = yaml.safe_load(path.read_text())["argument_specs"]
    names = {name for entry in specs.values() for name in entry.get("options", {})}
    return names | {f"{role}_result"}


class ActionModule(ActionBase):
    """The action."""

    _requires_connection = False
    _supports_check_mode = True

    def run(self, tmp=None, task_vars=None):
        super().run(tmp, task_vars)
        _unused, arguments = self.validate_argument_spec(
            argument_spec={
                "stack": {"type": "str", "required": True, "choices": sorted(STACKS)},
                "purpose": {"type": "str", "choices": ["provision", "destroy"], "default": "provision"},
            }
        )
        stack = STACKS[arguments["stack"]]
        rules = stack.rules(arguments["purpose"])
        names = {rule.name for rule in stack.rules("provision")} | {rule.name for rule in stack.rules("destroy")}
        known = set(names)
        for role in stack.roles:
            known |= role_variables(role)
        problems = unknown_names(task_vars, known, [f"{prefix}_" for prefix in ("stackyard", *stack.roles)])

        values = {}
        for name in sorted(names & set(task_vars)):
            try:
                values[name] = self._templar.template(task_vars[name])
            except AnsibleError as error:
                reason = str(error).splitlines()[0]
                problems.append(
                    f"{name} cannot be worked out ({reason}): a value, or variables that are set, are accepted."
                )
        if not problems:
            problems = check(rules, values)
        if not problems:
            problems = stack.together(arguments["purpose"], values)
        if problems:
            return {"failed": True, "changed": False, "msg": problems[0], "problems": problems}
        return {"changed": False, "msg": f"{len(rules)} variables are in order."}
