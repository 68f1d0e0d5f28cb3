"""The role network: what it announces is what it makes, it repeats without a change, and it leaves nothing."""

import copy

ENDPOINTS = ["ssm", "ssmmessages", "ec2messages", "secretsmanager", "autoscaling"]
TAGS = {"stackyard:environment": "demo", "stackyard:application": "wordpress"}
NETWORK = {
    "network_name": "demo-wordpress",
    "network_tags": TAGS,
    "network_cidr": "10.42.0.0/16",
    "network_zones": ["us-east-1a", "us-east-1b"],
    "network_nat": "zone",
    "network_interface_endpoints": ENDPOINTS,
    "network_security_groups": [
        {"name": "load-balancer", "description": "Entry", "rules": [{"port": 80, "cidr": "0.0.0.0/0"}]},
        {
            "name": "machines",
            "description": "The fleet",
            "rules": [
                {"port": 80, "source_group": "load-balancer"},
                {"port": 8080, "source_group": "machines", "description": "among themselves"},
            ],
        },
        {
            "name": "database",
            "description": "Data",
            "rules": [{"port": 3306, "source_group": "machines"}],
            "egress": [],
        },
    ],
}


def changes(result):
    """What the own modules of a run announced or did: (action, type, name)."""
    results = [r for task in result.tasks for r in [task.result, *task.result.get("results", [])]]
    return [(c["action"], c["type"], c["name"]) for r in results for c in r.get("changes", [])]


def left(cloud):
    """What the module that ends a destruction finds."""
    ec2, filters = cloud.client("ec2"), [{"Name": "tag:stackyard:application", "Values": ["wordpress"]}]
    found = ec2.describe_vpcs(Filters=filters)["Vpcs"] + ec2.describe_subnets(Filters=filters)["Subnets"]
    found += ec2.describe_route_tables(Filters=filters)["RouteTables"]
    found += ec2.describe_network_acls(Filters=filters)["NetworkAcls"]
    found += ec2.describe_security_groups(Filters=filters)["SecurityGroups"]
    found += ec2.describe_internet_gateways(Filters=filters)["InternetGateways"]
    found += ec2.describe_vpc_endpoints(Filters=filters)["VpcEndpoints"]
    return found + ec2.describe_addresses(Filters=filters)["Addresses"]


def test_life_of_a_network(ansible, cloud):
    ec2 = cloud.client("ec2")
    announced = ansible.run_role("network", NETWORK, check=True)
    assert cloud.writes() == []
    created = ansible.run_role("network", NETWORK)
    assert sorted(changes(announced)) == sorted(changes(created))
    assert cloud.server_errors() == []

    result = created.facts["network_result"]
    zones = {s["SubnetId"]: s["AvailabilityZone"] for s in ec2.describe_subnets()["Subnets"]}
    for tier in ("public", "private", "data"):
        assert [zones[i] for i in result[f"{tier}_subnet_ids"]] == ["us-east-1a", "us-east-1b"]
    assert set(result["security_group_ids"]) == {"load-balancer", "machines", "database"}
    endpoints = {e["ServiceName"].rsplit(".", 1)[1]: e for e in ec2.describe_vpc_endpoints()["VpcEndpoints"]}
    assert set(endpoints) == {"s3", "dynamodb", *ENDPOINTS}
    # Without NAT the private tier has no other way to S3 and DynamoDB than these routes.
    tables = ec2.describe_route_tables(Filters=[{"Name": "vpc-id", "Values": [result["vpc_id"]]}])["RouteTables"]
    private = {
        table["RouteTableId"]
        for table in tables
        if {a.get("SubnetId") for a in table["Associations"]} & set(result["private_subnet_ids"])
    }
    for service in ("s3", "dynamodb"):
        assert endpoints[service]["VpcEndpointType"] == "Gateway"
        assert private <= set(endpoints[service]["RouteTableIds"])

    again = ansible.run_role("network", NETWORK)
    assert changes(again) == []
    assert again.changed == []
    assert changes(ansible.run_role("network", NETWORK, check=True)) == []
    # The wait pass finds everything in order as well.
    assert ansible.run_role("network", NETWORK, tasks_from="wait").changed == []

    without_nat = copy.deepcopy(NETWORK) | {"network_nat": "none"}
    announced = ansible.run_role("network", without_nat, check=True)
    altered = ansible.run_role("network", without_nat)
    assert sorted(changes(announced)) == sorted(changes(altered))
    assert not [n for n in ec2.describe_nat_gateways()["NatGateways"] if n["State"] not in ("deleted", "deleting")]
    assert ec2.describe_addresses()["Addresses"] == []
    assert ansible.run_role("network", without_nat).changed == []

    gone = {"network_state": "absent", "network_name": "demo-wordpress", "network_tags": TAGS}
    announced = ansible.run_role("network", gone, check=True)
    removed = ansible.run_role("network", gone)
    assert sorted(changes(announced)) == sorted(changes(removed))
    assert left(cloud) == []
    assert [v["IsDefault"] for v in ec2.describe_vpcs()["Vpcs"]] == [True]
    assert ansible.run_role("network", gone).changed == []

    assert sorted(changes(ansible.run_role("network", NETWORK))) == sorted(changes(created))


