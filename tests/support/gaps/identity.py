"""IAM, KMS, ACM, S3, Secrets Manager, Systems Manager."""

import json
from datetime import UTC, datetime, timedelta

import pytest
from botocore.exceptions import ClientError
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from support.control_plane import Cloud
from support.gaps import gap


def certificate_and_key() -> tuple[bytes, bytes]:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "www.example.org")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(minutes=1))
        .not_valid_after(now + timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    private = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return certificate.public_bytes(pem), private


@gap("iam")
def managed_policies_can_be_attached(cloud: Cloud) -> None:
    iam = cloud.client("iam")
    trust = {"Effect": "Allow", "Principal": {"Service": "ec2.amazonaws.com"}, "Action": "sts:AssumeRole"}
    iam.create_role(
        RoleName="machine", AssumeRolePolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": [trust]})
    )
    iam.attach_role_policy(RoleName="machine", PolicyArn="arn:aws:iam::aws:policy/AmazonSSMManagedInstanceCore")


@gap("kms")
def keys_may_be_named_by_arn(cloud: Cloud) -> None:
    kms = cloud.client("kms")
    arn = kms.create_key()["KeyMetadata"]["Arn"]
    kms.enable_key_rotation(KeyId=arn)
    assert kms.get_key_rotation_status(KeyId=arn)["KeyRotationEnabled"] is True
    kms.schedule_key_deletion(KeyId=arn, PendingWindowInDays=7)
    assert kms.describe_key(KeyId=arn)["KeyMetadata"]["KeyState"] == "PendingDeletion"


@gap("acm")
def an_imported_chain_is_what_was_imported(cloud: Cloud) -> None:
    acm = cloud.client("acm")
    certificate, key = certificate_and_key()
    arn = acm.import_certificate(Certificate=certificate, PrivateKey=key, CertificateChain=certificate)[
        "CertificateArn"
    ]
    assert acm.get_certificate(CertificateArn=arn)["CertificateChain"].strip() == certificate.decode().strip()
    alone = acm.import_certificate(Certificate=certificate, PrivateKey=key)["CertificateArn"]
    assert "CertificateChain" not in acm.get_certificate(CertificateArn=alone)


@gap("acm")
def a_certificate_imported_anew_keeps_its_tags(cloud: Cloud) -> None:
    acm = cloud.client("acm")
    certificate, key = certificate_and_key()
    tags = [{"Key": "Name", "Value": "www"}]
    arn = acm.import_certificate(Certificate=certificate, PrivateKey=key, Tags=tags)["CertificateArn"]
    certificate, key = certificate_and_key()
    acm.import_certificate(CertificateArn=arn, Certificate=certificate, PrivateKey=key)
    assert acm.list_tags_for_certificate(CertificateArn=arn)["Tags"] == tags


@gap("acm")
def a_key_must_fit_its_certificate(cloud: Cloud) -> None:
    with pytest.raises(ClientError, match="do not match"):
        cloud.client("acm").import_certificate(
            Certificate=certificate_and_key()[0], PrivateKey=certificate_and_key()[1]
        )


@gap("acm")
def validation_needs_its_record(cloud: Cloud) -> None:
    acm, route53 = cloud.client("acm"), cloud.client("route53")
    zone = route53.create_hosted_zone(Name="example.org", CallerReference="1")["HostedZone"]["Id"]
    arn = acm.request_certificate(DomainName="www.example.org", ValidationMethod="DNS")["CertificateArn"]
    described = acm.describe_certificate(CertificateArn=arn)["Certificate"]
    assert described["Status"] == "PENDING_VALIDATION"
    record = described["DomainValidationOptions"][0]["ResourceRecord"]
    change = {
        "Name": record["Name"],
        "Type": record["Type"],
        "TTL": 60,
        "ResourceRecords": [{"Value": record["Value"]}],
    }
    route53.change_resource_record_sets(
        HostedZoneId=zone, ChangeBatch={"Changes": [{"Action": "UPSERT", "ResourceRecordSet": change}]}
    )
    assert acm.describe_certificate(CertificateArn=arn)["Certificate"]["Status"] == "ISSUED"


@gap("s3")
def a_bucket_that_insists_on_tls_can_be_used(cloud: Cloud) -> None:
    s3 = cloud.client("s3")
    s3.create_bucket(Bucket="secure")
    deny = {
        "Effect": "Deny",
        "Principal": "*",
        "Action": "s3:*",
        "Resource": ["arn:aws:s3:::secure", "arn:aws:s3:::secure/*"],
        "Condition": {"Bool": {"aws:SecureTransport": "false"}},
    }
    s3.put_bucket_policy(Bucket="secure", Policy=json.dumps({"Version": "2012-10-17", "Statement": [deny]}))
    s3.put_object(Bucket="secure", Key="key", Body=b"body")
    assert s3.get_object(Bucket="secure", Key="key")["Body"].read() == b"body"


@gap("secretsmanager")
def the_name_of_a_secret_in_its_deletion_window_is_taken(cloud: Cloud) -> None:
    secrets = cloud.client("secretsmanager")
    secrets.create_secret(Name="one", SecretString="value")
    secrets.delete_secret(SecretId="one", RecoveryWindowInDays=7)
    with pytest.raises(ClientError, match="scheduled for deletion"):
        secrets.create_secret(Name="one", SecretString="value")
    secrets.restore_secret(SecretId="one")
    assert secrets.get_secret_value(SecretId="one")["SecretString"] == "value"


@gap("secretsmanager")
def a_secret_in_its_deletion_window_takes_no_value(cloud: Cloud) -> None:
    secrets = cloud.client("secretsmanager")
    secrets.create_secret(Name="one", SecretString="value")
    secrets.delete_secret(SecretId="one", RecoveryWindowInDays=7)
    with pytest.raises(ClientError, match="marked for deletion"):
        secrets.put_secret_value(SecretId="one", SecretString="other")
