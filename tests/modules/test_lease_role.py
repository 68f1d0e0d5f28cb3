"""What the role lease refuses, and that its daemon accepts what it lets pass."""

import json

import pytest

from support.control_plane import REPOSITORY
from support.lease_contender import load_daemon

GOOD = {"lease_table": "demo-etherpad-leases", "lease_name": "etherpad"}
WRONG = [
    ({"lease_table": "a b"}, "lease_table must be the name of a DynamoDB table"),
    ({"lease_name": ""}, "lease_name must be set when lease_table is"),
    ({"lease_table": ""}, "lease_table must be set when lease_name is"),
    ({"lease_name": "ether pad"}, "lease_name must be 1 to 255 letters"),
    ({"lease_region": "virginia"}, "lease_region must be a region"),
    ({"lease_holder": "i 1"}, "lease_holder must be at most 255 letters"),
    ({"lease_forward_ports": [0]}, "lease_forward_ports must be a list of port numbers"),
    ({"lease_ttl_seconds": 5}, "lease_ttl_seconds must be a number of seconds from 10 to 300"),
    ({"lease_ttl_seconds": 19}, "lease_ttl_seconds must be at least 20: room for two renewals"),
    ({"lease_renew_seconds": 0}, "lease_renew_seconds must be a number of seconds from 1"),
    ({"lease_renew_seconds": 5}, "lease_ttl_seconds must be at least 22"),
    ({"lease_stop_seconds": 3}, "lease_stop_seconds must be a number of seconds from 4"),
    ({"lease_stop_seconds": 9}, "lease_ttl_seconds must be at least 21"),
    ({"lease_handover_seconds": 7}, "lease_handover_seconds must be a number of seconds from lease_stop_seconds (8)"),
    ({"lease_wait_seconds": 49}, "lease_wait_seconds must be a number of seconds from 50"),
    ({"lease_tll_seconds": 20}, "The role lease has no variable lease_tll_seconds"),
]


def test_wrong_input_is_refused(ansible):
    said = ansible.refusals("lease", [GOOD | wrong for wrong, _ in WRONG], tasks_from="preflight")
    assert [(sentence, text) for (_, sentence), text in zip(WRONG, said, strict=True) if sentence not in text] == []


@pytest.mark.parametrize(
    "times",
    [
        {},
        {"lease_ttl_seconds": 10, "lease_renew_seconds": 1, "lease_stop_seconds": 4, "lease_handover_seconds": 4},
        {"lease_ttl_seconds": 300, "lease_renew_seconds": 146, "lease_stop_seconds": 4},
        {"lease_ttl_seconds": 300, "lease_renew_seconds": 1, "lease_stop_seconds": 294, "lease_handover_seconds": 300},
    ],
)
def test_the_daemon_accepts_what_the_role_lets_pass(ansible, tmp_path, times):
    file = tmp_path / "lease.json"
    role = {"name": "stackyard.aws.lease", "tasks_from": "preflight", "public": True}
    tasks = [
        {"name": "Check", "ansible.builtin.include_role": role},
        {
            "name": "Write",
            "ansible.builtin.template": {
                "src": "{{ playbook_dir }}/lease.json.j2",
                "dest": str(file),
                "mode": "0644",
            },
        },
    ]
    template = "roles/lease/templates/etc/stackyard/lease.json.j2"
    (ansible.directory / "lease.json.j2").write_text((REPOSITORY / template).read_text())
    wait = {"lease_wait_seconds": 7200}
    ansible.run_tasks(tasks, variables=GOOD | times | wait)
    daemon = load_daemon()
    settings = daemon.Settings.read(file)
    assert (settings.table, settings.lease, settings.holder) == ("demo-etherpad-leases", "etherpad", "")
    assert {type(value) for name, value in json.loads(file.read_text()).items() if name in ("ttl", "kill")} == {int}
    # One who is told nothing else uses the same times as the role.
    assert times or settings == daemon.Settings(table=settings.table, lease=settings.lease)
