"""Alerts: notices about objects, kept until somebody destroys them (XenAPI's class message)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Final

from xapi.datamodel.classes import SR, VDI, VM, VMPP, VMSS, Certificate, Host, Pool, PVSProxy
from xapi.datamodel.classes import message as api
from xapi.datamodel.classes.message import AlertMessage, Cls
from xapi.datamodel.errors import UUID_INVALID
from xapi.datamodel.model import Entity, Ref
from xapi.db import query
from xapi.db.database import Transaction
from xapi.dispatch.context import Context
from xapi.dispatch.implement import implements
from xapi.dispatch.toolstack import Toolstack

MOST_KEPT: Final = 10_000

CLASSES: Final[Mapping[Cls, type[Entity]]] = {
    Cls.VM: VM,
    Cls.HOST: Host,
    Cls.SR: SR,
    Cls.POOL: Pool,
    Cls.VMPP: VMPP,
    Cls.VMSS: VMSS,
    Cls.PVS_PROXY: PVSProxy,
    Cls.VDI: VDI,
    Cls.CERTIFICATE: Certificate,
}
Records = Mapping[Ref[AlertMessage], AlertMessage]


def post(
    toolstack: Toolstack, transaction: Transaction, name: str, priority: int, cls: Cls, obj_uuid: str, body: str
) -> Ref[AlertMessage]:
    """Post an alert; when there are more than `MOST_KEPT`, the oldest ones make room.

    The object is not checked: services may tell of objects that are just being removed.
    """
    if len(toolstack.db.tables[AlertMessage]) >= MOST_KEPT:
        present = sorted(transaction.all(AlertMessage), key=lambda row: row.timestamp)
        # Some more than needed go, so that not every alert from here on looks at all of them.
        for old in present[: len(present) + 1 - MOST_KEPT + MOST_KEPT // 100]:
            transaction.delete(AlertMessage, old.ref)
    return transaction.create(
        AlertMessage,
        name=name,
        priority=priority,
        cls=cls,
        obj_uuid=obj_uuid,
        body=body,
        timestamp=toolstack.clock.now(),
    )


def forget_all_about(transaction: Transaction, obj_uuid: str) -> None:
    """Remove every alert about an object, as when the object itself is removed."""
    for row in transaction.all(AlertMessage):
        if row.obj_uuid == obj_uuid:
            transaction.delete(AlertMessage, row.ref)


@implements(api.create)
def create(ctx: Context, name: str, priority: int, cls: Cls, obj_uuid: str, body: str) -> Ref[AlertMessage]:
    """Post an alert about an object; UUID_INVALID when there is no such object."""
    if ctx.db.by_uuid(CLASSES[cls], obj_uuid) is None:
        raise UUID_INVALID(cls, obj_uuid)
    with ctx.transaction() as transaction:
        return post(ctx.toolstack, transaction, name, priority, cls, obj_uuid, body)


@implements(api.destroy, checks_first=False)
def destroy(ctx: Context, self: Ref[AlertMessage]) -> None:
    """Remove an alert."""
    with ctx.transaction() as transaction:
        transaction.delete(AlertMessage, self)


@implements(api.destroy_many)
def destroy_many(ctx: Context, messages: tuple[Ref[AlertMessage], ...]) -> None:
    """Remove several alerts, or none when one of them is not there."""
    with ctx.transaction() as transaction:
        for ref in messages:
            transaction.delete(AlertMessage, ref)


def _records(ctx: Context, picks: Callable[[AlertMessage], bool]) -> Records:
    """The alerts that a test picks, the newest first, as clients show them."""
    picked = [row for row in ctx.db.all(AlertMessage) if picks(row)]
    picked.sort(key=lambda row: row.timestamp, reverse=True)
    return {row.ref: row for row in picked}


@implements(api.get)
def get(ctx: Context, cls: Cls, obj_uuid: str, since: datetime) -> Records:
    """The alerts about one object after a moment; UUID_INVALID when there is no such object."""
    if ctx.db.by_uuid(CLASSES[cls], obj_uuid) is None:
        raise UUID_INVALID(cls, obj_uuid)
    return _records(ctx, lambda row: row.cls == cls and row.obj_uuid == obj_uuid and row.timestamp > since)


@implements(api.get_since)
def get_since(ctx: Context, since: datetime) -> Records:
    """All alerts after a moment."""
    return _records(ctx, lambda row: row.timestamp > since)


@implements(api.get_all)
def get_all(ctx: Context) -> tuple[Ref[AlertMessage], ...]:
    """The reference of every alert."""
    return tuple(_records(ctx, lambda row: True))


@implements(api.get_all_records)
def get_all_records(ctx: Context) -> Records:
    """Every alert."""
    return _records(ctx, lambda row: True)


@implements(api.get_all_records_where)
def get_all_records_where(ctx: Context, expr: str) -> Records:
    """The alerts that a query picks."""
    return _records(ctx, query.compile(expr, AlertMessage))


@implements(api.get_record, checks_first=False)
def get_record(ctx: Context, self: Ref[AlertMessage]) -> AlertMessage:
    """All fields of one alert."""
    return ctx.db.get(AlertMessage, self)


@implements(api.get_by_uuid)
def get_by_uuid(ctx: Context, uuid: str) -> Ref[AlertMessage]:
    """Find an alert by its UUID."""
    row = ctx.db.by_uuid(AlertMessage, uuid)
    if row is None:
        raise UUID_INVALID(AlertMessage.wire_name, uuid)
    return row.ref
