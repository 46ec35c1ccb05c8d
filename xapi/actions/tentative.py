"""Settings that are written down first, and are as before when the host cannot follow them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from xapi.datamodel.model import Entity
from xapi.dispatch.context import Context
from xapi.system.undo import on_failure


@contextmanager
def taken_back_on_failure(ctx: Context, rows: Iterable[Entity], fields: Iterable[str]) -> Iterator[None]:
    """While inside, the host follows; if that fails, the fields of the objects are again what these rows have.

    The rows are the objects as they were before; one that is gone meanwhile is left alone.
    """
    with on_failure(_write_back, ctx, tuple(rows), tuple(fields)):
        yield


def _write_back(ctx: Context, rows: tuple[Entity, ...], fields: tuple[str, ...]) -> None:
    with ctx.transaction() as transaction:
        for row in rows:
            if transaction.find(type(row), row.ref) is not None:
                old = {name: row[row.field_named[name].index] for name in fields}
                transaction.update(type(row), row.ref, **old)
