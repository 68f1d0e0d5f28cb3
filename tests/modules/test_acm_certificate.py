"""acm_certificate: requested and proven by DNS; what a cut-off run leaves is found again."""

import pytest

from support.module_life import ModuleLife

NAME = "demo-wordpress"


@pytest.fixture
def zone_id(cloud):
    zone = cloud.client("route53").create_hosted_zone(Name="example.com", CallerReference="test")
    return zone["HostedZone"]["Id"].rpartition("/")[2]


@pytest.fixture
def wanted(zone_id):
    return {
        "domain_name": "blog.example.com",
        "alternative_names": ["*.blog.example.com", "www.example.com"],
        "hosted_zone_id": zone_id,
        "tags": {"stackyard:environment": "demo"},
        "wait_timeout": 60,
    }


@pytest.fixture
def life(ansible, cloud):
    return ModuleLife(ansible, cloud, "stackyard.aws.acm_certificate", {"name": NAME})


def records(cloud, zone_id):
    found = cloud.client("route53").list_resource_record_sets(HostedZoneId=zone_id)["ResourceRecordSets"]
    return [record for record in found if record["Type"] == "CNAME"]


def test_a_requested_certificate_from_nothing_to_nothing(life, cloud, wanted, zone_id):
    created = life.live(wanted)
    assert created["status"] == "ISSUED"
    tagged = life.live(wanted | {"tags": {"owner": "me"}})
    assert [change["type"] for change in tagged["changes"]] == ["tags of certificate"]
    assert tagged["arn"] == created["arn"]
    life.live({"state": "absent", "hosted_zone_id": zone_id})
    assert cloud.client("acm").list_certificates()["CertificateSummaryList"] == []
    assert records(cloud, zone_id) == []


def test_a_run_cut_off_before_the_records_is_completed(life, cloud, wanted, zone_id):
    acm = cloud.client("acm")
    begun = acm.request_certificate(
        DomainName="blog.example.com",
        SubjectAlternativeNames=["*.blog.example.com", "www.example.com"],
        ValidationMethod="DNS",
        Tags=[{"Key": "Name", "Value": NAME}, {"Key": "stackyard:environment", "Value": "demo"}],
    )
    done = life.run(wanted)
    assert (done["arn"], done["status"]) == (begun["CertificateArn"], "ISSUED")
    assert len(acm.list_certificates()["CertificateSummaryList"]) == 1


def test_a_certificate_that_is_not_issued_in_time_is_told(life, cloud, wanted):
    other = cloud.client("route53").create_hosted_zone(Name="example.org", CallerReference="other")
    wrong = wanted | {"hosted_zone_id": other["HostedZone"]["Id"].rpartition("/")[2], "wait_timeout": 2}
    failed = life.run(wrong, expect_failure=True)["msg"]
    assert "Issue of the certificate for blog.example.com was not reached" in failed or "InvalidChangeBatch" in failed


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({}, "domain_name, certificate"),
        ({"domain_name": "a.example.com"}, "hosted_zone_id"),
        ({"certificate": "x"}, "parameters are required together: certificate, private_key"),
        ({"certificate": "x", "private_key": "y"}, "certificate is not PEM"),
    ],
)
def test_bad_arguments_are_refused(life, arguments, sentence):
    assert sentence in life.refused(arguments)
