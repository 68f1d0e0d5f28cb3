"""The role load_balancer: HTTP, HTTPS with each kind of certificate, logs, and what it refuses."""

from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import NameOID

NAME = "demo-wordpress"
TAGS = {"stackyard:environment": "demo", "stackyard:application": "wordpress", "localcloud:publish": "80:8080"}


@pytest.fixture
def variables(cloud):
    ec2 = cloud.client("ec2")
    subnets = sorted(ec2.describe_subnets()["Subnets"], key=lambda subnet: subnet["AvailabilityZone"])[:2]
    vpc_id = subnets[0]["VpcId"]
    group = ec2.create_security_group(GroupName="web", Description="web", VpcId=vpc_id)["GroupId"]
    return {
        "load_balancer_name": NAME,
        "load_balancer_tags": TAGS,
        "load_balancer_vpc_id": vpc_id,
        "load_balancer_subnet_ids": [subnet["SubnetId"] for subnet in subnets],
        "load_balancer_security_group_ids": [group],
    }


@pytest.fixture
def zone_id(cloud):
    zone = cloud.client("route53").create_hosted_zone(Name="example.com", CallerReference="test")
    return zone["HostedZone"]["Id"].rpartition("/")[2]


@pytest.fixture
def write_pair(tmp_path):
    def write(name, domain="blog.example.com", days=30):
        key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, domain)])
        now = datetime.now(UTC)
        certificate = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(subject)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(days=60))
            .not_valid_after(now + timedelta(days=days))
            .add_extension(x509.SubjectAlternativeName([x509.DNSName(domain)]), critical=False)
            .sign(key, hashes.SHA256())
        )
        pem, private = tmp_path / f"{name}.pem", tmp_path / f"{name}.key"
        pem.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        private.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
        )
        return {"load_balancer_certificate_file": str(pem), "load_balancer_certificate_key_file": str(private)}

    return write


def listeners(cloud):
    elbv2 = cloud.client("elbv2")
    balancers = elbv2.describe_load_balancers()["LoadBalancers"]
    found = elbv2.describe_listeners(LoadBalancerArn=balancers[0]["LoadBalancerArn"])["Listeners"]
    return {listener["Port"]: listener for listener in found}


def live(ansible, cloud, variables):
    """Check, do, and do again: what is announced is done, and done once."""
    cloud.forget_requests()
    checked = ansible.run_role("load_balancer", variables, check=True)
    assert cloud.writes() == []
    done = ansible.run_role("load_balancer", variables)
    assert [task.name for task in checked.changed] == [task.name for task in done.changed]
    cloud.forget_requests()
    again = ansible.run_role("load_balancer", variables)
    rechecked = ansible.run_role("load_balancer", variables, check=True)
    assert (again.changed, rechecked.changed, cloud.writes()) == ([], [], [])
    assert rechecked.facts["load_balancer_result"] == done.facts["load_balancer_result"]
    assert cloud.server_errors() == []
    return done.facts["load_balancer_result"]


def destroy(ansible, cloud, variables):
    """Delete twice; nothing is left."""
    gone = variables | {"load_balancer_state": "absent"}
    assert ansible.run_role("load_balancer", gone).changed
    assert not ansible.run_role("load_balancer", gone).changed
    elbv2 = cloud.client("elbv2")
    assert elbv2.describe_load_balancers()["LoadBalancers"] == []
    assert elbv2.describe_target_groups()["TargetGroups"] == []
    assert cloud.client("acm").list_certificates()["CertificateSummaryList"] == []


def test_plain_http_only_when_chosen(ansible, cloud, variables):
    result = live(ansible, cloud, variables | {"load_balancer_https": False})
    assert result["url"] == f"http://{result['dns_name'].lower()}"
    assert [listener["DefaultActions"][0]["Type"] for listener in listeners(cloud).values()] == ["forward"]
    elbv2 = cloud.client("elbv2")
    attributes = elbv2.describe_load_balancer_attributes(LoadBalancerArn=result["arn"])["Attributes"]
    assert {"Key": "routing.http.drop_invalid_header_fields.enabled", "Value": "true"} in attributes
    tags = elbv2.describe_tags(ResourceArns=[result["arn"]])["TagDescriptions"][0]["Tags"]
    assert {"Key": "localcloud:publish", "Value": "80:8080"} in tags
    ansible.run_role("load_balancer", variables, tasks_from="wait")
    destroy(ansible, cloud, variables | {"load_balancer_https": False})


