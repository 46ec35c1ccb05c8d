"""What X.509 certificates, keys, chains and revocation lists say, and what is wrong with them."""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import pairwise

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed448, ed25519, rsa, x448, x25519
from cryptography.x509.oid import PublicKeyAlgorithmOID

SHORTEST_KEY = 2048
LONGEST_KEY = 4096

_KEY_OIDS = (
    (ec.EllipticCurvePrivateKey, PublicKeyAlgorithmOID.EC_PUBLIC_KEY),
    (dsa.DSAPrivateKey, PublicKeyAlgorithmOID.DSA),
    (ed25519.Ed25519PrivateKey, PublicKeyAlgorithmOID.ED25519),
    (ed448.Ed448PrivateKey, PublicKeyAlgorithmOID.ED448),
    (x25519.X25519PrivateKey, PublicKeyAlgorithmOID.X25519),
    (x448.X448PrivateKey, PublicKeyAlgorithmOID.X448),
)

# What cryptography raises for damaged certificates, in one version or another.
_UNREADABLE = (
    ValueError,
    TypeError,
    UnsupportedAlgorithm,
    x509.InvalidVersion,
    x509.DuplicateExtension,
    x509.UnsupportedGeneralNameType,
)


class CertificateProblem(Exception):
    """What is wrong with a certificate, a key, a chain or a revocation list; the text says of which one."""


class KeyCorrupt(CertificateProblem):
    """The private key cannot be read."""


class KeyAlgorithmNotSupported(CertificateProblem):
    """The private key is not an RSA key; `algorithm` is the object identifier of what it is, or empty."""

    def __init__(self, algorithm: str) -> None:
        super().__init__(f"the private key is of the algorithm {algorithm or 'unknown'}; only RSA is supported")
        self.algorithm = algorithm


class KeyLengthNotSupported(CertificateProblem):
    """The RSA key is too short to be safe or too long to be quick; `length` is its number of bits."""

    def __init__(self, length: int) -> None:
        super().__init__(f"the RSA key has {length} bits; {SHORTEST_KEY} to {LONGEST_KEY} are supported")
        self.length = length


class KeyHasManyPrimes(CertificateProblem):
    """The RSA key is a product of more than two primes (RFC 8017, version 1)."""


class KeyMismatch(CertificateProblem):
    """The private key is not the one of the certificate."""


class CertificateCorrupt(CertificateProblem):
    """A certificate cannot be read, or there is none, or more than one, where one belongs."""


class SignatureNotSupported(CertificateProblem):
    """The certificate is signed with a hash other than SHA-256, SHA-384 or SHA-512."""


class ChainInvalid(CertificateProblem):
    """The certificates above the server's cannot be read, or don't each sign the one before."""


class CertificateExpired(CertificateProblem):
    """The certificate's time is over: `now` is after `not_after`."""

    def __init__(self, whose: str, now: datetime, not_after: datetime) -> None:
        super().__init__(f"the certificate of {whose} expired at {as_time(not_after)}")
        self.now = now
        self.not_after = not_after


class CertificateNotYetValid(CertificateProblem):
    """The certificate's time is still to come: `now` is before `not_before`."""

    def __init__(self, whose: str, now: datetime, not_before: datetime) -> None:
        super().__init__(f"the certificate of {whose} is not valid before {as_time(not_before)}")
        self.now = now
        self.not_before = not_before


class FileUnusable(CertificateProblem):
    """The file of the server's certificate cannot be used; the cause is one of the other problems."""


class RevocationListCorrupt(CertificateProblem):
    """A certificate revocation list cannot be read."""


