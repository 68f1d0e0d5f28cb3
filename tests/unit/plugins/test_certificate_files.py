"""A certificate is read before it is served, and every refusal names the variable and never the key's content."""

from datetime import UTC, datetime, timedelta

import pytest
from ansible_collections.stackyard.aws.plugins.module_utils.certificate_files import certificate_file_problems
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID


@pytest.fixture
def pair(tmp_path):
    def make(name="site", domain="blog.example.com", begin=-1, end=30, password=None):
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, domain)])
        now = datetime.now(UTC)
        certificate = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(subject)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now + timedelta(days=begin))
            .not_valid_after(now + timedelta(days=end))
            .add_extension(x509.SubjectAlternativeName([x509.DNSName(domain)]), critical=False)
            .sign(key, hashes.SHA256())
        )
        hidden = serialization.BestAvailableEncryption(password) if password else serialization.NoEncryption()
        pem, private = tmp_path / f"{name}.pem", tmp_path / f"{name}.key"
        pem.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        private.write_bytes(key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, hidden))
        return str(pem), str(private)

    return make


def refusals(certificate, key, chain="", domain=""):
    values = {"certificate_file": certificate, "certificate_key_file": key, "certificate_chain_file": chain}
    return certificate_file_problems(values | {"domain": domain}, "load_balancer_")


def test_a_good_pair_is_accepted(pair) -> None:
    pem, key = pair()
    assert refusals(pem, key, domain="blog.example.com") == []
    wildcard, its_key = pair("wild", "*.example.com")
    assert refusals(wildcard, its_key, domain="blog.example.com") == []


def test_what_cannot_serve_is_refused(pair, tmp_path) -> None:
    pem, key = pair()
    text = tmp_path / "text"
    text.write_text("hello")

    def refusal(*arguments, **named):
        [sentence] = refusals(*arguments, **named)
        return sentence

    assert "load_balancer_certificate_file is /none, which cannot be read" in refusal("/none", key)
    assert "a certificate in PEM form" in refusal(str(text), key)
    assert f"load_balancer_certificate_key_file is {text}: a private key in PEM form" in refusal(pem, str(text))
    assert "the key of the certificate" in refusal(pem, pair("other")[1])
    assert "is encrypted: a key without a passphrase" in refusal(pem, pair("locked", password=b"x")[1])
    assert "one that is valid today" in refusal(*pair("old", begin=-9, end=-1))
    assert "a certificate for www.example.com is accepted" in refusal(pem, key, domain="www.example.com")
    assert "begins with the issuer of" in refusal(pem, key, pair("chain", "ca.example.com")[0])
