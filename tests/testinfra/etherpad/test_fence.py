"""The database belongs to one holder: a later one ends the earlier one, and an earlier one cannot come back.

The other machine of each test is the fence with another lease, in a mount namespace of its own.
"""

from __future__ import annotations

import json
import random
import shlex

import pytest

from support.etherpad_machine import CONNECT, DATABASE, wait

FENCE = "/usr/local/lib/etherpad/fence"


class Other:
    """Another machine that holds the lease with a token."""

    def __init__(self, machine, token: int | None) -> None:
        self.machine = machine
        self.token = token
        self.folder = f"/root/other-{random.randrange(10**9)}"
        host = machine.host
        host.check_output(f"mkdir -p {self.folder}/run {self.folder}/lease /run/stackyard-lease")
        config = json.loads(host.file("/etc/etherpad/database.json").content_string) | {"leased": True}
        self.put("database.json", config)
        if token is not None:
            self.put("lease/lease.json", {"lease": "etherpad", "holder": "i-other", "token": token})

    def put(self, name, content):
        self.machine.host.run(f"umask 077; cat > {self.folder}/{name} <<'END'\n{json.dumps(content)}\nEND\n")

    @property
    def command(self) -> str:
        inner = (
            f"mount --bind {self.folder}/database.json /etc/etherpad/database.json"
            f" && mount --bind {self.folder}/run /run/etherpad"
            f" && mount --bind {self.folder}/lease /run/stackyard-lease"
            f" && exec {FENCE} take"
        )
        return f"unshare --mount sh -c {shlex.quote(inner)}"

    def fence(self):
        return self.machine.host.run(self.command)

    def settings(self):
        return json.loads(self.machine.host.check_output(f"cat {self.folder}/run/settings.json"))


@pytest.fixture
def tokens(machine):
    """Puts the machine back in charge afterwards, and gives the test tokens of its own."""
    machine.wait_for_health(True)
    yield lambda token: Other(machine, token)
    machine.host.check_output(f"{FENCE} forget")
    machine.host.check_output("systemctl restart etherpad; rm -rf /root/other-* /root/held*")
    machine.wait_for_health(True)
    assert machine.accounts() == ["etherpad_0"]


WRITE = """
cursor = connection.cursor()
value = json.dumps("written")
if settings["dbType"] == "mysql":
    cursor.execute("REPLACE INTO store VALUES (%s, %s)", ("molecule:" + sys.argv[2], value))
else:
    cursor.execute("INSERT INTO store VALUES (%s, %s)", ("molecule:" + sys.argv[2], value))
"""
# Opens a connection with the settings in the file named, waits until another file is there, and then writes.
HOLD = (
    """
import os, time
settings = json.load(open(sys.argv[1]))
connection = connect(settings)
connection.cursor().execute("SELECT 1")
open("/root/held-" + sys.argv[2], "w").close()
while not os.path.exists("/root/held-go"):
    time.sleep(0.05)
"""
    + WRITE
)


def mark() -> str:
    """A name for what one connection writes."""
    return f"mark-{random.randrange(10**9)}"


def stored(machine, key: str) -> list[str]:
    """What the database has under a key."""
    column = "`key`" if machine.engine == "mysql" else "key"
    return machine.query(f"SELECT value FROM store WHERE {column} = '{key}'")


def written(machine, name: str) -> bool:
    """Tell whether a connection has written."""
    return stored(machine, f"molecule:{name}") == ['"written"']


def hold_connection(machine, settings_file, mark):
    """Keep a connection open in the background until it is told to write."""
    code = shlex.quote(CONNECT + HOLD)
    machine.host.check_output(f"systemd-run --quiet --unit=held-{mark} python3 -c {code} {settings_file} {mark}")
    wait(lambda: machine.host.file(f"/root/held-{mark}").exists, bool, 15)


