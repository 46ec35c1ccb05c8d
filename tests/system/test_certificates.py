from __future__ import annotations

import ssl
import stat
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import hashes

from tests.system.certificate_makers import DAY, NOW, issue, pem, rsa_key
from xapi.system.certificate_checks import FileUnusable, ServerCertificate, as_pem, facts
from xapi.system.certificates import (
    client_context,
    describe_verification_failure,
    ensure_server_certificate,
    load_server_certificate,
    make_self_signed,
    pinned_context,
    server_context,
    store_server_certificate,
    unverified_context,
)

MADE = make_self_signed("host-1.example", ["192.0.2.7", "2001:db8::7%eth0", "not an address"], NOW)
LONG = {"since": NOW - 9000 * DAY, "until": NOW + 36500 * DAY}  # so that OpenSSL, which has no fake clock, agrees
ROOT_CA = issue("root", authority=True, **LONG)
LEAF = ServerCertificate(issue("leaf", "root", **LONG), rsa_key("leaf"), (ROOT_CA,))


def test_the_servers_own_certificate():
    found = facts(MADE.certificate)
    assert found.subject == found.issuer == "CN=host-1.example"
    assert set(found.names) == {
        *("host-1.example", "host-1", "localhost"),
        *("192.0.2.7", "2001:db8::7", "127.0.0.1", "::1"),
    }
    assert MADE.key.key_size == 2048
    assert isinstance(MADE.certificate.signature_hash_algorithm, hashes.SHA256)
    assert found.not_before < NOW
    assert (found.not_after - NOW).days == 3650
    MADE.certificate.verify_directly_issued_by(MADE.certificate)


@pytest.mark.parametrize("hostname", ["", "ünïcode", "192.0.2.1", "x" * 100, "a_b", "-", "host."])
def test_any_hostname_gives_a_certificate(hostname):
    assert "localhost" in facts(make_self_signed(hostname, [], NOW).certificate).names


def test_first_start_makes_it_and_the_second_keeps_it(tmp_path):
    path = tmp_path / "server.pem"
    made = ensure_server_certificate(path, "host", [], NOW)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    again = ensure_server_certificate(path, "other", [], NOW + 20000 * DAY)
    assert again.certificate == made.certificate
    assert again.pem == made.pem == path.read_bytes()


def test_an_installed_one_replaces_the_file_and_keeps_its_mode(tmp_path):
    path = tmp_path / "server.pem"
    ensure_server_certificate(path, "host", [], NOW)
    store_server_certificate(path, LEAF)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert load_server_certificate(path).chain == (ROOT_CA,)


@pytest.mark.parametrize("content", [b"", b"x", pem(ROOT_CA).encode(), MADE.pem[:1800], MADE.pem[:100] + LEAF.pem])
def test_a_file_that_cannot_be_used_is_named(tmp_path, content):
    path = tmp_path / "server.pem"
    path.write_bytes(content)
    with pytest.raises(FileUnusable, match=rf"^{path}: "):
        ensure_server_certificate(path, "host", [], NOW)
    assert path.read_bytes() == content


def handshake(server: ssl.SSLContext, client: ssl.SSLContext, name: str = "localhost") -> str:
    """Connect the two in memory; the version of TLS that they agree on."""
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    ends = (
        client.wrap_bio(to_client, to_server, server_hostname=name),
        server.wrap_bio(to_server, to_client, server_side=True),
    )
    open_ends = list(ends)
    for _ in range(10):
        for end in list(open_ends):
            try:
                end.do_handshake()
            except ssl.SSLWantReadError:
                continue
            open_ends.remove(end)
    assert not open_ends
    return ends[0].version() or ""


@pytest.fixture
def leaf_server(tmp_path: Path) -> ssl.SSLContext:
    store_server_certificate(tmp_path / "leaf.pem", LEAF)
    return server_context(tmp_path / "leaf.pem")


def test_a_client_that_trusts_the_authority_connects(leaf_server):
    assert handshake(leaf_server, client_context([ROOT_CA])) == "TLSv1.3"


def test_tls_1_2_is_spoken_and_nothing_older(leaf_server):
    client = client_context([ROOT_CA])
    client.maximum_version = ssl.TLSVersion.TLSv1_2
    assert handshake(leaf_server, client) == "TLSv1.2"
    assert leaf_server.minimum_version == ssl.TLSVersion.TLSv1_2
    names = {cipher["name"] for cipher in leaf_server.get_ciphers()}
    assert "ECDHE-RSA-AES128-GCM-SHA256" in names
    assert not [name for name in names if not name.startswith(("ECDHE-", "TLS_"))]


def test_strangers_are_refused_and_the_certificate_is_named(leaf_server):
    with pytest.raises(ssl.SSLCertVerificationError) as caught:
        handshake(leaf_server, client_context([MADE.certificate]))
    told = describe_verification_failure(caught.value, "host-1:443", as_pem(LEAF.certificate))
    found = facts(LEAF.certificate)
    assert told.startswith("The certificate of host-1:443 (subject CN=leaf, issuer CN=root, valid from 1999-")
    assert f"SHA-256 {found.fingerprint_sha256}) was refused: self-signed certificate in certificate chain." in told


def test_a_wrong_name_is_refused(leaf_server):
    with pytest.raises(ssl.SSLCertVerificationError) as caught:
        handshake(leaf_server, client_context([ROOT_CA]), "elsewhere")
    told = describe_verification_failure(caught.value, "elsewhere:443")
    assert told.startswith("The certificate of elsewhere:443 was refused: Hostname mismatch")
    assert describe_verification_failure(caught.value, "x", "y").startswith(
        "The certificate of x (which cannot be read)"
    )


def test_a_pinned_certificate_is_accepted_whatever_its_name(leaf_server):
    assert handshake(leaf_server, pinned_context([LEAF.certificate]), "elsewhere")
    with pytest.raises(ssl.SSLCertVerificationError):
        handshake(leaf_server, pinned_context([MADE.certificate]))
    with pytest.raises(ValueError, match="needs a certificate"):
        pinned_context([])


def test_without_verification_any_certificate_will_do(leaf_server):
    assert handshake(leaf_server, unverified_context(), "elsewhere")


def test_the_systems_authorities_do_not_know_us(leaf_server):
    with pytest.raises(ssl.SSLCertVerificationError):
        handshake(leaf_server, client_context())


def test_a_running_server_takes_a_new_certificate(tmp_path, leaf_server):
    store_server_certificate(tmp_path / "leaf.pem", make_self_signed("localhost", [], NOW))
    new = load_server_certificate(tmp_path / "leaf.pem").certificate
    leaf_server.load_cert_chain(tmp_path / "leaf.pem")
    assert handshake(leaf_server, pinned_context([new]))
