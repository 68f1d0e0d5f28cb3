"""A machine of Jenkins, with a stand-in in its place: what a visitor, a load balancer, a group and an attacker see."""

from __future__ import annotations

import json
import time

from support.jenkins_machine import HOME, PASSWORDS, PORT, SECRETS, wait

AS_JENKINS = "setpriv --reuid=jenkins --regid=jenkins --clear-groups"
MESSAGE = 'Molecule\'s "Jenkins": ${HOME} ^${x} # {a}\n東京'


def configuration(machine):
    return json.loads(machine.host.check_output("cat /etc/jenkins/jenkins.yaml"))


def test_what_answers_is_the_stand_in_and_says_so(machine):
    answer = machine.ask("/login")
    assert answer.status == 200
    assert answer.headers["x-jenkins"] == "stand-in"
    assert "stand-in" in answer.body


def test_visitor_is_led_to_the_address_that_they_came_by(machine):
    answer = machine.ask("/", Host="jenkins.example.org", X_Forwarded_Proto="https")
    assert answer.status == 302
    assert answer.headers["location"].startswith("https://jenkins.example.org/login")


def test_links_have_the_site_s_address(machine):
    jobs = machine.ask("/api/json", user="admin").json()["jobs"]
    assert {"name": "from-code", "url": "https://jenkins.example.org/job/from-code/"} in jobs


def test_nobody_gets_in_without_a_password(machine):
    assert machine.ask("/api/json").status == 403
    assert machine.ask("/api/json", user="ada").status == 200
    # The password is the one that was given, with all that has a meaning in shells, JSON and Jinja.
    assert machine.ask("/api/json", user="admin").status == 200


def test_post_needs_a_crumb(machine):
    assert machine.ask("/createItem?name=x", user="admin", method="POST", data="<project/>").status == 403
    assert (
        machine.ask("/createItem?name=x", user="admin", method="POST", data="<project/>", Jenkins_Crumb="x").status
        == 403
    )


def test_job_is_kept_over_a_restart_in_the_home(machine):
    job = machine.new_job()
    assert machine.host.file(f"{HOME}/jobs/{job}/config.xml").user == "jenkins"
    machine.host.check_output("systemctl restart jenkins")
    machine.wait_for_health()
    assert machine.ask(f"/job/{job}/api/json", user="admin").status == 200


def test_texts_arrive_as_they_are(machine):
    assert machine.ask("/api/json", user="admin").json()["description"] == MESSAGE


def test_configuration_is_what_was_asked(machine):
    told = configuration(machine)
    jenkins = told["jenkins"]
    assert jenkins["slaveAgentPort"] == -1
    assert jenkins["numExecutors"] == 0
    assert jenkins["crumbIssuer"] == {"standard": {"excludeClientIPFromCrumb": True}}
    assert [user["id"] for user in jenkins["securityRealm"]["local"]["users"]] == ["ada", "admin"]
    assert jenkins["securityRealm"]["local"]["allowsSignup"] is False
    assert jenkins["authorizationStrategy"]["globalMatrix"]["entries"][0] == {
        "user": {"name": "admin", "permissions": ["Overall/Administer"]}
    }
    assert [node["permanent"]["name"] for node in jenkins["nodes"]] == ["agent-1", "agent-2"]
    assert jenkins["nodes"][0]["permanent"]["labelString"] == "linux docker"
    assert jenkins["nodes"][1]["permanent"]["launcher"]["ssh"]["credentialsId"] == "agent-key"
    assert jenkins["views"] == [{"list": {"name": "Main", "includeRegex": ".*"}}]
    assert told["tool"] == {"git": {"installations": [{"name": "Default", "home": "git"}]}}
    assert told["unclassified"]["location"]["url"] == "https://jenkins.example.org/"
    assert told["unclassified"]["mailer"]["authentication"]["password"] == "${smtp}"
    kinds = [next(iter(entry)) for entry in told["credentials"]["system"]["domainCredentials"][0]["credentials"]]
    assert kinds == ["usernamePassword", "string", "file", "basicSSHUserPrivateKey"]
    assert "freeStyleJob('from-code')" in told["jobs"][0]["script"]
    assert "^${BUILD_NUMBER}" in told["jobs"][0]["script"]


def test_secrets_are_files_for_jenkins_alone(machine):
    host = machine.host
    names = host.check_output("ls /etc/jenkins/secrets").split()
    assert names == [
        "credential-agent-key", "credential-config", "credential-registry", "credential-token", "password-ada",
        "password-admin", "smtp",
    ]  # fmt: skip
    for name in names:
        file = host.file(f"/etc/jenkins/secrets/{name}")
        assert (file.user, file.group, file.mode) == ("root", "jenkins", 0o640)
    assert host.file("/etc/jenkins/secrets/password-admin").content_string == PASSWORDS["admin"]
    assert host.run("setpriv --reuid=65534 --regid=65534 --clear-groups ls /etc/jenkins/secrets").rc != 0
    assert host.run(f"{AS_JENKINS} touch /etc/jenkins/secrets/x").rc != 0


