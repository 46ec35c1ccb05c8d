"""Full copies of disks, within an SR and from one to another (XenAPI's class VDI)."""

from __future__ import annotations

import hashlib
import uuid as uuids
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any, Final

from xapi.actions.sr.contents import note_disk, note_figures
from xapi.actions.sr.work import LOG, repositories_of
from xapi.actions.vdi.copying import PIECE, copy_bytes, copy_changes
from xapi.actions.vdi.records import make_disk
from xapi.actions.vdi.splitting import empty_leaf
from xapi.datamodel.classes import SR, VDI
from xapi.datamodel.classes import vdi as api
from xapi.datamodel.classes.vdi import OnBoot, VdiOperations
from xapi.datamodel.errors import HANDLE_INVALID, VDI_NOT_MANAGED, VDI_READONLY, VDI_TOO_SMALL
from xapi.datamodel.failure import Failure
from xapi.datamodel.model import NULL, Ref
from xapi.dispatch.context import Context
from xapi.dispatch.implement import implements
from xapi.dispatch.occupy import occupied
from xapi.dispatch.perform import run_message
from xapi.lifecycle.surroundings import driver_features
from xapi.storage.interface import CreateVdi, DiskReader

WHOLE: Final = (0.0, 1.0)


@implements(api.copy)
def copy(
    ctx: Context, vdi: Ref[VDI], sr: Ref[SR] = NULL, base_vdi: Ref[VDI] = NULL, into_vdi: Ref[VDI] = NULL
) -> Ref[VDI]:
    """Copy a disk to an SR or into another disk; with a base that is there already, only what differs from it."""
    into = into_vdi if ctx.db.find(VDI, into_vdi) is not None else NULL
    if into == NULL and ctx.db.find(SR, sr) is None:
        raise HANDLE_INVALID(SR.wire_name, sr)
    base = base_vdi if ctx.db.find(VDI, base_vdi) is not None else NULL
    return copy_whole(ctx, vdi, sr, base, into)


def copy_whole(ctx: Context, vdi: Ref[VDI], sr: Ref[SR], base: Ref[VDI] = NULL, into: Ref[VDI] = NULL) -> Ref[VDI]:
    """Copy a disk into a given one, or a new one on an SR; a new one goes again if that fails."""
    if not ctx.db.get(VDI, vdi).managed:
        raise VDI_NOT_MANAGED(vdi)
    with ExitStack() as stack:
        with repositories_of(ctx).turn_at_disk(vdi):  # short work on the disk is waited for, but none waits for a copy
            stack.enter_context(occupied(ctx, VDI, vdi, VdiOperations.COPY))
        undo = stack.enter_context(ExitStack())
        target = into
        if target == NULL:
            target = room_for(ctx, ctx.db.get(VDI, vdi), sr)
            undo.callback(remove, ctx, target)
        fill(ctx, vdi, target, base, blank=into == NULL)
        if into == NULL:
            keep_resetting(ctx, target)
        undo.pop_all()
    return target


def room_for(ctx: Context, source: VDI, sr: Ref[SR], uuid: str = "", size: int = 0, **own: Any) -> Ref[VDI]:
    """An empty disk for the copy of another: writable, whatever the original is; `own` fields are other than its."""
    wanted = CreateVdi(
        uuid=uuid or str(uuids.uuid4()),
        virtual_size=size or source.virtual_size,
        name_label=source.name_label,
        name_description=source.name_description,
        type=str(source.type),
        sharable=source.sharable,
    )
    resets = "VDI_RESET_ON_BOOT" in driver_features(ctx.db, ctx.db.get(SR, sr).type)
    passed_on = {
        "other_config": source.other_config,
        "xenstore_data": source.xenstore_data,
        "tags": source.tags,
        "allow_caching": source.allow_caching,
        "on_boot": source.on_boot if resets else OnBoot.PERSIST,
    }
    return make_disk(ctx, sr, wanted, **{**passed_on, **own})


def keep_resetting(ctx: Context, vdi: Ref[VDI]) -> None:
    """Let what a disk holds be what it is reset to, if it is one that is reset."""
    handle, row = repositories_of(ctx).of_vdi(ctx.db, vdi)
    if row.on_boot is OnBoot.RESET:
        empty_leaf(ctx, handle, row)


def remove(ctx: Context, vdi: Ref[VDI]) -> None:
    """Destroy a disk that nobody needs; that this fails is told to the log."""
    try:
        run_message(ctx, "VDI.destroy", vdi)
    except Failure as failure:
        LOG.error("the unfinished copy %s could not be removed: %s", vdi, failure)


def fill(
    ctx: Context,
    source: Ref[VDI],
    target: Ref[VDI],
    base: Ref[VDI] = NULL,
    *,
    blank: bool = False,
    within: tuple[float, float] = WHOLE,
) -> int:
    """Copy the data of one disk into another; VDI_READONLY, VDI_TOO_SMALL.

    With a base, only what differs from it is written, since the target is said to hold what the base holds; returns how
    many bytes these were, and else the size of the disk. `within` is the share of the task that this is.
    """
    repositories = repositories_of(ctx)
    from_handle, row = repositories.of_vdi(ctx.db, source)
    to_handle, onto = repositories.of_vdi(ctx.db, target)
    if onto.read_only:
        raise VDI_READONLY(target)
    if onto.virtual_size < row.virtual_size:
        raise VDI_TOO_SMALL(target, row.virtual_size)
    step = _telling(ctx, row.virtual_size, within)
    written = row.virtual_size
    with ExitStack() as stack:
        reader = stack.enter_context(from_handle.open_for_reading(row.location))
        writer = stack.enter_context(to_handle.open_for_writing(onto.location))
        if base == NULL:
            copy_bytes(reader, writer, step, blank=blank)
        else:
            base_handle, base_row = repositories.of_vdi(ctx.db, base)
            older = stack.enter_context(base_handle.open_for_reading(base_row.location))
            written = copy_changes(older, reader, writer, step)
    facts, stat = to_handle.find(onto.location), to_handle.stat()
    with ctx.transaction() as transaction:
        present = transaction.find(VDI, target)
        if present is not None:
            note_disk(transaction, present, facts)
            note_figures(transaction, present.SR, stat, 0)
    return written


def _telling(ctx: Context, size: int, within: tuple[float, float] = WHOLE) -> Callable[[int], None]:
    """A step that tells the task of each per cent and stops when somebody cancels it."""
    begin, end = within
    told = 0

    def step(done: int) -> None:
        nonlocal told
        ctx.task.check()
        share = done * 100 // max(size, 1)
        if share > told:
            told = share
            ctx.task.progress(begin + (end - begin) * share / 100)

    return step


@implements(api.checksum)
def checksum(ctx: Context, self: Ref[VDI]) -> str:
    """The MD5 sum of everything that a disk holds, zeros included."""
    handle, row = repositories_of(ctx).of_vdi(ctx.db, self)
    if not row.managed:
        raise VDI_NOT_MANAGED(self)
    with handle.open_for_reading(row.location) as reader:
        return _md5(reader, _telling(ctx, row.virtual_size))


def _md5(reader: DiskReader, step: Callable[[int], None]) -> str:
    found = hashlib.md5(usedforsecurity=False)
    zeros = bytes(PIECE)
    for extent in reader.extents():
        offset, end = extent.offset, extent.offset + extent.length
        while offset < end:
            count = min(PIECE, end - offset)
            found.update(zeros[:count] if extent.zero else reader.pread(offset, count))
            offset += count
            step(offset)
    return found.hexdigest()
