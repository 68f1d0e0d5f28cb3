"""A WordPress machine with its database: what a visitor, an editor, a load balancer and an attacker see."""

from __future__ import annotations

import hashlib
import json
import time

import pytest

from support.waiting import until

testinfra_hosts = ["podman://wordpress"]
PASSWORD = "correct horse battery"
CONFIG = "/etc/wordpress/config.json"


def test_front_page_is_the_site(machine):
    answer = machine.get("/")
    assert answer.status == 200
    assert "<title>Molecule" in answer.body
    assert "https://blog.example.org/" in answer.body


def test_administrator_logs_in(machine):
    answer = machine.log_in(PASSWORD)
    assert answer.status == 302, answer
    assert answer.headers["location"].startswith("https://blog.example.org/wp-admin/")
    cookies = "; ".join(f"{name}={value}" for name, value in answer.cookies.items())
    dashboard = machine.get("/wp-admin/", headers={"Cookie": cookies})
    assert dashboard.status == 200
    assert "part of its machine image" in dashboard.body
    assert "update-nag" not in dashboard.body


@pytest.fixture
def mute_names(machine, database):
    """A name server that never answers, as where there is no way out."""
    address = machine.host.check_output("getent hosts database.internal").split()[0]
    listen = "import socket, time; s = socket.socket(type=socket.SOCK_DGRAM); s.bind(('', 53)); time.sleep(600)"
    database.check_output(f'systemd-run --quiet --collect --unit=mute python3 -c "{listen}"')
    machine.host.check_output(f"cp /etc/resolv.conf /root/resolv.conf && echo nameserver {address} >/etc/resolv.conf")
    yield
    machine.host.check_output("cat /root/resolv.conf >/etc/resolv.conf")
    database.check_output("systemctl stop mute")


def test_a_page_of_the_administrator_waits_for_nobody(machine, mute_names):
    machine.php("foreach (['core', 'plugins', 'themes'] as $what) delete_site_transient(\"update_$what\");")
    answer = machine.log_in(PASSWORD)
    cookies = "; ".join(f"{name}={value}" for name, value in answer.cookies.items())
    for page in ("", "plugins.php", "themes.php"):
        shown = machine.get(f"/wp-admin/{page}", headers={"Cookie": cookies, "User-Agent": f"Molecule {time.time()}"})
        assert shown.status == 200


def test_wrong_password_is_refused(machine):
    answer = machine.log_in("not this one")
    assert answer.status == 200
    assert not [name for name in answer.cookies if name.startswith("wordpress_logged_in")]


def test_permalinks_reach_wordpress(machine):
    assert machine.get("/there-is-no-such-page/").status == 404


def test_health_is_small_and_says_what_it_looked_at(machine):
    answer = machine.wait_for_health(True)
    assert answer.json() == {"healthy": True, "database": True, "uploads": True}
    assert answer.headers["cache-control"] == "no-store"


def test_health_follows_the_uploads(machine):
    machine.host.check_output("umount /srv/wordpress/uploads")
    try:
        answer = machine.wait_for_health(False)
        assert answer.json() == {"healthy": False, "database": True, "uploads": False}
        refused = machine.host.run("setpriv --reuid=33 --regid=33 --clear-groups touch /srv/wordpress/uploads/lost")
        assert refused.rc != 0, "an upload would have been lost below the mount"
        setup = machine.host.run("php /usr/local/lib/wordpress/setup.php")
        assert setup.rc == 1
        assert "wordpress_uploads_path" in setup.stderr
    finally:
        machine.host.check_output("mount /srv/wordpress/uploads")
    machine.wait_for_health(True)


def test_health_follows_the_database_and_pages_come_back(machine, database):
    database.check_output("systemctl stop mariadb")
    try:
        assert machine.wait_for_health(False).json()["database"] is False
        page = machine.get("/?nocache=1")
        assert page.status == 503
        assert "database.internal" not in page.body
    finally:
        database.check_output("systemctl start mariadb")
    machine.wait_for_health(True)
    assert machine.get("/?nocache=1").status == 200


