"""Snapshots of VMs, and going back to one."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from datetime import datetime
from typing import Any, Final

from xapi.actions.secret import drop_secret
from xapi.actions.vm.alerts import VmAlert, tell
from xapi.actions.vm.copies import (
    NOT_COPIED,
    another_generation,
    clone_disk,
    copy_cards,
    copy_disks,
    copy_guest_metrics,
    copy_rows,
    copy_tpms,
    copy_vbd,
    discard_disk,
    remove_disk,
)
from xapi.datamodel.classes import VBD, VDI, VGPU, VIF, VM, VTPM, VBDMetrics, VIFMetrics, VMGuestMetrics
from xapi.datamodel.classes import vm_messages as api
from xapi.datamodel.classes.vbd import VbdType
from xapi.datamodel.classes.vm import VmOperations, VmPowerState
from xapi.datamodel.errors import NOT_IMPLEMENTED, VDI_NOT_IN_MAP, VM_REVERT_FAILED
from xapi.datamodel.failure import Failure
from xapi.datamodel.model import NULL, Entity, Ref
from xapi.db.database import Transaction
from xapi.dispatch.context import Context
from xapi.dispatch.implement import implements
from xapi.dispatch.occupy import assert_allowed, occupied
from xapi.dispatch.perform import run_message
from xapi.dispatch.records import checked
from xapi.rpc.values import decode

REMEMBERED: Final = (
    "name_label",
    "name_description",
    "other_config",
    "blocked_operations",
    "appliance",
    "order",
    "start_delay",
    "shutdown_delay",
    "suspend_SR",
    "is_default_template",
)
"""What a VM has at the time of a snapshot and the snapshot itself has not, or may have changed since."""

NOT_REVERTED: Final = NOT_COPIED | {
    "name_label",
    "is_a_template",
    "is_a_snapshot",
    "snapshot_of",
    "snapshot_time",
    "snapshot_info",
    "transportable_snapshot_id",
    "parent",
    "tags",
    "affinity",
    "groups",
    "is_vmss_snapshot",
}
"""What a snapshot's row does not give back to its VM."""


@implements(api.snapshot, occupies=VmOperations.SNAPSHOT)
def snapshot(ctx: Context, vm: Ref[VM], new_name: str, ignore_vdis: tuple[Ref[VDI], ...] = ()) -> Ref[VM]:
    """Keep the VM as it is now, disks and fields, as a template-like snapshot."""
    row = ctx.db.get(VM, vm)
    attached = {vbd.VDI for ref in row.VBDs if (vbd := ctx.db.find(VBD, ref)) is not None}
    for vdi in ignore_vdis:
        if vdi not in attached:
            raise VDI_NOT_IN_MAP(vdi)
    return take_snapshot(ctx, vm, new_name, ignore_vdis)


def take_snapshot(
    ctx: Context, vm: Ref[VM], name: str, ignored: Iterable[str] = (), image: str = NULL, *, checkpoint: bool = False
) -> Ref[VM]:
    """Make the snapshot; one with a memory image is Suspended, and so will be a VM that goes back to it."""

    def snapshot_disk(vdi: str) -> str:
        made: str = run_message(ctx, "VDI.snapshot", vdi, {})
        return made

    with ExitStack() as undo:
        row = ctx.db.get(VM, vm)
        copies = copy_disks(ctx, row, snapshot_disk, undo, ignored)
        moment = ctx.now()
        with ctx.transaction() as transaction:
            row = transaction.get(VM, vm)
            made = copy_rows(
                ctx,
                transaction,
                row,
                copies,
                new_identity=False,
                name_label=name,
                is_a_template=True,
                is_a_snapshot=True,
                snapshot_of=vm,
                snapshot_time=moment,
                snapshot_info={
                    "power-state-at-snapshot": str(row.power_state),
                    "disk-snapshot-type": "crash_consistent",
                },
                snapshot_metadata=_remembered(row),
                transportable_snapshot_id="",
                power_state=VmPowerState.SUSPENDED if image != NULL else VmPowerState.HALTED,
                suspend_VDI=image,
                guest_metrics=copy_guest_metrics(transaction, row),
                parent=row.parent,
                domid=-1,
                groups=(),
            )
            transaction.update(VM, vm, parent=made)
            alert = VmAlert.CHECKPOINTED if checkpoint else VmAlert.SNAPSHOTTED
            tell(ctx, transaction, alert, row, transaction.get(VM, made).uuid)
        undo.pop_all()
        return made


