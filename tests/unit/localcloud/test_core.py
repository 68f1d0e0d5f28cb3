"""Small parts of the local cloud: names, console output, metadata's tree, private addresses."""

from __future__ import annotations

import ipaddress
import os
import time
from pathlib import Path

import pytest

from localcloud.console import close_console, console_path, console_tail, drop_consoles
from localcloud.dns import Dns
from localcloud.machines import host_name
from localcloud.metadata import _RefusalError, _walk
from localcloud.patches.ec2_addresses import next_address
from localcloud.settings import Settings

SUBNET = ipaddress.IPv4Network("10.0.1.0/28")
TREE = {
    "instance-id": "i-1",
    "public-keys": {"0=mine": {"openssh-key": "ssh-ed25519 AAAA"}},
    "iam": {"info": "{}"},
}


@pytest.mark.parametrize(
    ("region", "name"),
    [("us-east-1", "ip-10-0-1-4.ec2.internal"), ("eu-west-1", "ip-10-0-1-4.eu-west-1.compute.internal")],
)
def test_private_names_are_those_of_ec2(region: str, name: str) -> None:
    assert host_name("10.0.1.4", region) == name


def test_addresses_go_round_and_leave_out_what_is_reserved_or_used() -> None:
    assert next_address(SUBNET, set(), None) == "10.0.1.4"
    assert next_address(SUBNET, {"10.0.1.5"}, "10.0.1.4") == "10.0.1.6"
    assert next_address(SUBNET, set(), "10.0.1.14") == "10.0.1.4"
    everything = {str(address) for address in SUBNET}
    assert next_address(SUBNET, everything, "10.0.1.9") is None
    assert next_address(SUBNET, everything - {"10.0.1.8"}, "10.0.1.9") == "10.0.1.8"


def test_console_output_is_the_machines_own_text(tmp_path: Path) -> None:
    log = tmp_path / "console"
    log.write_text(
        "2026-01-01T00:00:00.1+00:00 stdout F first line\n"
        "2026-01-01T00:00:00.2+00:00 stdout P half a \n"
        "2026-01-01T00:00:00.3+00:00 stdout F line\n"
        "2026-01-01T00:00:00.4+00:00 stdout F \n"
    )
    assert console_tail(log) == "first line\nhalf a line\n\n"
    assert console_tail(log, 6) == "line\n\n"[-6:]
    assert console_tail(tmp_path / "none") == ""


def test_a_console_outlives_its_machine_for_an_hour(tmp_path: Path) -> None:
    for name in ("i-runs", "i-ended", "i-old"):
        path = console_path(tmp_path, name)
        path.parent.mkdir(exist_ok=True)
        path.write_text("2026-01-01T00:00:00.1+00:00 stdout F last words\n")
        os.utime(path, (0, 0))
    close_console(console_path(tmp_path, "i-ended"))
    close_console(console_path(tmp_path, "i-none"))
    drop_consoles(tmp_path, {"i-runs"}, time.time() + 3500)
    assert {path.stem for path in (tmp_path / "console").iterdir()} == {"i-runs", "i-ended"}
    assert console_tail(console_path(tmp_path, "i-ended")) == "last words\n"
    drop_consoles(tmp_path, {"i-runs"}, time.time() + 3700)
    assert {path.stem for path in (tmp_path / "console").iterdir()} == {"i-runs"}


def test_metadata_lists_branches_and_returns_leaves() -> None:
    assert _walk(TREE, []).splitlines() == ["iam/", "instance-id", "public-keys/"]
    assert _walk(TREE, ["instance-id"]) == "i-1"
    assert _walk(TREE, ["public-keys"]) == "0=mine"
    assert _walk(TREE, ["public-keys", "0", "openssh-key"]) == "ssh-ed25519 AAAA"
    for path in (["nothing"], ["instance-id", "deeper"]):
        with pytest.raises(_RefusalError, match="404"):
            _walk(TREE, path)


def test_names_belong_to_their_owner(tmp_path: Path) -> None:
    dns = Dns(Settings(state=tmp_path))
    dns.set("machines", {"One.ec2.internal": ["10.0.0.4"]})
    dns.set("databases", {"db.test": ["10.0.0.5", "10.0.0.6"]})
    assert dns.lookup("one.ec2.internal") == ["10.0.0.4"]
    assert dns.lookup("DB.test") == ["10.0.0.5", "10.0.0.6"]
    dns.set("machines", {})
    assert dns.lookup("one.ec2.internal") == []
    dns.apply([])
    assert (tmp_path / "dns/hosts").read_text() == "10.0.0.5 db.test\n10.0.0.6 db.test\n"
