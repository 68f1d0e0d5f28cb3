# Copyright: stackyard contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The recovery points of AWS Backup with their tags."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from ansible_collections.stackyard.aws.plugins.module_utils.aws import Api, found_or_none

NAME_TAG = "stackyard:name"
WHOLE = ("COMPLETED", "AVAILABLE")
MISSING = ("ResourceNotFoundException",)
# What AWS may say of a vault that does not exist.
MISSING_OR_DENIED = (*MISSING, "AccessDeniedException")


def recovery_points(
    backup: Api, vault: str, resource_arn: str | None, missing: Iterable[str] = MISSING_OR_DENIED
) -> Iterator[tuple[dict[str, Any], dict[str, str]]]:
    """Yield the recovery points of a vault, as the API describes them, each with its tags.

    Args:
        backup: The API of AWS Backup.
        vault: Name of the vault.
        resource_arn: ARN of what was backed up; of everything when empty.
        missing: Codes of errors that mean that there is no vault, and so nothing in it.
    """
    points = found_or_none(
        lambda **arguments: backup.pages("list_recovery_points_by_backup_vault", "RecoveryPoints", **arguments),
        missing,
        BackupVaultName=vault,
        **({"ByResourceArn": resource_arn} if resource_arn else {}),
    )
    for point in points or []:
        # One that has been deleted meanwhile has no tags.
        tags = found_or_none(backup.list_tags, MISSING, ResourceArn=point["RecoveryPointArn"])
        if tags:
            yield point, tags["Tags"]
