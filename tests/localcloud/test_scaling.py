"""A group of two over two zones behind a balancer: it heals, scales and is refreshed while requests come in."""

from __future__ import annotations

import base64
import datetime
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Callable, Collection, Iterator
from typing import Any

import pytest
import requests
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from support.figures import record
from support.load import SteadyLoad
from support.waiting import until

GROUP = "scal"
TEXT = "served by i-"
# Seconds: AWS's shortest interval of health checks is 5.
INTERVAL, DELAY = 5, 20
HEAL_SECONDS = 120

SERVER = """\
import base64, hashlib, http.server, os, select, signal, threading, time, urllib.parse, urllib.request

def metadata(path):
    ask = urllib.request.Request("http://169.254.169.254/latest/api/token", method="PUT",
                                 headers={"X-aws-ec2-metadata-token-ttl-seconds": "60"})
    token = urllib.request.urlopen(ask, timeout=5).read().decode()
    ask = urllib.request.Request("http://169.254.169.254/latest/" + path, headers={"X-aws-ec2-metadata-token": token})
    return urllib.request.urlopen(ask, timeout=5).read().decode()

ME = metadata("meta-data/instance-id")

class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        if self.headers.get("Upgrade") == "websocket":
            self.send_response(101)
            self.send_header("Upgrade", "websocket")
            self.send_header("Connection", "Upgrade")
            key = self.headers["Sec-WebSocket-Key"] + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
            self.send_header("Sec-WebSocket-Accept", base64.b64encode(hashlib.sha1(key.encode()).digest()).decode())
            self.end_headers()
            while data := self.rfile.read1(100):
                self.wfile.write(data.upper())
            self.close_connection = True
            return
        if self.path.startswith("/slow"):
            time.sleep(float(self.path.partition("=")[2]))
        lines = ["served by " + ME, "path " + self.path]
        lines += [name.lower() + ": " + value for name, value in self.headers.items()]
        body = "\\n".join(lines).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *arguments):
        pass

class Server(http.server.ThreadingHTTPServer):
    request_queue_size = 128
    daemon_threads = False

def stop(*_):
    # Like nginx: what has been accepted or waits to be is answered.
    threading.Thread(target=server.shutdown).start()

signal.signal(signal.SIGTERM, stop)
server = Server(("", 80), Handler)
# It listens: the group may send it requests. Credentials are not looked at without a policy to enforce.
action = {"Action": "CompleteLifecycleAction", "Version": "2011-01-01", "AutoScalingGroupName": "scal",
          "LifecycleHookName": "launch", "InstanceId": ME, "LifecycleActionResult": "CONTINUE"}
scope = "Credential=test/20260101/us-east-1/autoscaling/aws4_request"
ask = urllib.request.Request(os.environ["AWS_ENDPOINT_URL"], urllib.parse.urlencode(action).encode(),
                             {"Authorization": f"AWS4-HMAC-SHA256 {scope}, SignedHeaders=host, Signature=none"})
try:
    urllib.request.urlopen(ask, timeout=10)
except urllib.error.HTTPError as error:
    print(error, error.read())
server.serve_forever()
server.timeout = 0
while select.select([server.socket], [], [], 0)[0]:
    server.handle_request()
server.server_close()
"""


def user_data(note: str) -> str:
    indented = "".join(f"      {line}\n" for line in SERVER.splitlines())
    document = (
        f"#cloud-config\n# {note}\nwrite_files:\n  - path: /srv/web.py\n    content: |\n{indented}"
        "runcmd:\n  - [systemd-run, --unit=web, --property=Restart=no, python3, /srv/web.py]\n"
    )
    return base64.b64encode(document.encode()).decode()


def certificate(*names: str) -> tuple[bytes, bytes, bytes]:
    """A certificate, its key, and the chain (the authority that signed it)."""
    now = datetime.datetime.now(datetime.UTC)

    def build(subject: str, issuer: str, key: Any, signer: Any, *extensions: Any) -> x509.Certificate:
        signer_id = x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key())
        builder = (
            x509.CertificateBuilder()
            .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, subject)]))
            .issuer_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, issuer)]))
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(days=1))
            .not_valid_after(now + datetime.timedelta(days=30))
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
            .add_extension(signer_id, critical=False)
        )
        for extension in extensions:
            builder = builder.add_extension(extension, critical=True)
        return builder.sign(signer, hashes.SHA256())

    authority_key, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    usage = x509.KeyUsage(
        key_cert_sign=True, crl_sign=True, digital_signature=False, content_commitment=False, key_encipherment=False,
        data_encipherment=False, key_agreement=False, encipher_only=False, decipher_only=False,
    )  # fmt: skip
    authority = build("authority", "authority", authority_key, authority_key, x509.BasicConstraints(True, None), usage)
    alternative = x509.SubjectAlternativeName([x509.DNSName(name) for name in names])
    leaf = build(names[0], "authority", key, authority_key, alternative)
    pem = serialization.Encoding.PEM
    private = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return leaf.public_bytes(pem), private, authority.public_bytes(pem)


