# Copyright: stackyard contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
name: manifest_image
version_added: 0.1.0
short_description: The image that Packer built last
description:
  - Returns the id of the image that the last run of Packer has made in a region, from its manifest.
options:
  _input:
    description: The manifest, parsed.
    type: dict
    required: true
  region:
    description: AWS region; a build may have copied its image to several.
    type: str
    required: true
author:
  - stackyard contributors (@stackyard)
"""

EXAMPLES = r"""
- name: Say which image was built last
  ansible.builtin.debug:
    msg: "{{ lookup('ansible.builtin.file', manifest) | from_json | stackyard.aws.manifest_image('us-east-1') }}"
  vars:
    manifest: packer/manifests/wordpress.json
"""

RETURN = r"""
_value:
  description: The id of the image.
  type: str
  sample: ami-0123456789abcdef0
"""

from collections.abc import Callable, Mapping
from typing import Any

from ansible.errors import AnsibleFilterError


def manifest_image(manifest: Mapping[str, Any], region: str) -> str:
    """Return the id of the image that the last build made in a region."""
    builds = manifest.get("builds") or []
    if not builds:
        raise AnsibleFilterError("Packer's manifest tells of no build.")
    last = next(
        (build for build in builds if build.get("packer_run_uuid") == manifest.get("last_run_uuid")), builds[-1]
    )
    images = dict(part.split(":", 1) for part in str(last.get("artifact_id", "")).split(",") if ":" in part)
    if region not in images:
        raise AnsibleFilterError(
            f"Packer's last build made no image in {region}, only in {', '.join(sorted(images)) or 'no region'}: "
            "build there, or have it copied by copy_to_regions."
        )
    return images[region]


class FilterModule:
    """The filter."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        return {"manifest_image": manifest_image}
