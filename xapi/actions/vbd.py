"""Drives of VMs (XenAPI's class VBD): made, removed, plugged, and CDs put in and taken out."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from typing import Any, Final

from xapi.actions.attach_disks import LIVE, AttachDisks
from xapi.actions.device_names import MOST, device_number
from xapi.actions.sr.contents import drop_drive
from xapi.actions.vm.domain_config import KINDS, disk_of
from xapi.actions.vm.domains import perform
from xapi.datamodel.classes import SR, VBD, VDI, VM, VBDMetrics, vm_messages
from xapi.datamodel.classes import vbd as api
from xapi.datamodel.classes.vbd import VbdMode, VbdOperations, VbdType
from xapi.datamodel.classes.vdi import VdiType
from xapi.datamodel.classes.vm import VmOperations, VmPowerState
from xapi.datamodel.errors import (
    DEVICE_ALREADY_EXISTS,
    DEVICE_DETACH_REJECTED,
    HANDLE_INVALID,
    INVALID_DEVICE,
    OPERATION_NOT_ALLOWED,
    SR_OPERATION_NOT_SUPPORTED,
    VBD_CDS_MUST_BE_READONLY,
    VBD_NOT_REMOVABLE_MEDIA,
    VDI_INCOMPATIBLE_TYPE,
    VDI_IS_NOT_ISO,
    VDI_NOT_MANAGED,
    VDI_READONLY,
    VM_BAD_POWER_STATE,
)
from xapi.datamodel.model import NULL, Ref
from xapi.db.database import Transaction
from xapi.dispatch.context import Context
from xapi.dispatch.implement import creates, destroys, implements
from xapi.dispatch.occupy import assert_allowed
from xapi.hypervisor import plan
from xapi.hypervisor.errors import DeviceBusy, NoSuchDevice
from xapi.hypervisor.interface import Disk, DiskMode, DomainKind, EmptyDrive, Volume
from xapi.hypervisor.plan import Plan
from xapi.hypervisor.steps import ActivateVolume, AttachVolume, DeactivateVolume, DetachVolume
from xapi.lifecycle.concurrency import in_progress
from xapi.lifecycle.view import View
from xapi.lifecycle.wording import power_text, vdi_type_text

AUTODETECT: Final = "autodetect"
FLOPPIES: Final = ("fda", "fdb")
USABLE: Final = frozenset(
    {
        VdiType.SYSTEM,
        VdiType.USER,
        VdiType.EPHEMERAL,
        VdiType.SUSPEND,
        VdiType.CRASHDUMP,
        VdiType.METADATA,
        VdiType.RRD,
        VdiType.PVS_CACHE,
    }
)
"""The types of disk that a drive may hold."""
VOLUME_STEPS: Final = (AttachVolume, ActivateVolume, DeactivateVolume, DetachVolume)
MIGRATING: Final = frozenset({VmOperations.MIGRATE_SEND, VmOperations.POOL_MIGRATE})
CLIENTS_FIELDS: Final = ("bootable", "unpluggable", "other_config", "qos_algorithm_type", "qos_algorithm_params")


# Places


def used_places(view: View, vm: VM) -> set[int]:
    """The numbers of the places that a VM's drives take, by what clients called them and by what the guest sees."""
    found: set[int] = set()
    for ref in vm.VBDs:
        vbd = view.find(VBD, ref)
        for name in (vbd.userdevice, vbd.device) if vbd is not None else ():
            try:
                found.add(device_number(name))
            except ValueError:
                continue  # clients may write anything into userdevice, and a drive that was never plugged has no name
    return found


def free_places(view: View, vm: VM) -> tuple[str, ...]:
    """The numbers that a VM's next drive may have, lowest first."""
    used = used_places(view, vm)
    most = MOST if vm.is_control_domain else MOST - 1
    return tuple(str(number) for number in range(most + 1) if number not in used)


@implements(vm_messages.get_allowed_VBD_devices)
def get_allowed_VBD_devices(ctx: Context, vm: Ref[VM]) -> tuple[str, ...]:
    """The places that are free for a VM's next drive."""
    return free_places(ctx.db, ctx.db.get(VM, vm))


def _place(view: View, vm: VM, kind: VbdType, wanted: str) -> str:
    """The place that a client means; INVALID_DEVICE, DEVICE_ALREADY_EXISTS."""
    if wanted == AUTODETECT:
        if kind is VbdType.FLOPPY:
            used = used_places(view, vm)
            free = tuple(name for name in FLOPPIES if device_number(name) not in used)
        else:
            free = free_places(view, vm)
        if not free:
            raise INVALID_DEVICE(wanted)
        return free[0]
    try:
        number = device_number(wanted)
    except ValueError:
        raise INVALID_DEVICE(wanted) from None
    if kind is VbdType.FLOPPY and wanted.isdecimal():
        raise INVALID_DEVICE(wanted)
    if number in used_places(view, vm):
        raise DEVICE_ALREADY_EXISTS(wanted)
    return wanted


