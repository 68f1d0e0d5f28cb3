"""What the work-rounds for AWS Backup share: paths that moto's router cannot tell apart, errors, contents of vaults."""

from __future__ import annotations

import fnmatch
import json
import re
from collections.abc import Callable
from typing import Any
from urllib.parse import unquote

from moto.backup import urls
from moto.backup.models import BackupBackend, Vault
from moto.backup.responses import BackupResponse
from moto.core.exceptions import JsonRESTError

from localcloud.patches._tools import wrap

_routes: list[tuple[str, re.Pattern[str], str]] = []


class AccessDeniedError(JsonRESTError):
    """The caller may not, or is not told whether there is such a thing."""

    code = 403

    def __init__(self, message: str) -> None:
        super().__init__("AccessDeniedException", message)


class InvalidResourceStateError(JsonRESTError):
    """AWS Backup is busy with the recovery point."""

    code = 400

    def __init__(self, message: str) -> None:
        super().__init__("InvalidResourceStateException", message)


def route(method: str, path: str, action: str) -> None:
    """Have a path answered by an action.

    Names of vaults, and ARNs of resources and recovery points, hold slashes and colons, which moto's router takes for
    parts of the path; the first route that fits is taken, and moto's router asked where none does.

    Args:
        method: HTTP method.
        path: Regular expression for the decoded path, with a group for each parameter.
        action: Name of the API's action.
    """
    wrap(BackupResponse, "_get_action_from_method_and_request_uri", _action)
    # For the server's router: any name or ARN, which the expression above then looks at more closely.
    urls.url_paths.setdefault("{0}" + re.sub(r"\(\?P<(\w+)>[^)]*\)", r"(?P<\1>.+)", path) + "$", urls.response.dispatch)
    if not any((method, action) == (known, name) for known, _, name in _routes):
        _routes.append((method, re.compile(path), action))


def _action(original: Callable[..., Any], self: BackupResponse, request: Any) -> Any:
    path = unquote(self.path)
    for method, pattern, action in _routes:
        match = pattern.fullmatch(path)
        if match and method == self.method:
            self.uri_match = match.groupdict()
            return action
    return original(self, request)


def contents(vault: Vault) -> dict[str, Any]:
    """The policy and the recovery points of a vault, by their ARNs."""
    found: dict[str, Any] = vault.__dict__.setdefault("contents", {"policy": None, "points": {}})
    return found


def points(backend: BackupBackend) -> dict[str, dict[str, Any]]:
    """All recovery points, by their ARNs."""
    return {arn: point for vault in backend.vaults.values() for arn, point in contents(vault)["points"].items()}


def vault_of(self: BackupResponse, name: str) -> Vault:
    """A vault by its name.

    Raises:
        ResourceNotFoundException: There is none.
    """
    vault: Vault = self.backup_backend.describe_backup_vault(name)
    return vault


def refuse_denied(vault: Vault, action: str) -> None:
    """Honour what the vault's policy denies to everybody.

    Raises:
        AccessDeniedError: It denies the action.
    """
    policy = contents(vault)["policy"]
    statements = json.loads(policy)["Statement"] if policy else []
    denied = [pattern for entry in statements if entry["Effect"] == "Deny" for pattern in entry["Action"]]
    if any(fnmatch.fnmatchcase(action, pattern) for pattern in denied):
        raise AccessDeniedError(f"not authorized to perform: {action} with an explicit deny in a vault policy")
