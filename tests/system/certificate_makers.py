"""Certificates and keys of all kinds, for tests."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import NameOID

NOW = datetime(2024, 1, 2, 3, 4, 5, tzinfo=UTC)
DAY = timedelta(days=1)


@cache
def rsa_key(name: str, bits: int = 2048) -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(65537, bits)


def key_pem(key: Any) -> str:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()


def named(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


def issue(
    name: str,
    by: str | None = None,
    *,
    key: Any = None,
    authority: bool = False,
    since: datetime = NOW - DAY,
    until: datetime = NOW + DAY,
    algorithm: Any = None,
) -> x509.Certificate:
    """A certificate for the name, signed by the other name's key, or by its own."""
    key = key or rsa_key(name)
    return (
        x509.CertificateBuilder()
        .subject_name(named(name))
        .issuer_name(named(by or name))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(since)
        .not_valid_after(until)
        .add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(rsa_key(by) if by else key, algorithm or hashes.SHA256())
    )


def pem(*certificates: x509.Certificate) -> str:
    return "".join(each.public_bytes(serialization.Encoding.PEM).decode() for each in certificates)
