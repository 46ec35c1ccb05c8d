"""What may be done with a VBD: refusals in the order in which they are checked, the first of which counts."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from xapi.datamodel.classes.vbd import VBD, VbdMode, VbdType
from xapi.datamodel.classes.vbd import VbdOperations as Op
from xapi.datamodel.classes.vdi import VDI, VdiOperations
from xapi.datamodel.classes.vm import VM, VmOperations, VmPowerState
from xapi.datamodel.classes.vm_guest_metrics import TristateType
from xapi.datamodel.errors import (
    DEVICE_ALREADY_ATTACHED,
    DEVICE_ALREADY_DETACHED,
    HANDLE_INVALID,
    OPERATION_NOT_ALLOWED,
    VBD_IS_EMPTY,
    VBD_NOT_EMPTY,
    VBD_NOT_REMOVABLE_MEDIA,
    VBD_NOT_UNPLUGGABLE,
    VDI_IN_USE,
    VDI_NOT_MANAGED,
    VDI_READONLY,
    VM_BAD_POWER_STATE,
    VM_MISSING_PV_DRIVERS,
)
from xapi.datamodel.failure import Failure
from xapi.lifecycle.concurrency import Current, in_progress, others
from xapi.lifecycle.surroundings import hotplug, is_system_domain, runs_fully_virtualised
from xapi.lifecycle.view import View
from xapi.lifecycle.wording import operation_text, power_text, power_texts

Refusal = tuple[frozenset[Op], Failure]

LISTED: Final = (Op.ATTACH, Op.EJECT, Op.INSERT, Op.PLUG, Op.UNPLUG, Op.UNPLUG_FORCE, Op.PAUSE, Op.UNPAUSE)
EVERYTHING: Final = frozenset(LISTED)
PAUSING: Final = frozenset({Op.PAUSE, Op.UNPAUSE})
TAKING: Final = frozenset({Op.ATTACH, Op.INSERT, Op.PLUG})
UNPLUGGING: Final = frozenset({Op.UNPLUG, Op.UNPLUG_FORCE})
PLUGGING: Final = UNPLUGGING | {Op.PLUG}
MEDIA: Final = frozenset({Op.INSERT, Op.EJECT})
# A VM on its way down, or standing still, takes and gives up no devices.
VM_LEAVING: Final = frozenset(
    {VmOperations.CLEAN_SHUTDOWN, VmOperations.HARD_SHUTDOWN, VmOperations.SUSPEND, VmOperations.PAUSE}
)
# These only read the VDI, or follow its writes.
VDI_SHARED: Final = frozenset({VdiOperations.MIRROR, VdiOperations.COPY})


def vm_is_leaving(vm: VM, ignoring: str) -> Failure | None:
    """Why devices of the VM may not be plugged or unplugged while it is busy, or None."""
    for _, operation in others(vm.current_operations, ignoring):
        if operation in VM_LEAVING:
            return OPERATION_NOT_ALLOWED(f"Current operation on VM:{vm.ref} is {operation_text(operation)}")
    return None


def _by_current(vbd: VBD, ignoring: str) -> Iterator[Refusal]:
    """Everything waits for everything, but pausing goes with pausing, and unpausing ends an attach (a reboot)."""
    current: Current[Op] = others(vbd.current_operations, ignoring)
    if not current:
        return
    failure = in_progress("VBD", vbd.ref, current[:1])
    yield EVERYTHING - PAUSING, failure
    going_on = {operation for _, operation in current}
    if not going_on <= PAUSING:
        yield frozenset({Op.PAUSE}), failure
    if not going_on <= PAUSING | {Op.ATTACH}:
        yield frozenset({Op.UNPAUSE}), failure


def _by_drive(vbd: VBD) -> Iterator[Refusal]:
    if not vbd.unpluggable:
        yield UNPLUGGING, VBD_NOT_UNPLUGGABLE(vbd.ref)
    if vbd.type != VbdType.CD:
        yield MEDIA, VBD_NOT_REMOVABLE_MEDIA(vbd.ref)
    if vbd.empty:
        yield frozenset({Op.EJECT}), VBD_IS_EMPTY(vbd.ref)
    else:
        yield frozenset({Op.INSERT}), VBD_NOT_EMPTY(vbd.ref)


def _by_vm(view: View, vbd: VBD, vm: VM, ignoring: str) -> Iterator[Refusal]:
    state = vm.power_state
    running = state == VmPowerState.RUNNING
    if not running:
        bad_state = VM_BAD_POWER_STATE(vm.ref, power_text(VmPowerState.RUNNING), power_text(state))
        yield (PLUGGING if state == VmPowerState.PAUSED else PLUGGING | PAUSING), bad_state
    elif vbd.currently_attached or vbd.reserved:
        yield frozenset({Op.PLUG}), DEVICE_ALREADY_ATTACHED(vbd.ref)
    else:
        yield UNPLUGGING, DEVICE_ALREADY_DETACHED(vbd.ref)
    leaving = vm_is_leaving(vm, ignoring)
    if leaving is not None:
        yield frozenset({Op.PLUG, Op.UNPLUG}), leaving
    if running:
        yield from _by_guest(view, vbd, vm)
    if vbd.type == VbdType.CD and state == VmPowerState.SUSPENDED:
        expected = power_texts((VmPowerState.HALTED, VmPowerState.RUNNING))
        yield MEDIA, VM_BAD_POWER_STATE(vm.ref, expected, power_text(state))


def _by_guest(view: View, vbd: VBD, vm: VM) -> Iterator[Refusal]:
    match hotplug(view, vm, of_disks=True):
        case TristateType.NO:
            yield PLUGGING, OPERATION_NOT_ALLOWED("VM states it does not support VBD hotplug.")
        case TristateType.UNSPECIFIED:
            yield PLUGGING, VM_MISSING_PV_DRIVERS(vm.ref)
    if vbd.type == VbdType.CD and runs_fully_virtualised(view, vm):
        yield PLUGGING, OPERATION_NOT_ALLOWED("HVM CDROMs cannot be hotplugged/unplugged, only inserted or ejected")


def _by_vdi(view: View, vbd: VBD, vm: VM, vdi: VDI, ignoring: str) -> Iterator[Refusal]:
    if not vdi.managed:
        yield EVERYTHING, VDI_NOT_MANAGED(vbd.ref)
    current = others(vdi.current_operations, ignoring)
    if not {operation for _, operation in current} <= VDI_SHARED:
        yield TAKING, in_progress("VDI", vdi.ref, current[:1])
    if vbd.currently_attached:
        return
    writes = vbd.mode == VbdMode.RW
    # Nobody writes to a read-only VDI: an ISO in a thousand drives is not looked for in each of them.
    if not vdi.sharable and not (vdi.read_only and not writes) and not is_system_domain(vm):
        elsewhere = list(_users(view, vbd, vdi))
        if any(writes or user.mode == VbdMode.RW for user in elsewhere):
            yield TAKING, VDI_IN_USE(vdi.ref)
    if writes and vdi.read_only:
        yield TAKING, VDI_READONLY(vdi.ref)


def _users(view: View, vbd: VBD, vdi: VDI) -> Iterator[VBD]:
    """The other VBDs that use the VDI now: a suspended VM does not, a system domain does no harm."""
    for ref in vdi.VBDs:
        user = view.find(VBD, ref) if ref != vbd.ref else None
        if user is None or not (user.currently_attached or user.reserved or user.current_operations):
            continue
        vm = view.find(VM, user.VM)
        if vm is not None and vm.power_state != VmPowerState.SUSPENDED and not is_system_domain(vm):
            yield user


def refusals(view: View, vbd: VBD, ignoring: str = "") -> Iterator[Refusal]:
    """What stands against operations on a VBD; of several against one operation, the first counts."""
    yield from _by_current(vbd, ignoring)
    yield from _by_drive(vbd)
    vm = view.find(VM, vbd.VM)
    if vm is None:
        yield EVERYTHING, HANDLE_INVALID("VM", vbd.VM)
        return
    yield from _by_vm(view, vbd, vm, ignoring)
    vdi = None if vbd.empty else view.find(VDI, vbd.VDI)
    if vdi is not None:
        yield from _by_vdi(view, vbd, vm, vdi, ignoring)


def why_not(view: View, vbd: VBD, operation: Op, *, ignoring: str = "") -> Failure | None:
    """Why the VBD may not be asked for the operation now, or None."""
    return next((failure for refused, failure in refusals(view, vbd, ignoring) if operation in refused), None)


def allowed_operations(view: View, vbd: VBD) -> tuple[Op, ...]:
    """What the VBD may be asked for now, in the order of the list."""
    left = set(EVERYTHING)
    for refused, _ in refusals(view, vbd):
        left -= refused
    return tuple(operation for operation in LISTED if operation in left)
