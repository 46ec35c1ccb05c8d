"""Storage repositories made, introduced, forgotten, destroyed, scanned, renamed (XenAPI's class SR)."""

from __future__ import annotations

import logging
import uuid as uuids
from collections.abc import Mapping
from contextlib import ExitStack
from typing import Any, Final

from xapi.actions.pbd import check_device_config, drop_pbd, drop_secrets, with_own_secrets
from xapi.actions.sr.contents import drop_disk, note_scan
from xapi.actions.sr.paths import found_paths, note_paths
from xapi.actions.sr.work import repositories_of, undoing, working_on_sr
from xapi.datamodel.classes import PBD, SR, VDI, VM, Host, Pool
from xapi.datamodel.classes import sr as api
from xapi.datamodel.classes.sr import StorageOperations
from xapi.datamodel.errors import (
    MESSAGE_DEPRECATED,
    NOT_SUPPORTED_DURING_UPGRADE,
    PERMISSION_DENIED,
    SR_HAS_MULTIPLE_PBDS,
    SR_HAS_NO_PBDS,
    SR_INDESTRUCTIBLE,
    SR_IS_CACHE_SR,
    SR_UUID_EXISTS,
)
from xapi.datamodel.model import NOTHING, NULL, Entity, Map, Ref
from xapi.db.database import Transaction
from xapi.dispatch.context import Context
from xapi.dispatch.implement import implements
from xapi.dispatch.occupy import occupied
from xapi.lifecycle.surroundings import driver_features, is_true, rolling_upgrade
from xapi.storage.interface import AttachedSr

LOG = logging.getLogger("xapi.storage")
UNKNOWN = -1  # a figure that no driver has told yet
DIRTY: Final = "dirty"
"""The other_config key by which a client asks for a scan; a scan takes it away."""
CHOICES: Final[Mapping[type[Entity], tuple[str, ...]]] = {
    Pool: ("default_SR", "suspend_image_SR", "crash_dump_SR"),
    Host: ("suspend_image_sr", "crash_dump_sr", "local_cache_sr"),
    VM: ("suspend_SR",),
}
"""The fields by which somebody has chosen an SR for a purpose: nobody may be left with one that is gone."""


def _introduced(transaction: Transaction, identifier: str, **values: Any) -> Ref[SR]:
    """Make the row of an SR of which only the settings are known."""
    return transaction.create(
        SR,
        uuid=identifier,
        physical_size=UNKNOWN,
        physical_utilisation=UNKNOWN,
        virtual_allocation=0,
        default_vdi_visibility=True,
        **values,
    )


@implements(api.introduce)
def introduce(
    ctx: Context,
    uuid: str,
    name_label: str,
    name_description: str,
    type: str,
    content_type: str,
    shared: bool,
    sm_config: Map[str, str] = NOTHING,
) -> Ref[SR]:
    """Make the row of an SR that exists; its PBDs are made and plugged afterwards."""
    kind = repositories_of(ctx).driver(type.lower()).type
    identifier = uuid or str(uuids.uuid4())
    with ctx.transaction() as transaction:
        if any(identifier == row.uuid for row in transaction.all(SR)):
            raise SR_UUID_EXISTS(identifier)
        return _introduced(
            transaction,
            identifier,
            name_label=name_label,
            name_description=name_description,
            type=kind.name,
            content_type=content_type or kind.content_type,
            shared=shared,
            sm_config=dict(sm_config),
        )


