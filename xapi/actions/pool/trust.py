"""Which certificates the pool trusts, which are revoked, and who may log in by showing one."""

from __future__ import annotations

import os
import uuid
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Final

from cryptography import x509

from xapi.actions.host.files import files_of
from xapi.datamodel.classes import Certificate, Host, Pool
from xapi.datamodel.classes import host_messages as host_api
from xapi.datamodel.classes import pool_messages as api
from xapi.datamodel.classes.certificate import CertificatePurpose, CertificateType
from xapi.datamodel.classes.pool import PoolAllowedOperations
from xapi.datamodel.errors import (
    CA_CERTIFICATE_EXPIRED,
    CA_CERTIFICATE_NOT_VALID_YET,
    CERTIFICATE_ALREADY_EXISTS,
    CERTIFICATE_CORRUPT,
    CERTIFICATE_DOES_NOT_EXIST,
    CERTIFICATE_NAME_INVALID,
    CRL_ALREADY_EXISTS,
    CRL_CORRUPT,
    CRL_DOES_NOT_EXIST,
    CRL_NAME_INVALID,
    HANDLE_INVALID,
    NOT_TRUSTED_CERTIFICATE,
    TRUSTED_CERTIFICATE_ALREADY_EXISTS,
    TRUSTED_CERTIFICATE_EXPIRED,
    TRUSTED_CERTIFICATE_INVALID,
    TRUSTED_CERTIFICATE_NOT_VALID_YET,
)
from xapi.datamodel.model import Ref
from xapi.db.database import Transaction
from xapi.dispatch.context import Context
from xapi.dispatch.implement import implements
from xapi.dispatch.occupy import occupied
from xapi.dispatch.toolstack import Toolstack
from xapi.system import certificate_checks as checks
from xapi.system.atomic_file import create_once, write_atomically

AUTHORITIES: Final = "ca"
REVOCATIONS: Final = "crl"
PINNED: Final = "pinned"
BY_UUID: Final = "ca-by-uuid"  # of authorities that were installed without a name


def directory(toolstack: Toolstack, kind: str) -> Path:
    """Where the files of a kind are, made if need be."""
    path = files_of(toolstack).trusted / kind
    path.mkdir(parents=True, exist_ok=True, mode=0o700)
    return path


def names_in(toolstack: Toolstack, kind: str) -> tuple[str, ...]:
    """The names of the files of a kind; those of half-written ones begin with a full stop and do not count."""
    return tuple(sorted(path.name for path in directory(toolstack, kind).iterdir() if path.name[0] != "."))


# -- certificates of authorities, by name


def _read_authority(ctx: Context, name: str, pem: str) -> x509.Certificate:
    """Check the name and the text of an authority's certificate."""
    if not checks.is_file_name(name):
        raise CERTIFICATE_NAME_INVALID(name)
    if name in names_in(ctx.toolstack, AUTHORITIES):
        raise CERTIFICATE_ALREADY_EXISTS(name)
    try:
        return checks.validate_trusted_certificate(pem, ctx.now())
    except checks.CertificateExpired:
        raise CA_CERTIFICATE_EXPIRED() from None
    except checks.CertificateNotYetValid:
        raise CA_CERTIFICATE_NOT_VALID_YET() from None
    except checks.CertificateProblem:
        raise CERTIFICATE_CORRUPT(name) from None


def _store_authority(ctx: Context, name: str, pem: str) -> x509.Certificate:
    certificate = _read_authority(ctx, name, pem)
    path = directory(ctx.toolstack, AUTHORITIES) / name
    if not create_once(path, checks.as_pem(certificate).encode(), 0o644):
        raise CERTIFICATE_ALREADY_EXISTS(name)
    return certificate


def _remove(ctx: Context, kind: str, name: str, *, force: bool) -> None:
    """Remove a file; one that is not there is an error unless forced."""
    invalid, absent = (
        (CRL_NAME_INVALID, CRL_DOES_NOT_EXIST)
        if kind == REVOCATIONS
        else (CERTIFICATE_NAME_INVALID, CERTIFICATE_DOES_NOT_EXIST)
    )
    if not checks.is_file_name(name):
        raise invalid(name)
    try:
        os.unlink(directory(ctx.toolstack, kind) / name)
    except FileNotFoundError:
        if not force:
            raise absent(name) from None


