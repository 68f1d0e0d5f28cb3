"""DynamoDB."""

from support.control_plane import Cloud
from support.gaps import gap


@gap("dynamodb")
def a_table_has_an_id_of_its_own(cloud: Cloud) -> None:
    dynamodb = cloud.client("dynamodb")
    ids = []
    for _ in range(2):
        made = dynamodb.create_table(
            TableName="leases",
            KeySchema=[{"AttributeName": "lease", "KeyType": "HASH"}],
            AttributeDefinitions=[{"AttributeName": "lease", "AttributeType": "S"}],
            BillingMode="PAY_PER_REQUEST",
        )["TableDescription"]
        assert dynamodb.describe_table(TableName="leases")["Table"]["TableId"] == made["TableId"]
        ids.append(made["TableId"])
        dynamodb.delete_table(TableName="leases")
    assert len(set(ids)) == 2