@implements(api.create, runs_on="host")
def create(
    ctx: Context,
    host: Ref[Host],
    device_config: Map[str, str],
    physical_size: int,
    name_label: str,
    name_description: str,
    type: str,
    content_type: str,
    shared: bool,
    sm_config: Map[str, str] = NOTHING,
) -> Ref[SR]:
    """Make an SR on its storage and attach it here; a shared one gets a PBD on each host."""
    if rolling_upgrade(ctx.db):
        raise NOT_SUPPORTED_DURING_UPGRADE()
    repositories = repositories_of(ctx)
    driver = repositories.driver(type.lower())
    check_device_config(device_config)
    identifier, kind = str(uuids.uuid4()), content_type or driver.type.content_type
    with ExitStack() as undo:
        settings = repositories.settings(ctx.db, driver.type.name, host, device_config)
        kept = driver.create(identifier, settings, physical_size, kind, sm_config)
        LOG.info("SR %s of type %s was made; if nothing more is heard of it, it can be introduced", identifier, type)
        handle = repositories.open(identifier, driver.type.name, settings, kept)
        undoing(undo, handle.detach_sr)
        undoing(undo, handle.destroy_sr)
        if "SR_UPDATE" in driver_features(ctx.db, driver.type.name):
            handle.update_sr(name_label, name_description)
        found = handle.scan()
        paths = found_paths(repositories, driver.type.name, identifier)
        with ctx.transaction() as transaction:
            made = _introduced(
                transaction,
                identifier,
                name_label=name_label,
                name_description=name_description,
                type=driver.type.name,
                content_type=kind,
                shared=shared,
                sm_config=dict(kept),
            )
            note_scan(transaction, made, found)
            note_paths(transaction, _make_pbds(transaction, made, host, device_config, shared), paths)
            repositories.adopt(handle)
            undo.callback(repositories.forget, transaction.get(SR, made))
        undo.pop_all()
    return made


def _make_pbds(
    transaction: Transaction, sr: Ref[SR], here: Ref[Host], device_config: Mapping[str, str], shared: bool
) -> Ref[PBD]:
    """Make the PBDs of a new SR, and answer that of the host that has it attached."""
    made = transaction.create(PBD, host=here, SR=sr, device_config=dict(device_config), currently_attached=True)
    for row in transaction.all(Host) if shared else ():
        if row.ref != here:
            own = with_own_secrets(transaction, device_config)
            transaction.create(PBD, host=row.ref, SR=sr, device_config=own)
    return made


@implements(api.make, runs_on="host")
def make(
    ctx: Context,
    host: Ref[Host],
    device_config: Map[str, str],
    physical_size: int,
    name_label: str,
    name_description: str,
    type: str,
    content_type: str,
    sm_config: Map[str, str] = NOTHING,
) -> str:
    """An SR without a row was of use to clients long ago; `SR.create` is what makes one."""
    raise MESSAGE_DEPRECATED()


@implements(api.forget)
def forget(ctx: Context, sr: Ref[SR]) -> None:
    """Remove the rows of an SR that is plugged nowhere, of its disks and PBDs; its data stay."""
    with repositories_of(ctx).alone(sr), occupied(ctx, SR, sr, StorageOperations.FORGET), ctx.transaction() as rows:
        _drop(rows, rows.get(SR, sr))


def _drop(transaction: Transaction, sr: SR) -> None:
    for entity, names in CHOICES.items():
        for row in transaction.all(entity):
            chosen = [name for name in names if row[entity.field_named[name].index] == sr.ref]
            if chosen:
                transaction.update(entity, row.ref, **dict.fromkeys(chosen, NULL))
    for ref in sr.VDIs:
        vdi = transaction.find(VDI, ref)
        if vdi is not None:
            drop_disk(transaction, vdi)
    for link in sr.PBDs:
        pbd = transaction.find(PBD, link)
        if pbd is not None:
            drop_pbd(transaction, pbd)
    transaction.delete(SR, sr.ref)


@implements(api.destroy)
def destroy(ctx: Context, sr: Ref[SR]) -> None:
    """Destroy an SR that is plugged nowhere and holds no disks, on its storage and in the records."""
    repositories = repositories_of(ctx)
    with repositories.alone(sr), occupied(ctx, SR, sr, StorageOperations.DESTROY):
        row = ctx.db.get(SR, sr)
        if is_true(row.other_config, "indestructible"):
            raise SR_INDESTRUCTIBLE(sr)
        for host in ctx.db.all(Host):
            if host.local_cache_sr == sr:
                raise SR_IS_CACHE_SR(host.ref)
        _destroy_on_storage(ctx, row)
        with ctx.transaction() as transaction:
            drop_secrets(transaction, row.sm_config)
            _drop(transaction, transaction.get(SR, sr))


