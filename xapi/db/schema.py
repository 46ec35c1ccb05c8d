"""The tables of the stored database, derived from the catalogue: one a class, one column a stored field."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import orjson
from sqlalchemy import BigInteger, Boolean, Column, Double, MetaData, Table, Text

from xapi.datamodel.catalog import CATALOG
from xapi.datamodel.model import Entity, Field
from xapi.datamodel.types import Basic, EnumType, MapType, RefType, SetType, Type

METADATA = MetaData()
REF_COLUMN = "_ref"

Convert = Callable[[Any], Any]


def _same(value: Any) -> Any:
    return value


def _number(value: Any) -> float:
    return float(value)


def _store_date(value: datetime) -> str:
    return value.isoformat()


def _load_date(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone(UTC)


def _store_tree(value: Any) -> str:
    return orjson.dumps(_plain(value), option=orjson.OPT_NON_STR_KEYS).decode()


def _plain(value: Any) -> Any:
    """The same value in lists and dictionaries of the kinds that JSON knows; enumerations are text."""
    if isinstance(value, str):
        return str(value)
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, datetime):
        return value.isoformat()
    return value


def loader(kind: Type) -> Convert:
    """How a value that was stored becomes a value of the declared type."""
    match kind:
        case Basic.DATETIME:
            return _load_date
        case Basic.FLOAT:
            return _number
        case Basic.BOOL:
            return bool  # SQLite has numbers for them
        case EnumType(enum):
            members = {str(member): member for member in enum}
            return members.__getitem__
        case SetType(of):
            one = loader(of)
            return lambda text: () if text in ("[]", []) else tuple(one(item) for item in _tree(text))
        case MapType(key, value):
            load_key = int if key is Basic.INT else loader(key)
            load_value = loader(value)
            return lambda text: (
                {} if text in ("{}", {}) else {load_key(name): load_value(item) for name, item in _tree(text).items()}
            )
        case _:
            return _same


def _tree(value: Any) -> Any:
    return orjson.loads(value) if isinstance(value, str) else value


def storer(kind: Type) -> Convert:
    """How a value of the declared type is stored."""
    match kind:
        case Basic.DATETIME:
            return _store_date
        case EnumType() | RefType() | Basic.STRING:
            return str
        case SetType() | MapType():
            return _store_tree
        case _:
            return _same


def column_type(kind: Type) -> Any:
    """The SQL type of a column."""
    match kind:
        case Basic.INT:
            return BigInteger
        case Basic.FLOAT:
            return Double
        case Basic.BOOL:
            return Boolean
        case _:
            return Text


@dataclass(frozen=True, slots=True)
class StoredField:
    """One column and the way there and back."""

    field: Field[Any]
    column: str
    store: Convert
    load: Convert


@dataclass(frozen=True, slots=True)
class StoredClass:
    """The table of a class, its columns in the order of the fields, and the places of those in the row."""

    entity: type[Entity]
    table: Table
    columns: tuple[StoredField, ...]
    indices: frozenset[int]


def stored_fields(entity: type[Entity]) -> tuple[StoredField, ...]:
    """The fields of a class that survive a restart."""
    return tuple(
        StoredField(field, field.path, storer(field.type), loader(field.type))
        for field in entity.fields
        if field.persistent and not field.derived
    )


def _stored_class(entity: type[Entity]) -> StoredClass:
    columns = stored_fields(entity)
    table = Table(
        entity.wire_name,
        METADATA,
        Column(REF_COLUMN, Text, primary_key=True),
        *(Column(column.column, column_type(column.field.type), nullable=True) for column in columns),
    )
    return StoredClass(entity, table, columns, frozenset(column.field.index for column in columns))


# Messages are declared as living outside the database; here they are rows like others, durable and told in events.
CLASSES: tuple[type[Entity], ...] = (*CATALOG.stored(), CATALOG.entities["message"])

# Tasks are declared as forgotten at a restart; here they are kept, so that a client that polls one learns its end.
KEPT_ALL_THE_SAME = frozenset({"task", "message"})

STORED: Mapping[type[Entity], StoredClass] = {
    entity: _stored_class(entity) for entity in CLASSES if entity.persistent or entity.wire_name in KEPT_ALL_THE_SAME
}

SETTINGS = Table("xapi_settings", METADATA, Column("name", Text, primary_key=True), Column("value", Text))
