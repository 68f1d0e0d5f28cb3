"""The fixture itself: what is asked of the API is what comes back, and the log says what was a write."""


def test_a_module_creates_a_vpc_and_the_log_names_the_calls(ansible, cloud):
    task = """
        - name: Create a network
          amazon.aws.ec2_vpc_net:
            name: example
            cidr_block: 10.77.0.0/16
    """
    checked = ansible.run_tasks(task, check=True)
    assert checked.last["changed"]
    assert cloud.writes() == []

    created = ansible.run_tasks(task)
    vpcs = cloud.client("ec2").describe_vpcs(VpcIds=[created.last["vpc"]["id"]])["Vpcs"]
    assert vpcs[0]["CidrBlock"] == "10.77.0.0/16"
    assert "ec2:CreateVpc" in cloud.writes()

    cloud.forget_requests()
    assert ansible.run_tasks(task).changed == []
    assert cloud.writes() == []


def test_the_account_is_empty_in_each_test(cloud):
    vpcs = cloud.client("ec2").describe_vpcs()["Vpcs"]
    assert [vpc["IsDefault"] for vpc in vpcs] == [True]
    assert cloud.writes() == []


def test_rest_services_are_named_in_the_log(cloud):
    cloud.client("s3").create_bucket(Bucket="example")
    cloud.client("s3").put_object(Bucket="example", Key="a/b", Body=b"x")
    cloud.client("s3").put_bucket_tagging(Bucket="example", Tagging={"TagSet": [{"Key": "a", "Value": "b"}]})
    cloud.client("s3").get_object(Bucket="example", Key="a/b")
    cloud.client("efs").create_file_system(CreationToken="x")
    cloud.client("secretsmanager").create_secret(Name="s", SecretString="x")
    assert cloud.writes() == [
        "s3:CreateBucket",
        "s3:PutObject",
        "s3:PutBucketTagging",
        "efs:CreateFileSystem",
        "secretsmanager:CreateSecret",
    ]
    assert cloud.requests()[3]["action"] == "GetObject"


def test_a_refusal_keeps_its_message(ansible):
    failed = ansible.run_tasks(
        """
        - name: Refuse
          ansible.builtin.fail:
            msg: the network needs a CIDR
        """,
        expect_failure=True,
    )
    assert failed.messages == ["the network needs a CIDR"]
