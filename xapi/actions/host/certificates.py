"""The certificate that this host shows to clients: read, installed, made anew."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Final, Protocol

from xapi.actions.host.files import files_of
from xapi.datamodel.classes import Certificate, Host
from xapi.datamodel.classes import host_messages as api
from xapi.datamodel.classes.certificate import CertificateType
from xapi.datamodel.errors import (
    HA_IS_ENABLED,
    SERVER_CERTIFICATE_CHAIN_INVALID,
    SERVER_CERTIFICATE_EXPIRED,
    SERVER_CERTIFICATE_INVALID,
    SERVER_CERTIFICATE_KEY_ALGORITHM_NOT_SUPPORTED,
    SERVER_CERTIFICATE_KEY_INVALID,
    SERVER_CERTIFICATE_KEY_MISMATCH,
    SERVER_CERTIFICATE_KEY_RSA_LENGTH_NOT_SUPPORTED,
    SERVER_CERTIFICATE_KEY_RSA_MULTI_NOT_SUPPORTED,
    SERVER_CERTIFICATE_NOT_VALID_YET,
    SERVER_CERTIFICATE_SIGNATURE_NOT_SUPPORTED,
)
from xapi.datamodel.failure import ErrorCode
from xapi.datamodel.model import Ref
from xapi.db.database import Transaction
from xapi.dispatch.context import Context
from xapi.dispatch.implement import implements
from xapi.dispatch.toolstack import Toolstack
from xapi.system import certificate_checks as checks
from xapi.system.certificate_checks import ServerCertificate, as_pem, facts
from xapi.system.certificates import load_server_certificate, make_self_signed, store_server_certificate


class TlsFront(Protocol):
    """The doors that show the server's certificate. The server registers itself as this part."""

    def reload_certificate(self) -> None:
        """Show what is in the file now to each new connection; raises OSError if the file cannot be used."""


PLAIN: Final[Mapping[type[checks.CertificateProblem], ErrorCode]] = {
    checks.KeyCorrupt: SERVER_CERTIFICATE_KEY_INVALID,
    checks.KeyHasManyPrimes: SERVER_CERTIFICATE_KEY_RSA_MULTI_NOT_SUPPORTED,
    checks.KeyMismatch: SERVER_CERTIFICATE_KEY_MISMATCH,
    checks.CertificateCorrupt: SERVER_CERTIFICATE_INVALID,
    checks.SignatureNotSupported: SERVER_CERTIFICATE_SIGNATURE_NOT_SUPPORTED,
    checks.ChainInvalid: SERVER_CERTIFICATE_CHAIN_INVALID,
}


@contextmanager
def _problems_told() -> Iterator[None]:
    """Let what is wrong with a server's certificate leave the block as the error that the contract has for it."""
    try:
        yield
    except checks.KeyAlgorithmNotSupported as problem:
        raise SERVER_CERTIFICATE_KEY_ALGORITHM_NOT_SUPPORTED(problem.algorithm) from None
    except checks.KeyLengthNotSupported as problem:
        raise SERVER_CERTIFICATE_KEY_RSA_LENGTH_NOT_SUPPORTED(problem.length) from None
    except checks.CertificateExpired as problem:
        raise SERVER_CERTIFICATE_EXPIRED(checks.as_time(problem.now), checks.as_time(problem.not_after)) from None
    except checks.CertificateNotYetValid as problem:
        raise SERVER_CERTIFICATE_NOT_VALID_YET(
            checks.as_time(problem.now), checks.as_time(problem.not_before)
        ) from None
    except checks.CertificateProblem as problem:
        raise PLAIN.get(type(problem), SERVER_CERTIFICATE_INVALID)() from None


@implements(api.get_server_certificate, runs_on="host")
def get_server_certificate(ctx: Context, host: Ref[Host]) -> str:
    """The host's certificate as PEM text, without its key."""
    return as_pem(load_server_certificate(files_of(ctx.toolstack).server_certificate).certificate)


@implements(api.install_server_certificate, runs_on="host")
def install_server_certificate(
    ctx: Context, host: Ref[Host], certificate: str, private_key: str, certificate_chain: str = ""
) -> None:
    """Show another certificate to clients from now on, if it, its key and its chain fit together."""
    if ctx.pool.ha_enabled:
        raise HA_IS_ENABLED()
    with _problems_told():
        checked = checks.validate_server_certificate(certificate, private_key, certificate_chain, ctx.now())
    _replace(ctx, checked)


@implements(api.reset_server_certificate, runs_on="host")
def reset_server_certificate(ctx: Context, host: Ref[Host]) -> None:
    """Show a new certificate, signed by itself, from now on."""
    _replace(ctx, _fresh(ctx))


@implements(api.emergency_reset_server_certificate)
def emergency_reset_server_certificate(ctx: Context) -> None:
    """Show a new certificate, signed by itself, from now on, even if the old one cannot be read."""
    _replace(ctx, _fresh(ctx))


def _fresh(ctx: Context) -> ServerCertificate:
    host = ctx.db.get(Host, ctx.this_host)
    # Clients may give a host any text for a name; a certificate is for a name that a network can have.
    name = host.hostname if re.fullmatch(r"[A-Za-z0-9.-]{1,253}", host.hostname) else "localhost"
    return make_self_signed(name, (host.address,), ctx.now())


def _replace(ctx: Context, certificate: ServerCertificate) -> None:
    store_server_certificate(files_of(ctx.toolstack).server_certificate, certificate)
    show_new_certificate(ctx.toolstack)
    with ctx.transaction() as transaction:
        record_server_certificate(transaction, ctx.this_host, certificate)


def show_new_certificate(toolstack: Toolstack) -> None:
    """Let the doors show the certificate that is in the file; nothing to do while there are no doors."""
    front: TlsFront | None = toolstack.parts.get(TlsFront)
    if front is not None:
        front.reload_certificate()


def record_server_certificate(
    transaction: Transaction, host: Ref[Host], certificate: ServerCertificate
) -> Ref[Certificate]:
    """Let the host's one object of type `host` tell of its certificate; also for the start of the server."""
    known = facts(certificate.certificate)
    for row in transaction.all(Certificate):
        if row.host == host and row.type == CertificateType.HOST:
            if row.fingerprint_sha256 == known.fingerprint_sha256:
                return row.ref
            transaction.delete(Certificate, row.ref)
    return transaction.create(
        Certificate,
        type=CertificateType.HOST,
        host=host,
        not_before=known.not_before,
        not_after=known.not_after,
        fingerprint=known.fingerprint_sha256,
        fingerprint_sha256=known.fingerprint_sha256,
        fingerprint_sha1=known.fingerprint_sha1,
    )
