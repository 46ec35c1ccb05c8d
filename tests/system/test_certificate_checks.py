from __future__ import annotations

import base64
import hashlib
import re
import textwrap

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests.system.certificate_makers import DAY, NOW, issue, key_pem, named, pem, rsa_key
from xapi.system.certificate_checks import (
    CertificateCorrupt,
    CertificateExpired,
    CertificateNotYetValid,
    CertificateProblem,
    ChainInvalid,
    KeyAlgorithmNotSupported,
    KeyCorrupt,
    KeyHasManyPrimes,
    KeyLengthNotSupported,
    KeyMismatch,
    RevocationListCorrupt,
    SignatureNotSupported,
    as_time,
    check_key_match,
    check_signature_hash,
    facts,
    is_file_name,
    parse_certificate,
    parse_chain,
    parse_key,
    validate_revocation_list,
    validate_server_certificate,
    validate_trusted_certificate,
)

ROOT_CA = issue("root", authority=True)
MIDDLE_CA = issue("middle", "root", authority=True)
LEAF = issue("leaf", "middle")
LEAF_KEY = key_pem(rsa_key("leaf"))


def refused(certificate: str, key: str, chain: str = "") -> CertificateProblem:
    with pytest.raises(CertificateProblem) as caught:
        validate_server_certificate(certificate, key, chain, NOW)
    return caught.value


def test_a_good_set_is_put_together():
    found = validate_server_certificate(pem(LEAF), LEAF_KEY, pem(MIDDLE_CA, ROOT_CA), NOW)
    assert found.certificate == LEAF
    assert found.chain == (MIDDLE_CA, ROOT_CA)
    text = found.pem.decode()
    assert text.startswith("-----BEGIN PRIVATE KEY-----")
    assert text.endswith(pem(LEAF, MIDDLE_CA, ROOT_CA))


def test_a_chain_may_be_missing_or_start_with_the_leaf_itself():
    assert validate_server_certificate(pem(LEAF), LEAF_KEY, " \n", NOW).chain == ()
    assert validate_server_certificate(pem(LEAF), LEAF_KEY, pem(LEAF, MIDDLE_CA), NOW).chain == (MIDDLE_CA,)


def test_dos_line_ends_and_text_around_are_no_matter():
    text = "subject=leaf\r\n" + pem(LEAF).replace("\n", "\r\n") + "bye"
    assert validate_server_certificate(text, LEAF_KEY.replace("\n", "\r\n"), "", NOW).certificate == LEAF


def test_an_old_form_of_the_key_is_read():
    old = rsa_key("leaf").private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
    )
    assert validate_server_certificate(pem(LEAF), old.decode(), "", NOW).key.key_size == 2048


def test_a_chain_in_the_wrong_order_is_refused_and_says_where():
    problem = refused(pem(LEAF), LEAF_KEY, pem(ROOT_CA, MIDDLE_CA))
    assert isinstance(problem, ChainInvalid)
    assert "the certificate of CN=leaf is followed by that of CN=root" in str(problem)


def test_a_chain_with_the_right_names_and_the_wrong_keys_is_refused():
    impostor = issue("middle", key=rsa_key("impostor"), authority=True)
    assert isinstance(refused(pem(LEAF), LEAF_KEY, pem(impostor)), ChainInvalid)


