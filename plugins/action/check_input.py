# Copyright: stackyard contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Looks at the variables of a stack or of a role where they are: on the controller. See the module's documentation."""

from __future__ import annotations

from ansible.errors import AnsibleError
from ansible.plugins.action import ActionBase
from ansible_collections.stackyard.aws.plugins.module_utils.input_rules import check, unknown_names
from ansible_collections.stackyard.aws.plugins.module_utils.role_problems import RULES, role_problems, role_variables
from ansible_collections.stackyard.aws.plugins.module_utils.stack_rules import STACKS


class ActionModule(ActionBase):
    """The action."""

    _requires_connection = False
    _supports_check_mode = True

    def run(self, tmp=None, task_vars=None):
        super().run(tmp, task_vars)
        _unused, arguments = self.validate_argument_spec(
            argument_spec={
                "stack": {"type": "str", "choices": sorted(STACKS)},
                "purpose": {"type": "str", "choices": ["provision", "destroy"], "default": "provision"},
                "role": {"type": "str", "choices": sorted(RULES)},
            },
            mutually_exclusive=[("stack", "role")],
            required_one_of=[("stack", "role")],
        )
        if arguments["role"]:
            problems = self.role_problems(arguments["role"], task_vars)
        else:
            problems = self.stack_problems(STACKS[arguments["stack"]], arguments["purpose"], task_vars)
        if problems:
            return {"failed": True, "changed": False, "msg": problems[0], "problems": problems}
        return {"changed": False, "msg": "The variables are in order."}

    def role_problems(self, role, task_vars):
        values, problems = self.values(role_variables(role), task_vars)
        return problems or role_problems(role, values, task_vars)

    def stack_problems(self, stack, purpose, task_vars):
        names = {rule.name for rule in stack.rules("provision")} | {rule.name for rule in stack.rules("destroy")}
        known = names.union(*(role_variables(role) for role in stack.roles))
        prefixes = [f"{prefix}_" for prefix in ("stackyard", *stack.roles)]
        values, problems = self.values(names, task_vars)
        problems = unknown_names(task_vars, known, prefixes, "this stack") + problems
        return problems or check(stack.rules(purpose), values) or stack.together(purpose, values)

    def values(self, names, task_vars):
        """Return the values of the variables that are set, and a sentence for each that has none."""
        values, problems = {}, []
        for name in sorted(names & set(task_vars)):
            try:
                values[name] = self._templar.template(task_vars[name])
            except AnsibleError as error:
                reason = str(error).splitlines()[0]
                problems.append(
                    f"{name} cannot be worked out ({reason}): a value, or variables that are set, are accepted."
                )
        return values, problems
