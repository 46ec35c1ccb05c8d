"""Moving VMs: to the host where they are (a domain built anew from its memory), and their disks between its SRs."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path

from xapi.actions.vm.alerts import VmAlert
from xapi.actions.vm.domain_config import domain_config
from xapi.actions.vm.domains import has_domain, mark_halted, mark_running_again, mark_suspended, perform
from xapi.actions.vm.placement import assert_can_boot
from xapi.actions.vm.suspend import SUSPEND_SECONDS, image_file, store_image
from xapi.datamodel.classes import SR, VBD, VDI, VGPU, VIF, VM, GPUGroup, Host, Network
from xapi.datamodel.classes import host_messages as host_api
from xapi.datamodel.classes import vm_messages as api
from xapi.datamodel.classes.vbd import VbdType
from xapi.datamodel.classes.vm import VmOperations, VmPowerState
from xapi.datamodel.errors import (
    HOST_NOT_LIVE,
    INVALID_VALUE,
    VM_BAD_POWER_STATE,
    VM_HAS_VGPU,
    VM_MIGRATE_CONTACT_REMOTE_SERVICE_FAILED,
)
from xapi.datamodel.failure import Failure
from xapi.datamodel.model import NOTHING, NULL, Ref
from xapi.dispatch.context import Context
from xapi.dispatch.implement import implements
from xapi.dispatch.occupy import assert_allowed, occupied
from xapi.dispatch.perform import run_message
from xapi.hypervisor import plan
from xapi.hypervisor.interface import FileBackend
from xapi.lifecycle.wording import power_text

LOG = logging.getLogger("xapi.vm")
TRUE = frozenset({"true", "1"})


@implements(api.pool_migrate, occupies=VmOperations.POOL_MIGRATE)
def pool_migrate(ctx: Context, vm: Ref[VM], host: Ref[Host], options: Mapping[str, str]) -> None:
    """Move a running VM to a host of the pool; on the only host, its domain is built anew from its memory."""
    ctx.db.get(Host, host)
    if host != ctx.this_host:
        raise HOST_NOT_LIVE()
    row = ctx.db.get(VM, vm)
    config = domain_config(ctx.db, row, devices=True)
    with image_file(ctx, row) as path:
        image = FileBackend(str(path))
        perform(ctx, plan.suspend(config, image, SUSPEND_SECONDS))
        arrived = False
        try:
            perform(ctx, plan.resume(config, image, row.power_state is VmPowerState.PAUSED))
            arrived = True
        finally:
            if not arrived and not has_domain(ctx, vm):
                _keep_memory(ctx, row, path)
    mark_running_again(ctx, vm, row.power_state, VmAlert.MIGRATED)


def _keep_memory(ctx: Context, row: VM, path: Path) -> None:
    """Let a VM that could not be built anew be suspended, if its memory finds a place; else it is halted."""
    try:
        image = store_image(ctx, row, path)
    except Failure as failure:
        LOG.error("the memory of VM %s is lost, as it could not be stored: %s", row.uuid, failure)
        mark_halted(ctx, row.ref)
        return
    mark_suspended(ctx, row, image)


@implements(api.restart_device_models)
def restart_device_models(ctx: Context, self: Ref[VM]) -> None:
    """Build a running VM's domain anew from its memory where it is, which starts its device emulation afresh."""
    row = ctx.db.get(VM, self)
    if row.power_state is not VmPowerState.RUNNING:
        raise VM_BAD_POWER_STATE(self, power_text(VmPowerState.RUNNING), power_text(row.power_state))
    run_message(ctx, "VM.pool_migrate", self, row.resident_on, {"live": "true"})


@implements(host_api.migrate_receive, runs_on="host")
def migrate_receive(
    ctx: Context, host: Ref[Host], network: Ref[Network], options: Mapping[str, str]
) -> Mapping[str, str]:
    """Answer the token by which a VM can be sent to this host."""
    row = ctx.db.get(Host, host)
    ctx.db.get(Network, network)
    port = ctx.toolstack.https_port
    base = f"https://{row.address}:{port}"
    session = ctx.session.ref
    return {
        "host": host,
        "session_id": session,
        "master": f"{base}/",
        "xenops": f"{base}/services/xenops?session_id={session}",
        "SM": f"{base}/services/SM?session_id={session}",
    }


