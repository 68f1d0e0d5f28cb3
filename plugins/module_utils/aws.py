# Copyright: stackyard contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""How the modules of this collection call AWS: retries, pages, tags, errors as sentences.

Built on amazon.aws: connection options, back-off and the comparison of tags are that
collection's. Left out: everything that belongs to one service.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Mapping
from typing import Any

with contextlib.suppress(ImportError):  # AnsibleAWSModule refuses to start without it
    import botocore.exceptions

from ansible_collections.amazon.aws.plugins.module_utils.retries import AWSRetry
from ansible_collections.amazon.aws.plugins.module_utils.tagging import compare_aws_tags
from ansible_collections.stackyard.aws.plugins.module_utils.plan import Plan, WaitTimeout


class Api:
    """A boto3 client whose every call is repeated, with back-off, when AWS throttles or is briefly unavailable.

    Args:
        module: The Ansible module, for region, endpoint and credentials.
        service: boto3's name of the service.
        retry_codes: Further error codes to repeat: what AWS answers until a resource
            that was just made is known everywhere.
    """

    def __init__(self, module: Any, service: str, retry_codes: Iterable[str] = ()) -> None:
        self._client = module.client(service)
        self._retry = AWSRetry.jittered_backoff(catch_extra_error_codes=list(retry_codes))

    def __getattr__(self, operation: str) -> Callable[..., Any]:
        return self._retry(getattr(self._client, operation))

    def pages(self, operation: str, key: str, **arguments: Any) -> list[Any]:
        """Return the whole list `key` of a paginated operation."""
        paginator = self._client.get_paginator(operation)
        return self._retry(lambda: paginator.paginate(**arguments).build_full_result())().get(key, [])


def tag_changes(
    plan: Plan,
    kind: str,
    name: str,
    *,
    current: Mapping[str, str],
    wanted: Mapping[str, str] | None,
    purge: bool,
) -> tuple[dict[str, str], list[str]]:
    """Note a change of tags in the plan.

    Returns:
        The tags to set and the keys to remove, both empty in check mode or when nothing
        differs. AWS's own `aws:` tags are left alone.
    """
    if wanted is None:
        return {}, []
    to_set, to_remove = compare_aws_tags(current, wanted, purge)
    if not (to_set or to_remove):
        return {}, []
    after = {key: value for key, value in {**current, **to_set}.items() if key not in to_remove}
    if plan.update("tags of " + kind, name, dict(current), after):
        return to_set, to_remove
    return {}, []


def differences(wanted: Mapping[str, Any], found: Mapping[str, Any]) -> dict[str, Any]:
    """Return the part of `wanted` that `found` does not hold; what is wanted as None is left alone."""
    return {key: value for key, value in wanted.items() if value is not None and found.get(key) != value}


def without_none(mapping: Mapping[str, Any]) -> dict[str, Any]:
    """Return a copy of a mapping without the keys that are None, in its mappings too."""
    kept = {key: without_none(value) if isinstance(value, Mapping) else value for key, value in mapping.items()}
    return {key: value for key, value in kept.items() if value is not None}


def error_code(error: BaseException) -> str:
    """Return the code of a botocore ClientError, an empty string for any other error."""
    return getattr(error, "response", {}).get("Error", {}).get("Code", "")


def found_or_none(call: Callable[..., Any], missing_codes: Iterable[str], **arguments: Any) -> Any:
    """Return the answer of a call, None when its error is one of `missing_codes`."""
    try:
        return call(**arguments)
    except botocore.exceptions.ClientError as error:
        if error_code(error) in missing_codes:
            return None
        raise


def run(module: Any, work: Callable[[], dict[str, Any]]) -> None:
    """Do the module's work and turn an error of the API, or a deadline that passed, into the module's failure."""
    try:
        module.exit_json(**work())
    except WaitTimeout as error:
        module.fail_json(msg=str(error))
    except (botocore.exceptions.ClientError, botocore.exceptions.BotoCoreError) as error:
        module.fail_json_aws(error)