def remove_snapshot(ctx: Context, snapshot: Ref[VM]) -> None:
    """Remove a snapshot with its disks and its memory image, as if it had never been taken."""
    row = ctx.db.get(VM, snapshot)
    drives = [vbd for ref in row.VBDs if (vbd := ctx.db.find(VBD, ref)) is not None]
    disks = [vbd.VDI for vbd in drives if vbd.type is not VbdType.CD and vbd.VDI != NULL]
    run_message(ctx, "VM.destroy", snapshot)
    for disk in (*disks, row.suspend_VDI):
        kept = ctx.db.find(VDI, disk)
        if kept is not None and kept.is_a_snapshot | (disk == row.suspend_VDI):
            remove_disk(ctx, disk)


def _remembered(row: VM) -> str:
    return json.dumps({name: row[VM.field_named[name].index] for name in REMEMBERED}, default=dict)


def _recalled(transaction: Transaction, snapshot: VM) -> dict[str, Any]:
    """What a snapshot remembers of its VM; nothing for one that comes from elsewhere and remembers in other ways."""
    try:
        document = json.loads(snapshot.snapshot_metadata or "{}")
        wanted = {name: document[name] for name in REMEMBERED if name in document}
        values = {name: decode(VM.field_named[name].type, value, name) for name, value in wanted.items()}
    except (ValueError, TypeError, Failure):
        return {}
    found: dict[str, Any] = {}
    for name, value in values.items():
        try:
            found[name] = checked(transaction.find, VM.field_named[name].type, value)
        except Failure:
            found[name] = NULL  # such as an appliance that was destroyed meanwhile
    return found


@implements(api.snapshot_with_quiesce)
def snapshot_with_quiesce(ctx: Context, vm: Ref[VM], new_name: str) -> Ref[VM]:
    """Refuse: snapshots that the guest's own service prepares are gone from the hypervisors themselves."""
    with ctx.transaction() as transaction:
        assert_allowed(transaction, transaction.get(VM, vm), VmOperations.SNAPSHOT_WITH_QUIESCE)
    raise NOT_IMPLEMENTED(api.snapshot_with_quiesce.wire_name)


@implements(api.update_snapshot_metadata)
def update_snapshot_metadata(
    ctx: Context, vm: Ref[VM], snapshot_of: Ref[VM], snapshot_time: datetime, transportable_snapshot_id: str
) -> None:
    """Make a VM that was made in other ways the snapshot of another."""
    with ctx.transaction() as transaction:
        transaction.get(VM, snapshot_of)
        transaction.update(
            VM,
            vm,
            is_a_snapshot=True,
            is_a_template=True,
            snapshot_of=snapshot_of,
            snapshot_time=snapshot_time,
            transportable_snapshot_id=transportable_snapshot_id,
        )


@implements(api.revert)
def revert(ctx: Context, snapshot: Ref[VM]) -> None:
    """Put a VM back to what it was when a snapshot was taken; what runs is stopped hard."""
    row = ctx.db.get(VM, snapshot)
    vm = row.snapshot_of
    if not row.is_a_snapshot or ctx.db.find(VM, vm) is None:
        raise VM_REVERT_FAILED(snapshot, vm)
    with occupied(ctx, VM, snapshot, VmOperations.REVERT):
        if ctx.db.get(VM, vm).power_state in (VmPowerState.RUNNING, VmPowerState.PAUSED):
            run_message(ctx, "VM.hard_shutdown", vm)
        with occupied(ctx, VM, vm, VmOperations.REVERTING):
            _go_back(ctx, snapshot, vm)


