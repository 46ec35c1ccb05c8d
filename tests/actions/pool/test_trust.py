from datetime import timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization

from tests.actions.refusal import refused
from xapi.system.certificate_checks import as_pem
from xapi.system.certificates import make_self_signed


@pytest.fixture
def authority(clock):
    return as_pem(make_self_signed("authority.example", (), clock.now()).certificate)


@pytest.fixture
def revocations(clock):
    made = make_self_signed("authority.example", (), clock.now())
    crl = (
        x509.CertificateRevocationListBuilder()
        .issuer_name(made.certificate.subject)
        .last_update(clock.now())
        .next_update(clock.now() + timedelta(days=1))
        .sign(made.key, hashes.SHA256())
    )
    return crl.public_bytes(serialization.Encoding.PEM).decode()


@pytest.mark.parametrize(
    ("install", "uninstall"),
    [("install_ca_certificate", "uninstall_ca_certificate"), ("certificate_install", "certificate_uninstall")],
)
def test_an_authority_is_trusted_until_it_is_uninstalled(client, toolstack, authority, install, uninstall):
    getattr(client.pool, install)("ours.pem", authority)
    assert client.pool.certificate_list() == ["ours.pem"]
    assert (toolstack.state / "certs" / "ca" / "ours.pem").read_text() == authority
    (record,) = client.Certificate.get_all_records_where('field "type" = "ca"').values()
    assert (record["name"], record["host"]) == ("ours.pem", "OpaqueRef:NULL")
    assert refused(getattr(client.pool, install), "ours.pem", authority) == ("CERTIFICATE_ALREADY_EXISTS", "ours.pem")
    client.pool.certificate_sync()
    getattr(client.pool, uninstall)("ours.pem")
    assert client.pool.certificate_list() == []
    assert client.Certificate.get_all_records_where('field "type" = "ca"') == {}
    assert refused(getattr(client.pool, uninstall), "ours.pem") == ("CERTIFICATE_DOES_NOT_EXIST", "ours.pem")


@pytest.mark.parametrize("name", ["", "../x", ".hidden", "a/b", "x" * 200, "ü"])
def test_names_become_files(client, authority, name):
    assert refused(client.pool.install_ca_certificate, name, authority) == ("CERTIFICATE_NAME_INVALID", name)
    assert refused(client.pool.uninstall_ca_certificate, name) == ("CERTIFICATE_NAME_INVALID", name)
    assert refused(client.pool.crl_uninstall, name) == ("CRL_NAME_INVALID", name)
    assert client.pool.certificate_list() == []


def test_what_is_no_certificate_of_today(client, clock):
    old = make_self_signed("a", (), clock.now() - timedelta(days=5000))
    late = make_self_signed("a", (), clock.now() + timedelta(days=5))
    assert refused(client.pool.install_ca_certificate, "a", "junk") == ("CERTIFICATE_CORRUPT", "a")
    assert refused(client.pool.install_ca_certificate, "a", as_pem(old.certificate)) == ("CA_CERTIFICATE_EXPIRED",)
    assert refused(client.pool.install_ca_certificate, "a", as_pem(late.certificate)) == (
        "CA_CERTIFICATE_NOT_VALID_YET",
    )
    assert client.pool.certificate_list() == []


def test_a_missing_file_can_be_passed_over(client, toolstack, authority):
    client.pool.install_ca_certificate("ours.pem", authority)
    (toolstack.state / "certs" / "ca" / "ours.pem").unlink()
    assert refused(client.pool.uninstall_ca_certificate, "ours.pem")[0] == "CERTIFICATE_DOES_NOT_EXIST"
    client.pool.uninstall_ca_certificate("ours.pem", True)
    assert client.Certificate.get_all_records_where('field "type" = "ca"') == {}


def test_revocation_lists(client, toolstack, revocations):
    client.pool.crl_install("ours.crl", revocations)
    assert client.pool.crl_list() == ["ours.crl"]
    assert (toolstack.state / "certs" / "crl" / "ours.crl").read_text() == revocations
    assert refused(client.pool.crl_install, "ours.crl", revocations) == ("CRL_ALREADY_EXISTS", "ours.crl")
    assert refused(client.pool.crl_install, "other", "junk") == ("CRL_CORRUPT", "other")
    client.pool.crl_uninstall("ours.crl")
    assert client.pool.crl_list() == []
    assert refused(client.pool.crl_uninstall, "ours.crl") == ("CRL_DOES_NOT_EXIST", "ours.crl")


@pytest.mark.parametrize(("ca", "kind"), [(True, "ca"), (False, "pinned")])
def test_trust_by_purpose(client, toolstack, pool, authority, ca, kind):
    client.pool.install_trusted_certificate(pool, ca, authority, ["ldaps"])
    ((ref, record),) = client.Certificate.get_all_records_where(f'field "type" = "{kind}"').items()
    assert (record["name"], record["purpose"]) == ("", ["ldaps"])
    (file,) = (toolstack.state / "certs").glob("*/*.pem")
    assert (file.stem, file.read_text()) == (record["uuid"], authority)
    assert refused(client.pool.install_trusted_certificate, pool, ca, authority, []) == (
        "TRUSTED_CERTIFICATE_ALREADY_EXISTS",
        record["fingerprint_sha256"],
    )
    client.pool.uninstall_trusted_certificate(pool, ref)
    assert client.Certificate.get_all_records_where(f'field "type" = "{kind}"') == {}
    assert not file.exists()


def test_junk_is_not_trusted_and_a_hosts_own_is_not_untrusted(client, toolstack, pool):
    assert refused(client.pool.install_trusted_certificate, pool, True, "x", []) == ("TRUSTED_CERTIFICATE_INVALID",)
    client.host.reset_server_certificate(toolstack.this_host)
    (own,) = client.host.get_certificates(toolstack.this_host)
    assert refused(client.pool.uninstall_trusted_certificate, pool, own) == ("NOT_TRUSTED_CERTIFICATE", own)
    assert refused(client.pool.uninstall_trusted_certificate, pool, "OpaqueRef:dead")[:2] == (
        "HANDLE_INVALID",
        "certificate",
    )


def test_a_hosts_part_is_for_the_coordinator(house, client, toolstack, authority, revocations):
    host = toolstack.this_host
    assert refused(client.host.certificate_list, host)[0] == "INTERNAL_ERROR"
    coordinator = house.caller(superuser=True, pool=True)
    coordinator.host.install_ca_certificate(host, "a.pem", authority)
    coordinator.host.crl_install(host, "a.crl", revocations)
    assert coordinator.host.certificate_list(host) == client.pool.certificate_list() == ["a.pem"]
    assert coordinator.host.crl_list(host) == ["a.crl"]
    coordinator.host.uninstall_ca_certificate(host, "a.pem")
    coordinator.host.crl_uninstall(host, "a.crl")
    assert (client.pool.certificate_list(), client.pool.crl_list()) == ([], [])
