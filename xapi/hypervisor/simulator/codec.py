"""Frozen dataclasses as plain JSON values, and back by their declared types."""

import types
from collections.abc import Callable, Mapping
from dataclasses import fields, is_dataclass
from enum import Enum
from functools import cache
from typing import Any, Union, get_args, get_origin, get_type_hints

import orjson

Decoder = Callable[[Any], Any]
_PRIMITIVES = (str, int, float, bool)


def encode(value: object) -> bytes:
    """One value as JSON text; raises TypeError for what JSON cannot hold."""
    return orjson.dumps(value, default=_mapping)


def decode(data: bytes) -> Any:
    """The plain value of a JSON text; raises ValueError."""
    return orjson.loads(data)


def _mapping(value: object) -> dict[Any, Any]:
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(f"{type(value).__name__} has no JSON form")


@cache
def decoder(declared: Any) -> Decoder:
    """The function that makes a value of the declared type from its plain form; it raises ValueError."""
    if declared in _PRIMITIVES:
        return _primitive(declared)
    if declared is type(None):
        return _nothing
    if is_dataclass(declared) and isinstance(declared, type):
        return _record(declared)
    if isinstance(declared, type) and issubclass(declared, Enum):
        return declared
    origin = get_origin(declared)
    if origin in (types.UnionType, Union):
        return _union(get_args(declared))
    if origin is tuple:
        item = decoder(get_args(declared)[0])
        return lambda plain: tuple([item(each) for each in _expect(list, plain)])
    if origin is Mapping:
        member = decoder(get_args(declared)[1])
        return lambda plain: {key: member(each) for key, each in _expect(dict, plain).items()}
    raise TypeError(f"no decoder for {declared}")


@cache
def field_decoders(record: Any) -> Mapping[str, Decoder]:
    """The decoder of each field of a dataclass."""
    hints = get_type_hints(record)
    return {each.name: decoder(hints[each.name]) for each in fields(record)}


def _expect(kind: type, plain: Any) -> Any:
    if not isinstance(plain, kind):
        raise ValueError(f"{kind.__name__} expected, {type(plain).__name__} found")
    return plain


def _primitive(kind: type) -> Decoder:
    accepted = (int, float) if kind is float else kind

    def read(plain: Any) -> Any:
        if not isinstance(plain, accepted) or (isinstance(plain, bool) and kind is not bool):
            raise ValueError(f"{kind.__name__} expected, {type(plain).__name__} found")
        return plain

    return read


def _nothing(plain: Any) -> None:
    if plain is not None:
        raise ValueError("nothing expected")


def _record(declared: Any) -> Decoder:
    def read(plain: Any) -> Any:
        known = field_decoders(declared)
        members = _expect(dict, plain)
        unknown = members.keys() - known.keys()
        if unknown:
            raise ValueError(f"{declared.__name__} has no {sorted(unknown)}")
        try:
            return declared(**{name: known[name](value) for name, value in members.items()})
        except TypeError as error:
            raise ValueError(str(error)) from error

    return read


def _union(members: tuple[type, ...]) -> Decoder:
    """Tell records apart by their sets of fields, which no two members of a union share here."""
    records = {frozenset(each.name for each in fields(m)): decoder(m) for m in members if is_dataclass(m)}
    others = [decoder(member) for member in members if not is_dataclass(member) and member is not type(None)]

    def read(plain: Any) -> Any:
        if plain is None and type(None) in members:
            return None
        if isinstance(plain, dict) and frozenset(plain) in records:
            return records[frozenset(plain)](plain)
        for other in others:
            return other(plain)
        raise ValueError(f"no member of {members} fits")

    return read
