# Copyright: stackyard contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The boot document: what a machine is told at launch about itself, free of secrets.

Shared by the module that reads it for the playbook and by the machine's own program, so
that both refuse the same documents with the same words. Standard library only.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

DEFAULT_PATH = "/etc/stackyard/boot.json"

_VARIABLE = re.compile(r"^(?!ansible_)[a-z_][a-z0-9_]*$")
_APPLICATION = re.compile(r"^[a-z][a-z0-9_]*$")
_REQUIRED = ("application", "environment", "region")
_OPTIONAL = ("group", "launch_hook", "terminate_hook")


class BootDocumentError(Exception):
    """The document is missing or not of its form; the text says what is wrong in a sentence."""


@dataclass(frozen=True)
class SecretReference:
    """Where the value of a role variable comes from.

    Attributes:
        secret: Name or ARN in Secrets Manager.
        key: Key of the secret's JSON object; empty for the whole value.
    """

    secret: str
    key: str = ""


@dataclass(frozen=True)
class BootDocument:
    """A document that has passed every check.

    Attributes:
        application: Role that this machine runs.
        group: Name of the Auto Scaling group; empty for a machine that belongs to none.
        launch_hook: Lifecycle hook to complete when the machine is healthy; may be empty.
        terminate_hook: Lifecycle hook to complete when the machine is drained; may be empty.
        secrets: Role variables and the secrets that hold their values.
        variables: Role variables with their values.
    """

    application: str
    environment: str
    region: str
    group: str = ""
    launch_hook: str = ""
    terminate_hook: str = ""
    secrets: dict[str, SecretReference] = field(default_factory=dict)
    variables: dict[str, Any] = field(default_factory=dict)


def read(path: str = DEFAULT_PATH) -> BootDocument:
    """Read and check the document.

    Raises:
        BootDocumentError: It is not there, cannot be read, or is not of its form.
    """
    try:
        text = Path(path).read_text(encoding="utf-8")
    except FileNotFoundError:
        raise BootDocumentError(
            f"There is no boot document at {path}: it is written at launch from the user data of a fleet's launch "
            "template."
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise BootDocumentError(f"The boot document {path} cannot be read: {error}.") from None
    try:
        content = json.loads(text)
    except ValueError as error:
        raise BootDocumentError(f"The boot document {path} is not JSON: {error}.") from None
    return parse(content, path)


def parse(content: Any, path: str = DEFAULT_PATH) -> BootDocument:
    """Check parsed JSON and return it as a document.

    Raises:
        BootDocumentError: A part is missing, unknown, or of the wrong type.
    """

    if not isinstance(content, dict):
        raise _refuse(path, "must hold a JSON object")
    accepted = (*_REQUIRED, *_OPTIONAL, "secrets", "variables")
    unknown = sorted(set(content) - set(accepted))
    if unknown:
        raise _refuse(path, f"has the unknown entries {', '.join(unknown)}; accepted are {', '.join(accepted)}")
    for name in _REQUIRED:
        if not isinstance(content.get(name), str) or not content[name]:
            raise _refuse(path, f"needs '{name}', a string that is not empty")
    for name in _OPTIONAL:
        if not isinstance(content.get(name, ""), str):
            raise _refuse(path, f"has '{name}' that is not a string")
    if not _APPLICATION.match(content["application"]):
        raise _refuse(path, f"has the application '{content['application']}', which is no role's name")
    secrets, variables = _role_variables(content, path)
    return BootDocument(
        **{name: content.get(name, "") for name in (*_REQUIRED, *_OPTIONAL)}, secrets=secrets, variables=variables
    )


def is_role_variable(name: str) -> bool:
    """Whether a role may have a variable of that name; Ansible keeps its own apart."""
    return bool(_VARIABLE.match(name))


def _refuse(path: str, reason: str) -> BootDocumentError:
    return BootDocumentError(f"The boot document {path} {reason}.")


def _role_variables(content: dict[str, Any], path: str) -> tuple[dict[str, SecretReference], dict[str, Any]]:
    secrets, variables = content.get("secrets", {}), content.get("variables", {})
    for part, mapping in (("secrets", secrets), ("variables", variables)):
        if not isinstance(mapping, dict):
            raise _refuse(path, f"has '{part}' that is not a mapping of role variables")
        wrong = sorted(name for name in mapping if not is_role_variable(name))
        if wrong:
            raise _refuse(path, f"has under '{part}' what is no role variable's name: {', '.join(wrong)}")
    twice = sorted(set(secrets) & set(variables))
    if twice:
        raise _refuse(path, f"gives {', '.join(twice)} both as a secret and as a variable")
    for name, reference in secrets.items():
        if (
            not isinstance(reference, dict)
            or set(reference) - {"secret", "key"}
            or not isinstance(reference.get("secret"), str)
            or not reference["secret"]
            or not isinstance(reference.get("key", ""), str)
        ):
            raise _refuse(
                path, f"must give for the secret variable '{name}' a mapping with 'secret' and, if wanted, 'key'"
            )
    return {name: SecretReference(**reference) for name, reference in secrets.items()}, variables
