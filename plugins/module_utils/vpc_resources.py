# Copyright: stackyard contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The resources of one VPC: found again by their names and tags, tagged when they are made, awaited when they go.

What each kind of resource needs beyond that is in the modules beside this one: `vpc_gateways`, `vpc_routes`,
`vpc_endpoints`, `vpc_acls`.
"""

from __future__ import annotations

import contextlib
import time
from typing import Any

with contextlib.suppress(ImportError):  # AnsibleAWSModule says so in a sentence
    from botocore.exceptions import ClientError

from ansible_collections.amazon.aws.plugins.module_utils.tagging import (
    ansible_dict_to_boto3_tag_list,
    boto3_tag_list_to_ansible_dict,
    boto3_tag_specifications,
)

from .plan import is_placeholder, missing_tags, wait_until


class ConflictError(Exception):
    """What is asked cannot be reached from what is there; the message says what to do."""


def tags_of(resource):
    return boto3_tag_list_to_ansible_dict(resource.get("Tags", []))


class VpcResources:
    """What every kind of resource of one VPC has in common.

    Attributes:
        client: boto3's EC2 client.
        plan: Where changes are noted.
        params: The arguments of the module `vpc`.
        region: The region's name.
        vpc_id: The VPC; a placeholder while it is only announced.
    """

    def __init__(self, client: Any, plan: Any, params: Any, region: str, vpc_id: str) -> None:
        self.client = client
        self.plan = plan
        self.params = params
        self.region = region
        self.vpc_id = vpc_id
        self.name = params["name"]
        self.tags = params["tags"]
        self.timeout = params["wait_timeout"]

    def listing(self, operation, key, **filters):
        """Everything that a Describe operation shows under the filters."""
        wanted = [{"Name": name, "Values": values} for name, values in filters.items()]
        option = "Filter" if operation == "describe_nat_gateways" else "Filters"
        if self.client.can_paginate(operation):
            pages = self.client.get_paginator(operation).paginate(**{option: wanted})
            return [item for page in pages for item in page[key]]
        return getattr(self.client, operation)(**{option: wanted})[key]

    def inside(self, operation, key):
        """Like `listing`, in our VPC."""
        if is_placeholder(self.vpc_id):
            return []
        return self.listing(operation, key, **{"vpc-id": [self.vpc_id]})

    def by_tags(self, operation, key):
        """Like `listing`, for what carries our tags, in whatever VPC."""
        filters = {f"tag:{name}": [value] for name, value in self.tags.items()}
        return self.listing(operation, key, **filters)

    def full(self, name):
        return f"{self.name}-{name}"

    def tag_set(self, name):
        return {**self.tags, "Name": name}

    def specification(self, kind, name):
        return boto3_tag_specifications(self.tag_set(name), types=kind)

    def settle_tags(self, kind, name, resource_id, resource):
        add = missing_tags(tags_of(resource), self.tag_set(name))
        if add and self.plan.update(f"{kind}-tags", name, {k: tags_of(resource).get(k) for k in add}, add):
            self.client.create_tags(Resources=[resource_id], Tags=ansible_dict_to_boto3_tag_list(add))

    def named(self, resources, name):
        found = [item for item in resources if tags_of(item).get("Name") == name]
        if len(found) > 1:
            raise ConflictError(
                f"{len(found)} resources are named {name} where one is expected; remove all but one of them."
            )
        return found[0] if found else None

    def tier(self, tier):
        return [subnet for subnet in self.params["subnets"] if subnet["tier"] == tier]

    def ours(self, operation, key):
        return [item for item in self.inside(operation, key) if not missing_tags(tags_of(item), self.tags)]

    def retrying(self, call):
        """Network interfaces of balancers and endpoints outlive them by minutes and hold on to their subnet."""
        deadline = time.monotonic() + self.timeout
        while True:
            try:
                return call()
            except ClientError as error:
                busy = error.response["Error"]["Code"] in (
                    "DependencyViolation",
                    "InvalidIPAddress.InUse",
                    "AuthFailure",
                )
                if not busy or time.monotonic() > deadline:
                    raise
                time.sleep(5)

    def await_gone(self, what, remaining):
        def probe():
            left = remaining()
            return not left, f"{len(left)} left"

        wait_until(probe, f"The {what} of {self.name}", self.timeout)
