"""The server's own certificate, and the TLS contexts of servers and clients."""

from __future__ import annotations

import ipaddress
import re
import ssl
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from xapi.system.atomic_file import create_once, write_atomically
from xapi.system.certificate_checks import (
    SHORTEST_KEY,
    CertificateProblem,
    FileUnusable,
    ServerCertificate,
    as_pem,
    as_time,
    check_key_match,
    facts,
    parse_certificate,
    parse_certificates,
    parse_key,
)

LIFETIME = timedelta(days=3650)
# A clock that is a little slow somewhere must not find the certificate of a fresh host not yet valid.
BACKDATED = timedelta(days=1)


# -- making the server's own


def make_self_signed(hostname: str, addresses: Iterable[str], now: datetime) -> ServerCertificate:
    """A new RSA-2048 key and a certificate for it, signed by itself with SHA-256, valid for ten years.

    It is good for the host name, for localhost and the loopback addresses, and for the IP addresses given; those that
    are no IP addresses are left out.
    """
    key = rsa.generate_private_key(public_exponent=65537, key_size=SHORTEST_KEY)
    # A common name has room for 64 characters (RFC 5280); the full name stands among the alternative names.
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, hostname[:64] or "localhost")])
    public = key.public_key()
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(public)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - BACKDATED)
        .not_valid_after(now + LIFETIME)
        .add_extension(x509.SubjectAlternativeName(_alternative_names(hostname, addresses)), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(
            x509.KeyUsage(
                digital_signature=True,
                key_encipherment=True,
                content_commitment=False,
                data_encipherment=False,
                key_agreement=False,
                key_cert_sign=False,
                crl_sign=False,
                encipher_only=False,
                decipher_only=False,
            ),
            critical=True,
        )
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(public), critical=False)
        .sign(key, hashes.SHA256())
    )
    return ServerCertificate(certificate, key)


def _alternative_names(hostname: str, addresses: Iterable[str]) -> list[x509.GeneralName]:
    names = dict.fromkeys((hostname, hostname.partition(".")[0], "localhost"))
    numbers: dict[ipaddress.IPv4Address | ipaddress.IPv6Address, None] = {}
    for text in (hostname, *addresses, "127.0.0.1", "::1"):
        try:
            numbers[ipaddress.ip_address(text.partition("%")[0])] = None
        except ValueError:
            continue
    # A host name that is an address is no DNS name, and DNS names in certificates are ASCII.
    dns = [name for name in names if re.fullmatch(r"[A-Za-z0-9_](?:[A-Za-z0-9_.-]*[A-Za-z0-9])?", name)]
    if hostname in {str(number) for number in numbers}:
        dns = ["localhost"]
    return [*(x509.DNSName(name) for name in dns), *(x509.IPAddress(number) for number in numbers)]


def ensure_server_certificate(path: Path, hostname: str, addresses: Iterable[str], now: datetime) -> ServerCertificate:
    """The server certificate in the file, which is made at the first start, readable by its owner only.

    Raises CertificateProblem, naming the file, if what is there cannot be used. An expired certificate is returned
    all the same: a server with an old certificate is better than none.
    """
    if not path.exists():
        made = make_self_signed(hostname, addresses, now)
        if create_once(path, made.pem, 0o600):
            return made
    return load_server_certificate(path)


def load_server_certificate(path: Path) -> ServerCertificate:
    """The key, certificate and chain in a PEM file; raises CertificateProblem, naming the file, or OSError."""
    content = path.read_bytes()
    try:
        key = parse_key(content, checked_before=True)  # when it was put there, where nobody else can write
        certificate, *chain = parse_certificates(content)
        check_key_match(certificate, key)
    except CertificateProblem as problem:
        raise FileUnusable(f"{path}: {problem}") from problem
    return ServerCertificate(certificate, key, tuple(chain))


def store_server_certificate(path: Path, certificate: ServerCertificate) -> None:
    """Put key, certificate and chain into the server's file, atomically, readable by its owner only."""
    write_atomically(path, certificate.pem, 0o600)


# -- TLS connections

# Forward secrecy and authenticated encryption only; TLS 1.3 has nothing else, and this is for TLS 1.2.
_CIPHERS = "ECDHE+AESGCM:ECDHE+CHACHA20:!aNULL"


def server_context(path: Path) -> ssl.SSLContext:
    """The context of a server with the key, certificate and chain in this PEM file: TLS 1.2 or later.

    To change the certificate of a running server, replace the file and give it to the context's `load_cert_chain`:
    the next connections get the new one. Raises OSError (ssl.SSLError is one) if the file cannot be used.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    _harden(context)
    context.load_cert_chain(path)
    return context


def client_context(trusted: Sequence[x509.Certificate] = ()) -> ssl.SSLContext:
    """The context of a client that verifies the server's chain and its name.

    It trusts the given authorities only, or the operating system's if none is given.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    _harden(context)
    if trusted:
        context.load_verify_locations(cadata="".join(map(as_pem, trusted)))
    else:
        context.load_default_certs(ssl.Purpose.SERVER_AUTH)
    return context


def pinned_context(pinned: Sequence[x509.Certificate]) -> ssl.SSLContext:
    """The context of a client that accepts exactly these certificates, and what they signed, whatever name is in them.

    This is how hosts of a pool know one another: by the certificate itself, since their addresses change.
    """
    if not pinned:
        raise ValueError("a pinned context needs a certificate")
    context = client_context(pinned)
    context.check_hostname = False
    # Without this flag OpenSSL accepts nothing below a self-signed authority as the end of a chain.
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    return context


def unverified_context() -> ssl.SSLContext:
    """The context of a client that encrypts and takes any certificate, for pools where verification is switched off."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    _harden(context)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def _harden(context: ssl.SSLContext) -> None:
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(_CIPHERS)
    context.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION


def describe_verification_failure(problem: ssl.SSLError, server: str, presented: str | None = None) -> str:
    """A sentence on why a server's certificate was refused, and which certificate that is.

    `server` is its name or address with the port; `presented` is its certificate in PEM, where somebody has fetched it
    (Python does not tell which one it has just refused).
    """
    cause = (
        problem.verify_message if isinstance(problem, ssl.SSLCertVerificationError) else problem.reason or str(problem)
    )
    shown = f"The certificate of {server}"
    if presented is not None:
        try:
            known = facts(parse_certificate(presented))
        except CertificateProblem:
            shown += " (which cannot be read)"
        else:
            shown += (
                f" (subject {known.subject}, issuer {known.issuer}, valid from {as_time(known.not_before)}"
                f" to {as_time(known.not_after)}, SHA-256 {known.fingerprint_sha256})"
            )
    return f"{shown} was refused: {cause.rstrip('.')}."
