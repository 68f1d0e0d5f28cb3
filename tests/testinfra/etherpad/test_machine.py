"""An Etherpad machine with its database: what a reader, an administrator, a load balancer and an attacker see."""

from __future__ import annotations

import base64
import hashlib
import json
import time

import pytest

from support.etherpad_machine import API_KEY, PASSWORDS, wait

SESSION_KEY = hashlib.sha256(b"molecule-session-key").hexdigest()
DATABASE_PASSWORD = "a\"b'c\\d$e{{f g#h%i"


def basic(user: str, password: str) -> dict[str, str]:
    return {"Authorization": "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()}


def test_pages_are_the_site_s(machine):
    front = machine.get("/")
    assert front.status == 200
    pad = machine.get("/p/molecule")
    assert pad.status == 200
    title = "Molecule&#39;s &#34;pads&#34; // of /* [a,] */"
    assert title in pad.body or title.replace("&#39;", "'").replace("&#34;", '"') in pad.body


def test_new_pad_begins_with_the_default_text_as_it_stands(machine):
    assert machine.text(machine.new_pad()) == "${HOME:not this}"


def test_settings_are_what_was_asked(machine):
    settings = machine.settings()
    assert settings["title"] == 'Molecule\'s "pads" // of /* [a,] */'
    assert settings["port"] == 9001
    assert settings["trustProxy"] is True
    assert settings["toolbar"] == {"left": [["bold", "italic"], ["undo", "redo"]]}
    assert settings["commitRateLimiting"] == {"duration": 1, "points": 100}
    assert settings["importExportRateLimiting"] == {"windowMs": 90000, "max": 1000}
    assert settings["importMaxFileSize"] == 50 * 1024 * 1024
    assert settings["suppressErrorsInPadText"] is True
    assert settings["soffice"] is None
    assert settings["showSettingsInAdminPage"] is False
    assert settings["requireAuthentication"] is False
    assert settings["users"]["admin"] == {"password": PASSWORDS["admin"], "is_admin": True}
    assert settings["users"]["ada"]["is_admin"] is False


def test_toolbar_is_what_was_asked(machine):
    body = machine.get("/p/molecule").body
    assert 'data-key="bold"' in body
    assert 'data-key="strikethrough"' not in body


def test_pad_is_kept_over_a_restart(machine):
    text = "Zürich, 東京, 🙂 and a backslash \\\n"
    pad = machine.new_pad(text)
    machine.host.check_output("systemctl restart etherpad")
    machine.wait_for_health(True)
    assert machine.text(pad) == text.rstrip("\n")


def test_export_as_text_and_html(machine):
    pad = machine.new_pad("To be exported\n")
    assert machine.get(f"/p/{pad}/export/txt").body.strip() == "To be exported"
    page = machine.get(f"/p/{pad}/export/html")
    assert page.status == 200
    assert "To be exported" in page.body
    assert "<html" in page.body


def test_api_needs_its_key(machine):
    assert machine.api("listAllPads")["code"] == 0
    assert machine.api("listAllPads", key="x" * 64)["code"] == 4
    assert machine.api("listAllPads", key="")["code"] == 4


@pytest.mark.parametrize("page", ["/admin", "/admin/plugins", "/admin/settings"])
def test_administrator_s_pages_need_a_password(machine, page):
    assert machine.get(page).status in (301, 401)
    assert machine.get(page, options="-L").status in (301, 401)
    assert machine.get(page, headers=basic("admin", "not this one")).status == 401
    assert machine.get(page, headers=basic("ada", PASSWORDS["ada"])).status == 403
    assert machine.get(page, headers=basic("admin", PASSWORDS["admin"])).status in (200, 301, 302)


def test_session_is_accepted_by_the_next_process(machine):
    cookies = machine.get("/admin/plugins", headers=basic("admin", PASSWORDS["admin"])).cookies
    session = {"Cookie": f"express_sid={cookies['express_sid']}"}
    assert machine.get("/admin/plugins", headers=session).status == 200
    machine.host.check_output("systemctl restart etherpad")
    machine.wait_for_health(True)
    assert machine.get("/admin/plugins", headers=session).status == 200
    forged = {"Cookie": "express_sid=" + cookies["express_sid"][:-6] + "AAAAAA"}
    assert machine.get("/admin/plugins", headers=forged).status == 401


def test_plug_ins_are_loaded(machine):
    listed = machine.get("/pluginfw/plugin-definitions.json").json()
    assert "ep_headings2" in listed["plugins"]
    assert "heading-selection" in machine.get("/p/molecule").body
    assert "ep_stackyard_health@" in machine.host.check_output("journalctl -b --no-pager -o cat -u etherpad")


def test_health_is_small_and_leaves_nothing_behind(machine):
    answer = machine.wait_for_health(True)
    assert answer.json() == {"healthy": True, "database": True}
    assert answer.headers["cache-control"] == "no-store"
    assert "set-cookie" not in answer.headers
    rows = machine.query("SELECT COUNT(*) FROM store")
    for _ in range(5):
        assert machine.get("/healthz").status == 200
        time.sleep(0.6)
    assert machine.query("SELECT COUNT(*) FROM store") == rows
    assert machine.get("/healthz", options="-X POST").status != 200


def test_health_follows_the_database_and_editing_works_again(machine):
    pad = machine.new_pad("before\n")
    machine.database("stop")
    try:
        answer = machine.wait_for_health(False, 20)
        assert "database.internal" not in answer.body
        time.sleep(5)
        assert machine.get("/healthz").status in (503, 0)
    finally:
        machine.database("start")
    machine.wait_for_health(True)
    assert machine.text(pad) == "before"
    assert machine.api("setText", padID=pad, text="after\n")["code"] == 0
    assert machine.text(pad) == "after"


def test_health_is_told_in_time_by_a_database_that_hangs(machine):
    machine.wait_for_health(True)
    machine.database("freeze")
    try:
        time.sleep(1)
        began = time.monotonic()
        for _ in range(8):
            assert machine.get("/healthz", most=10).status == 503
        assert time.monotonic() - began < 8 * 3
    finally:
        machine.database("thaw")
    machine.wait_for_health(True, 90)


def test_killed_process_comes_back(machine):
    before = machine.host.check_output("systemctl show -P MainPID etherpad")
    machine.host.check_output("systemctl kill --signal=KILL etherpad")
    wait(
        lambda: machine.get("/healthz"),
        lambda answer: (
            answer.status == 200 and machine.host.check_output("systemctl show -P MainPID etherpad") != before
        ),
        30,
    )


def test_stop_is_graceful_and_in_time(machine):
    pad = machine.new_pad("before\n")
    # A reader that keeps its connection open, as a load balancer and a page with long polling do.
    machine.host.check_output(
        "systemd-run --quiet --unit=reader --collect python3 -c "
        '\'import socket,time; s=socket.create_connection(("127.0.0.1",9001)); '
        's.sendall(b"GET / HTTP/1.1\\r\\nHost: x\\r\\n\\r\\n"); time.sleep(60)\''
    )
    try:
        assert machine.api("setText", padID=pad, text="last words\n")["code"] == 0
        began = time.monotonic()
        machine.host.check_output("systemctl stop etherpad")
        took = time.monotonic() - began
        said = machine.journal(30)
        assert took < 7, f"{took} s\n{said}"
        assert "Database closed" in said
        assert "State 'stop-sigterm' timed out" not in said
        assert not machine.host.file("/run/etherpad/settings.json").exists
    finally:
        machine.host.run("systemctl stop reader")
        machine.host.check_output("systemctl start etherpad")
    machine.wait_for_health(True)
    assert machine.text(pad) == "last words"


def test_etherpad_belongs_to_the_target_alone(machine):
    host = machine.host
    assert host.service("etherpad").is_enabled
    assert host.check_output("systemctl show -P WantedBy etherpad") == "stackyard-leased.target"
    assert "stackyard-leased.target" in host.check_output("systemctl show -P BindsTo etherpad")
    host.check_output("systemctl stop stackyard-leased.target")
    assert host.check_output("systemctl show -P ActiveState etherpad") == "inactive"
    host.check_output("systemctl start stackyard-leased.target")
    machine.wait_for_health(True)


def test_nothing_else_listens(machine):
    # From the kernel: state 0A is LISTEN, and addresses are written in hexadecimal.
    rows = machine.host.check_output("cat /proc/net/tcp /proc/net/tcp6").splitlines()
    listening = {row.split()[1] for row in rows if row.split()[3] == "0A"}
    assert {address for address in listening if not address.startswith("0100007F")} == {f"00000000:{9001:04X}"}


def test_secrets_are_not_for_others(machine):
    host = machine.host
    for path, group, mode in (
        ("/etc/etherpad/database.json", "root", 0o600),
        ("/etc/etherpad/settings.json", "root", 0o600),
        ("/etc/etherpad/session-key", "etherpad", 0o640),
        ("/etc/etherpad/api-key", "etherpad", 0o640),
        ("/run/etherpad/settings.json", "etherpad", 0o640),
    ):
        file = host.file(path)
        assert (file.user, file.group, file.mode) == ("root", group, mode), path
    as_user = "setpriv --reuid=etherpad --regid=etherpad --clear-groups"
    assert host.run(f"{as_user} cat /etc/etherpad/database.json").rc != 0
    assert host.run(f"{as_user} touch /run/etherpad/settings.json").rc != 0
    assert host.run("setpriv --reuid=65534 --regid=65534 --clear-groups ls /run/etherpad").rc != 0


def test_etherpad_has_an_account_of_its_own(machine):
    given = machine.settings()["dbSettings"]
    assert given["user"] == "etherpad_0"
    assert len(given["password"]) == 32
    assert machine.accounts() == ["etherpad_0"]
    assert DATABASE_PASSWORD not in json.dumps(machine.settings())


def test_no_secret_is_told(machine):
    host = machine.host
    main = host.check_output("systemctl show -P MainPID etherpad")
    told = {
        "journal": host.check_output("journalctl --no-pager -o cat"),
        "processes": host.check_output("ps axww -o args"),
        "environment": host.check_output(f"tr '\\0' '\\n' </proc/{main}/environ"),
        "unit": host.check_output("systemctl cat etherpad; systemctl show etherpad"),
    }
    secrets = (
        *PASSWORDS.values(),
        API_KEY,
        SESSION_KEY,
        DATABASE_PASSWORD,
        machine.settings()["dbSettings"]["password"],
    )
    for where, text in told.items():
        # The tests' own calls carry the API's key in their address, which only debugging would log.
        found = [secret for secret in secrets if secret in text]
        assert not found, where


def test_code_cannot_be_written_to(machine):
    host = machine.host
    main = host.check_output("systemctl show -P MainPID etherpad")
    as_user = "setpriv --reuid=etherpad --regid=etherpad --clear-groups"
    # The files as the process sees them.
    root = f"/proc/{main}/root"
    for path in ("/srv/etherpad/current/x", "/srv/etherpad/current/src/x", "/etc/etherpad/x", "/run/etherpad/x", "/x"):
        assert host.run(f"{as_user} touch {root}{path}").rc != 0, path
    written = host.run(f"{as_user} touch {root}/var/cache/etherpad/var/x")
    assert written.rc == 0, written.stderr
    assert host.file("/srv/etherpad/current/var/x").exists


def test_sandbox_is_as_tight_as_the_readme_says(machine):
    exposure = machine.host.check_output("systemd-analyze security --no-pager etherpad.service").splitlines()[-1]
    assert float(exposure.split(":")[1].split()[0]) <= 1.3, exposure


def test_stranger_s_certificate_is_refused(machine):
    authority = "/etc/etherpad/database-ca.pem"
    host = machine.host
    host.check_output(f"cp -p {authority} /root/authority.pem")
    host.check_output(
        "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=stranger "
        f"-keyout /dev/null -out {authority}"
    )
    try:
        began = host.check_output("date +%s")
        host.run("systemctl --no-block restart etherpad")
        said = wait(lambda: machine.said_since(began), lambda text: "trying again" in text, 20)
        assert "certificate" in said
        assert machine.get("/healthz").status == 0
    finally:
        host.check_output(f"cp -p /root/authority.pem {authority}")
    machine.wait_for_health(True)


def test_certificate_for_another_name_is_refused(machine):
    host = machine.host
    path = "/etc/etherpad/database.json"
    address = host.check_output("getent hosts database.internal").split()[0]
    config = json.loads(host.file(path).content_string)
    host.check_output(f"cp -p {path} /root/database.json")
    host.run(f"cat > {path} <<'END'\n{json.dumps(config | {'host': address})}\nEND\n")
    try:
        began = host.check_output("date +%s")
        host.run("systemctl --no-block restart etherpad")
        said = wait(lambda: machine.said_since(began), lambda text: "trying again" in text, 20)
        assert "certificate" in said
    finally:
        host.check_output(f"cp -p /root/database.json {path}")
    machine.wait_for_health(True)


def test_connections_are_encrypted(machine):
    if machine.engine == "mysql":
        ciphers = machine.query("SELECT COUNT(*) FROM information_schema.PROCESSLIST WHERE USER = 'etherpad_0'")
        assert int(ciphers[0]) > 0
        assert machine.query("SELECT ssl_type FROM mysql.user WHERE User = 'etherpad_0'") == ["ANY"]
    else:
        # Idle connections are gone after a second.
        question = "SELECT DISTINCT ssl FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) WHERE usename = 'etherpad_0'"
        wait(lambda: (machine.api("listAllPads"), machine.query(question))[1], lambda rows: rows == ["t"], 10)
