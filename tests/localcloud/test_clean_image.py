"""The finished image from outside: nothing in it that must not be there, and what is planted there is found."""

from __future__ import annotations

from pathlib import Path

import pytest

from support.figures import record
from support.leftovers import leftovers

PRIVATE_KEY = "-----BEGIN OPENSSH PRIVATE KEY-----\n" + "b3BlbnNzaC1rZXktdjEAAAAABG5vbmUAAAAEbm9uZQ" * 3 + "\n"

# What is planted: the file, what is in it, and what it is to be called.
PLANTED = {
    "host key": ("etc/ssh/ssh_host_ed25519_key", PRIVATE_KEY, "SSH host key"),
    "machine id": ("etc/machine-id", "0123456789abcdef0123456789abcdef\n", "machine id"),
    "key of the build": (
        "home/admin/.ssh/authorized_keys",
        "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGJ1aWxk packer_6740\n",
        "SSH keys of a person or of the build",
    ),
    "instance data": ("var/lib/cloud/data/instance-id", "i-0123456789abcdef0\n", "instance data of cloud-init"),
    "log": ("var/log/auth.log", "x" * 65 * 1024, "more than 65536 bytes of logs"),
    "package cache": ("var/cache/apt/archives/nginx_1.26_amd64.deb", "!<arch>\n", "package cache"),
    "credential file": ("root/.aws/credentials", "[default]\n", "credentials"),
    "key in a configuration": ("etc/wordpress/backup.conf", "key = AKIA2E0A8F3B244C9986\n", "credentials"),
    "history": ("root/.bash_history", "mysql -psecret\n", "history"),
    "Ansible's folder": ("home/admin/.ansible/tmp/AnsiballZ_setup.py", "#!/usr/bin/python3\n", "trace of Ansible"),
}
caught: list[str] = []


def test_nothing_is_left(image_copy: Path) -> None:
    assert leftovers(image_copy) == []


@pytest.mark.parametrize("planted", PLANTED)
def test_what_is_planted_is_caught(image_copy: Path, planted: str) -> None:
    path, content, kind = PLANTED[planted]
    target = image_copy / path
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(content)
    assert kind in {entry.kind for entry in leftovers(image_copy)}
    caught.append(planted)
    record("images", planted_leftovers=len(PLANTED), planted_leftovers_caught=len(caught))