def end_of(machine, mark):
    """Tell the connection to write, and return how its process ended."""
    machine.host.check_output("touch /root/held-go")
    unit = f"held-{mark}"
    wait(
        lambda: machine.host.check_output(f"systemctl show -P ActiveState {unit}"),
        lambda state: state in ("failed", "inactive"),
        20,
    )
    result = machine.host.check_output(f"systemctl show -P Result {unit}")
    machine.host.run(f"systemctl reset-failed {unit}; rm -f /root/held-go /root/held-{mark}")
    return result


def test_open_connection_can_write_while_nobody_else_fences(machine, tokens):
    """The counterpart of the next test: without it, that one would prove nothing."""
    alone = mark()
    hold_connection(machine, "/run/etherpad/settings.json", alone)
    assert end_of(machine, alone) == "success"
    assert written(machine, alone)


def test_second_holder_ends_the_first_one_s_open_connection(machine, tokens):
    pad = machine.new_pad("of the first\n")
    of_first, of_second = mark(), mark()
    hold_connection(machine, "/run/etherpad/settings.json", of_first)
    second = tokens(7)
    taken = second.fence()
    assert taken.rc == 0, taken.stderr
    assert "holder 7" in taken.stdout
    assert machine.accounts() == ["etherpad_7"]
    assert end_of(machine, of_first) == "exit-code"
    assert not written(machine, of_first)
    # Etherpad itself, with its pool of connections, is the first holder too: it writes nothing and turns unhealthy.
    answer = machine.api("setText", padID=pad, text="too late\n")
    assert answer["code"] != 0
    machine.wait_for_health(False, 10)
    # The new holder reads what the first one wrote, and writes.
    second.machine.host.check_output(f"cp {second.folder}/run/settings.json /root/held-second.json")
    hold_connection(machine, "/root/held-second.json", of_second)
    assert end_of(machine, of_second) == "success"
    assert written(machine, of_second)
    document = stored(machine, f"pad:{pad}")[0]
    assert "of the first" in document
    assert "too late" not in document


def test_earlier_holder_is_refused(machine, tokens):
    # Etherpad itself would be started again, without a lease, as soon as its connections have ended.
    machine.host.check_output("systemctl stop etherpad")
    assert tokens(9).fence().rc == 0
    earlier = tokens(8).fence()
    assert earlier.rc == 1
    assert "the holder 9 and this machine is the holder 8" in earlier.stderr
    assert machine.accounts() == ["etherpad_9"]


def test_without_a_lease_nobody_is_fenced(machine, tokens):
    """The machine itself uses none, so that its own connections outlive another fence without one."""
    of_machine = mark()
    assert tokens(9).fence().rc == 0
    machine.host.check_output("systemctl restart etherpad")
    machine.wait_for_health(True)
    assert sorted(machine.accounts()) == ["etherpad_0", "etherpad_9"]
    hold_connection(machine, "/run/etherpad/settings.json", of_machine)
    other = tokens(None)
    other.put("database.json", json.loads(machine.host.file("/etc/etherpad/database.json").content_string))
    taken = other.fence()
    assert taken.rc == 0, taken.stderr
    assert sorted(machine.accounts()) == ["etherpad_0", "etherpad_9"]
    assert end_of(machine, of_machine) == "success"
    assert written(machine, of_machine)
    machine.host.check_output(f"cp {other.folder}/run/settings.json /root/held-other.json")
    of_other = mark()
    hold_connection(machine, "/root/held-other.json", of_other)
    assert end_of(machine, of_other) == "success"
    # The next holder of a lease ends both.
    assert tokens(10).fence().rc == 0
    assert machine.accounts() == ["etherpad_10"]


def test_nothing_is_taken_without_the_lease(machine, tokens):
    without = tokens(None).fence()
    assert without.rc == 1
    assert "does not hold the lease" in without.stderr
    assert machine.accounts() == ["etherpad_0"]
    machine.wait_for_health(True)


def test_holder_takes_again_after_its_process_has_ended(machine, tokens):
    holder = tokens(5)
    assert holder.fence().rc == 0
    first = holder.settings()["dbSettings"]["password"]
    assert holder.fence().rc == 0
    assert holder.settings()["dbSettings"]["password"] != first
    assert machine.accounts() == ["etherpad_5"]