def test_https_with_imported_files_and_access_logs(ansible, cloud, variables, write_pair):
    chosen = variables | write_pair("first") | {"load_balancer_access_logs_bucket": "demo-access-logs"}
    live(ansible, cloud, chosen)
    found = listeners(cloud)
    redirect = found[80]["DefaultActions"][0]["RedirectConfig"]
    assert (redirect["Protocol"], redirect["Port"], redirect["StatusCode"]) == ("HTTPS", "443", "HTTP_301")
    assert found[443]["SslPolicy"] == "ELBSecurityPolicy-TLS13-1-2-Res-2021-06"
    arn = found[443]["Certificates"][0]["CertificateArn"]
    # Renewed files are imported under the same ARN.
    live(ansible, cloud, chosen | write_pair("second"))
    assert listeners(cloud)[443]["Certificates"][0]["CertificateArn"] == arn
    rules = cloud.client("s3").get_bucket_lifecycle_configuration(Bucket="demo-access-logs")["Rules"]
    assert rules[0]["Expiration"]["Days"] == 90
    cloud.client("s3").put_object(Bucket="demo-access-logs", Key="a/b.log.gz", Body=b"x")
    destroy(ansible, cloud, chosen)
    assert cloud.client("s3").list_buckets()["Buckets"] == []


def test_https_with_a_requested_certificate(ansible, cloud, variables, zone_id):
    chosen = variables | {"load_balancer_domain": "blog.example.com", "load_balancer_hosted_zone_id": zone_id}
    result = live(ansible, cloud, chosen)
    assert result["url"] == "https://blog.example.com"
    route53 = cloud.client("route53")
    records = {
        record["Type"]: record
        for record in route53.list_resource_record_sets(HostedZoneId=zone_id)["ResourceRecordSets"]
    }
    assert records["A"]["AliasTarget"]["DNSName"].rstrip(".") == result["dns_name"]
    assert records["CNAME"]["Name"].endswith("blog.example.com.")
    destroy(ansible, cloud, chosen)
    left = route53.list_resource_record_sets(HostedZoneId=zone_id)["ResourceRecordSets"]
    assert {record["Type"] for record in left} == {"NS", "SOA"}


def refusal(ansible, cloud, variables):
    cloud.forget_requests()
    refused = ansible.run_role("load_balancer", variables, expect_failure=True)
    assert cloud.writes() == []
    return " ".join(refused.messages + [str(task.result.get("argument_errors")) for task in refused.failed])


WRONG = [
    ({"load_balancer_https": True}, "load_balancer_https is true, and nothing says where the certificate"),
    ({"load_balancer_tls_policy": "ELBSecurityPolicy-2016-08"}, "value of load_balancer_tls_policy must be one of"),
    ({"load_balancer_subnet_ids": ["subnet-0123456789abcdef0"]}, "two or more subnets in different zones"),
    ({"load_balancer_health_check_path": "healthz"}, "load_balancer_health_check_path is 'healthz': a path that"),
    ({"load_balancer_health_check_matcher": "ok"}, "load_balancer_health_check_matcher is 'ok': HTTP codes"),
    ({"load_balancer_idle_timeout": 5000}, "load_balancer_idle_timeout is 5000: a whole number of seconds from 1"),
    ({"load_balancer_stickyness": 60}, "load_balancer_stickiness is meant"),
]


def test_wrong_input_is_refused(ansible, cloud, variables):
    cloud.forget_requests()
    said = ansible.refusals("load_balancer", [variables | {"load_balancer_https": False} | wrong for wrong, _ in WRONG])
    assert [(sentence, text) for (_, sentence), text in zip(WRONG, said, strict=True) if sentence not in text] == []
    assert cloud.writes() == []


def test_a_certificate_that_cannot_serve_is_refused(ansible, cloud, variables, write_pair, tmp_path):
    good, other = write_pair("good"), write_pair("other")
    mixed = good | {"load_balancer_certificate_key_file": other["load_balancer_certificate_key_file"]}
    assert "the key of the certificate" in refusal(ansible, cloud, variables | mixed)
    text = tmp_path / "text"
    text.write_text("not a certificate")
    not_pem = good | {"load_balancer_certificate_file": str(text)}
    assert "a certificate in PEM form" in refusal(ansible, cloud, variables | not_pem)
