# Copyright: stackyard contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
name: cyclonedx
version_added: 0.1.0
short_description: A software list as a CycloneDX document
description:
  - Makes what M(stackyard.aws.software_info) tells of a machine into a CycloneDX 1.6 document in JSON, with a package
    URL for each piece, by which scanners of vulnerabilities know it.
requirements:
  - cyclonedx-python-lib on the controller
options:
  _input:
    description: What the module returned.
    type: dict
    required: true
  image:
    description: Name of the image that is made of the machine.
    type: str
    required: true
  version:
    description: Version of the image's application.
    type: str
    required: true
author:
  - stackyard contributors (@stackyard)
"""

EXAMPLES = r"""
- name: Write the software list
  ansible.builtin.copy:
    content: "{{ software | stackyard.aws.cyclonedx('stackyard-wordpress-7.0-debian-13-amd64', '7.0') }}"
    dest: wordpress.cdx.json
    mode: "0644"
"""

RETURN = r"""
_value:
  description: The document.
  type: str
"""

import contextlib
from collections.abc import Callable, Mapping
from typing import Any

from ansible.errors import AnsibleFilterError

with contextlib.suppress(ImportError):  # said in words when the filter is used
    from cyclonedx.model.bom import Bom
    from cyclonedx.model.component import Component, ComponentType
    from cyclonedx.output import make_outputter
    from cyclonedx.schema import OutputFormat, SchemaVersion
    from packageurl import PackageURL


def package_url(entry: Mapping[str, str], distribution: Mapping[str, str]) -> PackageURL:
    """Return the package URL of a piece of software."""
    kind, name, version = entry["kind"], entry["name"], entry["version"]
    if kind == "deb":
        qualifiers = {"arch": entry["architecture"], "distro": f"{distribution['id']}-{distribution['version']}"}
        if (entry["source"], entry["source_version"]) != (name, version):
            qualifiers["upstream"] = f"{entry['source']}@{entry['source_version']}"
        return PackageURL("deb", distribution["id"], name, version, qualifiers)
    if kind in ("pypi", "npm"):
        scope, _, bare = name.rpartition("/")
        return PackageURL(kind, scope or None, bare, version)
    # The others have no type of their own in the specification of package URLs.
    return PackageURL("generic", kind if kind != name else None, name, version)


def component(entry: Mapping[str, str], distribution: Mapping[str, str]) -> Component:
    """Return a piece of software as the document names it."""
    url = package_url(entry, distribution)
    application = entry["kind"] == entry["name"]
    name, version = entry["name"], entry["version"]
    return Component(
        type=ComponentType.APPLICATION if application else ComponentType.LIBRARY,
        name=name,
        version=version,
        purl=url,
        bom_ref=url.to_string(),
        # The national vulnerability database knows an application by nothing else.
        cpe=f"cpe:2.3:a:{name}:{name}:{version}:*:*:*:*:*:*:*" if application else None,
    )


def cyclonedx(facts: Mapping[str, Any], image: str, version: str) -> str:
    """Return the CycloneDX document of an image."""
    if "Bom" not in globals():
        raise AnsibleFilterError(
            "A software list needs cyclonedx-python-lib beside Ansible: pip install cyclonedx-python-lib."
        )
    document = Bom()
    document.metadata.component = Component(
        type=ComponentType.OPERATING_SYSTEM, name=image, version=version, bom_ref=image
    )
    document.components.update(component(entry, facts["distribution"]) for entry in facts["software"])
    document.register_dependency(document.metadata.component, document.components)
    return make_outputter(document, OutputFormat.JSON, SchemaVersion.V1_6).output_as_string(indent=2)


class FilterModule:
    """The filter."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        return {"cyclonedx": cyclonedx}
