"""Modules of amazon.aws and community.aws for groups, refreshes and balancers, against the patched control plane."""

from __future__ import annotations

from typing import Any

import pytest

RESOURCES = """
- amazon.aws.ec2_vpc_subnet_info: {}
  register: subnets
- ansible.builtin.set_fact:
    zones: "{{ (subnets.subnets | sort(attribute='availability_zone'))[:2] | map(attribute='subnet_id') | list }}"
- amazon.aws.ec2_launch_template:
    name: web
    image_id: "{{ image }}"
    instance_type: t3.small
    user_data: "{{ '#cloud-config' | b64encode }}"
    metadata_options: {http_tokens: required}
    tags: {stage: test}
- community.aws.elb_target_group:
    name: web
    protocol: http
    port: 80
    vpc_id: "{{ subnets.subnets[0].vpc_id }}"
    health_check_protocol: http
    health_check_path: /healthz
    deregistration_delay_timeout: 20
    stickiness_enabled: true
    stickiness_type: lb_cookie
    stickiness_lb_cookie_duration: 600
    modify_targets: false
    state: present
  register: targets
- amazon.aws.elb_application_lb:
    name: web
    subnets: "{{ zones }}"
    security_groups: [default]
    idle_timeout: 120
    http2: true
    listeners:
      - Protocol: HTTP
        Port: 80
        DefaultActions: [{Type: forward, TargetGroupName: web}]
    state: present
- amazon.aws.autoscaling_group:
    name: web
    launch_template: {launch_template_name: web}
    min_size: 2
    max_size: 4
    desired_capacity: 2
    vpc_zone_identifier: "{{ zones }}"
    target_group_arns: ["{{ targets.target_group_arn }}"]
    health_check_type: ELB
    health_check_period: 60
    wait_for_instances: true
    wait_timeout: 60
    tags:
      - {Name: web, propagate_at_launch: true}
      - {stage: test, propagate_at_launch: true}
- community.aws.autoscaling_lifecycle_hook:
    autoscaling_group_name: web
    lifecycle_hook_name: launch
    transition: autoscaling:EC2_INSTANCE_LAUNCHING
    heartbeat_timeout: 300
    default_result: ABANDON
- community.aws.autoscaling_scheduled_action:
    autoscaling_group_name: web
    scheduled_action_name: night
    recurrence: "0 3 * * *"
    min_size: 2
    max_size: 4
    desired_capacity: 2
"""


@pytest.fixture
def image(cloud: Any) -> str:
    return str(cloud.client("ec2").describe_images()["Images"][0]["ImageId"])


def test_a_second_run_changes_nothing_and_a_refresh_works(ansible: Any, cloud: Any, image: str) -> None:
    ansible.run_tasks(RESOURCES, variables={"image": image})
    again = ansible.run_tasks(RESOURCES, variables={"image": image})
    assert [task.name for task in again.changed] == []
    autoscaling = cloud.client("autoscaling")
    before = autoscaling.describe_auto_scaling_groups()["AutoScalingGroups"][0]["Instances"]
    ansible.run_tasks(
        """
        - amazon.aws.autoscaling_instance_refresh:
            name: web
            state: started
            preferences: {min_healthy_percentage: 90, instance_warmup: 0}
        - amazon.aws.autoscaling_instance_refresh_info:
            name: web
          register: refreshes
          until: refreshes.instance_refreshes[0].status == "Successful"
          retries: 10
          delay: 1
        """
    )
    after = autoscaling.describe_auto_scaling_groups()["AutoScalingGroups"][0]["Instances"]
    assert not {entry["InstanceId"] for entry in before} & {entry["InstanceId"] for entry in after}
    assert cloud.server_errors() == []
