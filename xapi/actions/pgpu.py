"""Graphics devices of hosts, and the types of virtual GPU that they may run (XenAPI's class PGPU)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from xapi.datamodel.classes import PCI, PGPU, VGPU, GPUGroup, VGPUType
from xapi.datamodel.classes import pgpu as api
from xapi.datamodel.classes.pgpu import PciDom0Access
from xapi.datamodel.errors import (
    GPU_GROUP_CONTAINS_VGPU,
    PGPU_IN_USE_BY_VM,
    PGPU_NOT_COMPATIBLE_WITH_GPU_GROUP,
    VGPU_TYPE_NOT_SUPPORTED,
)
from xapi.datamodel.model import NULL, Ref
from xapi.db.database import Transaction
from xapi.dispatch.context import Context
from xapi.dispatch.implement import implements
from xapi.lifecycle import View


def vgpus_on(view: View, pgpu: str) -> list[VGPU]:
    """The virtual GPUs that run on a device, or are about to."""
    return [vgpu for vgpu in view.all(VGPU) if pgpu in (vgpu.resident_on, vgpu.scheduled_to_be_resident_on)]


def remaining_capacity(view: View, pgpu: str, kind: VGPUType) -> int:
    """How many more virtual GPUs of a type a device has room for: none of a type that it may not run."""
    row = view.get(PGPU, pgpu)
    if kind.ref not in row.enabled_VGPU_types:
        return 0
    running = vgpus_on(view, pgpu)
    types = [view.find(VGPUType, vgpu.type) for vgpu in running]
    if any(one is None or (one.ref != kind.ref and not _side_by_side(one, kind)) for one in types):
        return 0
    used = sum(one.size for one in types if one is not None)
    most = row.supported_VGPU_max_capacities.get(kind.ref)
    by_size = (row.size - used) // kind.size if kind.size > 0 else (0 if running else 1)
    return max(0, by_size if most is None else min(by_size, most - len(running)))


def _side_by_side(one: VGPUType, other: VGPUType) -> bool:
    return other.ref in one.compatible_types_on_pgpu


def collect_types(transaction: Transaction, group: str) -> None:
    """Let a group have the types that at least one of its devices has."""
    row = transaction.find(GPUGroup, group)
    if row is None:
        return
    pgpus = [transaction.get(PGPU, ref) for ref in row.PGPUs]
    supported = tuple(dict.fromkeys(kind for pgpu in pgpus for kind in pgpu.supported_VGPU_types))
    enabled = tuple(dict.fromkeys(kind for pgpu in pgpus for kind in pgpu.enabled_VGPU_types))
    transaction.update(GPUGroup, group, supported_VGPU_types=supported, enabled_VGPU_types=enabled)


def _enable(ctx: Context, pgpu: Ref[PGPU], change: Mapping[Ref[VGPUType], bool], *, only: bool = False) -> None:
    """Permit and forbid types on a device; with `only`, forbid all that are not named."""
    with ctx.transaction() as transaction:
        row = transaction.get(PGPU, pgpu)
        for kind, permit in change.items():
            if permit and kind not in row.supported_VGPU_types:
                raise VGPU_TYPE_NOT_SUPPORTED(kind, *row.supported_VGPU_types)
        kept = () if only else row.enabled_VGPU_types
        wanted = [kind for kind in kept if change.get(kind, True)]
        wanted += [kind for kind, permit in change.items() if permit and kind not in wanted]
        users = [vgpu.VM for vgpu in vgpus_on(transaction, pgpu) if vgpu.type not in wanted]
        if users:
            raise PGPU_IN_USE_BY_VM(*users)
        transaction.update(PGPU, pgpu, enabled_VGPU_types=tuple(wanted))
        collect_types(transaction, row.GPU_group)


@implements(api.add_enabled_VGPU_types)
def add_enabled_VGPU_types(ctx: Context, self: Ref[PGPU], value: Ref[VGPUType]) -> None:
    """Let a device run one more type."""
    _enable(ctx, self, {value: True})


@implements(api.remove_enabled_VGPU_types)
def remove_enabled_VGPU_types(ctx: Context, self: Ref[PGPU], value: Ref[VGPUType]) -> None:
    """Let a device run one type less, if none of it runs now."""
    _enable(ctx, self, {value: False})


@implements(api.set_enabled_VGPU_types)
def set_enabled_VGPU_types(ctx: Context, self: Ref[PGPU], value: tuple[Ref[VGPUType], ...]) -> None:
    """Let a device run exactly these types, if none of another runs now."""
    _enable(ctx, self, dict.fromkeys(value, True), only=True)


@implements(api.set_GPU_group)
def set_GPU_group(ctx: Context, self: Ref[PGPU], value: Ref[GPUGroup]) -> None:
    """Move an unused device to another group, of its own kind of hardware."""
    with ctx.transaction() as transaction:
        row = transaction.get(PGPU, self)
        group = transaction.get(GPUGroup, value)
        users = [vgpu.VM for vgpu in vgpus_on(transaction, self)]
        pci = transaction.find(PCI, row.PCI)
        if pci is not None:
            users += [vm for vm in pci.attached_VMs if vm not in users]
        if users:
            raise PGPU_IN_USE_BY_VM(*users)
        old = transaction.find(GPUGroup, row.GPU_group)
        if old is not None and old.ref != value and old.VGPUs and old.PGPUs == (self,):
            raise GPU_GROUP_CONTAINS_VGPU(*old.VGPUs)
        kind = f"{pci.vendor_id}/{pci.device_id}" if pci is not None else ""
        if group.GPU_types and kind not in group.GPU_types:
            raise PGPU_NOT_COMPATIBLE_WITH_GPU_GROUP(kind, f"[{', '.join(group.GPU_types)}]")
        transaction.update(PGPU, self, GPU_group=value)
        transaction.update(GPUGroup, value, GPU_types=group.GPU_types or (kind,))
        for changed in {value, row.GPU_group} - {NULL}:
            collect_types(transaction, changed)


@implements(api.get_remaining_capacity)
def get_remaining_capacity(ctx: Context, self: Ref[PGPU], vgpu_type: Ref[VGPUType]) -> int:
    """How many more virtual GPUs of a type a device has room for."""
    return remaining_capacity(ctx.db, self, ctx.db.get(VGPUType, vgpu_type))


# What the control domain's access becomes when it is allowed, and when it is forbidden; other states stay.
ALLOWING: Final[Mapping[PciDom0Access, PciDom0Access]] = {
    PciDom0Access.DISABLED: PciDom0Access.ENABLE_ON_REBOOT,
    PciDom0Access.DISABLE_ON_REBOOT: PciDom0Access.ENABLED,
}
FORBIDDING: Final[Mapping[PciDom0Access, PciDom0Access]] = {
    PciDom0Access.ENABLED: PciDom0Access.DISABLE_ON_REBOOT,
    PciDom0Access.ENABLE_ON_REBOOT: PciDom0Access.DISABLED,
}


def set_access(ctx: Context, pgpu: Ref[PGPU], steps: Mapping[PciDom0Access, PciDom0Access]) -> PciDom0Access:
    """Take one step, which the next start of the host completes."""
    with ctx.transaction() as transaction:
        current = transaction.get(PGPU, pgpu).dom0_access
        wanted = steps.get(current, current)
        if wanted != current:
            transaction.update(PGPU, pgpu, dom0_access=wanted)
    return wanted


@implements(api.enable_dom0_access)
def enable_dom0_access(ctx: Context, self: Ref[PGPU]) -> PciDom0Access:
    """Let the control domain have a device from the next start on."""
    return set_access(ctx, self, ALLOWING)


@implements(api.disable_dom0_access)
def disable_dom0_access(ctx: Context, self: Ref[PGPU]) -> PciDom0Access:
    """Hide a device from the control domain from the next start on."""
    return set_access(ctx, self, FORBIDDING)