@pytest.mark.parametrize("chain", ["x", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"])
def test_a_chain_that_cannot_be_read_is_refused(chain):
    assert isinstance(refused(pem(LEAF), LEAF_KEY, chain), ChainInvalid)


def test_times_are_checked_to_the_second():
    expired = issue("leaf", until=NOW - DAY / 2)
    problem = refused(pem(expired), LEAF_KEY)
    assert isinstance(problem, CertificateExpired)
    assert (as_time(problem.now), as_time(problem.not_after)) == ("2024-01-02T03:04:05Z", "2024-01-01T15:04:05Z")
    assert str(problem) == "the certificate of CN=leaf expired at 2024-01-01T15:04:05Z"
    early = issue("leaf", since=NOW + DAY / 2)
    problem = refused(pem(early), LEAF_KEY)
    assert isinstance(problem, CertificateNotYetValid)
    assert as_time(problem.not_before) == "2024-01-02T15:04:05Z"
    validate_server_certificate(pem(issue("leaf", since=NOW, until=NOW)), LEAF_KEY, "", NOW)


def test_anothers_key_is_refused():
    assert isinstance(refused(pem(LEAF), key_pem(rsa_key("middle"))), KeyMismatch)
    elliptic = issue("leaf", key=ec.generate_private_key(ec.SECP256R1()))
    assert isinstance(refused(pem(elliptic), LEAF_KEY), KeyMismatch)


@pytest.mark.parametrize(
    ("key", "algorithm"),
    [
        (ec.generate_private_key(ec.SECP256R1()), "1.2.840.10045.2.1"),
        (ed25519.Ed25519PrivateKey.generate(), "1.3.101.112"),
    ],
)
def test_keys_other_than_rsa_are_named_by_their_identifier(key, algorithm):
    problem = refused(pem(LEAF), key_pem(key))
    assert isinstance(problem, KeyAlgorithmNotSupported)
    assert problem.algorithm == algorithm


def test_short_keys_are_refused_with_their_length():
    problem = refused(pem(LEAF), key_pem(rsa_key("short", 1024)))
    assert isinstance(problem, KeyLengthNotSupported)
    assert problem.length == 1024


def test_encrypted_and_broken_keys_are_refused():
    encrypted = rsa_key("leaf").private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.BestAvailableEncryption(b"x")
    )
    problem = refused(pem(LEAF), encrypted.decode())
    assert isinstance(problem, KeyCorrupt)
    assert "encrypted" in str(problem)
    for broken in ("", "x", pem(LEAF), LEAF_KEY[:500] + LEAF_KEY[520:], "\ud800"):
        assert isinstance(refused(pem(LEAF), broken), KeyCorrupt)


def der(tag: int, content: bytes) -> bytes:
    length = len(content)
    if length < 0x80:
        return bytes([tag, length]) + content
    size = length.to_bytes((length.bit_length() + 7) // 8, "big")
    return bytes([tag, 0x80 | len(size)]) + size + content


def armour(kind: str, content: bytes) -> str:
    lines = "\n".join(textwrap.wrap(base64.b64encode(content).decode(), 64))
    return f"-----BEGIN {kind}-----\n{lines}\n-----END {kind}-----\n"


def many_primes() -> bytes:
    """An RSAPrivateKey of version 1 with a third prime; only its form is true."""
    numbers = [1, 2**2047 + 1, 65537, *[2**680 + 1] * 6]
    members = [der(2, number.to_bytes(number.bit_length() // 8 + 1, "big")) for number in numbers]
    return der(0x30, b"".join(members) + der(0x30, der(0x30, members[-1] * 3)))


def test_keys_of_many_primes_are_named():
    assert isinstance(refused(pem(LEAF), armour("RSA PRIVATE KEY", many_primes())), KeyHasManyPrimes)
    algorithm = der(0x30, bytes.fromhex("06092a864886f70d0101010500"))
    wrapped = der(0x30, der(2, b"\0") + algorithm + der(4, many_primes()))
    assert isinstance(refused(pem(LEAF), armour("PRIVATE KEY", wrapped)), KeyHasManyPrimes)


def test_weak_signatures_are_refused():
    # Nothing signs with SHA-1 any more, so the identifiers in a signed certificate are exchanged.
    content = issue("leaf").public_bytes(serialization.Encoding.DER)
    sha256, sha1 = bytes.fromhex("2a864886f70d01010b"), bytes.fromhex("2a864886f70d010105")
    assert content.count(sha256) == 2
    problem = refused(armour("CERTIFICATE", content.replace(sha256, sha1)), LEAF_KEY)
    assert isinstance(problem, SignatureNotSupported)
    assert str(problem) == "the certificate of CN=leaf is signed with sha1"
    validate_server_certificate(pem(issue("leaf", algorithm=hashes.SHA512())), LEAF_KEY, "", NOW)


@pytest.mark.parametrize("text", ["", "x", pem(LEAF, LEAF), "\ud800", pem(LEAF)[:600] + pem(LEAF)[620:]])
def test_what_is_not_one_certificate_is_refused(text):
    assert isinstance(refused(text, LEAF_KEY), CertificateCorrupt)
    with pytest.raises(CertificateCorrupt):
        validate_trusted_certificate(text, NOW)


def test_trusted_certificates_need_the_right_time_only():
    assert validate_trusted_certificate(pem(ROOT_CA), NOW) == ROOT_CA
    assert validate_trusted_certificate(pem(LEAF), NOW) == LEAF
    with pytest.raises(CertificateExpired):
        validate_trusted_certificate(pem(ROOT_CA), NOW + 2 * DAY)
    with pytest.raises(CertificateNotYetValid):
        validate_trusted_certificate(pem(ROOT_CA), NOW - 2 * DAY)


def test_revocation_lists():
    revoked = x509.RevokedCertificateBuilder().serial_number(7).revocation_date(NOW).build()
    made = (
        x509.CertificateRevocationListBuilder()
        .issuer_name(named("root"))
        .last_update(NOW)
        .next_update(NOW + DAY)
        .add_revoked_certificate(revoked)
        .sign(rsa_key("root"), hashes.SHA256())
    )
    text = made.public_bytes(serialization.Encoding.PEM).decode()
    found = validate_revocation_list(text)
    assert found.get_revoked_certificate_by_serial_number(7) is not None
    for broken in ("", pem(ROOT_CA), text[:200] + text[220:]):
        with pytest.raises(RevocationListCorrupt):
            validate_revocation_list(broken)


def test_facts_of_a_certificate():
    found = facts(LEAF)
    content = LEAF.public_bytes(serialization.Encoding.DER)
    assert (found.subject, found.issuer, found.names) == ("CN=leaf", "CN=middle", ("localhost",))
    assert (found.not_before, found.not_after) == (NOW - DAY, NOW + DAY)
    assert found.fingerprint_sha1.replace(":", "").lower() == hashlib.sha1(content).hexdigest()
    assert found.fingerprint_sha256.replace(":", "").lower() == hashlib.sha256(content).hexdigest()
    assert re.fullmatch(r"([0-9A-F]{2}:){31}[0-9A-F]{2}", found.fingerprint_sha256)
    assert not found.is_authority
    assert facts(ROOT_CA).is_authority


@pytest.mark.parametrize(
    ("name", "good"),
    [("ca.pem", True), ("a", True), ("", False), (".pem", False), ("../a", False), ("a/b", False), ("a\n", False)],
)
def test_names_become_names_of_files(name, good):
    assert is_file_name(name) is good


@given(st.binary(max_size=60), st.sampled_from(["CERTIFICATE", "PRIVATE KEY", "RSA PRIVATE KEY", "X509 CRL"]))
def test_any_bytes_are_a_problem_and_never_a_crash(content, kind):
    text = armour(kind, content)
    with pytest.raises(CertificateProblem):
        parse_key(text.encode())
    with pytest.raises(CertificateCorrupt):
        parse_certificate(text)
    with pytest.raises(RevocationListCorrupt):
        validate_revocation_list(text)


@pytest.mark.filterwarnings("ignore")  # cryptography's own, about what is odd but not wrong
@example(12, 1)  # the version
@example(61, 1)  # a type within the issuer's name
@example(61, 15)
@example(63, 128)
@settings(deadline=None, max_examples=400)
@given(st.integers(0, 799), st.integers(1, 255))
def test_any_damage_to_a_certificate_is_a_problem_or_does_not_crash(place, change):
    content = bytearray(LEAF.public_bytes(serialization.Encoding.DER))
    content[place % len(content)] ^= change
    try:
        certificate = parse_certificate(armour("CERTIFICATE", bytes(content)))
        facts(certificate)
        check_key_match(certificate, rsa_key("leaf"))
        check_signature_hash(certificate)
        parse_chain(certificate, pem(MIDDLE_CA))
    except CertificateProblem as problem:
        assert str(problem)
    else:
        # Only what lies outside of the signed part and the signature may be odd: it proves nothing and says nothing.
        assert certificate.tbs_certificate_bytes == LEAF.tbs_certificate_bytes
        assert certificate.signature == LEAF.signature
