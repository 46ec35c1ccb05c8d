"""Disks and rows of a VM made once more, as clones, full copies, snapshots and reverted VMs need them."""

from __future__ import annotations

import logging
import random
import uuid
from collections.abc import Callable, Iterable, Mapping
from contextlib import ExitStack
from typing import Any, Final

from xapi.actions.addresses import mac_from_seed
from xapi.datamodel.classes import VBD, VDI, VGPU, VIF, VM, VTPM, VUSB, Secret, VBDMetrics, VMGuestMetrics, VMMetrics
from xapi.datamodel.classes.vbd import VbdType
from xapi.datamodel.classes.vm import DomainType
from xapi.datamodel.failure import Failure
from xapi.datamodel.model import EPOCH, NULL, Entity, Ref
from xapi.db.database import Transaction
from xapi.dispatch.context import Context
from xapi.dispatch.perform import run_message

LOG = logging.getLogger("xapi.vm")
CopyDisk = Callable[[str], str]
"""Makes the copy of one VDI and answers it."""

BASE_TEMPLATE: Final = "base_template_name"
MAC_SEED: Final = "mac_seed"
OF_THE_SOURCE_ONLY: Final = frozenset({"default_template", "xensource_internal"})
NEVER_COPIED: Final = frozenset({"uuid", "allowed_operations", "current_operations"})

NOT_COPIED: Final = NEVER_COPIED | {
    "power_state",
    "resident_on",
    "scheduled_to_be_resident_on",
    "domid",
    "domarch",
    "is_control_domain",
    "metrics",
    "guest_metrics",
    "blobs",
    "snapshot_metadata",
    "is_default_template",
    "suspend_VDI",
    "suspend_SR",
    "protection_policy",
    "appliance",
    "start_delay",
    "shutdown_delay",
    "order",
    "blocked_operations",
    "ha_always_run",
    "version",
    "generation_id",
    "attached_PCIs",
    "requires_reboot",
    "pending_guidances",
    "recommended_guidances",
    "pending_guidances_recommended",
    "pending_guidances_full",
    "snapshot_schedule",
}
"""The fields in which a copy does not follow its source: they have their defaults, or values given by the caller."""

NOT_PLUGGED: Final[Mapping[str, Any]] = {
    "currently_attached": False,
    "reserved": False,
    "runtime_properties": {},
    "status_code": 0,
    "status_detail": "",
}


def copy_disks(ctx: Context, row: VM, copy: CopyDisk, undo: ExitStack, ignored: Iterable[str] = ()) -> dict[str, str]:
    """Copy every disk of a VM; the answer maps each VBD to the VDI of its copy. Copies made so far go on failure.

    What cannot be written is shared instead; a disk that two drives have is copied once.
    """
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


def clone_disk(ctx: Context, vdi: str) -> str:
    """Make a disk that shares the blocks of another where the storage can do that."""
    made: str = run_message(ctx, "VDI.clone", vdi, {})
    return made


def remove_disk(ctx: Context, vdi: str) -> None:
    """Remove a disk that was made for something that then failed, or that nobody needs any more."""
    if ctx.db.find(VDI, vdi) is not None:
        run_message(ctx, "VDI.destroy", vdi)


def discard_disk(ctx: Context, vdi: str) -> None:
    """Remove a disk that an operation, which is done already, has left without a use; one that stays is logged."""
    try:
        remove_disk(ctx, vdi)
    except Failure as failure:
        LOG.warning("disk %s is not needed any more, and its removal is tried again: %s", vdi, failure)
        try:
            remove_disk(ctx, vdi)
        except Failure:
            LOG.exception("disk %s is not needed any more and could not be removed", vdi)


