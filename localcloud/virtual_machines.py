"""Instances with a kernel of their own, for those that ask: QEMU in place of a container's systemd.

An instance that is launched with the tag ``localcloud:machine`` = ``qemu`` boots its image by UEFI from a disk of its
own, looks like EC2 to cloud-init, and has a kernel that speaks NFS. Everything else about it is as with the others (see
``machines``): its container is QEMU's, has the machine's place in the network, and its output is the serial console.
Where KVM cannot be used, QEMU emulates the processor, and a boot takes minutes rather than seconds.

Left out: other processors than amd64, CreateImage, and looking inside with podman: use SSH, or the console's output.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from localcloud import base_images
from localcloud.service_images import ServiceImage, ServiceImageError

if TYPE_CHECKING:
    from localcloud.machines import Machine
    from localcloud.network import Network

TAG, VALUE = "localcloud:machine", "qemu"
LABEL = "localcloud.virtual"
IMAGE = ServiceImage(
    "localhost/localcloud-virtual-machine",
    (
        "dnsmasq-base", "dosfstools", "fdisk", "linux-image-cloud-amd64", "mtools", "ovmf", "qemu-system-x86",
        "systemd-boot-efi", "zstd",
    ),
)  # fmt: skip
AGENT = Path(__file__).with_name("virtual_machine_agent.py")
AGENT_PATH = "/usr/local/lib/virtual_machine_agent.py"


def wanted(instance: Any) -> bool:
    """Whether an instance is to have a kernel of its own."""
    return any(tag["key"] == TAG and tag["value"] == VALUE for tag in instance.get_tags())


def options(machine: Machine, network: Network, reference: str, folder: Path) -> list[str]:
    """What ``podman run`` is told beyond what every machine needs; the image and the command come last.

    Args:
        machine: The instance.
        network: The network that it is in.
        reference: Its image.
        folder: Files for it, see ``machines``; ``machine.json`` is added.

    Raises:
        ServiceImageError: There can be none on this host.
    """
    if base_images.architecture() != "amd64":
        raise ServiceImageError(
            f"A machine with a kernel of its own needs an amd64 host, and this is {base_images.architecture()}."
        )
    about = {
        "id": machine.id, "type": machine.type, "address": machine.address, "mac": machine.mac,
        "host_name": machine.host_name, "subnet": str(network.cidr.network_address),
        "netmask": str(network.cidr.netmask), "gateway": network.gateway, "resolver": network.resolver,
    }  # fmt: skip
    (folder / "machine.json").write_text(json.dumps(about), encoding="utf-8")
    devices = [device for device in ("/dev/net/tun", "/dev/kvm") if os.access(device, os.R_OK | os.W_OK)]
    return [
        f"--label={LABEL}=true", "--cap-add=NET_ADMIN", "--stop-signal=SIGTERM",
        *(f"--device={device}" for device in devices),
        f"--mount=type=image,source={reference},destination=/image,rw=true",
        f"--volume={folder}:/run/localcloud:ro", f"--volume={AGENT}:{AGENT_PATH}:ro", IMAGE.reference,
        "python3", AGENT_PATH,
    ]  # fmt: skip