class Stack:
    """The balancer, the group and what tests ask of them."""

    def __init__(self, cloud: Any, vpc: Any, security_group: Callable[..., str], ports: tuple[int, int]) -> None:
        self.cloud, self.vpc = cloud, vpc
        self.asg, self.elb, self.ec2 = (cloud.client(name) for name in ("autoscaling", "elbv2", "ec2"))
        self.http = f"http://127.0.0.1:{ports[0]}"
        self.https_port = ports[1]
        balancer_group = security_group("scal-lb", [(80, "0.0.0.0/0"), (443, "0.0.0.0/0")])
        self.machine_group = security_group("scal-web", [(80, balancer_group)])
        balancer = self.elb.create_load_balancer(
            Name="scal",
            Subnets=vpc.subnets,
            SecurityGroups=[balancer_group],
            Tags=[{"Key": "localcloud:publish", "Value": f"80:{ports[0]},443:{ports[1]}"}],
        )["LoadBalancers"][0]
        self.balancer, self.dns_name = balancer["LoadBalancerArn"], balancer["DNSName"]
        self.targets = self.elb.create_target_group(
            Name="scal", Protocol="HTTP", Port=80, VpcId=vpc.id, TargetType="instance", HealthCheckPath="/healthz",
            HealthCheckIntervalSeconds=INTERVAL, HealthCheckTimeoutSeconds=2, HealthyThresholdCount=2,
            UnhealthyThresholdCount=2,
        )["TargetGroups"][0]["TargetGroupArn"]  # fmt: skip
        self.elb.modify_target_group_attributes(
            TargetGroupArn=self.targets,
            Attributes=[{"Key": "deregistration_delay.timeout_seconds", "Value": str(DELAY)}],
        )
        self.listener = self.elb.create_listener(
            LoadBalancerArn=self.balancer, Protocol="HTTP", Port=80, DefaultActions=[self.forward]
        )["Listeners"][0]["ListenerArn"]
        self.template = self.ec2.create_launch_template(
            LaunchTemplateName="scal",
            LaunchTemplateData={
                "ImageId": cloud.image(),
                "InstanceType": "t3.micro",
                "UserData": user_data("first"),
                "SecurityGroupIds": [self.machine_group],
                "MetadataOptions": {"HttpTokens": "required"},
            },
        )["LaunchTemplate"]["LaunchTemplateId"]
        self.asg.create_auto_scaling_group(
            AutoScalingGroupName=GROUP, MinSize=2, MaxSize=4, DesiredCapacity=2,
            LaunchTemplate={"LaunchTemplateId": self.template, "Version": "$Latest"},
            VPCZoneIdentifier=",".join(vpc.subnets), TargetGroupARNs=[self.targets], HealthCheckType="ELB",
            HealthCheckGracePeriod=10, DefaultInstanceWarmup=0,
            # The machine completes it once its server listens, however slow it boots.
            LifecycleHookSpecificationList=[
                {
                    "LifecycleHookName": "launch",
                    "LifecycleTransition": "autoscaling:EC2_INSTANCE_LAUNCHING",
                    "HeartbeatTimeout": 120,
                }
            ],
        )  # fmt: skip

    @property
    def forward(self) -> dict[str, str]:
        return {"Type": "forward", "TargetGroupArn": self.targets}

    def instances(self, group: str = GROUP) -> list[dict[str, Any]]:
        groups = self.asg.describe_auto_scaling_groups(AutoScalingGroupNames=[group])["AutoScalingGroups"]
        return groups[0]["Instances"] if groups else []

    def health(self) -> dict[str, str]:
        listed = self.elb.describe_target_health(TargetGroupArn=self.targets)["TargetHealthDescriptions"]
        return {entry["Target"]["Id"]: entry["TargetHealth"]["State"] for entry in listed}

    def serving(self, count: int = 2) -> list[str]:
        """The members, if there are this many, all of them serve, and nothing else is under way."""
        members = self.instances()
        health = self.health()
        ids = [entry["InstanceId"] for entry in members if entry["LifecycleState"] == "InService"]
        settled = len(ids) == len(members) == count and set(health) == set(ids) and set(health.values()) == {"healthy"}
        return ids if settled else []

    def await_serving(self, count: int = 2, seconds: float = HEAL_SECONDS, without: Collection[str] = ()) -> list[str]:
        """Wait until this many members serve, none of them one of those that are to go."""

        def look() -> list[str]:
            found = self.serving(count)
            return [] if set(found) & set(without) else found

        try:
            return until(f"{count} members to serve", look, seconds)
        except TimeoutError as error:
            raise AssertionError(f"{error}\n{self.instances()}\n{self.health()}\n{self.cloud.log()[-4000:]}") from None

    def load(self, **options: Any) -> SteadyLoad:
        return SteadyLoad(url=f"{self.http}/page", expect=TEXT, **options)