def test_no_secret_is_told(machine):
    host = machine.host
    main = machine.show("MainPID")
    told = {
        "journal": host.check_output("journalctl --no-pager -o cat"),
        "processes": host.check_output("ps axww -o args"),
        "environment": host.check_output(f"tr '\\0' '\\n' </proc/{main}/environ"),
        "unit": host.check_output("systemctl cat jenkins; systemctl show jenkins"),
        "configuration": host.check_output("cat /etc/jenkins/jenkins.yaml /etc/jenkins/machine.json"),
        "home": host.check_output(f"cat {HOME}/*.xml {HOME}/.stackyard-home.json"),
    }
    for where, text in told.items():
        assert not [secret for secret in (*SECRETS, *PASSWORDS.values()) if secret in text], where


def test_environment_and_properties_arrive_as_they_are(machine):
    host = machine.host
    main = machine.show("MainPID")
    environment = host.check_output(f"tr '\\0' '\\n' </proc/{main}/environ").splitlines()
    assert "MOLECULE=a \"b\" $HOME \\ `c` 'd'" in environment
    assert "TZ=Europe/Zurich" in environment
    assert f"JENKINS_HOME={HOME}" in environment
    settings = host.run(
        f"{AS_JENKINS} /opt/java/current/bin/java @/etc/jenkins/java.options -XshowSettings:properties"
        " -XX:+PrintFlagsFinal -version 2>&1"
    ).stdout
    assert "hudson.model.DirectoryBrowserSupport.CSP = default-src 'none'; img-src \"x\\y\" ${HOME}" in settings
    assert "jenkins.install.runSetupWizard = false" in settings
    assert "jenkins.model.Jenkins.workspacesDir = /var/cache/jenkins/workspace/${ITEM_FULL_NAME}" in settings
    [share] = [line for line in settings.splitlines() if " MaxRAMPercentage " in line]
    assert "= 50.0" in share


def test_java_is_21(machine):
    assert machine.host.check_output("/opt/java/current/bin/java --version").startswith("openjdk 21")
    assert machine.host.run("/opt/java/current/bin/jstack").rc in (0, 1)


def test_version_is_pinned_and_held(machine):
    host = machine.host
    version = host.check_output("dpkg-query --show '--showformat=${Version}' jenkins")
    assert version == "2.580.2"
    assert "jenkins" in host.check_output("apt-mark showhold").split()
    # The repository has another one too, which is never a candidate.
    policy = host.check_output("apt-cache policy jenkins")
    assert "2.580.1" in policy
    assert "Candidate: 2.580.2" in policy
    assert "Signed-By: /etc/apt/keyrings/jenkins.asc" in host.check_output(
        "cat /etc/apt/sources.list.d/jenkins.sources"
    )


def test_repository_gives_nothing_but_jenkins(machine):
    assert "-1" in machine.host.check_output("apt-cache policy | grep -A1 repository.internal")


def test_plug_ins_are_the_image_s_and_locked(machine):
    host = machine.host
    lock = json.loads(host.check_output("cat /usr/local/share/jenkins/plugins/current/lock.json"))
    names = [plugin["name"] for plugin in lock]
    # configuration-as-code needs it, and nobody has named it.
    assert "caffeine-api" in names
    assert all(plugin["checksum"].startswith("sha256:") for plugin in lock)
    main = machine.show("MainPID")
    # As Jenkins itself: root of a container may not look into the unit's own view.
    seen = host.check_output(f"{AS_JENKINS} ls /proc/{main}/root{HOME}/plugins").split()
    assert seen == sorted(f"{name}.jpi" for name in names)
    for file in ("plugins/x.jpi", "init.groovy.d/x.groovy"):
        refused = host.run(f"{AS_JENKINS} touch /proc/{main}/root{HOME}/{file}")
        assert "Read-only file system" in refused.stderr


def test_only_what_is_worth_keeping_is_in_the_home(machine):
    host = machine.host
    assert host.check_output("ls -d /var/cache/jenkins/war /var/cache/jenkins/plugins /var/cache/jenkins/workspace")
    assert not host.file(f"{HOME}/war").exists
    # Points of the unit's binds, with nothing below.
    assert host.check_output(f"find {HOME}/plugins {HOME}/caches {HOME}/init.groovy.d -type f") == ""
    assert host.file("/var/log/jenkins/gc.log").exists


def test_home_is_mounted_and_belongs_to_the_numbers_of_its_access_point(machine):
    host = machine.host
    assert host.mount_point(HOME).exists
    assert "accesspoint=fsap-0123456789abcdef0" in host.check_output("cat /etc/fstab")
    assert "tls,iam" in host.check_output("cat /etc/fstab")
    home = host.file(HOME)
    assert (home.uid, home.gid, home.mode) == (900, 900, 0o750)


