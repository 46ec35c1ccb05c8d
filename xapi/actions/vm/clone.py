"""Copies of a VM: clones, full copies, snapshots, checkpoints, and going back to one."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from typing import Any

from xapi.actions.addresses import mac_from_seed
from xapi.actions.vm.record import make_metrics, remove_rows
from xapi.datamodel.classes import SR, VBD, VDI, VIF, VM, VTPM, VUSB, VBDMetrics, VMMetrics
from xapi.datamodel.classes import vm_messages as api
from xapi.datamodel.classes.vbd import VbdType
from xapi.datamodel.classes.vm import VmOperations, VmPowerState
from xapi.datamodel.errors import (
    NOT_IMPLEMENTED,
    VDI_NOT_IN_MAP,
    VM_REVERT_FAILED,
)
from xapi.datamodel.model import EPOCH, NULL, Ref
from xapi.db.database import Transaction
from xapi.dispatch.context import Context
from xapi.dispatch.implement import implements
from xapi.dispatch.occupy import occupied
from xapi.dispatch.perform import run_message

CopyDisk = Callable[[str], str]
"""Makes the copy of one VDI and answers it."""


def copy_disks(ctx: Context, row: VM, copy: CopyDisk, undo: ExitStack, ignored: Iterable[str] = ()) -> dict[str, str]:
    """Copy every disk of a VM; the answer maps each VBD to the VDI of its copy. Copies made so far go on failure."""
    copies: dict[str, str] = {}
    made: dict[str, str] = {}
    drives = [vbd for ref in row.VBDs if (vbd := ctx.db.find(VBD, ref)) is not None]
    for number, vbd in enumerate(drives):
        if vbd.VDI == NULL or vbd.empty:
            continue
        if vbd.type is VbdType.CD or ctx.db.get(VDI, vbd.VDI).read_only:
            copies[vbd.ref] = vbd.VDI
            continue
        if vbd.VDI in ignored:
            continue
        ctx.task.check()
        if vbd.VDI not in made:
            made[vbd.VDI] = new = copy(vbd.VDI)
            undo.callback(remove_disk, ctx, new)
        copies[vbd.ref] = made[vbd.VDI]
        ctx.task.progress((number + 1) / (len(drives) + 1))
    return copies


def remove_disk(ctx: Context, vdi: str) -> None:
    """Remove a disk that was made for something that then failed."""
    if ctx.db.find(VDI, vdi) is not None:
        run_message(ctx, "VDI.destroy", vdi)


def copy_rows(
    ctx: Context, transaction: Transaction, row: VM, copies: dict[str, str], *, new_identity: bool, **values: Any
) -> Ref[VM]:
    """Make a VM like another: its fields, its drives with the copied disks, its cards. Devices are unplugged."""
    fields = {
        field.name: row[field.index]
        for field in VM.fields
        if not field.derived and field.name not in NOT_COPIED and field.name not in values
    }
    fields["other_config"] = _other_config(row, new_identity)
    fields["version"] = row.version
    metrics = transaction.find(VMMetrics, row.metrics)
    fields["metrics"] = make_metrics(
        ctx, transaction, hvm=metrics.hvm if metrics is not None else False, start_time=EPOCH
    )
    made = transaction.create(VM, **{**fields, **values})
    for ref in row.VBDs:
        vbd = transaction.find(VBD, ref)
        if vbd is not None and (vbd.empty or vbd.VDI == NULL or ref in copies):
            copy_vbd(transaction, vbd, made, copies.get(ref, NULL))
    for vif_ref in row.VIFs:
        vif = transaction.find(VIF, vif_ref)
        if vif is not None:
            _copy_vif(transaction, vif, made, fields["other_config"].get("mac_seed", ""), new_identity)
    for tpm_ref in row.VTPMs:
        tpm = transaction.find(VTPM, tpm_ref)
        if tpm is not None:
            _copy_row(transaction, VTPM, tpm, VM=made)
    for usb_ref in row.VUSBs:
        usb = transaction.find(VUSB, usb_ref)
        if usb is not None:
            _copy_row(transaction, VUSB, usb, VM=made, currently_attached=False)
    return made


NOT_COPIED = frozenset(
    {
        "uuid",
        "allowed_operations",
        "current_operations",
        "power_state",
        "resident_on",
        "scheduled_to_be_resident_on",
        "domid",
        "domarch",
        "is_control_domain",
        "metrics",
        "guest_metrics",
        "last_booted_record",
        "last_boot_CPU_flags",
        "blobs",
        "snapshot_metadata",
        "is_default_template",
        "suspend_VDI",
        "protection_policy",
        "appliance",
        "attached_PCIs",
        "requires_reboot",
        "pending_guidances",
        "recommended_guidances",
        "pending_guidances_recommended",
        "pending_guidances_full",
        "snapshot_schedule",
    }
)


def _other_config(row: VM, new_identity: bool) -> dict[str, str]:
    kept = {
        key: value for key, value in row.other_config.items() if key not in ("default_template", "xensource_internal")
    }
    if new_identity:
        kept["mac_seed"] = str(uuid.uuid4())
    return kept


def _copy_row(transaction: Transaction, entity: Any, row: Any, **values: Any) -> Any:
    fields = {
        field.name: row[field.index]
        for field in entity.fields
        if not field.derived and field.name not in ("uuid", "allowed_operations", "current_operations")
    }
    return transaction.create(entity, **{**fields, **values})


def copy_vbd(transaction: Transaction, vbd: VBD, vm: Ref[VM], vdi: str) -> None:
    """Give a VM a drive like another's, with another disk."""
    metrics = transaction.create(VBDMetrics)
    _copy_row(
        transaction,
        VBD,
        vbd,
        VM=vm,
        VDI=vdi,
        empty=vdi == NULL,
        currently_attached=False,
        reserved=False,
        metrics=metrics,
        runtime_properties={},
        status_code=0,
        status_detail="",
    )


