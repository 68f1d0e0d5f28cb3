"""Secrets Manager: what a secret in its deletion window refuses."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from moto.secretsmanager.exceptions import InvalidRequestException
from moto.secretsmanager.models import SecretsManagerBackend

from localcloud.patches._tools import wrap


def apply() -> None:
    """Apply all work-rounds of this service."""
    wrap(SecretsManagerBackend, "create_secret", _create)
    wrap(SecretsManagerBackend, "put_secret_value", _put_value)


def _create(original: Callable[..., Any], self: SecretsManagerBackend, name: str, *arguments: Any, **named: Any) -> Any:
    """The name of a secret in its deletion window is taken, and the error says why.

    https://docs.aws.amazon.com/secretsmanager/latest/apireference/API_CreateSecret.html
    """
    if name in self.secrets and self.secrets[name].is_deleted():
        raise InvalidRequestException(
            "You can't create this secret because a secret with this name is already scheduled for deletion."
        )
    return original(self, name, *arguments, **named)


def _put_value(
    original: Callable[..., Any], self: SecretsManagerBackend, secret_id: str, *arguments: Any, **named: Any
) -> Any:
    """A secret in its deletion window takes no new value.

    https://docs.aws.amazon.com/secretsmanager/latest/apireference/API_PutSecretValue.html
    """
    if secret_id in self.secrets and self.secrets[secret_id].is_deleted():
        raise InvalidRequestException(
            "You can't perform this operation on the secret because it was marked for deletion."
        )
    return original(self, secret_id, *arguments, **named)
