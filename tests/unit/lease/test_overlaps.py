"""How the trial tells what must not be from what no lease can prevent."""

from support.lease_world import Beat, overlaps


def beats(*runs):
    found = [
        Beat(token, machine, at / 10)
        for token, machine, start, end in runs
        for at in range(int(start * 10), int(end * 10) + 1)
    ]
    return sorted(found, key=lambda beat: beat.at)


def test_one_after_the_other_is_no_overlap():
    assert overlaps(beats((1, "a", 0, 1), (2, "b", 1.5, 2), (3, "a", 2.5, 3)), {}) == ([], [])


def test_a_moment_side_by_side_is_one():
    sentences, woken = overlaps(beats((1, "a", 0, 2), (2, "b", 2, 3)), {"b": [[0, 5]], "a": [[0.5, 1]]})
    assert len(sentences) == 1
    assert "a (token 1) still ran 0.000 s after b (token 2)" in sentences[0]
    assert woken == []


def test_a_machine_that_hung_when_it_was_replaced_ran_on_only_after_it_woke_up():
    hung = {"a": [[1.0, 4.0]]}
    runs = beats((1, "a", 0, 1), (1, "a", 4.1, 4.3), (2, "b", 3, 4), (3, "c", 4.2, 5))
    sentences, woken = overlaps(runs, hung)
    assert sentences == []
    assert [round(seconds, 3) for seconds in woken] == [0.3]
    # One that did not hang when it was replaced is not excused by having hung before.
    assert overlaps(runs, {"a": [[1.0, 2.0]]})[0] != []


def test_one_that_goes_on_and_on_counts_once():
    sentences, _ = overlaps(beats((1, "a", 0, 5), (2, "b", 1, 2), (3, "c", 3, 4)), {})
    assert len(sentences) == 1
