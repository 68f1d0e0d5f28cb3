"""ACM: imported chains as they were given, keys that fit, and validation by DNS that looks for the record.

``issue``, when something sets it, signs the certificates that ACM issues, so that a balancer can really serve them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from moto.acm.exceptions import AWSValidationException
from moto.acm.models import AWS_ROOT_CA, AWSCertificateManagerBackend, CertBundle
from moto.acm.responses import AWSCertificateManagerResponse
from moto.core.responses import ActionResult
from moto.route53.models import route53_backends

from localcloud.patches._tools import wrap

# Signs an issued certificate: given the names, the first the subject's, returns certificate, key and chain as PEM.
issue: Callable[[list[str]], tuple[bytes, bytes, bytes]] | None = None


def apply() -> None:
    """Apply all work-rounds of this service."""
    wrap(CertBundle, "__init__", _bundle)
    wrap(CertBundle, "check", _check)
    wrap(CertBundle, "generate_cert", _generate)
    wrap(AWSCertificateManagerBackend, "import_certificate", _import)
    wrap(AWSCertificateManagerResponse, "get_certificate", _get_certificate)


def _bundle(original: Callable[..., Any], self: CertBundle, *arguments: Any, **named: Any) -> None:
    """An imported certificate has the chain that it was imported with, and a key that fits.

    moto adds Amazon's root to every chain, so that a module that compares always finds a difference.
    https://docs.aws.amazon.com/acm/latest/APIReference/API_ImportCertificate.html
    """
    original(self, *arguments, **named)
    self.chain = self.chain.replace(AWS_ROOT_CA, b"").strip() + b"\n" if named.get("chain") else b""
    if self.type == "IMPORTED" and _public(self._key.public_key()) != _public(self._cert.public_key()):
        raise AWSValidationException("The certificate and private key do not match.")


def _import(original: Callable[..., Any], self: AWSCertificateManagerBackend, *arguments: Any, **named: Any) -> str:
    """A certificate that is imported anew under its ARN keeps its tags.

    https://docs.aws.amazon.com/acm/latest/userguide/import-reimport.html
    """
    replaced = self._certificates.get(named.get("arn") or "")
    arn = str(original(self, *arguments, **named))
    if replaced is not None:
        self._certificates[arn].tags = replaced.tags
    return arn


def _get_certificate(original: Callable[..., Any], self: AWSCertificateManagerResponse) -> ActionResult:
    """A certificate that was imported without a chain has none.

    https://docs.aws.amazon.com/acm/latest/APIReference/API_GetCertificate.html
    """
    reply: ActionResult = original(self)
    bundle = self.acm_backend.get_certificate(self._get_param("CertificateArn"))
    return reply if bundle.chain else ActionResult({"Certificate": bundle.cert.decode()})


def _public(key: Any) -> bytes:
    encoded: bytes = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return encoded


def _generate(original: Callable[..., Any], *arguments: Any, **named: Any) -> CertBundle:
    """A requested certificate is signed by an authority, not by itself.

    https://docs.aws.amazon.com/acm/latest/APIReference/API_RequestCertificate.html
    """
    bundle: CertBundle = original(*arguments, **named)
    if issue is not None:
        names = [bundle.common_name, *(name for name in bundle.sans if name != bundle.common_name)]
        bundle.cert, bundle.key, bundle.chain = issue(names)
        bundle._cert, bundle._key = bundle.validate_certificate(), bundle.validate_pk()
    return bundle


def _check(original: Callable[..., Any], self: CertBundle) -> None:
    """A requested certificate is issued once its validation records can be found, not after a minute.

    https://docs.aws.amazon.com/acm/latest/userguide/dns-validation.html
    """
    if self.type != "AMAZON_ISSUED" or self.status != "PENDING_VALIDATION":
        original(self)
        return
    account = self.arn.split(":")[4]
    found = {
        (record.name.rstrip(".").lower(), record.type)
        for zone in route53_backends[account]["aws"].zones.values()
        for record in zone.rrsets
    }
    options = self.describe()["Certificate"].get("DomainValidationOptions", [])
    wanted = {
        (option["ResourceRecord"]["Name"].rstrip(".").lower(), "CNAME")
        for option in options
        if "ResourceRecord" in option
    }
    # Validation by mail has no record: nobody reads the mail, so it stays pending.
    if wanted and wanted <= found:
        self.status = "ISSUED"