@pytest.fixture(scope="module")
def stack(cloud: Any, vpc: Any, security_group: Callable[..., str]) -> Iterator[Stack]:
    made = Stack(cloud, vpc, security_group, (_free_port(), _free_port()))
    yield made
    made.asg.delete_auto_scaling_group(AutoScalingGroupName=GROUP, ForceDelete=True)
    made.elb.delete_load_balancer(LoadBalancerArn=made.balancer)
    until("the end of the group", lambda: not made.instances() and not cloud.podman.containers("balancer"), 60)


@pytest.fixture
def site(stack: Stack) -> Stack:
    """The stack with two healthy members."""
    stack.await_serving(seconds=120)
    return stack


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def fields(answer: requests.Response) -> dict[str, str]:
    """The headers that the target saw."""
    return dict(line.split(": ", 1) for line in answer.text.splitlines() if ": " in line)


def test_two_machines_in_two_zones_serve_behind_the_balancer(site: Stack) -> None:
    zones = {entry["AvailabilityZone"] for entry in site.instances()}
    assert len(zones) == 2
    answers = {requests.get(f"{site.http}/x", timeout=5).text.splitlines()[0] for _ in range(8)}
    assert answers == {f"served by {entry['InstanceId']}" for entry in site.instances()}
    state = site.elb.describe_load_balancers(LoadBalancerArns=[site.balancer])["LoadBalancers"][0]["State"]["Code"]
    assert state == "active"
    seen = fields(requests.get(f"{site.http}/x", timeout=5, headers={"X-Forwarded-For": "192.0.2.7"}))
    assert seen["x-forwarded-for"].startswith("192.0.2.7, ")
    assert (seen["x-forwarded-proto"], seen["x-forwarded-port"]) == ("http", "80")


def test_every_address_and_the_name_answer_from_inside_the_vpc(site: Stack) -> None:
    interfaces = site.ec2.describe_network_interfaces(
        Filters=[{"Name": "description", "Values": [f"ELB {site.balancer.split(':loadbalancer/')[1]}"]}]
    )["NetworkInterfaces"]
    assert {entry["SubnetId"] for entry in interfaces} == set(site.vpc.subnets)
    member = site.serving()[0]
    for host in [*(entry["PrivateIpAddress"] for entry in interfaces), site.dns_name]:
        done = subprocess.run(
            ["podman", "exec", member, "curl", "-sS", "-m", "5", f"http://{host}/"],
            capture_output=True, text=True, timeout=30, check=False,
        )  # fmt: skip
        assert TEXT in done.stdout, (host, done.stderr)


def test_a_killed_machine_is_replaced(site: Stack) -> None:
    victim, other = site.serving()
    began = time.monotonic()
    with site.load(rate=40) as load:
        subprocess.run(["podman", "kill", victim], check=True, capture_output=True, timeout=30)
        until("the replacement", lambda: {entry["InstanceId"] for entry in site.instances()} - {victim, other}, 15)
        replaced = time.monotonic() - began
        site.await_serving(without={victim})
    # Only what was under way on the machine, with its 4 threads at most.
    assert load.failed <= 4, load.reasons()
    assert replaced < 8
    record("scaling", heal_s=time.monotonic() - began, failed_requests_kill=load.failed, total_requests_kill=load.total)