def as_time(moment: datetime) -> str:
    """A moment as RFC 3339 writes it, in UTC; the form of the parameters of SERVER_CERTIFICATE_EXPIRED."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


@dataclass(frozen=True, slots=True)
class CertificateFacts:
    """What the XenAPI shows of a certificate; fingerprints are upper-case hexadecimal bytes joined by colons."""

    subject: str
    issuer: str
    names: tuple[str, ...]
    not_before: datetime
    not_after: datetime
    fingerprint_sha1: str
    fingerprint_sha256: str
    is_authority: bool


@dataclass(frozen=True, slots=True)
class ServerCertificate:
    """A certificate with its private key and the certificates above it, the nearest first."""

    certificate: x509.Certificate
    key: rsa.RSAPrivateKey
    chain: tuple[x509.Certificate, ...] = ()

    @property
    def pem(self) -> bytes:
        """Key, certificate and chain, as the file of the server holds them."""
        key = self.key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        return b"".join((key, *(as_pem(each).encode() for each in (self.certificate, *self.chain))))


def as_pem(certificate: x509.Certificate) -> str:
    """A certificate as PEM text, without any key."""
    return certificate.public_bytes(serialization.Encoding.PEM).decode()


def facts(certificate: x509.Certificate) -> CertificateFacts:
    """What there is to show of a certificate."""
    names: list[str] = []
    is_authority = False
    for extension in certificate.extensions:
        if isinstance(extension.value, x509.SubjectAlternativeName):
            names += extension.value.get_values_for_type(x509.DNSName)
            names += [str(address) for address in extension.value.get_values_for_type(x509.IPAddress)]
        elif isinstance(extension.value, x509.BasicConstraints):
            is_authority = extension.value.ca
    der = certificate.public_bytes(serialization.Encoding.DER)
    return CertificateFacts(
        subject=certificate.subject.rfc4514_string(),
        issuer=certificate.issuer.rfc4514_string(),
        names=tuple(names),
        not_before=certificate.not_valid_before_utc,
        not_after=certificate.not_valid_after_utc,
        fingerprint_sha1=_colons(hashlib.sha1(der, usedforsecurity=False).digest()),
        fingerprint_sha256=_colons(hashlib.sha256(der).digest()),
        is_authority=is_authority,
    )


def _colons(digest: bytes) -> str:
    return digest.hex(":").upper()


def _whose(certificate: x509.Certificate) -> str:
    return certificate.subject.rfc4514_string() or "a subject without a name"


# -- checking what somebody wants to install


def validate_server_certificate(certificate: str, key: str, chain: str, now: datetime) -> ServerCertificate:
    """Check three PEM texts, as host.install_server_certificate gets them, and put them together.

    `chain` may be empty; otherwise it holds the certificates that sign each other upwards, the nearest first. (If it
    starts with the server's certificate itself, as bundles often do, that one is left out.) Raises CertificateProblem.
    """
    private = parse_key(key.encode(errors="replace"))
    leaf = parse_certificate(certificate)
    check_validity(leaf, now)
    check_key_match(leaf, private)
    check_signature_hash(leaf)
    return ServerCertificate(leaf, private, parse_chain(leaf, chain))


def parse_certificate(pem: str) -> x509.Certificate:
    """The one certificate in a PEM text; raises CertificateCorrupt if there is none, or more than one."""
    found = parse_certificates(pem.encode(errors="replace"))
    if len(found) != 1:
        raise CertificateCorrupt(f"there are {len(found)} certificates where one belongs")
    return found[0]


def parse_certificates(pem: bytes) -> list[x509.Certificate]:
    """All certificates in a PEM text, at least one; raises CertificateCorrupt."""
    try:
        found = x509.load_pem_x509_certificates(pem)
        for certificate in found:
            # cryptography reads these only when they are asked for; later there would be nobody to complain to.
            _ = (certificate.subject, certificate.issuer, certificate.not_valid_before_utc)
            _ = (certificate.not_valid_after_utc, certificate.extensions)
    except _UNREADABLE as problem:
        raise CertificateCorrupt(f"the certificate cannot be read: {problem}") from None
    return found


def check_validity(certificate: x509.Certificate, now: datetime) -> None:
    """Raise CertificateNotYetValid or CertificateExpired if this is not the certificate's time."""
    if now < certificate.not_valid_before_utc:
        raise CertificateNotYetValid(_whose(certificate), now, certificate.not_valid_before_utc)
    if now > certificate.not_valid_after_utc:
        raise CertificateExpired(_whose(certificate), now, certificate.not_valid_after_utc)


def validate_trusted_certificate(pem: str, now: datetime) -> x509.Certificate:
    """Check a certificate that is to be trusted, an authority's or a peer's own; raises CertificateProblem."""
    certificate = parse_certificate(pem)
    check_validity(certificate, now)
    return certificate


def validate_revocation_list(pem: str) -> x509.CertificateRevocationList:
    """The certificate revocation list in a PEM text; raises RevocationListCorrupt."""
    try:
        return x509.load_pem_x509_crl(pem.encode(errors="replace"))
    except (ValueError, UnsupportedAlgorithm) as problem:
        raise RevocationListCorrupt(f"the revocation list cannot be read: {problem}") from None


def is_file_name(name: str) -> bool:
    """Whether an installed certificate or revocation list may have this name: it becomes the name of a file."""
    return re.fullmatch(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,127}", name) is not None


def parse_key(pem: bytes, *, checked_before: bool = False) -> rsa.RSAPrivateKey:
    """The RSA key in a PEM text; raises one of the four problems of keys alone.

    Whether its numbers make an RSA key takes tens of milliseconds to find out, and is taken for granted of a key that
    was `checked_before`.
    """
    try:
        key = serialization.load_pem_private_key(pem, None, unsafe_skip_rsa_key_validation=checked_before)
    except TypeError:
        raise KeyCorrupt("the private key is encrypted; a server needs it without a pass phrase") from None
    except UnsupportedAlgorithm:
        raise KeyAlgorithmNotSupported("") from None
    except ValueError as problem:
        if _has_many_primes(pem):
            raise KeyHasManyPrimes("the RSA key has more than two primes") from None
        raise KeyCorrupt(f"the private key cannot be read: {problem}") from None
    if not isinstance(key, rsa.RSAPrivateKey):
        oids = [oid.dotted_string for kind, oid in _KEY_OIDS if isinstance(key, kind)]
        raise KeyAlgorithmNotSupported(oids[0] if oids else "")
    if not SHORTEST_KEY <= key.key_size <= LONGEST_KEY:
        raise KeyLengthNotSupported(key.key_size)
    return key


def _has_many_primes(pem: bytes) -> bool:
    """Whether this is an RSA private key of version 1; cryptography only says that it cannot read such a key."""
    match = re.search(rb"-----BEGIN (?:RSA )?PRIVATE KEY-----([A-Za-z0-9+/=\s]+)-----END", pem)
    if match is None:
        return False
    try:
        der = base64.b64decode(b"".join(match[1].split()))
    except binascii.Error:
        return False
    # RSAPrivateKey is SEQUENCE { INTEGER version, INTEGER modulus, … }; a version 0 in front may also be that of
    # PKCS #8, and the RSAPrivateKey then stands in an OCTET STRING.
    fields = _der_sequence(der)
    if len(fields) >= 3 and fields[0] == (_INTEGER, b"\0") and fields[2][0] == _OCTET_STRING:
        fields = _der_sequence(fields[2][1])
    return len(fields) >= 2 and fields[0] == (_INTEGER, b"\1") and fields[1][0] == _INTEGER


_INTEGER, _OCTET_STRING, _SEQUENCE = 0x02, 0x04, 0x30


def _der_sequence(der: bytes) -> list[tuple[int, bytes]]:
    """Tag and content of each member of the sequence that a DER text is; empty if it is none."""
    outer = _der_fields(der)
    return _der_fields(outer[0][1]) if outer and outer[0][0] == _SEQUENCE else []


def _der_fields(der: bytes) -> list[tuple[int, bytes]]:
    fields = []
    start = 0
    while start + 2 <= len(der):
        tag, length = der[start], der[start + 1]
        start += 2
        if length & 0x80:  # the long form: the low bits count the bytes of the length
            width = length & 0x7F
            length = int.from_bytes(der[start : start + width], "big")
            start += width
        fields.append((tag, der[start : start + length]))
        start += length
    return fields


def check_key_match(certificate: x509.Certificate, key: rsa.RSAPrivateKey) -> None:
    """Raise KeyMismatch unless the certificate is for this key."""
    try:
        public = certificate.public_key()
    except (ValueError, UnsupportedAlgorithm):
        public = None
    if not isinstance(public, rsa.RSAPublicKey) or public.public_numbers() != key.public_key().public_numbers():
        raise KeyMismatch(f"the private key is not the one of the certificate of {_whose(certificate)}")


def check_signature_hash(certificate: x509.Certificate) -> None:
    """Raise SignatureNotSupported if the certificate is signed with a hash that has been broken, or is not known."""
    try:
        algorithm = certificate.signature_hash_algorithm
    except UnsupportedAlgorithm:
        algorithm = None
    if not isinstance(algorithm, hashes.SHA256 | hashes.SHA384 | hashes.SHA512):
        name = algorithm.name if algorithm is not None else certificate.signature_algorithm_oid.dotted_string
        raise SignatureNotSupported(f"the certificate of {_whose(certificate)} is signed with {name}")


def parse_chain(leaf: x509.Certificate, pem: str) -> tuple[x509.Certificate, ...]:
    """The certificates in a PEM text, each of which signed the one before, the first one the leaf; or ChainInvalid."""
    if not pem.strip():
        return ()
    try:
        chain = parse_certificates(pem.encode(errors="replace"))
    except CertificateCorrupt as problem:
        raise ChainInvalid(f"in the chain, {problem}") from None
    if chain[0] == leaf:
        del chain[0]
    for lower, upper in pairwise((leaf, *chain)):
        try:
            lower.verify_directly_issued_by(upper)
        except (ValueError, TypeError, InvalidSignature, UnsupportedAlgorithm):
            raise ChainInvalid(
                f"in the chain, the certificate of {_whose(lower)} is followed by that of {_whose(upper)},"
                " which did not sign it"
            ) from None
    return tuple(chain)
