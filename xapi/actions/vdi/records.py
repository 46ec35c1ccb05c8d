"""Disks made, introduced, forgotten, renamed (XenAPI's class VDI)."""

from __future__ import annotations

import uuid as uuids
from contextlib import ExitStack
from datetime import datetime
from typing import Any, Final

from xapi.actions.sr.contents import allocated, drop_disk, new_values, note_disk, note_figures
from xapi.actions.sr.work import repositories_of, undoing, working_on_disk, working_on_sr
from xapi.datamodel.classes import SR, VDI, Pool
from xapi.datamodel.classes import vdi as api
from xapi.datamodel.classes.sr import StorageOperations
from xapi.datamodel.classes.vdi import VdiOperations, VdiType
from xapi.datamodel.errors import (
    HANDLE_INVALID,
    LOCATION_NOT_UNIQUE,
    MESSAGE_DEPRECATED,
    PERMISSION_DENIED,
    VDI_INCOMPATIBLE_TYPE,
)
from xapi.datamodel.model import EPOCH, NOTHING, NULL, Map, Ref
from xapi.db.database import Transaction
from xapi.dispatch.context import Context
from xapi.dispatch.implement import creates, implements
from xapi.dispatch.occupy import assert_allowed
from xapi.lifecycle.surroundings import driver_features
from xapi.lifecycle.view import View
from xapi.lifecycle.wording import vdi_type_text
from xapi.storage.interface import AttachedSr, CreateVdi, VdiFacts

KEPT: Final = ("other_config", "xenstore_data", "tags")
"""The fields of a new disk that only the row knows."""


def find_disk(ctx: Context, identifier: str) -> str:
    """The reference of the disk with a UUID, or null."""
    row = ctx.db.by_uuid(VDI, identifier) if identifier else None
    return NULL if row is None else row.ref


def row_of(ctx: Context, transaction: Transaction, sr: Ref[SR], facts: VdiFacts, **own: Any) -> Ref[VDI]:
    """Make the row of a disk that a driver has made; `own` fields come from elsewhere."""
    values = new_values(transaction, facts, lambda identifier: find_disk(ctx, identifier))
    return transaction.create(VDI, SR=sr, **{**values, **own})


@creates(VDI)
def create(ctx: Context, values: dict[str, Any]) -> Ref[VDI]:
    """Make an empty disk on an SR that this host can reach."""
    sr = values.get("SR", NULL)
    if ctx.db.find(SR, sr) is None:
        raise HANDLE_INVALID(SR.wire_name, sr)
    kind = values.get("type", VdiType.USER)
    if kind == VdiType.CBT_METADATA:
        raise VDI_INCOMPATIBLE_TYPE(NULL, vdi_type_text(VdiType.CBT_METADATA))
    wanted = CreateVdi(
        uuid=str(uuids.uuid4()),
        virtual_size=values.get("virtual_size", 0),
        name_label=values.get("name_label", ""),
        name_description=values.get("name_description", ""),
        type=str(kind),
        read_only=values.get("read_only", False),
        sharable=values.get("sharable", False),
        sm_config=dict(values.get("sm_config", {})),
    )
    return make_disk(ctx, sr, wanted, **{name: values[name] for name in KEPT if name in values})


def make_disk(ctx: Context, sr: Ref[SR], wanted: CreateVdi, **own: Any) -> Ref[VDI]:
    """Make a disk and its row; `own` are fields that the driver does not know."""
    with working_on_sr(ctx, sr, StorageOperations.VDI_CREATE) as work, ExitStack() as undo:
        facts = work.handle.create(wanted)
        undoing(undo, work.handle.destroy, facts.location)
        with work.finished(facts.virtual_size) as transaction:
            made = row_of(ctx, transaction, sr, facts, **own)
        undo.pop_all()
    return made


# Disks that are there already


@implements(api.introduce, checks_first=False)
def introduce(
    ctx: Context,
    uuid: str,
    name_label: str,
    name_description: str,
    SR: Ref[SR],
    type: VdiType,
    sharable: bool,
    read_only: bool,
    other_config: Map[str, str],
    location: str,
    xenstore_data: Map[str, str] = NOTHING,
    sm_config: Map[str, str] = NOTHING,
    managed: bool = True,
    virtual_size: int = 0,
    physical_utilisation: int = 0,
    metadata_of_pool: Ref[Pool] = NULL,
    is_a_snapshot: bool = False,
    snapshot_time: datetime = EPOCH,
    snapshot_of: Ref[VDI] = NULL,
) -> Ref[VDI]:
    """Make the row of a disk that the SR holds; what the driver knows better is taken from it.

    A disk that has a row keeps it; LOCATION_NOT_UNIQUE if that is known by another UUID.
    """
    with working_on_sr(ctx, SR, StorageOperations.VDI_INTRODUCE) as work:
        facts = work.handle.introduce(uuid, location)
        present = _recorded(ctx.db, SR, facts.location)
        if present is not None and present.uuid != uuid:
            raise LOCATION_NOT_UNIQUE(SR, facts.location)
        with work.finished(allocated(facts) if present is None else 0) as transaction:
            present = _recorded(transaction, SR, facts.location)  # somebody else may just have introduced it
            if present is not None:
                return present.ref
            own = {"type": type, "sharable": sharable or facts.sharable}
            names = {"name_label": name_label, "name_description": name_description}
            maps = {"other_config": dict(other_config), "xenstore_data": dict(xenstore_data)}
            return row_of(ctx, transaction, SR, facts, **own, **maps, **{k: v for k, v in names.items() if v})


