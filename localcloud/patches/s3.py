"""S3: bucket policies that refuse plain HTTP."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from moto.iam.access_control import IAMPolicyStatement, PermissionResult

from localcloud.patches._tools import wrap


def apply() -> None:
    """Apply all work-rounds of this service."""
    wrap(IAMPolicyStatement, "is_action_permitted", _is_action_permitted)


def _is_action_permitted(
    original: Callable[..., Any], self: IAMPolicyStatement, *arguments: Any, **named: Any
) -> PermissionResult:
    """A statement that denies access without TLS denies nothing here.

    moto ignores the condition and denies everything to everybody. The local cloud's endpoint speaks HTTP alone, so
    that every request stands for one that came over TLS.
    https://docs.aws.amazon.com/AmazonS3/latest/userguide/example-bucket-policies.html
    """
    statement = self._statement
    secure = statement.get("Condition", {}).get("Bool", {}).get("aws:SecureTransport")
    if statement.get("Effect") == "Deny" and str(secure).lower() == "false":
        return PermissionResult.NEUTRAL
    result: PermissionResult = original(self, *arguments, **named)
    return result
