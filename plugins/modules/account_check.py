#!/usr/bin/python
# Copyright: stackyard contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

DOCUMENTATION = r"""
module: account_check
short_description: Refuse an account that cannot be reached or lacks what a stack names
version_added: 0.1.0
description:
  - Asks AWS who is calling, and whether zones and a hosted zone that a stack names exist. Fails with one sentence.
  - Gives up within seconds, since it is the first thing that a play does.
author: stackyard contributors
options:
  zones:
    description: Availability zones that must exist and be available.
    type: list
    elements: str
    default: []
  zones_variable:
    description: What the operator calls O(zones), for the error's sentence.
    type: str
    default: zones
  hosted_zone_id:
    description: Public hosted zone of Route 53 that must exist.
    type: str
    default: ""
  hosted_zone_variable:
    description: What the operator calls O(hosted_zone_id), for the error's sentence.
    type: str
    default: hosted_zone_id
  domain:
    description: Name that must lie in that zone.
    type: str
    default: ""
  domain_variable:
    description: What the operator calls O(domain), for the error's sentence.
    type: str
    default: domain
  certificate_arn:
    description: Certificate that must exist and be issued.
    type: str
    default: ""
  certificate_variable:
    description: What the operator calls O(certificate_arn), for the error's sentence.
    type: str
    default: certificate_arn
  vpc_id:
    description: VPC that must exist.
    type: str
    default: ""
  vpc_variable:
    description: What the operator calls O(vpc_id), for the error's sentence.
    type: str
    default: vpc_id
  instance_type:
    description: Kind of machine that must be on offer.
    type: str
    default: ""
  instance_type_variable:
    description: What the operator calls O(instance_type), for the error's sentence.
    type: str
    default: instance_type
extends_documentation_fragment:
  - amazon.aws.common.modules
  - amazon.aws.region.modules
  - amazon.aws.boto3
attributes:
  check_mode:
    description: Changes nothing.
    support: full
"""

EXAMPLES = r"""
- name: Check the account
  stackyard.aws.account_check:
    zones: [us-east-1a, us-east-1b]
"""

RETURN = r"""
account:
  description: Number of the account.
  type: str
  returned: success
region:
  description: The region.
  type: str
  returned: success
"""

try:
    from botocore.config import Config
    from botocore.exceptions import (
        BotoCoreError,
        ClientError,
        ConnectTimeoutError,
        EndpointConnectionError,
        NoCredentialsError,
        NoRegionError,
        PartialCredentialsError,
    )
except ImportError:
    pass  # AnsibleAWSModule says so in a sentence

from ansible_collections.amazon.aws.plugins.module_utils.modules import AnsibleAWSModule

CREDENTIALS = (
    "set AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or access_key and secret_key of stackyard_aws"
)


class RefusalError(Exception):
    """Something is not as the stack needs it; the message says what to set or do."""