# Making and removing


@creates(VBD)
def create(ctx: Context, values: dict[str, Any]) -> Ref[VBD]:
    """Give a VM one more drive; it is plugged by a message of its own, or when the VM starts."""
    kind, mode = VbdType(values.get("type", VbdType.DISK)), VbdMode(values.get("mode", VbdMode.RW))
    with ctx.transaction() as transaction:
        vm = transaction.find(VM, values.get("VM", ""))
        if vm is None:
            raise HANDLE_INVALID(VM.wire_name, values.get("VM", ""))
        vdi = _medium(transaction, kind, mode, values)
        for task, operation in vm.current_operations.items():
            if operation in MIGRATING:
                raise in_progress("VM", vm.ref, ((task, operation),))
        place = _place(transaction, vm, kind, values.get("userdevice", ""))
        # Only the VM in an image may come with drives that are to be there again when it is resumed.
        suspended = vm.power_state is VmPowerState.SUSPENDED
        return transaction.create(
            VBD,
            VM=vm.ref,
            VDI=NULL if vdi is None else vdi.ref,
            empty=vdi is None,
            userdevice=place,
            device=values.get("device", "") if suspended else "",
            currently_attached=suspended and values.get("currently_attached", False),
            mode=mode,
            type=kind,
            metrics=transaction.create(VBDMetrics),
            **{name: values[name] for name in CLIENTS_FIELDS if name in values},
        )


def _medium(transaction: Transaction, kind: VbdType, mode: VbdMode, values: dict[str, Any]) -> VDI | None:
    """The disk that a new drive is to hold, None for an empty drive; refuses disks that do not fit."""
    empty = values.get("empty", False)
    vdi = None
    if not empty:
        vdi = transaction.find(VDI, values.get("VDI", NULL))
        if vdi is None:
            raise HANDLE_INVALID(VDI.wire_name, values.get("VDI", NULL))
        if vdi.type not in USABLE:
            raise VDI_INCOMPATIBLE_TYPE(vdi.ref, vdi_type_text(vdi.type))
    if kind == VbdType.CD and mode != VbdMode.RO:
        raise VBD_CDS_MUST_BE_READONLY()
    if kind != VbdType.CD and empty:
        raise VBD_NOT_REMOVABLE_MEDIA("in constructor")
    if vdi is not None and kind == VbdType.CD:
        _check_iso(transaction, vdi)
    if vdi is not None and mode == VbdMode.RW and vdi.read_only:
        raise VDI_READONLY(vdi.ref)
    return vdi


def _check_iso(view: View, vdi: VDI) -> None:
    sr = view.get(SR, vdi.SR)
    if sr.content_type != "iso":
        raise VDI_IS_NOT_ISO(vdi.ref, sr.content_type)


@destroys(VBD)
def destroy(ctx: Context, self: Ref[VBD]) -> None:
    """Take a drive away from a VM in which it is not plugged; the disk stays."""
    with ctx.transaction() as transaction:
        vbd = transaction.get(VBD, self)
        vm = transaction.find(VM, vbd.VM)
        if vbd.currently_attached or vbd.reserved:
            owner = "" if vm is None else vm.uuid
            raise OPERATION_NOT_ALLOWED(f"VBD '{vbd.uuid}' still attached to '{owner}'")
        if vbd.current_operations:
            raise in_progress("VBD", self, tuple(vbd.current_operations.items())[:1])
        drop_drive(transaction, vbd)


@implements(api.set_mode)
def set_mode(ctx: Context, self: Ref[VBD], value: VbdMode) -> None:
    """Say whether the guest may write, while its VM is halted."""
    with ctx.transaction() as transaction:
        vbd = transaction.get(VBD, self)
        vm = transaction.get(VM, vbd.VM)
        if vm.power_state is not VmPowerState.HALTED:
            raise VM_BAD_POWER_STATE(vm.ref, power_text(VmPowerState.HALTED), power_text(vm.power_state))
        if vbd.type is VbdType.CD and value is not VbdMode.RO:
            raise VBD_CDS_MUST_BE_READONLY()
        transaction.update(VBD, self, mode=value)


