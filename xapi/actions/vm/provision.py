"""Making the disks that a template asks for (`other_config:disks`)."""

from __future__ import annotations

from contextlib import ExitStack

from xapi.actions.vm.copies import remove_disk
from xapi.actions.vm.record import note_installed
from xapi.datamodel.classes import SR, VBD, VM, VBDMetrics
from xapi.datamodel.classes import vm_messages as api
from xapi.datamodel.classes.vbd import VbdMode, VbdType
from xapi.datamodel.classes.vm import VmOperations
from xapi.datamodel.errors import DEFAULT_SR_NOT_FOUND, INVALID_VALUE, UUID_INVALID
from xapi.datamodel.model import Ref
from xapi.dispatch.context import Context
from xapi.dispatch.implement import implements
from xapi.dispatch.perform import run_message
from xapi.rpc.provision import WantedDisk, read_disks

DISKS = "disks"


@implements(api.provision, occupies=VmOperations.PROVISION)
def provision(ctx: Context, vm: Ref[VM]) -> None:
    """Make the disks that a template asks for, and turn it into a VM."""
    row = ctx.db.get(VM, vm)
    document = row.other_config.get(DISKS, "")
    try:
        wanted = read_disks(document) if document else ()
    except ValueError as problem:
        raise INVALID_VALUE(DISKS, str(problem)) from None
    places = [(disk, _place(ctx, disk)) for disk in wanted]
    with ExitStack() as undo:
        made: list[tuple[WantedDisk, str]] = []
        for number, (disk, sr) in enumerate(places):
            ctx.task.check()
            vdi: str = run_message(ctx, "VDI.create", _disk_record(row, disk, sr))
            undo.callback(remove_disk, ctx, vdi)
            made.append((disk, vdi))
            ctx.task.progress((number + 1) / (len(places) + 1))
        with ctx.transaction() as transaction:
            for disk, vdi in made:
                transaction.create(
                    VBD,
                    VM=vm,
                    VDI=vdi,
                    userdevice=disk.device,
                    bootable=disk.bootable,
                    mode=VbdMode.RW,
                    type=VbdType.DISK,
                    unpluggable=disk.type != "system",
                    other_config={"owner": ""},
                    metrics=transaction.create(VBDMetrics),
                )
            rest = {key: value for key, value in transaction.get(VM, vm).other_config.items() if key != DISKS}
            note_installed(ctx, transaction, transaction.get(VM, vm))
            transaction.update(VM, vm, other_config=rest, is_a_template=False, is_default_template=False)
        undo.pop_all()


def _place(ctx: Context, disk: WantedDisk) -> Ref[SR]:
    """The SR that a disk names, or else the pool's default."""
    if disk.sr:
        row = ctx.db.by_uuid(SR, disk.sr)
        if row is None:
            raise UUID_INVALID(SR.wire_name, disk.sr)
        return row.ref
    default = ctx.pool.default_SR
    if ctx.db.find(SR, default) is None:
        raise DEFAULT_SR_NOT_FOUND(default)
    return default


def _disk_record(row: VM, disk: WantedDisk, sr: Ref[SR]) -> dict[str, object]:
    return {
        "name_label": f"{row.name_label} {disk.device}",
        "name_description": "made as the template asked",
        "SR": sr,
        "virtual_size": disk.size,
        "type": disk.type,
        "sharable": False,
        "read_only": False,
        "other_config": {},
        "sm_config": {},
    }