def test_a_stopped_server_costs_no_request_and_is_replaced(site: Stack) -> None:
    victim, _ = site.serving()
    with site.load(rate=40) as load:
        subprocess.run(["podman", "exec", victim, "systemctl", "stop", "web"], check=True, timeout=30)
        until("the unhealthy target", lambda: site.health().get(victim) != "healthy", 4 * INTERVAL)
        site.await_serving(without={victim})
    assert load.failed == 0, load.reasons()
    causes = [
        entry["Cause"]
        for entry in site.asg.describe_scaling_activities(AutoScalingGroupName=GROUP)["Activities"]
        if victim in entry["Description"] and entry["Description"].startswith("Terminating")
    ]
    assert "ELB system health check" in causes[0]


def test_scaling_out_and_in_costs_no_request(site: Stack) -> None:
    with site.load(rate=60) as load:
        site.asg.set_desired_capacity(AutoScalingGroupName=GROUP, DesiredCapacity=4)
        site.await_serving(4)
        site.asg.set_desired_capacity(AutoScalingGroupName=GROUP, DesiredCapacity=2)
        site.await_serving(2)
    assert load.failed == 0, load.reasons()
    assert load.total > 100
    record("scaling", failed_requests_scale=load.failed, total_requests_scale=load.total)


def test_an_instance_refresh_costs_no_request(site: Stack) -> None:
    before = set(site.serving())
    version = site.ec2.create_launch_template_version(
        LaunchTemplateId=site.template, SourceVersion="1", LaunchTemplateData={"UserData": user_data("second")}
    )["LaunchTemplateVersion"]["VersionNumber"]
    began = time.monotonic()
    with site.load(rate=60) as load:
        site.asg.start_instance_refresh(
            AutoScalingGroupName=GROUP, Preferences={"MinHealthyPercentage": 100, "MaxHealthyPercentage": 150}
        )

        def ended() -> bool:
            refresh = site.asg.describe_instance_refreshes(AutoScalingGroupName=GROUP)["InstanceRefreshes"][0]
            assert refresh["Status"] in {"Pending", "InProgress", "Successful"}, refresh
            return bool(refresh["Status"] == "Successful")

        until("the end of the refresh", ended, 120)
        after = site.await_serving()
    assert load.failed == 0, load.reasons()
    assert not before & set(after)
    assert {entry["LaunchTemplate"]["Version"] for entry in site.instances()} == {str(version)}
    record("scaling", refresh_s=time.monotonic() - began, failed_requests_refresh=load.failed,
           total_requests_refresh=load.total)  # fmt: skip


def test_a_leaving_machine_finishes_its_requests(site: Stack) -> None:
    leaving = site.serving()[0]
    answers: list[requests.Response] = []

    def ask() -> None:
        answers.append(requests.get(f"{site.http}/slow=6", timeout=30))

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    until("requests on both machines", lambda: len(_sessions(site, leaving)) > 0, 5)
    site.elb.deregister_targets(TargetGroupArn=site.targets, Targets=[{"Id": leaving}])
    assert site.health()[leaving] == "draining"
    until("new requests on the other machine only", lambda: _only_other(site, leaving), 5)
    for thread in threads:
        thread.join()
    assert [answer.status_code for answer in answers] == [200] * 4
    assert any(leaving in answer.text for answer in answers)
    until("the end of draining", lambda: leaving not in site.health(), DELAY)
    site.elb.register_targets(TargetGroupArn=site.targets, Targets=[{"Id": leaving}])


def _sessions(site: Stack, machine: str) -> list[str]:
    listing = subprocess.run(
        ["podman", "exec", machine, "ss", "-Htn", "state", "established", "sport", "= :80"],
        capture_output=True, text=True, timeout=10, check=True,
    )  # fmt: skip
    return listing.stdout.splitlines()


def _only_other(site: Stack, leaving: str) -> bool:
    return all(leaving not in requests.get(f"{site.http}/x", timeout=5).text for _ in range(6))


