"""What machines use beside databases and file systems: artefacts in S3, secrets and parameters by their own role."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from support.local_cloud import TestCloud, TestMachine


@pytest.fixture(scope="module")
def machine(cloud: TestCloud, launch: Callable[..., TestMachine]) -> TestMachine:
    iam = cloud.client("iam")
    trust = {"Effect": "Allow", "Principal": {"Service": "ec2.amazonaws.com"}, "Action": "sts:AssumeRole"}
    iam.create_role(
        RoleName="services", AssumeRolePolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": [trust]})
    )
    iam.attach_role_policy(RoleName="services", PolicyArn="arn:aws:iam::aws:policy/AmazonSSMManagedInstanceCore")
    iam.create_instance_profile(InstanceProfileName="services")
    iam.add_role_to_instance_profile(InstanceProfileName="services", RoleName="services")
    return launch(IamInstanceProfile={"Name": "services"}).booted()


@pytest.mark.parametrize(
    "url",
    [
        "http://s3.us-east-1.amazonaws.com/artefacts/wordpress/wordpress-6.tar.gz",
        "http://artefacts.s3.us-east-1.amazonaws.com/wordpress/wordpress-6.tar.gz",
        "http://artefacts.s3.amazonaws.com/wordpress/wordpress-6.tar.gz",
    ],
)
def test_a_machine_fetches_a_public_artefact_without_credentials(
    cloud: TestCloud, machine: TestMachine, url: str
) -> None:
    s3 = cloud.client("s3")
    s3.create_bucket(Bucket="artefacts")
    s3.put_object(Bucket="artefacts", Key="wordpress/wordpress-6.tar.gz", Body=b"tarball")
    s3.put_object(Bucket="artefacts", Key="private/notes", Body=b"secret")
    public = {
        "Effect": "Allow",
        "Principal": "*",
        "Action": "s3:GetObject",
        "Resource": "arn:aws:s3:::artefacts/wordpress/*",
    }
    s3.put_bucket_policy(Bucket="artefacts", Policy=json.dumps({"Version": "2012-10-17", "Statement": [public]}))
    assert machine.run("curl", "-sSf", url) == "tarball"
    private = url.replace("wordpress/wordpress-6.tar.gz", "private/notes")
    assert machine.run("curl", "-s", "-o", "/dev/null", "-w", "%{http_code}", private) == "403"


def test_a_machine_reads_a_secret_with_its_own_credentials(cloud: TestCloud, machine: TestMachine) -> None:
    cloud.client("secretsmanager").create_secret(Name="stackyard/test/app/database", SecretString='{"password": "x"}')
    cloud.client("ssm").put_parameter(Name="/stackyard/test/app/image", Value="ami-12345678", Type="String")
    credentials = json.loads(machine.metadata("meta-data/iam/security-credentials/services"))
    assert credentials["Code"] == "Success"
    # As boto3 in a machine does it: signed by the role's credentials, at the address of systemd's environment.
    script = """
import json, os, sys, hashlib, hmac, datetime, urllib.request
key, secret, token, service, target, body = json.load(sys.stdin)
now = datetime.datetime.now(datetime.timezone.utc)
stamp, day, scope = now.strftime("%Y%m%dT%H%M%SZ"), now.strftime("%Y%m%d"), None
endpoint = os.environ["AWS_ENDPOINT_URL"]
host = endpoint.split("//")[1]
headers = {"content-type": "application/x-amz-json-1.1", "host": host, "x-amz-date": stamp,
           "x-amz-security-token": token, "x-amz-target": target}
signed = ";".join(sorted(headers))
payload = json.dumps(body)
digest = hashlib.sha256(payload.encode()).hexdigest()
canonical = "\\n".join(["POST", "/", "", *(f"{n}:{headers[n]}" for n in sorted(headers)), "", signed, digest])
scope = f"{day}/us-east-1/{service}/aws4_request"
text = "\\n".join(["AWS4-HMAC-SHA256", stamp, scope, hashlib.sha256(canonical.encode()).hexdigest()])
sign = lambda k, t: hmac.new(k, t.encode(), hashlib.sha256).digest()
k = ("AWS4" + secret).encode()
for part in (day, "us-east-1", service, "aws4_request"):
    k = sign(k, part)
signature = hmac.new(k, text.encode(), hashlib.sha256).hexdigest()
headers["authorization"] = f"AWS4-HMAC-SHA256 Credential={key}/{scope}, SignedHeaders={signed}, Signature={signature}"
print(urllib.request.urlopen(urllib.request.Request(endpoint, payload.encode(), headers)).read().decode())
"""
    machine.run("sh", "-c", f"cat >/root/call.py <<'PY'\n{script}\nPY")

    def call(service: str, target: str, body: dict[str, object]) -> dict[str, object]:
        given = json.dumps(
            [credentials["AccessKeyId"], credentials["SecretAccessKey"], credentials["Token"], service, target, body]
        )
        said = machine.run(
            "sh", "-c", f". /etc/environment; export AWS_ENDPOINT_URL; echo '{given}' | python3 /root/call.py"
        )
        return dict(json.loads(said))

    found = call("secretsmanager", "secretsmanager.GetSecretValue", {"SecretId": "stackyard/test/app/database"})
    assert json.loads(str(found["SecretString"])) == {"password": "x"}
    parameter = call("ssm", "AmazonSSM.GetParameter", {"Name": "/stackyard/test/app/image"})["Parameter"]
    assert parameter["Value"] == "ami-12345678"  # type: ignore[index]


def test_debians_public_parameter_names_its_image(cloud: TestCloud) -> None:
    found = cloud.client("ssm").get_parameter(Name="/aws/service/debian/release/13/latest/amd64")
    assert found["Parameter"]["Value"] == cloud.image("debian-13")
