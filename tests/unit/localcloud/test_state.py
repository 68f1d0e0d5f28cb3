"""The API's state survives: written by one process, read by another, the same answers."""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from localcloud.environment import server_environment
from localcloud.settings import Settings

FILL = """
    ec2, s3 = client("ec2"), client("s3")
    vpc = ec2.create_vpc(CidrBlock="10.9.0.0/16")["Vpc"]["VpcId"]
    subnet = ec2.create_subnet(VpcId=vpc, CidrBlock="10.9.1.0/24", AvailabilityZone="us-east-1a")["Subnet"]["SubnetId"]
    for kind in ("rsa", "ed25519"):
        ec2.create_key_pair(KeyName=kind, KeyType=kind)
    image = ec2.describe_images(Owners=["136693071363"])["Images"][0]["ImageId"]
    template = ec2.create_launch_template(
        LaunchTemplateName="t", LaunchTemplateData={"ImageId": image, "InstanceType": "t3.micro"}
    )["LaunchTemplate"]["LaunchTemplateId"]
    client("autoscaling").create_auto_scaling_group(
        AutoScalingGroupName="g", MinSize=1, MaxSize=1, VPCZoneIdentifier=subnet,
        LaunchTemplate={"LaunchTemplateId": template},
    )
    other = ec2.create_subnet(VpcId=vpc, CidrBlock="10.9.2.0/24", AvailabilityZone="us-east-1b")["Subnet"]["SubnetId"]
    client("elbv2").create_load_balancer(Name="l", Subnets=[subnet, other])
    client("rds").create_db_instance(
        DBInstanceIdentifier="d", Engine="mysql", DBInstanceClass="db.t3.micro", AllocatedStorage=20,
        MasterUsername="root", MasterUserPassword="only-a-test", BackupRetentionPeriod=0,
    )
    client("efs").create_file_system(CreationToken="f")
    client("secretsmanager").create_secret(Name="s", SecretString="value")
    client("ssm").put_parameter(Name="/p", Value="1", Type="String")
    client("kms").create_key(KeySpec="RSA_2048", KeyUsage="SIGN_VERIFY")
    client("acm").request_certificate(DomainName="example.com")
    client("route53").create_hosted_zone(Name="example.com", CallerReference="1")
    client("dynamodb").create_table(
        TableName="t", KeySchema=[{"AttributeName": "k", "KeyType": "HASH"}], BillingMode="PAY_PER_REQUEST",
        AttributeDefinitions=[{"AttributeName": "k", "AttributeType": "S"}],
    )
    client("cloudwatch").put_metric_alarm(
        AlarmName="a", MetricName="m", Namespace="n", Period=60, EvaluationPeriods=1, Threshold=1,
        ComparisonOperator="GreaterThanThreshold", Statistic="Sum",
    )
    client("sns").create_topic(Name="t")
    client("logs").create_log_group(logGroupName="/l")
    client("backup").create_backup_vault(BackupVaultName="v")
    client("sts").assume_role(RoleArn="arn:aws:iam::123456789012:role/r", RoleSessionName="name")
    s3.create_bucket(Bucket="bucket")
    s3.put_bucket_versioning(Bucket="bucket", VersioningConfiguration={"Status": "Enabled"})
    s3.put_object(Bucket="bucket", Key="k", Body=b"first", Metadata={"a": "b"})
    s3.put_object(Bucket="bucket", Key="k", Body=b"second")
    s3.put_object(Bucket="bucket", Key="gone", Body=b"")
    s3.delete_object(Bucket="bucket", Key="gone")
    tags = [{"Key": "a", "Value": "b"}]
    ec2.create_tags(Resources=[vpc, subnet, other], Tags=tags)
    # A listing that is under way.
    assert client("resourcegroupstaggingapi").get_resources(ResourcesPerPage=1)["PaginationToken"]
    plane.store.save()
"""
LOOK = """
    ec2, s3 = client("ec2"), client("s3")
    group = client("autoscaling").describe_auto_scaling_groups()["AutoScalingGroups"][0]
    instance = ec2.describe_instances()["Reservations"][0]["Instances"][0]
    versions = s3.list_object_versions(Bucket="bucket")
    seen = {
        "vpcs": sorted(vpc["CidrBlock"] for vpc in ec2.describe_vpcs()["Vpcs"]),
        "keys": [(pair["KeyName"], pair["KeyFingerprint"]) for pair in ec2.describe_key_pairs()["KeyPairs"]],
        "group": [entry["InstanceId"] for entry in group["Instances"]],
        "instance": [instance["InstanceId"], instance["PrivateIpAddress"], instance["State"]["Name"]],
        "balancers": [entry["DNSName"] for entry in client("elbv2").describe_load_balancers()["LoadBalancers"]],
        "databases": [entry["DBInstanceIdentifier"] for entry in client("rds").describe_db_instances()["DBInstances"]],
        "secret": client("secretsmanager").get_secret_value(SecretId="s")["SecretString"],
        "parameter": client("ssm").get_parameter(Name="/p")["Parameter"]["Value"],
        "object": s3.get_object(Bucket="bucket", Key="k")["Body"].read().decode(),
        "versions": sorted((entry["Key"], entry["Size"], entry["ETag"]) for entry in versions["Versions"]),
        "markers": [entry["Key"] for entry in versions["DeleteMarkers"]],
        "keys of kms": len(client("kms").list_keys()["Keys"]),
    }
    print(json.dumps(seen))
"""
PROGRAM = """
import json
from pathlib import Path
from localcloud.cloud import Cloud
from localcloud.patches import apply_all
from localcloud.server import ControlPlane
from localcloud.settings import Settings
from localcloud.state import Store

def run():
    apply_all()
    settings = Settings.from_environment()
    plane = ControlPlane(settings)
    cloud = plane.cloud = Cloud(settings, plane)
    plane.store = Store(settings.state, cloud.lock)
    plane.store.load()
    client = cloud.client
{body}

run()
"""


