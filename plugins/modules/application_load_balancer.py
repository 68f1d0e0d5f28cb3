#!/usr/bin/python
# Copyright: stackyard contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
---
module: application_load_balancer
version_added: 0.1.0
short_description: Manage an application load balancer with its listeners and its name in DNS
description:
  - Creates, alters and deletes an application load balancer with its listeners, its attributes and an alias record in a
    Route 53 zone.
  - M(amazon.aws.elb_application_lb) tells nothing about the load balancer in check mode and stops at the first
    difference. M(amazon.aws.route53) takes the region of a group's C(module_defaults) for that of a record.
author:
  - stackyard contributors (@stackyard)
options:
  name:
    description: Name of the load balancer, at most 32 letters, digits and hyphens.
    type: str
    required: true
  state:
    description: Whether the load balancer exists.
    type: str
    choices: [present, absent]
    default: present
  scheme:
    description: Whether it is reached from the internet. Cannot be altered afterwards.
    type: str
    choices: [internet-facing, internal]
    default: internet-facing
  subnet_ids:
    description: Subnets in two zones or more. Required when O(state=present).
    type: list
    elements: str
  security_group_ids:
    description: Security groups. Required when O(state=present).
    type: list
    elements: str
  listeners:
    description: The listeners. Others are deleted.
    type: list
    elements: dict
    default: []
    suboptions:
      port:
        description: Port that is listened on.
        type: int
        required: true
      protocol:
        description: Protocol that is spoken.
        type: str
        choices: [HTTP, HTTPS]
        required: true
      certificate_arn:
        description: The certificate. Required for V(HTTPS).
        type: str
      tls_policy:
        description: The security policy. Required for V(HTTPS).
        type: str
      target_group_arn:
        description: Where requests go.
        type: str
      redirect_port:
        description: The port of HTTPS on the same host to which visitors are sent, instead of a target group.
        type: int
  drop_invalid_header_fields:
    description: Whether header fields with names that are not valid are dropped.
    type: bool
    default: true
  idle_timeout:
    description: Seconds after which a silent connection is closed, 1 to 4000.
    type: int
    default: 60
  deletion_protection:
    description: Whether the load balancer cannot be deleted.
    type: bool
    default: false
  access_logs_bucket:
    description: Bucket for access logs. None are written when not given.
    type: str
  access_logs_prefix:
    description: What the keys of the logs begin with.
    type: str
    default: ""
  domain:
    description: Name that gets an alias record, in O(hosted_zone_id).
    type: str
  hosted_zone_id:
    description: The Route 53 zone that holds O(domain).
    type: str
  wait:
    description: Whether to wait until the load balancer is active, or until its network interfaces are gone.
    type: bool
    default: true
extends_documentation_fragment:
  - stackyard.aws.stack
  - stackyard.aws.stack.wait
  - amazon.aws.common.modules
  - amazon.aws.region.modules
  - amazon.aws.tags
  - amazon.aws.boto3
"""

EXAMPLES = r"""
- name: Serve HTTPS, and send those who ask in plain HTTP there
  stackyard.aws.application_load_balancer:
    name: demo-wordpress
    subnet_ids: [subnet-0123456789abcdef0, subnet-0123456789abcdef1]
    security_group_ids: [sg-0123456789abcdef0]
    listeners:
      - port: 80
        protocol: HTTP
        redirect_port: 443
      - port: 443
        protocol: HTTPS
        certificate_arn: arn:aws:acm:eu-central-1:123456789012:certificate/01234567-89ab-cdef-0123-456789abcdef
        tls_policy: ELBSecurityPolicy-TLS13-1-2-Res-2021-06
        target_group_arn: "{{ target_group.arn }}"
    domain: blog.example.com
    hosted_zone_id: Z0123456789ABCDEFGHIJ
"""

RETURN = r"""
changes:
  description: What was changed, or would be in check mode.
  returned: success
  type: list
  elements: dict
  sample: [{action: create, type: load balancer, name: demo-wordpress}]
