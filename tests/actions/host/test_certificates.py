from datetime import timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization

from tests.actions.refusal import refused
from xapi.actions.host.certificates import TlsFront
from xapi.system.certificate_checks import as_pem
from xapi.system.certificates import make_self_signed


class Front:
    def __init__(self, path):
        self.path = path
        self.shown = []

    def reload_certificate(self):
        self.shown.append(x509.load_pem_x509_certificates(self.path.read_bytes())[0])


@pytest.fixture
def front(toolstack, host):
    watched = toolstack.parts[TlsFront] = Front(toolstack.state / "server.pem")
    return watched


def key_pem(made):
    return made.key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()


def test_the_certificate_is_shown_without_its_key(client, host):
    pem = client.host.get_server_certificate(host)
    assert "PRIVATE" not in pem
    assert x509.load_pem_x509_certificate(pem.encode())


def test_an_installed_certificate_is_shown_at_once_and_recorded(client, toolstack, clock, host, front):
    made = make_self_signed("other.example", ("192.0.2.1",), clock.now())
    client.host.install_server_certificate(host, as_pem(made.certificate), key_pem(made), "")
    assert client.host.get_server_certificate(host) == as_pem(made.certificate)
    assert front.shown == [made.certificate]
    (ref,) = client.host.get_certificates(host)
    record = client.Certificate.get_record(ref)
    assert (record["type"], record["host"], record["name"]) == ("host", host, "")
    assert record["not_after"] == made.certificate.not_valid_after_utc
    client.host.reset_server_certificate(host)
    assert client.host.get_server_certificate(host) != as_pem(made.certificate)
    assert len(front.shown) == 2
    (fresh,) = client.host.get_certificates(host)
    assert client.Certificate.get_fingerprint_sha256(fresh) != record["fingerprint_sha256"]


def test_the_emergency_reset_needs_no_readable_certificate(client, toolstack, host, front):
    (toolstack.state / "server.pem").write_text("damaged")
    client.host.emergency_reset_server_certificate()
    assert x509.load_pem_x509_certificate(client.host.get_server_certificate(host).encode())
    assert len(front.shown) == 1


def test_what_does_not_fit_is_refused_and_changes_nothing(client, clock, host, front):
    before = client.host.get_server_certificate(host)
    one, other = (make_self_signed("a", (), clock.now()) for _ in range(2))
    old = make_self_signed("a", (), clock.now() - timedelta(days=5000))
    late = make_self_signed("a", (), clock.now() + timedelta(days=5))

    def install(certificate, key, chain=""):
        return refused(client.host.install_server_certificate, host, certificate, key, chain)

    assert install(as_pem(one.certificate), key_pem(other)) == ("SERVER_CERTIFICATE_KEY_MISMATCH",)
    assert install("nonsense", key_pem(one)) == ("SERVER_CERTIFICATE_INVALID",)
    assert install(as_pem(one.certificate), "nonsense") == ("SERVER_CERTIFICATE_KEY_INVALID",)
    assert install(as_pem(one.certificate), key_pem(one), "nonsense") == ("SERVER_CERTIFICATE_CHAIN_INVALID",)
    assert install(as_pem(old.certificate), key_pem(old))[0] == "SERVER_CERTIFICATE_EXPIRED"
    assert install(as_pem(late.certificate), key_pem(late))[:2] == (
        "SERVER_CERTIFICATE_NOT_VALID_YET",
        "2024-01-01T00:00:00Z",
    )
    assert client.host.get_server_certificate(host) == before
    assert front.shown == []