def _record(
    transaction: Transaction,
    certificate: x509.Certificate,
    kind: CertificateType,
    name: str = "",
    purpose: tuple[CertificatePurpose, ...] = (),
    identifier: str = "",
) -> Ref[Certificate]:
    known = checks.facts(certificate)
    return transaction.create(
        Certificate,
        uuid=identifier,
        name=name,
        type=kind,
        not_before=known.not_before,
        not_after=known.not_after,
        fingerprint=known.fingerprint_sha256,
        fingerprint_sha256=known.fingerprint_sha256,
        fingerprint_sha1=known.fingerprint_sha1,
        purpose=purpose,
    )


@implements(api.install_ca_certificate)
def install_ca_certificate(ctx: Context, name: str, cert: str) -> None:
    """Trust an authority from now on."""
    certificate = _store_authority(ctx, name, cert)
    with ctx.transaction() as transaction:
        _record(transaction, certificate, CertificateType.CA, name)


@implements(api.certificate_install)
def certificate_install(ctx: Context, name: str, cert: str) -> None:
    """Trust an authority from now on; the old name of the message."""
    install_ca_certificate(ctx, name, cert)


@implements(api.uninstall_ca_certificate)
def uninstall_ca_certificate(ctx: Context, name: str, force: bool = False) -> None:
    """Trust an authority no longer."""
    _remove(ctx, AUTHORITIES, name, force=force)
    with ctx.transaction() as transaction:
        for row in transaction.all(Certificate):
            if row.type == CertificateType.CA and row.name == name:
                transaction.delete(Certificate, row.ref)


@implements(api.certificate_uninstall)
def certificate_uninstall(ctx: Context, name: str) -> None:
    """Trust an authority no longer; the old name of the message."""
    uninstall_ca_certificate(ctx, name)


@implements(api.certificate_list)
def certificate_list(ctx: Context) -> tuple[str, ...]:
    """The names of the authorities that were installed by name."""
    return names_in(ctx.toolstack, AUTHORITIES)


@implements(api.certificate_sync)
def certificate_sync(ctx: Context) -> None:
    """Nothing: there are no members that could lack a certificate."""


# -- revocation lists, by name


@implements(api.crl_install)
def crl_install(ctx: Context, name: str, cert: str) -> None:
    """Keep a revocation list."""
    if not checks.is_file_name(name):
        raise CRL_NAME_INVALID(name)
    if name in names_in(ctx.toolstack, REVOCATIONS):
        raise CRL_ALREADY_EXISTS(name)
    try:
        checks.validate_revocation_list(cert)
    except checks.CertificateProblem:
        raise CRL_CORRUPT(name) from None
    if not create_once(directory(ctx.toolstack, REVOCATIONS) / name, cert.encode(), 0o644):
        raise CRL_ALREADY_EXISTS(name)


@implements(api.crl_uninstall)
def crl_uninstall(ctx: Context, name: str) -> None:
    """Drop a revocation list."""
    _remove(ctx, REVOCATIONS, name, force=False)


@implements(api.crl_list)
def crl_list(ctx: Context) -> tuple[str, ...]:
    """The names of the revocation lists."""
    return names_in(ctx.toolstack, REVOCATIONS)


# -- trusted certificates, by their object


@implements(api.install_trusted_certificate, checks_first=False)
def install_trusted_certificate(
    ctx: Context, self: Ref[Pool], ca: bool, cert: str, purpose: tuple[CertificatePurpose, ...]
) -> None:
    """Trust an authority, or one peer by its own certificate, for some purposes or for any."""
    try:
        certificate = checks.validate_trusted_certificate(cert, ctx.now())
    except checks.CertificateExpired as problem:
        raise TRUSTED_CERTIFICATE_EXPIRED(checks.as_time(problem.now), checks.as_time(problem.not_after)) from None
    except checks.CertificateNotYetValid as problem:
        raise TRUSTED_CERTIFICATE_NOT_VALID_YET(
            checks.as_time(problem.now), checks.as_time(problem.not_before)
        ) from None
    except checks.CertificateProblem:
        raise TRUSTED_CERTIFICATE_INVALID() from None
    ctx.db.get(Pool, self)
    kind = CertificateType.CA if ca else CertificateType.PINNED
    identifier = str(uuid.uuid4())
    path = _trusted_file(ctx.toolstack, kind, identifier)
    with ExitStack() as undo:
        # The file comes before the object: an object whose file is missing would promise trust that is not there.
        write_atomically(path, checks.as_pem(certificate).encode(), 0o644)
        undo.callback(path.unlink, missing_ok=True)
        with ctx.transaction() as transaction:
            _assert_new(transaction, kind, checks.facts(certificate).fingerprint_sha256)
            _record(transaction, certificate, kind, purpose=tuple(dict.fromkeys(purpose)), identifier=identifier)
        undo.pop_all()


