#!/usr/bin/python
# Copyright: stackyard contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: etherpad_pads_compact
version_added: 0.1.0
short_description: Throw away the history of Etherpad's old pads
description:
  - Etherpad keeps every edit for ever. This gives room back by throwing away all but the last revisions of pads that
    nobody has edited for a while. Texts stay as they are; what is lost is the way to them in the timeslider, and who
    wrote what before.
  - Uses C(compactPad) of Etherpad's HTTP API, which came with version 1.3.1 of that API in Etherpad's line 3. Earlier
    versions cannot do it and are refused.
  - Runs on the machine of Etherpad, so that the key does not leave it.
options:
  url:
    description: Where Etherpad listens on this machine.
    type: str
    default: http://127.0.0.1:9001
  api_key_file:
    description: File with the key of the API.
    type: path
    default: /etc/etherpad/api-key
  older_than_days:
    description: Days, from 1, since the last edit after which a pad is old.
    type: int
    required: true
  keep_revisions:
    description: Revisions, from 1, that are kept of an old pad. One that has no more is left alone.
    type: int
    default: 100
attributes:
  check_mode:
    description: Can run in check mode and returns what it would compact.
    support: full
  diff_mode:
    description: There is nothing to show of a pad but its name.
    support: none
author:
  - stackyard contributors (@stackyard)
"""

EXAMPLES = r"""
- name: Keep the last hundred edits of pads that nobody has edited for a year
  stackyard.aws.etherpad_pads_compact:
    older_than_days: 365
"""

RETURN = r"""
compacted:
  description: Pads whose history was thrown away, or would be in check mode.
  returned: always
  type: list
  elements: str
  sample: [minutes-of-2024]
refused:
  description: Pads that Etherpad has not compacted, each with what it said. The module fails if there are any.
  returned: always
  type: dict
  sample: {}
looked_at:
  description: How many pads there are.
  returned: always
  type: int
  sample: 120
"""

import json
import time
from pathlib import Path
from urllib.error import URLError
from urllib.parse import urlencode

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.urls import open_url

NEEDED = (1, 3, 1)
SECONDS = 120


class ApiError(Exception):
    """What Etherpad answered instead of data, or that it did not answer."""


class Api:
    """Etherpad's HTTP API.

    Args:
        url: Where Etherpad listens.
        key: The API's key.
    """

    def __init__(self, url: str, key: str) -> None:
        self._url = url.rstrip("/")
        self._key = key
        self.version: str = self._read(f"{self._url}/api")["currentVersion"]

    def call(self, function: str, **given: object) -> dict:
        """Call a function; returns its data.

        Raises:
            ApiError: Etherpad refused it, or did not answer.
        """
        answer = self._read(f"{self._url}/api/{self.version}/{function}", urlencode({"apikey": self._key, **given}))
        if answer["code"] != 0:
            raise ApiError(answer["message"])
        return answer["data"] or {}

    def _read(self, address: str, body: str | None = None) -> dict:
        try:
            # The key goes with the body: addresses are logged.
            answer = open_url(address, data=body, method="POST" if body else "GET", timeout=SECONDS, use_proxy=False)
            return json.loads(answer.read())
        except (URLError, OSError, ValueError) as error:
            raise ApiError(f"Etherpad at {self._url} does not answer: {error}") from error


def is_old(api: Api, pad: str, before: float) -> bool:
    """Tell whether nobody has edited a pad since a time in seconds since 1970."""
    return api.call("getLastEdited", padID=pad)["lastEdited"] / 1000 < before


def run(module: AnsibleModule) -> dict:
    """Compact what is old; returns the module's result."""
    keep, days = module.params["keep_revisions"], module.params["older_than_days"]
    for name, value in (("older_than_days", days), ("keep_revisions", keep)):
        if value < 1:
            module.fail_json(msg=f"{name} is {value}: a number from 1 is accepted.")
    try:
        key = Path(module.params["api_key_file"]).read_text(encoding="utf-8").strip()
    except OSError as error:
        module.fail_json(msg=f"api_key_file cannot be read: {error}. Run this on a machine of Etherpad, as root.")
    api = Api(module.params["url"], key)
    if tuple(int(part) for part in api.version.split(".")) < NEEDED:
        module.fail_json(
            msg=f"This Etherpad has version {api.version} of the API and cannot throw history away: one with version"
            f" {'.'.join(map(str, NEEDED))} or later is accepted, which the line 3 of Etherpad has."
        )
    pads = api.call("listAllPads")["padIDs"]
    compacted, refused, before = [], {}, time.time() - days * 86400
    for pad in sorted(pads):
        try:
            if not is_old(api, pad, before) or api.call("getRevisionsCount", padID=pad)["revisions"] <= keep:
                continue
            if not module.check_mode:
                api.call("compactPad", padID=pad, keepRevisions=keep)
            compacted.append(pad)
        except ApiError as error:
            refused[pad] = str(error)
    return {"changed": bool(compacted), "compacted": compacted, "refused": refused, "looked_at": len(pads)}


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "url": {"type": "str", "default": "http://127.0.0.1:9001"},
            "api_key_file": {"type": "path", "default": "/etc/etherpad/api-key", "no_log": False},
            "older_than_days": {"type": "int", "required": True},
            "keep_revisions": {"type": "int", "default": 100},
        },
        supports_check_mode=True,
    )
    try:
        result = run(module)
    except ApiError as error:
        module.fail_json(msg=str(error))
    if result["refused"]:
        module.fail_json(msg=f"Etherpad has not compacted {len(result['refused'])} pads.", **result)
    module.exit_json(**result)


if __name__ == "__main__":
    main()