@implements(api.assert_attachable)
def assert_attachable(ctx: Context, self: Ref[VBD]) -> None:
    """Raise what stands in the way of attaching the drive now."""
    with ctx.transaction() as transaction:
        assert_allowed(transaction, transaction.get(VBD, self), VbdOperations.ATTACH)


# Plugging


def _drive(view: View, vbd: VBD, vm: VM) -> Disk:
    return disk_of(view, vbd, KINDS[vm.domain_type] is DomainKind.HVM)


def _held_by_another(view: View, vbd: VBD, vdi: str) -> bool:
    """Whether another plugged drive of the same VM holds the disk, which stays attached for that one."""
    others = (view.find(VBD, ref) for ref in view.get(VM, vbd.VM).VBDs if ref != vbd.ref)
    return any(other is not None and other.currently_attached and vdi == other.VDI for other in others)


def _perform(ctx: Context, vbd: VBD, vdi: str, whole: Plan) -> None:
    """Perform a plan for one drive; a disk that another drive of the VM holds is neither attached nor let go."""
    if vdi != NULL and _held_by_another(ctx.db, vbd, vdi):
        steps = tuple(step for step in whole.steps if not isinstance(step, VOLUME_STEPS))
        cleanup = tuple(step for step in whole.cleanup if not isinstance(step, VOLUME_STEPS))
        whole = Plan(whole.name, whole.uuid, steps, cleanup)
    perform(ctx, whole)


@implements(api.plug, occupies=VbdOperations.PLUG)
def plug(ctx: Context, self: Ref[VBD]) -> None:
    """Give a running VM the drive; for a control domain, attach its disk on this host."""
    vbd = ctx.db.get(VBD, self)
    vm = ctx.db.get(VM, vbd.VM)
    drive = _drive(ctx.db, vbd, vm)
    with ExitStack() as undo:
        if vm.is_control_domain:
            _attach_here(ctx, vm, drive)
            undo.callback(_detach_here, ctx, vbd, vm, drive)
        else:
            _perform(ctx, vbd, vbd.VDI, plan.plug_disk(vm.uuid, drive))
            undo.callback(_unplug_unasked, ctx, vbd, vm, drive)
        with ctx.transaction() as transaction:
            lives = transaction.get(VM, vm.ref).power_state in LIVE
            if lives:
                transaction.update(
                    VBD, self, currently_attached=True, device=drive.device, status_code=0, status_detail=""
                )
        if lives:
            undo.pop_all()  # a guest that has stopped meanwhile took the drive with it, but not the disk


def _attach_here(ctx: Context, vm: VM, drive: Disk) -> None:
    """Make the disk of a control domain's drive reachable on this host."""
    disks: AttachDisks = ctx.toolstack.part(AttachDisks)
    if not isinstance(drive.source, Volume):
        return
    with ExitStack() as undo:
        disks.attach(vm.uuid, drive.source, drive.mode)
        undo.callback(disks.detach, vm.uuid, drive.source)
        disks.activate(vm.uuid, drive.source, drive.mode)
        undo.pop_all()


def _detach_here(ctx: Context, vbd: VBD, vm: VM, drive: Disk) -> None:
    disks: AttachDisks = ctx.toolstack.part(AttachDisks)
    if isinstance(drive.source, Volume) and not _held_by_another(ctx.db, vbd, drive.source.key):
        disks.deactivate(vm.uuid, drive.source)
        disks.detach(vm.uuid, drive.source)


def _unplug_unasked(ctx: Context, vbd: VBD, vm: VM, drive: Disk) -> None:
    """Take a drive away for which there is no record, whether or not its domain is still there."""
    devices = ctx.toolstack.hypervisor.devices
    live = {domain.uuid for domain in ctx.toolstack.hypervisor.domains.list()}
    with ExitStack() as stack:
        stack.callback(_detach_here, ctx, vbd, vm, drive)
        if vm.uuid in live:
            devices.unplug_disk(vm.uuid, drive.device, True)


@implements(api.unplug, occupies=VbdOperations.UNPLUG)
def unplug(ctx: Context, self: Ref[VBD]) -> None:
    """Take the drive away from a running VM, if the guest lets it go."""
    _unplug(ctx, self, force=False)


@implements(api.unplug_force, occupies=VbdOperations.UNPLUG_FORCE)
def unplug_force(ctx: Context, self: Ref[VBD]) -> None:
    """Take the drive away from a running VM without asking the guest."""
    _unplug(ctx, self, force=True)


