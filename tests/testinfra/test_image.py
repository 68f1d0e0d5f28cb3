"""What holds for every machine image, before and after it is configured.

Packer runs this file inside the build over SSH (``pytest --hosts=ssh://… --sudo``), molecule on its machine. The
application is named by STACKYARD_APPLICATION.
"""

from __future__ import annotations

import json
import os
import re
import shlex
from pathlib import Path

import pytest

APPLICATION = os.environ.get("STACKYARD_APPLICATION", "wordpress")
testinfra_hosts = [f"podman://{APPLICATION}"]
wordpress = pytest.mark.skipif(APPLICATION != "wordpress", reason="an image of another application")
etherpad = pytest.mark.skipif(APPLICATION != "etherpad", reason="an image of another application")
jenkins_agent = pytest.mark.skipif(APPLICATION != "jenkins_agent", reason="an image of another application")
jenkins = pytest.mark.skipif(APPLICATION != "jenkins", reason="an image of another application")


@pytest.fixture
def image(host):
    """The machine, if it is one that an image is taken from."""
    if host.backend.get_connection_type() == "podman":
        pytest.skip("a configured machine")
    return host


def test_time_is_kept_by_amazon_s_clock(host):
    assert "169.254.169.123" in host.file("/etc/systemd/timesyncd.conf.d/stackyard.conf").content_string
    assert host.service("systemd-timesyncd").is_enabled


def test_nothing_upgrades_itself(host):
    settings = host.check_output("apt-config dump APT::Periodic")
    assert 'APT::Periodic::Unattended-Upgrade "0";' in settings


def test_journal_has_a_limit(host):
    assert "SystemMaxUse=" in host.check_output("systemd-analyze cat-config systemd/journald.conf")


def test_log_rotation_is_valid(host):
    done = host.run("logrotate --debug /etc/logrotate.conf")
    assert done.rc == 0, done.stderr
    assert "error:" not in done.stderr


def test_hardening_is_set_at_boot(host):
    parameters = host.file("/etc/sysctl.d/80-stackyard.conf").content_string
    assert "kernel.kptr_restrict = 2" in parameters
    assert "net.ipv4.conf.all.accept_redirects = 0" in parameters


def test_nothing_is_left_of_the_build(image):
    # The program as an argument: a file on the machine would be one more leftover.
    program = (Path(__file__).parents[1] / "support" / "leftovers.py").read_text()
    looked = image.run(f"python3 -c {shlex.quote(program)} /")
    assert looked.rc == 0, looked.stdout + looked.stderr


def test_image_tells_what_it_was_made_with(image):
    record = image.file("/etc/stackyard/image.json")
    assert (record.user, record.group, record.mode) == ("root", "root", 0o644)
    assert record.content_string.endswith("}\n")
    told = json.loads(record.content_string)
    assert told["application"] == APPLICATION
    assert told["variables"].get(f"{APPLICATION}_version", told["version"]) == told["version"]


@wordpress
def test_configurations_are_valid(host):
    assert host.run("nginx -t").rc == 0
    version = host.check_output("php -r 'echo PHP_MAJOR_VERSION.\".\".PHP_MINOR_VERSION;'")
    checked = host.run(f"/usr/sbin/php-fpm{version} -t")
    assert checked.rc == 0, checked.stderr


@wordpress
def test_debian_s_default_site_is_gone(host):
    assert not host.file("/etc/nginx/sites-enabled/default").exists


@wordpress
def test_php_does_not_look_for_changed_code(host):
    version = host.check_output("php -r 'echo PHP_MAJOR_VERSION.\".\".PHP_MINOR_VERSION;'")
    settings = host.file(f"/etc/php/{version}/fpm/conf.d/90-stackyard.ini").content_string
    assert "opcache.validate_timestamps = Off" in settings


@wordpress
def test_code_belongs_to_root_and_is_complete(host):
    root = host.file("/srv/wordpress/current").linked_to
    assert root.startswith("/srv/wordpress/releases/")
    strangers = host.check_output(f"find {root} -not -user root -print -quit")
    assert strangers == ""
    writable = host.check_output(f"find {root} -not -type l -perm /022 -print -quit")
    assert writable == ""
    assert host.run(f"php -l {root}/wp-settings.php").rc == 0


@wordpress
def test_release_is_of_the_version_that_its_name_says(host):
    root = host.file("/srv/wordpress/current").linked_to
    version = root.rsplit("/", 1)[1].split("-")[0]
    assert f"$wp_version = '{version}';" in host.file(f"{root}/wp-includes/version.php").content_string


@wordpress
def test_own_scripts_are_valid(host):
    scripts = host.check_output("find /usr/local/lib/wordpress -name '*.php'").split()
    scripts += ["/srv/wordpress/current/wp-config.php", "/srv/wordpress/current/wp-content/db.php"]
    assert len(scripts) >= 7
    for script in scripts:
        checked = host.run(f"php -l {script}")
        assert checked.rc == 0, checked.stdout + checked.stderr


@wordpress
def test_database_authorities_are_certificates(host):
    assert host.run("openssl storeutl -noout -certs /etc/wordpress/database-ca.pem").rc == 0


@wordpress
def test_uploads_are_a_link_out_of_the_code(host):
    assert host.file("/srv/wordpress/current/wp-content/uploads").is_symlink


@wordpress
def test_port_mapper_is_closed(host):
    assert host.service("rpcbind.socket").is_masked


@wordpress
def test_image_knows_no_site(image):
    for path in ("/etc/wordpress/config.json", "/etc/wordpress/setup.json", "/etc/nginx/sites-enabled/wordpress.conf"):
        assert not image.file(path).exists