def test_services_survive_a_restart(machine):
    fpm = machine.host.check_output("systemctl list-units --plain --no-legend 'php*-fpm.service'").split()[0]
    machine.host.check_output(f"systemctl restart nginx {fpm}")
    machine.wait_for_health(True)
    assert machine.get("/").status == 200
    for unit in ("nginx", fpm, "wordpress-cron.timer"):
        assert machine.host.service(unit).is_enabled


def test_stranger_s_certificate_is_refused(machine):
    authority = "/etc/wordpress/database-ca.pem"
    host = machine.host
    host.check_output(f"cp -p {authority} /root/authority.pem")
    host.check_output(
        "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=stranger "
        f"-keyout /dev/null -out {authority}"
    )
    try:
        assert machine.wait_for_health(False).json()["database"] is False
        assert machine.get("/?nocache=2").status == 503
    finally:
        host.check_output(f"cp -p /root/authority.pem {authority}")
    machine.wait_for_health(True)


def test_certificate_for_another_name_is_refused(machine):
    host = machine.host
    address = host.check_output("getent hosts database.internal").split()[0]
    host.check_output(f"cp -p {CONFIG} /root/config.json")
    config = json.loads(host.file(CONFIG).content_string)
    config["database"]["host"] = address
    host.run(f"cat > {CONFIG} <<'END'\n{json.dumps(config)}\nEND\n")
    try:
        assert machine.wait_for_health(False).json()["database"] is False
    finally:
        host.check_output(f"cp -p /root/config.json {CONFIG}")
    machine.wait_for_health(True)


def test_connection_is_encrypted(machine):
    version = machine.php("echo $GLOBALS['wpdb']->get_var(\"SHOW STATUS LIKE 'Ssl_version'\", 1);")
    assert version.startswith("TLSv1.")


def test_configuration_is_what_was_asked(machine):
    config = json.loads(machine.host.file(CONFIG).content_string)
    assert config["table_prefix"] == "wp_"
    assert config["database"]["host"] == "database.internal"
    assert config["database"]["password"] == "a\"b'c\\d$e{{f g#h"
    constants = config["constants"]
    assert constants["WP_HOME"] == constants["WP_SITEURL"] == "https://blog.example.org"
    for name in (
        "DISABLE_WP_CRON",
        "DISALLOW_FILE_EDIT",
        "DISALLOW_FILE_MODS",
        "AUTOMATIC_UPDATER_DISABLED",
        "FORCE_SSL_ADMIN",
    ):
        assert constants[name] is True, name
    assert len({value for name, value in constants.items() if name.endswith(("_KEY", "_SALT"))}) == 8
    flags = machine.php(
        "echo MYSQL_CLIENT_FLAGS === (MYSQLI_CLIENT_SSL | MYSQLI_CLIENT_SSL_VERIFY_SERVER_CERT) ? 'both' : 'not';"
    )
    assert flags == "both"


def test_secrets_are_for_those_who_need_them(machine):
    host = machine.host
    config, setup = host.file(CONFIG), host.file("/etc/wordpress/setup.json")
    assert (config.user, config.group, config.mode) == ("root", "www-data", 0o640)
    assert (setup.user, setup.group, setup.mode) == ("root", "root", 0o600)
    assert host.run(f"setpriv --reuid=65534 --regid=65534 --clear-groups cat {CONFIG}").rc != 0
    assert host.run("setpriv --reuid=33 --regid=33 --clear-groups cat /etc/wordpress/setup.json").rc != 0


@pytest.mark.parametrize("secret", [PASSWORD, "a\"b'c\\d$e{{f g#h", "smtp password of molecule"])
def test_secrets_are_nowhere_else(machine, secret):
    host = machine.host
    host.run(f"cat > /root/needle <<'END'\n{secret}\nEND\n")
    try:
        found = host.run("grep -rlF -f /root/needle /etc /var/log /srv/wordpress /usr/local /tmp").stdout.split()
        assert set(found) <= {CONFIG, "/etc/wordpress/setup.json"}
        assert host.run("journalctl --no-pager | grep -F -f /root/needle").stdout == ""
    finally:
        host.check_output("rm -f /root/needle /root/config.json")


