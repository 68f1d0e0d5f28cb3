"""When a group is told that an application no longer answers, and when that it does again."""

from pathlib import Path

import pytest

from support.programs import load

PROGRAM = Path(__file__).resolve().parents[3] / "roles/instance_health/files/opt/stackyard/bin/instance-health"


@pytest.fixture
def judge():
    return load(PROGRAM).Judge(failures=3)


def said(judge, answers):
    """What the group is told after each answer, + for a good one."""
    return [judge.hear(answer == "+") for answer in answers]


def test_nothing_counts_before_the_first_good_answer(judge):
    assert said(judge, "-----+--") == [""] * 8


def test_bad_answers_in_a_row_count(judge):
    assert said(judge, "+--+--+---") == [""] * 9 + ["Unhealthy"]


def test_it_is_told_again_as_long_as_it_lasts(judge):
    assert said(judge, "+----") == ["", "", "", "Unhealthy", "Unhealthy"]


def test_a_recovery_is_told_once(judge):
    assert said(judge, "+---++") == ["", "", "", "Unhealthy", "Healthy", ""]
