"""Disks copied in place, grown, destroyed: what changes the chains of an SR (XenAPI's class VDI)."""

from __future__ import annotations

import base64
import uuid as uuids
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from threading import Event
from typing import Final

from xapi.actions.sr.contents import PARENT, allocated, drop_disk, note_disk
from xapi.actions.sr.work import Work, refusing, repositories_of, working_on_disk
from xapi.actions.vdi.copies import copy_whole
from xapi.actions.vdi.splitting import Fork, empty_leaf, split
from xapi.datamodel.classes import SR, VDI, Host
from xapi.datamodel.classes import vdi as api
from xapi.datamodel.classes.sr import StorageOperations
from xapi.datamodel.classes.vdi import OnBoot, VdiOperations, VdiType
from xapi.datamodel.errors import VDI_IN_USE, VDI_NOT_MANAGED
from xapi.datamodel.model import NOTHING, Map, Ref
from xapi.dispatch.context import Context
from xapi.dispatch.implement import destroys, implements
from xapi.dispatch.occupy import occupied
from xapi.lifecycle.surroundings import driver_features
from xapi.lifecycle.wording import operation_text
from xapi.storage.interface import AttachedSr, Unsupported, VdiFacts, VdiMissing

PATIENCE: Final = 4.0
"""The seconds for which data_destroy waits until nobody uses the disk."""


@implements(api.snapshot)
def snapshot(ctx: Context, vdi: Ref[VDI], driver_params: Map[str, str] = NOTHING) -> Ref[VDI]:
    """Freeze what a disk holds now in a new disk; the driver's parameters are of no use to the drivers here."""

    def fork(handle: AttachedSr, location: str, uuid: str) -> VdiFacts:
        return handle.snapshot(location, uuid)

    return _split(ctx, vdi, VdiOperations.SNAPSHOT, StorageOperations.VDI_SNAPSHOT, fork)


@implements(api.clone)
def clone(ctx: Context, vdi: Ref[VDI], driver_params: Map[str, str] = NOTHING) -> Ref[VDI]:
    """Make a writable disk that holds what another holds; a full copy where the driver cannot share blocks."""
    row = ctx.db.get(VDI, vdi)
    sr = ctx.db.get(SR, row.SR)
    if sr.type and "VDI_CLONE" not in driver_features(ctx.db, sr.type):
        return copy_whole(ctx, vdi, row.SR)

    def fork(handle: AttachedSr, location: str, uuid: str) -> VdiFacts:
        try:
            return handle.clone(location, uuid)
        except Unsupported as error:
            raise _NeedsCopy from error

    try:
        return _split(ctx, vdi, VdiOperations.CLONE, StorageOperations.VDI_CLONE, fork)
    except _NeedsCopy:
        return copy_whole(ctx, vdi, row.SR)


class _NeedsCopy(Exception):
    """The driver makes clones, but not of this disk."""


def _split(ctx: Context, vdi: Ref[VDI], operation: VdiOperations, on_sr: StorageOperations, fork: Fork) -> Ref[VDI]:
    with working_on_disk(ctx, vdi, operation, on_sr) as work:
        return split(ctx, work, str(uuids.uuid4()), fork)


@implements(api.set_on_boot)
def set_on_boot(ctx: Context, self: Ref[VDI], value: OnBoot) -> None:
    """Say whether the disk is reset when its VM starts, to what it holds now, where its driver can do that."""
    repositories = repositories_of(ctx)
    handle, row = repositories.of_vdi(ctx.db, self)
    with ExitStack() as stack:
        with repositories.turn_at_disk(self):
            stack.enter_context(occupied(ctx, VDI, self, VdiOperations.SET_ON_BOOT))
        if value is OnBoot.RESET and row.on_boot is not OnBoot.RESET:
            empty_leaf(ctx, handle, row)
        with ctx.transaction() as transaction:
            transaction.update(VDI, self, on_boot=value)


# Removing


@destroys(VDI)
def destroy(ctx: Context, self: Ref[VDI]) -> None:
    """Remove a disk that nobody uses, with its data and the drives that held it."""
    with working_on_disk(ctx, self, VdiOperations.DESTROY, StorageOperations.VDI_DESTROY) as work:
        with suppress(VdiMissing):  # its data are gone already, which is what was asked for
            work.handle.destroy(work.vdi.location)
        above = [*_chain_above(ctx, work)]
        with work.finished(-allocated(work.vdi)) as transaction:
            drop_disk(transaction, transaction.get(VDI, self))
            for row, facts in above:
                present = transaction.find(VDI, row.ref)
                if present is not None and facts is None:
                    drop_disk(transaction, present)
                elif present is not None and facts is not None:
                    note_disk(transaction, present, facts)


def _chain_above(ctx: Context, work: Work) -> Iterator[tuple[VDI, VdiFacts | None]]:
    """The inner nodes above a disk that was destroyed: those that went with it, and the first that is still there."""
    parent = work.vdi.sm_config.get(PARENT, "")
    while parent:
        row = ctx.db.by_uuid(VDI, parent)
        if row is None or row.managed:
            return
        try:
            facts = work.handle.find(row.location)
        except VdiMissing:
            yield row, None
            parent = row.sm_config.get(PARENT, "")
            continue
        yield row, facts
        return