def _assert_new(transaction: Transaction, kind: CertificateType, fingerprint: str) -> None:
    for row in transaction.all(Certificate):
        if row.type == kind and not row.name and row.fingerprint_sha256 == fingerprint:
            raise TRUSTED_CERTIFICATE_ALREADY_EXISTS(fingerprint)


def _trusted_file(toolstack: Toolstack, kind: CertificateType, identifier: str) -> Path:
    return directory(toolstack, PINNED if kind == CertificateType.PINNED else BY_UUID) / f"{identifier}.pem"


@implements(api.uninstall_trusted_certificate, checks_first=False)
def uninstall_trusted_certificate(ctx: Context, self: Ref[Pool], certificate: Ref[Certificate]) -> None:
    """Trust a certificate no longer; NOT_TRUSTED_CERTIFICATE for a host's own."""
    row = ctx.db.find(Certificate, certificate)
    if row is None:
        raise HANDLE_INVALID("certificate", certificate)  # in small letters, as the original has it here
    ctx.db.get(Pool, self)
    if row.type not in (CertificateType.CA, CertificateType.PINNED):
        raise NOT_TRUSTED_CERTIFICATE(certificate)
    if row.name:
        uninstall_ca_certificate(ctx, row.name, force=True)
        return
    with ctx.transaction() as transaction:
        transaction.delete(Certificate, certificate)
    with suppress(FileNotFoundError):
        os.unlink(_trusted_file(ctx.toolstack, row.type, row.uuid))


# -- the same on one host; these are called by the coordinator


@implements(host_api.install_ca_certificate, runs_on="host")
def host_install_ca_certificate(ctx: Context, host: Ref[Host], name: str, cert: str) -> None:
    """Put an authority's certificate on this host, without an object."""
    _store_authority(ctx, name, cert)


@implements(host_api.uninstall_ca_certificate, runs_on="host")
def host_uninstall_ca_certificate(ctx: Context, host: Ref[Host], name: str, force: bool = False) -> None:
    """Remove an authority's certificate from this host, and leave its object."""
    _remove(ctx, AUTHORITIES, name, force=force)


@implements(host_api.certificate_list, runs_on="host")
def host_certificate_list(ctx: Context, host: Ref[Host]) -> tuple[str, ...]:
    """The names of the authorities' certificates on this host."""
    return names_in(ctx.toolstack, AUTHORITIES)


@implements(host_api.crl_install, runs_on="host")
def host_crl_install(ctx: Context, host: Ref[Host], name: str, crl: str) -> None:
    """Keep a revocation list on this host."""
    crl_install(ctx, name, crl)


@implements(host_api.crl_uninstall, runs_on="host")
def host_crl_uninstall(ctx: Context, host: Ref[Host], name: str) -> None:
    """Drop a revocation list from this host."""
    _remove(ctx, REVOCATIONS, name, force=False)


@implements(host_api.certificate_sync, runs_on="host")
def host_certificate_sync(ctx: Context, host: Ref[Host]) -> None:
    """Nothing: what is trusted is read from the files themselves, each time."""


@implements(host_api.crl_list, runs_on="host")
def host_crl_list(ctx: Context, host: Ref[Host]) -> tuple[str, ...]:
    """The names of the revocation lists on this host."""
    return names_in(ctx.toolstack, REVOCATIONS)


# -- whom to believe


@implements(api.enable_tls_verification)
def enable_tls_verification(ctx: Context) -> None:
    """Check the certificates of peers on connections between hosts, from now on and for good."""
    pool = ctx.pool.ref
    with occupied(ctx, Pool, pool, PoolAllowedOperations.TLS_VERIFICATION_ENABLE), ctx.transaction() as transaction:
        transaction.update(Pool, pool, tls_verification_enabled=True)
        for host in transaction.all(Host):
            transaction.update(Host, host.ref, tls_verification_enabled=True)