def _recorded(view: View, sr: str, location: str) -> VDI | None:
    """The row that a disk of an SR has already."""
    rows = (view.find(VDI, ref) for ref in view.get(SR, sr).VDIs)
    return next((row for row in rows if row is not None and row.location == location), None)


@implements(api.pool_introduce, checks_first=False)
def pool_introduce(
    ctx: Context,
    uuid: str,
    name_label: str,
    name_description: str,
    SR: Ref[SR],
    type: VdiType,
    sharable: bool,
    read_only: bool,
    other_config: Map[str, str],
    location: str,
    xenstore_data: Map[str, str] = NOTHING,
    sm_config: Map[str, str] = NOTHING,
    managed: bool = True,
    virtual_size: int = 0,
    physical_utilisation: int = 0,
    metadata_of_pool: Ref[Pool] = NULL,
    is_a_snapshot: bool = False,
    snapshot_time: datetime = EPOCH,
    snapshot_of: Ref[VDI] = NULL,
    cbt_enabled: bool = False,
) -> Ref[VDI]:
    """Rows without a look at the SR are for storage drivers with a session; drivers here have none."""
    raise PERMISSION_DENIED("")


@implements(api.db_introduce, checks_first=False)
def db_introduce(
    ctx: Context,
    uuid: str,
    name_label: str,
    name_description: str,
    SR: Ref[SR],
    type: VdiType,
    sharable: bool,
    read_only: bool,
    other_config: Map[str, str],
    location: str,
    xenstore_data: Map[str, str] = NOTHING,
    sm_config: Map[str, str] = NOTHING,
    managed: bool = True,
    virtual_size: int = 0,
    physical_utilisation: int = 0,
    metadata_of_pool: Ref[Pool] = NULL,
    is_a_snapshot: bool = False,
    snapshot_time: datetime = EPOCH,
    snapshot_of: Ref[VDI] = NULL,
    cbt_enabled: bool = False,
) -> Ref[VDI]:
    """Rows without a look at the SR are for storage drivers with a session; drivers here have none."""
    raise PERMISSION_DENIED("")


@implements(api.db_forget)
def db_forget(ctx: Context, vdi: Ref[VDI]) -> None:
    """Removing rows behind the SR's back is for storage drivers with a session; drivers here have none."""
    raise PERMISSION_DENIED("")


@implements(api.forget)
def forget(ctx: Context, vdi: Ref[VDI]) -> None:
    """Remove the row of a disk that nobody uses; its data stay, and the next scan finds them."""
    with ctx.transaction() as transaction:
        row = transaction.get(VDI, vdi)
        assert_allowed(transaction, row, VdiOperations.FORGET)
        drop_disk(transaction, row)
        note_figures(transaction, row.SR, None, -allocated(row))


@implements(api.update)
def update(ctx: Context, vdi: Ref[VDI]) -> None:
    """Write the names to the SR, where its driver keeps them, and read what it knows of the disk."""
    with working_on_disk(ctx, vdi, VdiOperations.UPDATE, StorageOperations.VDI_UPDATE) as work:
        row = work.vdi
        work.handle.update(row.location, row.name_label, row.name_description)
        facts = work.handle.find(row.location)
        with work.finished(allocated(facts) - allocated(row)) as transaction:
            note_disk(transaction, transaction.get(VDI, vdi), facts)


@implements(api.set_name_label)
def set_name_label(ctx: Context, self: Ref[VDI], value: str) -> None:
    """Rename a disk, on its SR too if that can be reached and keeps names."""
    _rename(ctx, self, name_label=value)


@implements(api.set_name_description)
def set_name_description(ctx: Context, self: Ref[VDI], value: str) -> None:
    """Describe a disk anew, on its SR too if that can be reached and keeps descriptions."""
    _rename(ctx, self, name_description=value)


