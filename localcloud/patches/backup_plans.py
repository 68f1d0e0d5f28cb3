"""AWS Backup's plans, which can be changed and keep their versions, and their selections of resources.

What is left out: plans do not run, whatever their schedule says; a backup is made by StartBackupJob alone.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable
from typing import Any

from moto.backup.exceptions import (
    AlreadyExistsException,
    InvalidParameterValueException,
    InvalidRequestException,
    ResourceNotFoundException,
)
from moto.backup.models import BackupBackend, Plan
from moto.backup.responses import BackupResponse
from moto.core.utils import unix_time
from moto.iam.models import iam_backends

from localcloud.patches._backup import route
from localcloud.patches._tools import add, wrap

# What GetBackupSelection answers for what was not given.
NO_CONDITIONS: dict[str, list[Any]] = {
    name: [] for name in ("StringEquals", "StringLike", "StringNotEquals", "StringNotLike")
}
EMPTY_SELECTION = {"Resources": [], "NotResources": [], "ListOfTags": [], "Conditions": NO_CONDITIONS}


def apply() -> None:
    """Apply all work-rounds of this service."""
    for method, path, action in (
        ("GET", "/backup/plans/(?P<BackupPlanId>[^/]+)/versions/", "ListBackupPlanVersions"),
        ("PUT", "/backup/plans/(?P<BackupPlanId>[^/]+)/selections/", "CreateBackupSelection"),
        ("GET", "/backup/plans/(?P<BackupPlanId>[^/]+)/selections/", "ListBackupSelections"),
        ("GET", "/backup/plans/(?P<BackupPlanId>[^/]+)/selections/(?P<SelectionId>[^/]+)", "GetBackupSelection"),
        ("DELETE", "/backup/plans/(?P<BackupPlanId>[^/]+)/selections/(?P<SelectionId>[^/]+)", "DeleteBackupSelection"),
        ("POST", "/backup/plans/(?P<BackupPlanId>[^/]+)", "UpdateBackupPlan"),
    ):
        route(method, path, action)
    add(BackupResponse, "update_backup_plan", _update_plan)
    add(BackupResponse, "list_backup_plan_versions", _list_versions)
    add(BackupResponse, "create_backup_selection", _create_selection)
    add(BackupResponse, "list_backup_selections", _list_selections)
    add(BackupResponse, "get_backup_selection", _get_selection)
    add(BackupResponse, "delete_backup_selection", _delete_selection)
    wrap(BackupBackend, "create_backup_plan", _create_plan)
    wrap(BackupBackend, "get_backup_plan", _get_plan)
    wrap(BackupBackend, "delete_backup_plan", _delete_plan)


def _plan(self: BackupResponse) -> Plan:
    plan = self.backup_backend.plans.get(self.uri_match["BackupPlanId"])
    if plan is None or plan.deletion_date is not None:
        raise ResourceNotFoundException("Failed reading Backup plan with provided version")
    return plan


def _earlier(plan: Plan) -> list[Plan]:
    """The versions before the present one, oldest first."""
    versions: list[Plan] = plan.__dict__.setdefault("earlier", [])
    return versions


def _selections(plan: Plan) -> dict[str, dict[str, Any]]:
    selections: dict[str, dict[str, Any]] = plan.__dict__.setdefault("selections", {})
    return selections


def _create_plan(original: Callable[..., Plan], self: BackupBackend, *arguments: Any, **named: Any) -> Plan:
    """A plan that was deleted does not stand in the way of another of its name.

    https://docs.aws.amazon.com/aws-backup/latest/devguide/API_CreateBackupPlan.html
    """
    deleted = {key: plan for key, plan in self.plans.items() if plan.deletion_date is not None}
    for key in deleted:
        del self.plans[key]
    try:
        return original(self, *arguments, **named)
    finally:
        self.plans.update(deleted)


def _get_plan(
    original: Callable[..., Plan], self: BackupBackend, backup_plan_id: str, version_id: str | None = None
) -> Plan:
    """Earlier versions can still be read.

    https://docs.aws.amazon.com/aws-backup/latest/devguide/API_GetBackupPlan.html
    """
    plan = self.plans.get(backup_plan_id)
    versions = [*_earlier(plan), plan] if plan else []
    named = [version for version in versions if version.version_id == version_id]
    return named[0] if named else original(self, backup_plan_id, version_id)


def _delete_plan(original: Callable[..., Any], self: BackupBackend, backup_plan_id: str) -> Any:
    """Selections have to be deleted before, and a plan can be deleted once.

    https://docs.aws.amazon.com/aws-backup/latest/devguide/API_DeleteBackupPlan.html
    """
    plan = self.plans.get(backup_plan_id)
    if plan and _selections(plan):
        raise InvalidRequestException("Related backup plan selections must be deleted prior to backup plan deletion")
    if plan and plan.deletion_date is not None:
        raise ResourceNotFoundException("Failed reading Backup plan with provided version")
    return original(self, backup_plan_id)


def _update_plan(self: BackupResponse) -> str:
    """The plan gets a new version.

    https://docs.aws.amazon.com/aws-backup/latest/devguide/API_UpdateBackupPlan.html
    """
    plan = _plan(self)
    new = Plan(json.loads(self.body)["BackupPlan"], plan.creator_request_id, self.backup_backend)
    before = Plan.__new__(Plan)
    before.__dict__.update({key: value for key, value in plan.__dict__.items() if key not in ("earlier", "selections")})
    _earlier(plan).append(before)
    plan.backup_plan, plan.version_id = new.backup_plan, new.version_id
    plan.advanced_backup_settings = new.advanced_backup_settings
    return json.dumps(plan.to_dict())


def _list_versions(self: BackupResponse) -> str:
    """All versions, the present one first.

    https://docs.aws.amazon.com/aws-backup/latest/devguide/API_ListBackupPlanVersions.html
    """
    plan = _plan(self)
    versions = [plan, *reversed(_earlier(plan))]
    return json.dumps({"BackupPlanVersionsList": [version.to_list_dict() for version in versions]})


def _create_selection(self: BackupResponse) -> str:
    """AWS Backup refuses a role that it cannot assume.

    https://docs.aws.amazon.com/aws-backup/latest/devguide/API_CreateBackupSelection.html
    https://docs.aws.amazon.com/aws-backup/latest/devguide/iam-service-roles.html
    """
    plan, request = _plan(self), json.loads(self.body)
    selection = request["BackupSelection"]
    if selection["SelectionName"] in [
        known["BackupSelection"]["SelectionName"] for known in _selections(plan).values()
    ]:
        raise AlreadyExistsException("Backup selection with the same name already exists")
    _refuse_role(self, selection["IamRoleArn"])
    made = {
        "BackupPlanId": plan.backup_plan_id,
        "SelectionId": str(uuid.uuid4()),
        "CreationDate": unix_time(),
        "CreatorRequestId": request.get("CreatorRequestId"),
        "BackupSelection": EMPTY_SELECTION | selection,
    }
    _selections(plan)[made["SelectionId"]] = made
    return json.dumps({key: made[key] for key in ("BackupPlanId", "SelectionId", "CreationDate")})


def _refuse_role(self: BackupResponse, arn: str) -> None:
    roles = iam_backends[self.current_account]["aws"].roles.values()
    trusts = [json.loads(role.assume_role_policy_document) for role in roles if role.arn == arn]
    services = [
        service
        for trust in trusts
        for statement in trust["Statement"]
        for service in _list(statement.get("Principal", {}).get("Service", []))
    ]
    if "backup.amazonaws.com" not in services:
        raise InvalidParameterValueException(f"IAM Role {arn} cannot be assumed by AWS Backup")


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _list_selections(self: BackupResponse) -> str:
    """The selections without what they select.

    https://docs.aws.amazon.com/aws-backup/latest/devguide/API_ListBackupSelections.html
    """
    listed = [
        {key: value for key, value in selection.items() if key != "BackupSelection" and value is not None}
        | {key: selection["BackupSelection"][key] for key in ("SelectionName", "IamRoleArn")}
        for selection in _selections(_plan(self)).values()
    ]
    return json.dumps({"BackupSelectionsList": listed})


def _selection(self: BackupResponse) -> dict[str, Any]:
    selection = _selections(_plan(self)).get(self.uri_match["SelectionId"])
    if selection is None:
        raise ResourceNotFoundException("Cannot find the backup selection")
    return selection


def _get_selection(self: BackupResponse) -> str:
    """What was not given is answered as empty.

    https://docs.aws.amazon.com/aws-backup/latest/devguide/API_GetBackupSelection.html
    """
    return json.dumps({key: value for key, value in _selection(self).items() if value is not None})


def _delete_selection(self: BackupResponse) -> str:
    """Deletes a selection; a second time there is none.

    https://docs.aws.amazon.com/aws-backup/latest/devguide/API_DeleteBackupSelection.html
    """
    del _selections(_plan(self))[_selection(self)["SelectionId"]]
    return ""
