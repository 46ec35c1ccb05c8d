"""Rows on disk: SQLite in one file, or PostgreSQL. Knows nothing of who reads; writes batches that are durable."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import BindParameter, Connection, CursorResult, Dialect, Engine, bindparam, create_engine, event, select
from sqlalchemy.engine import make_url
from sqlalchemy.pool import StaticPool
from sqlalchemy.sql.compiler import Compiled, SQLCompiler
from sqlalchemy.sql.expression import Delete as DeleteRows
from sqlalchemy.sql.expression import Insert as InsertRow
from sqlalchemy.sql.expression import Select as SelectRows
from sqlalchemy.sql.expression import Update as UpdateRow

from xapi.datamodel.model import Entity
from xapi.db.schema import REF_COLUMN, SETTINGS, STORED, StoredClass
from xapi.system.undo import on_failure

KEY = "key_ref"


@dataclass(frozen=True, slots=True)
class Insert:
    """A new row."""

    entity: type[Entity]
    row: Entity


@dataclass(frozen=True, slots=True)
class Update:
    """Some columns of a row, by their place in the row."""

    entity: type[Entity]
    row: Entity
    indices: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Delete:
    """A row that goes."""

    entity: type[Entity]
    ref: str


Operation = Insert | Update | Delete


def open_engine(url: str) -> Engine:
    """Connect to a database by its SQLAlchemy URL; SQLite is set up to be durable at every commit."""
    if make_url(url).get_backend_name() != "sqlite":
        return create_engine(url, pool_pre_ping=True)
    engine = create_engine(url, poolclass=StaticPool, connect_args={"check_same_thread": False})

    @event.listens_for(engine, "connect")
    def prepare(connection: Any, _record: object) -> None:
        cursor = connection.cursor()
        # WAL with FULL is the cheapest setting that keeps every acknowledged commit over a loss of power.
        for pragma in ("journal_mode=WAL", "synchronous=FULL", "busy_timeout=10000"):
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()

    return engine


def sqlite_url(path: Path) -> str:
    """The URL of a SQLite database in a file."""
    return f"sqlite:///{path}"


class _Statement:
    """A statement in the words of the database, which SQLAlchemy has found once and need not find again.

    Fit for values that the driver takes as they are, which is all that `StoredField.store` answers.
    """

    __slots__ = ("_order", "_text")

    def __init__(self, compiled: Compiled) -> None:
        assert isinstance(compiled, SQLCompiler)
        self._text = str(compiled)
        self._order = compiled.positiontup

    def execute(self, connection: Connection, values: Mapping[str, Any]) -> CursorResult[Any]:
        """Do it with these values; the answer has the rows as the driver gives them."""
        order = self._order
        return connection.exec_driver_sql(
            self._text, dict(values) if order is None else tuple([values[name] for name in order])
        )


_STATEMENTS: dict[type[Dialect], dict[tuple[object, ...], _Statement]] = {}  # found once for each kind of database


class Store:
    """The stored database. `write` must be called by one thread at a time."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._statements = _STATEMENTS.setdefault(type(engine.dialect), {})
        self._connection: Connection | None = None

    def load(self) -> Iterator[tuple[type[Entity], list[Entity]]]:
        """Read every row of every class; the fields that are not stored have their defaults."""
        with self._engine.connect() as connection:
            for stored in STORED.values():
                found = self._statement("select", stored, ()).execute(connection, {})
                yield stored.entity, [_row(stored, values) for values in found]

    def settings(self) -> dict[str, str]:
        """The toolstack's own notes that are kept beside the rows."""
        with self._engine.connect() as connection:
            rows = connection.execute(select(SETTINGS.c.name, SETTINGS.c.value))
            return {row.name: row.value for row in rows}

    def write(self, operations: Iterable[Operation], settings: Mapping[str, str] | None = None) -> None:
        """Make all the operations durable together, or none of them."""
        connection = self._connection
        if connection is None or connection.invalidated:
            connection = self._connection = self._engine.connect()
        with on_failure(connection.rollback):
            for operation in operations:
                self._apply(connection, operation)
            for name, value in (settings or {}).items():
                connection.execute(SETTINGS.delete().where(SETTINGS.c.name == name))
                connection.execute(SETTINGS.insert(), {"name": name, "value": value})
            connection.commit()

    def _apply(self, connection: Connection, operation: Operation) -> None:
        stored = STORED[operation.entity]
        match operation:
            case Insert(row=row):
                values = {column.column: column.store(row[column.field.index]) for column in stored.columns}
                self._statement("insert", stored, ()).execute(connection, {REF_COLUMN: row[0], **values})
            case Update(row=row, indices=indices):
                columns = [column for column in stored.columns if column.field.index in indices]
                values = {f"v{column.field.index}": column.store(row[column.field.index]) for column in columns}
                self._statement("update", stored, indices).execute(connection, {KEY: row[0], **values})
            case Delete(ref=ref):
                self._statement("delete", stored, ()).execute(connection, {KEY: ref})

    def _statement(self, verb: str, stored: StoredClass, indices: tuple[int, ...]) -> _Statement:
        """A statement that is built once for each shape and then only given values."""
        name = (verb, stored.entity, indices)
        kept = self._statements.get(name)
        if kept is None:
            statement: InsertRow | UpdateRow | DeleteRows | SelectRows[Any]
            table = stored.table
            this = table.c[REF_COLUMN] == bindparam(KEY)
            match verb:
                case "select":
                    statement = select(table.c[REF_COLUMN], *(table.c[column.column] for column in stored.columns))
                case "insert":
                    statement = table.insert()
                case "delete":
                    statement = table.delete().where(this)
                case _:
                    changed: dict[str, BindParameter[Any]] = {
                        column.column: bindparam(f"v{column.field.index}")
                        for column in stored.columns
                        if column.field.index in indices
                    }
                    statement = table.update().where(this).values(changed)
            kept = self._statements[name] = _Statement(statement.compile(self._engine))
        return kept

    def close(self) -> None:
        """Let the database go."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None
        self._engine.dispose()


def _row(stored: StoredClass, values: Any) -> Entity:
    row: list[Any] = [values[0], *(field.default for field in stored.entity.fields)]
    for column, value in zip(stored.columns, values[1:], strict=True):
        if value is not None:  # a column that an upgrade has added
            row[column.field.index] = column.load(value)
    return stored.entity(row)