def test_web_user_cannot_change_the_code(machine):
    for path in (
        "/srv/wordpress/current/x.php",
        "/srv/wordpress/current/wp-content/plugins/x",
        "/usr/local/lib/wordpress/x",
    ):
        assert machine.host.run(f"setpriv --reuid=33 --regid=33 --clear-groups touch {path}").rc != 0


@pytest.mark.parametrize("name", ["x.php", "x.PHP7", "x.phtml", "x.phar", "x.php.jpg", ".htaccess"])
def test_uploads_never_run(machine, name):
    host = machine.host
    host.run(f"printf '<?php echo 6*7;' > /srv/wordpress/uploads/{name}")
    try:
        for path in (f"/wp-content/uploads/{name}", f"/wp-content/uploads/{name}/x.php"):
            answer = machine.get(path)
            assert "42" not in answer.body
            assert answer.status in (403, 404)
    finally:
        host.check_output(f"rm /srv/wordpress/uploads/{name}")


def test_uploads_are_served_without_rights(machine):
    machine.host.run("printf picture > /srv/wordpress/uploads/picture.png")
    answer = machine.get("/wp-content/uploads/picture.png")
    assert (answer.status, answer.body) == (200, "picture")
    assert "sandbox" in answer.headers["content-security-policy"]
    assert answer.headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize(
    "path",
    ["/wp-config.php", "/wp-content/db.php", "/wp-cron.php", "/xmlrpc.php", "/readme.html", "/.git/config",
     "/wp-admin/install.php", "/wp-admin/upgrade.php", "/wp-admin/setup-config.php", "/wp-includes/version.php"],
)  # fmt: skip
def test_back_doors_are_shut(machine, path):
    assert machine.get(path).status == 403


def test_headers_protect_the_visitor(machine):
    for path in ("/", "/wp-includes/css/dist/block-library/style.min.css", "/wp-content/uploads/picture.png"):
        headers = machine.get(path).headers
        assert headers["x-content-type-options"] == "nosniff", path
        assert headers["x-frame-options"] == "SAMEORIGIN", path
        assert headers["strict-transport-security"].startswith("max-age="), path
    assert "x-powered-by" not in machine.get("/?nocache=3").headers
    assert machine.get("/").headers["server"] == "nginx"


def test_client_is_who_the_balancer_says(probe):
    assert probe()["remote_addr"] == "203.0.113.7"
    # The balancer appends what it saw: what came before is the client's own invention.
    assert probe(headers={"X-Forwarded-For": "198.51.100.9, 203.0.113.7"})["remote_addr"] == "203.0.113.7"


def test_nobody_else_says_who_the_client_is_or_how_it_came(probe):
    seen = probe(trusted=False, headers={"X-Forwarded-For": "203.0.113.7", "X-Forwarded-Proto": "https"})
    assert seen["remote_addr"] == "127.0.0.1"
    assert seen["https"] is False


def test_https_is_told_by_the_balancer(probe):
    assert probe()["https"] is True
    assert probe(headers={"X-Forwarded-Proto": "http"})["https"] is False


def test_host_header_changes_nothing(probe, machine):
    assert probe(headers={"Host": "evil.example.net"})["host"] == "blog.example.org"
    assert "evil.example.net" not in machine.get("/", headers={"Host": "evil.example.net"}).body


def test_upload_limits_agree(probe, machine):
    assert probe()["upload_max"] == 64 * 1024 * 1024
    assert "client_max_body_size 72m;" in machine.host.check_output("nginx -T")
    # Refused by its announced length, before a byte of it is sent.
    too_much = machine.host.run(
        "truncate -s 76000000 /tmp/large && curl -s -m 30 -o /dev/null -w '%{http_code}' -H 'Expect: 100-continue' "
        "--data-binary @/tmp/large http://127.0.0.1/; rm /tmp/large"
    )
    assert too_much.stdout.endswith("413")


