"""Words with the guest, and questions about it."""

from __future__ import annotations

from collections.abc import Mapping
from threading import Lock
from typing import Any

from xapi.datamodel.classes import SR, VBD, VDI, VM, Session
from xapi.datamodel.classes import vm_messages as api
from xapi.datamodel.classes.vm import DomainType, VmOperations
from xapi.datamodel.errors import (
    NOT_SYSTEM_DOMAIN,
    OPERATION_NOT_ALLOWED,
    VM_BAD_POWER_STATE,
    VM_CALL_PLUGIN_RATE_LIMIT,
    XENAPI_MISSING_PLUGIN,
    XENAPI_PLUGIN_FAILURE,
)
from xapi.datamodel.model import Ref
from xapi.dispatch.context import Context
from xapi.dispatch.implement import implements, overrides
from xapi.dispatch.occupy import occupied
from xapi.dispatch.perform import Rendered, run_message
from xapi.hypervisor.interface import GuestPluginFailed

PLUGIN_SECONDS = 10.0
AGENT_PLUGIN = "guest-agent-operation"
AGENT_FUNCTIONS = frozenset({"run-script", "request-rdp-on", "request-rdp-off"})
BOOTED = "paused, suspended, running"


class PluginTurns:
    """When plugins of guests were called last: each guest is left in peace for a while."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._last: dict[str, float] = {}

    def take(self, vm: Ref[VM], now: float) -> None:
        """Note a call; VM_CALL_PLUGIN_RATE_LIMIT when the one before was just now."""
        with self._lock:
            self._last = {ref: moment for ref, moment in self._last.items() if moment > now - PLUGIN_SECONDS}
            if vm in self._last:
                wait = self._last[vm] + PLUGIN_SECONDS - now
                raise VM_CALL_PLUGIN_RATE_LIMIT(vm, PLUGIN_SECONDS, wait)
            self._last[vm] = now


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
    """Let the guest's agent run a plugin, and answer what it says.

    XENAPI_MISSING_PLUGIN [name]; XENAPI_PLUGIN_FAILURE [what failed, how, how]; VM_CALL_PLUGIN_RATE_LIMIT [VM, the
    seconds between two calls, the seconds to wait].
    """
    if plugin != AGENT_PLUGIN:
        raise XENAPI_MISSING_PLUGIN(plugin)
    ctx.toolstack.parts.setdefault(PluginTurns, PluginTurns()).take(vm, ctx.toolstack.clock.monotonic())
    try:
        return ctx.toolstack.hypervisor.guest.call_plugin(ctx.db.get(VM, vm).uuid, plugin, fn, args)
    except GuestPluginFailed as error:
        if fn in AGENT_FUNCTIONS:
            raise XENAPI_PLUGIN_FAILURE(fn, error.why, error.why) from error
        unknown = f'The requested fn "{fn}" could not be found in plugin "{plugin}".'
        raise XENAPI_PLUGIN_FAILURE("failed to find fn", unknown, unknown) from error


@implements(api.call_host_plugin, occupies=VmOperations.CALL_PLUGIN)
def call_host_plugin(ctx: Context, vm: Ref[VM], plugin: str, fn: str, args: Mapping[str, str]) -> str:
    """Run a function of a plugin on the host that the VM runs on."""
    answer: str = run_message(ctx, "host.call_plugin", ctx.db.get(VM, vm).resident_on, plugin, fn, args)
    return answer


@implements(api.s3_suspend)
def s3_suspend(ctx: Context, vm: Ref[VM]) -> None:
    """Send the guest to sleep, its memory staying where it is."""
    _press(ctx, vm, "sleep")


@implements(api.s3_resume)
def s3_resume(ctx: Context, vm: Ref[VM]) -> None:
    """Wake a sleeping guest."""
    _press(ctx, vm, "s3resume")


def _press(ctx: Context, vm: Ref[VM], trigger: str) -> None:
    with occupied(ctx, VM, vm, VmOperations.SEND_TRIGGER):
        if ctx.db.get(VM, vm).domain_type is not DomainType.HVM:
            raise OPERATION_NOT_ALLOWED("only a fully virtualised guest can sleep")
        ctx.toolstack.hypervisor.guest.send_trigger(ctx.db.get(VM, vm).uuid, trigger)


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
    ctx.toolstack.sessions.get(session_to)
    row = ctx.db.get(VM, self)
    found: list[Ref[SR]] = []
    for ref in row.VBDs:
        vbd = ctx.db.find(VBD, ref)
        vdi = ctx.db.find(VDI, vbd.VDI) if vbd is not None and vbd.type == "Disk" else None
        if vdi is not None:
            found.append(vdi.SR)
    return tuple(dict.fromkeys(found))
