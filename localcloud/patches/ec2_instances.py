"""Instances that are real: console output, restarts, what they let go at their end, and the image behind an AMI.

https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_GetConsoleOutput.html
https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_RebootInstances.html
https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/ec2-instance-recover.html
https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_InstanceNetworkInterfaceSpecification.html
https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_TerminateInstances.html
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from moto.core.responses import ActionResult
from moto.core.utils import utcnow
from moto.ec2.models.instances import Instance, InstanceState
from moto.ec2.responses.general import General
from moto.ec2.utils import Base64EncodedString

from localcloud.patches._tools import wrap


def _no_console(_instance_id: str) -> str:
    return ""


def _no_base(_image: Any) -> str | None:
    return None


# Set by the parts that run the machines and make the images.
console_output: Callable[[str], str] = _no_console
base_reference: Callable[[Any], str | None] = _no_base


def apply() -> None:
    """Replace moto's constant console output, and note reboots."""
    General.get_console_output = _get_console_output
    Instance.reboot = _reboot
    wrap(Instance, "prep_nics", _prep_nics)
    wrap(Instance, "terminate", _terminate)


def image_reference(image: Any) -> str | None:
    """Podman's name of the file system behind an image, or None."""
    return getattr(image, "localcloud_reference", None) or base_reference(image)


def restart_wanted(instance: Any) -> str:
    """What is to be done to a running instance and was not begun yet: ``reboot``, ``recover`` or nothing."""
    return str(getattr(instance, "localcloud_restart", ""))


def restart_begun(instance: Any) -> None:
    """The restart is under way."""
    instance.localcloud_restart = ""


def recover(instance: Any) -> None:
    """Begin again on another host, as EC2 does when one has failed: the same instance, without what was in memory."""
    if instance.state == "running":
        instance.localcloud_restart = "recover"


def _get_console_output(self: General) -> ActionResult:
    """Moto answers with a sample from 2006."""
    instance = self.ec2_backend.get_instance(self._get_param("InstanceId"))
    return ActionResult(
        {
            "InstanceId": instance.id,
            "Timestamp": utcnow(),
            "Output": Base64EncodedString.from_raw_string(console_output(instance.id)),
        }
    )


def _reboot(self: Instance) -> None:
    """Moto starts a stopped instance by a reboot and does nothing to a running one."""
    if self.state == "running":
        self.localcloud_restart = "reboot"


def _prep_nics(
    original: Callable[..., None], self: Instance, nic_spec: list[dict[str, Any]], *arguments: Any, **named: Any
) -> None:
    """An interface made by the launch ends with the instance, unless it was told to stay.

    moto keeps it, so that its security group and subnet can never be deleted.
    """
    stays = {
        int(spec.get("DeviceIndex", 0))
        for spec in nic_spec
        if spec.get("NetworkInterfaceId") or spec.get("DeleteOnTermination") is False
    }
    original(self, nic_spec, *arguments, **named)
    for index, interface in self.nics.items():
        if index not in stays:
            interface.delete_on_termination = True


def _terminate(original: Callable[[Any], InstanceState], self: Any) -> InstanceState:
    """Moto keeps the Elastic IP of an instance that has ended."""
    for address in [address for address in self.ec2_backend.addresses if address.instance is self]:
        self.ec2_backend.disassociate_address(association_id=address.association_id)
    return original(self)
