"""The local cloud's certificate authority: it stands for RDS's and ACM's.

Made once per cloud, under ``<state>/ca``. Databases get a certificate for their endpoint's name, and so do the
certificates that ACM issues, so that a machine can verify both with one bundle. The bundle is served where a machine
can fetch it like RDS's: at ``/global/global-bundle.pem`` of the API's address and, over plain HTTP, of
``truststore.pki.rds.amazonaws.com``, with its SHA-256 beside it. Left out: revocation, intermediate authorities.
"""

from __future__ import annotations

import hashlib
import ipaddress
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from localcloud.patches import acm

if TYPE_CHECKING:
    from localcloud.cloud import Cloud

BUNDLE_PAGE = "/global/global-bundle.pem"
TRUST_STORE = "truststore.pki.rds.amazonaws.com"
# A host name in a certificate's common name has at most 64 characters.
COMMON_NAME_LENGTH = 64
AUTHORITY_DAYS = 3650
# Chrome refuses more than 398.
SERVER_DAYS = 397


class Authority:
    """A certificate authority with its files in one folder.

    Attributes:
        path: The authority's certificate, as PEM; safe to hand out.
    """

    def __init__(self, folder: Path, name: str) -> None:
        """Open the authority in a folder, making it if it is not there.

        Args:
            folder: Its folder.
            name: What its certificate calls it.
        """
        self.path = folder / "ca.pem"
        key_path = folder / "ca-key.pem"
        if not (self.path.exists() and key_path.exists()):
            folder.mkdir(parents=True, exist_ok=True)
            _make(self.path, key_path, name)
        self._certificate = x509.load_pem_x509_certificate(self.path.read_bytes())
        key = load_pem_private_key(key_path.read_bytes(), None)
        assert isinstance(key, ec.EllipticCurvePrivateKey)  # noqa: S101 (we wrote it)
        self._key = key

    @property
    def bundle(self) -> bytes:
        """The certificates to trust, as PEM."""
        return self.path.read_bytes()

    def issue(self, names: list[str]) -> tuple[bytes, bytes, bytes]:
        """Issue a server's certificate.

        Args:
            names: Its DNS names and IP addresses, the first the subject's.

        Returns:
            Certificate, private key and chain, as PEM.
        """
        key = ec.generate_private_key(ec.SECP256R1())
        now = datetime.now(UTC)
        subject = [x509.NameAttribute(NameOID.COMMON_NAME, names[0])] if len(names[0]) <= COMMON_NAME_LENGTH else []
        certificate = (
            x509.CertificateBuilder()
            .subject_name(x509.Name(subject))
            .issuer_name(self._certificate.subject)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(minutes=5))
            .not_valid_after(now + timedelta(days=SERVER_DAYS))
            .add_extension(x509.SubjectAlternativeName([_general_name(name) for name in names]), critical=not subject)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()), critical=False)
            .sign(self._key, hashes.SHA256())
        )
        return certificate.public_bytes(Encoding.PEM), _pem(key), self.bundle


def open_authority(cloud: Cloud) -> Authority:
    """The authority of a cloud, serving its bundle and signing for ACM."""
    authority = Authority(cloud.state / "ca", f"Local cloud {cloud.settings.name} root")
    acm.issue = authority.issue
    digest = hashlib.sha256(authority.bundle).hexdigest()
    cloud.pages[BUNDLE_PAGE] = lambda: ("application/x-pem-file", authority.bundle)
    cloud.pages[f"{BUNDLE_PAGE}.sha256"] = lambda: (
        "text/plain",
        f"{digest}  {BUNDLE_PAGE.rpartition('/')[2]}\n".encode(),
    )
    return authority


def _make(path: Path, key_path: Path, name: str) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(minutes=5))
        .not_valid_after(now + timedelta(days=AUTHORITY_DAYS))
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_signs_certificates(), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    descriptor = os.open(key_path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(_pem(key))
    path.write_bytes(certificate.public_bytes(Encoding.PEM))


def _signs_certificates() -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True, content_commitment=False, key_encipherment=False, data_encipherment=False,
        key_agreement=False, key_cert_sign=True, crl_sign=True, encipher_only=False, decipher_only=False,
    )  # fmt: skip


def _general_name(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    # Readable by haproxy, MariaDB and PostgreSQL alike.
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
