"""What may be done with a VUSB: one thing at a time, and plugging only while its VM runs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from xapi.datamodel.classes.vm import VM, VmPowerState
from xapi.datamodel.classes.vusb import VUSB
from xapi.datamodel.classes.vusb import VusbOperations as Op
from xapi.datamodel.errors import DEVICE_ALREADY_ATTACHED, DEVICE_ALREADY_DETACHED, HANDLE_INVALID, VM_BAD_POWER_STATE
from xapi.datamodel.failure import Failure
from xapi.lifecycle.concurrency import in_progress, others
from xapi.lifecycle.vbd import vm_is_leaving
from xapi.lifecycle.view import View
from xapi.lifecycle.wording import power_text

LISTED: Final = (Op.ATTACH, Op.PLUG, Op.UNPLUG)
EVERYTHING: Final = frozenset(LISTED)
PLUGGING: Final = frozenset({Op.PLUG, Op.UNPLUG})


def refusals(view: View, vusb: VUSB, ignoring: str = "") -> Iterator[tuple[frozenset[Op], Failure]]:
    """What stands against operations on a VUSB; of several against one operation, the first counts."""
    current = others(vusb.current_operations, ignoring)
    if current:
        yield EVERYTHING, in_progress("VUSB", vusb.ref, current, always_braced=True)
    vm = view.find(VM, vusb.VM)
    if vm is None:
        yield EVERYTHING, HANDLE_INVALID("VM", vusb.VM)
        return
    if vm.power_state != VmPowerState.RUNNING:
        expected, actual = power_text(VmPowerState.RUNNING), power_text(vm.power_state)
        yield PLUGGING, VM_BAD_POWER_STATE(vm.ref, expected, actual)
    elif vusb.currently_attached:
        yield frozenset({Op.PLUG}), DEVICE_ALREADY_ATTACHED(vusb.ref)
    else:
        yield frozenset({Op.UNPLUG}), DEVICE_ALREADY_DETACHED(vusb.ref)
    leaving = vm_is_leaving(vm, ignoring)
    if leaving is not None:
        yield PLUGGING, leaving


def why_not(view: View, vusb: VUSB, operation: Op, *, ignoring: str = "") -> Failure | None:
    """Why the VUSB may not be asked for the operation now, or None."""
    return next((failure for refused, failure in refusals(view, vusb, ignoring) if operation in refused), None)


def allowed_operations(view: View, vusb: VUSB) -> tuple[Op, ...]:
    """What the VUSB may be asked for now, in the order of the list."""
    left = set(EVERYTHING)
    for refused, _ in refusals(view, vusb):
        left -= refused
    return tuple(operation for operation in LISTED if operation in left)
