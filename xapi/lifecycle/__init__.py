"""Which operation is allowed when: pure tables.

`why_not` refuses a call, `allowed_operations` fills the field of that name by the same tables, and `dependants` says
whose field must be filled anew when a row changes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from xapi.datamodel.classes.cluster import Cluster
from xapi.datamodel.classes.cluster_host import ClusterHost
from xapi.datamodel.classes.host import Host
from xapi.datamodel.classes.network import Network
from xapi.datamodel.classes.pool import Pool
from xapi.datamodel.classes.sr import SR
from xapi.datamodel.classes.task import Task
from xapi.datamodel.classes.vbd import VBD
from xapi.datamodel.classes.vdi import VDI
from xapi.datamodel.classes.vif import VIF
from xapi.datamodel.classes.vm import VM
from xapi.datamodel.classes.vm_appliance import VMAppliance
from xapi.datamodel.classes.vtpm import VTPM
from xapi.datamodel.classes.vusb import VUSB
from xapi.datamodel.failure import Failure
from xapi.datamodel.model import Entity
from xapi.datamodel.types import WireEnum
from xapi.lifecycle import appliance, cluster, host, network, pool, sr, task, vbd, vdi, vif, vm, vtpm, vusb
from xapi.lifecycle.dependants import dependants as dependants
from xapi.lifecycle.view import View as View


@dataclass(frozen=True, slots=True)
class Table:
    """What is known of one class: the operations that it lists, and the two questions."""

    listed: tuple[WireEnum, ...]
    why_not: Callable[..., Failure | None]
    allowed: Callable[[View, Any], tuple[WireEnum, ...]]
    insistible: bool = False


TABLES: Final[Mapping[type[Entity], Table]] = {
    VM: Table(vm.LISTED, vm.why_not, vm.allowed_operations, insistible=True),
    VBD: Table(vbd.LISTED, vbd.why_not, vbd.allowed_operations),
    VIF: Table(vif.LISTED, vif.why_not, vif.allowed_operations),
    VDI: Table(vdi.LISTED, vdi.why_not, vdi.allowed_operations),
    SR: Table(sr.LISTED, sr.why_not, sr.allowed_operations),
    Host: Table(host.LISTED, host.why_not, host.allowed_operations),
    Pool: Table(pool.LISTED, pool.why_not, pool.allowed_operations),
    Network: Table(network.LISTED, network.why_not, network.allowed_operations),
    Task: Table(task.LISTED, task.why_not, task.allowed_operations),
    VMAppliance: Table(appliance.LISTED, appliance.why_not, appliance.allowed_operations),
    VUSB: Table(vusb.LISTED, vusb.why_not, vusb.allowed_operations),
    VTPM: Table(vtpm.LISTED, vtpm.why_not, vtpm.allowed_operations),
    Cluster: Table(cluster.LISTED, cluster.why_not, cluster.allowed_operations),
    ClusterHost: Table(cluster.LISTED_FOR_MEMBERS, cluster.why_not_member, cluster.allowed_to_member),
}


def why_not(
    view: View, row: Entity, operation: WireEnum, *, ignoring: str = "", insisting: bool = False
) -> Failure | None:
    """Why the object may not be asked for the operation now, or None.

    `ignoring` is a task whose own entry in current_operations does not count. `insisting` is a client's `force`: a VM
    is then asked even for what its guest has not announced. Raises KeyError for a class without operations.
    """
    table = TABLES[type(row)]
    if insisting and table.insistible:
        return table.why_not(view, row, operation, ignoring=ignoring, insisting=True)
    return table.why_not(view, row, operation, ignoring=ignoring)


def allowed_operations(view: View, row: Entity) -> tuple[WireEnum, ...]:
    """What the object may be asked for now, of what its class lists, in a fixed order; nothing for other classes."""
    table = TABLES.get(type(row))
    return table.allowed(view, row) if table is not None else ()
