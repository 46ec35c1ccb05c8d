"""What may be done with a cluster and with its members: one thing at a time."""

from __future__ import annotations

from typing import Final

from xapi.datamodel.classes.cluster import Cluster, ClusterOperation
from xapi.datamodel.classes.cluster_host import ClusterHost, ClusterHostOperation
from xapi.datamodel.errors import NOT_SUPPORTED_DURING_UPGRADE
from xapi.datamodel.failure import Failure
from xapi.lifecycle.concurrency import in_progress, others
from xapi.lifecycle.surroundings import rolling_upgrade
from xapi.lifecycle.view import View

LISTED: Final = tuple(ClusterOperation)
LISTED_FOR_MEMBERS: Final = tuple(ClusterHostOperation)
NOT_WHILE_UPGRADING: Final = frozenset({ClusterOperation.ADD, ClusterOperation.REMOVE, ClusterOperation.DESTROY})


def why_not(view: View, cluster: Cluster, operation: ClusterOperation, *, ignoring: str = "") -> Failure | None:
    """Why the cluster may not be asked for the operation now, or None."""
    current = others(cluster.current_operations, ignoring)
    if current:
        return in_progress("Cluster", cluster.ref, current)
    if operation in NOT_WHILE_UPGRADING and rolling_upgrade(view):
        return NOT_SUPPORTED_DURING_UPGRADE()
    return None


def allowed_operations(view: View, cluster: Cluster) -> tuple[ClusterOperation, ...]:
    """What the cluster may be asked for now."""
    return tuple(operation for operation in LISTED if why_not(view, cluster, operation) is None)


def why_not_member(
    _view: View, member: ClusterHost, _operation: ClusterHostOperation, *, ignoring: str = ""
) -> Failure | None:
    """Why the member of a cluster may not be asked for the operation now, or None."""
    current = others(member.current_operations, ignoring)
    return in_progress("Cluster_host", member.ref, current) if current else None


def allowed_to_member(_view: View, member: ClusterHost) -> tuple[ClusterHostOperation, ...]:
    """What the member of a cluster may be asked for now."""
    return () if member.current_operations else LISTED_FOR_MEMBERS
