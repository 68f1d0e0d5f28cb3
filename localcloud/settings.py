"""The settings of one local cloud, read from the environment.

Several local clouds may run side by side on one machine: whatever one creates (labels, tables, networks,
files, image tags) is keyed by its name.
"""

from __future__ import annotations

import ipaddress
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

# Names end up in nft tables, podman networks and image repositories; an interface name has 15 characters.
NAME_PATTERN = re.compile(r"[a-z][a-z0-9-]{0,23}")
REGION_PATTERN = re.compile(r"[a-z]{2}(-[a-z]+)+-\d")


class SettingsError(ValueError):
    """A setting that cannot be used; its text is one sentence for the user."""


@dataclass(frozen=True)
class Settings:
    """What tells one local cloud from another.

    Attributes:
        name: Key of everything that this cloud creates.
        port: TCP port of the API, on 127.0.0.1 and on each network's resolver address.
        state: Folder of the state; removed by ``down``.
        default_vpc_cidr: Address range of the default VPC.
        region: The region that is backed by machines.
        account: The account id that the API reports.
    """

    name: str = "stackyard"
    port: int = 4566
    state: Path = field(default=Path("/var/lib/localcloud/stackyard"))
    default_vpc_cidr: ipaddress.IPv4Network = field(default=ipaddress.IPv4Network("172.31.0.0/16"))
    region: str = "us-east-1"
    account: str = "123456789012"

    @classmethod
    def from_environment(cls, environ: Mapping[str, str] | None = None) -> Settings:
        """Read the settings.

        Args:
            environ: Defaults to the process's environment.

        Raises:
            SettingsError: A variable is wrong; names it and says what is accepted.
        """
        environ = os.environ if environ is None else environ
        name = environ.get("LOCALCLOUD_NAME", "stackyard")
        if not NAME_PATTERN.fullmatch(name):
            raise SettingsError(
                f"LOCALCLOUD_NAME is {name!r}: use 1 to 24 lower-case letters, digits and hyphens, a letter first."
            )
        region = environ.get("LOCALCLOUD_REGION", "us-east-1")
        if not REGION_PATTERN.fullmatch(region):
            raise SettingsError(f"LOCALCLOUD_REGION is {region!r}: use the name of an AWS region, such as us-east-1.")
        state = Path(environ.get("LOCALCLOUD_STATE", f"/var/lib/localcloud/{name}"))
        if not state.is_absolute() or len(state.parts) < 3:
            # `down` removes this folder with all its contents.
            raise SettingsError(f"LOCALCLOUD_STATE is {str(state)!r}: use the absolute path of a folder of its own.")
        return cls(
            name=name,
            port=_port(environ.get("LOCALCLOUD_PORT", "4566")),
            state=state,
            default_vpc_cidr=_cidr(environ.get("LOCALCLOUD_DEFAULT_VPC_CIDR", "172.31.0.0/16")),
            region=region,
        )

    @property
    def endpoint(self) -> str:
        """The API's address on the host."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def table(self) -> str:
        """Name of the nft tables of this cloud."""
        return f"localcloud-{self.name}"

    @property
    def image_repository(self) -> str:
        """Repository of the baked images of this cloud; their tag is the AMI's id."""
        return f"localhost/localcloud-{self.name}"

    def network_name(self, vpc_id: str) -> str:
        """Name of the podman network of a VPC."""
        return f"localcloud-{self.name}-{vpc_id}"


def _port(text: str) -> int:
    if not text.isdecimal() or not 1024 <= int(text) <= 65535:
        raise SettingsError(f"LOCALCLOUD_PORT is {text!r}: use a TCP port from 1024 to 65535.")
    return int(text)


def _cidr(text: str) -> ipaddress.IPv4Network:
    try:
        network = ipaddress.IPv4Network(text)
    except ValueError:
        network = None
    if network is None or network.prefixlen != 16 or not network.is_private:
        raise SettingsError(
            f"LOCALCLOUD_DEFAULT_VPC_CIDR is {text!r}: use a private /16 network, such as 172.31.0.0/16."
        )
    return network
