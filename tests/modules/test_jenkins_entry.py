"""The two entries of Jenkins against the control plane: a load balancer, an address, and the change between them."""

import pytest

from support.stack_account import announcements, stack_runs

NAME = "demo-jenkins"
BY_ADDRESS = {"jenkins_stack_entry": "address"}


@pytest.fixture
def stack(ansible, cloud):
    return stack_runs(ansible, cloud, "jenkins", jenkins_stack_backup=False, jenkins_stack_alarms=False)


def template(cloud):
    """What the newest version of the launch template says."""
    versions = cloud.client("ec2").describe_launch_template_versions(LaunchTemplateName=NAME)
    newest = max(versions["LaunchTemplateVersions"], key=lambda version: version["VersionNumber"])
    return newest["LaunchTemplateData"]


def tiers(cloud):
    """The tiers of the subnets that the group launches into."""
    [group] = cloud.client("autoscaling").describe_auto_scaling_groups()["AutoScalingGroups"]
    subnets = cloud.client("ec2").describe_subnets(SubnetIds=group["VPCZoneIdentifier"].split(","))["Subnets"]
    names = [tag["Value"] for subnet in subnets for tag in subnet["Tags"] if tag["Key"] == "Name"]
    return {name.removeprefix(f"{NAME}-").partition("-")[0] for name in names}, group


def test_the_entry_of_a_stack_is_changed(stack, cloud):
    elbv2, ec2 = cloud.client("elbv2"), cloud.client("ec2")
    checked = stack(variables=BY_ADDRESS, check=True)
    assert cloud.writes() == []
    made = stack(variables=BY_ADDRESS)
    assert announcements(checked) == announcements(made)
    [address] = ec2.describe_addresses()["Addresses"]
    interface = template(cloud)["NetworkInterfaces"][0]
    assert interface["AssociatePublicIpAddress"] is True
    tier, group = tiers(cloud)
    assert (tier, group["HealthCheckType"], group["TargetGroupARNs"]) == ({"public"}, "EC2", [])
    assert elbv2.describe_load_balancers()["LoadBalancers"] == []
    doors = ec2.describe_security_groups(GroupIds=interface["Groups"])["SecurityGroups"][0]["IpPermissions"]
    assert {rule["FromPort"] for rule in doors if rule["IpRanges"]} == {80}
    assert any(f"http://{address['PublicIp']}/" in line for line in made.task("Tell where Jenkins is")["msg"])
    cloud.forget_requests()
    assert announcements(stack(variables=BY_ADDRESS)) == []

    announced = stack(check=True)
    changed = stack()
    assert announcements(announced) == announcements(changed)
    tier, group = tiers(cloud)
    assert (tier, group["HealthCheckType"], len(group["TargetGroupARNs"])) == ({"private"}, "ELB", 1)
    assert template(cloud)["NetworkInterfaces"][0]["AssociatePublicIpAddress"] is False
    assert ec2.describe_addresses()["Addresses"] == []

    stack(variables=BY_ADDRESS)
    assert elbv2.describe_load_balancers()["LoadBalancers"] == []
    assert elbv2.describe_target_groups()["TargetGroups"] == []
    destroyed = stack("jenkins_destroy", {"stackyard_confirm": NAME, "stackyard_purge": "true", **BY_ADDRESS})
    assert destroyed.task("Tell what was kept")["msg"] == [f"Nothing is left of {NAME}."]
    assert ec2.describe_addresses()["Addresses"] == []
    assert cloud.server_errors() == []