def _run(settings: Settings, *bodies: str) -> str:
    body = "".join(textwrap.indent(textwrap.dedent(part), "    ") for part in bodies)
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM.format(body=body)],
        env=server_environment(settings), capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(state=tmp_path)


def test_another_process_gives_the_same_answers(settings: Settings) -> None:
    before = json.loads(_run(settings, FILL, LOOK))
    after = json.loads(_run(settings, LOOK))
    assert after == before
    # Secrets and private keys are in it.
    files = [path for path in settings.state.rglob("*") if path.is_file()]
    assert {path.stat().st_mode & 0o777 for path in files} == {0o600}


def test_addresses_go_on_where_they_were(settings: Settings) -> None:
    launch = """
    ec2 = client("ec2")
    image = ec2.describe_images(Owners=["136693071363"])["Images"][0]["ImageId"]
    subnet = sorted(entry["SubnetId"] for entry in ec2.describe_subnets()["Subnets"])[0]
    launched = ec2.run_instances(
        ImageId=image, InstanceType="t3.micro", MinCount=2, MaxCount=2, SubnetId=subnet
    )["Instances"]
    print(json.dumps([entry["PrivateIpAddress"] for entry in launched]))
    plane.store.save()
"""
    first = json.loads(_run(settings, launch))
    second = json.loads(_run(settings, launch))
    assert [address.rpartition(".")[2] for address in first + second] == ["4", "5", "6", "7"]


@pytest.mark.parametrize("content", [b"", b"not a pickle", b"\x80\x05}."])
def test_a_damaged_state_is_one_sentence(settings: Settings, content: bytes) -> None:
    (settings.state / "state.pickle").write_bytes(content)
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM.format(body="    pass")],
        env=server_environment(settings), capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.stderr.splitlines()[-1].endswith("run `localcloud down` and begin anew.")