def _copy_vif(transaction: Transaction, vif: VIF, vm: Ref[VM], seed: str, new_identity: bool) -> None:
    mac = mac_from_seed(seed, int(vif.device)) if seed and new_identity and vif.MAC_autogenerated else vif.MAC
    _copy_row(
        transaction,
        VIF,
        vif,
        VM=vm,
        MAC=mac,
        currently_attached=False,
        reserved=False,
        metrics=NULL,
        runtime_properties={},
        status_code=0,
        status_detail="",
    )


def _whole(ctx: Context, vm: Ref[VM], name: str, copy: CopyDisk) -> Ref[VM]:
    """Make a new VM with copies of all disks."""
    with ExitStack() as undo:
        row = ctx.db.get(VM, vm)
        copies = copy_disks(ctx, row, copy, undo)
        suspended: str = NULL
        if row.power_state is VmPowerState.SUSPENDED and row.suspend_VDI != NULL:
            suspended = copy(row.suspend_VDI)
            undo.callback(remove_disk, ctx, suspended)
        with ctx.transaction() as transaction:
            row = transaction.get(VM, vm)
            made = copy_rows(
                ctx,
                transaction,
                row,
                copies,
                new_identity=True,
                name_label=name,
                power_state=row.power_state if suspended != NULL else VmPowerState.HALTED,
                suspend_VDI=suspended,
                is_a_snapshot=False,
                snapshot_of=NULL,
                snapshot_time=EPOCH,
                snapshot_info={},
                transportable_snapshot_id="",
                is_vmss_snapshot=False,
                parent=row.parent if not row.is_a_snapshot else NULL,
                is_a_template=row.is_a_template or row.is_a_snapshot,
                domid=-1,
            )
        undo.pop_all()
        return made


@implements(api.clone, occupies=VmOperations.CLONE)
def clone(ctx: Context, vm: Ref[VM], new_name: str) -> Ref[VM]:
    """Make a new VM whose disks share the blocks of the old one's where the storage can do that."""
    return _whole(ctx, vm, new_name, lambda vdi: _clone_disk(ctx, vdi))


def _clone_disk(ctx: Context, vdi: str) -> str:
    made: str = run_message(ctx, "VDI.clone", vdi, {})
    return made


@implements(api.copy, occupies=VmOperations.COPY)
def copy(ctx: Context, vm: Ref[VM], new_name: str, sr: Ref[SR]) -> Ref[VM]:
    """Make a new VM whose disks are full copies, on a given SR or each on its own."""
    if sr not in (NULL, ""):
        ctx.db.get(SR, sr)

    def copy_disk(vdi: str) -> str:
        target = ctx.db.get(VDI, vdi).SR if sr in (NULL, "") else sr
        made: str = run_message(ctx, "VDI.copy", vdi, target, NULL, NULL)
        return made

    return _whole(ctx, vm, new_name, copy_disk)


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
    ctx: Context, vm: Ref[VM], name: str, ignored: Iterable[str] = (), image: str = NULL, info: str = "disk"
) -> Ref[VM]:
    """Make the snapshot; with a memory image it is a checkpoint, which can be resumed."""

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
                snapshot_info=_info(row, info),
                transportable_snapshot_id="",
                power_state=VmPowerState.SUSPENDED if image != NULL else VmPowerState.HALTED,
                suspend_VDI=image,
                parent=row.parent,
                domid=-1,
                appliance=NULL,
                groups=(),
            )
            transaction.update(VM, vm, parent=made)
        undo.pop_all()
        return made


