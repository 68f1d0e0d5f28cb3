"""What Ansible costs in a build: the same image made by a plain shell script through the same Packer template.

Only in the soak, because it is one more build. The script takes the shortest way that an operator would: all packages
at once, one archive of the configuration, the same venv by the same lock file. The roles' checks and tests it has not.
What the two builds cost is printed and goes to the figures; what is asserted is that they made the same.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from support.figures import FOLDER, record
from support.local_cloud import REPOSITORY, TestCloud, built_image

pytestmark = pytest.mark.skipif(not os.environ.get("STACKYARD_SOAK"), reason="a build more; set STACKYARD_SOAK")

# What the roles write that no package brings.
OWN_FILES = (
    "etc/apt/apt.conf.d/90stackyard", "etc/logrotate.d/nginx", "etc/logrotate.d/stackyard", "etc/nginx", "etc/php",
    "etc/stackyard", "etc/sysctl.d", "etc/systemd", "etc/wordpress", "opt/stackyard/ansible.cfg", "opt/stackyard/bin",
    "opt/stackyard/collections", "opt/stackyard/inventory.yml", "opt/stackyard/requirements.txt",
    "usr/local/lib/wordpress",
)  # fmt: skip
SCRIPT = """#!/bin/bash
set -euxo pipefail
export DEBIAN_FRONTEND=noninteractive
# 2: done, with warnings that are not ours.
cloud-init status --wait || [ $? = 2 ]
apt-get -q update
apt-get -qy install --no-install-recommends PACKAGES
tar -xf /tmp/own.tar -C /
curl -sSf -o /tmp/wordpress.tar.gz "URL"
echo "SHA256  /tmp/wordpress.tar.gz" | sha256sum --check
mkdir -p RELEASE /srv/wordpress/uploads
tar -xzf /tmp/wordpress.tar.gz --strip-components=1 --no-same-owner -C RELEASE
ln -sfn RELEASE /srv/wordpress/current
rm -f /etc/nginx/sites-enabled/default
python3 -m venv /opt/stackyard/venv
/opt/stackyard/venv/bin/pip install -q --require-hashes --no-deps --only-binary :all: --no-compile --no-cache-dir \\
  --disable-pip-version-check -r /opt/stackyard/requirements.txt
/opt/stackyard/venv/bin/python -m compileall -q -j0 -x '/(ansible_test|pip|tests?)/' \\
  /opt/stackyard/venv/lib /opt/stackyard/collections
systemctl daemon-reload
systemctl enable stackyard-boot.service stackyard-drain.service systemd-timesyncd.service
systemctl mask rpcbind.socket rpcbind.service
: >/etc/machine-id
rm -rf /root/.ssh /home/*/.ssh /root/.cache /etc/ssh/ssh_host_* /var/lib/cloud/* /var/lib/apt/lists/* /var/cache/apt/*
rm -rf /var/lib/systemd/random-seed /var/lib/systemd/credential.secret /var/log/journal/* /tmp/*.tar /tmp/*.tar.gz
find /var/log -type f -delete
"""


def build_block(script: Path, archive: Path) -> str:
    """The template's build, with a script in Ansible's place."""
    return f'''
build {{
  sources = ["source.amazon-ebs.debian"]
  provisioner "file" {{
    source      = "{archive}"
    destination = "/tmp/own.tar"
  }}
  provisioner "shell" {{
    script          = "{script}"
    execute_command = "sudo {{{{ .Path }}}}"
    skip_clean      = true
  }}
  post-processor "manifest" {{
    output = var.manifest
  }}
}}
'''


@pytest.fixture
def shell_template(image_copy: Path, variable_files: list[str], tmp_path: Path) -> Path:
    """The repository's template with a script in Ansible's place, which makes what is in the baked image."""
    variables = yaml.safe_load(Path(variable_files[-1]).read_text())
    archive = tmp_path / "own.tar"
    own = [name for name in OWN_FILES if (image_copy / name).exists()]
    subprocess.run(["tar", "-cf", archive, "-C", image_copy, *own], check=True)
    script = tmp_path / "bake.sh"
    script.write_text(
        SCRIPT.replace("PACKAGES", " ".join(wanted_packages(image_copy)))
        .replace("URL", variables["wordpress_archive_url"])
        .replace("SHA256", variables["wordpress_archive_checksum"].removeprefix("sha256:"))
        .replace("RELEASE", f"/srv/wordpress/releases/{variables['wordpress_version']}")
    )
    template = tmp_path / "repository" / "packer"
    shutil.copytree(REPOSITORY / "packer", template)
    for name in ("roles", "galaxy.yml", ".git"):
        (template.parent / name).symlink_to(REPOSITORY / name)
    (template / "build.pkr.hcl").write_text(build_block(script, archive))
    return template


def test_a_shell_script_makes_the_same_image(
    cloud: TestCloud, golden_image: str, packer: Callable[..., Any], bake_options: list[str], shell_template: Path
) -> None:
    started = time.monotonic()
    done, manifest = packer(*bake_options, template=shell_template)
    bake_shell = time.monotonic() - started
    assert done.returncode == 0, done.stdout[-6000:]
    made = {packages_of(cloud, image) for image in (golden_image, built_image(manifest, cloud.settings.region))}
    assert len(made) == 1
    bake = json.loads((FOLDER / "images.json").read_text())["bake_s"]
    record("images", bake_shell_s=bake_shell, bake_over_shell=bake / bake_shell)
    print(f"a build takes {bake:.0f} s, the shell script {bake_shell:.0f} s: {bake / bake_shell:.2f} times as long")


def packages_of(cloud: TestCloud, image: str) -> frozenset[str]:
    """The packages that are installed in an image."""
    reference = f"{cloud.settings.image_repository}:{image}"
    mounted = Path(cloud.podman("image", "mount", reference).strip())
    try:
        return packages(mounted)
    finally:
        cloud.podman("image", "unmount", reference)


def wanted_packages(root: Path) -> list[str]:
    """The packages that the roles ask for by name, and those of the source image, which are there already."""
    states = (root / "var/lib/apt/extended_states").read_text()
    automatic = set(re.findall(r"^Package: (\S+)$", states, re.MULTILINE))
    return sorted(packages(root) - automatic)


def packages(root: Path) -> frozenset[str]:
    status = (root / "var/lib/dpkg/status").read_text()
    return frozenset(re.findall(r"^Package: (\S+)\nStatus: install ok installed$", status, re.MULTILINE))