def test_page_cache_serves_strangers_alone(machine):
    path = f"/?p={time.time_ns()}"
    assert machine.get(path).headers.get("x-page-cache") == "BYPASS"
    machine.get("/")
    assert machine.get("/").headers["x-page-cache"] in ("HIT", "STALE", "UPDATING")
    for cookie in ("wordpress_logged_in_x=1", "wp-postpass_x=1", "comment_author_x=1"):
        assert machine.get("/", headers={"Cookie": cookie}).headers["x-page-cache"] == "BYPASS"
    # The cache is not even asked.
    assert "x-page-cache" not in machine.get("/", options="-X POST -d a=b").headers


@pytest.fixture
def no_timer(machine):
    """The timer stopped, and what it had begun ended: whatever runs then would take the lock, or miss a later event."""
    machine.host.check_output("systemctl stop wordpress-cron.timer")
    wait_for_end(machine, "wordpress-cron.service")
    yield
    machine.host.check_output("systemctl start wordpress-cron.timer")


def wait_for_end(machine, unit):
    def ended():
        return machine.host.run(f"systemctl is-active {unit}").stdout.strip() in ("inactive", "failed")

    until(f"the end of {unit}", ended, 60)


def test_events_run_on_one_machine_at_a_time(machine, database, probe, no_timer):
    host, program = machine.host, "php /usr/local/lib/wordpress/cron.php"
    before = probe()["events"]
    machine.php("wp_schedule_single_event(time() - 1, 'molecule_event');")
    machine.get("/?p=1")
    assert probe()["events"] == before, "a page view has run the event"
    # What two machines do in the same minute.
    host.check_output("touch /run/molecule-event-goes-on")
    host.check_output(f"systemd-run --collect --unit=first-machine --uid=33 --gid=33 {program}")
    site = hashlib.sha1(b"blog\0wp_", usedforsecurity=False).hexdigest()[:20]
    held = f"mariadb -N blog -e \"SELECT IS_USED_LOCK('stackyard:cron:{site}') IS NOT NULL\""
    until("the lock", lambda: database.check_output(held) == "1")
    said = host.check_output(f"setpriv --reuid=33 --regid=33 --clear-groups {program}")
    host.check_output("rm /run/molecule-event-goes-on")
    assert "Another machine runs the scheduled events." in said
    wait_for_end(machine, "first-machine")
    assert probe()["events"] == before + 1


def test_events_are_run_by_the_timer_s_unit(machine, probe, no_timer):
    before = probe()["events"]
    machine.php("wp_schedule_single_event(time() - 1, 'molecule_event');")
    machine.host.check_output("systemctl start wordpress-cron.service")
    assert probe()["events"] == before + 1


def test_mail_is_given_to_the_configured_server(machine):
    # Whoever listens is not asked: what WordPress would do is.
    seen = machine.php(
        "add_action('phpmailer_init', function($m) { echo json_encode([$m->Mailer, $m->Host, $m->Port, $m->SMTPSecure, "
        "$m->SMTPAuth, $m->Username, $m->Password]); throw new PHPMailer\\PHPMailer\\Exception('enough'); }, 99);"
        "try { wp_mail('a@example.org', 's', 'b'); } catch (Throwable $e) {}"
    )
    assert json.loads(seen) == ["smtp", "smtp.example.org", 587, "tls", True, "molecule", "smtp password of molecule"]


def test_pools_follow_the_memory(machine):
    pools = machine.host.check_output("cat /etc/php/*/fpm/pool.d/www.conf")
    # (1024 - 384) / 80, from the scenario's php_memory_mb.
    assert "pm.max_children = 8" in pools


def test_nothing_else_listens(machine):
    lines = machine.host.check_output("ss -Hltnu").splitlines()
    open_ports = {
        line.split()[4].rsplit(":", 1)[1] for line in lines if not line.split()[4].startswith(("127.", "[::1]"))
    }
    # SSH is there for the bake; no security group lets anybody in.
    assert open_ports <= {"80", "22"}, lines
