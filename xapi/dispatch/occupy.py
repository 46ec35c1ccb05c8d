"""While an operation goes on: `current_operations` says so, and `allowed_operations` follows by itself."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

from xapi import lifecycle
from xapi.datamodel.classes import VM, Pool, Task
from xapi.datamodel.model import Entity
from xapi.datamodel.types import WireEnum
from xapi.db.database import Database, Transaction, changed_fields
from xapi.dispatch.context import Context

NO_TABLE = frozenset({Task})  # tasks keep their own

# What people and clients note down, and no lifecycle looks at; other_config only where no key of it means anything.
NOTES = frozenset({"name_label", "name_description", "tags", "other_config"})
MEANT = frozenset({VM, Pool})  # the classes whose other_config the lifecycles look into


@contextmanager
def occupied(ctx: Context, entity: type[Entity], ref: str, operation: WireEnum) -> Iterator[None]:
    """Occupy an object with an operation for the time of the block, if its lifecycle allows that now."""
    task = ctx.task.ref
    with ctx.transaction() as transaction:
        row = transaction.get(entity, ref)
        assert_allowed(transaction, row, operation)
        transaction.refill(entity, ref, current_operations={**_current(row), task: operation})
    try:
        yield
    finally:
        with ctx.transaction() as transaction:
            found = transaction.find(entity, ref)
            if found is not None:
                rest = {key: value for key, value in _current(found).items() if key != task}
                transaction.refill(entity, ref, current_operations=rest)


def assert_allowed(transaction: Transaction, row: Entity, operation: WireEnum) -> None:
    """Raise what refuses an operation now, if anything does."""
    refusal = lifecycle.why_not(transaction, row, operation)
    if refusal is not None:
        raise refusal


def _current(row: Entity) -> dict[str, WireEnum]:
    return dict(row[row.field_named["current_operations"].index])


def derive_allowed_operations(transaction: Transaction) -> None:
    """Fill `allowed_operations` of what a transaction touches, and of what depends on that."""
    if _notes_only(transaction):
        return
    affected: dict[tuple[type[Entity], str], None] = {}
    for entity, ref in list(transaction.touched):
        row = transaction.changes[(entity, ref)]
        if row is None:
            continue
        if "allowed_operations" in entity.field_named:
            affected[(entity, ref)] = None
        for key in lifecycle.dependants(transaction, row):
            affected[key] = None
    for entity, ref in affected:
        if entity in NO_TABLE:
            continue
        row = transaction.find(entity, ref)
        if row is not None:
            allowed = lifecycle.allowed_operations(transaction, row)
            if row[entity.field_named["allowed_operations"].index] != allowed:
                transaction.refill(entity, ref, allowed_operations=allowed)


@cache
def _notes(entity: type[Entity]) -> frozenset[int]:
    """The places of the fields that no lifecycle looks at."""
    names = NOTES - {"other_config"} if entity in MEANT else NOTES
    return frozenset(field.index for field in entity.fields if field.name in names)


def _notes_only(transaction: Transaction) -> bool:
    """Say whether a transaction changes nothing but notes. One that changes nothing at all wants what is derived."""
    for entity, ref in transaction.touched:
        old, new = transaction.before(entity, ref), transaction.changes[(entity, ref)]
        if old is None or new is None:
            return False
        changed = changed_fields(old, new)
        if not changed or not _notes(entity).issuperset(changed):
            return False
    return True


def fill_all_allowed_operations(database: Database) -> None:
    """Fill `allowed_operations` of every object, as is needed once after the rows were loaded."""
    with database.transaction() as transaction:
        for entity in database.tables:
            if "allowed_operations" in entity.field_named and entity not in NO_TABLE:
                for row in transaction.all(entity):
                    allowed = lifecycle.allowed_operations(transaction, row)
                    transaction.refill(entity, row[0], allowed_operations=allowed)
