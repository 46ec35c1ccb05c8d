"""Disks split in place: what snapshots, clones, moves and resets have in common (XenAPI's class VDI)."""

from __future__ import annotations

import uuid as uuids
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any, Final

from xapi.actions.sr.contents import note_disk
from xapi.actions.sr.work import Work, refusing, repositories_of, undoing
from xapi.actions.vdi.records import row_of
from xapi.datamodel.classes import SR, VDI
from xapi.datamodel.model import Ref
from xapi.db.database import Transaction
from xapi.dispatch.context import Context
from xapi.dispatch.perform import run_message
from xapi.storage.interface import AttachedSr, VdiFacts, VdiMissing

PASSED_ON: Final = (
    "name_label",
    "name_description",
    "type",
    "sharable",
    "other_config",
    "xenstore_data",
    "on_boot",
    "allow_caching",
)
"""The fields that a snapshot or clone has from its original."""
Fork = Callable[[AttachedSr, str, str], VdiFacts]
"""Makes a disk from the one at a location, with a UUID."""


def split(ctx: Context, work: Work, uuid: str, fork: Fork, **own: Any) -> Ref[VDI]:
    """Make a disk from another one by what a driver does, and the rows that follow; `own` fields are not passed on."""
    vdi = work.vdi.ref
    with ExitStack() as undo:
        facts = fork(work.handle, work.vdi.location, uuid)
        undoing(undo, work.handle.destroy, facts.location)
        kin = [*_new_kin(ctx, work, facts)]
        with work.finished(facts.virtual_size) as transaction:
            row = transaction.get(VDI, vdi)
            passed_on: dict[str, Any] = {name: row[VDI.field_named[name].index] for name in PASSED_ON}
            if facts.is_a_snapshot:
                passed_on["snapshot_of"] = vdi
            for relative in kin:
                _note_kin(ctx, transaction, work.sr, relative)
            made = row_of(ctx, transaction, work.sr, facts, **{**passed_on, **own})
        undo.pop_all()
    return made


def _new_kin(ctx: Context, work: Work, facts: VdiFacts) -> Iterator[VdiFacts]:
    """What became of the original and of the chain above, if the new disk has a parent that no row tells of."""
    parent = facts.parent
    if parent and ctx.db.by_uuid(VDI, parent) is None:
        yield work.handle.find(work.vdi.location)
        while parent and ctx.db.by_uuid(VDI, parent) is None:
            try:
                above = work.handle.find(parent)
            except VdiMissing:
                return
            yield above
            parent = above.parent


def _note_kin(ctx: Context, transaction: Transaction, sr: Ref[SR], facts: VdiFacts) -> None:
    published = ctx.db.by_uuid(VDI, facts.uuid)
    row = transaction.find(VDI, published.ref) if published is not None else None
    if row is None:
        row_of(ctx, transaction, sr, facts)
    else:
        note_disk(transaction, row, facts)


def empty_leaf(ctx: Context, handle: AttachedSr, row: VDI) -> None:
    """Let what a disk holds become its parent's, by a clone that goes at once: that is what it starts with then."""

    def fork(handle: AttachedSr, location: str, uuid: str) -> VdiFacts:
        return handle.clone(location, uuid)

    with repositories_of(ctx).changing(row.SR), refusing(row.SR):
        made = split(ctx, Work(ctx, row.SR, handle, row), str(uuids.uuid4()), fork)
    run_message(ctx, "VDI.destroy", made)
