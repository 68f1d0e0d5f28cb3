"""The WordPress stack in check mode with the oldest ansible-core that the collection supports (`make test-oldest`).

With a newer one test_stacks.py shows the same and more.
"""

import re
from importlib.metadata import version

import pytest

from support.stack_account import INVENTORY, VARIABLES, announcements, bake, environment


@pytest.mark.skipif(not version("ansible-core").startswith("2.19."), reason="only with the oldest ansible-core")
def test_the_stack_is_announced_on_an_empty_account(ansible, cloud):
    bake(cloud, "wordpress")
    result = ansible.run_playbook(
        "playbooks/wordpress.yml",
        check=True,
        arguments=INVENTORY,
        environment=environment(cloud.endpoint),
        extra_vars=VARIABLES,
    )
    kinds = {kind for _, kind, _ in announcements(result)}
    assert {"vpc", "subnet", "security-group", "secret", "db-instance", "efs access point"} <= kinds
    assert cloud.writes() == []
    deprecations = re.findall(r"\[DEPRECATION WARNING\]: (.*)", result.stderr)
    assert [line for line in deprecations if not line.startswith("Use of strategy plugins")] == []
