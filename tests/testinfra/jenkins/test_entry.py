"""nginx before Jenkins, or its stand-in, on a machine without a load balancer: what a visitor sees."""

from __future__ import annotations

from support.jenkins_machine import CERTIFICATE, SITE


def test_a_visitor_is_served_by_https(machine):
    answer = machine.visit(f"https://{SITE}/login")
    assert answer.status == 200
    assert answer.headers["x-jenkins"] == "stand-in"
    assert answer.headers["strict-transport-security"].startswith("max-age=")


def test_whoever_comes_by_http_is_sent_to_https(machine):
    answer = machine.visit(f"http://{SITE}/job/x/?y=z")
    assert (answer.status, answer.headers["location"]) == (301, f"https://{SITE}/job/x/?y=z")


def test_a_visitor_is_led_on_by_https(machine):
    answer = machine.visit(f"https://{SITE}/")
    assert answer.status == 302
    assert answer.headers["location"].startswith(f"https://{SITE}/login")


def test_the_key_is_root_s_alone(machine):
    key = machine.host.file(CERTIFICATE.replace(".pem", ".key"))
    assert (key.user, key.group, key.mode) == ("root", "root", 0o600)
    assert "PRIVATE KEY" in key.content_string
    told = machine.host.check_output("journalctl --no-pager -o cat; ps axww -o args; cat /var/log/nginx/*.log")
    assert key.content_string.splitlines()[1] not in told


def test_a_visitor_is_told_to_come_again_while_jenkins_does_not_run(machine):
    machine.host.check_output("systemctl stop jenkins")
    try:
        answer = machine.visit(f"https://{SITE}/")
        assert (answer.status, answer.headers["retry-after"]) == (503, "10")
        assert "Jenkins is starting" in answer.body
    finally:
        machine.host.check_output("systemctl start jenkins")
        machine.wait_for_health()


def test_what_needs_an_instance_of_ec2_is_idle(machine):
    for unit in ("stackyard-ebs-mount", "stackyard-elastic-address", "stackyard-instance-health"):
        assert machine.show("ActiveState", f"{unit}.service") == "inactive"
        assert machine.show("UnitFileState", f"{unit}.service") == "enabled"
