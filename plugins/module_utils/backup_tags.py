# Copyright: stackyard contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Tags of what AWS Backup keeps."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ansible_collections.stackyard.aws.plugins.module_utils.aws import Api, tag_changes
from ansible_collections.stackyard.aws.plugins.module_utils.plan import Plan


def keep_tags(backup: Api, plan: Plan, what: tuple[str, str], arn: str, params: Mapping[str, Any]) -> None:
    """Bring the tags of a plan or vault to what the module is asked for.

    Args:
        backup: The API of AWS Backup.
        plan: Where changes are noted.
        what: Kind and name of the resource, as changes tell it.
        arn: Its ARN.
        params: The module's parameters, of which `tags` and `purge_tags` are read; without tags nothing is done.
    """
    if params["tags"] is None:
        return
    to_set, to_remove = tag_changes(
        plan,
        *what,
        current=backup.list_tags(ResourceArn=arn)["Tags"],
        wanted=params["tags"],
        purge=params["purge_tags"],
    )
    if to_set:
        backup.tag_resource(ResourceArn=arn, Tags=to_set)
    if to_remove:
        backup.untag_resource(ResourceArn=arn, TagKeyList=to_remove)
