"""Suspending VMs to a VDI, resuming them, and checkpoints of running ones."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from xapi.actions.storage_repositories import StorageRepositories
from xapi.actions.vm.alerts import VmAlert
from xapi.actions.vm.copies import clone_disk, remove_disk
from xapi.actions.vm.domain_config import domain_config
from xapi.actions.vm.domains import mark_running, mark_suspended, perform
from xapi.actions.vm.placement import assert_can_boot, suitable_host
from xapi.actions.vm.snapshot import remove_snapshot, take_snapshot
from xapi.datamodel.classes import SR, VDI, VM, Host
from xapi.datamodel.classes import vm_messages as api
from xapi.datamodel.classes.vm import VmOperations, VmPowerState
from xapi.datamodel.errors import VM_HAS_NO_SUSPEND_VDI, VM_NO_SUSPEND_SR
from xapi.datamodel.model import NULL, Ref
from xapi.dispatch.context import Context
from xapi.dispatch.implement import implements
from xapi.dispatch.perform import run_message
from xapi.hypervisor import plan
from xapi.hypervisor.interface import FileBackend
from xapi.hypervisor.steps import Call

SUSPEND_SECONDS = 1200.0
BLOCK = 2 << 20
SECTOR = 512
MEBIBYTE = 1 << 20
MARK = 16  # bytes at the start of an image's VDI: how long the image is


def suspend_sr(ctx: Context, row: VM) -> Ref[SR]:
    """Where a VM's memory image goes: the VM's choice, the host's, the pool's; VM_NO_SUSPEND_SR for nowhere."""
    host = ctx.db.get(Host, ctx.this_host)
    pool = ctx.pool
    for sr in (row.suspend_SR, host.suspend_image_sr, pool.suspend_image_SR, pool.default_SR):
        if ctx.db.find(SR, sr) is not None:
            return sr
    raise VM_NO_SUSPEND_SR(row.ref)


@contextmanager
def image_file(ctx: Context, row: VM) -> Iterator[Path]:
    """A file for a memory image on its way between the hypervisor and a VDI; it is gone afterwards."""
    directory = ctx.toolstack.state / "images"
    directory.mkdir(mode=0o700, exist_ok=True)
    path = directory / f"{row.uuid}.image"
    path.unlink(missing_ok=True)
    try:
        yield path
    finally:
        path.unlink(missing_ok=True)


def store_image(ctx: Context, row: VM, path: Path) -> str:
    """Put a memory image into a VDI of its own."""
    length = path.stat().st_size
    vdi: str = run_message(
        ctx,
        "VDI.create",
        {
            "name_label": "Suspend image",
            "name_description": f"memory of {row.name_label}",
            "SR": suspend_sr(ctx, row),
            "virtual_size": (SECTOR + length + 2 * MEBIBYTE) // MEBIBYTE * MEBIBYTE,
            "type": "suspend",
            "sharable": False,
            "read_only": False,
            "other_config": {},
            "sm_config": {},
        },
    )
    stored = False
    try:
        handle, disk = ctx.toolstack.part(StorageRepositories).of_vdi(ctx.db, vdi)
        with handle.open_for_writing(disk.location) as writer, path.open("rb") as image:
            writer.pwrite(0, length.to_bytes(MARK, "big").ljust(SECTOR, b"\0"))
            offset = SECTOR
            while block := image.read(BLOCK):
                padded = block if len(block) % SECTOR == 0 else block.ljust(-(-len(block) // SECTOR) * SECTOR, b"\0")
                writer.pwrite(offset, padded)
                offset += len(padded)
            writer.flush()
        stored = True
    finally:
        if not stored:
            remove_disk(ctx, vdi)
    return vdi


def fetch_image(ctx: Context, vdi: str, path: Path) -> None:
    """Get a memory image out of its VDI."""
    handle, disk = ctx.toolstack.part(StorageRepositories).of_vdi(ctx.db, vdi)
    with handle.open_for_reading(disk.location) as reader, path.open("wb") as image:
        os.fchmod(image.fileno(), 0o600)
        length = int.from_bytes(reader.pread(0, SECTOR)[:MARK], "big")
        offset = 0
        while offset < length:
            count = min(BLOCK, length - offset)
            image.write(reader.pread(SECTOR + offset, -(-count // SECTOR) * SECTOR)[:count])
            offset += count


@implements(api.suspend, occupies=VmOperations.SUSPEND)
def suspend(ctx: Context, vm: Ref[VM]) -> None:
    """Write the VM's memory to a VDI and take its domain away."""
    row = ctx.db.get(VM, vm)
    suspend_sr(ctx, row)
    config = domain_config(ctx.db, row, devices=True)
    stored: list[str] = []
    with image_file(ctx, row) as path:
        # The plan's last step takes the domain away, so that must come after the image is safe in its VDI.
        wanted = plan.suspend(config, FileBackend(str(path)), SUSPEND_SECONDS)
        *before, last = wanted.steps
        keep = plan.Plan(wanted.name, wanted.uuid, (*before, Call("store image"), last), wanted.cleanup)
        completed = False
        try:
            perform(ctx, keep, {"store image": lambda: stored.append(store_image(ctx, row, path))})
            completed = True
        finally:
            if not completed:
                for vdi in stored:
                    remove_disk(ctx, vdi)
    mark_suspended(ctx, row, stored[0], VmAlert.SUSPENDED)