@implements(api.data_destroy)
def data_destroy(ctx: Context, self: Ref[VDI]) -> None:
    """Drop a snapshot's data and keep the record of what changed; its drives have four seconds to go away."""
    if ctx.db.get(VDI, self).type is VdiType.CBT_METADATA:
        return
    _await_no_drives(ctx, self)
    with working_on_disk(ctx, self, VdiOperations.DATA_DESTROY, StorageOperations.VDI_DATA_DESTROY) as work:
        if work.vdi.VBDs:
            raise VDI_IN_USE(self, operation_text(VdiOperations.DATA_DESTROY))
        facts = work.handle.destroy_data(work.vdi.location)
        with work.finished(allocated(facts) - allocated(work.vdi)) as transaction:
            note_disk(transaction, transaction.get(VDI, self), facts)


def _await_no_drives(ctx: Context, vdi: Ref[VDI]) -> None:
    """Return when the disk is in no drive any more, or when patience has an end."""
    gone = Event()

    def look() -> None:
        row = ctx.db.find(VDI, vdi)
        if row is None or not row.VBDs:
            gone.set()

    forget = ctx.db.waiters.add(((VDI, vdi),), look)
    try:
        look()
        gone.wait(PATIENCE)
    finally:
        forget()


# Growing


@implements(api.resize)
def resize(ctx: Context, vdi: Ref[VDI], size: int) -> None:
    """Grow a disk that is not in use."""

    def grow(handle: AttachedSr, location: str) -> VdiFacts:
        return handle.resize(location, size)

    _change(ctx, vdi, VdiOperations.RESIZE, StorageOperations.VDI_RESIZE, grow)


@implements(api.resize_online)
def resize_online(ctx: Context, vdi: Ref[VDI], size: int) -> None:
    """Grow a disk, in use or not."""

    def grow(handle: AttachedSr, location: str) -> VdiFacts:
        return handle.resize_online(location, size)

    _change(ctx, vdi, VdiOperations.RESIZE_ONLINE, StorageOperations.VDI_RESIZE_ONLINE, grow)


def _change(
    ctx: Context,
    vdi: Ref[VDI],
    operation: VdiOperations,
    on_sr: StorageOperations,
    change: Callable[[AttachedSr, str], VdiFacts],
) -> None:
    with working_on_disk(ctx, vdi, operation, on_sr) as work:
        facts = change(work.handle, work.vdi.location)
        with work.finished(allocated(facts) - allocated(work.vdi)) as transaction:
            note_disk(transaction, transaction.get(VDI, vdi), facts)


# Changed blocks


@implements(api.enable_cbt)
def enable_cbt(ctx: Context, self: Ref[VDI]) -> None:
    """Begin to record which blocks change."""
    _track(ctx, self, wanted=True)


@implements(api.disable_cbt)
def disable_cbt(ctx: Context, self: Ref[VDI]) -> None:
    """Stop recording which blocks change."""
    _track(ctx, self, wanted=False)


def _track(ctx: Context, self: Ref[VDI], *, wanted: bool) -> None:
    def change(handle: AttachedSr, location: str) -> VdiFacts:
        if ctx.db.get(VDI, self).cbt_enabled != wanted:
            (handle.enable_cbt if wanted else handle.disable_cbt)(location)
        return handle.find(location)

    if wanted:
        _change(ctx, self, VdiOperations.ENABLE_CBT, StorageOperations.VDI_ENABLE_CBT, change)
    else:
        _change(ctx, self, VdiOperations.DISABLE_CBT, StorageOperations.VDI_DISABLE_CBT, change)


@implements(api.list_changed_blocks)
def list_changed_blocks(ctx: Context, vdi_from: Ref[VDI], vdi_to: Ref[VDI]) -> str:
    """Which blocks may differ between two disks, a bit for each 64 KiB, in base64."""
    base = ctx.db.get(VDI, vdi_from)
    ctx.db.get(VDI, vdi_to)
    work = working_on_disk(ctx, vdi_to, VdiOperations.LIST_CHANGED_BLOCKS, StorageOperations.VDI_LIST_CHANGED_BLOCKS)
    with work as under_way:
        if not base.managed:
            raise VDI_NOT_MANAGED(vdi_from)
        bitmap = under_way.handle.changed_blocks(base.location, under_way.vdi.location)
    return base64.b64encode(bitmap).decode()


@implements(api.generate_config, runs_on="host")
def generate_config(ctx: Context, host: Ref[Host], vdi: Ref[VDI]) -> str:
    """What a host needs to attach the disk without this toolstack."""
    row = ctx.db.get(VDI, vdi)
    handle = repositories_of(ctx).get(ctx.db, row.SR)
    if not row.managed:
        raise VDI_NOT_MANAGED(vdi)
    with occupied(ctx, VDI, vdi, VdiOperations.GENERATE_CONFIG), refusing(row.SR):
        return handle.generate_config(row.location)
