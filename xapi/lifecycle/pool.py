"""What may be done with a pool: one thing at a time, and what high availability and clustering permit."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

from xapi.datamodel.classes.cluster import Cluster
from xapi.datamodel.classes.pool import Pool
from xapi.datamodel.classes.pool import PoolAllowedOperations as Op
from xapi.datamodel.errors import (
    APPLY_UPDATES_IN_PROGRESS,
    CLUSTER_ALREADY_EXISTS,
    CLUSTER_CREATE_IN_PROGRESS,
    CONFIGURE_REPOSITORIES_IN_PROGRESS,
    DESIGNATE_NEW_MASTER_IN_PROGRESS,
    HA_DISABLE_IN_PROGRESS,
    HA_ENABLE_IN_PROGRESS,
    HA_IS_ENABLED,
    HA_NOT_ENABLED,
    INCOMPATIBLE_CLUSTER_STACK_ACTIVE,
    NOT_SUPPORTED_DURING_UPGRADE,
    POOL_SECRET_ROTATION_PENDING,
    SYNC_BUNDLE_IN_PROGRESS,
    SYNC_UPDATES_IN_PROGRESS,
    TLS_VERIFICATION_ENABLE_IN_PROGRESS,
)
from xapi.datamodel.failure import ErrorCode, Failure
from xapi.lifecycle.concurrency import in_progress, others
from xapi.lifecycle.surroundings import rolling_upgrade
from xapi.lifecycle.view import View

# Each of these is told by name when it stops another of them.
BLOCKING: Final[Mapping[Op, ErrorCode]] = {
    Op.HA_ENABLE: HA_ENABLE_IN_PROGRESS,
    Op.HA_DISABLE: HA_DISABLE_IN_PROGRESS,
    Op.CLUSTER_CREATE: CLUSTER_CREATE_IN_PROGRESS,
    Op.DESIGNATE_NEW_MASTER: DESIGNATE_NEW_MASTER_IN_PROGRESS,
    Op.TLS_VERIFICATION_ENABLE: TLS_VERIFICATION_ENABLE_IN_PROGRESS,
    Op.CONFIGURE_REPOSITORIES: CONFIGURE_REPOSITORIES_IN_PROGRESS,
    Op.SYNC_UPDATES: SYNC_UPDATES_IN_PROGRESS,
    Op.SYNC_BUNDLE: SYNC_BUNDLE_IN_PROGRESS,
    Op.APPLY_UPDATES: APPLY_UPDATES_IN_PROGRESS,
}
# These are short and mostly internal: who meets one may wait for it.
WAITING: Final = (
    Op.CERT_REFRESH,
    Op.EXCHANGE_CERTIFICATES_ON_JOIN,
    Op.EXCHANGE_CA_CERTIFICATES_ON_JOIN,
    Op.EXCHANGE_CRLS_ON_JOIN,
    Op.COPY_PRIMARY_HOST_CERTS,
    Op.EJECT,
    Op.GET_UPDATES,
)
LISTED: Final = (*BLOCKING, *WAITING)
EVERYTHING: Final = frozenset(LISTED)


def refusals(view: View, pool: Pool, ignoring: str = "") -> Iterator[tuple[frozenset[Op], Failure]]:
    """What stands against operations on a pool; of several against one operation, the first counts."""
    if pool.is_psr_pending:
        yield EVERYTHING, POOL_SECRET_ROTATION_PENDING()
    current = others(pool.current_operations, ignoring)
    if current:
        blocking = {operation for _, operation in current}
        first = next((error for operation, error in BLOCKING.items() if operation in blocking), None)
        if first is not None:
            yield frozenset(BLOCKING), first()
        yield EVERYTHING, in_progress("pool", pool.ref, current[:1])
    if pool.ha_enabled:
        yield frozenset({Op.HA_ENABLE, Op.TLS_VERIFICATION_ENABLE}), HA_IS_ENABLED()
    else:
        yield frozenset({Op.HA_DISABLE}), HA_NOT_ENABLED()
    if rolling_upgrade(view):
        yield frozenset({Op.CLUSTER_CREATE, Op.TLS_VERIFICATION_ENABLE}), NOT_SUPPORTED_DURING_UPGRADE()
    if view.all(Cluster):
        yield frozenset({Op.CLUSTER_CREATE}), CLUSTER_ALREADY_EXISTS()
    elif pool.ha_enabled:
        yield frozenset({Op.CLUSTER_CREATE}), INCOMPATIBLE_CLUSTER_STACK_ACTIVE(pool.ha_cluster_stack)


def why_not(view: View, pool: Pool, operation: Op, *, ignoring: str = "") -> Failure | None:
    """Why the pool may not be asked for the operation now, or None."""
    return next((failure for refused, failure in refusals(view, pool, ignoring) if operation in refused), None)


def allowed_operations(view: View, pool: Pool) -> tuple[Op, ...]:
    """What the pool may be asked for now, in the order of the list."""
    left = set(EVERYTHING)
    for refused, _ in refusals(view, pool):
        left -= refused
    return tuple(operation for operation in LISTED if operation in left)
