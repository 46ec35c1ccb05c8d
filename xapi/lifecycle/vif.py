"""What may be done with a VIF: one thing at a time, and plugging only while its VM runs and can take devices."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from xapi.datamodel.classes.vif import VIF
from xapi.datamodel.classes.vif import VifOperations as Op
from xapi.datamodel.classes.vm import VM, VmPowerState
from xapi.datamodel.classes.vm_guest_metrics import TristateType
from xapi.datamodel.errors import (
    DEVICE_ALREADY_ATTACHED,
    DEVICE_ALREADY_DETACHED,
    HANDLE_INVALID,
    OPERATION_NOT_ALLOWED,
    VM_BAD_POWER_STATE,
    VM_MISSING_PV_DRIVERS,
)
from xapi.datamodel.failure import Failure
from xapi.lifecycle.concurrency import in_progress, others
from xapi.lifecycle.surroundings import hotplug
from xapi.lifecycle.vbd import vm_is_leaving
from xapi.lifecycle.view import View
from xapi.lifecycle.wording import power_text

LISTED: Final = (Op.ATTACH, Op.PLUG, Op.UNPLUG)
EVERYTHING: Final = frozenset(LISTED)
PLUGGING: Final = frozenset({Op.PLUG, Op.UNPLUG})


def refusals(view: View, vif: VIF, ignoring: str = "") -> Iterator[tuple[frozenset[Op], Failure]]:
    """What stands against operations on a VIF; of several against one operation, the first counts."""
    current = others(vif.current_operations, ignoring)
    if current:
        yield EVERYTHING, in_progress("VIF", vif.ref, current[:1])
    vm = view.find(VM, vif.VM)
    if vm is None:
        yield EVERYTHING, HANDLE_INVALID("VM", vif.VM)
        return
    if vm.power_state != VmPowerState.RUNNING:
        expected, actual = power_text(VmPowerState.RUNNING), power_text(vm.power_state)
        yield PLUGGING, VM_BAD_POWER_STATE(vm.ref, expected, actual)
        return
    if vif.currently_attached or vif.reserved:
        yield frozenset({Op.PLUG}), DEVICE_ALREADY_ATTACHED(vif.ref)
    else:
        yield frozenset({Op.UNPLUG}), DEVICE_ALREADY_DETACHED(vif.ref)
    leaving = vm_is_leaving(vm, ignoring)
    if leaving is not None:
        yield PLUGGING, leaving
    match hotplug(view, vm, of_disks=False):
        case TristateType.NO:
            yield PLUGGING, OPERATION_NOT_ALLOWED("VM states it does not support VIF hotplug.")
        case TristateType.UNSPECIFIED:
            yield PLUGGING, VM_MISSING_PV_DRIVERS(vm.ref)


def why_not(view: View, vif: VIF, operation: Op, *, ignoring: str = "") -> Failure | None:
    """Why the VIF may not be asked for the operation now, or None."""
    return next((failure for refused, failure in refusals(view, vif, ignoring) if operation in refused), None)


def allowed_operations(view: View, vif: VIF) -> tuple[Op, ...]:
    """What the VIF may be asked for now, in the order of the list."""
    left = set(EVERYTHING)
    for refused, _ in refusals(view, vif):
        left -= refused
    return tuple(operation for operation in LISTED if operation in left)
