# Copyright: stackyard contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Which directory a restore of EFS has made."""

from __future__ import annotations

from ansible.errors import AnsibleFilterError

DOCUMENTATION = r"""
name: restored_directory
short_description: Pick the directory that a restore of EFS has made
version_added: 0.1.0
description:
  - AWS Backup restores EFS into a directory C(aws-backup-restore_<time>) in the root of the file system, and tells its
    name nowhere. This picks it from a listing by the time of the job.
  - It is an error when there is none, or when there are several because two restores were made at the same time.
options:
  _input:
    description: Names or paths of what is in the root of the file system.
    type: list
    elements: str
    required: true
  restore:
    description: What M(stackyard.aws.efs_restore) returned.
    type: dict
    required: true
author: stackyard contributors
"""

EXAMPLES = r"""
directory: "{{ found.files | map(attribute='path') | stackyard.aws.restored_directory(restore) }}"
"""

RETURN = r"""
_value:
  description: The one that the restore made, as it was given.
  type: str
  sample: /mnt/home/aws-backup-restore_2026-01-01T05-00-00-000Z
"""


def restored_directory(paths, restore):
    """Return the path whose last part is the name of a directory that was made during the restore."""
    first, last = restore["directory_not_before"], restore["directory_not_after"]
    found = [path for path in paths if first and first <= path.rstrip("/").rpartition("/")[2] <= last]
    if len(found) != 1:
        raise AnsibleFilterError(
            f"restored_directory: one directory from {first} to {last} is expected, and there "
            f"{'are ' + ', '.join(sorted(found)) if found else 'is none'}."
        )
    return found[0]


class FilterModule:
    """The filter."""

    def filters(self):
        return {"restored_directory": restored_directory}
