"""The role fleet: group, template, profile, roll-out, what a machine is told and may do, and what is refused."""

import base64
import json

import pytest
import yaml

NAME = "demo-wordpress"
TAGS = {"stackyard:environment": "demo", "stackyard:application": "wordpress"}
SECRETS = {"wordpress_database_password": {"secret": "stackyard/demo/wordpress/database", "key": "password"}}


@pytest.fixture
def variables(cloud):
    ec2 = cloud.client("ec2")
    subnets = sorted(ec2.describe_subnets()["Subnets"], key=lambda subnet: subnet["AvailabilityZone"])[:2]
    vpc_id = subnets[0]["VpcId"]
    group = ec2.create_security_group(GroupName="machines", Description="machines", VpcId=vpc_id)["GroupId"]
    target_group = cloud.client("elbv2").create_target_group(Name=NAME, Protocol="HTTP", Port=80, VpcId=vpc_id)
    return {
        "fleet_name": NAME,
        "fleet_tags": TAGS,
        "fleet_image_id": ec2.describe_images(Owners=["amazon", "self"])["Images"][0]["ImageId"],
        "fleet_subnet_ids": [subnet["SubnetId"] for subnet in subnets],
        "fleet_security_group_ids": [group],
        "fleet_application": "wordpress",
        "fleet_environment": "demo",
        "fleet_region": "us-east-1",
        "fleet_secrets": SECRETS,
        "fleet_variables": {"wordpress_site_url": "https://blog.example.com"},
        "fleet_target_group_arns": [target_group["TargetGroups"][0]["TargetGroupArn"]],
        "fleet_schedules": [{"name": "night", "recurrence": "0 22 * * *", "min_size": 2}],
        # Nothing boots behind this control plane.
        "fleet_wait": False,
    }


def test_from_nothing_to_nothing(ansible, cloud, variables):
    cloud.forget_requests()
    checked = ansible.run_role("fleet", variables, check=True)
    assert cloud.writes() == []
    done = ansible.run_role("fleet", variables)
    assert [task.name for task in checked.changed] == [task.name for task in done.changed]
    changes = [[change for task in run.changed for change in task.result.get("changes", [])] for run in (checked, done)]
    assert changes[0] == changes[1]
    result = done.facts["fleet_result"]
    assert (result["group"], result["launch_template_version"]) == (NAME, "1")

    cloud.forget_requests()
    again = ansible.run_role("fleet", variables)
    rechecked = ansible.run_role("fleet", variables, check=True)
    assert ([task.name for task in again.changed], [task.name for task in rechecked.changed]) == ([], [])
    assert cloud.writes() == []
    assert cloud.server_errors() == []

    gone = {"fleet_name": NAME, "fleet_tags": TAGS, "fleet_state": "absent"}
    assert ansible.run_role("fleet", gone).changed
    assert not ansible.run_role("fleet", gone).changed
    assert cloud.client("autoscaling").describe_auto_scaling_groups()["AutoScalingGroups"] == []
    assert cloud.client("ec2").describe_launch_templates()["LaunchTemplates"] == []
    assert NAME not in {role["RoleName"] for role in cloud.client("iam").list_roles()["Roles"]}
    assert cloud.client("iam").list_instance_profiles()["InstanceProfiles"] == []