def _go_back(ctx: Context, snapshot: Ref[VM], vm: Ref[VM]) -> None:
    """Give the VM copies of the snapshot's disks and its fields, then remove the disks that these replace."""
    with ExitStack() as undo:
        source = ctx.db.get(VM, snapshot)
        copies = copy_disks(ctx, source, lambda vdi: clone_disk(ctx, vdi), undo)
        image: str = NULL
        if source.suspend_VDI != NULL:
            image = clone_disk(ctx, source.suspend_VDI)
            undo.callback(remove_disk, ctx, image)
        with ctx.transaction() as transaction:
            old = transaction.get(VM, vm)
            replaced = _replaced(transaction, source, copies)
            discarded = _discarded(transaction, old, replaced)
            _replace_devices(transaction, source, old, copies)
            transaction.update(
                VM,
                vm,
                **_fields(transaction, source),
                generation_id=another_generation(old.generation_id),
                guest_metrics=_replace_guest_metrics(transaction, source, old),
                ha_always_run=False,
                parent=snapshot,
                suspend_VDI=image,
                power_state=VmPowerState.SUSPENDED if image != NULL else VmPowerState.HALTED,
            )
            for original, new in replaced.items():
                _adopt_snapshots(transaction, original, new)
            tell(ctx, transaction, VmAlert.REVERTED, old, source.uuid)
        undo.pop_all()
    for vdi_ref in discarded:
        discard_disk(ctx, vdi_ref)


def _fields(transaction: Transaction, source: VM) -> Mapping[str, Any]:
    kept = {
        field.name: source[field.index] for field in VM.fields if not field.derived and field.name not in NOT_REVERTED
    }
    return {**kept, **_recalled(transaction, source)}


def _replace_guest_metrics(transaction: Transaction, source: VM, old: VM) -> str:
    if transaction.find(VMGuestMetrics, old.guest_metrics) is not None:
        transaction.delete(VMGuestMetrics, old.guest_metrics)
    return copy_guest_metrics(transaction, source)


def _replaced(transaction: Transaction, source: VM, copies: dict[str, str]) -> dict[str, str]:
    """The new disk for each original whose snapshot was copied."""
    found: dict[str, str] = {}
    for vbd_ref, new in copies.items():
        vbd = transaction.find(VBD, vbd_ref)
        kept = transaction.find(VDI, vbd.VDI) if vbd is not None else None
        if kept is not None and kept.ref != new and kept.snapshot_of != NULL:
            found[kept.snapshot_of] = new
    return found


def _adopt_snapshots(transaction: Transaction, original: str, new: str) -> None:
    """The snapshots of a disk that is replaced become its successor's."""
    row = transaction.find(VDI, original)
    if row is not None:
        for ref in row.snapshots:
            transaction.update(VDI, ref, snapshot_of=new)


def _discarded(transaction: Transaction, old: VM, replaced: Mapping[str, str]) -> list[str]:
    """The disks that a snapshot replaces and that no other VM has, and the memory image.

    A disk that came after the snapshot was taken is not attached afterwards, but it stays.
    """
    found: list[str] = []
    for ref in old.VBDs:
        vbd = transaction.find(VBD, ref)
        vdi = transaction.find(VDI, vbd.VDI) if vbd is not None and vbd.type is not VbdType.CD else None
        if vdi is None or vdi.ref not in replaced or vdi.ref in found:
            continue
        if all((drive := transaction.find(VBD, one)) is None or old.ref == drive.VM for one in vdi.VBDs):
            found.append(vdi.ref)
    if old.suspend_VDI != NULL:
        found.append(old.suspend_VDI)
    return found


def _replace_devices(transaction: Transaction, source: VM, old: VM, copies: dict[str, str]) -> None:
    """Exchange drives, cards, virtual GPUs and TPMs for others like the snapshot's."""
    gone: list[tuple[type[Entity], str]] = []
    for ref in old.VBDs:
        vbd = transaction.find(VBD, ref)
        gone += [(VBDMetrics, vbd.metrics if vbd is not None else NULL), (VBD, ref)]
    for vif_ref in old.VIFs:
        vif = transaction.find(VIF, vif_ref)
        gone += [(VIFMetrics, vif.metrics if vif is not None else NULL), (VIF, vif_ref)]
    gone += [(VGPU, gpu_ref) for gpu_ref in old.VGPUs]
    for tpm_ref in old.VTPMs:
        tpm = transaction.find(VTPM, tpm_ref)
        if tpm is not None:
            drop_secret(transaction, tpm.contents)
            gone.append((VTPM, tpm_ref))
    for entity, part in gone:
        if transaction.find(entity, part) is not None:
            transaction.delete(entity, part)
    for ref in source.VBDs:
        vbd = transaction.find(VBD, ref)
        if vbd is not None and (vbd.empty or ref in copies):
            copy_vbd(transaction, vbd, old.ref, copies.get(ref, NULL))
    copy_cards(transaction, source, old.ref)
    copy_tpms(transaction, source, old.ref)
