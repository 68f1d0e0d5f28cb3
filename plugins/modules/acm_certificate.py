#!/usr/bin/python
# Copyright: stackyard contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
---
module: acm_certificate
version_added: 0.1.0
short_description: Request a certificate and validate it by DNS, or import one
description:
  - Requests a certificate for O(domain_name) from AWS Certificate Manager, writes the records that prove the domain
    into a Route 53 zone, and waits until it is issued.
  - Or imports O(certificate), and imports it again under the same ARN when it was renewed.
  - A certificate is found again by its C(Name) tag and domain.
  - M(community.aws.acm_certificate) cannot request a certificate, and tags an imported one in a second call, so that a
    run cut off in between leaves a certificate that nothing finds.
author:
  - stackyard contributors (@stackyard)
options:
  name:
    description: The C(Name) tag.
    type: str
    required: true
  state:
    description: Whether the certificate exists. V(absent) deletes it and the records that were written for it.
    type: str
    choices: [present, absent]
    default: present
  domain_name:
    description: The domain to request a certificate for.
    type: str
  alternative_names:
    description: Further domains of the requested certificate.
    type: list
    elements: str
    default: []
  hosted_zone_id:
    description: The Route 53 zone that holds the domains. Required with O(domain_name), and to delete the records.
    type: str
  certificate:
    description: The certificate to import, PEM.
    type: str
  private_key:
    description: Its private key, PEM, not encrypted.
    type: str
  certificate_chain:
    description: The intermediate certificates, PEM, the issuer of O(certificate) first.
    type: str
  wait:
    description: Whether to wait until a requested certificate is issued.
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
- name: Request a certificate and prove the domain by DNS
  stackyard.aws.acm_certificate:
    name: demo-wordpress
    domain_name: blog.example.com
    hosted_zone_id: Z0123456789ABCDEFGHIJ

- name: Import a certificate
  stackyard.aws.acm_certificate:
    name: demo-wordpress
    certificate: "{{ lookup('ansible.builtin.file', 'blog.pem') }}"
    private_key: "{{ lookup('ansible.builtin.file', 'blog.key') }}"
"""

RETURN = r"""
changes:
  description: What was changed, or would be in check mode.
  returned: success
  type: list
  elements: dict
  sample: [{action: create, type: certificate, name: demo-wordpress}]
arn:
  description: ARN of the certificate, with an id of zeros in check mode when it would be created.
  returned: when O(state=present)
  type: str
  sample: arn:aws:acm:eu-central-1:123456789012:certificate/01234567-89ab-cdef-0123-456789abcdef
status:
  description: What AWS says of the certificate.
  returned: when O(state=present)
  type: str
  sample: ISSUED
