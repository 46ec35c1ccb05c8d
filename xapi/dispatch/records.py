"""Every derived message: reading and setting fields, finding objects, answering records."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from xapi.datamodel.catalog import Kind, Method
from xapi.datamodel.errors import HANDLE_INVALID, MAP_DUPLICATE_KEY, UUID_INVALID
from xapi.datamodel.model import NULL, Entity
from xapi.datamodel.types import MapType, RefType, SetType, Type
from xapi.db import query
from xapi.db.database import Database, Version
from xapi.rpc.forms import Form

Handler = Callable[[Database, Method, list[Any], Form], Sequence[bytes]]
HANDLERS: dict[Kind, Handler] = {}


def _handles(kind: Kind) -> Callable[[Handler], Handler]:
    def register(handler: Handler) -> Handler:
        HANDLERS[kind] = handler
        return handler

    return register


def _version(database: Database, method: Method, ref: str) -> Version:
    version = database.tables[method.entity].get(ref)
    if version is None:
        raise HANDLE_INVALID(method.entity.wire_name, ref)
    return version


@_handles(Kind.GET)
def get(database: Database, method: Method, params: list[Any], form: Form) -> Sequence[bytes]:
    """Answer one field."""
    field = method.field
    return (form.value(field.type, _version(database, method, params[0]).row[field.index]),)


@_handles(Kind.GET_RECORD)
def get_record(database: Database, method: Method, params: list[Any], form: Form) -> Sequence[bytes]:
    """Answer all fields."""
    return (form.record(_version(database, method, params[0])),)


@_handles(Kind.GET_BY_UUID)
def get_by_uuid(database: Database, method: Method, params: list[Any], form: Form) -> Sequence[bytes]:
    """Find the object with a UUID."""
    ref = database.tables[method.entity].by_uuid.get(params[0])
    if ref is None:
        raise UUID_INVALID(method.entity.wire_name, params[0])
    return (form.value(method.result, ref),)


@_handles(Kind.GET_BY_NAME_LABEL)
def get_by_name_label(database: Database, method: Method, params: list[Any], form: Form) -> Sequence[bytes]:
    """Find the objects with a name."""
    index = method.entity.field_named["name_label"].index
    label = params[0]
    found = [ref for ref, version in list(database.tables[method.entity].items()) if version.row[index] == label]
    return (form.value(method.result, found),)


@_handles(Kind.GET_ALL)
def get_all(database: Database, method: Method, params: list[Any], form: Form) -> Sequence[bytes]:
    """Answer every reference."""
    return (form.value(method.result, list(database.tables[method.entity])),)


@_handles(Kind.GET_ALL_WHERE)
def get_all_where(database: Database, method: Method, params: list[Any], form: Form) -> Sequence[bytes]:
    """Answer the references that a query picks."""
    return (form.value(method.result, [ref for ref, _ in _picked(database, method, params[0])]),)


@_handles(Kind.GET_ALL_RECORDS)
def get_all_records(database: Database, method: Method, params: list[Any], form: Form) -> Sequence[bytes]:
    """Answer every record."""
    return form.records(list(database.tables[method.entity].items()))


@_handles(Kind.GET_ALL_RECORDS_WHERE)
def get_all_records_where(database: Database, method: Method, params: list[Any], form: Form) -> Sequence[bytes]:
    """Answer the records that a query picks."""
    return form.records(_picked(database, method, params[0]))


def _picked(database: Database, method: Method, expression: str) -> list[tuple[str, Version]]:
    picks = query.compile(expression, method.entity)
    return [(ref, version) for ref, version in list(database.tables[method.entity].items()) if picks(version.row)]


@_handles(Kind.SET)
def set_field(database: Database, method: Method, params: list[Any], form: Form) -> Sequence[bytes]:
    """Set one field."""
    field, (ref, value) = method.field, params
    with database.transaction() as transaction:
        transaction.get(method.entity, ref)
        wanted = value if field.dangling else checked(transaction.find, field.type, value)
        transaction.update(method.entity, ref, **{field.name: wanted})
    return _void(method, form)


@_handles(Kind.ADD_TO)
def add_to(database: Database, method: Method, params: list[Any], form: Form) -> Sequence[bytes]:
    """Add a key to a map; MAP_DUPLICATE_KEY when it is there."""
    field, (ref, key, value) = method.field, params
    with database.transaction() as transaction:
        present: Mapping[Any, Any] = transaction.get(method.entity, ref)[field.index]
        if key in present:
            raise MAP_DUPLICATE_KEY(method.entity.wire_name, field.name, ref, key)
        transaction.update(method.entity, ref, **{field.name: {**present, key: value}})
    return _void(method, form)


@_handles(Kind.REMOVE_FROM)
def remove_from(database: Database, method: Method, params: list[Any], form: Form) -> Sequence[bytes]:
    """Remove a key from a map; one that is not there is as good as removed."""
    field, (ref, key) = method.field, params
    with database.transaction() as transaction:
        present: Mapping[Any, Any] = transaction.get(method.entity, ref)[field.index]
        rest = {name: value for name, value in present.items() if name != key}
        transaction.update(method.entity, ref, **{field.name: rest})
    return _void(method, form)


@_handles(Kind.ADD)
def add(database: Database, method: Method, params: list[Any], form: Form) -> Sequence[bytes]:
    """Add a value to a set, in front, unless it is there."""
    field, (ref, value) = method.field, params
    with database.transaction() as transaction:
        present = transaction.get(method.entity, ref)[field.index]
        wanted = present if value in present else (value, *present)
        transaction.update(method.entity, ref, **{field.name: wanted})
    return _void(method, form)


@_handles(Kind.REMOVE)
def remove(database: Database, method: Method, params: list[Any], form: Form) -> Sequence[bytes]:
    """Remove a value from a set; one that is not there is as good as removed."""
    field, (ref, value) = method.field, params
    with database.transaction() as transaction:
        present = transaction.get(method.entity, ref)[field.index]
        transaction.update(method.entity, ref, **{field.name: tuple(item for item in present if item != value)})
    return _void(method, form)


def checked(find: Callable[[type[Entity], str], Entity | None], kind: Type, value: Any) -> Any:
    """The value, with every reference in it known or null (empty text is null); HANDLE_INVALID otherwise."""
    match kind:
        case RefType(entity):
            if value in ("", NULL):
                return NULL
            if entity.stored and find(entity, value) is None:
                raise HANDLE_INVALID(entity.wire_name, value)
            return value
        case SetType(of=RefType() as one):
            return tuple(checked(find, one, item) for item in value)
        case MapType(value=RefType() as one):
            return {key: checked(find, one, item) for key, item in value.items()}
        case _:
            return value


def _void(method: Method, form: Form) -> Sequence[bytes]:
    return (form.value(method.result, None),)
