"""The lease's daemon against a DynamoDB over HTTP: who may run the application, and until when.

The daemon is the very file that the role puts on a machine, in a process of its own; so is the application, which notes
when it ran. Terms are a tenth of what the role accepts, and related in the same way.
"""

from __future__ import annotations

import dataclasses
import json
import os
import time

import pytest

from support.lease_world import TIMES, boottime, daemon_module
from support.waiting import until

TTL, MARGIN, RENEW = TIMES["ttl"], TIMES["margin"], TIMES["renew"]


def used(machine):
    """Have it pass for one that has held the lease before: it does not ask for it."""
    (machine.folder / "held").write_text(machine.name)
    return machine


def no_overlap(world):
    sentences, _ = world.overlaps()
    return sentences == [] or sentences


def test_a_free_lease_is_taken_kept_and_released(one_world):
    first = one_world.machine("first").boot()
    token = first.holds()
    assert token == pytest.approx(time.time(), abs=30)
    assert json.loads((first.folder / "lease.json").read_text()) == {
        "lease": "application",
        "holder": "first",
        "token": token,
    }
    assert oct((first.folder / "lease.json").stat().st_mode)[-3:] == "644"
    second = used(one_world.machine("second")).boot()
    renewal = one_world.item()["renewal"]
    time.sleep(TTL * 1.5)
    item = one_world.item()
    assert (item["holder"], int(item["token"]), second.token) == ("first", token, 0)
    assert item["renewal"] != renewal
    assert "request" not in item

    left = boottime()
    first.leave()
    assert not first.application
    # Released, not run out: the next one need not wait for the term.
    assert second.holds() == token + 1
    assert one_world.first_beat(token + 1) - left < TTL - 2 * RENEW
    assert no_overlap(one_world) is True


def test_a_lost_machine_s_lease_is_taken_after_its_term_and_not_before(one_world):
    first, second = one_world.machine("first").boot(), used(one_world.machine("second"))
    token = first.holds()
    second.boot()
    until("the second to look", lambda: "Waiting" in second.log)
    first.crash()
    crashed = boottime()
    assert second.holds() == token + 1
    assert TTL - RENEW - 0.1 < one_world.first_beat(token + 1) - crashed < TTL + 1


def test_times_in_the_table_and_wall_clocks_decide_nothing(one_world):
    first, second = one_world.machine("first").boot(), used(one_world.machine("second"))
    token = first.holds()
    second.boot()
    for expires in ("0", "99999999999"):
        one_world.set(expires={"N": expires})
        first.step_wall_clock()
        time.sleep(RENEW)
        second.step_wall_clock()
        time.sleep(TTL / 2)
    assert (first.token, second.token) == (token, 0)
    first.crash()
    one_world.set(expires={"N": "99999999999"})
    assert second.holds() == token + 1


def test_the_holder_s_own_term_counts_not_the_waiter_s(one_world):
    first = one_world.machine("first", ttl=2 * TTL).boot()
    token = first.holds()
    second = used(one_world.machine("second")).boot()
    until("the second to look", lambda: "Waiting" in second.log)
    first.crash()
    crashed = boottime()
    assert second.holds() == token + 1
    assert one_world.first_beat(token + 1) - crashed > 2 * TTL - RENEW - 0.1


def test_a_new_machine_asks_and_gets_it_and_the_old_one_stands_by(one_world):
    old = one_world.machine("old").boot()
    token = old.holds()
    new = one_world.machine("new").boot()
    asked = boottime()
    assert new.holds() == token + 1
    assert one_world.last_beat(token) < one_world.first_beat(token + 1)
    assert one_world.first_beat(token + 1) - asked < TTL + 1
    assert old.running
    # It has had its turn, and leaves the new one in peace.
    time.sleep(TTL)
    item = one_world.item()
    assert (item["holder"], new.token) == ("new", token + 1)
    assert not {"request", "reserved_for"} & set(item)
    # The new one fails: the old one serves again by itself, and a restart of it does not change whose turn it is.
    old.kill_daemon()
    new.crash()
    assert old.holds() == token + 2
    third = one_world.machine("third").boot()
    assert third.holds() == token + 3
    third.leave()
    assert old.holds() == token + 4
    assert no_overlap(one_world) is True


