"""What may be done with a VTPM: it is taken away only from a VM that is halted."""

from __future__ import annotations

from typing import Final

from xapi.datamodel.classes.vm import VM, VmPowerState
from xapi.datamodel.classes.vtpm import VTPM
from xapi.datamodel.classes.vtpm import VtpmOperations as Op
from xapi.datamodel.errors import HANDLE_INVALID, VM_BAD_POWER_STATE
from xapi.datamodel.failure import Failure
from xapi.lifecycle.concurrency import in_progress, others
from xapi.lifecycle.view import View
from xapi.lifecycle.wording import power_text

LISTED: Final = (Op.DESTROY,)


def why_not(view: View, vtpm: VTPM, _operation: Op, *, ignoring: str = "") -> Failure | None:
    """Why the VTPM may not be asked for the operation now, or None."""
    current = others(vtpm.current_operations, ignoring)
    if current:
        return in_progress("VTPM", vtpm.ref, current)
    vm = view.find(VM, vtpm.VM)
    if vm is None:
        return HANDLE_INVALID("VM", vtpm.VM)
    if vm.power_state != VmPowerState.HALTED:
        return VM_BAD_POWER_STATE(vm.ref, power_text(VmPowerState.HALTED), power_text(vm.power_state))
    return None


def allowed_operations(view: View, vtpm: VTPM) -> tuple[Op, ...]:
    """What the VTPM may be asked for now."""
    return tuple(operation for operation in LISTED if why_not(view, vtpm, operation) is None)
