"""RDS: parameter groups that know the parameters of their family.

moto takes any name and value, and lists what was set. The catalogue is in ``localcloud.database_parameters``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from moto.core.responses import ActionResult
from moto.rds.exceptions import (
    DBParameterGroupNotFoundError,
    InvalidParameterCombination,
    InvalidParameterValue,
    RDSClientError,
)
from moto.rds.models import DBInstance, DBParameterGroup, RDSBackend
from moto.rds.responses import RDSResponse

from localcloud import database_parameters as parameters
from localcloud.patches._tools import add, wrap


def apply() -> None:
    """Apply the work-rounds for parameter groups."""
    setattr(DBInstance, "db_parameter_group_status_list", property(_parameter_group_status))  # noqa: B010 (for mypy)
    wrap(RDSBackend, "describe_db_parameter_groups", _describe_parameter_groups)
    wrap(RDSBackend, "modify_db_parameter_group", _modify_parameter_group)
    wrap(RDSBackend, "delete_db_parameter_group", _delete_parameter_group)
    wrap(RDSBackend, "create_db_parameter_group", _create_parameter_group)
    wrap(RDSResponse, "describe_db_parameters", _describe_parameters)
    add(RDSResponse, "reset_db_parameter_group", _reset_parameter_group)
    add(RDSResponse, "describe_engine_default_parameters", _describe_default_parameters)


def _parameter_group_status(self: Any) -> Any:
    """A change of a static parameter waits for a reboot, and says so.

    https://docs.aws.amazon.com/AmazonRDS/latest/APIReference/API_DBParameterGroupStatus.html
    """
    groups = self.db_parameter_groups()
    for group in groups:
        group.ParameterApplyStatus = "pending-reboot" if self.parameters_pending_reboot else "in-sync"
    return groups


def _describe_parameter_groups(
    original: Callable[..., Any], self: Any, db_parameter_group_kwargs: dict[str, Any]
) -> list[DBParameterGroup]:
    """An unknown group is an error; a default group exists before an instance uses it.

    https://docs.aws.amazon.com/AmazonRDS/latest/APIReference/API_DescribeDBParameterGroups.html
    """
    name = db_parameter_group_kwargs.get("db_parameter_group_name")
    family = (name or "").removeprefix("default.")
    if (
        name
        and name.startswith("default.")
        and name not in self.db_parameter_groups
        and family in parameters.families()
    ):
        group: Any = DBParameterGroup
        self.db_parameter_groups[name] = group(self, name, f"Default parameter group for {family}", family, tags=[])
    groups: list[DBParameterGroup] = original(self, db_parameter_group_kwargs)
    if name and not groups:
        raise DBParameterGroupNotFoundError(name)
    return groups


def _create_parameter_group(
    original: Callable[..., Any], self: Any, db_parameter_group_kwargs: dict[str, Any]
) -> DBParameterGroup:
    """An unknown family is refused.

    https://docs.aws.amazon.com/AmazonRDS/latest/APIReference/API_CreateDBParameterGroup.html
    """
    family = db_parameter_group_kwargs.get("db_parameter_group_family") or ""
    if parameters.engine_of(family) and family not in parameters.families():
        raise InvalidParameterValue(f"ParameterGroupFamily {family} is not a valid parameter group family")
    group: DBParameterGroup = original(self, db_parameter_group_kwargs)
    return group


def _modify_parameter_group(
    original: Callable[..., Any],
    self: Any,
    db_parameter_group_name: str,
    db_parameter_group_parameters: Any,
) -> DBParameterGroup:
    """Only known parameters with allowed values, only in groups of one's own.

    https://docs.aws.amazon.com/AmazonRDS/latest/APIReference/API_ModifyDBParameterGroup.html
    """
    wanted = list(db_parameter_group_parameters)
    group = self.describe_db_parameter_groups({"db_parameter_group_name": db_parameter_group_name})[0]
    if group.name.startswith("default."):
        raise RDSClientError("InvalidParameterValue", "The default parameter group cannot be modified.")
    known = parameters.catalogue(group.family or "")
    for change in wanted if known else []:
        parameter = known.get(change["ParameterName"])
        if parameter is None:
            raise InvalidParameterValue(f"Could not find parameter with name: {change['ParameterName']}")
        if parameter.static and change.get("ApplyMethod") == "immediate":
            raise InvalidParameterCombination(
                f"cannot use immediate apply method for static parameter: {parameter.name}"
            )
        try:
            parameter.check(str(change.get("ParameterValue", "")))
            parameters.evaluate(str(change.get("ParameterValue", "")), "db.t4g.micro")
        except parameters.ParameterError as error:
            raise InvalidParameterValue(str(error)) from error
    result: DBParameterGroup = original(self, db_parameter_group_name, wanted)
    if any(known[change["ParameterName"]].static for change in wanted if known):
        for database in self.databases.values():
            if group in database.db_parameter_groups():
                database.parameters_pending_reboot = True
    return result


def _delete_parameter_group(original: Callable[..., Any], self: Any, name: str) -> Any:
    """A group that an instance uses cannot be deleted.

    https://docs.aws.amazon.com/AmazonRDS/latest/APIReference/API_DeleteDBParameterGroup.html
    """
    if any(name in (group.name for group in database.db_parameter_groups()) for database in self.databases.values()):
        raise RDSClientError(
            "InvalidDBParameterGroupState", "One or more database instances are still members of this parameter group."
        )
    if name not in self.db_parameter_groups:
        raise DBParameterGroupNotFoundError(name)
    return original(self, name)


def _describe_parameters(original: Callable[..., Any], self: RDSResponse) -> Any:
    """A group holds every parameter of its family, not just those that were changed.

    https://docs.aws.amazon.com/AmazonRDS/latest/APIReference/API_DescribeDBParameters.html
    """
    group = self.backend.describe_db_parameter_groups(
        {"db_parameter_group_name": self.params.get("DBParameterGroupName")}
    )[0]
    if not parameters.catalogue(group.family or ""):
        return original(self)
    found = parameters.as_api(group.family or "", group.parameters)
    if source := self.params.get("Source"):
        found = [entry for entry in found if entry["Source"] == source]
    return ActionResult({"Parameters": found})


def _reset_parameter_group(self: RDSResponse) -> Any:
    """ResetDBParameterGroup sets parameters back to their defaults.

    https://docs.aws.amazon.com/AmazonRDS/latest/APIReference/API_ResetDBParameterGroup.html
    """
    name = self.params.get("DBParameterGroupName")
    group = self.backend.describe_db_parameter_groups({"db_parameter_group_name": name})[0]
    if self.params.get("ResetAllParameters"):
        group.parameters.clear()
    for entry in self.params.get("Parameters", []):
        group.parameters.pop(entry["ParameterName"], None)
    return ActionResult({"DBParameterGroupName": group.name})


def _describe_default_parameters(self: RDSResponse) -> Any:
    """DescribeEngineDefaultParameters lists a family's parameters.

    https://docs.aws.amazon.com/AmazonRDS/latest/APIReference/API_DescribeEngineDefaultParameters.html
    """
    family = self.params.get("DBParameterGroupFamily")
    return ActionResult(
        {"EngineDefaults": {"DBParameterGroupFamily": family, "Parameters": parameters.as_api(family, {})}}
    )