def test_what_is_reserved_for_a_machine_that_dies_falls_back_after_the_term(one_world):
    old, new = one_world.machine("old").boot(), one_world.machine("new")
    token = old.holds()
    new.boot()
    until("the request", lambda: one_world.item().get("request"), every=0.005)
    new.pause()
    until("the reservation", lambda: one_world.item().get("reserved_for") == "new", every=0.01)
    released = boottime()
    assert "holder" not in one_world.item()
    new.crash()
    assert old.holds() == token + 1
    assert TTL - 0.1 < one_world.first_beat(token + 1) - released < TTL + 1
    assert "reserved_for" not in one_world.item()


def test_the_request_of_a_machine_that_is_no_more_is_not_answered(one_world):
    old, new = one_world.machine("old").boot(), one_world.machine("new")
    token = old.holds()
    old.pause()
    new.boot()
    until("the request", lambda: one_world.item().get("request") == "new")
    # Leaving, it takes the request back ...
    new.leave()
    assert "request" not in one_world.item()
    old.crash()
    # ... and where it could not, nobody stops for it.
    one_world.set(request={"S": "lost"}, request_renewal={"S": "once"})
    next_one = used(one_world.machine("next")).boot()
    assert next_one.holds() == token + 1
    time.sleep(TTL)
    assert next_one.token == token + 1
    one_world.set(request_renewal={"S": "twice"})
    until("the hand-over", lambda: one_world.item().get("reserved_for") == "lost", every=0.01)


def test_a_holder_that_cannot_renew_has_stopped_before_its_term_is_over(make_world):
    # The application heeds no SIGTERM: there is no longer way to its end.
    worlds = {mode: make_world(mode, stubborn=1) for mode in ("refused", "silent", "deaf")}
    firsts = {mode: world.machine("first").boot() for mode, world in worlds.items()}
    tokens = {mode: first.holds() for mode, first in firsts.items()}
    seconds = {mode: used(world.machine("second")).boot() for mode, world in worlds.items()}
    time.sleep(RENEW)
    cut = boottime()
    for mode, first in firsts.items():
        first.wire.mode = mode
    successors = {}
    for mode, world in worlds.items():
        token = tokens[mode]
        # Later than the first's; by more than one where an answer to the request was lost on a busy machine.
        successors[mode] = seconds[mode].holds()
        assert successors[mode] > token
        assert not firsts[mode].application
        assert world.last_beat(token) - cut < TTL - MARGIN
        # A hand's breadth of time for the process to go is all that the limit has.
        assert world.last_beat(token) - cut > TTL - MARGIN - TIMES["kill"] - 2 * RENEW - 0.1
        firsts[mode].wire.mode = "open"
    time.sleep(RENEW * 4)
    for mode, world in worlds.items():
        assert (firsts[mode].token, seconds[mode].token) == (0, successors[mode])
        assert no_overlap(world) is True
        assert not (firsts[mode].folder / "fenced").exists()


def test_the_way_to_the_table_comes_back_before_anybody_else_has_it(one_world):
    only = one_world.machine("only").boot()
    token = only.holds()
    only.wire.mode = "silent"
    until("the end of the application", lambda: not only.application, 5, every=0.01)
    assert "could not be renewed" in only.log
    only.wire.mode = "open"
    assert only.holds() == token + 1


def test_a_short_interruption_does_no_harm(one_world):
    only = one_world.machine("only").boot()
    token = only.holds()
    only.wire.mode = "refused"
    time.sleep(RENEW * 2)
    only.wire.mode = "open"
    time.sleep(TTL)
    assert only.token == token
    assert "renew failed" in only.log


def test_a_daemon_that_is_killed_is_followed_by_one_that_first_stops_what_runs(make_world):
    world = make_world(stubborn=1)
    only = world.machine("only").boot()
    token = only.holds()
    application = only.application
    only.kill_daemon()
    killed = boottime()
    assert only.holds() == token  # Nobody has looked yet: it is the file that the killed one has left.
    until(
        "the next token", lambda: only.token == token + 1 and only.application not in (0, application), 10, every=0.01
    )
    assert world.last_beat(token) < world.first_beat(token + 1)
    assert world.last_beat(token) - killed < TTL - MARGIN
    assert "earlier daemon" in only.log


def test_a_daemon_that_hangs_is_followed_in_time(make_world):
    world = make_world(stubborn=1)
    first = world.machine("first").boot()
    token = first.holds()
    second = used(world.machine("second")).boot()
    settings = daemon_module.Settings(table="t", lease="l", **TIMES)
    # Just before it would have begun to stop by itself.
    first.wire.mode = "silent"
    time.sleep(TTL - MARGIN - settings.kill - settings.stop - RENEW - 0.1)
    assert first.application
    first.hang_daemon(settings.watchdog)
    assert second.holds() == token + 1
    assert no_overlap(world) is True


