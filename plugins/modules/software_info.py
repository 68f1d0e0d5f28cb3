#!/usr/bin/python
# Copyright: stackyard contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: software_info
version_added: 0.1.0
short_description: Tell what software a machine carries
description:
  - Asks dpkg for the packages of the system, and looks below some folders for what no package brought there. Python
    packages (C(*.dist-info)), Node packages (C(node_modules)), Ansible collections, WordPress with its plug-ins and
    themes, Etherpad with its plug-ins, OpenJDK from an archive, and the locked plug-ins of Jenkins are told from the
    files that they describe themselves in.
  - M(ansible.builtin.package_facts) knows the packages of the system alone, and not the sources that they were built
    from, by which Debian's security tracker names them.
options:
  folders:
    description: Folders to look through, links not followed.
    type: list
    elements: str
    default: [/opt, /srv, /usr/local]
attributes:
  check_mode:
    description: Changes nothing.
    support: full
author:
  - stackyard contributors (@stackyard)
"""

EXAMPLES = r"""
- name: List the software
  stackyard.aws.software_info:
  register: software
"""

RETURN = r"""
distribution:
  description: Name and release of the system.
  type: dict
  returned: always
  sample: {id: debian, version: "13"}
software:
  description: Each piece once, sorted. V(deb) has the architecture and the source package too.
  type: list
  elements: dict
  returned: always
  sample: [{kind: pypi, name: ansible-core, version: 2.21.5}]
"""

import json
import os
import re
from collections.abc import Iterator
from email.parser import HeaderParser
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule

DEB_FIELDS = ("name", "version", "architecture", "source", "source_version")
DEB_FORMAT = "${db:Status-Status}\t${Package}\t${Version}\t${Architecture}\t${source:Package}\t${source:Version}\n"
# As Etherpad calls itself among the packages of Node.
ETHERPAD = "ep_etherpad-lite"
# WordPress itself reads no more of a file for its header.
HEADER_BYTES = 8192


def debian_packages(module: AnsibleModule) -> Iterator[dict[str, str]]:
    """Yield the installed packages of the system."""
    _status, output, _errors = module.run_command(["dpkg-query", "--show", f"--showformat={DEB_FORMAT}"], check_rc=True)
    for line in output.splitlines():
        status, *values = line.split("\t")
        if status == "installed":
            yield {"kind": "deb", **dict(zip(DEB_FIELDS, values, strict=True))}


def described(folder: Path, names: list[str], files: list[str]) -> Iterator[dict[str, str]]:
    """Yield what a folder tells of itself.

    Args:
        folder: The folder.
        names: Folders in it.
        files: Files in it.
    """
    if folder.name.endswith(".dist-info") and "METADATA" in files:
        headers = HeaderParser().parsestr(text(folder / "METADATA"))
        yield {"kind": "pypi", "name": str(headers["Name"]), "version": str(headers["Version"])}
    # What has an ep.json is Etherpad or a plug-in of it, wherever it lies.
    if "package.json" in files and (
        "ep.json" in files or "node_modules" in (folder.parent.name, folder.parent.parent.name)
    ):
        found = json.loads(text(folder / "package.json"))
        if found.get("name") and found.get("version"):
            kind, name = ("etherpad", "etherpad") if found["name"] == ETHERPAD else ("npm", found["name"])
            yield {"kind": kind, "name": name, "version": found["version"]}
    if folder.parent.parent.name == "ansible_collections":
        yield from collection(folder, files)
    if "wp-includes" in names and "wp-content" in names:
        yield from wordpress(folder)
    if {"lock.json", "wanted.json"} <= set(files) and "plugins" in names:
        for plugin in json.loads(text(folder / "lock.json")):
            yield {"kind": "jenkins-plugin", "name": plugin["name"], "version": plugin["version"]}
    if "release" in files and {"bin", "lib"} <= set(names):
        version = re.search(r'^JAVA_RUNTIME_VERSION="([^"]+)"', text(folder / "release"), re.M)
        if version:
            yield {"kind": "openjdk", "name": "openjdk", "version": version.group(1)}


def collection(folder: Path, files: list[str]) -> Iterator[dict[str, str]]:
    """Yield an Ansible collection: an installed one has a manifest, one from a clone its build's description."""
    if "MANIFEST.json" in files:
        info = json.loads(text(folder / "MANIFEST.json"))["collection_info"]
    elif "galaxy.yml" in files:
        info = dict(re.findall(r"^(namespace|name|version):\s*['\"]?([^'\"\s#]+)", text(folder / "galaxy.yml"), re.M))
    else:
        return
    yield {
        "kind": "ansible-collection",
        "name": f"{info['namespace']}.{info['name']}",
        "version": info.get("version") or "unknown",
    }


def wordpress(root: Path) -> Iterator[dict[str, str]]:
    """Yield WordPress, its plug-ins and its themes, as their headers name them."""
    version = re.search(r"\$wp_version\s*=\s*'([^']+)'", text(root / "wp-includes/version.php"))
    yield {"kind": "wordpress", "name": "wordpress", "version": version.group(1) if version else "unknown"}
    content = root / "wp-content"
    for kind, header, candidates in (
        ("wordpress-plugin", "Plugin Name", [*content.glob("plugins/*.php"), *content.glob("plugins/*/*.php")]),
        ("wordpress-plugin", "Plugin Name", [*content.glob("mu-plugins/*.php")]),
        ("wordpress-theme", "Theme Name", [*content.glob("themes/*/style.css")]),
    ):
        for path in candidates:
            headers = text(path)[:HEADER_BYTES]
            if header_value(headers, header):
                # Its folder names it for WordPress and for its directory; a single file is its own name.
                own_folder = path.parent.parent.parent == content
                name = path.parent.name if own_folder else path.stem
                yield {"kind": kind, "name": name, "version": header_value(headers, "Version") or "unknown"}


def header_value(headers: str, name: str) -> str:
    """Return a field of a WordPress file's header, empty if it has none."""
    found = re.search(rf"^(?:<\?php)?[ \t/*#@]*{name}:[ \t]*(.+?)[ \t]*(?:\*/)?$", headers, re.M)
    return found.group(1) if found else ""


def text(path: Path) -> str:
    """Return a file's text; what is no UTF-8 in it is no part of a name."""
    return path.read_text(encoding="utf-8", errors="replace")


def main() -> None:
    module = AnsibleModule(
        argument_spec={"folders": {"type": "list", "elements": "str", "default": ["/opt", "/srv", "/usr/local"]}},
        supports_check_mode=True,
    )
    found = list(debian_packages(module))
    for start in module.params["folders"]:
        for folder, names, files in os.walk(start):
            try:
                found += described(Path(folder), names, files)
            except (OSError, ValueError, KeyError) as error:
                module.fail_json(msg=f"{folder} does not say what software it is: {error!r}.")
    once = {tuple(sorted(entry.items())): entry for entry in found}
    software = sorted(once.values(), key=lambda entry: (entry["kind"], entry["name"], entry["version"]))
    release = dict(re.findall(r'^(ID|VERSION_ID)="?([^"\n]*)"?$', text(Path("/etc/os-release")), re.M))
    module.exit_json(
        changed=False,
        software=software,
        distribution={"id": release.get("ID", "linux"), "version": release.get("VERSION_ID", "")},
    )


if __name__ == "__main__":
    main()
