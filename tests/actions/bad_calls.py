"""Calls that nobody should make, derived from the catalogue: parameters that are right but for one."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from xapi.datamodel.catalog import Method
from xapi.datamodel.model import Entity
from xapi.datamodel.types import Basic, EnumType, MapType, RecordType, RefType, SetType, Type

DEAD = "OpaqueRef:de5a7dc0-a31c-02d7-44df-2bc801d82de4"
NULL = "OpaqueRef:NULL"
MOMENT = "20240101T00:00:00Z"
Known = Callable[[type[Entity]], str]
Place = tuple[int, str]
"""The number of a parameter, and where in it something is: a field of a record, or "" for the parameter itself."""


def plausible(kind: Type, known: Known, *, field: bool = False) -> Any:
    """A value of a type that nothing is wrong with, as far as its type tells."""
    match kind:
        case RefType(entity):
            found = known(entity)
            return NULL if field and found == DEAD else found
        case SetType():
            return []
        case MapType():
            return {}
        case EnumType(enum):
            return str(next(iter(enum)))
        case RecordType(entity):
            fields = [one for one in entity.fields if one.constructor]
            return {one.name: plausible(one.type, known, field=True) for one in fields}
        case Basic.STRING:
            return "x"
        case Basic.INT:
            return "1"
        case Basic.FLOAT:
            return 1.0
        case Basic.BOOL:
            return True
        case Basic.DATETIME:
            return MOMENT
        case _:
            raise TypeError(f"nothing is known of {kind}")


def places(method: Method, wanted: Callable[[Type], bool]) -> Iterator[Place]:
    """Where the parameters of a message have something of a wanted type."""
    for number, param in enumerate(method.params):
        if wanted(param.type):
            yield number, ""
        if isinstance(param.type, RecordType):
            fields = [one for one in param.type.entity.fields if one.constructor]
            yield from ((number, one.name) for one in fields if wanted(one.type))


def is_reference(kind: Type) -> bool:
    """Whether references are in it: one, a set, or a map of them."""
    match kind:
        case RefType() | SetType(of=RefType()):
            return True
        case MapType(key=key, value=value):
            return isinstance(key, RefType) or isinstance(value, RefType)
        case _:
            return False


def is_number(kind: Type) -> bool:
    """Whether it is an integer."""
    return kind is Basic.INT


def is_enumeration(kind: Type) -> bool:
    """Whether it is one of some words."""
    return isinstance(kind, EnumType)


def wrapped(kind: Type, bad: str, known: Known) -> Any:
    """A bad value in the form of a type."""
    match kind:
        case SetType():
            return [bad]
        case MapType(key=RefType(), value=value):
            return {bad: plausible(value, known)}
        case MapType(key=key):
            return {plausible(key, known): bad}
        case _:
            return bad


def call_with(method: Method, place: Place, bad: str, known: Known) -> list[Any]:
    """The parameters of a call in which a bad value is at one place."""
    params = [plausible(param.type, known) for param in method.params]
    number, name = place
    kind = method.params[number].type
    if name and isinstance(kind, RecordType):
        params[number][name] = wrapped(kind.entity.field_named[name].type, bad, known)
    else:
        params[number] = wrapped(kind, bad, known)
    return params
