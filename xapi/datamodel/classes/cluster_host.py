"""XenAPI's class Cluster_host."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

from xapi.datamodel.errors import (
    CLUSTER_HOST_IS_LAST,
    CLUSTER_STACK_IN_USE,
    CLUSTERING_DISABLED,
    NO_CLUSTER_HOSTS_REACHABLE,
    PIF_ALLOWS_UNPLUG,
    PIF_NOT_ATTACHED_TO_HOST,
    REQUIRED_PIF_IS_UNPLUGGED,
)
from xapi.datamodel.model import EPOCH, NULL, DynamicRO, Entity, Map, Ref, SetOf, StaticRO, field, identity, message
from xapi.datamodel.roles import LOCAL_ROOT, POOL_OPERATOR
from xapi.datamodel.types import WireEnum

if TYPE_CHECKING:
    from xapi.datamodel import classes
    from xapi.datamodel.classes.cluster import Cluster
    from xapi.datamodel.classes.host import Host
    from xapi.datamodel.classes.pif import PIF


class ClusterHostOperation(WireEnum):
    """What can be done to a single member of a cluster."""

    ENABLE = "enable"
    DISABLE = "disable"
    DESTROY = "destroy"


class ClusterHost(Entity, name="Cluster_host", since="prototyped kolkata, published lima", role=POOL_OPERATOR):
    """The membership of one host in a cluster."""

    uuid: DynamicRO[str] = identity()
    cluster: StaticRO[Ref[Cluster]] = field("cluster the host belongs to", default=NULL)
    host: StaticRO[Ref[Host]] = field("host that this membership is about", default=NULL)
    enabled: DynamicRO[bool] = field("true if the cluster stack is meant to run on the host", default=False)
    PIF: StaticRO[Ref[classes.PIF]] = field("interface the host uses for cluster traffic", default=NULL)
    joined: DynamicRO[bool] = field("true once the host has joined the cluster", default=True)
    live: DynamicRO[bool] = field(
        "true if the cluster stack sees the host as live", default=False, since="prototyped 24.3.0"
    )
    last_update_live: DynamicRO[datetime] = field(
        "when the liveness of the host was last refreshed", default=EPOCH, since="prototyped 24.3.0"
    )
    allowed_operations: DynamicRO[SetOf[ClusterHostOperation]] = field(
        "membership operations that could be started right now", default=(), since="rio", persistent=False
    )
    current_operations: DynamicRO[Map[str, ClusterHostOperation]] = field(
        "membership operations in progress, keyed by the task that runs each of them",
        default={},
        since="rio",
        persistent=False,
    )
    other_config: StaticRO[Map[str, str]] = field("free key/value pairs kept for clients", default={})


@message(ClusterHost, errors=(PIF_NOT_ATTACHED_TO_HOST, NO_CLUSTER_HOSTS_REACHABLE))
def create(cluster: Ref[Cluster], host: Ref[Host], pif: Ref[PIF]) -> Ref[ClusterHost]:
    """Add a host to a cluster through the given PIF.

    The PIF must be plugged, hold an IP address and be protected against unplugging.
    """


@message(ClusterHost, errors=(CLUSTER_STACK_IN_USE, CLUSTERING_DISABLED, CLUSTER_HOST_IS_LAST))
def destroy(self: Ref[ClusterHost]) -> None:
    """Make a host leave the cluster and delete its membership.

    The last member is refused; use Cluster.destroy for it.
    """


@message(ClusterHost, errors=(PIF_ALLOWS_UNPLUG, REQUIRED_PIF_IS_UNPLUGGED))
def enable(self: Ref[ClusterHost]) -> None:
    """Start the cluster stack on a member that was disabled."""


@message(ClusterHost, errors=(CLUSTER_STACK_IN_USE,))
def force_destroy(self: Ref[ClusterHost]) -> None:
    """Remove a host from the cluster even if it fails to leave cleanly."""


@message(ClusterHost, role=LOCAL_ROOT, since="lima", hidden=True)
def forget(self: Ref[ClusterHost]) -> None:
    """Remove a host that is dead for good from the cluster.

    The host must be offline, and must never return to the cluster as it was.
    """


@message(ClusterHost, errors=(CLUSTER_STACK_IN_USE,))
def disable(self: Ref[ClusterHost]) -> None:
    """Stop the cluster stack on a member.

    Refused while the host uses clustered storage or HA relies on the cluster.
    """