def _rename(ctx: Context, self: Ref[VDI], **names: str) -> None:
    repositories = repositories_of(ctx)
    sr = ctx.db.get(VDI, self).SR
    with repositories.turn_at_disk(self), repositories.changing(sr), ExitStack() as undo:
        row = ctx.db.get(VDI, self)
        handle = _keeper_of_names(ctx, row)
        if handle is not None:
            before = {"name_label": row.name_label, "name_description": row.name_description}
            after = before | names
            handle.update(row.location, after["name_label"], after["name_description"])
            undoing(undo, handle.update, row.location, before["name_label"], before["name_description"])
        with ctx.transaction() as transaction:
            transaction.update(VDI, self, **names)
        undo.pop_all()


def _keeper_of_names(ctx: Context, row: VDI) -> AttachedSr | None:
    """The handle of the SR that keeps the disk's names, if it does and can be reached."""
    sr = ctx.db.find(SR, row.SR)
    if sr is None or not row.managed or row.missing or "VDI_UPDATE" not in driver_features(ctx.db, sr.type):
        return None
    return repositories_of(ctx).reach(sr)


# Fields


@implements(api.set_read_only)
def set_read_only(ctx: Context, self: Ref[VDI], value: bool) -> None:
    """Say whether the disk may be attached for reading only."""
    _set(ctx, self, read_only=value)


@implements(api.set_sharable)
def set_sharable(ctx: Context, self: Ref[VDI], value: bool) -> None:
    """Say whether several VMs may write to the disk at once."""
    _set(ctx, self, sharable=value)


@implements(api.set_allow_caching)
def set_allow_caching(ctx: Context, self: Ref[VDI], value: bool) -> None:
    """Say whether hosts may cache the disk's blocks."""
    _set(ctx, self, allow_caching=value)


def _set(ctx: Context, self: Ref[VDI], **values: Any) -> None:
    with ctx.transaction() as transaction:
        transaction.update(VDI, self, **values)


@implements(api.force_unlock)
def force_unlock(ctx: Context, vdi: Ref[VDI]) -> None:
    """Locks are never left behind, so that there is nothing to break."""
    raise MESSAGE_DEPRECATED()


@implements(api.read_database_pool_uuid, checks_first=False)
def read_database_pool_uuid(ctx: Context, self: Ref[VDI]) -> str:
    """The UUID of the pool whose database the disk holds, empty where none is known."""
    row = ctx.db.find(VDI, self)
    pool = ctx.db.find(Pool, row.metadata_of_pool) if row is not None else None
    return "" if pool is None else pool.uuid


# What only a storage driver with a session may write; the service lets nobody else, and drivers here have no session.


@implements(api.set_managed)
def set_managed(ctx: Context, self: Ref[VDI], value: bool) -> None:
    """Drivers tell this by a scan, and nobody else may."""
    raise PERMISSION_DENIED("")


@implements(api.set_missing)
def set_missing(ctx: Context, self: Ref[VDI], value: bool) -> None:
    """Drivers tell this by a scan, and nobody else may."""
    raise PERMISSION_DENIED("")


@implements(api.set_virtual_size)
def set_virtual_size(ctx: Context, self: Ref[VDI], value: int) -> None:
    """Drivers tell this by a scan, and nobody else may."""
    raise PERMISSION_DENIED("")


@implements(api.set_physical_utilisation)
def set_physical_utilisation(ctx: Context, self: Ref[VDI], value: int) -> None:
    """Drivers tell this by a scan, and nobody else may."""
    raise PERMISSION_DENIED("")


@implements(api.set_is_a_snapshot)
def set_is_a_snapshot(ctx: Context, self: Ref[VDI], value: bool) -> None:
    """Drivers tell this by a scan, and nobody else may."""
    raise PERMISSION_DENIED("")


@implements(api.set_snapshot_of)
def set_snapshot_of(ctx: Context, self: Ref[VDI], value: Ref[VDI]) -> None:
    """Drivers tell this by a scan, and nobody else may."""
    raise PERMISSION_DENIED("")


@implements(api.set_snapshot_time)
def set_snapshot_time(ctx: Context, self: Ref[VDI], value: datetime) -> None:
    """Drivers tell this by a scan, and nobody else may."""
    raise PERMISSION_DENIED("")


@implements(api.set_metadata_of_pool)
def set_metadata_of_pool(ctx: Context, self: Ref[VDI], value: Ref[Pool]) -> None:
    """Drivers tell this by a scan, and nobody else may."""
    raise PERMISSION_DENIED("")


@implements(api.set_cbt_enabled)
def set_cbt_enabled(ctx: Context, self: Ref[VDI], value: bool) -> None:
    """Drivers tell this by a scan, and nobody else may."""
    raise PERMISSION_DENIED("")