def _assert_here(ctx: Context, dest: Mapping[str, str]) -> Ref[Host]:
    """The destination, if it is a host of this pool; VMs are not yet sent to others."""
    host = ctx.db.find(Host, dest.get("host", ""))
    if host is None:
        if "host" not in dest:
            raise INVALID_VALUE("dest", str(dict(dest)))
        raise VM_MIGRATE_CONTACT_REMOTE_SERVICE_FAILED()
    return host.ref


def _drives(ctx: Context, row: VM) -> list[tuple[VBD, VDI]]:
    found = []
    for ref in row.VBDs:
        vbd = ctx.db.find(VBD, ref)
        vdi = ctx.db.find(VDI, vbd.VDI) if vbd is not None and vbd.type is not VbdType.CD else None
        if vbd is not None and vdi is not None:
            found.append((vbd, vdi))
    return found


def _check(
    ctx: Context,
    row: VM,
    dest: Mapping[str, str],
    vdi_map: Mapping[Ref[VDI], Ref[SR]],
    vif_map: Mapping[Ref[VIF], Ref[Network]],
) -> Ref[Host]:
    host = _assert_here(ctx, dest)
    if row.VGPUs:
        raise VM_HAS_VGPU(row.ref)
    for vdi, sr in vdi_map.items():
        ctx.db.get(VDI, vdi)
        ctx.db.get(SR, sr)
    for vif, network in vif_map.items():
        ctx.db.get(VIF, vif)
        ctx.db.get(Network, network)
    if row.power_state is VmPowerState.HALTED:
        assert_can_boot(ctx, row, host)
    return host


@implements(api.assert_can_migrate)
def assert_can_migrate(
    ctx: Context,
    vm: Ref[VM],
    dest: Mapping[str, str],
    live: bool,
    vdi_map: Mapping[Ref[VDI], Ref[SR]],
    vif_map: Mapping[Ref[VIF], Ref[Network]],
    options: Mapping[str, str],
    vgpu_map: Mapping[Ref[VGPU], Ref[GPUGroup]] = NOTHING,
) -> None:
    """Do nothing, if the VM could be sent; else raise what keeps it from that."""
    row = ctx.db.get(VM, vm)
    _check(ctx, row, dest, vdi_map, vif_map)
    with ctx.transaction() as transaction:
        assert_allowed(transaction, row, VmOperations.MIGRATE_SEND)


@implements(api.assert_can_migrate_sender)
def assert_can_migrate_sender(
    ctx: Context,
    vm: Ref[VM],
    dest: Mapping[str, str],
    live: bool,
    vdi_map: Mapping[Ref[VDI], Ref[SR]],
    vif_map: Mapping[Ref[VIF], Ref[Network]],
    vgpu_map: Mapping[Ref[VGPU], Ref[GPUGroup]],
    options: Mapping[str, str],
) -> None:
    """Do nothing, if this host could send the VM; else raise what keeps it from that."""
    assert_can_migrate(ctx, vm, dest, live, vdi_map, vif_map, options, vgpu_map)


@implements(api.migrate_send)
def migrate_send(
    ctx: Context,
    vm: Ref[VM],
    dest: Mapping[str, str],
    live: bool,
    vdi_map: Mapping[Ref[VDI], Ref[SR]],
    vif_map: Mapping[Ref[VIF], Ref[Network]],
    options: Mapping[str, str],
    vgpu_map: Mapping[Ref[VGPU], Ref[GPUGroup]] = NOTHING,
    vdi_format_map: Mapping[Ref[VDI], str] = NOTHING,
) -> Ref[VM]:
    """Move a VM's disks and cards to other SRs and networks of this host, or make a copy there."""
    row = ctx.db.get(VM, vm)
    _check(ctx, row, dest, vdi_map, vif_map)
    if options.get("copy", "").lower() in TRUE:
        targets = {vdi_map.get(vdi.ref, vdi.SR) for _, vdi in _drives(ctx, row)}
        made: Ref[VM] = run_message(ctx, "VM.copy", vm, row.name_label, targets.pop() if len(targets) == 1 else NULL)
        return made
    moving = [(vdi, vdi_map[vdi.ref]) for _, vdi in _drives(ctx, row) if vdi_map.get(vdi.ref, vdi.SR) != vdi.SR]
    with occupied(ctx, VM, vm, VmOperations.MIGRATE_SEND):
        for vdi, sr in moving:
            ctx.task.check()
            run_message(ctx, "VDI.pool_migrate", vdi.ref, sr, dict(options))
    for vif, network in vif_map.items():
        if ctx.db.get(VIF, vif).network != network:
            run_message(ctx, "VIF.move", vif, network)
    return vm
