"""VMs that start and stop together, in order (XenAPI's class VM_appliance)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from xapi.actions.apart import Apart
from xapi.datamodel.classes import VM, VMAppliance
from xapi.datamodel.classes import vm_appliance as api
from xapi.datamodel.classes.vm import VmPowerState
from xapi.datamodel.classes.vm_appliance import VmApplianceOperation
from xapi.datamodel.errors import OPERATION_PARTIALLY_FAILED
from xapi.datamodel.model import Ref
from xapi.dispatch.context import Context
from xapi.dispatch.implement import creates, destroys, implements


@dataclass(frozen=True, slots=True)
class Stage:
    """VMs that are dealt with side by side, and the seconds to wait before the next ones."""

    vms: tuple[VM, ...]
    pause: int


def stages(vms: Iterable[VM], *, starting: bool) -> list[Stage]:
    """VMs by ascending order when starting, else by descending; of several pauses in a stage the longest counts."""
    by_order: dict[int, list[VM]] = {}
    for vm in vms:
        by_order.setdefault(vm.order, []).append(vm)
    return [
        Stage(tuple(group), max(vm.start_delay if starting else vm.shutdown_delay for vm in group))
        for _, group in sorted(by_order.items(), reverse=not starting)
    ]


@creates(VMAppliance)
def create(ctx: Context, values: dict[str, Any]) -> Ref[VMAppliance]:
    """Make an appliance without VMs; VM.set_appliance puts them in."""
    with ctx.transaction() as transaction:
        return transaction.create(
            VMAppliance,
            name_label=values.get("name_label", ""),
            name_description=values.get("name_description", ""),
        )


@destroys(VMAppliance)
def destroy(ctx: Context, self: Ref[VMAppliance]) -> None:
    """Remove an appliance; its VMs stay as they are."""
    with ctx.transaction() as transaction:
        transaction.delete(VMAppliance, self)


def _bring(ctx: Context, appliance: str, wanted: VmPowerState, wire_name: str, operation: str, *params: object) -> None:
    """Bring every VM to a power state, stage after stage; OPERATION_PARTIALLY_FAILED names those that did not come."""
    vms = [vm for ref in ctx.db.get(VMAppliance, appliance).VMs if (vm := ctx.db.find(VM, ref)) is not None]
    concerned = [vm for vm in vms if vm.power_state != wanted]
    plan = stages(concerned, starting=wanted != VmPowerState.HALTED)
    for number, stage in enumerate(plan):
        ctx.task.check()
        under_way = [Apart(ctx, wire_name, vm.ref, *params) for vm in stage.vms]
        for one in under_way:
            one.failure()  # what matters is where the VMs are in the end
        ctx.task.progress((number + 1) / len(plan))
        if stage.pause and number + 1 < len(plan):
            ctx.task.pause(stage.pause)
    failed = [vm.ref for vm in concerned if _state(ctx, vm.ref) != wanted]
    if failed:
        raise OPERATION_PARTIALLY_FAILED(f"VM_appliance.{operation}", *failed)


def _state(ctx: Context, vm: str) -> VmPowerState | None:
    row = ctx.db.find(VM, vm)
    return None if row is None else row.power_state


@implements(api.start, occupies=VmApplianceOperation.START)
def start(ctx: Context, self: Ref[VMAppliance], paused: bool) -> None:
    """Start the VMs, the lowest order first, and wait as long as each order asks for before the next."""
    wanted = VmPowerState.PAUSED if paused else VmPowerState.RUNNING
    _bring(ctx, self, wanted, "VM.start", "start", paused, False)


@implements(api.clean_shutdown, occupies=VmApplianceOperation.CLEAN_SHUTDOWN)
def clean_shutdown(ctx: Context, self: Ref[VMAppliance]) -> None:
    """Let the guests power off, the highest order first."""
    _bring(ctx, self, VmPowerState.HALTED, "VM.clean_shutdown", "clean_shutdown")


@implements(api.hard_shutdown, occupies=VmApplianceOperation.HARD_SHUTDOWN)
def hard_shutdown(ctx: Context, self: Ref[VMAppliance]) -> None:
    """Take the power from the VMs, the highest order first."""
    _bring(ctx, self, VmPowerState.HALTED, "VM.hard_shutdown", "hard_shutdown")


@implements(api.shutdown, occupies=VmApplianceOperation.SHUTDOWN)
def shutdown(ctx: Context, self: Ref[VMAppliance]) -> None:
    """Let the guests power off, and take the power from those that do not; the highest order first."""
    _bring(ctx, self, VmPowerState.HALTED, "VM.shutdown", "shutdown")
