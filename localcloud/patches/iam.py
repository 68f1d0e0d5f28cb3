"""IAM: the policies that AWS itself manages."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

from moto.iam.models import IAMBackend

from localcloud.patches._tools import wrap


def apply() -> None:
    """Load AWS's managed policies (``AmazonSSMManagedInstanceCore`` and 1,600 more), for the main partition alone.

    Without them AttachRolePolicy answers NoSuchEntity. moto parses them once for each of its partitions (China,
    GovCloud …), which made every reset take half a second.
    https://docs.aws.amazon.com/IAM/latest/APIReference/API_AttachRolePolicy.html
    """
    os.environ["MOTO_IAM_LOAD_MANAGED_POLICIES"] = "true"
    wrap(IAMBackend, "_init_aws_policies", _init_aws_policies)


def _init_aws_policies(original: Callable[..., Any], self: IAMBackend) -> Any:
    return original(self) if self.partition == "aws" else []
