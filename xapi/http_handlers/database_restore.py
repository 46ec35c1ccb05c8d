"""Restoring the database from a dump: checked while the host runs, put in place when the toolstack starts next.

A host that is restored on other hardware keeps its own identity: its UUID, its control domain's, the addresses of its
network cards. Other hosts of the backup are forgotten; they join again.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from xapi.datamodel.classes import PBD, PIF, VM, Host, Pool
from xapi.datamodel.errors import (
    INVALID_VALUE,
    RESTORE_TARGET_MGMT_IF_NOT_IN_BACKUP,
    RESTORE_TARGET_MISSING_DEVICE,
)
from xapi.datamodel.model import Entity
from xapi.db.schema import STORED
from xapi.db.store import Delete, Insert, Operation, Store
from xapi.dispatch.context import Context
from xapi.http_handlers.admission import Ending, flag, headers_for
from xapi.http_handlers.database_dump import LARGEST, Dump, read_dump
from xapi.http_handlers.transfer import Upload
from xapi.rpc.http import Exchange
from xapi.rpc.http_message import Response
from xapi.system.atomic_file import write_atomically

LOG = logging.getLogger(__name__)
STAGED: Final = "restore.xml"
APPLIED: Final = "restored.xml"
BLOCK: Final = 1 << 20
Rows = Mapping[type[Entity], tuple[Entity, ...]]


@dataclass(frozen=True, slots=True)
class ThisHost:
    """What a host keeps whatever is restored: UUIDs, its cards' addresses by device, and its management device."""

    uuid: str
    control_domain: str
    addresses: Mapping[str, str]
    management: str

    @classmethod
    def among(cls, rows: Rows, uuid: str) -> ThisHost:
        """The host of a UUID among rows."""
        host = next(row for row in _of(rows, Host) if row.uuid == uuid)
        cards = [row for row in _of(rows, PIF) if row.host == host.ref]
        domains = [row for row in _of(rows, VM) if row.is_control_domain and row.resident_on == host.ref]
        return cls(
            uuid=uuid,
            control_domain=domains[0].uuid if domains else "",
            addresses={row.device: row.MAC for row in cards if row.physical},
            management=next((row.device for row in cards if row.management), ""),
        )


def _of(rows: Rows, entity: type[Any]) -> tuple[Any, ...]:
    return rows.get(entity, ())


def adapted(dump: Dump, here: ThisHost) -> Rows:
    """The rows of a backup as they fit this host.

    INVALID_VALUE for a backup without its coordinator; RESTORE_TARGET_MISSING_DEVICE for one with a network card that
    is not here; RESTORE_TARGET_MGMT_IF_NOT_IN_BACKUP when it has not the card through which this host is managed.
    """
    rows = dict(dump.rows)
    pools = _of(rows, Pool)
    masters = [row for row in _of(rows, Host) if pools and row.ref == pools[0].master]
    if len(pools) != 1 or not masters:
        raise INVALID_VALUE("database", "the backup has no pool with a coordinator")
    master = masters[0]
    cards = [row for row in _of(rows, PIF) if row.host == master.ref]
    for card in cards:
        if card.physical and card.device not in here.addresses:
            raise RESTORE_TARGET_MISSING_DEVICE(card.device)
    if here.management and here.management not in {card.device for card in cards}:
        raise RESTORE_TARGET_MGMT_IF_NOT_IN_BACKUP()
    rows[Host] = (_changed(master, uuid=here.uuid),)
    rows[PIF] = tuple(
        _changed(card, management=card.device == here.management, MAC=here.addresses.get(card.device, card.MAC))
        if card.physical
        else card
        for card in cards
    )
    rows[PBD] = tuple(row for row in _of(rows, PBD) if row.host == master.ref)
    rows[VM] = tuple(
        _changed(row, uuid=here.control_domain) if row.is_control_domain and here.control_domain else row
        for row in _of(rows, VM)
        if not row.is_control_domain or row.resident_on == master.ref
    )
    return rows


def _changed(row: Any, **values: Any) -> Any:
    fields = list(row)
    for name, value in values.items():
        fields[type(row).field_named[name].index] = value
    return type(row)(fields)


# The door


def receive(ctx: Context, exchange: Exchange) -> Ending:
    """PUT /pool/xmldbdump: check a dump and keep it for the next start; with `dry_run` only check it.

    A request without any body changes nothing: xen-api sends it, with length 0 if it knows that of the upload to come,
    to learn where that has to go, and gives up unless it gets 200 or 302.
    """
    document = read_upload(ctx, exchange, LARGEST)
    if not document:
        return Ending()
    dry_run = flag(exchange.request, "dry_run")
    check_and_stage(ctx, document, dry_run=dry_run)
    said = "the backup fits this host" if dry_run else "the database is restored when the toolstack starts next"
    return Ending(response=Response(200, (("Content-Type", "text/plain"),), f"{said}\n".encode()))


def check_and_stage(ctx: Context, document: bytes, *, dry_run: bool) -> None:
    """Check that a dump can be restored here, and unless it is only a try, put it where the next start finds it."""
    rows: Rows = {entity: tuple(ctx.db.all(entity)) for entity in STORED}
    adapted(read_dump(document), ThisHost.among(rows, ctx.db.get(Host, ctx.this_host).uuid))
    if not dry_run:
        write_atomically(ctx.toolstack.state / STAGED, document, 0o600)
        LOG.warning("a backup of the database waits for the next start, by wish of %s", ctx.session.user or "root")


def read_upload(ctx: Context, exchange: Exchange, limit: int) -> bytes:
    """The whole body of a request; INVALID_VALUE for one beyond so many bytes. What can be refused before, must be.

    It is empty for a request that only asks where an upload has to go.
    """
    upload = Upload(exchange)
    if upload.length is not None and upload.length > limit:
        raise INVALID_VALUE("Content-Length", str(upload.length))
    found = bytearray()
    if not upload.answer_early(headers_for(ctx)):
        return b""
    block = memoryview(bytearray(BLOCK))
    while count := upload.readinto(block):
        found += block[:count]
        if len(found) > limit:
            raise INVALID_VALUE("Content-Length", f"more than {limit}")
    return bytes(found)


# At the start


def apply_staged(store: Store, state: Path, uuid: str) -> bool:
    """Put a staged dump in the place of everything stored, if there is one; before the database is opened.

    `uuid` is this host's. The dump is kept beside as `restored.xml`. A host that has no rows yet takes it as it is.
    """
    staged = state / STAGED
    if not staged.exists():
        return False
    present: Rows = {entity: tuple(rows) for entity, rows in store.load()}
    dump = read_dump(staged.read_bytes())
    known = any(row.uuid == uuid for row in _of(present, Host))
    rows = adapted(dump, ThisHost.among(present, uuid)) if known else dump.rows
    store.write(_replacement(present, rows))
    staged.replace(state / APPLIED)
    LOG.warning("the database was restored from a backup of version %s", dump.manifest.get("version", "unknown"))
    return True


def _replacement(present: Rows, rows: Rows) -> Iterable[Operation]:
    for entity, old in present.items():
        yield from (Delete(entity, row[0]) for row in old)
    for entity, new in rows.items():
        yield from (Insert(entity, row) for row in new)
