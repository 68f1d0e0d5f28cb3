# Copyright: stackyard contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What is wrong with a certificate that is to be served."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ansible.errors import AnsibleFilterError

try:
    from cryptography import x509
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key
except ImportError:
    x509 = None

DOCUMENTATION = r"""
name: certificate_problems
short_description: Say what is wrong with a certificate, its key and its chain
version_added: 0.1.0
description:
  - Reads PEM files on the controller and returns one sentence for each thing that is wrong, each naming the variable.
  - The files have to exist, the certificate has to be valid today and for O(domain), and the key has to be its own.
options:
  _input:
    description: Path of the certificate.
    type: path
    required: true
  key:
    description: Path of the private key.
    type: path
    required: true
  chain:
    description: Path of the intermediate certificates, empty when there are none.
    type: str
    default: ""
  domain:
    description: The domain that the certificate has to be for, empty when it does not matter.
    type: str
    default: ""
  prefix:
    description: What the names of the variables begin with.
    type: str
    default: ""
author: stackyard contributors
requirements:
  - cryptography
"""

EXAMPLES = r"""
problems: "{{ 'blog.pem' | stackyard.aws.certificate_problems('blog.key', domain='blog.example.com') }}"
"""

RETURN = r"""
_value:
  description: The sentences.
  type: list
  elements: str
"""


class _ProblemError(Exception):
    """The sentence."""


def _read(path: str, variable: str) -> bytes:
    try:
        return Path(path).expanduser().read_bytes()
    except OSError as error:
        raise _ProblemError(
            f"{variable}: {path} cannot be read ({error.strerror}). Give the path of a PEM file."
        ) from error


def _certificates(path: str, variable: str) -> list[Any]:
    content = _read(path, variable)
    try:
        return x509.load_pem_x509_certificates(content)
    except ValueError:
        raise _ProblemError(
            f"{variable}: {path} is not a certificate in PEM form, which begins with -----BEGIN CERTIFICATE-----."
        ) from None


def _key(path: str, variable: str) -> Any:
    content = _read(path, variable)
    try:
        return load_pem_private_key(content, password=None)
    except TypeError:
        raise _ProblemError(f"{variable}: {path} is encrypted; ACM takes a key without a passphrase.") from None
    except ValueError:
        # Never the parser's own words: they may quote the key.
        raise _ProblemError(f"{variable}: {path} is not a private key in PEM form.") from None


def _covers(certificate: Any, domain: str) -> bool:
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return False
    patterns = [name.lower() for name in names.get_values_for_type(x509.DNSName)]
    return domain.lower() in patterns or f"*.{domain.lower().partition('.')[2]}" in patterns


def certificate_problems(certificate: str, key: str, chain: str = "", domain: str = "", prefix: str = "") -> list[str]:
    """Return a sentence for each thing that is wrong, the first that stops the reading of the files alone."""
    if x509 is None:
        raise AnsibleFilterError("The Python package cryptography is missing on the controller: install it with pip.")
    names = {what: f"{prefix}certificate_{what}" for what in ("file", "key_file", "chain_file")}
    try:
        leaf = _certificates(certificate, names["file"])[0]
        private = _key(key, names["key_file"])
        chained = _certificates(chain, names["chain_file"]) if chain else []
    except _ProblemError as problem:
        return [str(problem)]
    problems = []
    form = (Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    if leaf.public_key().public_bytes(*form) != private.public_key().public_bytes(*form):
        problems.append(f"{names['key_file']}: {key} is not the key of the certificate {certificate}.")
    now = datetime.now(UTC)
    if not leaf.not_valid_before_utc <= now <= leaf.not_valid_after_utc:
        problems.append(
            f"{names['file']}: {certificate} is valid from {leaf.not_valid_before_utc:%Y-%m-%d} "
            f"to {leaf.not_valid_after_utc:%Y-%m-%d} only, which is not today."
        )
    if domain and not _covers(leaf, domain):
        problems.append(f"{names['file']}: {certificate} is not for the domain {domain}.")
    if chained and chained[0].subject != leaf.issuer:
        problems.append(f"{names['chain_file']}: the first certificate of {chain} is not the issuer of {certificate}.")
    return problems


class FilterModule:
    """The filter."""

    def filters(self):
        return {"certificate_problems": certificate_problems}
