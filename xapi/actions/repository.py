"""Where updates would come from (XenAPI's class Repository)."""

from __future__ import annotations

from urllib.parse import urlsplit

from xapi.datamodel.classes import Pool, Repository
from xapi.datamodel.classes import repository as api
from xapi.datamodel.classes.repository import Origin
from xapi.datamodel.errors import (
    BUNDLE_REPOSITORY_ALREADY_EXISTS,
    INVALID_BASE_URL,
    INVALID_GPGKEY_PATH,
    REPOSITORY_ALREADY_EXISTS,
    REPOSITORY_IS_IN_USE,
    TRUSTED_CERTIFICATE_INVALID,
)
from xapi.datamodel.model import Ref
from xapi.db.database import Transaction
from xapi.dispatch.context import Context
from xapi.dispatch.implement import implements
from xapi.system import certificate_checks as checks


def _assert_url(url: str) -> None:
    """Refuse what is no web address of a host."""
    try:
        parts = urlsplit(url)
        host = parts.hostname
    except ValueError:
        raise INVALID_BASE_URL(url) from None
    if parts.scheme not in ("http", "https") or not host:
        raise INVALID_BASE_URL(url)


def _assert_gpgkey_path(path: str) -> None:
    """Refuse what is not a plain file's name; empty stands for the usual key."""
    if "/" in path or path in (".", ".."):
        raise INVALID_GPGKEY_PATH(path)


def _assert_new(transaction: Transaction, name_label: str, binary_url: str) -> None:
    for row in transaction.all(Repository):
        if row.name_label == name_label or (binary_url and row.binary_url == binary_url):
            raise REPOSITORY_ALREADY_EXISTS(row.ref)


@implements(api.introduce)
def introduce(
    ctx: Context,
    name_label: str,
    name_description: str,
    binary_url: str,
    source_url: str,
    update: bool,
    gpgkey_path: str = "",
) -> Ref[Repository]:
    """Note a repository on the web."""
    _assert_url(binary_url)
    if source_url:
        _assert_url(source_url)
    _assert_gpgkey_path(gpgkey_path)
    with ctx.transaction() as transaction:
        _assert_new(transaction, name_label, binary_url)
        return transaction.create(
            Repository,
            name_label=name_label,
            name_description=name_description,
            binary_url=binary_url,
            source_url=source_url,
            update=update,
            gpgkey_path=gpgkey_path,
            origin=Origin.REMOTE,
        )


@implements(api.introduce_bundle)
def introduce_bundle(ctx: Context, name_label: str, name_description: str) -> Ref[Repository]:
    """Note the one repository that is filled from an uploaded file."""
    with ctx.transaction() as transaction:
        for row in transaction.all(Repository):
            if row.origin == Origin.BUNDLE:
                raise BUNDLE_REPOSITORY_ALREADY_EXISTS(row.ref)
        _assert_new(transaction, name_label, "")
        return transaction.create(
            Repository, name_label=name_label, name_description=name_description, update=True, origin=Origin.BUNDLE
        )


@implements(api.introduce_remote_pool)
def introduce_remote_pool(
    ctx: Context, name_label: str, name_description: str, binary_url: str, certificate: str
) -> Ref[Repository]:
    """Note another pool, whose coordinator is known by its certificate, as a repository."""
    _assert_url(binary_url)
    try:
        checks.parse_certificate(certificate)
    except checks.CertificateProblem:
        raise TRUSTED_CERTIFICATE_INVALID() from None
    with ctx.transaction() as transaction:
        _assert_new(transaction, name_label, binary_url)
        return transaction.create(
            Repository,
            name_label=name_label,
            name_description=name_description,
            binary_url=binary_url,
            update=True,
            origin=Origin.REMOTE_POOL,
            certificate=certificate,
        )


@implements(api.forget)
def forget(ctx: Context, self: Ref[Repository]) -> None:
    """Forget a repository that the pool does not use."""
    with ctx.transaction() as transaction:
        if any(self in pool.repositories for pool in transaction.all(Pool)):
            raise REPOSITORY_IS_IN_USE()
        transaction.delete(Repository, self)


@implements(api.set_gpgkey_path)
def set_gpgkey_path(ctx: Context, self: Ref[Repository], value: str) -> None:
    """Name another key by which the repository is checked."""
    _assert_gpgkey_path(value)
    with ctx.transaction() as transaction:
        transaction.update(Repository, self, gpgkey_path=value)