@implements(api.resume, occupies=VmOperations.RESUME)
def resume(ctx: Context, vm: Ref[VM], start_paused: bool, force: bool) -> None:
    """Build a suspended VM's domain from its memory image, and let it go on."""
    resume_from_image(ctx, vm, suitable_host(ctx, ctx.db.get(VM, vm)), start_paused)


@implements(api.resume_on, occupies=VmOperations.RESUME_ON)
def resume_on(ctx: Context, vm: Ref[VM], host: Ref[Host], start_paused: bool, force: bool) -> None:
    """Build a suspended VM's domain on a given host."""
    ctx.db.get(Host, host)
    resume_from_image(ctx, vm, host, start_paused)


def resume_from_image(ctx: Context, vm: Ref[VM], host: Ref[Host], paused: bool) -> None:
    """Fetch the image, build the domain, forget the image."""
    row = ctx.db.get(VM, vm)
    if ctx.db.find(VDI, row.suspend_VDI) is None:
        raise VM_HAS_NO_SUSPEND_VDI(vm)
    assert_can_boot(ctx, row, host)
    config = domain_config(ctx.db, row, devices=True)
    with image_file(ctx, row) as path:
        fetch_image(ctx, row.suspend_VDI, path)
        perform(ctx, plan.resume(config, FileBackend(str(path)), paused))
    mark_running(ctx, vm, VmPowerState.PAUSED if paused else VmPowerState.RUNNING, VmAlert.RESUMED)


@implements(api.checkpoint, occupies=VmOperations.CHECKPOINT)
def checkpoint(ctx: Context, vm: Ref[VM], new_name: str) -> Ref[VM]:
    """Keep a VM as it is now, with its memory; a running one goes on afterwards."""
    row = ctx.db.get(VM, vm)
    if row.power_state is not VmPowerState.RUNNING:
        return _checkpoint_at_rest(ctx, row, new_name)
    suspend_sr(ctx, row)
    made: list[Ref[VM]] = []

    def snapshot_disks() -> None:
        with ExitStack() as undo:
            image = store_image(ctx, row, path)
            undo.callback(remove_disk, ctx, image)
            made.append(take_snapshot(ctx, vm, new_name, image=image, checkpoint=True))
            undo.pop_all()

    def discard_snapshots() -> None:
        for snapshot in made:
            remove_snapshot(ctx, snapshot)

    with image_file(ctx, row) as path:
        wanted = plan.checkpoint(domain_config(ctx.db, row, devices=True), FileBackend(str(path)), SUSPEND_SECONDS)
        perform(ctx, wanted, {plan.SNAPSHOT_DISKS: snapshot_disks, plan.DISCARD_SNAPSHOTS: discard_snapshots})
    return made[0]


def _checkpoint_at_rest(ctx: Context, row: VM, name: str) -> Ref[VM]:
    """Keep a VM that is suspended, with a copy of its memory, or paused, without."""
    with ExitStack() as undo:
        image: str = NULL
        if row.suspend_VDI != NULL:
            image = clone_disk(ctx, row.suspend_VDI)
            undo.callback(remove_disk, ctx, image)
        made = take_snapshot(ctx, row.ref, name, image=image, checkpoint=True)
        undo.pop_all()
        return made