def test_what_a_machine_is_told_and_may_do(ansible, cloud, variables):
    statement = {
        "Effect": "Allow",
        "Action": "elasticfilesystem:ClientMount",
        "Resource": "arn:aws:elasticfilesystem:us-east-1:123456789012:file-system/fs-0123456789abcdef0",
    }
    ansible.run_role("fleet", variables | {"fleet_statements": [statement]})
    version = cloud.client("ec2").describe_launch_template_versions(LaunchTemplateName=NAME, Versions=["$Latest"])
    user_data = base64.b64decode(version["LaunchTemplateVersions"][0]["LaunchTemplateData"]["UserData"]).decode()
    assert user_data.startswith("#cloud-config\n")
    [entry] = yaml.safe_load(user_data)["write_files"]
    assert (entry["path"], entry["owner"], entry["permissions"]) == ("/etc/stackyard/boot.json", "root:root", "0600")
    assert json.loads(entry["content"]) == {
        "application": "wordpress",
        "environment": "demo",
        "region": "us-east-1",
        "group": NAME,
        "launch_hook": "launch",
        "terminate_hook": "terminate",
        "secrets": SECRETS,
        "variables": {"wordpress_site_url": "https://blog.example.com"},
    }
    iam = cloud.client("iam")
    policy = iam.get_role_policy(RoleName=NAME, PolicyName="machine")["PolicyDocument"]
    allowed = {}
    for part in policy["Statement"]:
        actions = [part["Action"]] if isinstance(part["Action"], str) else part["Action"]
        allowed.update(dict.fromkeys(actions, part["Resource"]))
    account = cloud.client("sts").get_caller_identity()["Account"]
    assert allowed["secretsmanager:GetSecretValue"] == [
        f"arn:aws:secretsmanager:us-east-1:{account}:secret:stackyard/demo/wordpress/database-??????"
    ]
    own_group = f"arn:aws:autoscaling:us-east-1:{account}:autoScalingGroup:*:autoScalingGroupName/{NAME}"
    assert allowed["autoscaling:CompleteLifecycleAction"] == own_group
    assert {action for action, resource in allowed.items() if resource == "*"} == {
        "autoscaling:DescribeAutoScalingGroups",
        "autoscaling:DescribeAutoScalingInstances",
        "autoscaling:DescribeLifecycleHooks",
    }
    assert "elasticfilesystem:ClientMount" in allowed
    attached = iam.list_attached_role_policies(RoleName=NAME)["AttachedPolicies"]
    assert [item["PolicyName"] for item in attached] == ["AmazonSSMManagedInstanceCore"]


QUICK = {"fleet_desired": 2, "fleet_cpu_target": 0, "fleet_schedules": [], "fleet_warmup": 0}


def group_of(cloud):
    return cloud.client("autoscaling").describe_auto_scaling_groups(AutoScalingGroupNames=[NAME])["AutoScalingGroups"][
        0
    ]


def refreshes_of(cloud):
    answer = cloud.client("autoscaling").describe_instance_refreshes(AutoScalingGroupName=NAME)
    return answer["InstanceRefreshes"]


def test_a_change_of_the_template_is_rolled_out_once(ansible, cloud, variables):
    quick = variables | QUICK
    ansible.run_role("fleet", quick)
    # Held, so that it can be seen that the group keeps its version meanwhile.
    hold = {"AutoScalingGroupName": NAME, "ScalingProcesses": ["InstanceRefresh"]}
    held = quick | {"fleet_suspended_processes": ["InstanceRefresh"]}
    cloud.client("autoscaling").suspend_processes(**hold)
    bigger = held | {"fleet_instance_type": "t3.medium"}
    cloud.forget_requests()
    checked = ansible.run_role("fleet", bigger, check=True)
    assert cloud.writes() == []
    done = ansible.run_role("fleet", bigger)
    assert [task.name for task in checked.changed] == [task.name for task in done.changed]
    assert done.task("refresh | Replace the machines of other versions")["changed"]
    [refresh] = refreshes_of(cloud)
    assert refresh["DesiredConfiguration"]["LaunchTemplate"]["Version"] == "2"
    assert refresh["Preferences"]["MinHealthyPercentage"] == 100
    assert refresh["Preferences"]["AutoRollback"] is True
    assert "CheckpointPercentages" not in refresh["Preferences"]
    assert group_of(cloud)["LaunchTemplate"]["Version"] == "1"
    assert ansible.run_role("fleet", bigger).changed == []

    # Taken back while it is under way, with nothing replaced yet: told at once.
    message = ansible.run_role("fleet", held, expect_failure=True).messages[-1]
    assert "to version 2 is " in message
    assert "and version 1 is asked for" in message
    ansible.run_role("fleet", bigger)

    cloud.client("autoscaling").resume_processes(**hold)
    again = ansible.run_role("fleet", bigger | {"fleet_suspended_processes": []})
    assert again.changed == []
    assert len(refreshes_of(cloud)) == 1
    assert group_of(cloud)["LaunchTemplate"]["Version"] == "2"


