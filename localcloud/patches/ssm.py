"""Systems Manager: Debian's public image parameters."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from moto.core.utils import utcnow
from moto.ec2.models import ec2_backends
from moto.ssm.models import Parameter, SimpleSystemManagerBackend

from localcloud.patches._tools import wrap

# https://wiki.debian.org/Cloud/AmazonEC2Image
DEBIAN = re.compile(r"/aws/service/debian/(?:release|daily)/([\w.-]+)/latest/(amd64|arm64)")
DEBIAN_OWNER = "136693071363"


def apply() -> None:
    """Apply all work-rounds of this service."""
    wrap(SimpleSystemManagerBackend, "get_parameter", _get_parameter)
    wrap(SimpleSystemManagerBackend, "get_parameters", _get_parameters)


def _get_parameter(original: Callable[..., Any], self: SimpleSystemManagerBackend, name: str) -> Any:
    """Debian's public parameters name its newest image of a release.

    https://docs.aws.amazon.com/systems-manager/latest/userguide/parameter-store-public-parameters.html
    """
    found = original(self, name)
    match = DEBIAN.fullmatch(name)
    if found is not None or match is None:
        return found
    prefix = f"debian-{match.group(1)}-{match.group(2)}-"
    images = [
        image
        for image in ec2_backends[self.account_id][self.region_name].amis.values()
        if image.owner_id == DEBIAN_OWNER and (image.name or "").startswith(prefix)
    ]
    if not images:
        return None
    return _parameter(self, name, max(images, key=lambda image: str(image.creation_date)).id)


def _get_parameters(original: Callable[..., Any], self: SimpleSystemManagerBackend, names: list[str]) -> Any:
    """The same for several names at once."""
    found = original(self, names)
    for name in names:
        if name not in found and DEBIAN.fullmatch(name) and (parameter := self.get_parameter(name)):
            found[name] = parameter
    return found


def _parameter(self: SimpleSystemManagerBackend, name: str, image_id: str) -> Any:
    parameter: Any = Parameter
    return parameter(
        account_id=self.account_id, name=name, value=image_id, parameter_type="String", description="",
        allowed_pattern=None, keyid=None, last_modified_date=utcnow(), version=1, data_type="aws:ec2:image",
    )  # fmt: skip
