"""The cloud's certificate authority: what it signs verifies, and its key is its own."""

import ssl
import threading
from pathlib import Path

import pytest

from localcloud.certificates import Authority

LONG = f"{'long-identifier-' * 3}.aaaaaaaaaa.us-east-1.rds.amazonaws.com"


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path / "ca", "Test")


def handshake(authority: Authority, tmp_path: Path, names: list[str], asked: str) -> None:
    """One TLS handshake between a server with a new certificate and a client that verifies everything."""
    certificate, key, chain = authority.issue(names)
    pem = tmp_path / "server.pem"
    pem.write_bytes(certificate + chain + key)
    server_side = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server_side.load_cert_chain(pem)
    client_side = ssl.create_default_context(cadata=authority.bundle.decode())
    to_client, to_server = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = client_side.wrap_bio(to_client, to_server, server_hostname=asked)
    server = server_side.wrap_bio(to_server, to_client, server_side=True)
    for _ in range(4):
        for side in (client, server):
            try:
                side.do_handshake()
            except ssl.SSLWantReadError:
                continue
    client.do_handshake()


@pytest.mark.parametrize("names", [["db.example.org"], ["www.example.org", "db.example.org", "10.0.0.1"]])
def test_issued_certificates_verify(authority: Authority, tmp_path: Path, names: list[str]) -> None:
    handshake(authority, tmp_path, names, "db.example.org")


def test_a_name_longer_than_a_common_name_verifies(authority: Authority, tmp_path: Path) -> None:
    handshake(authority, tmp_path, [LONG], LONG)


def test_another_name_does_not_verify(authority: Authority, tmp_path: Path) -> None:
    with pytest.raises(ssl.SSLCertVerificationError, match="Hostname mismatch"):
        handshake(authority, tmp_path, ["db.example.org"], "other.example.org")


def test_the_authority_is_made_once_and_its_key_is_private(tmp_path: Path) -> None:
    first = Authority(tmp_path / "ca", "Test").bundle
    assert Authority(tmp_path / "ca", "Test").bundle == first
    assert (tmp_path / "ca/ca-key.pem").stat().st_mode & 0o777 == 0o600


def test_issuing_is_safe_from_several_threads(authority: Authority) -> None:
    serials: list[bytes] = []
    threads = [threading.Thread(target=lambda: serials.append(authority.issue(["a"])[0])) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(serials)) == 4
