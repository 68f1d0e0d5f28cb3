"""Where a group returns to, from what it noted and from what runs."""

import pytest
from ansible_collections.stackyard.aws.plugins.filter.rollback_version import rollback_version
from ansible_collections.stackyard.aws.plugins.module_utils.autoscaling import served_with


def group(version, served=""):
    tags = [{"key": "stackyard:served-versions", "value": served}] if served else []
    return {"launch_template": {"version": version}, "tags": [{"key": "Name", "value": "x"}, *tags]}


def refresh(version, status="InProgress"):
    return {"status": status, "desired_configuration": {"launch_template": {"version": version}}}


@pytest.mark.parametrize(
    ("own", "served", "expected"),
    [
        ("1", "", ""),
        ("2", "1", "1"),
        ("4", "1 2", "2"),
        # A roll-out to 4 failed: 2 was noted before it began.
        ("2", "1 2", "1"),
        # A second return, and a third that finds nothing.
        ("1", "1 2", ""),
        ("4", "1 4 5", "1"),
    ],
)
def test_without_a_refresh_it_is_the_one_before(own, served, expected):
    ended = [refresh("9", "Successful")]
    assert rollback_version(group(own, served), ended) == {"version": expected, "turn_back": False}


def test_a_roll_out_under_way_is_turned_back():
    assert rollback_version(group("2", "1 2"), [refresh("3")]) == {"version": "2", "turn_back": True}


def test_a_return_under_way_is_gone_on_with():
    assert rollback_version(group("4", "1 2"), [refresh("2")]) == {"version": "2", "turn_back": False}


@pytest.mark.parametrize(
    ("served", "left", "noted"),
    [
        ("", "1", "1"),
        ("1", "2", "1 2"),
        ("1 2", "2", "1 2"),
        # Rolled out again after two returns: what was behind is dropped.
        ("1 2 4", "1", "1"),
        ("1 2 3 4 5 6 7 8 9 10", "11", "2 3 4 5 6 7 8 9 10 11"),
    ],
)
def test_what_is_left_is_noted(served, left, noted):
    assert served_with(served, left) == noted