def test_two_at_once_leave_the_later_one(machine, tokens):
    fences = [tokens(token) for token in (21, 24, 22, 23)]
    machine.host.run(" & ".join(f"({fence.command})" for fence in fences) + " & wait")
    assert machine.accounts() == ["etherpad_24"]
    assert fences[1].settings()["dbSettings"]["user"] == "etherpad_24"


def test_fence_that_hangs_does_not_keep_the_next_one_out(machine, tokens):
    hanging = (
        "cursor = connection.cursor()\n"
        + (
            "cursor.execute(\"SELECT GET_LOCK('etherpad-fence', 1)\")\n"
            if machine.engine == "mysql"
            else "cursor.execute('SELECT pg_advisory_lock(%s)', (0x65706164,))\n"
        )
        + "open('/root/held-hanging', 'w').close()\nimport time\ntime.sleep(120)\n"
    )
    # With the database's own account, as a fence has it.
    own = (
        "config = json.load(open('/etc/etherpad/database.json'))\n"
        "settings = {'dbType': 'mysql' if config['engine'] == 'mysql' else 'postgres', 'dbSettings':"
        " {'host': config['host'], 'port': config['port'], 'user': config['user'], 'password': config['password'],"
        " 'database': config['name'], 'ssl': {'ca': open(config['ca']).read()}}}\nconnection = connect(settings)\n"
    )
    machine.host.check_output(
        f"systemd-run --quiet --unit=held-hanging python3 -c {shlex.quote(CONNECT + own + hanging)}"
    )
    wait(lambda: machine.host.file("/root/held-hanging").exists, bool, 15)
    try:
        taken = tokens(3).fence()
        assert taken.rc == 0, taken.stderr
        assert machine.accounts() == ["etherpad_3"]
    finally:
        machine.host.run("systemctl stop held-hanging; systemctl reset-failed held-hanging")


def test_account_has_rights_on_the_one_schema_only(machine, tokens):
    attempts = (
        ["CREATE DATABASE other_of_molecule", "SELECT * FROM mysql.user", "CREATE TABLE padsxofxmolecule.t (i INT)",
         "CREATE USER 'other'@'%'", "SET GLOBAL max_connections = 1"]
        if machine.engine == "mysql"
        else ["CREATE DATABASE other_of_molecule", "CREATE ROLE other", "CREATE SCHEMA other",
              "SELECT * FROM pg_authid", f"ALTER DATABASE {DATABASE} RENAME TO other"]
    )  # fmt: skip
    code = """
connection = connect(json.load(open("/run/etherpad/settings.json")))
done = []
for statement in sys.argv[1:]:
    try:
        connection.cursor().execute(statement)
        done.append(statement)
    except Exception as error:
        pass
print(json.dumps(done))
"""
    tried = machine.python(code, *attempts)
    assert tried.rc == 0, tried.stderr
    assert json.loads(tried.stdout) == []


def test_tables_outlive_their_maker(machine, tokens):
    if machine.engine == "mysql":
        collation = machine.query(
            f"SELECT DEFAULT_COLLATION_NAME FROM information_schema.SCHEMATA WHERE SCHEMA_NAME = '{DATABASE}'"
        )
        assert collation == ["utf8mb4_bin"]
    else:
        assert machine.query("SELECT tableowner FROM pg_tables WHERE tablename = 'store'") == ["etherpad"]


def test_imported_tables_are_taken_over(machine, tokens):
    if machine.engine == "mysql":
        pytest.skip("tables have no owner there")
    machine.query("CREATE TABLE imported (i INT); ALTER TABLE imported OWNER TO molecule")
    try:
        assert tokens(4).fence().rc == 0
        assert machine.query("SELECT tableowner FROM pg_tables WHERE tablename = 'imported'") == ["etherpad"]
    finally:
        machine.query("DROP TABLE imported")


def test_wrong_command_is_told(machine):
    done = machine.host.run(f"{FENCE} give")
    assert done.rc == 2
    assert "take|forget" in done.stderr
