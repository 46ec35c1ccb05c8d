"""Where updates come from, and what stands in their way. Nothing here fetches or installs any."""

from __future__ import annotations

from typing import Final

from xapi.actions.host.evacuation import plan_evacuation
from xapi.actions.secret import replace_secret
from xapi.datamodel.classes import Host, HostMetrics, Pool, Repository
from xapi.datamodel.classes import pool_messages as api
from xapi.datamodel.classes.host import LatestSyncedUpdatesAppliedState
from xapi.datamodel.classes.pool import PoolAllowedOperations, UpdateSyncFrequency
from xapi.datamodel.classes.repository import Origin
from xapi.datamodel.errors import (
    CAN_NOT_PERIODIC_SYNC_UPDATES,
    HA_IS_ENABLED,
    HOST_OFFLINE,
    INVALID_REPOSITORY_PROXY_CREDENTIAL,
    INVALID_REPOSITORY_PROXY_URL,
    INVALID_UPDATE_SYNC_DAY,
    NO_REPOSITORIES_CONFIGURED,
    NOT_IMPLEMENTED,
    REPO_SHOULD_BE_SINGLE_ONE_ENABLED,
)
from xapi.datamodel.failure import Failure
from xapi.datamodel.model import EPOCH, NULL, Ref
from xapi.db.database import Transaction
from xapi.dispatch.context import Context
from xapi.dispatch.implement import implements

LAST_DAY: Final = 6


def _enable(transaction: Transaction, pool: str, wanted: tuple[Ref[Repository], ...]) -> None:
    """Let exactly these repositories be enabled; one that is fed by hand or by another pool stands alone."""
    rows = [transaction.get(Repository, ref) for ref in wanted]
    if len(rows) > 1 and any(row.origin != Origin.REMOTE for row in rows):
        raise REPO_SHOULD_BE_SINGLE_ONE_ENABLED()
    before = transaction.get(Pool, pool)
    for row in rows:
        if row.ref not in before.repositories:
            transaction.update(Repository, row.ref, hash="")
    values: dict[str, object] = {"repositories": wanted}
    if not wanted or any(ref not in before.repositories for ref in wanted):
        values["last_update_sync"] = EPOCH
    if any(row.origin != Origin.REMOTE for row in rows):
        values["update_sync_enabled"] = False
    if not wanted:
        for host in transaction.all(Host):
            unknown = LatestSyncedUpdatesAppliedState.UNKNOWN
            transaction.update(Host, host.ref, latest_synced_updates_applied=unknown)
    transaction.update(Pool, pool, **values)


@implements(api.set_repositories, occupies=PoolAllowedOperations.CONFIGURE_REPOSITORIES)
def set_repositories(ctx: Context, self: Ref[Pool], value: tuple[Ref[Repository], ...]) -> None:
    """Enable exactly these repositories."""
    with ctx.transaction() as transaction:
        _enable(transaction, self, tuple(dict.fromkeys(value)))


@implements(api.add_repository, occupies=PoolAllowedOperations.CONFIGURE_REPOSITORIES)
def add_repository(ctx: Context, self: Ref[Pool], value: Ref[Repository]) -> None:
    """Enable one more repository."""
    with ctx.transaction() as transaction:
        present = transaction.get(Pool, self).repositories
        if value not in present:
            _enable(transaction, self, (value, *present))


@implements(api.remove_repository, occupies=PoolAllowedOperations.CONFIGURE_REPOSITORIES)
def remove_repository(ctx: Context, self: Ref[Pool], value: Ref[Repository]) -> None:
    """Disable a repository, and keep its object; one that is not enabled is as good as disabled."""
    with ctx.transaction() as transaction:
        present = transaction.get(Pool, self).repositories
        if value in present:
            _enable(transaction, self, tuple(ref for ref in present if ref != value))


@implements(api.configure_repository_proxy, checks_first=False)
def configure_repository_proxy(ctx: Context, self: Ref[Pool], url: str, username: str, password: str) -> None:
    """Reach repositories through a proxy, with a user and a password or with neither."""
    if not url.lower().startswith(("http://", "https://")):
        raise INVALID_REPOSITORY_PROXY_URL(url)
    if bool(username) != bool(password) or "\n" in username + password:
        raise INVALID_REPOSITORY_PROXY_CREDENTIAL()
    _set_proxy(ctx, self, url, username, password)


@implements(api.disable_repository_proxy)
def disable_repository_proxy(ctx: Context, self: Ref[Pool]) -> None:
    """Reach repositories without a proxy, and forget its password."""
    _set_proxy(ctx, self, "", "", "")


def _set_proxy(ctx: Context, pool: Ref[Pool], url: str, username: str, password: str) -> None:
    with ctx.transaction() as transaction:
        secret = replace_secret(transaction, transaction.get(Pool, pool).repository_proxy_password, password)
        transaction.update(
            Pool,
            pool,
            repository_proxy_url=url,
            repository_proxy_username=username,
            repository_proxy_password=secret or NULL,
        )


@implements(api.configure_update_sync)
def configure_update_sync(
    ctx: Context, self: Ref[Pool], update_sync_frequency: UpdateSyncFrequency, update_sync_day: int
) -> None:
    """Say how often and on which day of the week updates are to be looked for; daily has no day."""
    day = update_sync_day
    if update_sync_frequency == UpdateSyncFrequency.DAILY:
        day = 0
    elif not 0 <= day <= LAST_DAY:
        raise INVALID_UPDATE_SYNC_DAY(day)
    with ctx.transaction() as transaction:
        transaction.update(Pool, self, update_sync_frequency=update_sync_frequency, update_sync_day=day)


@implements(api.set_update_sync_enabled)
def set_update_sync_enabled(ctx: Context, self: Ref[Pool], value: bool) -> None:
    """Turn the scheduled look for updates off; on it cannot be turned, as nothing fetches updates yet."""
    with ctx.transaction() as transaction:
        repositories = transaction.get(Pool, self).repositories
        if value:
            if not repositories:
                raise NO_REPOSITORIES_CONFIGURED()
            if any(transaction.get(Repository, ref).origin != Origin.REMOTE for ref in repositories):
                raise CAN_NOT_PERIODIC_SYNC_UPDATES()
            raise NOT_IMPLEMENTED("pool.set_update_sync_enabled")
        transaction.update(Pool, self, update_sync_enabled=False)


@implements(api.check_update_readiness, checks_first=False)
def check_update_readiness(ctx: Context, self: Ref[Pool], requires_reboot: bool) -> tuple[tuple[str, ...], ...]:
    """What stands in the way of updates, each as an error: HA, dead hosts, and VMs that could not leave."""
    found: list[Failure] = [HA_IS_ENABLED()] if ctx.pool.ha_enabled else []
    for host in ctx.db.all(Host):
        metrics = ctx.db.find(HostMetrics, host.metrics)
        if metrics is None or not metrics.live:
            found.append(HOST_OFFLINE(host.ref))
        elif requires_reboot:
            found += [one for one in plan_evacuation(ctx, host.ref).values() if isinstance(one, Failure)]
    return tuple(tuple(failure.description) for failure in found)
