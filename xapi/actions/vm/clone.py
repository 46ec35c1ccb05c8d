"""New VMs from old ones: clones, and full copies on other storage."""

from __future__ import annotations

from contextlib import ExitStack

from xapi.actions.vm.alerts import VmAlert, tell
from xapi.actions.vm.copies import CopyDisk, clone_disk, copy_disks, copy_rows, remove_disk
from xapi.datamodel.classes import SR, VDI, VM
from xapi.datamodel.classes import vm_messages as api
from xapi.datamodel.classes.vm import VmOperations, VmPowerState
from xapi.datamodel.model import EPOCH, NULL, Ref
from xapi.dispatch.context import Context
from xapi.dispatch.implement import implements
from xapi.dispatch.perform import run_message


def _whole(ctx: Context, vm: Ref[VM], name: str, copy: CopyDisk) -> Ref[VM]:
    """Make a new VM with copies of all disks, and of the memory image of a suspended one."""
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
                parent=NULL,
                is_a_template=row.is_a_template or row.is_a_snapshot,
                domid=-1,
            )
            tell(ctx, transaction, VmAlert.CLONED, row, transaction.get(VM, made).uuid)
        undo.pop_all()
        return made


@implements(api.clone, occupies=VmOperations.CLONE)
def clone(ctx: Context, vm: Ref[VM], new_name: str) -> Ref[VM]:
    """Make a new VM whose disks share the blocks of the old one's where the storage can do that."""
    return _whole(ctx, vm, new_name, lambda vdi: clone_disk(ctx, vdi))


@implements(api.csvm, occupies=VmOperations.CSVM)
def csvm(ctx: Context, vm: Ref[VM]) -> Ref[VM]:
    """Make a second suspended VM of a suspended one."""
    return _whole(ctx, vm, f"{ctx.db.get(VM, vm).name_label}-cloned-suspended", lambda vdi: clone_disk(ctx, vdi))


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