class Account:
    """The account behind the credentials."""

    def __init__(self, module):
        self.module = module
        # Retries would make the first sentence come after a minute.
        self.config = Config(connect_timeout=5, read_timeout=20, retries={"total_max_attempts": 2})

    def client(self, service):
        return self.module.client(service, config=self.config)

    def caller(self):
        try:
            return self.client("sts").get_caller_identity()["Account"]
        except (NoCredentialsError, PartialCredentialsError):
            raise RefusalError(f"There are no AWS credentials: {CREDENTIALS}.") from None
        except NoRegionError:
            raise RefusalError(
                "stackyard_region is not set: the name of a region, such as us-east-1, is accepted."
            ) from None
        except (EndpointConnectionError, ConnectTimeoutError):
            where = self.module.params.get("endpoint_url") or f"the AWS API of {self.module.region}"
            raise RefusalError(
                f"Nothing answers at {where}: check stackyard_region, endpoint_url of stackyard_aws, and the network "
                "(the local cloud is started by 'localcloud up')."
            ) from None
        except ClientError as error:
            code = error.response["Error"]["Code"]
            raise RefusalError(
                f"AWS refuses the credentials ({code}): {CREDENTIALS}, valid ones that have not expired."
            ) from None
        except BotoCoreError as error:
            raise RefusalError(f"AWS cannot be called ({error}): {CREDENTIALS}, and check stackyard_region.") from None

    def zones(self, wanted, variable):
        if not wanted:
            return
        answer = self.client("ec2").describe_availability_zones()
        there = sorted(z["ZoneName"] for z in answer["AvailabilityZones"] if z["State"] == "available")
        for zone in wanted:
            if zone not in there:
                raise RefusalError(
                    f"{variable} names {zone}, which is no available zone here: {', '.join(there)} are accepted."
                )

    def hosted_zone(self, zone_id, variable, domain, domain_variable):
        if not zone_id:
            return
        try:
            zone = self.client("route53").get_hosted_zone(Id=zone_id)["HostedZone"]
        except ClientError as error:
            if error.response["Error"]["Code"] not in ("NoSuchHostedZone", "InvalidInput"):
                raise
            zone = None
        if zone is None or zone["Config"].get("PrivateZone"):
            raise RefusalError(
                f"{variable} is {zone_id}, and this account has no such public hosted zone: the id of one is accepted."
            )
        name = zone["Name"].rstrip(".")
        if domain and not f".{domain}".endswith(f".{name}"):
            raise RefusalError(f"{domain_variable} is {domain}: a name in the zone {variable} ({name}) is accepted.")

    def certificate(self, arn, variable):
        if not arn:
            return
        try:
            found = self.client("acm").describe_certificate(CertificateArn=arn)["Certificate"]
        except ClientError as error:
            if error.response["Error"]["Code"] not in ("ResourceNotFoundException", "InvalidArnException"):
                raise
            raise RefusalError(
                f"{variable} is {arn}, and there is no such certificate in {self.module.region}: the ARN of one is"
                " accepted."
            ) from None
        if found["Status"] != "ISSUED":
            raise RefusalError(
                f"{variable} is {arn}, which is {found['Status']}: a certificate that is issued is accepted."
            )

    def vpc(self, vpc_id, variable):
        if not vpc_id:
            return
        try:
            self.client("ec2").describe_vpcs(VpcIds=[vpc_id])
        except ClientError as error:
            if not error.response["Error"]["Code"].startswith("InvalidVpc"):
                raise
            raise RefusalError(
                f"{variable} is {vpc_id}, and there is no such VPC in {self.module.region}: the id of one is accepted."
            ) from None

    def instance_type(self, name, variable):
        if not name:
            return
        try:
            answer = self.client("ec2").describe_instance_type_offerings(
                Filters=[{"Name": "instance-type", "Values": [name]}]
            )
        except ClientError as error:
            if error.response["Error"]["Code"] != "InvalidInstanceType":
                raise
            answer = {"InstanceTypeOfferings": []}
        if not answer["InstanceTypeOfferings"]:
            raise RefusalError(
                f"{variable} is {name}, which is not on offer in {self.module.region}: a type such as t3.small is "
                "accepted."
            )


def main():
    text = {"type": "str", "default": ""}
    module = AnsibleAWSModule(
        argument_spec={
            "zones": {"type": "list", "elements": "str", "default": []},
            "zones_variable": {"type": "str", "default": "zones"},
            "hosted_zone_id": text,
            "hosted_zone_variable": {"type": "str", "default": "hosted_zone_id"},
            "domain": text,
            "domain_variable": {"type": "str", "default": "domain"},
            "certificate_arn": text,
            "certificate_variable": {"type": "str", "default": "certificate_arn"},
            "vpc_id": text,
            "vpc_variable": {"type": "str", "default": "vpc_id"},
            "instance_type": text,
            "instance_type_variable": {"type": "str", "default": "instance_type"},
        },
        supports_check_mode=True,
    )
    p = module.params
    account = Account(module)
    try:
        number = account.caller()
        account.zones(p["zones"], p["zones_variable"])
        account.hosted_zone(p["hosted_zone_id"], p["hosted_zone_variable"], p["domain"], p["domain_variable"])
        account.certificate(p["certificate_arn"], p["certificate_variable"])
        account.vpc(p["vpc_id"], p["vpc_variable"])
        account.instance_type(p["instance_type"], p["instance_type_variable"])
    except RefusalError as refusal:
        module.fail_json(msg=str(refusal))
    except (BotoCoreError, ClientError) as error:
        module.fail_json_aws(error, msg="The account could not be checked")
    module.exit_json(changed=False, account=number, region=module.region)


if __name__ == "__main__":
    main()
