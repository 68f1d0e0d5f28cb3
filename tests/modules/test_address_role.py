"""The role address: from nothing to nothing, its record, its result, and what it refuses."""

import pytest

NAME = "demo-jenkins"
TAGS = {"stackyard:environment": "demo", "stackyard:application": "jenkins"}
ADDRESS = {"address_name": NAME, "address_tags": TAGS}


def addresses(cloud):
    return cloud.client("ec2").describe_addresses()["Addresses"]


@pytest.fixture
def zone(cloud):
    made = cloud.client("route53").create_hosted_zone(Name="example.com", CallerReference="test")
    return made["HostedZone"]["Id"].rpartition("/")[2]


def in_zone(zone):
    return {
        "address_domain": "jenkins.example.com",
        "address_hosted_zone_id": zone,
        "address_region": "us-east-1",
    }


def records(cloud, zone):
    found = cloud.client("route53").list_resource_record_sets(HostedZoneId=zone)["ResourceRecordSets"]
    return {r["Name"]: [v["Value"] for v in r["ResourceRecords"]] for r in found if r["Type"] == "A"}


def test_life_of_an_address(ansible, cloud):
    checked = ansible.run_role("address", ADDRESS, check=True)
    assert [task.action for task in checked.changed] == ["amazon.aws.ec2_eip"]
    assert checked.facts["address_result"] == {"ip": "192.0.2.1", "allocation_id": "eipalloc-00000000000000000"}
    assert cloud.writes() == []

    made = ansible.run_role("address", ADDRESS)
    [address] = addresses(cloud)
    assert made.facts["address_result"] == {"ip": address["PublicIp"], "allocation_id": address["AllocationId"]}
    assert {tag["Key"]: tag["Value"] for tag in address["Tags"]} == TAGS | {"Name": NAME}

    # Also while a machine has it.
    image = cloud.client("ec2").describe_images()["Images"][0]["ImageId"]
    machine = cloud.client("ec2").run_instances(ImageId=image, MinCount=1, MaxCount=1)["Instances"][0]["InstanceId"]
    cloud.client("ec2").associate_address(AllocationId=address["AllocationId"], InstanceId=machine)
    cloud.forget_requests()
    again = ansible.run_role("address", ADDRESS)
    assert (again.changed, again.facts["address_result"]) == ([], made.facts["address_result"])
    assert ansible.run_role("address", ADDRESS, check=True).changed == []
    assert cloud.writes() == []

    altered = ADDRESS | {"address_tags": TAGS | {"cost": "builds"}}
    assert ansible.run_role("address", altered, check=True).changed
    assert ansible.run_role("address", altered).changed
    assert ansible.run_role("address", ADDRESS).changed == []

    cloud.client("ec2").terminate_instances(InstanceIds=[machine])
    absent = ADDRESS | {"address_state": "absent"}
    assert ansible.run_role("address", absent, check=True).changed
    assert len(addresses(cloud)) == 1
    assert ansible.run_role("address", absent).changed
    assert addresses(cloud) == []
    assert ansible.run_role("address", absent).changed == []
    assert cloud.server_errors() == []


def test_the_name_points_to_it_and_goes_with_it(ansible, cloud, zone):
    named = ADDRESS | {
        "address_domain": "jenkins.example.com",
        "address_hosted_zone_id": zone,
        "address_region": "us-east-1",
    }
    ip = ansible.run_role("address", named).facts["address_result"]["ip"]
    assert records(cloud, zone) == {}
    after = {"address_result": {"ip": ip}}
    assert ansible.run_role("address", named | after, tasks_from="record", check=True).changed
    assert records(cloud, zone) == {}
    assert ansible.run_role("address", named | after, tasks_from="record").changed
    assert records(cloud, zone) == {"jenkins.example.com.": [ip]}
    assert ansible.run_role("address", named | after, tasks_from="record").changed == []

    assert ansible.run_role("address", named | {"address_state": "absent"}).changed
    assert (records(cloud, zone), addresses(cloud)) == ({}, [])


def test_a_name_that_points_elsewhere_stays(ansible, cloud, zone):
    named = ADDRESS | {
        "address_domain": "jenkins.example.com",
        "address_hosted_zone_id": zone,
        "address_region": "us-east-1",
    }
    ansible.run_role("address", named)
    record = {
        "Name": "jenkins.example.com",
        "Type": "A",
        "TTL": 300,
        "ResourceRecords": [{"Value": "203.0.113.9"}],
    }
    cloud.client("route53").change_resource_record_sets(
        HostedZoneId=zone, ChangeBatch={"Changes": [{"Action": "CREATE", "ResourceRecordSet": record}]}
    )
    ansible.run_role("address", named | {"address_state": "absent"})
    assert (records(cloud, zone), addresses(cloud)) == ({"jenkins.example.com.": ["203.0.113.9"]}, [])


WRONG = [
    ({"address_name": ""}, "address_name is not set: a name of 1 to 255 characters"),
    ({"address_domain": "https://example.com/"}, "address_domain is 'https://example.com/': a domain name"),
    ({"address_hosted_zone_id": "example.com"}, "address_hosted_zone_id is 'example.com': the id of a hosted zone"),
    ({"address_hosted_zone_id": "Z0123456789"}, "address_domain is not set and address_hosted_zone_id is"),
    ({"address_zone": "x"}, "address_zone is no variable of the role address"),
]


def test_wrong_input_is_refused(ansible, cloud):
    said = ansible.refusals("address", [ADDRESS | wrong for wrong, _ in WRONG])
    assert [(sentence, text) for (_, sentence), text in zip(WRONG, said, strict=True) if sentence not in text] == []
    assert cloud.writes() == []
