"""What may be done with an appliance: what at least one of its VMs is in the state for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from xapi.datamodel.classes.vm import VM, VmPowerState
from xapi.datamodel.classes.vm_appliance import VMAppliance
from xapi.datamodel.classes.vm_appliance import VmApplianceOperation as Op
from xapi.datamodel.errors import OPERATION_NOT_ALLOWED
from xapi.datamodel.failure import Failure
from xapi.lifecycle.concurrency import in_progress, others
from xapi.lifecycle.view import View

UP: Final = frozenset({VmPowerState.PAUSED, VmPowerState.RUNNING, VmPowerState.SUSPENDED})

# One VM at least must be in one of these states; else this is said.
STATES: Final[Mapping[Op, tuple[frozenset[VmPowerState], str]]] = {
    Op.START: (frozenset({VmPowerState.HALTED}), "There are no halted VMs in this appliance."),
    Op.CLEAN_SHUTDOWN: (frozenset({VmPowerState.RUNNING}), "There are no running VMs in this appliance."),
    Op.HARD_SHUTDOWN: (UP, "All VMs in this appliance are halted."),
    Op.SHUTDOWN: (UP, "All VMs in this appliance are halted."),
}
LISTED: Final = tuple(STATES)


def _states_of(view: View, appliance: VMAppliance) -> frozenset[VmPowerState]:
    vms = (view.find(VM, ref) for ref in appliance.VMs)
    return frozenset(vm.power_state for vm in vms if vm is not None)


def why_not(view: View, appliance: VMAppliance, operation: Op, *, ignoring: str = "") -> Failure | None:
    """Why the appliance may not be asked for the operation now, or None."""
    current = others(appliance.current_operations, ignoring)
    if current:
        return in_progress("VM_appliance", appliance.ref, current[:1])
    found = _states_of(view, appliance)
    if not found:
        return OPERATION_NOT_ALLOWED("Appliance has no VMs.")
    states, reason = STATES[operation]
    return OPERATION_NOT_ALLOWED(reason) if found.isdisjoint(states) else None


def allowed_operations(view: View, appliance: VMAppliance) -> tuple[Op, ...]:
    """What the appliance may be asked for now, in the order of the list."""
    if appliance.current_operations:
        return ()
    found = _states_of(view, appliance)
    return tuple(operation for operation, (states, _) in STATES.items() if not found.isdisjoint(states))
