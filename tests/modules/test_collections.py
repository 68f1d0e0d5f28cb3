"""Modules of amazon.aws and community.aws that met a gap of moto, against the patched control plane.

Each resource is created, found unchanged by a second run, and deleted. All in two runs of one playbook per subject:
most of the time goes into starting Ansible.
"""

from support.gaps.identity import certificate_and_key

DATABASE = """
- name: Manage the parameter group
  amazon.aws.rds_instance_param_group:
    name: strict
    state: present
    engine: mysql8.4
    description: Strict
    params: {require_secure_transport: 1, max_connections: 77}
    tags: {stage: test}
- name: Manage the instance
  amazon.aws.rds_instance: &instance
    id: shop
    engine: mysql
    # The module compares what it is given with the full version.
    engine_version: 8.4.6
    instance_type: db.t4g.micro
    storage_type: gp3
    allocated_storage: 20
    storage_encrypted: true
    username: admin
    password: long-enough-1
    force_update_password: false
    multi_az: true
    db_parameter_group_name: strict
    db_subnet_group_name: data
    enable_performance_insights: true
    tags: {Name: shop}
"""

CERTIFICATE = """
- name: Import the certificate
  community.aws.acm_certificate:
    certificate: "{{ certificate }}"
    private_key: "{{ private_key }}"
    # The module needs a chain.
    certificate_chain: "{{ certificate }}"
    state: present
    name_tag: www
"""

ADDRESS = """
- name: Reserve an address
  amazon.aws.ec2_eip:
    in_vpc: true
    tags: {Name: nat}
    tag_name: Name
    tag_value: nat
    reuse_existing_ip_allowed: true
"""


def test_they_change_nothing_on_a_second_run(ansible, cloud):
    subnets = cloud.client("ec2").describe_subnets()["Subnets"][:2]
    cloud.client("rds").create_db_subnet_group(
        DBSubnetGroupName="data",
        DBSubnetGroupDescription="-",
        SubnetIds=[subnet["SubnetId"] for subnet in subnets],
    )
    certificate, key = certificate_and_key()
    variables = {"certificate": certificate.decode(), "private_key": key.decode()}
    first = ansible.run_tasks(DATABASE + CERTIFICATE + ADDRESS, variables=variables)
    assert len(first.changed) == 4
    cloud.forget_requests()
    assert ansible.run_tasks(DATABASE + CERTIFICATE + ADDRESS, variables=variables).changed == []
    assert cloud.server_errors() == []
    assert cloud.writes() == []
