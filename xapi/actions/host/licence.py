"""The edition of a host. There is one edition, which restricts nothing and never ends."""

from __future__ import annotations

from collections.abc import Mapping

from xapi.datamodel.classes import Host, Pool
from xapi.datamodel.classes import host_messages as api
from xapi.datamodel.errors import HA_IS_ENABLED, INVALID_EDITION, LICENSE_PROCESSING_ERROR
from xapi.datamodel.model import Ref
from xapi.dispatch.context import Context
from xapi.dispatch.implement import implements


def assert_edition(ctx: Context, host: Ref[Host], edition: str) -> Host:
    """Refuse an edition that the host does not have: INVALID_EDITION [edition]."""
    row = ctx.db.get(Host, host)
    if edition not in row.editions:
        raise INVALID_EDITION(edition)
    return row


@implements(api.apply_edition, runs_on="host")
def apply_edition(ctx: Context, host: Ref[Host], edition: str, force: bool = False) -> None:
    """Switch the host to another of its editions; an empty name keeps the one that it has."""
    row = ctx.db.get(Host, host)
    edition = edition or row.edition
    if ctx.pool.ha_enabled and edition != row.edition:
        raise HA_IS_ENABLED()
    assert_edition(ctx, host, edition)
    with ctx.transaction() as transaction:
        transaction.update(Host, host, edition=edition)


@implements(api.license_add, runs_on="host")
def license_add(ctx: Context, host: Ref[Host], contents: str) -> None:
    """Refuse a licence file, readable or not: nothing here is licensed by one."""
    raise LICENSE_PROCESSING_ERROR()


@implements(api.license_remove, runs_on="host")
def license_remove(ctx: Context, host: Ref[Host]) -> None:
    """Fall back to what a host without a licence file has, which it has never left."""


@implements(api.set_license_params)
def set_license_params(ctx: Context, self: Ref[Host], value: Mapping[str, str]) -> None:
    """Replace what is known of the host's licence, and with it what the pool is restricted in."""
    with ctx.transaction() as transaction:
        transaction.get(Host, self)
        transaction.update(Host, self, license_params=value)
        restrictions = {key: text for key, text in value.items() if key.startswith("restrict_")}
        for pool in transaction.all(Pool):
            transaction.update(Pool, pool.ref, restrictions={**pool.restrictions, **restrictions})


@implements(api.refresh_pack_info, runs_on="host")
def refresh_pack_info(ctx: Context, host: Ref[Host]) -> None:
    """Nothing: supplemental packs cannot be installed, so that none can have come or gone."""