def test_jenkins_belongs_to_the_target_alone(machine):
    host = machine.host
    assert host.check_output("systemctl is-enabled jenkins") == "enabled"
    assert not host.file("/etc/systemd/system/multi-user.target.wants/jenkins.service").exists
    assert host.file("/etc/systemd/system/stackyard-leased.target.wants/jenkins.service").is_symlink
    assert "stackyard-leased.target" in machine.show("BindsTo")
    host.check_output("systemctl stop stackyard-leased.target")
    assert machine.show("ActiveState") == "inactive"
    host.check_output("systemctl start stackyard-leased.target")
    machine.wait_for_health()


def test_nothing_else_listens(machine):
    # From the kernel: state 0A is LISTEN, and addresses are written in hexadecimal, those of Java as IPv6.
    rows = machine.host.check_output("cat /proc/net/tcp /proc/net/tcp6").splitlines()
    listening = {row.split()[1] for row in rows if row.split()[3] == "0A"}
    local = ("0100007F", "0000000000000000FFFF00000100007F")
    assert {address.split(":")[1] for address in listening if not address.startswith(local)} == {
        f"{port:04X}" for port in (80, 443, PORT)
    }


def test_sandbox_is_as_tight_as_the_readme_says(machine):
    exposure = machine.host.check_output("systemd-analyze security --no-pager jenkins.service").splitlines()[-1]
    assert float(exposure.split(":")[1].split()[0]) <= 1.8, exposure


def test_nothing_of_the_system_can_be_written_to(machine):
    main = machine.show("MainPID")
    for path in ("/etc/jenkins/x", "/usr/share/java/x", "/usr/local/share/jenkins/x", "/opt/java/x", "/x"):
        assert machine.host.run(f"{AS_JENKINS} touch /proc/{main}/root{path}").rc != 0, path


def test_instance_s_rights_are_not_jenkins(machine):
    assert "169.254.169.254" in machine.show("IPAddressDeny")


def test_killed_process_comes_back(machine):
    before = machine.show("MainPID")
    machine.host.check_output("systemctl kill --signal=KILL --kill-whom=main jenkins")
    wait(lambda: machine.show("MainPID"), lambda pid: pid not in ("0", before), 30)
    machine.wait_for_health()


def test_stop_waits_for_a_build_that_is_about_to_end(machine):
    build = machine.build(machine.new_job(), 2)
    machine.host.check_output("systemctl restart jenkins")
    machine.wait_for_health()
    assert machine.result(build) == "SUCCESS"


def test_stop_is_bounded_and_a_build_does_not_vanish(machine):
    build = machine.build(machine.new_job(), 120)
    began = time.monotonic()
    machine.host.check_output("systemctl stop jenkins")
    took = time.monotonic() - began
    assert 3 < took < 12, took
    machine.host.check_output("systemctl start jenkins")
    machine.wait_for_health()
    assert machine.result(build) == "ABORTED"


def test_drain_lets_builds_finish_and_begins_nothing_new(machine):
    job = machine.new_job()
    build = machine.build(job, 6)
    began = time.monotonic()
    machine.host.check_output(
        "systemd-run --quiet --unit=molecule-drain --collect run-parts --regex=40-jenkins /etc/stackyard/drain.d"
    )
    try:
        wait(lambda: machine.ask("/api/json", user="admin").json()["quietingDown"], bool, 5)
        assert machine.post(f"/job/{job}/build?seconds=1").status == 503
        wait(lambda: machine.show("ActiveState", "molecule-drain.service"), lambda state: state != "active", 20)
        assert 4 < time.monotonic() - began < 15
        assert machine.result(build) == "SUCCESS"
    finally:
        machine.host.check_output("systemctl restart jenkins")
    machine.wait_for_health()
    # A machine that is started again is not quiet.
    assert machine.ask("/api/json", user="admin").json()["quietingDown"] is False


def test_drain_is_bounded_and_the_stop_after_it_does_not_wait_again(machine):
    build = machine.build(machine.new_job(), 300)
    began = time.monotonic()
    machine.host.check_output("/etc/stackyard/drain.d/40-jenkins")
    assert 18 < time.monotonic() - began < 25
    began = time.monotonic()
    machine.host.check_output("systemctl stop jenkins")
    assert time.monotonic() - began < 4
    machine.host.check_output("systemctl start jenkins")
    machine.wait_for_health()
    assert machine.result(build) == "ABORTED"


def test_drain_of_a_jenkins_that_hangs_is_given_up(machine):
    machine.host.check_output("systemctl kill --signal=STOP --kill-whom=main jenkins")
    try:
        began = time.monotonic()
        machine.host.check_output("/etc/stackyard/drain.d/40-jenkins")
        assert time.monotonic() - began < 25
    finally:
        machine.host.check_output("systemctl kill --signal=CONT --kill-whom=main jenkins")
        machine.host.check_output("systemctl restart jenkins")
    machine.wait_for_health()