arn:
  description: ARN of the load balancer, with the id C(0000000000000000) in check mode when it would be created.
  returned: when O(state=present)
  type: str
  sample: arn:aws:elasticloadbalancing:eu-central-1:123456789012:loadbalancer/app/demo-wordpress/0123456789abcdef
dns_name:
  description: Name of the load balancer.
  returned: when O(state=present)
  type: str
  sample: demo-wordpress-123456789.eu-central-1.elb.amazonaws.com
zone_id:
  description: Zone of that name, as an alias record needs it.
  returned: when O(state=present)
  type: str
  sample: Z215JYRZR1TBD5
"""

from ansible_collections.amazon.aws.plugins.module_utils.modules import AnsibleAWSModule
from ansible_collections.amazon.aws.plugins.module_utils.tagging import (
    ansible_dict_to_boto3_tag_list,
    boto3_tag_list_to_ansible_dict,
)
from ansible_collections.stackyard.aws.plugins.module_utils.aws import (
    Api,
    differences,
    found_or_none,
    run,
    tag_changes,
)
from ansible_collections.stackyard.aws.plugins.module_utils.plan import Plan, wait_until

KIND = "load balancer"
LISTENER_KIND = "listener"
RECORD_KIND = "alias record"

ARGUMENT_SPEC = {
    "name": {"required": True},
    "state": {"choices": ["present", "absent"], "default": "present"},
    "scheme": {"choices": ["internet-facing", "internal"], "default": "internet-facing"},
    "subnet_ids": {"type": "list", "elements": "str"},
    "security_group_ids": {"type": "list", "elements": "str"},
    "listeners": {
        "type": "list",
        "elements": "dict",
        "default": [],
        "options": {
            "port": {"type": "int", "required": True},
            "protocol": {"choices": ["HTTP", "HTTPS"], "required": True},
            "certificate_arn": {},
            "tls_policy": {},
            "target_group_arn": {},
            "redirect_port": {"type": "int"},
        },
        "required_if": [("protocol", "HTTPS", ["certificate_arn", "tls_policy"])],
        "required_one_of": [("target_group_arn", "redirect_port")],
        "mutually_exclusive": [("target_group_arn", "redirect_port")],
    },
    "drop_invalid_header_fields": {"type": "bool", "default": True},
    "idle_timeout": {"type": "int", "default": 60},
    "deletion_protection": {"type": "bool", "default": False},
    "access_logs_bucket": {},
    "access_logs_prefix": {"default": ""},
    "domain": {},
    "hosted_zone_id": {},
    "tags": {"type": "dict", "aliases": ["resource_tags"]},
    "purge_tags": {"type": "bool", "default": True},
    "wait": {"type": "bool", "default": True},
    "wait_timeout": {"type": "int", "default": 600},
}


class LoadBalancer:
    """One application load balancer, its listeners and its alias record."""

    def __init__(self, module):
        self.module = module
        self.params = module.params
        self.name = module.params["name"]
        self.plan = Plan(module.check_mode)
        self.elbv2 = Api(module, "elbv2")
        self.route53 = Api(module, "route53", retry_codes=["PriorRequestNotComplete"])
        self.found = None

    def work(self):
        """Look the load balancer up and bring it to the state asked for."""
        self.found = self._describe()
        return self.present() if self.params["state"] == "present" else self.absent()

    def _describe(self):
        answer = found_or_none(self.elbv2.describe_load_balancers, ["LoadBalancerNotFound"], Names=[self.name])
        return next(iter((answer or {}).get("LoadBalancers", [])), None)

    def present(self):
        """Make load balancer, listeners and record as asked for."""
        if self.found:
            self._refuse_fixed()
            self._network()
        else:
            self._create()
        self._attributes()
        listeners = self._listeners()
        self._tags(listeners)
        balancer = self.found or self._announced()
        self._alias(balancer)
        if self.params["wait"] and not self.module.check_mode:
            self._wait_active()
        return {
            **self.plan.result(),
            "arn": balancer["LoadBalancerArn"],
            "dns_name": balancer["DNSName"],
            "zone_id": balancer["CanonicalHostedZoneId"],
        }

    def absent(self):
        """Delete record and load balancer; its listeners go with it."""
        if self.found is None:
            return self.plan.result()
        if self._found_attributes()["deletion_protection.enabled"] == "true":
            self.module.fail_json(
                msg=f"Load balancer {self.name} is protected from deletion: run with deletion_protection: false first."
            )
        record = self._record()
        ours = record is not None and self._points_to(record, self.found)
        if ours and self.plan.delete(RECORD_KIND, self.params["domain"], self.found["DNSName"]):
            self._change_record("DELETE", record)
        arn = self.found["LoadBalancerArn"]
        if self.plan.delete(KIND, self.name, arn):
            self.elbv2.delete_load_balancer(LoadBalancerArn=arn)
            if self.params["wait"]:
                self._wait_interfaces_gone(arn)
        return self.plan.result()

    def _announced(self):
        region = self.module.region
        prefix = f"arn:aws:elasticloadbalancing:{region}:000000000000"
        return {
            "LoadBalancerArn": f"{prefix}:loadbalancer/app/{self.name}/0000000000000000",
            "DNSName": f"{self.name}-0000000000.{region}.elb.amazonaws.com",
            "CanonicalHostedZoneId": "Z00000000000000000000",
        }

    def _wanted_tags(self):
        return {"Name": self.name, **(self.params["tags"] or {})}

    def _create(self):
        settings = {
            "Scheme": self.params["scheme"],
            "Subnets": self.params["subnet_ids"],
            "SecurityGroups": self.params["security_group_ids"],
        }
        if self.plan.create(KIND, self.name, settings):
            answer = self.elbv2.create_load_balancer(
                Name=self.name,
                Type="application",
                Tags=ansible_dict_to_boto3_tag_list(self._wanted_tags()),
                **settings,
            )
            self.found = answer["LoadBalancers"][0]

    def _refuse_fixed(self):
        if self.found["Scheme"] != self.params["scheme"]:
            self.module.fail_json(
                msg=f"scheme of load balancer {self.name} is {self.found['Scheme']} and AWS cannot alter it: "
                "keep that, or use a load balancer of another name."
            )

    def _network(self):
        arn = self.found["LoadBalancerArn"]
        found = sorted(zone["SubnetId"] for zone in self.found["AvailabilityZones"])
        wanted = sorted(self.params["subnet_ids"])
        if found != wanted and self.plan.update(f"subnets of {KIND}", self.name, found, wanted):
            self.elbv2.set_subnets(LoadBalancerArn=arn, Subnets=wanted)
        found = sorted(self.found.get("SecurityGroups", []))
        wanted = sorted(self.params["security_group_ids"])
        if found != wanted and self.plan.update(f"security groups of {KIND}", self.name, found, wanted):
            self.elbv2.set_security_groups(LoadBalancerArn=arn, SecurityGroups=wanted)

    def _found_attributes(self):
        answer = self.elbv2.describe_load_balancer_attributes(LoadBalancerArn=self.found["LoadBalancerArn"])
        return {item["Key"]: item["Value"] for item in answer["Attributes"]}

    def _attributes(self):
        bucket = self.params["access_logs_bucket"]
        wanted = {
            "routing.http.drop_invalid_header_fields.enabled": str(self.params["drop_invalid_header_fields"]).lower(),
            "idle_timeout.timeout_seconds": str(self.params["idle_timeout"]),
            "deletion_protection.enabled": str(self.params["deletion_protection"]).lower(),
            "access_logs.s3.enabled": "true" if bucket else "false",
        }
        if bucket:
            wanted["access_logs.s3.bucket"] = bucket
            wanted["access_logs.s3.prefix"] = self.params["access_logs_prefix"]
        found = self._found_attributes() if self.found and not self._new else {}
        changed = differences(wanted, found)
        if not changed:
            return
        before = {key: found.get(key) for key in changed} if found else None
        if self.plan.update(f"attributes of {KIND}", self.name, before, changed):
            self.elbv2.modify_load_balancer_attributes(
                LoadBalancerArn=self.found["LoadBalancerArn"],
                Attributes=[{"Key": key, "Value": value} for key, value in changed.items()],
            )

    @property
    def _new(self):
        return any(change["action"] == "create" and change["type"] == KIND for change in self.plan.changes)

    @staticmethod
    def _wanted_listener(listener):
        if listener["redirect_port"]:
            action = {
                "Type": "redirect",
                "RedirectConfig": {
                    "Protocol": "HTTPS",
                    "Port": str(listener["redirect_port"]),
                    "Host": "#{host}",
                    "Path": "/#{path}",
                    "Query": "#{query}",
                    "StatusCode": "HTTP_301",
                },
            }
        else:
            action = {"Type": "forward", "TargetGroupArn": listener["target_group_arn"]}
        wanted = {"Protocol": listener["protocol"], "Port": listener["port"], "DefaultActions": [action]}
        if listener["protocol"] == "HTTPS":
            wanted["SslPolicy"] = listener["tls_policy"]
            wanted["Certificates"] = [{"CertificateArn": listener["certificate_arn"]}]
        return wanted

    @staticmethod
    def _found_listener(listener):
        actions = []
        for action in listener["DefaultActions"]:
            kept = {"Type": action["Type"]}
            if action["Type"] == "forward":
                groups = action.get("ForwardConfig", {}).get("TargetGroups", [])
                kept["TargetGroupArn"] = action.get("TargetGroupArn") or next(
                    (group["TargetGroupArn"] for group in groups), None
                )
            elif action["Type"] == "redirect":
                kept["RedirectConfig"] = action["RedirectConfig"]
            actions.append(kept)
        found = {"Protocol": listener["Protocol"], "Port": listener["Port"], "DefaultActions": actions}
        if listener["Protocol"] == "HTTPS":
            found["SslPolicy"] = listener["SslPolicy"]
            found["Certificates"] = [
                {"CertificateArn": item["CertificateArn"]} for item in listener.get("Certificates", [])
            ]
        return found

    def _listeners(self):
        found = {}
        if self.found and not self._new:
            listed = self.elbv2.pages("describe_listeners", "Listeners", LoadBalancerArn=self.found["LoadBalancerArn"])
            found = {listener["Port"]: listener for listener in listed}
        wanted = {item["port"]: self._wanted_listener(item) for item in self.params["listeners"]}
        kept = {}
        for port, listener in found.items():
            if port in wanted:
                kept[port] = listener["ListenerArn"]
            elif self.plan.delete(LISTENER_KIND, f"{self.name}/{port}", self._found_listener(listener)):
                self.elbv2.delete_listener(ListenerArn=listener["ListenerArn"])
        for port, settings in wanted.items():
            if port not in found:
                if self.plan.create(LISTENER_KIND, f"{self.name}/{port}", settings):
                    self.elbv2.create_listener(
                        LoadBalancerArn=self.found["LoadBalancerArn"],
                        Tags=ansible_dict_to_boto3_tag_list(self._wanted_tags()),
                        **settings,
                    )
                continue
            current = self._found_listener(found[port])
            if current == settings:
                continue
            if self.plan.update(LISTENER_KIND, f"{self.name}/{port}", current, settings):
                self.elbv2.modify_listener(ListenerArn=kept[port], **settings)
        return kept

    def _tags(self, listeners):
        if self.params["tags"] is None or self.found is None or self._new:
            return
        owners = {self.found["LoadBalancerArn"]: (KIND, self.name)}
        owners.update({arn: (LISTENER_KIND, f"{self.name}/{port}") for port, arn in listeners.items()})
        answer = self.elbv2.describe_tags(ResourceArns=list(owners))
        for description in answer["TagDescriptions"]:
            arn = description["ResourceArn"]
            to_set, to_remove = tag_changes(
                self.plan,
                *owners[arn],
                current=boto3_tag_list_to_ansible_dict(description["Tags"]),
                wanted=self._wanted_tags(),
                purge=self.params["purge_tags"],
            )
            if to_set:
                self.elbv2.add_tags(ResourceArns=[arn], Tags=ansible_dict_to_boto3_tag_list(to_set))
            if to_remove:
                self.elbv2.remove_tags(ResourceArns=[arn], TagKeys=to_remove)

    def _record(self):
        """Return the A record of the domain, None when there is none or no domain was given."""
        domain, zone = self.params["domain"], self.params["hosted_zone_id"]
        if not (domain and zone):
            return None
        answer = self.route53.list_resource_record_sets(
            HostedZoneId=zone, StartRecordName=domain, StartRecordType="A", MaxItems="1"
        )
        for record in answer["ResourceRecordSets"]:
            if record["Type"] == "A" and record["Name"].rstrip(".").lower() == domain.rstrip(".").lower():
                return record
        return None

    @staticmethod
    def _points_to(record, balancer):
        target = record.get("AliasTarget", {}).get("DNSName", "").rstrip(".").lower()
        return target.removeprefix("dualstack.") == balancer["DNSName"].lower()

    def _change_record(self, action, record):
        self.route53.change_resource_record_sets(
            HostedZoneId=self.params["hosted_zone_id"],
            ChangeBatch={"Changes": [{"Action": action, "ResourceRecordSet": record}]},
        )

    def _alias(self, balancer):
        domain = self.params["domain"]
        if not (domain and self.params["hosted_zone_id"]):
            return
        record = self._record()
        if record and self._points_to(record, balancer):
            return
        target = balancer["DNSName"]
        if record is None:
            now = self.plan.create(RECORD_KIND, domain, target)
        else:
            now = self.plan.update(RECORD_KIND, domain, record, target)
        if now:
            self._change_record(
                "UPSERT",
                {
                    "Name": domain,
                    "Type": "A",
                    "AliasTarget": {
                        "HostedZoneId": balancer["CanonicalHostedZoneId"],
                        "DNSName": target,
                        "EvaluateTargetHealth": True,
                    },
                },
            )

    def _wait_active(self):
        def probe():
            state = (self._describe() or {}).get("State", {"Code": "gone"})
            if state["Code"] == "failed":
                self.module.fail_json(
                    msg=f"Load balancer {self.name} could not be set up: {state.get('Reason', 'AWS gives no reason')}. "
                    "Delete it, then run again."
                )
            # active_impaired routes requests; it could not yet grow to the size that it should have.
            return state["Code"] in ("active", "active_impaired"), state["Code"]

        wait_until(probe, f"State active of load balancer {self.name}", self.params["wait_timeout"])

    def _wait_interfaces_gone(self, arn):
        """Its interfaces hold security groups and subnets for some minutes, so that these cannot be deleted."""
        ec2 = Api(self.module, "ec2")
        description = f"ELB {arn.partition(':loadbalancer/')[2]}"

        def probe():
            answer = ec2.describe_network_interfaces(Filters=[{"Name": "description", "Values": [description]}])
            left = [item["NetworkInterfaceId"] for item in answer["NetworkInterfaces"]]
            return not left, ", ".join(left)

        wait_until(
            probe, f"Deletion of the network interfaces of load balancer {self.name}", self.params["wait_timeout"]
        )


def main():
    module = AnsibleAWSModule(
        argument_spec=ARGUMENT_SPEC,
        required_if=[("state", "present", ["subnet_ids", "security_group_ids"])],
        required_by={"domain": ["hosted_zone_id"]},
        supports_check_mode=True,
    )
    if module.params["state"] == "present" and len(module.params["subnet_ids"]) < 2:
        module.fail_json(msg="subnet_ids: give two subnets or more, in different zones.")
    run(module, LoadBalancer(module).work)


if __name__ == "__main__":
    main()
