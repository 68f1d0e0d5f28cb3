"""What moto must find in its environment when the server imports it."""

from __future__ import annotations

import os
from pathlib import Path

from localcloud.settings import Settings

# The images that AWS offers here: Debian's, by its own account and under its own names.
CATALOGUE = Path(__file__).with_name("data") / "amis.json"


def server_environment(settings: Settings) -> dict[str, str]:
    """The environment of the server process."""
    package = str(Path(__file__).resolve().parent.parent)
    return {
        # No credentials or profile of the person who starts it: boto3 must not look for theirs.
        **{name: value for name, value in os.environ.items() if not name.startswith("AWS_")},
        "PYTHONPATH": os.pathsep.join(filter(None, [package, os.environ.get("PYTHONPATH")])),
        "PYTHONUNBUFFERED": "1",
        "LOCALCLOUD_NAME": settings.name,
        "LOCALCLOUD_PORT": str(settings.port),
        "LOCALCLOUD_STATE": str(settings.state),
        "LOCALCLOUD_DEFAULT_VPC_CIDR": str(settings.default_vpc_cidr),
        "LOCALCLOUD_REGION": settings.region,
        "MOTO_AMIS_PATH": str(CATALOGUE),
        "MOTO_ENABLE_AMI_VALIDATION": "true",
        "MOTO_ENABLE_KEYPAIR_VALIDATION": "true",
        "MOTO_EC2_ENABLE_INSTANCE_TYPE_VALIDATION": "true",
        "MOTO_IAM_LOAD_MANAGED_POLICIES": "true",
        "MOTO_ACCOUNT_ID": settings.account,
    }
