"""TLS connections: the contexts of servers and clients, and why a certificate was refused."""

from __future__ import annotations

import ssl
from collections.abc import Sequence
from pathlib import Path

from cryptography import x509

from xapi.system.certificates import CertificateProblem, as_pem, as_time, facts, parse_certificate

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
