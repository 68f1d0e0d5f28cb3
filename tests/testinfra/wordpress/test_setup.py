"""Installation and upgrade once for the fleet: at the same time, cut off half-way, from elsewhere.

Each test has a site of its own in the same database, told apart by the prefix of its tables. The machine's
configuration is covered by another one for the single process, in a mount namespace of its own.
"""

from __future__ import annotations

import json
import random
import shlex

import pytest

testinfra_hosts = ["podman://wordpress"]
NETWORK = {
    "MULTISITE": True,
    "SUBDOMAIN_INSTALL": False,
    "DOMAIN_CURRENT_SITE": "blog.example.org",
    "PATH_CURRENT_SITE": "/",
    "SITE_ID_CURRENT_SITE": 1,
    "BLOG_ID_CURRENT_SITE": 1,
}
SETUP = "php /usr/local/lib/wordpress/setup.php"


@pytest.fixture
def site(machine, database, request):
    """A function that makes the command to set up a site of this test, and its prefix."""
    config = json.loads(machine.host.file("/etc/wordpress/config.json").content_string)
    prefix = f"t{random.randrange(10**8)}_"
    config["table_prefix"] = prefix
    config["constants"] |= getattr(request, "param", {})
    path = f"/root/{prefix}.json"
    machine.host.run(f"umask 077; cat > {path} <<'END'\n{json.dumps(config)}\nEND\n")
    machine.host.check_output(f"chgrp www-data {path} && chmod 640 {path}")
    inner = f"mount --bind {path} /etc/wordpress/config.json && exec {SETUP}"
    yield f"unshare --mount sh -c {shlex.quote(inner)}", prefix
    machine.host.check_output(f"rm {path}")
    tables = database.check_output(f"mariadb -N blog -e \"SHOW TABLES LIKE '{prefix[:-1]}%'\"").split()
    if tables:
        database.check_output(f"mariadb blog -e 'DROP TABLE {', '.join(tables)}'")


def query(database, statement):
    return database.check_output(f"mariadb -N blog -e {shlex.quote(statement)}")


def test_again_nothing_is_left_to_do(machine):
    assert machine.host.check_output(SETUP) == "current"


def test_two_machines_at_once_install_one_site(machine, database, site):
    command, prefix = site
    said = machine.host.check_output(f"({command}) & {command}; wait").split()
    assert sorted(said) == ["current", "installed"]
    assert query(database, f"SELECT COUNT(*) FROM {prefix}users") == "1"
    assert query(database, f"SELECT COUNT(*) FROM {prefix}posts WHERE post_type = 'post'") == "1"


def test_machine_that_dies_half_way_is_made_good(machine, database, site):
    command, prefix = site
    for tenths in (1, 3, 6, 10):
        machine.host.run(
            f"timeout --signal=KILL 0.{tenths} {command}" if tenths < 10 else f"timeout --signal=KILL 1 {command}"
        )
    last = machine.host.run(command)
    assert last.rc == 0, last.stderr
    assert query(database, f"SELECT state FROM {prefix}stackyard") == "installed"
    assert query(database, f"SELECT user_login FROM {prefix}users") == "admin"
    assert query(database, f"SELECT COUNT(*) FROM {prefix}posts WHERE post_type = 'post'") == "1"
    assert machine.host.check_output(command) == "current"


def test_cut_off_installation_is_begun_again(machine, database, site):
    command, prefix = site
    machine.host.check_output(command)
    query(database, f"UPDATE {prefix}stackyard SET state = 'installing'; DELETE FROM {prefix}users")
    assert machine.host.check_output(command).splitlines()[-1] == "installed"
    assert query(database, f"SELECT user_login FROM {prefix}users") == "admin"


def test_older_tables_are_upgraded_once(machine, database, site):
    command, prefix = site
    machine.host.check_output(command)
    query(database, f"UPDATE {prefix}options SET option_value = '50000' WHERE option_name = 'db_version'")
    said = machine.host.check_output(f"({command}) & {command}; wait").split()
    assert sorted(said) == ["current", "upgraded"]
    assert int(query(database, f"SELECT option_value FROM {prefix}options WHERE option_name = 'db_version'")) > 50000


def test_newer_tables_are_left_alone(machine, database, site):
    command, prefix = site
    machine.host.check_output(command)
    query(database, f"UPDATE {prefix}options SET option_value = '99999999' WHERE option_name = 'db_version'")
    assert machine.host.check_output(command) == "newer"
    assert query(database, f"SELECT option_value FROM {prefix}options WHERE option_name = 'db_version'") == "99999999"


def test_imported_site_is_taken_as_it_is(machine, database, site):
    command, prefix = site
    machine.host.check_output(command)
    query(database, f"DROP TABLE {prefix}stackyard; UPDATE {prefix}users SET user_login = 'somebody'")
    assert machine.host.check_output(command) == "current"
    assert query(database, f"SELECT user_login FROM {prefix}users") == "somebody"


def test_tables_of_something_else_are_not_touched(machine, database, site):
    command, prefix = site
    query(database, f"CREATE TABLE {prefix}books (id INT)")
    refused = machine.host.run(command)
    assert refused.rc == 1
    assert "wordpress_table_prefix" in refused.stderr
    assert query(database, f"SHOW TABLES LIKE '{prefix[:-1]}%'") == f"{prefix}books"


@pytest.mark.parametrize(
    "site",
    [NETWORK],
    indirect=True,
)
def test_network_of_sites_is_installed(machine, database, site):
    command, prefix = site
    assert machine.host.check_output(command) == "installed"
    assert query(database, f"SELECT domain FROM {prefix}blogs") == "blog.example.org"
    assert machine.host.check_output(command) == "current"
