# Copyright: stackyard contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The image's record: what a machine's image was made with, free of secrets.

Written by playbooks/image.yml. Standard library only, as boot_document, by whose rule variables are named.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ansible_collections.stackyard.aws.plugins.module_utils import boot_document

DEFAULT_PATH = "/etc/stackyard/image.json"


class ImageRecordError(Exception):
    """The record cannot be read or is not of its form; the text says what is wrong in a sentence."""


def read(path: str = DEFAULT_PATH) -> dict[str, Any]:
    """Return the role variables that the image was made with; none where it has no record.

    Raises:
        ImageRecordError: The record cannot be read or is not of its form.
    """
    try:
        content = json.loads(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise ImageRecordError(f"The image's record {path} cannot be read: {error}.") from None
    except ValueError as error:
        raise ImageRecordError(f"The image's record {path} is not JSON: {error}.") from None
    variables = content.get("variables") if isinstance(content, dict) else None
    if not isinstance(variables, dict):
        raise ImageRecordError(f"The image's record {path} must hold a JSON object with the mapping 'variables'.")
    wrong = sorted(name for name in variables if not boot_document.is_role_variable(name))
    if wrong:
        raise ImageRecordError(f"The image's record {path} holds what is no role variable: {', '.join(wrong)}.")
    return variables
