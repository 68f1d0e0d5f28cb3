# Copyright: stackyard contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What is wrong with the PEM files of a certificate that is to be served, read on the controller."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

try:
    from cryptography import x509
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key
except ImportError:
    x509 = None


class _ProblemError(Exception):
    """The sentence."""


def _read(path: str, variable: str) -> bytes:
    try:
        return Path(path).expanduser().read_bytes()
    except OSError as error:
        raise _ProblemError(
            f"{variable} is {path}, which cannot be read ({error.strerror}): the path of a PEM file on this machine is "
            "accepted."
        ) from error


def _certificates(path: str, variable: str) -> list[Any]:
    content = _read(path, variable)
    try:
        return x509.load_pem_x509_certificates(content)
    except ValueError:
        raise _ProblemError(
            f"{variable} is {path}: a certificate in PEM form, which begins with -----BEGIN CERTIFICATE-----, is "
            "accepted."
        ) from None


def _key(path: str, variable: str) -> Any:
    content = _read(path, variable)
    try:
        return load_pem_private_key(content, password=None)
    except TypeError:
        raise _ProblemError(
            f"{variable} is {path}, which is encrypted: a key without a passphrase is accepted."
        ) from None
    except ValueError:
        # Never the parser's own words: they may quote the key.
        raise _ProblemError(f"{variable} is {path}: a private key in PEM form is accepted.") from None


def _covers(certificate: Any, domain: str) -> bool:
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return False
    patterns = [name.lower() for name in names.get_values_for_type(x509.DNSName)]
    return domain.lower() in patterns or f"*.{domain.lower().partition('.')[2]}" in patterns


def certificate_file_problems(values: Mapping[str, Any], prefix: str) -> list[str]:
    """Return what is wrong with a certificate, its key and its chain; a file that cannot be read ends the search.

    The certificate has to be valid today and for the domain, and the key has to be its own.

    Args:
        values: `certificate_file`, `certificate_key_file`, `certificate_chain_file` and `domain`; the last two may be
            empty.
        prefix: What the names of the variables begin with, for the sentences.
    """
    names = {what: f"{prefix}certificate_{what}" for what in ("file", "key_file", "chain_file")}
    certificate, key, chain = (values[f"certificate_{what}"] for what in names)
    if x509 is None:
        return [f"{names['file']} is set, and to read it the Python package cryptography is needed here: install it."]
    try:
        leaf = _certificates(certificate, names["file"])[0]
        private = _key(key, names["key_file"])
        chained = _certificates(chain, names["chain_file"]) if chain else []
    except _ProblemError as problem:
        return [str(problem)]
    problems = []
    form = (Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    if leaf.public_key().public_bytes(*form) != private.public_key().public_bytes(*form):
        problems.append(f"{names['key_file']} is {key}: the key of the certificate {certificate} is accepted.")
    now = datetime.now(UTC)
    if not leaf.not_valid_before_utc <= now <= leaf.not_valid_after_utc:
        problems.append(
            f"{names['file']} is {certificate}, valid from {leaf.not_valid_before_utc:%Y-%m-%d} "
            f"to {leaf.not_valid_after_utc:%Y-%m-%d}: one that is valid today is accepted."
        )
    if values["domain"] and not _covers(leaf, values["domain"]):
        problems.append(f"{names['file']} is {certificate}: a certificate for {values['domain']} is accepted.")
    if chained and chained[0].subject != leaf.issuer:
        problems.append(
            f"{names['chain_file']} is {chain}: one that begins with the issuer of {certificate} is accepted."
        )
    return problems