@wordpress
def test_uploads_cannot_be_written_below_the_mount(image):
    written = image.run("setpriv --reuid=33 --regid=33 --clear-groups touch /srv/wordpress/uploads/lost")
    assert written.rc != 0


@etherpad
def test_etherpad_s_code_belongs_to_root_and_is_complete(host):
    release = host.file("/srv/etherpad/current").linked_to
    assert release.startswith("/srv/etherpad/releases/")
    assert host.check_output(f"find {release} -not -user root -print -quit") == ""
    assert host.check_output(f"find {release} -not -type l -perm /022 -print -quit") == ""
    assert host.check_output(f"find {release} -xtype l -not -lname '/var/cache/etherpad/*' -print -quit") == ""


@etherpad
def test_etherpad_s_release_is_of_the_version_that_its_name_says(host):
    release = host.file("/srv/etherpad/current").linked_to
    version = release.rsplit("/", 1)[1].rsplit("-", 1)[0]
    assert json.loads(host.file(f"{release}/src/package.json").content_string)["version"] == version


@etherpad
def test_etherpad_s_node_runs(host):
    assert host.check_output("/opt/nodejs/current/bin/node --version").startswith("v")


@etherpad
def test_etherpad_s_database_authorities_are_certificates(host):
    assert host.run("openssl storeutl -noout -certs /etc/etherpad/database-ca.pem").rc == 0


@etherpad
def test_etherpad_s_fence_has_what_it_needs(host):
    assert host.run("/usr/bin/python3 -c 'import psycopg2, pymysql'").rc == 0
    assert host.file("/usr/local/lib/etherpad/fence").mode == 0o755


@etherpad
def test_etherpad_s_unit_is_valid(host):
    checked = host.run("systemd-analyze verify --man=no etherpad.service")
    assert "etherpad.service" not in checked.stderr, checked.stderr


@etherpad
def test_etherpad_s_image_knows_no_site(image):
    for name in ("database.json", "settings.json", "session-key", "api-key"):
        assert not image.file(f"/etc/etherpad/{name}").exists
    assert not image.service("etherpad").is_enabled


@jenkins
def test_jenkins_is_held_at_the_version_that_was_asked_for(host):
    pinned = re.search(r"Pin: version (\S+)", host.file("/etc/apt/preferences.d/jenkins").content_string)
    assert pinned is not None
    shown = host.check_output("dpkg-query --show '--showformat=${db:Status-Abbrev}${Version}' jenkins")
    assert shown == f"hi {pinned[1]}"


@jenkins
def test_jenkins_repository_is_trusted_by_its_own_key_alone(host):
    assert (
        "Signed-By: /etc/apt/keyrings/jenkins.asc"
        in host.file("/etc/apt/sources.list.d/jenkins.sources").content_string
    )
    assert host.check_output("ls -A /etc/apt/keyrings") == "jenkins.asc"


@jenkins
def test_jenkins_java_runs(host):
    assert re.match(r"openjdk (21|25)\b", host.check_output("/opt/java/current/bin/java --version"))


@jenkins
def test_jenkins_plug_ins_are_those_of_their_lock(host):
    folder = "/usr/local/share/jenkins/plugins/current"
    lock = json.loads(host.file(f"{folder}/lock.json").content_string)
    assert "configuration-as-code" in [plugin["name"] for plugin in lock]
    sums = dict(
        reversed(line.split()) for line in host.check_output(f"cd {folder}/plugins && sha256sum *").splitlines()
    )
    assert sums == {f"{plugin['name']}.jpi": plugin["checksum"].removeprefix("sha256:") for plugin in lock}
    assert host.check_output(f"find {folder}/ -not -user root -print -quit") == ""
    assert host.check_output(f"find {folder}/ -not -type l -perm /022 -print -quit") == ""


@jenkins
def test_jenkins_unit_is_valid_and_not_started_at_boot(host):
    checked = host.run("systemd-analyze verify --man=no jenkins.service")
    assert "jenkins.service" not in checked.stderr, checked.stderr
    assert not host.file("/etc/systemd/system/multi-user.target.wants/jenkins.service").exists


@jenkins
def test_jenkins_port_mapper_is_closed(host):
    assert host.service("rpcbind.socket").is_masked


@jenkins
def test_jenkins_image_knows_no_site(image):
    for name in ("jenkins.yaml", "machine.json", "environment", "java.options"):
        assert not image.file(f"/etc/jenkins/{name}").exists
    assert image.check_output("find /etc/jenkins/secrets /var/lib/jenkins -mindepth 1") == ""
    assert not image.service("jenkins").is_enabled


@jenkins_agent
def test_agents_have_what_jenkins_needs(host):
    assert re.match(r"openjdk (21|25)\b", host.check_output("/opt/java/current/bin/java --version"))
    assert host.run("git --version").rc == 0
    folder = host.file("/var/lib/jenkins-agent")
    assert (folder.user, folder.group, folder.mode) == ("jenkins", "jenkins", 0o750)
    assert host.user("jenkins").shell == "/bin/bash"


@jenkins_agent
def test_agents_image_lets_nobody_in_for_jenkins(image):
    assert not image.file("/etc/ssh/jenkins_agent_keys").exists
    assert image.check_output("find /var/lib/jenkins-agent -mindepth 1") == ""
    # No password, and not locked: sshd without PAM would let nobody in.
    assert image.check_output("getent shadow jenkins").split(":")[1] == "*"