def _info(row: VM, kind: str) -> dict[str, str]:
    return {
        "power-state-at-snapshot": str(row.power_state),
        "disk-snapshot-type": "crash_consistent" if row.power_state is VmPowerState.RUNNING else "consistent",
    } | ({"memory": "true"} if kind == "memory" else {})


@implements(api.snapshot_with_quiesce)
def snapshot_with_quiesce(ctx: Context, vm: Ref[VM], new_name: str) -> Ref[VM]:
    """Snapshots that the guest's own service prepares are gone from the hypervisors themselves."""
    raise NOT_IMPLEMENTED(api.snapshot_with_quiesce.wire_name)


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
    """Give the VM copies of the snapshot's disks and its fields, then remove the disks that it had."""
    with ExitStack() as undo:
        source = ctx.db.get(VM, snapshot)
        copies = copy_disks(ctx, source, lambda vdi: _clone_disk(ctx, vdi), undo)
        image: str = NULL
        if source.suspend_VDI != NULL:
            image = _clone_disk(ctx, source.suspend_VDI)
            undo.callback(remove_disk, ctx, image)
        with ctx.transaction() as transaction:
            old = transaction.get(VM, vm)
            discarded = _disks(transaction, old)
            _replace_devices(transaction, source, old, copies)
            values = {
                field.name: source[field.index]
                for field in VM.fields
                if not field.derived and field.name not in NOT_REVERTED
            }
            values["other_config"] = dict(source.other_config)
            transaction.update(
                VM,
                vm,
                **values,
                parent=snapshot,
                suspend_VDI=image,
                power_state=VmPowerState.SUSPENDED if image != NULL else VmPowerState.HALTED,
            )
            for ref in copies.values():
                vdi = transaction.find(VDI, ref)
                original = _original_of(transaction, source, copies, ref)
                if vdi is not None and original != NULL:
                    _adopt_snapshots(transaction, original, vdi.ref)
        undo.pop_all()
    for vdi_ref in discarded:
        remove_disk(ctx, vdi_ref)


def _original_of(transaction: Transaction, source: VM, copies: dict[str, str], copy_ref: str) -> str:
    """The disk whose snapshot a copy was made of."""
    for vbd_ref, made in copies.items():
        if made == copy_ref:
            vbd = transaction.find(VBD, vbd_ref)
            snapshot = transaction.find(VDI, vbd.VDI) if vbd is not None else None
            return snapshot.snapshot_of if snapshot is not None else NULL
    return NULL


def _adopt_snapshots(transaction: Transaction, original: str, new: str) -> None:
    """The snapshots of a disk that is replaced become its successor's."""
    row = transaction.find(VDI, original)
    if row is not None and original != new:
        for ref in row.snapshots:
            transaction.update(VDI, ref, snapshot_of=new)


def _disks(transaction: Transaction, row: VM) -> list[str]:
    """The writable disks of a VM that nobody else uses, and its memory image."""
    found: list[str] = []
    for ref in row.VBDs:
        vbd = transaction.find(VBD, ref)
        vdi = transaction.find(VDI, vbd.VDI) if vbd is not None and vbd.type is not VbdType.CD else None
        if vdi is not None and not vdi.read_only and len(vdi.VBDs) == 1:
            found.append(vdi.ref)
    if row.suspend_VDI != NULL:
        found.append(row.suspend_VDI)
    return found


def _replace_devices(transaction: Transaction, source: VM, old: VM, copies: dict[str, str]) -> None:
    for ref in old.VBDs:
        transaction.delete(VBD, ref)
    for vif_ref in old.VIFs:
        transaction.delete(VIF, vif_ref)
    for ref in source.VBDs:
        vbd = transaction.find(VBD, ref)
        if vbd is not None and (vbd.empty or ref in copies):
            copy_vbd(transaction, vbd, old.ref, copies.get(ref, NULL))
    for vif_ref in source.VIFs:
        vif = transaction.find(VIF, vif_ref)
        if vif is not None:
            _copy_vif(transaction, vif, old.ref, "", new_identity=False)


NOT_REVERTED = NOT_COPIED | {
    "name_label",
    "name_description",
    "is_a_template",
    "is_a_snapshot",
    "snapshot_of",
    "snapshot_time",
    "snapshot_info",
    "transportable_snapshot_id",
    "parent",
    "other_config",
    "tags",
    "ha_always_run",
    "ha_restart_priority",
    "blocked_operations",
    "groups",
    "order",
    "start_delay",
    "shutdown_delay",
    "is_vmss_snapshot",
}

__all__ = ["clone", "copy", "copy_disks", "remove_rows", "revert", "snapshot", "take_snapshot"]
