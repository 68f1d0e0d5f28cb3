"""What an image is told after it was made: deprecation, protection from deregistration, IMDSv2 by default.

moto knows none of the actions, and ignores ``ImdsSupport`` where it knows the action. None of it changes what the
image does here, except that an image under protection cannot be deregistered.

https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_EnableImageDeprecation.html
https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_EnableImageDeregistrationProtection.html
https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_ModifyImageAttribute.html
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

from moto.core.responses import ActionResult
from moto.ec2.exceptions import EC2ClientError
from moto.ec2.models.amis import Ami, AmiBackend
from moto.ec2.responses.amis import AmisResponse

from localcloud.patches._tools import add, wrap

PROTECTED = "enabled-without-cooldown"
UNPROTECTED = "disabled"


class OperationNotPermitted(EC2ClientError):  # noqa: N818 (named as the API's error code)
    """The image is protected."""

    def __init__(self, image_id: str) -> None:
        super().__init__(
            "OperationNotPermitted",
            f"The image {image_id} is protected from deregistration. Disable the protection and try again.",
        )


def apply() -> None:
    """Add the actions."""
    add(AmisResponse, "enable_image_deprecation", _enable_deprecation)
    add(AmisResponse, "disable_image_deprecation", _disable_deprecation)
    add(AmisResponse, "enable_image_deregistration_protection", _enable_protection)
    add(AmisResponse, "disable_image_deregistration_protection", _disable_protection)
    add(Ami, "deprecation_time", None)
    add(Ami, "deregistration_protection", UNPROTECTED)
    add(Ami, "imds_support", None)
    wrap(AmisResponse, "modify_image_attribute", _modify_attribute)
    wrap(AmiBackend, "deregister_image", _deregister)


def _image(response: AmisResponse) -> Ami:
    image: Ami = response.ec2_backend.describe_images(ami_ids=[response._get_param("ImageId")])[0]
    return image


def _enable_deprecation(self: AmisResponse) -> ActionResult:
    self.error_on_dryrun()
    moment = self._get_param("DeprecateAt")
    if isinstance(moment, str):
        moment = datetime.fromisoformat(moment)
    # EC2 keeps minutes.
    _image(self).deprecation_time = f"{moment:%Y-%m-%dT%H:%M}:00.000Z"
    return ActionResult({"Return": True})


def _disable_deprecation(self: AmisResponse) -> ActionResult:
    self.error_on_dryrun()
    _image(self).deprecation_time = None
    return ActionResult({"Return": True})


def _enable_protection(self: AmisResponse) -> ActionResult:
    self.error_on_dryrun()
    with_cooldown = self._get_bool_param("WithCooldown", False)
    _image(self).deregistration_protection = "enabled-with-cooldown" if with_cooldown else PROTECTED
    return ActionResult({"Return": "true"})


def _disable_protection(self: AmisResponse) -> ActionResult:
    self.error_on_dryrun()
    _image(self).deregistration_protection = UNPROTECTED
    return ActionResult({"Return": "true"})


def _modify_attribute(original: Callable[..., Any], self: AmisResponse) -> Any:
    result = original(self)
    if value := self._get_param("ImdsSupport", {}).get("Value"):
        _image(self).imds_support = value
    return result


def _deregister(original: Callable[..., Any], self: AmiBackend, ami_id: str) -> Any:
    image = self.amis.get(ami_id)
    if image is not None and image.deregistration_protection != UNPROTECTED:
        raise OperationNotPermitted(ami_id)
    return original(self, ami_id)