"""

import contextlib
import hashlib
import re

with contextlib.suppress(ImportError):  # AnsibleAWSModule refuses to start without it
    import botocore.exceptions

from ansible_collections.amazon.aws.plugins.module_utils.modules import AnsibleAWSModule
from ansible_collections.amazon.aws.plugins.module_utils.tagging import (
    ansible_dict_to_boto3_tag_list,
    boto3_tag_list_to_ansible_dict,
)
from ansible_collections.stackyard.aws.plugins.module_utils.aws import (
    Api,
    error_code,
    found_or_none,
    run,
    tag_changes,
    without_none,
)
from ansible_collections.stackyard.aws.plugins.module_utils.plan import Plan, wait_until

KIND = "certificate"
RECORD_KIND = "validation record"

# ListCertificates leaves out every other kind of key unless asked.
KEY_TYPES = ["RSA_1024", "RSA_2048", "RSA_3072", "RSA_4096", "EC_prime256v1", "EC_secp384r1", "EC_secp521r1"]

ARGUMENT_SPEC = {
    "name": {"required": True},
    "state": {"choices": ["present", "absent"], "default": "present"},
    "domain_name": {},
    "alternative_names": {"type": "list", "elements": "str", "default": []},
    "hosted_zone_id": {},
    "certificate": {},
    "private_key": {"no_log": True},
    "certificate_chain": {},
    "tags": {"type": "dict", "aliases": ["resource_tags"]},
    "purge_tags": {"type": "bool", "default": True},
    "wait": {"type": "bool", "default": True},
    "wait_timeout": {"type": "int", "default": 600},
}


def pem_bodies(text):
    """Return the base64 bodies of the certificates in a text, whatever their line ends."""
    bodies = re.findall(r"-----BEGIN CERTIFICATE-----(.*?)-----END CERTIFICATE-----", text or "", re.DOTALL)
    return ["".join(body.split()) for body in bodies]


class Certificate:
    """One certificate, requested or imported."""

    def __init__(self, module):
        self.module = module
        self.params = module.params
        self.name = module.params["name"]
        self.plan = Plan(module.check_mode)
        self.acm = Api(module, "acm", retry_codes=["RequestInProgressException"])
        self.route53 = Api(module, "route53", retry_codes=["PriorRequestNotComplete"])
        self.tags_found = {}

    def work(self):
        """Look the certificate up and bring it to the state asked for."""
        if self.params["state"] == "absent":
            return self.absent()
        return self.imported() if self.params["certificate"] else self.requested()

    def _named(self, kind=None):
        """Return the ARNs of the certificates that carry the name, and of the kind when one is given."""
        listed = self.acm.pages("list_certificates", "CertificateSummaryList", Includes={"keyTypes": KEY_TYPES})
        named = []
        for summary in listed:
            if kind and summary.get("Type", kind) != kind:
                continue
            if kind == "AMAZON_ISSUED" and summary["DomainName"] != self.params["domain_name"]:
                continue
            if summary.get("Status") in ("FAILED", "VALIDATION_TIMED_OUT", "REVOKED", "EXPIRED") and kind:
                continue
            arn = summary["CertificateArn"]
            answer = found_or_none(
                self.acm.list_tags_for_certificate, ["ResourceNotFoundException"], CertificateArn=arn
            )
            tags = boto3_tag_list_to_ansible_dict((answer or {}).get("Tags", []))
            if tags.get("Name") == self.name:
                self.tags_found[arn] = tags
                named.append(arn)
        return named

    def _wanted_tags(self):
        return {**(self.params["tags"] or {}), "Name": self.name}

    def _placeholder(self):
        return f"arn:aws:acm:{self.module.region}:000000000000:certificate/00000000-0000-0000-0000-000000000000"

    def _tags(self, arn):
        if self.params["tags"] is None:
            return
        current = self.tags_found[arn]
        to_set, to_remove = tag_changes(
            self.plan,
            KIND,
            self.name,
            current=current,
            wanted=self._wanted_tags(),
            purge=self.params["purge_tags"],
        )
        if to_set:
            self.acm.add_tags_to_certificate(CertificateArn=arn, Tags=ansible_dict_to_boto3_tag_list(to_set))
        if to_remove:
            going = [{"Key": key, "Value": current[key]} for key in to_remove]
            self.acm.remove_tags_from_certificate(CertificateArn=arn, Tags=going)

    def imported(self):
        """Import the certificate when it is new or differs from the one imported before."""
        found = self._named("IMPORTED")
        wanted = pem_bodies(self.params["certificate"]) + pem_bodies(self.params["certificate_chain"])
        material = without_none(
            {
                "Certificate": self.params["certificate"],
                "PrivateKey": self.params["private_key"],
                "CertificateChain": self.params["certificate_chain"] or None,
            }
        )
        fingerprint = hashlib.sha256(wanted[0].encode()).hexdigest()[:16]
        if not found:
            arn = self._placeholder()
            if self.plan.create(KIND, self.name, f"imported, {fingerprint}"):
                # Tagged in the same call, so that a run cut off here finds it again.
                answer = self.acm.import_certificate(
                    Tags=ansible_dict_to_boto3_tag_list(self._wanted_tags()), **material
                )
                arn = answer["CertificateArn"]
        else:
            arn = found[0]
            answer = self.acm.get_certificate(CertificateArn=arn)
            leaf = pem_bodies(answer["Certificate"])
            current = leaf + [body for body in pem_bodies(answer.get("CertificateChain")) if body not in leaf]
            if current != wanted:
                before = hashlib.sha256(current[0].encode()).hexdigest()[:16]
                if self.plan.update(KIND, self.name, f"imported, {before}", f"imported, {fingerprint}"):
                    self.acm.import_certificate(CertificateArn=arn, **material)
            self._tags(arn)
        return {**self.plan.result(), "arn": arn, "status": "ISSUED"}

    def requested(self):
        """Request the certificate, prove the domain, wait until it is issued."""
        domains = sorted({self.params["domain_name"], *self.params["alternative_names"]})
        found = None
        for arn in self._named("AMAZON_ISSUED"):
            certificate = self.acm.describe_certificate(CertificateArn=arn)["Certificate"]
            if sorted(certificate["SubjectAlternativeNames"]) == domains:
                found = certificate
        if found is None:
            if not self.plan.create(KIND, self.name, {"domains": domains}):
                for domain in sorted({domain.removeprefix("*.") for domain in domains}):
                    self.plan.create(RECORD_KIND, domain, None)
                return {**self.plan.result(), "arn": self._placeholder(), "status": "PENDING_VALIDATION"}
            found = self._request(domains)
        else:
            self._tags(found["CertificateArn"])
        if found["Status"] == "PENDING_VALIDATION":
            found = self._prove(found)
        return {**self.plan.result(), "arn": found["CertificateArn"], "status": found["Status"]}

    def _request(self, domains):
        others = [domain for domain in domains if domain != self.params["domain_name"]]
        further = {"SubjectAlternativeNames": others} if others else {}
        answer = self.acm.request_certificate(
            DomainName=self.params["domain_name"],
            ValidationMethod="DNS",
            # AWS gives back the same certificate to the same token within the hour.
            IdempotencyToken=hashlib.sha256("\n".join([self.name, *domains]).encode()).hexdigest()[:32],
            Tags=ansible_dict_to_boto3_tag_list(self._wanted_tags()),
            **further,
        )
        return {"CertificateArn": answer["CertificateArn"], "Status": "PENDING_VALIDATION"}

    def _prove(self, certificate):
        arn = certificate["CertificateArn"]
        if not self.module.check_mode:
            certificate = self._wait_for_records(arn)
        # A domain and its wildcard are proven by the same record.
        records = {}
        for option in certificate.get("DomainValidationOptions", []):
            if "ResourceRecord" in option:
                records.setdefault(option["ResourceRecord"]["Name"], (option["DomainName"], option["ResourceRecord"]))
        missing = []
        for name, (domain, record) in sorted(records.items(), key=lambda item: item[1][0].removeprefix("*.")):
            if self._record(name) is None and self.plan.create(RECORD_KIND, domain.removeprefix("*."), None):
                missing.append(self._change("UPSERT", record))
        if missing:
            self.route53.change_resource_record_sets(
                HostedZoneId=self.params["hosted_zone_id"], ChangeBatch={"Changes": missing}
            )
        if self.params["wait"] and not self.module.check_mode:
            certificate = self._wait_issued(arn)
        return certificate

    def _wait_for_records(self, arn):
        last = []

        def probe():
            # A certificate requested a moment ago may not be known everywhere yet, and its records come later still.
            answer = found_or_none(self.acm.describe_certificate, ["ResourceNotFoundException"], CertificateArn=arn)
            last[:] = [(answer or {}).get("Certificate", {})]
            options = last[0].get("DomainValidationOptions", [])
            told = [option for option in options if "ResourceRecord" in option]
            return bool(options) and len(told) == len(options), f"{len(told)} of {len(options)} records told"

        wait_until(probe, f"Validation records of certificate {self.name}", self.params["wait_timeout"])
        return last[0]

    def _wait_issued(self, arn):
        last = []

        def probe():
            last[:] = [self.acm.describe_certificate(CertificateArn=arn)["Certificate"]]
            status = last[0]["Status"]
            if status in ("FAILED", "VALIDATION_TIMED_OUT", "REVOKED"):
                self.module.fail_json(
                    msg=f"The certificate for {self.params['domain_name']} was not issued: {status} "
                    f"{last[0].get('FailureReason', '')}. Check that zone {self.params['hosted_zone_id']} is the "
                    "one that the domain's registrar points to, and that no CAA record forbids amazon.com to issue."
                )
            return status == "ISSUED", status

        wait_until(
            probe,
            f"Issue of the certificate for {self.params['domain_name']}",
            self.params["wait_timeout"],
            hint="Check that the domain's registrar points to the name servers of zone "
            f"{self.params['hosted_zone_id']}.",
        )
        return last[0]

    def _record(self, name):
        answer = self.route53.list_resource_record_sets(
            HostedZoneId=self.params["hosted_zone_id"],
            StartRecordName=name,
            StartRecordType="CNAME",
            MaxItems="1",
        )
        for record in answer["ResourceRecordSets"]:
            if record["Name"].rstrip(".") == name.rstrip(".") and record["Type"] == "CNAME":
                return record
        return None

    @staticmethod
    def _change(action, record):
        return {
            "Action": action,
            "ResourceRecordSet": {
                "Name": record["Name"],
                "Type": record["Type"],
                "TTL": 300,
                "ResourceRecords": [{"Value": record["Value"]}],
            },
        }

    def absent(self):
        """Delete every certificate of the name, and the records written for it."""
        for arn in self._named():
            certificate = self.acm.describe_certificate(CertificateArn=arn)["Certificate"]
            if self.params["hosted_zone_id"]:
                self._delete_records(certificate)
            if self.plan.delete(KIND, self.name, arn):
                self._delete(arn)
        return self.plan.result()

    def _delete_records(self, certificate):
        # A domain and its wildcard share a record.
        records = {
            option["ResourceRecord"]["Name"]: option["DomainName"].removeprefix("*.")
            for option in certificate.get("DomainValidationOptions", [])
            if "ResourceRecord" in option
        }
        changes = []
        for name, domain in records.items():
            found = self._record(name)
            if found and self.plan.delete(RECORD_KIND, domain, name):
                changes.append({"Action": "DELETE", "ResourceRecordSet": found})
        if changes:
            self.route53.change_resource_record_sets(
                HostedZoneId=self.params["hosted_zone_id"], ChangeBatch={"Changes": changes}
            )

    def _delete(self, arn):
        def probe():
            # A load balancer that was deleted a moment ago still holds its certificate.
            try:
                found_or_none(self.acm.delete_certificate, ["ResourceNotFoundException"], CertificateArn=arn)
            except botocore.exceptions.ClientError as error:
                if error_code(error) != "ResourceInUseException":
                    raise
                return False, str(error)
            return True, "deleted"

        wait_until(probe, f"Deletion of certificate {self.name}", self.params["wait_timeout"])


def main():
    module = AnsibleAWSModule(
        argument_spec=ARGUMENT_SPEC,
        mutually_exclusive=[("domain_name", "certificate")],
        required_together=[("certificate", "private_key")],
        required_by={"domain_name": ["hosted_zone_id"], "certificate_chain": ["certificate"]},
        required_if=[("state", "present", ["domain_name", "certificate"], True)],
        supports_check_mode=True,
    )
    if module.params["certificate"] and not pem_bodies(module.params["certificate"]):
        module.fail_json(
            msg="certificate is not PEM: it must hold a block that begins with -----BEGIN CERTIFICATE-----."
        )
    run(module, Certificate(module).work)


if __name__ == "__main__":
    main()