def copy_rows(
    ctx: Context, transaction: Transaction, row: VM, copies: dict[str, str], *, new_identity: bool, **values: Any
) -> Ref[VM]:
    """Make a VM like another: its fields, its drives with the copied disks, its cards. Devices are unplugged.

    With a new identity the copy gets MAC addresses of its own for cards whose addresses were chosen here.
    """
    fields = {
        field.name: row[field.index]
        for field in VM.fields
        if not field.derived and field.name not in NOT_COPIED and field.name not in values
    }
    fields["other_config"] = _other_config(row, new_identity)
    fields["generation_id"] = another_generation(row.generation_id)
    fields["metrics"] = _copy_metrics(ctx, transaction, row)
    made = transaction.create(VM, **{**fields, **values})
    for ref in row.VBDs:
        vbd = transaction.find(VBD, ref)
        if vbd is not None and (vbd.empty or vbd.VDI == NULL or ref in copies):
            copy_vbd(transaction, vbd, made, copies.get(ref, NULL))
    seed = fields["other_config"].get(MAC_SEED, "") if new_identity else ""
    copy_cards(transaction, row, made, seed)
    copy_tpms(transaction, row, made)
    for usb_ref in row.VUSBs:
        usb = transaction.find(VUSB, usb_ref)
        if usb is not None:
            _copy_row(transaction, VUSB, usb, VM=made, currently_attached=False)
    return made


def another_generation(present: str) -> str:
    """The generation that a guest is told of to see that it was copied; a VM without one stays without."""
    if not present:
        return ""
    numbers = random.SystemRandom()
    return f"{numbers.getrandbits(63)}:{numbers.getrandbits(63)}"


def _other_config(row: VM, new_identity: bool) -> dict[str, str]:
    kept = {key: value for key, value in row.other_config.items() if key not in OF_THE_SOURCE_ONLY}
    if row.is_a_template and not row.is_a_snapshot:
        kept.setdefault(BASE_TEMPLATE, row.name_label)
    if new_identity:
        kept[MAC_SEED] = str(uuid.uuid4())
    return kept


def _copy_row(transaction: Transaction, entity: Any, row: Entity, **values: Any) -> Any:
    fields = {
        field.name: row[field.index]
        for field in entity.fields
        if not field.derived and field.name not in NEVER_COPIED and field.name not in values
    }
    return transaction.create(entity, **{**fields, **values})


def _copy_metrics(ctx: Context, transaction: Transaction, row: VM) -> str:
    """The figures of a VM that has no domain yet, but is virtualised like the other."""
    metrics = transaction.find(VMMetrics, row.metrics)
    if metrics is None:
        return transaction.create(VMMetrics, install_time=ctx.now(), last_updated=ctx.now())
    made: str = _copy_row(
        transaction,
        VMMetrics,
        metrics,
        start_time=EPOCH,
        last_updated=ctx.now(),
        VCPUs_number=0,
        current_domain_type=DomainType.UNSPECIFIED,
    )
    return made


def copy_guest_metrics(transaction: Transaction, row: VM) -> str:
    """What the guest of a VM has reported, once more; null when it has not."""
    found = transaction.find(VMGuestMetrics, row.guest_metrics)
    if found is None:
        return NULL
    made: str = _copy_row(transaction, VMGuestMetrics, found)
    return made


def copy_vbd(transaction: Transaction, vbd: VBD, vm: str, vdi: str) -> None:
    """Give a VM a drive like another's, with another disk."""
    metrics = transaction.create(VBDMetrics)
    _copy_row(transaction, VBD, vbd, VM=vm, VDI=vdi, empty=vdi == NULL, metrics=metrics, **NOT_PLUGGED)


def copy_cards(transaction: Transaction, source: VM, vm: str, seed: str = "") -> None:
    """Give a VM cards and virtual GPUs like another's; a seed gives addresses of their own to those chosen here."""
    for ref in source.VIFs:
        vif = transaction.find(VIF, ref)
        if vif is not None:
            mac = mac_from_seed(seed, int(vif.device)) if seed and vif.MAC_autogenerated else vif.MAC
            _copy_row(transaction, VIF, vif, VM=vm, MAC=mac, metrics=NULL, **NOT_PLUGGED)
    for gpu_ref in source.VGPUs:
        gpu = transaction.find(VGPU, gpu_ref)
        if gpu is not None:
            unplugged = {"currently_attached": False, "resident_on": NULL, "scheduled_to_be_resident_on": NULL}
            _copy_row(transaction, VGPU, gpu, VM=vm, **unplugged)


def copy_tpms(transaction: Transaction, source: VM, vm: str) -> None:
    """Give a VM TPMs like another's, with what is in them."""
    for ref in source.VTPMs:
        tpm = transaction.find(VTPM, ref)
        if tpm is not None:
            content = transaction.find(Secret, tpm.contents)
            value = content.value if content is not None else ""
            _copy_row(transaction, VTPM, tpm, VM=vm, contents=transaction.create(Secret, value=value))
