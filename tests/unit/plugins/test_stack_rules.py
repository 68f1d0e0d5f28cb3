"""The rules of the stacks' variables: the defaults pass, and every rule's sentence names what is accepted."""

from pathlib import Path

import pytest
import yaml
from ansible_collections.stackyard.aws.plugins.module_utils.input_rules import check, unknown_names
from ansible_collections.stackyard.aws.plugins.module_utils.stack_rules import STACKS

REPOSITORY = Path(__file__).resolve().parents[3]
WORDPRESS = STACKS["wordpress"]


def values():
    text = (REPOSITORY / "roles/wordpress_stack/defaults/main.yml").read_text()
    given = {
        "stackyard_region": "us-east-1",
        "stackyard_environment": "demo",
        "stackyard_aws": {"region": "us-east-1"},
        "wordpress_admin_email": "admin@example.com",
        "wordpress_stack_domain": "www.example.com",
        "wordpress_stack_hosted_zone_id": "Z0123456789ABCDEFGHIJ",
    }
    return yaml.safe_load(text.replace("{{ stackyard_region }}", "us-east-1")) | given


def test_the_defaults_are_accepted():
    assert check(WORDPRESS.rules("provision"), values()) == []
    assert WORDPRESS.together("provision", values()) == []


def test_plain_http_has_to_be_chosen():
    without = values() | {"wordpress_stack_domain": "", "wordpress_stack_hosted_zone_id": ""}
    assert "wordpress_stack_https: false" in WORDPRESS.together("provision", without)[0]
    assert WORDPRESS.together("provision", without | {"wordpress_stack_https": False}) == []


def test_every_stack_variable_has_a_rule():
    assert set(values()) <= {rule.name for rule in WORDPRESS.rules("provision")}


@pytest.mark.parametrize("rule", WORDPRESS.rules("destroy"), ids=lambda rule: rule.name)
def test_each_rule_refuses_nonsense_in_a_sentence(rule):
    # No variable takes a mapping with a list for a key's value, a number far out of range and a text with a new line.
    refused = [bad for bad in ({"a\n": [1]}, -(10**9), "\n", [{"x": 1}]) if not rule.test(bad)]
    assert refused
    for bad in refused:
        sentence = rule.problem(bad, missing=False)
        assert sentence is not None
        assert sentence.startswith(rule.name)
        assert "accepted" in sentence


def test_a_missing_name_is_told():
    given = values()
    del given["wordpress_admin_email"]
    assert check(WORDPRESS.rules("provision"), given)[0].startswith("wordpress_admin_email is not set")


def test_misspelt_names_are_told_and_others_left_alone():
    known = {"wordpress_title", "wordpress_stack_volume_gb"}
    found = unknown_names(
        ["wordpress_titel", "ansible_user", "wordpress_title", "other"], known, ["wordpress_"], "this stack"
    )
    assert found == ["wordpress_titel is no variable of this stack: wordpress_title is meant, perhaps."]


def test_destroying_needs_the_name():
    assert WORDPRESS.together("destroy", values())[0].endswith("-e stackyard_confirm=demo-wordpress.")
    assert WORDPRESS.together("destroy", values() | {"stackyard_confirm": "demo-wordpress"}) == []