@implements(api.unplug_force_no_safety_check, occupies=VbdOperations.UNPLUG_FORCE)
def unplug_force_no_safety_check(ctx: Context, self: Ref[VBD]) -> None:
    """Take the drive away as `unplug_force` does."""
    _unplug(ctx, self, force=True)


def _unplug(ctx: Context, self: Ref[VBD], *, force: bool) -> None:
    vbd = ctx.db.get(VBD, self)
    vm = ctx.db.get(VM, vbd.VM)
    drive = _drive(ctx.db, vbd, vm)
    try:
        if vm.is_control_domain:
            _detach_here(ctx, vbd, vm, drive)
        else:
            _perform(ctx, vbd, vbd.VDI, plan.unplug_disk(vm.uuid, drive, force))
    except DeviceBusy as error:
        raise DEVICE_DETACH_REJECTED("VBD", self, str(error)) from error
    except NoSuchDevice:
        _detach_here(ctx, vbd, vm, drive)  # it is gone already, which is what was asked for
    with ctx.transaction() as transaction:
        if transaction.find(VBD, self) is not None:
            transaction.update(VBD, self, currently_attached=False)


# Media


@implements(api.insert, occupies=VbdOperations.INSERT)
def insert(ctx: Context, vbd: Ref[VBD], vdi: Ref[VDI]) -> None:
    """Put a disk into an empty CD drive, also of a VM that does not run."""
    medium = ctx.db.get(VDI, vdi)
    _check_iso(ctx.db, medium)
    if not medium.managed:
        raise VDI_NOT_MANAGED(vdi)
    row = ctx.db.get(VBD, vbd)
    vm = ctx.db.get(VM, row.VM)
    full = _with_medium(_drive(ctx.db, row, vm), vdi)
    _change_medium(ctx, row, vm, full, vdi)


def _with_medium(drive: Disk, vdi: str) -> Disk:
    return Disk(
        device=drive.device,
        number=drive.number,
        source=Volume(vdi) if vdi != NULL else EmptyDrive(),
        mode=DiskMode.READ_ONLY,
        kind=drive.kind,
        bootable=drive.bootable,
        unpluggable=drive.unpluggable,
        qos=drive.qos,
    )


@implements(api.eject, occupies=VbdOperations.EJECT)
def eject(ctx: Context, vbd: Ref[VBD]) -> None:
    """Take the disk out of a CD drive."""
    row = ctx.db.get(VBD, vbd)
    vm = ctx.db.get(VM, row.VM)
    _change_medium(ctx, row, vm, _with_medium(_drive(ctx.db, row, vm), row.VDI), NULL)


def _change_medium(ctx: Context, vbd: VBD, vm: VM, full: Disk, vdi: str) -> None:
    """Insert the medium of a full drive, or eject it when `vdi` is null; undone if it cannot be recorded."""
    do, reverse = _media_change(ctx, vbd, vm, full)
    if vdi == NULL:
        do, reverse = reverse, do
    plugged = vbd.currently_attached and vm.power_state in LIVE
    with ExitStack() as undo:
        if plugged:
            do()
            undo.callback(reverse)
        with ctx.transaction() as transaction:
            transaction.update(VBD, vbd.ref, VDI=vdi, empty=vdi == NULL)
        undo.pop_all()


def _media_change(ctx: Context, vbd: VBD, vm: VM, full: Disk) -> tuple[Callable[[], None], Callable[[], None]]:
    """What inserts and what ejects the medium of a plugged drive."""
    if vm.is_control_domain:
        return lambda: _attach_here(ctx, vm, full), lambda: _detach_here(ctx, vbd, vm, full)
    vdi = full.source.key if isinstance(full.source, Volume) else NULL
    return (
        lambda: _perform(ctx, vbd, vdi, plan.insert_media(vm.uuid, full)),
        lambda: _perform(ctx, vbd, vdi, plan.eject_media(vm.uuid, full)),
    )


# Pausing the datapath is for storage drivers of old, which changed chains under a disk by themselves.


@implements(api.pause)
def pause(ctx: Context, self: Ref[VBD]) -> str:
    """Requests are held back by the drivers themselves, so that this is not offered."""
    raise SR_OPERATION_NOT_SUPPORTED(_sr_of(ctx, self))


@implements(api.unpause)
def unpause(ctx: Context, self: Ref[VBD], token: str = "") -> None:
    """Requests are held back by the drivers themselves, so that this is not offered."""
    raise SR_OPERATION_NOT_SUPPORTED(_sr_of(ctx, self))


def _sr_of(ctx: Context, vbd: Ref[VBD]) -> Ref[SR]:
    return ctx.db.get(VDI, ctx.db.get(VBD, vbd).VDI).SR
