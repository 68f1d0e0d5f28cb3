"""Instance metadata, version 2 (IMDSv2), as a WSGI application on each network's resolver address.

The machine that asks is known by its source address, as nft brings it here from 169.254.169.254. Version 1 is refused
where the instance requires tokens, save to cloud-init in a container: there it cannot recognise EC2 and never asks for
a token. Left out: IPv6, spot and maintenance events, the hop limit.
"""

from __future__ import annotations

import base64
import datetime
import json
import re
import secrets
import threading
import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from localcloud import virtual_machines
from localcloud.autoscaling import target_lifecycle_state
from localcloud.cloud import Cloud
from localcloud.machines import host_name

# Debian 12's (22.4) leaves its own name out where it might have sent a token.
CLOUD_INIT_AGENTS = ("Cloud-Init/", "python-requests/")
TOKEN_HEADER = "HTTP_X_AWS_EC2_METADATA_TOKEN"  # noqa: S105 (a header's name)
TTL_HEADER = "HTTP_X_AWS_EC2_METADATA_TOKEN_TTL_SECONDS"
LONGEST_TTL = 21600
CREDENTIAL_SECONDS = 6 * 3600
# EC2 hands out new credentials at least five minutes before the old ones end.
RENEW_BEFORE = 15 * 60
VERSION = re.compile(r"latest|\d{4}-\d{2}-\d{2}|1\.0")
VERSIONS = ("1.0", "2009-04-04", "2018-09-24", "2021-03-23", "2024-04-11", "latest")

Tree = dict[str, Any]


@dataclass(frozen=True)
class _Token:
    instance_id: str
    expires: float


