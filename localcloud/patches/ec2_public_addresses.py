"""Public addresses: of a range that nobody on the internet has, and with one instance at a time.

moto's Elastic IPs are of the host's own 127.0.0.0/8, and what it assigns by itself belongs to others. 198.18.0.0/15 is
kept for tests between networks and is routed nowhere.

https://www.rfc-editor.org/rfc/rfc2544
https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/elastic-ip-addresses-eip.html
https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_AssociateAddress.html
"""

from __future__ import annotations

import ipaddress
import secrets
from collections.abc import Callable
from typing import Any

from moto.ec2.models import elastic_ip_addresses, elastic_network_interfaces
from moto.ec2.models.elastic_ip_addresses import ElasticAddress, ElasticAddressBackend

from localcloud.patches._tools import wrap

RANGE = ipaddress.IPv4Network("198.18.0.0/15")


def apply() -> None:
    """Replace moto's addresses, and take an Elastic IP from whatever had it."""
    wrap(elastic_ip_addresses, "random_ip", _random_address)
    wrap(elastic_network_interfaces, "random_public_ip", _random_address)
    wrap(ElasticAddressBackend, "associate_address", _associate_address)


def _random_address(_original: Callable[[], str]) -> str:
    # Not in turn, since another local cloud of this host has the same range.
    return str(RANGE[1 + secrets.randbelow(RANGE.num_addresses - 2)])


def _associate_address(original: Callable[..., Any], self: Any, *arguments: Any, **named: Any) -> ElasticAddress:
    """Moto leaves the address with the instance that had it."""
    before = {address: address.eni for address in self.addresses}
    associated: ElasticAddress = original(self, *arguments, **named)
    loser = before[associated]
    if loser and loser is not associated.eni:
        loser.public_ip = None
        loser.check_auto_public_ip()
    return associated
