"""The role lease_table: from nothing to nothing, its result, and what it refuses."""

TAGS = {"stackyard:environment": "demo", "stackyard:application": "etherpad"}
NAME = "demo-etherpad-leases"
TABLE = {"lease_table_name": NAME, "lease_table_tags": TAGS}


def tables(cloud):
    return cloud.client("dynamodb").list_tables()["TableNames"]


def test_life_of_a_table(ansible, cloud):
    checked = ansible.run_role("lease_table", TABLE, check=True)
    assert [task.action for task in checked.changed] == ["community.aws.dynamodb_table"]
    assert checked.facts["lease_table_result"]["arn"].endswith(f":000000000000:table/{NAME}")
    assert cloud.writes() == []

    made = ansible.run_role("lease_table", TABLE)
    table = cloud.client("dynamodb").describe_table(TableName=NAME)["Table"]
    assert made.facts["lease_table_result"] == {"name": NAME, "arn": table["TableArn"]}
    assert table["KeySchema"] == [{"AttributeName": "lease", "KeyType": "HASH"}]
    assert table["BillingModeSummary"]["BillingMode"] == "PAY_PER_REQUEST"
    tags = cloud.client("dynamodb").list_tags_of_resource(ResourceArn=table["TableArn"])["Tags"]
    assert {tag["Key"]: tag["Value"] for tag in tags} == TAGS | {"Name": NAME}
    assert cloud.server_errors() == []

    cloud.forget_requests()
    assert ansible.run_role("lease_table", TABLE).changed == []
    assert ansible.run_role("lease_table", TABLE, check=True).changed == []
    assert cloud.writes() == []

    altered = TABLE | {"lease_table_tags": TAGS | {"cost": "pads"}}
    assert ansible.run_role("lease_table", altered, check=True).changed
    assert cloud.writes() == []
    assert ansible.run_role("lease_table", altered).changed
    # Tags of others, and those of before, stay.
    assert ansible.run_role("lease_table", TABLE).changed == []

    absent = TABLE | {"lease_table_state": "absent"}
    assert ansible.run_role("lease_table", absent, check=True).changed
    assert tables(cloud) == [NAME]
    assert ansible.run_role("lease_table", absent).changed
    assert tables(cloud) == []
    assert ansible.run_role("lease_table", absent).changed == []
    assert ansible.run_role("lease_table", absent, check=True).changed == []


def test_a_table_that_is_left_is_found_by_its_tags(ansible, cloud):
    ansible.run_role("lease_table", TABLE)
    task = {
        "name": "Look",
        "stackyard.aws.stack_leftovers": {"environment_name": "demo", "application": "etherpad"},
    }
    assert ansible.run_tasks([task]).last["left"] == [{"type": "table", "id": NAME}]


def test_a_table_with_another_key_is_refused(ansible, cloud):
    cloud.client("dynamodb").create_table(
        TableName=NAME,
        KeySchema=[{"AttributeName": "LockID", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "LockID", "AttributeType": "S"}],
        BillingMode="PAY_PER_REQUEST",
    )
    cloud.forget_requests()
    refused = ansible.run_role("lease_table", TABLE, expect_failure=True)
    assert "does not support updating the Primary keys" in refused.messages[0]
    assert cloud.writes() == []


WRONG = [
    ({"lease_table_name": ""}, "lease_table_name is not set: a name of 3 to 255"),
    ({"lease_table_name": "a b"}, "lease_table_name is 'a b'"),
    ({"lease_table_tags": {"aws:x": "y"}}, "none beginning with 'aws:'"),
    ({"lease_table_wait_timeout": 5}, "from 30 to 3600"),
    ({"lease_table_nmae": "x"}, "lease_table_name is meant"),
]


def test_wrong_input_is_refused(ansible, cloud):
    said = ansible.refusals("lease_table", [TABLE | wrong for wrong, _ in WRONG])
    assert [(sentence, text) for (_, sentence), text in zip(WRONG, said, strict=True) if sentence not in text] == []
    assert cloud.requests() == []