class Metadata:
    """Answers the machine that asks."""

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud
        self._lock = threading.Lock()
        self._tokens: dict[str, _Token] = {}
        self._credentials: dict[tuple[str, str], dict[str, str]] = {}

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        """Answer one request."""
        headers = [("Content-Type", "text/plain"), ("Server", "EC2ws")]
        ttl = environ.get(TTL_HEADER)
        try:
            content = self._answer(environ)
            status = "200 OK"
            if environ["REQUEST_METHOD"] == "PUT" and ttl:
                headers.append(("X-Aws-Ec2-Metadata-Token-Ttl-Seconds", ttl))
        except _RefusalError as refusal:
            status, content = refusal.status, b""
        start_response(status, [*headers, ("Content-Length", str(len(content)))])
        return [content]

    def _answer(self, environ: dict[str, Any]) -> bytes:
        method, path = environ["REQUEST_METHOD"], environ.get("PATH_INFO", "/")
        with self._cloud.lock:
            instance = self._instance(environ.get("REMOTE_ADDR", ""))
            if instance is None:
                raise _RefusalError("404 Not Found")
            options = instance.metadata_options
            if options.http_endpoint == "disabled":
                raise _RefusalError("403 Forbidden")
            if method == "PUT" and path == "/latest/api/token":
                return self._new_token(instance.id, environ)
            if method not in {"GET", "HEAD"}:
                raise _RefusalError("405 Not Allowed")
            self._check_token(instance, environ)
            return self._document(instance, path)

    def _instance(self, address: str) -> Any:
        """The instance at an address: the living one, or else the last, which may still be shutting down."""
        matches = [
            instance
            for reservation in self._cloud.backend("ec2").reservations.values()
            for instance in reservation.instances
            if instance.nics and instance.nics[0].private_ip_address == address
        ]
        return max(matches, key=lambda instance: (instance.state != "terminated", instance.launch_time), default=None)

    def _new_token(self, instance_id: str, environ: dict[str, Any]) -> bytes:
        if "HTTP_X_FORWARDED_FOR" in environ:
            raise _RefusalError("403 Forbidden")
        text = environ.get(TTL_HEADER, "")
        if not text.isdecimal() or not 1 <= int(text) <= LONGEST_TTL:
            raise _RefusalError("400 Bad Request")
        token = secrets.token_urlsafe(40)
        now = time.monotonic()
        with self._lock:
            self._tokens = {key: known for key, known in self._tokens.items() if known.expires > now}
            self._tokens[token] = _Token(instance_id, now + int(text))
        return token.encode()

    def _check_token(self, instance: Any, environ: dict[str, Any]) -> None:
        token = environ.get(TOKEN_HEADER)
        if token is None:
            from_cloud_init = environ.get("HTTP_USER_AGENT", "").startswith(CLOUD_INIT_AGENTS)
            exempt = from_cloud_init and not virtual_machines.wanted(instance)
            if instance.metadata_options.http_tokens == "required" and not exempt:
                raise _RefusalError("401 Unauthorized")
            return
        with self._lock:
            known = self._tokens.get(token)
        if known is None or known.instance_id != instance.id or known.expires < time.monotonic():
            raise _RefusalError("401 Unauthorized")

    def _document(self, instance: Any, path: str) -> bytes:
        version, *rest = [part for part in path.split("/") if part] or [""]
        if not version:
            return "\n".join(VERSIONS).encode()
        if not VERSION.fullmatch(version):
            raise _RefusalError("404 Not Found")
        if rest == ["user-data"]:
            return _user_data(instance)
        tree: Tree = {
            "meta-data": self._meta_data(instance),
            "dynamic": {"instance-identity": {"document": self._identity(instance)}},
        }
        if instance.user_data:
            tree["user-data"] = ""
        return _walk(tree, rest).encode()

    def _meta_data(self, instance: Any) -> Tree:
        ec2 = self._cloud.backend("ec2")
        interface, region = instance.nics[0], self._cloud.settings.region
        name = host_name(interface.private_ip_address, region)
        subnet = ec2.get_subnet(instance.subnet_id)
        vpc = ec2.vpcs[instance.vpc_id]
        groups = sorted(interface.group_set, key=lambda group: str(group.name))
        zone = instance.placement.availability_zone
        tree: Tree = {
            "ami-id": instance.image_id,
            "ami-launch-index": str(instance.ami_launch_index),
            "ami-manifest-path": "(unknown)",
            "block-device-mapping": {"ami": instance.root_device_name, "root": instance.root_device_name},
            "hostname": name,
            "instance-action": "none",
            "instance-id": instance.id,
            "instance-life-cycle": "on-demand",
            "instance-type": instance.instance_type,
            "local-hostname": name,
            "local-ipv4": interface.private_ip_address,
            "mac": interface.mac_address,
            "network": {
                "interfaces": {
                    "macs": {
                        interface.mac_address: {
                            "device-number": "0",
                            "interface-id": interface.id,
                            "local-hostname": name,
                            "local-ipv4s": interface.private_ip_address,
                            "mac": interface.mac_address,
                            "owner-id": instance.owner_id,
                            "security-group-ids": "\n".join(group.id for group in groups),
                            "security-groups": "\n".join(group.name for group in groups),
                            "subnet-id": subnet.id,
                            "subnet-ipv4-cidr-block": subnet.cidr_block,
                            "vpc-id": vpc.id,
                            "vpc-ipv4-cidr-block": vpc.cidr_block,
                            "vpc-ipv4-cidr-blocks": vpc.cidr_block,
                        }
                    }
                }
            },
            "placement": {
                "availability-zone": zone,
                "availability-zone-id": subnet.availability_zone_id,
                "region": region,
            },
            "profile": "default-hvm",
            "reservation-id": self._reservation(instance),
            "security-groups": "\n".join(group.name for group in groups),
            "services": {"domain": "amazonaws.com", "partition": "aws"},
        }
        if interface.public_ip:
            tree["public-ipv4"] = interface.public_ip
        if instance.key_name and (pair := ec2.key_pairs.get(instance.key_name)):
            tree["public-keys"] = {f"0={instance.key_name}": {"openssh-key": pair.public_key.strip()}}
        if instance.metadata_options.instance_metadata_tags == "enabled":
            tree["tags"] = {"instance": {tag["key"]: tag["value"] for tag in instance.get_tags()}}
        if profile := self._profile(instance):
            tree["iam"] = {
                "info": json.dumps(
                    {
                        "Code": "Success",
                        "LastUpdated": _timestamp(instance.launch_time),
                        "InstanceProfileArn": profile.arn,
                        "InstanceProfileId": profile.id,
                    },
                    indent=2,
                ),
                "security-credentials": {role.name: _Lazy(self._role_credentials, instance.id, role.arn)
                                         for role in profile.roles[:1]},
            }  # fmt: skip
        if state := self._target_state(instance.id):
            tree["autoscaling"] = {"target-lifecycle-state": state}
        return tree

    def _reservation(self, instance: Any) -> str:
        for reservation in self._cloud.backend("ec2").reservations.values():
            if instance in reservation.instances:
                return str(reservation.id)
        return ""

    def _profile(self, instance: Any) -> Any:
        association = self._cloud.backend("ec2").iam_instance_profile_associations.get(instance.id)
        return association.iam_instance_profile if association else None

    def _target_state(self, instance_id: str) -> str | None:
        """Where the instance's Auto Scaling group wants it; nothing outside a group."""
        return target_lifecycle_state(self._cloud.backend("autoscaling"), instance_id)

    def _role_credentials(self, instance_id: str, role_arn: str) -> str:
        """Credentials of the instance's role, as STS knows them."""
        key = (instance_id, role_arn)
        known = self._credentials.get(key)
        now = datetime.datetime.now(datetime.UTC)
        if known is None or datetime.datetime.fromisoformat(known["Expiration"]) < now + datetime.timedelta(
            seconds=RENEW_BEFORE
        ):
            answer = self._cloud.client("sts").assume_role(
                RoleArn=role_arn, RoleSessionName=instance_id, DurationSeconds=CREDENTIAL_SECONDS
            )["Credentials"]
            known = {
                "Code": "Success",
                "LastUpdated": _timestamp(now),
                "Type": "AWS-HMAC",
                "AccessKeyId": answer["AccessKeyId"],
                "SecretAccessKey": answer["SecretAccessKey"],
                "Token": answer["SessionToken"],
                "Expiration": _timestamp(answer["Expiration"]),
            }
            self._credentials[key] = known
            # STS counts this as a read, but a restarted server must know the credentials.
            self._cloud.changed()
        return json.dumps(known, indent=2)

    def _identity(self, instance: Any) -> str:
        interface = instance.nics[0]
        return json.dumps(
            {
                "accountId": instance.owner_id,
                "architecture": instance.architecture,
                "availabilityZone": instance.placement.availability_zone,
                "billingProducts": None,
                "devpayProductCodes": None,
                "marketplaceProductCodes": None,
                "imageId": instance.image_id,
                "instanceId": instance.id,
                "instanceType": instance.instance_type,
                "kernelId": None,
                "pendingTime": _timestamp(instance.launch_time),
                "privateIp": interface.private_ip_address,
                "ramdiskId": None,
                "region": self._cloud.settings.region,
                "version": "2017-09-30",
            },
            indent=2,
        )


