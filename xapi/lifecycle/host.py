"""What may be done with a host: what brings VMs and what drives them away exclude one another."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

from xapi.datamodel.classes.cluster_host import ClusterHost
from xapi.datamodel.classes.host import Host
from xapi.datamodel.classes.host import HostAllowedOperations as Op
from xapi.datamodel.classes.host_metrics import HostMetrics
from xapi.datamodel.classes.sr import SR
from xapi.datamodel.errors import CLUSTERED_SR_DEGRADED, HOST_IS_LIVE, HOST_NOT_DISABLED, HOST_POWER_ON_MODE_DISABLED
from xapi.datamodel.failure import Failure
from xapi.lifecycle.concurrency import in_progress, others
from xapi.lifecycle.surroundings import is_plugged
from xapi.lifecycle.view import View

Refusal = tuple[frozenset[Op], Failure]

LISTED: Final = (
    Op.PROVISION,
    Op.EVACUATE,
    Op.REBOOT,
    Op.SHUTDOWN,
    Op.VM_START,
    Op.VM_RESUME,
    Op.VM_MIGRATE,
    Op.POWER_ON,
    Op.APPLY_UPDATES,
    Op.ENABLE,
)
BRINGING: Final = frozenset({Op.PROVISION, Op.VM_RESUME, Op.VM_MIGRATE})
DRIVING_AWAY: Final = frozenset({Op.EVACUATE, Op.REBOOT, Op.SHUTDOWN})
INTERRUPTING: Final = frozenset({Op.REBOOT, Op.SHUTDOWN, Op.APPLY_UPDATES})

# While the first goes on, none of the others may begin.
EXCLUDED: Final[Mapping[Op, frozenset[Op]]] = {
    **dict.fromkeys(BRINGING, DRIVING_AWAY),
    **dict.fromkeys(DRIVING_AWAY, BRINGING),
    Op.REBOOT: BRINGING | {Op.SHUTDOWN, Op.APPLY_UPDATES},
    Op.SHUTDOWN: BRINGING | {Op.REBOOT, Op.APPLY_UPDATES},
    Op.APPLY_UPDATES: frozenset({Op.REBOOT, Op.SHUTDOWN, Op.ENABLE}),
    Op.PROVISION: DRIVING_AWAY | {Op.PROVISION},  # one at a time: it is hard work for the control domain
    Op.ENABLE: frozenset({Op.APPLY_UPDATES}),
}


def _by_clustered_storage(view: View) -> Iterator[Refusal]:
    """A cluster that has lost a member may not lose another."""
    shared = next((sr for sr in view.all(SR) if sr.clustered and is_plugged(view, sr)), None)
    if shared is None:
        return
    members = {member.host for member in view.all(ClusterHost) if member.enabled}
    for host in view.all(Host):
        metrics = view.find(HostMetrics, host.metrics)
        if host.ref in members and metrics is not None and not metrics.live:
            yield INTERRUPTING, CLUSTERED_SR_DEGRADED(shared.ref)
            return


def refusals(view: View, host: Host, ignoring: str = "") -> Iterator[Refusal]:
    """What stands against operations on a host; of several against one operation, the first counts."""
    for task, operation in others(host.current_operations, ignoring):
        excluded = EXCLUDED.get(operation)
        if excluded:
            yield excluded, in_progress("host", host.ref, ((task, operation),))
    if host.enabled:
        yield INTERRUPTING, HOST_NOT_DISABLED()
    metrics = view.find(HostMetrics, host.metrics)
    if metrics is not None and metrics.live:
        yield frozenset({Op.POWER_ON}), HOST_IS_LIVE(host.ref)
    if host.power_on_mode == "":
        yield frozenset({Op.POWER_ON}), HOST_POWER_ON_MODE_DISABLED()
    yield from _by_clustered_storage(view)


def why_not(view: View, host: Host, operation: Op, *, ignoring: str = "") -> Failure | None:
    """Why the host may not be asked for the operation now, or None."""
    return next((failure for refused, failure in refusals(view, host, ignoring) if operation in refused), None)


def allowed_operations(view: View, host: Host) -> tuple[Op, ...]:
    """What the host may be asked for now, in the order of the list."""
    left = set(LISTED)
    for refused, _ in refusals(view, host):
        left -= refused
    return tuple(operation for operation in LISTED if operation in left)
