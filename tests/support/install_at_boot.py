"""User data of a machine that installs itself at boot with the same roles, as the book's machines do.

It starts from Debian's plain image and ends like a golden one: with stackyard-boot.service running.
"""

import io
import subprocess
import sysconfig
import tarfile
from pathlib import Path

import yaml

from demo import artefacts
from demo.phases import REPOSITORY

ROOM = "ansible_collections/stackyard/aws"
SCRIPT = """
set -eu
export DEBIAN_FRONTEND=noninteractive
mkdir -p /opt/installer
curl -sf {url} | tar -xz -C /opt/installer
cd /opt/installer
apt-get update -q
apt-get install -q -y --no-install-recommends python3-venv
python3 -m venv venv
venv/bin/pip install -q --require-hashes --no-deps -r {room}/roles/boot/files/opt/stackyard/requirements.txt
export ANSIBLE_COLLECTIONS_PATH=/opt/installer
venv/bin/ansible-playbook -i localhost, -e @image.yml -e @wordpress.yml \
  -e ansible_python_interpreter=/usr/bin/python3 install_at_boot.yml
systemctl start stackyard-boot.service
"""


def user_data(s3: object, region: str, boot_document: str, variables: Path) -> str:
    """A cloud-config that writes the boot document, then installs and starts the application.

    Args:
        s3: boto3 client of S3, for the archive with the roles.
        region: The bucket's region.
        boot_document: The cloud-config of a golden machine.
        variables: File of the role variables that the image was baked with.
    """
    url = artefacts.upload(s3, region, _archive(variables))
    document = yaml.safe_load(boot_document)
    document["runcmd"] = [["/bin/sh", "-c", SCRIPT.format(url=url, room=ROOM)]]
    return "#cloud-config\n" + yaml.safe_dump(document)


def _archive(variables: Path) -> Path:
    """The collection as git has it, ansible.posix, and the playbook, as one archive."""
    path = REPOSITORY / "build" / "demo" / "install-at-boot.tar.gz"
    listed = subprocess.run(
        ["git", "ls-files", "roles", "plugins", "playbooks", "meta", "galaxy.yml"],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split()
    with tarfile.open(path, "w:gz") as archive:
        for name in listed:
            archive.add(REPOSITORY / name, f"{ROOM}/{name}")
        packages = Path(sysconfig.get_path("purelib")) / "ansible_collections"
        archive.add(packages / "ansible" / "posix", "ansible_collections/ansible/posix")
        archive.add(Path(__file__).with_name("install_at_boot.yml"), "install_at_boot.yml")
        archive.add(REPOSITORY / "inventory" / "local" / "image.yml", "image.yml")
        content = (REPOSITORY / variables).read_bytes()
        entry = tarfile.TarInfo("wordpress.yml")
        entry.size = len(content)
        archive.addfile(entry, io.BytesIO(content))
    return path