def test_the_tiers_are_closed_to_each_other(ansible, cloud):
    ec2 = cloud.client("ec2")
    result = ansible.run_role("network", NETWORK).facts["network_result"]
    acls = ec2.describe_network_acls(Filters=[{"Name": "vpc-id", "Values": [result["vpc_id"]]}])["NetworkAcls"]
    by_subnet = {a["SubnetId"]: acl for acl in acls for a in acl["Associations"]}
    data = by_subnet[result["data_subnet_ids"][0]]
    allowed = {e["CidrBlock"] for e in data["Entries"] if not e["Egress"] and e["RuleAction"] == "allow"}
    assert allowed == {"10.42.64.0/20", "10.42.80.0/20", "10.42.128.0/20", "10.42.144.0/20"}

    tables = ec2.describe_route_tables(Filters=[{"Name": "vpc-id", "Values": [result["vpc_id"]]}])["RouteTables"]
    table_of = {a.get("SubnetId"): t for t in tables for a in t["Associations"]}

    def ways_out(subnet):
        return [r for r in table_of[subnet]["Routes"] if r.get("DestinationCidrBlock") == "0.0.0.0/0"]

    assert ways_out(result["public_subnet_ids"][0])[0]["GatewayId"].startswith("igw-")
    nats = {ways_out(subnet)[0]["NatGatewayId"] for subnet in result["private_subnet_ids"]}
    assert len(nats) == 2
    assert ways_out(result["data_subnet_ids"][0]) == []

    groups = ec2.describe_security_groups(Filters=[{"Name": "vpc-id", "Values": [result["vpc_id"]]}])["SecurityGroups"]
    default = next(group for group in groups if group["GroupName"] == "default")
    assert default["IpPermissions"] == []
    assert default["IpPermissionsEgress"] == []
    database = next(group for group in groups if group["GroupName"] == "demo-wordpress-database")
    assert database["IpPermissionsEgress"] == []
    pairs = database["IpPermissions"][0]["UserIdGroupPairs"]
    assert [pair["GroupId"] for pair in pairs] == [result["security_group_ids"]["machines"]]


def test_a_rule_that_changes_replaces_the_old_one(ansible, cloud):
    ansible.run_role("network", NETWORK)
    altered = copy.deepcopy(NETWORK)
    altered["network_security_groups"][0]["rules"] = [{"port": 443, "cidr": "0.0.0.0/0"}]
    del altered["network_security_groups"][2]
    done = ansible.run_role("network", altered)
    assert sorted(changes(done)) == [
        ("delete", "security-group", "demo-wordpress-database"),
        ("update", "security-group-rules", "demo-wordpress-load-balancer ingress"),
    ]
    assert ansible.run_role("network", altered).changed == []


def test_an_existing_vpc_is_used_and_left_alone(ansible, cloud):
    made = ansible.run_role("network", NETWORK).facts["network_result"]
    other = {
        "network_name": "demo-other",
        "network_tags": {"stackyard:environment": "demo", "stackyard:application": "other"},
        "network_vpc_id": made["vpc_id"],
        "network_subnet_ids": {"public": made["public_subnet_ids"], "private": made["private_subnet_ids"], "data": []},
        "network_subnet_tags": {"public": {}, "private": {}, "data": {"Name": "demo-wordpress-data-*"}},
        "network_security_groups": [{"name": "machines", "description": "The fleet", "rules": []}],
    }
    used = ansible.run_role("network", other)
    assert changes(used) == [("create", "security-group", "demo-other-machines")]
    result = used.facts["network_result"]
    assert result["private_subnet_ids"] == made["private_subnet_ids"]
    assert sorted(result["data_subnet_ids"]) == sorted(made["data_subnet_ids"])
    assert result["vpc_cidr"] == "10.42.0.0/16"
    assert ansible.run_role("network", other).changed == []
    removed = ansible.run_role("network", other | {"network_state": "absent"})
    assert changes(removed) == [("delete", "security-group", "demo-other-machines")]
    assert ansible.run_role("network", NETWORK).changed == []


WRONG = [
    ({"network_cidr": "10.0.0.0/8"}, "network_cidr is 10.0.0.0/8: private IPv4 addresses"),
    ({"network_zones": ["us-east-1a"]}, "network_zones is ['us-east-1a']: a list of two or three"),
    ({"network_nat": "none", "network_interface_endpoints": ["ssm"]}, "lacks ssmmessages, ec2messages"),
]


def test_a_network_that_could_not_work_is_refused(ansible, cloud):
    said = ansible.refusals("network", [NETWORK | wrong for wrong, _ in WRONG])
    assert [(sentence, text) for (_, sentence), text in zip(WRONG, said, strict=True) if sentence not in text] == []
    assert cloud.requests() == []
