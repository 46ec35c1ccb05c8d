"""Words with the guest, and questions about it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from xapi.datamodel.classes import SR, VBD, VDI, VM, Session
from xapi.datamodel.classes import vm_messages as api
from xapi.datamodel.classes.vm import VmOperations
from xapi.datamodel.errors import NOT_SYSTEM_DOMAIN, VM_BAD_POWER_STATE
from xapi.datamodel.model import Ref
from xapi.dispatch.context import Context
from xapi.dispatch.implement import implements, overrides
from xapi.dispatch.perform import Rendered

BOOTED = "paused, suspended, running"


@implements(api.send_sysrq, occupies=VmOperations.SEND_SYSRQ)
def send_sysrq(ctx: Context, vm: Ref[VM], key: str) -> None:
    """Send a magic key to a Linux guest."""
    ctx.toolstack.hypervisor.guest.send_sysrq(ctx.db.get(VM, vm).uuid, key)


@implements(api.send_trigger, occupies=VmOperations.SEND_TRIGGER)
def send_trigger(ctx: Context, vm: Ref[VM], trigger: str) -> None:
    """Send the guest what a button or a board would."""
    ctx.toolstack.hypervisor.guest.send_trigger(ctx.db.get(VM, vm).uuid, trigger)


@implements(api.call_plugin, occupies=VmOperations.CALL_PLUGIN)
def call_plugin(ctx: Context, vm: Ref[VM], plugin: str, fn: str, args: Mapping[str, str]) -> str:
    """Let the guest's agent run a plugin, and answer what it says."""
    return ctx.toolstack.hypervisor.guest.call_plugin(ctx.db.get(VM, vm).uuid, plugin, fn, args)


@overrides("VM.get_boot_record")
def get_boot_record(ctx: Context, self: Ref[VM]) -> Any:
    """Answer the VM's record as it is while it runs."""
    row = ctx.db.get(VM, self)
    if row.domid < 0 and row.power_state == "Halted":
        raise VM_BAD_POWER_STATE(self, BOOTED, "halted")
    return Rendered((ctx.form.record(ctx.db.tables[VM][self]),))


@implements(api.query_services)
def query_services(ctx: Context, self: Ref[VM]) -> Mapping[str, str]:
    """Only a driver domain offers services, and there is none."""
    raise NOT_SYSTEM_DOMAIN(self)


@implements(api.get_SRs_required_for_recovery)
def get_SRs_required_for_recovery(ctx: Context, self: Ref[VM], session_to: Ref[Session]) -> tuple[Ref[SR], ...]:
    """Answer the SRs that hold the VM's disks."""
    row = ctx.db.get(VM, self)
    found: list[Ref[SR]] = []
    for ref in row.VBDs:
        vbd = ctx.db.find(VBD, ref)
        vdi = ctx.db.find(VDI, vbd.VDI) if vbd is not None and vbd.type == "Disk" else None
        if vdi is not None:
            found.append(vdi.SR)
    return tuple(dict.fromkeys(found))