def _destroy_on_storage(ctx: Context, row: SR) -> None:
    links = (ctx.db.find(PBD, ref) for ref in row.PBDs)
    pbd = next((link for link in links if link is not None and link.host == ctx.this_host), None)
    if pbd is None:
        raise SR_HAS_NO_PBDS(row.ref)
    repositories = repositories_of(ctx)
    handle = repositories.attach(ctx.db, pbd)
    with ExitStack() as undo:
        undo.callback(repositories.forget, row)
        undoing(undo, handle.detach_sr)
        handle.destroy_sr()
        undo.pop_all()
    repositories.forget(row)


# Looking


@implements(api.scan)
def scan(ctx: Context, sr: Ref[SR]) -> None:
    """Let the rows follow what is in the SR."""
    with working_on_sr(ctx, sr, StorageOperations.SCAN, alone=True) as work:
        found = work.handle.scan()
        with work.finished() as transaction:
            note_scan(transaction, sr, found)
            config = transaction.get(SR, sr).other_config
            if DIRTY in config:
                transaction.update(SR, sr, other_config={key: text for key, text in config.items() if key != DIRTY})


@implements(api.update)
def update(ctx: Context, sr: Ref[SR]) -> None:
    """Write the SR's names to it, and read its figures."""
    with working_on_sr(ctx, sr, StorageOperations.UPDATE) as work:
        row = ctx.db.get(SR, sr)
        work.handle.update_sr(row.name_label, row.name_description)
        with work.finished():
            pass


# Fields


@implements(api.set_name_label)
def set_name_label(ctx: Context, sr: Ref[SR], value: str) -> None:
    """Rename an SR, on its storage too if that can be reached and keeps names."""
    _rename(ctx, sr, name_label=value)


@implements(api.set_name_description)
def set_name_description(ctx: Context, sr: Ref[SR], value: str) -> None:
    """Describe an SR anew, on its storage too if that can be reached and keeps descriptions."""
    _rename(ctx, sr, name_description=value)


def _rename(ctx: Context, sr: Ref[SR], **names: str) -> None:
    with repositories_of(ctx).changing(sr), ExitStack() as undo:
        row = ctx.db.get(SR, sr)
        handle = _keeper_of_names(ctx, row)
        if handle is not None:
            before = {"name_label": row.name_label, "name_description": row.name_description}
            after = before | names
            handle.update_sr(after["name_label"], after["name_description"])
            undoing(undo, handle.update_sr, before["name_label"], before["name_description"])
        with ctx.transaction() as transaction:
            transaction.update(SR, sr, **names)
        undo.pop_all()


def _keeper_of_names(ctx: Context, row: SR) -> AttachedSr | None:
    return repositories_of(ctx).reach(row) if "SR_UPDATE" in driver_features(ctx.db, row.type) else None


@implements(api.set_shared)
def set_shared(ctx: Context, sr: Ref[SR], value: bool) -> None:
    """Say whether several hosts may use the SR; not less than it has PBDs."""
    with ctx.transaction() as transaction:
        row = transaction.get(SR, sr)
        if not value and len(row.PBDs) > 1:
            raise SR_HAS_MULTIPLE_PBDS(",".join(row.PBDs))
        transaction.update(SR, sr, shared=value)


# What only a storage driver with a session may write; the service lets nobody else, and drivers here have no session.


@implements(api.set_physical_size, checks_first=False)
def set_physical_size(ctx: Context, self: Ref[SR], value: int) -> None:
    """Drivers tell this after each operation, and nobody else may."""
    raise PERMISSION_DENIED("")


@implements(api.set_virtual_allocation, checks_first=False)
def set_virtual_allocation(ctx: Context, self: Ref[SR], value: int) -> None:
    """Drivers tell this after each operation, and nobody else may."""
    raise PERMISSION_DENIED("")


@implements(api.set_physical_utilisation, checks_first=False)
def set_physical_utilisation(ctx: Context, self: Ref[SR], value: int) -> None:
    """Drivers tell this after each operation, and nobody else may."""
    raise PERMISSION_DENIED("")