def test_what_failed_leaves_the_group_as_it_was(ansible, cloud, variables):
    """Machines of the new version cannot be launched; taken back, there is nothing to replace."""
    quick = variables | QUICK | {"fleet_min": 3, "fleet_desired": 3}
    ansible.run_role("fleet", quick)
    machines = {machine["InstanceId"] for machine in group_of(cloud)["Instances"]}
    broken = quick | {"fleet_security_group_ids": ["sg-0123456789abcdef0"], "fleet_wait": True}
    message = ansible.run_role("fleet", broken, expect_failure=True).messages[-1]
    assert "to version 2 was rolled back: 2 machines came to nothing" in message
    assert refreshes_of(cloud)[0]["Preferences"]["CheckpointPercentages"] == [35, 70, 100]
    assert group_of(cloud)["LaunchTemplate"]["Version"] == "1"
    assert {machine["InstanceId"] for machine in group_of(cloud)["Instances"]} == machines
    back = ansible.run_role("fleet", quick)
    assert [task.name.rpartition(" : ")[2] for task in back.changed] == ["present | Keep the launch template"]
    assert ansible.run_role("fleet", quick).changed == []
    assert len(refreshes_of(cloud)) == 1


def test_without_a_refresh_only_new_machines_are_of_the_new_version(ansible, cloud, variables):
    quick = variables | QUICK | {"fleet_refresh": False}
    ansible.run_role("fleet", quick)
    bigger = quick | {"fleet_instance_type": "t3.medium"}
    assert ansible.run_role("fleet", bigger).changed
    assert group_of(cloud)["LaunchTemplate"]["Version"] == "2"
    assert {machine["LaunchTemplate"]["Version"] for machine in group_of(cloud)["Instances"]} == {"1"}
    assert refreshes_of(cloud) == []
    assert ansible.run_role("fleet", bigger).changed == []


def test_the_size_belongs_to_the_policies(ansible, cloud, variables):
    ansible.run_role("fleet", variables)
    autoscaling = cloud.client("autoscaling")
    autoscaling.set_desired_capacity(AutoScalingGroupName=NAME, DesiredCapacity=3)
    assert ansible.run_role("fleet", variables | {"fleet_desired": 2}).changed == []
    group = autoscaling.describe_auto_scaling_groups(AutoScalingGroupNames=[NAME])["AutoScalingGroups"][0]
    assert group["DesiredCapacity"] == 3


SCHEDULE = {"name": "night", "recurrence": "0 22 * * *", "min_size": 2}


WRONG = [
    ({"fleet_min": 5}, "fleet_min is 5: a number up to fleet_max (4) is accepted"),
    ({"fleet_desired": 9}, "fleet_desired is 9: a number from fleet_min (2) to fleet_max (4)"),
    ({"fleet_min": "two"}, "fleet_min"),
    ({"fleet_image_id": "debian-13"}, "fleet_image_id is 'debian-13': the id of an image"),
    ({"fleet_subnet_ids": []}, "fleet_subnet_ids is not set: a list of subnets"),
    ({"fleet_cpu_target": 120}, "fleet_cpu_target is 120: 0, or a number of per cent from 10 to 90"),
    ({"fleet_refresh_max_healthy_percentage": 250}, "fleet_refresh_max_healthy_percentage is 250: a whole number"),
    ({"fleet_refresh_min_healthy_percentage": 20}, "at most 100 more than fleet_refresh_min_healthy_percentage"),
    ({"fleet_requests_target": 100}, "unless fleet_load_balancer_arn"),
    ({"fleet_schedules": [SCHEDULE | {"recurrence": "daily"}]}, "recurrence (five fields of cron)"),
    ({"fleet_secrets": {"x": "name"}}, "fleet_secrets.x: a mapping of secret"),
    ({"fleet_maximum": 4}, "fleet_maximum is no variable of the role fleet: fleet_max is meant, perhaps."),
]


def test_wrong_input_is_refused(ansible, cloud, variables):
    cloud.forget_requests()
    said = ansible.refusals("fleet", [variables | wrong for wrong, _ in WRONG])
    assert [(sentence, text) for (_, sentence), text in zip(WRONG, said, strict=True) if sentence not in text] == []
    assert cloud.writes() == []
