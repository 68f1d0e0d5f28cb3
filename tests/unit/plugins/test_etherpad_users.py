"""Etherpad's users are made of their passwords and of who is an administrator."""

from importlib import import_module


def test_only_the_named_are_administrators() -> None:
    users = import_module("ansible_collections.stackyard.aws.plugins.filter.etherpad_users").etherpad_users
    # A password of digits alone is a number where it comes from YAML.
    assert users({"ada": "one", "bob": 123456789012}, ["ada", "nobody"]) == {
        "ada": {"password": "one", "is_admin": True},
        "bob": {"password": "123456789012", "is_admin": False},
    }