def test_a_machine_that_hung_stops_as_soon_as_it_wakes_up(one_world):
    first = one_world.machine("first").boot()
    token = first.holds()
    second = used(one_world.machine("second")).boot()
    first.pause()
    assert second.holds() == token + 1
    time.sleep(RENEW)
    first.resume()
    until("its end", lambda: not first.application, 20, every=0.005)
    sentences, woken = one_world.overlaps()
    assert sentences == []
    # What it does in that moment is what the token at the writer is for; it is short, on a busy machine too.
    assert all(seconds < 5 for seconds in woken)
    assert "another machine has taken" in first.log or "could not be renewed" in first.log
    time.sleep(TTL)
    assert (first.token, second.token) == (0, token + 1)
    assert json.loads((second.folder / "lease.json").read_text())["holder"] == "second"


def test_a_machine_that_has_handed_over_sends_people_to_its_successor(one_world):
    old = one_world.machine("old", address="192.0.2.1").boot()
    token = old.holds()
    assert one_world.item()["address"] == "192.0.2.1"
    new = one_world.machine("new", address="192.0.2.2").boot()
    new.holds()
    forwarded = old.folder / "forwarded"
    assert until("the way to the new one", lambda: forwarded.exists() and forwarded.read_text()) == "192.0.2.2"
    # One that has never served is known to no load balancer.
    assert not (new.folder / "forwarded").exists()
    forwarded.unlink()
    new.leave()
    assert old.holds() == token + 2
    third = one_world.machine("third", address="192.0.2.3").boot()
    third.holds()
    assert until("the way to the third", lambda: forwarded.exists() and forwarded.read_text()) == "192.0.2.3"


def test_without_its_table_it_waits_and_says_why(make_world, dynamodb):
    world = make_world()
    dynamodb.client("dynamodb").delete_table(TableName=world.table)
    only = world.machine("only").boot()
    until("the sentence", lambda: "read failed" in only.log)
    assert "ResourceNotFoundException" in only.log
    world.make_table()
    first = only.holds()
    # A table that is made anew does not take tokens back that writers have seen.
    only.leave()
    dynamodb.client("dynamodb").delete_table(TableName=world.table)
    world.make_table()
    time.sleep(1)
    assert world.machine("next").boot().holds() > first


def test_credentials_that_come_late_are_found(one_world, dynamodb):
    only = one_world.machine("only")
    file = only.folder / "credentials"
    key, secret = (only.environment.pop(name) for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"))
    only.environment["AWS_SHARED_CREDENTIALS_FILE"] = str(file)
    only.boot()
    until("the sentence", lambda: "read failed: there are no AWS credentials" in only.log, every=0.05)
    file.write_text(f"[default]\naws_access_key_id = {key}\naws_secret_access_key = {secret}\n")
    only.holds()


def test_a_lease_that_somebody_takes_away_is_given_up_at_once(one_world):
    first = one_world.machine("first").boot()
    token = first.holds()
    one_world.set(holder={"S": "somebody"}, token={"N": str(token + 5)}, renewal={"S": "else"})
    until("its end", lambda: not first.application, 2, every=0.01)
    # Nobody renews it.
    assert first.holds() == token + 6


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ({"ttl": 19}, "A term of 19 s leaves 7 s for renewals"),
        ({"renew": 4.5}, "two of 4.5 s must fit"),
        ({"stop": 0.5}, "must be longer"),
    ],
)
def test_terms_that_leave_no_room_are_refused(wrong, sentence):
    good = daemon_module.Settings(table="leases", lease="etherpad", holder="i-1")
    assert good.watchdog == 8
    with pytest.raises(daemon_module.SettingsError, match=sentence):
        dataclasses.replace(good, **wrong)


def test_settings_that_cannot_be_read_are_one_sentence(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(daemon_module, "SETTINGS", tmp_path / "lease.json")
    assert daemon_module.main() == 1
    (tmp_path / "lease.json").write_text('{"table": "t", "lease": "l", "tll": 3}')
    assert daemon_module.main() == 1
    said = capsys.readouterr().out.splitlines()
    assert ["No such file" in said[0], "tll" in said[1], len(said)] == [True, True, 2]
    assert os.path.basename(said[0].split()[0]) == "lease.json"