class _Lazy:
    """A leaf of the tree that is only made when asked for."""

    def __init__(self, make: Any, *arguments: Any) -> None:
        self._make, self._arguments = make, arguments

    def __str__(self) -> str:
        return str(self._make(*self._arguments))


class _RefusalError(Exception):
    def __init__(self, status: str) -> None:
        super().__init__(status)
        self.status = status


def _walk(tree: Tree, path: list[str]) -> str:
    """A leaf's text, or the listing of a branch."""
    node: Any = tree
    for part in path:
        if not isinstance(node, dict):
            raise _RefusalError("404 Not Found")
        if part in node:
            node = node[part]
            continue
        # "0" stands for "0=name" in the list of public keys.
        matches = [value for key, value in node.items() if key.partition("=")[0] == part and "=" in key]
        if not matches:
            raise _RefusalError("404 Not Found")
        node = matches[0]
    if not isinstance(node, dict):
        return str(node)
    return "\n".join(
        f"{key}/" if isinstance(value, dict) and "=" not in key else key for key, value in sorted(node.items())
    )


def _user_data(instance: Any) -> bytes:
    if not instance.user_data:
        raise _RefusalError("404 Not Found")
    return base64.b64decode(str(instance.user_data))


def _timestamp(moment: datetime.datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")
