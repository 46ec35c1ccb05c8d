"""XenAPI's class Cluster."""

from __future__ import annotations

from typing import TYPE_CHECKING

from xapi.datamodel.errors import (
    CLUSTER_DOES_NOT_HAVE_ONE_NODE,
    CLUSTER_FORCE_DESTROY_FAILED,
    CLUSTER_HOST_IS_LAST,
    CLUSTER_STACK_IN_USE,
    CLUSTERING_DISABLED,
    INVALID_CLUSTER_STACK,
    INVALID_VALUE,
    PIF_ALLOWS_UNPLUG,
    REQUIRED_PIF_IS_UNPLUGGED,
)
from xapi.datamodel.model import RW, DynamicRO, Entity, Map, Ref, SetOf, StaticRO, field, identity, many, message
from xapi.datamodel.roles import POOL_OPERATOR, READ_ONLY
from xapi.datamodel.types import WireEnum

if TYPE_CHECKING:
    from xapi.datamodel.classes.cluster_host import ClusterHost
    from xapi.datamodel.classes.network import Network
    from xapi.datamodel.classes.pif import PIF


class ClusterOperation(WireEnum):
    """What can be done to a cluster as a whole."""

    ADD = "add"
    REMOVE = "remove"
    ENABLE = "enable"
    DISABLE = "disable"
    DESTROY = "destroy"


class Cluster(Entity, since="prototyped kolkata, published lima", role=POOL_OPERATOR):
    """A group of hosts that run a cluster stack together, as clustered storage such as GFS2 requires."""

    uuid: DynamicRO[str] = identity()
    cluster_hosts: DynamicRO[SetOf[Ref[ClusterHost]]] = many("Cluster_host.cluster", "members of the cluster")
    pending_forget: DynamicRO[SetOf[str]] = field(
        "IP addresses of dead hosts that the cluster stack still has to be told to forget", default=(), since="lima"
    )
    cluster_token: StaticRO[str] = field("secret key the members use to authenticate to one another", default="")
    cluster_stack: StaticRO[str] = field("cluster software in use, such as 'corosync'", default="corosync")
    cluster_stack_version: StaticRO[int] = field(
        "major version of the cluster software", default=2, since="prototyped 24.15.0"
    )
    is_quorate: DynamicRO[bool] = field(
        "true if enough members are live for the cluster to work", default=False, since="prototyped 24.3.0"
    )
    quorum: DynamicRO[int] = field(
        "number of live members needed for the cluster to work", default=0, since="prototyped 24.3.0"
    )
    live_hosts: DynamicRO[int] = field(
        "number of members the cluster stack sees as live", default=0, since="prototyped 24.3.0"
    )
    expected_hosts: DynamicRO[int] = field(
        "number of members the cluster stack expects", default=0, since="prototyped 25.17.0"
    )
    allowed_operations: DynamicRO[SetOf[ClusterOperation]] = field(
        "cluster operations that could be started right now", default=(), since="rio", persistent=False
    )
    current_operations: DynamicRO[Map[str, ClusterOperation]] = field(
        "cluster operations in progress, keyed by the task that runs each of them",
        default={},
        since="rio",
        persistent=False,
    )
    pool_auto_join: StaticRO[bool] = field("true if hosts that join the pool also join the cluster", default=True)
    token_timeout: StaticRO[float] = field(
        "seconds without the corosync token before a member counts as failed",
        default=20.0,
        since="prototyped kolkata, changed lima, published lima",
    )
    token_timeout_coefficient: StaticRO[float] = field(
        "seconds added to the token timeout for each member beyond the second",
        default=1.0,
        since="prototyped kolkata, changed lima, published lima",
    )
    cluster_config: StaticRO[Map[str, str]] = field("further read-only settings of the cluster stack", default={})
    other_config: RW[Map[str, str]] = field("free key/value pairs kept for clients", default={})


@message(
    Cluster,
    errors=(INVALID_CLUSTER_STACK, INVALID_VALUE, PIF_ALLOWS_UNPLUG, REQUIRED_PIF_IS_UNPLUGGED),
    param_since={
        "PIF": "kolkata",
        "cluster_stack": "kolkata",
        "pool_auto_join": "kolkata",
        "token_timeout": "kolkata",
        "token_timeout_coefficient": "kolkata",
    },
)
def create(
    PIF: Ref[PIF],
    cluster_stack: str,
    pool_auto_join: bool,
    token_timeout: float = 20.0,
    token_timeout_coefficient: float = 1.0,
) -> Ref[Cluster]:
    """Set up a cluster on the network of the given PIF, with that PIF's host as its first member.

    The timeouts are in seconds.
    """


@message(Cluster, errors=(CLUSTER_DOES_NOT_HAVE_ONE_NODE, CLUSTER_STACK_IN_USE))
def destroy(self: Ref[Cluster]) -> None:
    """Remove a cluster and its remaining member.

    Refused while the cluster has more than one member.
    """


@message(Cluster, role=READ_ONLY)
def get_network(self: Ref[Cluster]) -> Ref[Network]:
    """Return the network that the members use to talk to one another.

    Members that disagree about the network raise an error.
    """


@message(
    Cluster,
    param_since={
        "network": "kolkata",
        "cluster_stack": "kolkata",
        "token_timeout": "kolkata",
        "token_timeout_coefficient": "kolkata",
    },
)
def pool_create(
    network: Ref[Network], cluster_stack: str, token_timeout: float = 20.0, token_timeout_coefficient: float = 1.0
) -> Ref[Cluster]:
    """Set up a cluster with every host of the pool as a member.

    Each host needs a PIF with an IP address on the network; the timeouts are in seconds.
    """


@message(Cluster, errors=(CLUSTER_FORCE_DESTROY_FAILED,))
def pool_force_destroy(self: Ref[Cluster]) -> None:
    """Remove the cluster from all hosts even if some of them fail to leave cleanly."""


@message(Cluster, errors=(CLUSTER_STACK_IN_USE, CLUSTERING_DISABLED, CLUSTER_HOST_IS_LAST))
def pool_destroy(self: Ref[Cluster]) -> None:
    """Make all hosts leave the cluster and remove it.

    Stops at the first host that cannot leave, for example because clustered storage is in use.
    """


@message(Cluster)
def pool_resync(self: Ref[Cluster]) -> None:
    """Add hosts that are missing from the cluster and enable those that should be."""


@message(Cluster, pool_internal=True, hidden=True)
def cstack_sync(self: Ref[Cluster]) -> None:
    """Refresh quorum and liveness in the database from the cluster stack; internal."""
