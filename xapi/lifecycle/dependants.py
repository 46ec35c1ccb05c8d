"""Whose allowed operations may change when a row does."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from xapi.datamodel.classes.cluster import Cluster
from xapi.datamodel.classes.host import Host
from xapi.datamodel.classes.host_metrics import HostMetrics
from xapi.datamodel.classes.pbd import PBD
from xapi.datamodel.classes.pool import Pool
from xapi.datamodel.classes.sr import SR
from xapi.datamodel.classes.vbd import VBD
from xapi.datamodel.classes.vdi import VDI
from xapi.datamodel.classes.vgpu import VGPU
from xapi.datamodel.classes.vif import VIF
from xapi.datamodel.classes.vm import VM
from xapi.datamodel.classes.vm_appliance import VMAppliance
from xapi.datamodel.classes.vtpm import VTPM
from xapi.datamodel.classes.vusb import VUSB
from xapi.datamodel.model import NULL, Entity
from xapi.lifecycle.view import View

Dependant = tuple[type[Entity], str]

# A disk in more drives than this is an ISO, and read-only: its drives are not looked through at each change of one.
FEW: Final = 32


def _of_vm(_view: View, vm: VM) -> Iterator[Dependant]:
    yield from ((VBD, ref) for ref in vm.VBDs)
    yield from ((VIF, ref) for ref in vm.VIFs)
    yield from ((VUSB, ref) for ref in vm.VUSBs)
    yield from ((VTPM, ref) for ref in vm.VTPMs)
    if vm.appliance != NULL:
        yield VMAppliance, vm.appliance


def _of_vbd(view: View, vbd: VBD) -> Iterator[Dependant]:
    """The disk, and whoever else wants to write to it; a VM cannot take a snapshot of some disks."""
    if vbd.VDI == NULL:
        return
    yield VDI, vbd.VDI
    vdi = view.find(VDI, vbd.VDI)
    if vdi is not None and not vdi.read_only and not vdi.sharable and len(vdi.VBDs) <= FEW:
        yield from ((VBD, ref) for ref in vdi.VBDs if ref != vbd.ref)


def _of_vdi(view: View, vdi: VDI) -> Iterator[Dependant]:
    if len(vdi.VBDs) > FEW:
        return
    for ref in vdi.VBDs:
        yield VBD, ref
        vbd = view.find(VBD, ref) if not vdi.read_only else None
        if vbd is not None:
            yield VM, vbd.VM


def _of_pbd(view: View, pbd: PBD) -> Iterator[Dependant]:
    """The SR; its disks, which may be thousands, only when it may just have come to life or died."""
    yield SR, pbd.SR
    sr = view.find(SR, pbd.SR)
    if sr is None:
        return
    found = (view.find(PBD, ref) for ref in sr.PBDs)
    if not any(other is not None and other.currently_attached and other.ref != pbd.ref for other in found):
        yield from ((VDI, ref) for ref in sr.VDIs)


def _of_device(_view: View, device: VUSB | VGPU) -> Iterator[Dependant]:
    if device.VM != NULL:
        yield VM, device.VM


def _of_host_metrics(view: View, metrics: HostMetrics) -> Iterator[Dependant]:
    """Its host; all of them where they hold clustered storage together."""
    clustered = any(sr.clustered for sr in view.all(SR))
    yield from ((Host, host.ref) for host in view.all(Host) if clustered or host.metrics == metrics.ref)


def _of_cluster(view: View, _cluster: Cluster) -> Iterator[Dependant]:
    yield from ((Pool, pool.ref) for pool in view.all(Pool))


DEPENDANTS: Final[Mapping[type[Entity], Callable[[View, Any], Iterator[Dependant]]]] = {
    VM: _of_vm,
    VBD: _of_vbd,
    VDI: _of_vdi,
    PBD: _of_pbd,
    VUSB: _of_device,
    VGPU: _of_device,
    HostMetrics: _of_host_metrics,
    Cluster: _of_cluster,
}


def dependants(view: View, row: Entity) -> Iterator[Dependant]:
    """The other objects, by class and reference, whose allowed operations the state of this row decides.

    Not transitive, and an object may come twice or be gone. Left out on purpose: the guest's metrics (who writes them
    knows the VM), and the pool's settings, which clients write all the time and which matter to everything.
    """
    find = DEPENDANTS.get(type(row))
    return find(view, row) if find is not None else iter(())