def test_rules_and_their_changes_apply_without_a_lost_request(site: Stack) -> None:
    def rule(priority: int, condition: dict[str, Any], action: dict[str, Any]) -> str:
        made = site.elb.create_rule(
            ListenerArn=site.listener, Priority=priority, Conditions=[condition], Actions=[action]
        )
        return str(made["Rules"][0]["RuleArn"])

    def fixed(code: str, body: str) -> dict[str, Any]:
        return {
            "Type": "fixed-response",
            "FixedResponseConfig": {"StatusCode": code, "MessageBody": body, "ContentType": "text/plain"},
        }

    moved = {
        "Type": "redirect",
        "RedirectConfig": {"Host": "example.com", "Path": "/new/#{path}", "StatusCode": "HTTP_302"},
    }
    header = {"HttpHeaderName": "X-Test", "Values": ["ye?"]}
    with site.load(rate=60) as load:
        rules = [
            rule(30, {"Field": "path-pattern", "Values": ["/api/*"]}, fixed("404", "general")),
            rule(10, {"Field": "path-pattern", "Values": ["/api/v?/*"]}, fixed("200", "special")),
            rule(40, {"Field": "host-header", "Values": ["*.old.test"]}, moved),
            rule(50, {"Field": "http-header", "HttpHeaderConfig": header}, fixed("200", "by header")),
            rule(
                60,
                {"Field": "query-string", "QueryStringConfig": {"Values": [{"Key": "debug", "Value": "1*"}]}},
                fixed("200", "by query"),
            ),
            rule(70, {"Field": "source-ip", "SourceIpConfig": {"Values": ["198.51.100.0/24"]}}, fixed("403", "no")),
        ]

        def ask(path: str, **headers: str) -> tuple[int, str]:
            answer = requests.get(f"{site.http}{path}", headers=headers, timeout=5, allow_redirects=False)
            return answer.status_code, answer.headers.get("Location") or answer.text

        # Each call changes the balancer by itself: what was made last is there last.
        until("the rules", lambda: ask("/?x=1&debug=12") == (200, "by query"), 10)
        assert ask("/api/v1/x") == (200, "special")
        assert ask("/api/x") == (404, "general")
        assert ask("/a?b=c", Host="www.old.test") == (302, "http://example.com:80/new/a?b=c")
        assert ask("/", **{"X-Test": "YES"}) == (200, "by header")
        assert ask("/?debug=2")[1].startswith(TEXT)
        for arn in rules:
            site.elb.delete_rule(RuleArn=arn)
        until("the end of the rules", lambda: ask("/api/v1/x")[1].startswith(TEXT), 10)
    assert load.failed == 0, load.reasons()


def test_stickiness_keeps_a_visitor_on_one_machine(site: Stack) -> None:
    site.elb.modify_target_group_attributes(
        TargetGroupArn=site.targets, Attributes=[{"Key": "stickiness.enabled", "Value": "true"}]
    )
    try:
        visitor = requests.Session()
        until("the cookie", lambda: requests.get(site.http, timeout=5).cookies.get("AWSALB"), 10)
        seen = {visitor.get(site.http, timeout=5).text.splitlines()[0] for _ in range(8)}
        assert len(seen) == 1
        strangers = {requests.get(site.http, timeout=5).text.splitlines()[0] for _ in range(8)}
        assert len(strangers) == 2
    finally:
        site.elb.modify_target_group_attributes(
            TargetGroupArn=site.targets, Attributes=[{"Key": "stickiness.enabled", "Value": "false"}]
        )


def test_https_with_several_certificates_and_a_redirect(site: Stack) -> None:
    acm = site.cloud.client("acm")
    pairs = [certificate("first.test"), certificate("second.test", "*.second.test")]
    arns = [
        acm.import_certificate(Certificate=leaf, PrivateKey=key, CertificateChain=chain)["CertificateArn"]
        for leaf, key, chain in pairs
    ]
    listener = site.elb.create_listener(
        LoadBalancerArn=site.balancer, Protocol="HTTPS", Port=443, SslPolicy="ELBSecurityPolicy-TLS13-1-2-2021-06",
        Certificates=[{"CertificateArn": arns[0]}], DefaultActions=[site.forward],
    )["Listeners"][0]["ListenerArn"]  # fmt: skip
    site.elb.add_listener_certificates(ListenerArn=listener, Certificates=[{"CertificateArn": arns[1]}])
    redirect = {"Type": "redirect", "RedirectConfig": {"Protocol": "HTTPS", "Port": "443", "StatusCode": "HTTP_301"}}
    site.elb.modify_listener(ListenerArn=site.listener, DefaultActions=[redirect])
    try:
        until("TLS", lambda: _tls(site, "first.test", pairs[0][2]), 10)
        for name, (_, _, chain) in zip(("first.test", "www.second.test"), pairs, strict=True):
            answer = _tls(site, name, chain)
            assert TEXT in answer
            assert "x-forwarded-proto: https" in answer
        until("the redirect", lambda: _moved(site, "/a?b=c"), 10)
        moved = requests.get(f"{site.http}/a?b=c", timeout=5, allow_redirects=False)
        # Through the publication the browser needs the published port.
        assert moved.headers["Location"] == f"https://127.0.0.1:{site.https_port}/a?b=c"
        elsewhere = requests.get(f"{site.http}/a", timeout=5, allow_redirects=False, headers={"Host": "first.test"})
        assert elsewhere.headers["Location"] == "https://first.test:443/a"
    finally:
        site.elb.modify_listener(ListenerArn=site.listener, DefaultActions=[site.forward])
        site.elb.delete_listener(ListenerArn=listener)
        until("the site without TLS", lambda: TEXT in _get(site) and not _moved(site, "/"), 10)


