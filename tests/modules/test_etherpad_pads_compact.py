"""The history of old pads is thrown away, once, through a stand-in for the API of Etherpad's line 3."""

import time

import pytest

from support.etherpad_api_stand_in import KEY, Pad, stand_in

DAY = 86400


@pytest.fixture
def etherpad():
    pads = {
        "old": Pad(time.time() - 400 * DAY, 5000),
        "old and short": Pad(time.time() - 400 * DAY, 20),
        "old & new/words?": Pad(time.time() - 31 * DAY, 101),
        "in use": Pad(time.time() - DAY, 9000),
    }
    with stand_in(pads) as server:
        yield server


@pytest.fixture
def compact(ansible, etherpad, tmp_path):
    """Runs the module; returns its result."""
    (tmp_path / "key").write_text(f"{KEY}\n")

    def run(check=False, expect_failure=False, **parameters):
        given = {"url": etherpad.url, "api_key_file": str(tmp_path / "key"), "older_than_days": 30, **parameters}
        done = ansible.run_tasks(
            [{"stackyard.aws.etherpad_pads_compact": given}], check=check, expect_failure=expect_failure
        )
        assert KEY not in done.stdout + done.stderr
        return done.tasks[-1].result

    return run


def test_old_pads_are_compacted_once(compact, etherpad):
    announced = compact(check=True)
    assert announced["compacted"] == ["old", "old & new/words?"]
    assert etherpad.pads["old"].revisions == 5000
    done = compact()
    assert (done["changed"], done["compacted"], done["looked_at"]) == (True, announced["compacted"], 4)
    assert {name: pad.revisions for name, pad in etherpad.pads.items()} == {
        "old": 100,
        "old and short": 20,
        "old & new/words?": 100,
        "in use": 9000,
    }
    again = compact()
    assert (again["changed"], again["compacted"]) == (False, [])
    assert compact(keep_revisions=50, older_than_days=365)["compacted"] == ["old"]
    # Addresses are logged.
    assert not [path for path in etherpad.paths if KEY in path]


def test_one_pad_that_fails_does_not_keep_the_others(compact, etherpad):
    etherpad.stuck.add("old")
    failed = compact(expect_failure=True)
    assert failed["refused"] == {"old": "padID does not exist"}
    assert failed["compacted"] == ["old & new/words?"]
    assert failed["msg"] == "Etherpad has not compacted 1 pads."


@pytest.mark.parametrize(
    ("parameters", "sentence"),
    [
        ({"older_than_days": 0}, "older_than_days is 0: a number from 1 is accepted."),
        ({"keep_revisions": 0}, "keep_revisions is 0: a number from 1 is accepted."),
        ({"api_key_file": "/nowhere"}, "api_key_file cannot be read"),
        ({"url": "http://127.0.0.1:9"}, "Etherpad at http://127.0.0.1:9 does not answer"),
    ],
)
def test_what_cannot_work_is_refused(compact, parameters, sentence):
    assert sentence in compact(expect_failure=True, **parameters)["msg"]


def test_earlier_etherpad_is_refused(compact, etherpad):
    etherpad.version = "1.2.15"
    assert "has version 1.2.15 of the API and cannot throw history away" in compact(expect_failure=True)["msg"]


def test_wrong_key_is_told(compact, tmp_path):
    (tmp_path / "key").write_text("x" * 32)
    assert "no or wrong API Key" in compact(expect_failure=True)["msg"]
