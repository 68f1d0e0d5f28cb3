"""Jenkins' agents against the control plane: turned on, scaled by others, changed, turned off."""

import base64
import json

import pytest
from cryptography.hazmat.primitives import serialization

from support.stack_account import announcements, bake, stack_runs

NAME = "demo-jenkins"
AGENTS = f"{NAME}-agents"
SECRET = "stackyard/demo/jenkins/agents"
ON = {"jenkins_stack_agents_max": 3}


@pytest.fixture
def stack(ansible, cloud):
    return stack_runs(ansible, cloud, "jenkins", jenkins_stack_backup=False, jenkins_stack_alarms=False)


def group(cloud, name=AGENTS):
    """The group as the API tells of it, None where there is none."""
    found = cloud.client("autoscaling").describe_auto_scaling_groups(AutoScalingGroupNames=[name])
    return next(iter(found["AutoScalingGroups"]), None)


def template(cloud, name):
    """What the newest version of a launch template says, and its boot document."""
    versions = cloud.client("ec2").describe_launch_template_versions(LaunchTemplateName=name)
    newest = max(versions["LaunchTemplateVersions"], key=lambda version: version["VersionNumber"])["LaunchTemplateData"]
    return newest, boot_document(newest["UserData"])


def boot_document(user_data):
    """The boot document in user data."""
    [file] = json.loads(base64.b64decode(user_data).decode().partition("\n")[2])["write_files"]
    return json.loads(file["content"])


def policy(cloud, name):
    """The statements of a machine's role by their names."""
    iam = cloud.client("iam")
    [inline] = iam.list_role_policies(RoleName=name)["PolicyNames"]
    document = iam.get_role_policy(RoleName=name, PolicyName=inline)["PolicyDocument"]
    return {statement["Sid"]: statement for statement in document["Statement"]}


def test_agents_are_turned_on_scaled_by_others_and_turned_off(stack, cloud):
    scaling, secrets = cloud.client("autoscaling"), cloud.client("secretsmanager")
    # What they are made of is looked for before anything is changed.
    refused = stack(variables=ON, expect_failure=True)
    assert "There is no image of jenkins_agent yet" in refused.messages[0]
    assert cloud.writes() == []

    bake(cloud, "jenkins_agent")
    made = stack(variables=ON, more=("-vvv",))
    found = group(cloud)
    assert (found["MinSize"], found["MaxSize"], found["DesiredCapacity"], found["HealthCheckType"]) == (0, 3, 0, "EC2")
    assert [process["ProcessName"] for process in found["SuspendedProcesses"]] == ["AZRebalance"]
    tags = {tag["Key"]: tag["Value"] for tag in found["Tags"]}
    assert (tags["stackyard:application"], tags["stackyard:component"]) == ("jenkins", "agents")
    hooks = scaling.describe_lifecycle_hooks(AutoScalingGroupName=AGENTS)["LifecycleHooks"]
    assert {hook["LifecycleHookName"]: hook["HeartbeatTimeout"] for hook in hooks} == {"launch": 900, "terminate": 1920}

    # The key is a secret of the controller's; what agents are told of it is its public half.
    private = json.loads(secrets.get_secret_value(SecretId=SECRET)["SecretString"])["private_key"]
    assert private not in made.stdout + made.stderr
    key = serialization.load_ssh_private_key(private.encode(), None).public_key()
    public = key.public_bytes(serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH).decode()
    machine, document = template(cloud, AGENTS)
    assert document["variables"] == {"jenkins_agent_public_key": public}
    assert (document["application"], document["secrets"], document["terminate_hook"]) == ("jenkins_agent", {}, "")
    assert machine["MetadataOptions"]["HttpTokens"] == "required"
    assert set(policy(cloud, AGENTS)) == {"CompleteOwnLifecycleActions", "DescribeGroups"}
    _unused, controller = template(cloud, NAME)
    assert controller["secrets"]["jenkins_fleet_key"] == {"secret": SECRET, "key": "private_key"}
    assert controller["variables"]["jenkins_fleet_group"] == AGENTS
    gained = policy(cloud, NAME)
    assert {"ScaleAgents", "EndAndTagAgents", "LookAtAgents"} <= set(gained)
    assert gained["ScaleAgents"]["Resource"].endswith(f":autoScalingGroup:*:autoScalingGroupName/{AGENTS}")
    assert gained["ScaleAgents"]["Resource"].startswith("arn:aws:autoscaling:us-east-1:")
    assert gained["EndAndTagAgents"]["Condition"] == {
        "StringEquals": {"aws:ResourceTag/aws:autoscaling:groupName": AGENTS}
    }

    # The controller alone comes to them.
    ec2 = cloud.client("ec2")
    groups = {entry["GroupId"]: entry for entry in ec2.describe_security_groups()["SecurityGroups"]}
    [own] = template(cloud, AGENTS)[0]["NetworkInterfaces"][0]["Groups"]
    [door] = groups[own]["IpPermissions"]
    [from_controller] = template(cloud, NAME)[0]["NetworkInterfaces"][0]["Groups"]
    assert (door["FromPort"], door["ToPort"], door["IpRanges"]) == (22, 22, [])
    assert [pair["GroupId"] for pair in door["UserIdGroupPairs"]] == [from_controller]

    # As Jenkins' plug-in does.
    scaling.update_auto_scaling_group(
        AutoScalingGroupName=AGENTS, MinSize=0, MaxSize=3, DesiredCapacity=2, NewInstancesProtectedFromScaleIn=True
    )
    before = {instance["InstanceId"] for instance in group(cloud)["Instances"]}
    assert len(before) == 2
    image = ec2.create_image(InstanceId=sorted(before)[0], Name="newer")["ImageId"]
    ec2.create_tags(Resources=[image], Tags=[{"Key": "stackyard:application", "Value": "jenkins_agent"}])

    # A new image is for new agents, those that are there build; and nothing else is changed.
    changed = stack(variables={**ON, "jenkins_stack_agents_image_id": image})
    assert {name for _action, _kind, name in announcements(changed)} == {AGENTS}
    assert template(cloud, AGENTS)[0]["ImageId"] == image
    assert {instance["InstanceId"] for instance in group(cloud)["Instances"]} == before
    assert group(cloud)["DesiredCapacity"] == 2

    cloud.forget_requests()
    announced = stack(check=True)
    assert cloud.writes() == []
    assert announcements(announced) == announcements(stack())
    assert group(cloud) is None
    templates = [entry["LaunchTemplateName"] for entry in ec2.describe_launch_templates()["LaunchTemplates"]]
    assert templates == [NAME]
    roles = [role["RoleName"] for role in cloud.client("iam").list_roles()["Roles"]]
    assert [role for role in roles if role.startswith(NAME)] == [NAME]
    assert [entry["Name"] for entry in secrets.list_secrets()["SecretList"]] == ["stackyard/demo/jenkins/admin"]
    assert not {"ScaleAgents", "EndAndTagAgents", "LookAtAgents"} & set(policy(cloud, NAME))
    assert cloud.server_errors() == []
