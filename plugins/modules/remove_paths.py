#!/usr/bin/python
# Copyright: stackyard contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: remove_paths
version_added: 0.1.0
short_description: Remove files and folders by wildcard, in one call
description:
  - Removes what an image must not carry. M(ansible.builtin.file) takes no wildcards and one path a call, which over SSH
    makes minutes out of a clean-up.
  - Links are removed, never followed. A mount point, and what is mounted there, is left alone.
options:
  paths:
    description: Files and folders to remove with all that is in them.
    type: list
    elements: str
    default: []
  emptied:
    description: Folders whose whole content is removed; the folders stay, with owner and mode.
    type: list
    elements: str
    default: []
  files_of:
    description: Folders from which every file is removed, at any depth; the folders in them stay.
    type: list
    elements: str
    default: []
  kept:
    description: What is left alone wherever it is met.
    type: list
    elements: str
    default: []
notes:
  - Paths are absolute and at least two folders deep, so that V(/) or V(/etc) cannot be removed by a slip. The wildcards
    are those of Python's C(glob), where V(*) stands for names that begin with a dot only if the pattern says so.
attributes:
  check_mode:
    description: Can run in check mode and returns what it would remove.
    support: full
  diff_mode:
    description: Shows what is removed.
    support: full
author:
  - stackyard contributors (@stackyard)
"""

EXAMPLES = r"""
- name: Remove host keys, caches and logs
  stackyard.aws.remove_paths:
    paths: [/etc/ssh/ssh_host_*]
    emptied: [/var/lib/apt/lists]
    files_of: [/var/log]
"""

RETURN = r"""
removed:
  description: What was removed, or would be in check mode; a folder stands for all that was in it.
  returned: always
  type: list
  elements: str
  sample: [/etc/ssh/ssh_host_ed25519_key]
"""

import fnmatch
import glob
import os
import shutil
from collections.abc import Iterator, Sequence

from ansible.module_utils.basic import AnsibleModule


def refusal(option: str, pattern: str) -> str:
    """Return why a pattern is not accepted, or nothing."""
    deep = len([part for part in pattern.split("/") if part]) >= 2 or option != "paths"
    if pattern.startswith("/") and pattern.strip("/") and ".." not in pattern.split("/") and deep:
        return ""
    return f"{option} has '{pattern}'; accepted are absolute paths without '..', under paths at least two folders deep."


class Finder:
    """Finds what is to go.

    Args:
        kept: Patterns of what is left alone.
    """

    def __init__(self, kept: Sequence[str]) -> None:
        self._kept = kept

    def spared(self, path: str) -> bool:
        """Whether a path must stay."""
        return os.path.ismount(path) or any(fnmatch.fnmatch(path, pattern) for pattern in self._kept)

    def whole(self, path: str) -> Iterator[str]:
        """Yield what removes a path with all below it: the path itself, or its parts when something below stays."""
        if self.spared(path):
            return
        if not os.path.isdir(path) or os.path.islink(path):
            yield path
            return
        below = list(os.scandir(path))
        found = [item for entry in below for item in self.whole(entry.path)]
        if {entry.path for entry in below} <= set(found):
            yield path
        else:
            yield from found

    def content(self, folder: str) -> Iterator[str]:
        """Yield what empties a folder."""
        for entry in os.scandir(folder):
            yield from self.whole(entry.path)

    def files(self, folder: str) -> Iterator[str]:
        """Yield every file below a folder."""
        for entry in os.scandir(folder):
            if self.spared(entry.path):
                continue
            if entry.is_dir(follow_symlinks=False):
                yield from self.files(entry.path)
            else:
                yield entry.path


def find(parameters: dict[str, list[str]]) -> list[str]:
    """Return everything that the parameters ask to remove, in order and without doubles."""
    finder = Finder(parameters["kept"])
    found: set[str] = set()
    for pattern in parameters["paths"]:
        for path in glob.glob(pattern):
            found.update(finder.whole(path))
    for option, search in (("emptied", finder.content), ("files_of", finder.files)):
        for pattern in parameters[option]:
            for folder in glob.glob(pattern):
                if os.path.isdir(folder) and not os.path.islink(folder):
                    found.update(search(folder))
    return sorted(found)


def remove(path: str) -> None:
    """Remove a file, a link, or a folder with all below it."""
    try:
        if os.path.isdir(path) and not os.path.islink(path):
            shutil.rmtree(path)
        else:
            os.unlink(path)
    except FileNotFoundError:
        # Its owner was faster: a cache that expired, a folder that went with its parent.
        pass


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            name: {"type": "list", "elements": "str", "default": []}
            for name in ("paths", "emptied", "files_of", "kept")
        },
        supports_check_mode=True,
    )
    for option in ("paths", "emptied", "files_of", "kept"):
        for pattern in module.params[option]:
            if message := refusal(option, pattern):
                module.fail_json(msg=message)

    removed = find(module.params)
    if not module.check_mode:
        for path in removed:
            try:
                remove(path)
            except OSError as error:
                module.fail_json(msg=f"{path} cannot be removed: {error.strerror or error}", removed=removed)
    lines = "".join(f"{path}\n" for path in removed)
    module.exit_json(changed=bool(removed), removed=removed, diff={"before": lines, "after": ""})


if __name__ == "__main__":
    main()
