"""A certificate that is its own authority, and a visitor who trusts it and knows where its name leads to."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import requests
from requests.adapters import HTTPAdapter


def make_certificate(folder: Path, name: str) -> tuple[Path, Path]:
    """Make a certificate and its key for a name, for a day."""
    certificate, key = folder / "certificate.pem", folder / "key.pem"
    subprocess.run(
        [
            "openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-noenc",
            "-days", "1", "-subj", f"/CN={name}", "-addext", f"subjectAltName=DNS:{name}",
            "-keyout", key, "-out", certificate,
        ],
        check=True,
        capture_output=True,
    )  # fmt: skip
    return certificate, key


class _Named(HTTPAdapter):
    """Asks addresses for the certificate of a name."""

    def __init__(self, name: str) -> None:
        self._name = name
        super().__init__()

    def init_poolmanager(self, *arguments: Any, **named: Any) -> None:
        super().init_poolmanager(*arguments, assert_hostname=self._name, server_hostname=self._name, **named)


def visitor(name: str, certificate: Path) -> requests.Session:
    """A session that takes every address for the name's, and believes its certificate alone."""
    session = requests.Session()
    session.trust_env = False
    session.verify = str(certificate)
    session.headers["Host"] = name
    session.mount("https://", _Named(name))
    return session
