"""EC2."""

import pytest
from botocore.exceptions import ClientError

from support.control_plane import Cloud
from support.gaps import gap


def _tags(kind: str) -> list[dict]:
    return [{"ResourceType": kind, "Tags": [{"Key": "stage", "Value": "test"}]}]


def _subnet(cloud: Cloud) -> str:
    return cloud.client("ec2").describe_subnets()["Subnets"][0]["SubnetId"]


@gap("ec2")
def elastic_addresses_and_nat_gateways_are_found_by_resource_type(cloud: Cloud) -> None:
    ec2 = cloud.client("ec2")
    address = ec2.allocate_address(Domain="vpc", TagSpecifications=_tags("elastic-ip"))["AllocationId"]
    nat = ec2.create_nat_gateway(SubnetId=_subnet(cloud), AllocationId=address, TagSpecifications=_tags("natgateway"))[
        "NatGateway"
    ]["NatGatewayId"]
    found = {}
    for kind in ("elastic-ip", "natgateway"):
        tags = ec2.describe_tags(Filters=[{"Name": "resource-type", "Values": [kind]}])["Tags"]
        found |= {tag["ResourceId"]: tag["ResourceType"] for tag in tags}
    assert found == {address: "elastic-ip", nat: "natgateway"}


@gap("ec2")
def a_nat_gateway_is_created_once_per_client_token(cloud: Cloud) -> None:
    ec2 = cloud.client("ec2")
    arguments = {
        "SubnetId": _subnet(cloud),
        "AllocationId": ec2.allocate_address(Domain="vpc")["AllocationId"],
        "ClientToken": "once",
    }
    created = [ec2.create_nat_gateway(**arguments)["NatGateway"]["NatGatewayId"] for _ in range(2)]
    assert created[0] == created[1]


@gap("ec2")
def a_deleted_nat_gateway_frees_its_address(cloud: Cloud) -> None:
    ec2 = cloud.client("ec2")
    address = ec2.allocate_address(Domain="vpc")["AllocationId"]
    nat = ec2.create_nat_gateway(SubnetId=_subnet(cloud), AllocationId=address)["NatGateway"]["NatGatewayId"]
    ec2.delete_nat_gateway(NatGatewayId=nat)
    assert "AssociationId" not in ec2.describe_addresses(AllocationIds=[address])["Addresses"][0]
    assert ec2.describe_network_interfaces()["NetworkInterfaces"] == []


@gap("ec2")
def interfaces_get_free_addresses_of_their_subnet(cloud: Cloud) -> None:
    ec2 = cloud.client("ec2")
    vpc = ec2.create_vpc(CidrBlock="10.77.0.0/16")["Vpc"]["VpcId"]
    subnet = ec2.create_subnet(VpcId=vpc, CidrBlock="10.77.8.0/28")["Subnet"]["SubnetId"]
    addresses = [
        ec2.create_network_interface(SubnetId=subnet)["NetworkInterface"]["PrivateIpAddress"] for _ in range(10)
    ]
    assert len(set(addresses)) == 10
    # The first four and the last are AWS's own.
    assert not set(addresses) & {"10.77.8.0", "10.77.8.1", "10.77.8.2", "10.77.8.3", "10.77.8.15"}


@gap("ec2")
def volumes_say_whether_they_attach_to_several_instances(cloud: Cloud) -> None:
    volume = cloud.client("ec2").create_volume(Size=1, AvailabilityZone="us-east-1a")
    assert volume["MultiAttachEnabled"] is False


@gap("ec2")
def a_gateway_endpoint_can_be_deleted_and_is_gone(cloud: Cloud) -> None:
    ec2 = cloud.client("ec2")
    vpc = ec2.create_vpc(CidrBlock="10.77.0.0/16")["Vpc"]["VpcId"]
    table = ec2.describe_route_tables(Filters=[{"Name": "vpc-id", "Values": [vpc]}])["RouteTables"][0]["RouteTableId"]
    endpoint = ec2.create_vpc_endpoint(VpcId=vpc, ServiceName="com.amazonaws.us-east-1.s3", RouteTableIds=[table])[
        "VpcEndpoint"
    ]
    assert endpoint["VpcEndpointType"] == "Gateway"
    for _ in range(2):
        ec2.delete_vpc_endpoints(VpcEndpointIds=[endpoint["VpcEndpointId"]])
    assert ec2.describe_vpc_endpoints(Filters=[{"Name": "vpc-id", "Values": [vpc]}])["VpcEndpoints"] == []


@gap("ec2")
def what_is_in_use_cannot_be_deleted(cloud: Cloud) -> None:
    ec2 = cloud.client("ec2")
    vpc = ec2.create_vpc(CidrBlock="10.77.0.0/16")["Vpc"]["VpcId"]
    subnet = ec2.create_subnet(VpcId=vpc, CidrBlock="10.77.8.0/24")["Subnet"]["SubnetId"]
    group = ec2.create_security_group(GroupName="carried", Description="-", VpcId=vpc)["GroupId"]
    interface = ec2.create_network_interface(SubnetId=subnet, Groups=[group])["NetworkInterface"]
    with pytest.raises(ClientError, match="DependencyViolation"):
        ec2.delete_subnet(SubnetId=subnet)
    with pytest.raises(ClientError, match="DependencyViolation"):
        ec2.delete_security_group(GroupId=group)
    ec2.delete_network_interface(NetworkInterfaceId=interface["NetworkInterfaceId"])
    other = ec2.create_security_group(GroupName="naming", Description="-", VpcId=vpc)["GroupId"]
    rule = [{"IpProtocol": "tcp", "FromPort": 80, "ToPort": 80, "UserIdGroupPairs": [{"GroupId": group}]}]
    ec2.authorize_security_group_ingress(GroupId=other, IpPermissions=rule)
    with pytest.raises(ClientError, match="DependencyViolation"):
        ec2.delete_security_group(GroupId=group)
    ec2.revoke_security_group_ingress(GroupId=other, IpPermissions=rule)
    ec2.delete_security_group(GroupId=group)
    ec2.delete_subnet(SubnetId=subnet)


@gap("ec2")
def the_interface_of_an_instance_goes_with_it(cloud: Cloud) -> None:
    ec2 = cloud.client("ec2")
    image = ec2.describe_images()["Images"][0]["ImageId"]
    instance = ec2.run_instances(ImageId=image, MinCount=1, MaxCount=1, SubnetId=_subnet(cloud))["Instances"][0]
    assert ec2.describe_network_interfaces()["NetworkInterfaces"]
    ec2.terminate_instances(InstanceIds=[instance["InstanceId"]])
    assert ec2.describe_network_interfaces()["NetworkInterfaces"] == []
