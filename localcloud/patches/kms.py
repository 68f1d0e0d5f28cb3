"""KMS: keys named by ARN."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from moto.kms.models import KmsBackend

from localcloud.patches._tools import wrap

ACTIONS = (
    "cancel_key_deletion",
    "disable_key",
    "disable_key_rotation",
    "enable_key",
    "enable_key_rotation",
    "get_key_policy",
    "get_key_rotation_status",
    "put_key_policy",
    "schedule_key_deletion",
)


def apply() -> None:
    """A key may be named by its ARN in every action, not by its id alone.

    https://docs.aws.amazon.com/kms/latest/APIReference/API_ScheduleKeyDeletion.html
    """
    for action in ACTIONS:
        wrap(KmsBackend, action, _by_id)


def _by_id(original: Callable[..., Any], self: KmsBackend, key_id: str, *arguments: Any, **named: Any) -> Any:
    return original(self, self.get_key_id(key_id), *arguments, **named)