def _moved(site: Stack, path: str) -> bool:
    return requests.get(f"{site.http}{path}", timeout=5, allow_redirects=False).status_code == 301


def _get(site: Stack) -> str:
    return requests.get(site.http, timeout=5, allow_redirects=False).text


def _tls(site: Stack, name: str, authority: bytes) -> str:
    context = ssl.create_default_context(cadata=authority.decode())
    try:
        with (
            socket.create_connection(("127.0.0.1", site.https_port), timeout=5) as plain,
            context.wrap_socket(plain, server_hostname=name) as secured,
        ):
            secured.sendall(f"GET / HTTP/1.1\r\nHost: {name}\r\nConnection: close\r\n\r\n".encode())
            return b"".join(iter(lambda: secured.recv(4096), b"")).decode()
    except (OSError, ssl.SSLError):
        return ""


def test_a_websocket_stays_open_over_a_change_of_the_listeners(site: Stack) -> None:
    with socket.create_connection(("127.0.0.1", int(site.http.rpartition(":")[2])), timeout=5) as connection:
        connection.sendall(
            b"GET /ws HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
            b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        )
        assert b" 101 " in connection.recv(4096)
        made = site.elb.create_rule(
            ListenerArn=site.listener,
            Priority=1,
            Conditions=[{"Field": "path-pattern", "Values": ["/new"]}],
            Actions=[{"Type": "fixed-response", "FixedResponseConfig": {"StatusCode": "204"}}],
        )["Rules"][0]["RuleArn"]
        until("the rule", lambda: requests.get(f"{site.http}/new", timeout=5).status_code == 204, 10)
        connection.sendall(b"still there")
        assert connection.recv(100) == b"STILL THERE"
        site.elb.delete_rule(RuleArn=made)


def test_the_balancer_goes_on_while_the_control_plane_restarts(site: Stack) -> None:
    before = set(site.serving())
    with site.load(rate=40) as load:
        site.cloud.command("restart")
        assert set(site.await_serving()) == before
    assert load.failed == 0, load.reasons()


def test_hooks_time_out_with_their_default_result(cloud: Any, vpc: Any, stack: Stack) -> None:
    """30 seconds is the shortest heartbeat that AWS has; both directions wait for it in turn."""
    name = "hooked"
    stack.asg.create_auto_scaling_group(
        AutoScalingGroupName=name, MinSize=0, MaxSize=1, DesiredCapacity=1,
        LaunchTemplate={"LaunchTemplateId": stack.template, "Version": "1"}, VPCZoneIdentifier=vpc.subnets[0],
        LifecycleHookSpecificationList=[
            {
                "LifecycleHookName": "launch",
                "LifecycleTransition": "autoscaling:EC2_INSTANCE_LAUNCHING",
                "HeartbeatTimeout": 30,
                "DefaultResult": "ABANDON",
            }
        ],
    )  # fmt: skip
    try:
        first = until("the waiting member", lambda: _in_state(stack, name, "Pending:Wait"), 10)
        began = time.monotonic()
        until("the end of the wait", lambda: _in_state(stack, name, "Pending:Wait") not in ("", first), 60)
        assert 29 < time.monotonic() - began < 50
        second = _in_state(stack, name, "Pending:Wait")
        stack.asg.complete_lifecycle_action(
            AutoScalingGroupName=name, LifecycleHookName="launch", InstanceId=second, LifecycleActionResult="CONTINUE"
        )
        assert until("the member in service", lambda: _in_state(stack, name, "InService"), 10) == second
        until("the end of the abandoned machine", lambda: cloud.podman.container(first) is None, 40)
    finally:
        stack.asg.delete_auto_scaling_group(AutoScalingGroupName=name, ForceDelete=True)
        until("the end of the group", lambda: not stack.instances(name), 60)


def _in_state(stack: Stack, group: str, state: str) -> str:
    return next((entry["InstanceId"] for entry in stack.instances(group) if entry["LifecycleState"] == state), "")
