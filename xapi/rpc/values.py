"""Values of the contract to and from the wire, by declared type. Nothing here reads or writes a socket.

A parsed wire value is a `str`, `int`, `float`, `bool`, `None`, `WireDate`, `list` or `dict`, whichever codec read it.
`decode` turns it into the value that the declared type promises; `xml_value` and `json_value` go the other way.
The forms are those that existing clients know: over XML integers are text without a type, over JSON they are numbers.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta, timezone
from functools import cache
from typing import Any, Final, TypeAlias

import orjson

from xapi.datamodel.errors import FIELD_TYPE_ERROR
from xapi.datamodel.model import Entity, Field
from xapi.datamodel.types import (
    Basic,
    EnumType,
    MapType,
    OptionType,
    RecordType,
    RefType,
    SetType,
    Type,
    WireEnum,
)

Row: TypeAlias = tuple[Any, ...]
Decoder: TypeAlias = Callable[[object, str], Any]
Renderer: TypeAlias = Callable[[Any], str]

LEAST: Final = -(1 << 63)
MOST: Final = (1 << 63) - 1
EXACT_ENUMS: Final = frozenset({"bond_mode", "event_operation"})

XML_STRUCT_START: Final = b"<value><struct>"
XML_STRUCT_END: Final = b"</struct></value>"
XML_ARRAY_START: Final = b"<value><array><data>"
XML_ARRAY_END: Final = b"</data></array></value>"

_JSON_OPTIONS: Final = orjson.OPT_NON_STR_KEYS | orjson.OPT_PASSTHROUGH_DATETIME

# What XML 1.0 cannot carry as it stands: markup, the carriage return that a parser would turn into a line feed, and
# the characters that it cannot carry at all.
_UNFIT_FOR_XML: Final = re.compile("[&<>\r\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")
_XML_ESCAPES: Final = {"&": "&amp;", "<": "&lt;", ">": "&gt;", "\r": "&#13;"}
_SURROGATES: Final = re.compile("[\ud800-\udfff]")
_INTEGER: Final = re.compile(
    r"(?P<sign>[+-]?)(?:0[xX](?P<hex>[0-9a-fA-F][0-9a-fA-F_]*)|0[oO](?P<oct>[0-7][0-7_]*)"
    r"|0[bB](?P<bin>[01][01_]*)|0[uU](?P<unsigned>[0-9][0-9_]*)|(?P<dec>[0-9][0-9_]*))"
)
_MOST_DIGITS: Final = 128  # more than any integer needs, few enough to read quickly
_BASES: Final = {"hex": 16, "oct": 8, "bin": 2, "unsigned": 10}
_FLOAT: Final = re.compile(
    r"[+-]?(?:[0-9]+\.?[0-9]*(?:[eE][+-]?[0-9]+)?|\.[0-9]+(?:[eE][+-]?[0-9]+)?|nan|inf(?:inity)?)"
)
_DATE: Final = re.compile(
    r"([0-9]{4})-?([0-9]{2})-?([0-9]{2})T([0-9]{2}):?([0-9]{2}):?([0-9]{2})(?:\.[0-9]+)?"
    r"(?:Z|([+-])([0-9]{2}):?([0-9]{2}))?"
)


class MalformedCall(ValueError):
    """A document that is no call of the protocol; the text says why, briefly."""


class WireDate(str):
    """The text of a date that the document marked as one."""

    __slots__ = ()


def read_int(text: str) -> int:
    """Read a 64-bit integer: decimal, or 0x, 0o, 0b and 0u; blanks are refused, `ValueError` when it is none.

    Like the original's reader it takes single underscores between digits, and lets a number with a prefix fill all 64
    bits: 0xffffffffffffffff is -1.
    """
    found = _INTEGER.fullmatch(text) if len(text) <= _MOST_DIGITS else None
    if found is None:
        raise ValueError("not an integer")
    which = found.lastgroup or "dec"
    number = int(found[which].replace("_", ""), _BASES.get(which, 10))
    negative = found["sign"] == "-"
    if which != "dec":
        if number > 2 * MOST + 1:
            raise ValueError("more than 64 bits")
        number = -number if negative else number
        return (number - LEAST) % (1 << 64) + LEAST
    number = -number if negative else number
    if not LEAST <= number <= MOST:
        raise ValueError("more than 64 bits")
    return number


def read_float(text: str) -> float:
    """Read a number written in decimal, or nan and inf; `ValueError` when it is none."""
    if not _FLOAT.fullmatch(text):
        raise ValueError("not a number")
    return float(text)


def read_date(text: str) -> datetime:
    """Read `YYYYMMDDThh:mm:ssZ`, with or without hyphens, fraction and zone; `ValueError` when it is none.

    Without a zone it is UTC. A fraction of a second is dropped: the contract knows whole seconds.
    """
    found = _DATE.fullmatch(text)
    if found is None:
        raise ValueError("not a date")
    sign, hours, minutes = found.group(7, 8, 9)
    zone = UTC
    if sign:
        offset = timedelta(hours=int(hours), minutes=int(minutes))
        zone = timezone(offset if sign == "+" else -offset)
    moment = datetime(*(int(part) for part in found.group(1, 2, 3, 4, 5, 6)), tzinfo=zone)  # type: ignore[misc, arg-type]
    try:
        return moment.astimezone(UTC)
    except OverflowError:
        raise ValueError("not a date") from None


def date_text(moment: datetime) -> str:
    """The text of a date on the wire: `YYYYMMDDThh:mm:ssZ`, fractions of a second dropped."""
    text = (moment if moment.tzinfo is UTC else moment.astimezone(UTC)).isoformat()
    return f"{text[:4]}{text[5:7]}{text[8:19]}Z"


def decode(kind: Type, wire: object, name: str) -> Any:
    """The value of the declared type that a parsed wire value stands for; else FIELD_TYPE_ERROR [name].

    Sets become tuples, maps dicts, dates aware UTC datetimes. A record becomes a dict of those members that a client
    may give (all visible ones where the class has no constructor): unknown members are ignored, missing ones left out,
    and an unfit one is named in the error by its field.
    """
    return _decoder(kind)(wire, name)


def _decode_string(wire: object, name: str) -> str:
    if type(wire) is str:
        return wire
    raise FIELD_TYPE_ERROR(name)


def _decode_int(wire: object, name: str) -> int:
    if type(wire) is int and LEAST <= wire <= MOST:
        return wire
    if type(wire) is str:
        try:
            return read_int(wire)
        except ValueError:
            pass
    raise FIELD_TYPE_ERROR(name)


def _decode_float(wire: object, name: str) -> float:
    if type(wire) is float:
        return wire
    if type(wire) is int and LEAST <= wire <= MOST:
        return float(wire)
    if type(wire) is str:
        try:
            return read_float(wire)
        except ValueError:
            pass
    raise FIELD_TYPE_ERROR(name)


def _decode_bool(wire: object, name: str) -> bool:
    if isinstance(wire, bool):
        return wire
    raise FIELD_TYPE_ERROR(name)


def _decode_date(wire: object, name: str) -> datetime:
    if isinstance(wire, str):
        try:
            return read_date(wire)
        except ValueError:
            pass
    raise FIELD_TYPE_ERROR(name)


def _decode_void(wire: object, name: str) -> None:
    if wire is not None and wire != "":
        raise FIELD_TYPE_ERROR(name)


_BASIC_DECODERS: Final[Mapping[Basic, Decoder]] = {
    Basic.STRING: _decode_string,
    Basic.INT: _decode_int,
    Basic.FLOAT: _decode_float,
    Basic.BOOL: _decode_bool,
    Basic.DATETIME: _decode_date,
    Basic.VOID: _decode_void,
}


@cache
def _decoder(kind: Type) -> Decoder:
    match kind:
        case Basic():
            return _BASIC_DECODERS[kind]
        case RefType():
            return _decode_string
        case EnumType(enum):
            return _enum_decoder(enum)
        case SetType(of):
            return _set_decoder(_decoder(of))
        case MapType(key, value):
            return _map_decoder(_decoder(key), _decoder(value))
        case RecordType(entity):
            return _record_decoder(entity)
        case OptionType(of):
            return _option_decoder(_decoder(of))


def _enum_decoder(enum: type[WireEnum]) -> Decoder:
    exact = enum.wire_name() in EXACT_ENUMS
    members = {str(member) if exact else member.lower(): member for member in enum}

    def decode_enum(wire: object, name: str) -> WireEnum:
        if type(wire) is str:
            member = members.get(wire if exact else wire.lower())
            if member is not None:
                return member
        raise FIELD_TYPE_ERROR(name)

    return decode_enum


def _set_decoder(item: Decoder) -> Decoder:
    def decode_set(wire: object, name: str) -> tuple[Any, ...]:
        if isinstance(wire, list):
            return tuple([item(part, name) for part in wire])
        raise FIELD_TYPE_ERROR(name)

    return decode_set


def _map_decoder(key: Decoder, value: Decoder) -> Decoder:
    def decode_map(wire: object, name: str) -> dict[Any, Any]:
        if isinstance(wire, dict):
            return {key(word, name): value(part, name) for word, part in wire.items()}
        raise FIELD_TYPE_ERROR(name)

    return decode_map


def _record_decoder(entity: type[Entity]) -> Decoder:
    members = {
        field.name: _decoder(field.type)
        for field in entity.fields
        if (field.constructor if entity.constructor else not field.internal)
    }

    def decode_record(wire: object, name: str) -> dict[str, Any]:
        if isinstance(wire, dict):
            return {word: members[word](part, word) for word, part in wire.items() if word in members}
        raise FIELD_TYPE_ERROR(name)

    return decode_record


def _option_decoder(inner: Decoder) -> Decoder:
    def decode_option(wire: object, name: str) -> Any:
        return None if wire is None else inner(wire, name)

    return decode_option


def xml_text(text: str) -> str:
    """The text as XML carries it; a character that XML 1.0 cannot carry becomes U+FFFD.

    Such characters come from JSON clients and from files. The answer then stays readable for the others, at the price
    of that character: refusing would hide the whole object.
    """
    return _UNFIT_FOR_XML.sub(_escape, text) if _UNFIT_FOR_XML.search(text) else text


def _escape(found: re.Match[str]) -> str:
    return _XML_ESCAPES.get(found[0], "\ufffd")


def xml_value(kind: Type, value: Any) -> bytes:
    """The `<value>…</value>` of a value of the declared type, in UTF-8."""
    return _xml_renderer(kind)(value).encode()


def xml_member(name: str, value: bytes) -> bytes:
    """One `<member>` of a struct, from a value that is rendered already."""
    return b"<member><name>%b</name>%b</member>" % (xml_text(name).encode(), value)


def xml_i4(number: int) -> bytes:
    """An integer with its type named, as only the counts that `event.from` answers have it."""
    return b"<value><i4>%d</i4></value>" % number


def xml_record(entity: type[Entity]) -> Callable[[Row], bytes]:
    """The renderer of the rows of a class: all fields that clients may see, in the order of declaration."""
    render = _xml_renderer(RecordType(entity))
    return lambda row: render(row).encode()


def _xml_string(value: str) -> str:
    return f"<value>{xml_text(value) if _UNFIT_FOR_XML.search(value) else value}</value>"


def _xml_float(value: float) -> str:
    return f"<value><double>{value:.16g}</double></value>"


def _xml_bool(value: bool) -> str:
    return "<value><boolean>1</boolean></value>" if value else "<value><boolean>0</boolean></value>"


def _xml_date(value: datetime) -> str:
    return f"<value><dateTime.iso8601>{date_text(value)}</dateTime.iso8601></value>"


_BASIC_XML: Final[Mapping[Basic, Renderer]] = {
    Basic.STRING: _xml_string,
    Basic.INT: lambda value: f"<value>{int(value)}</value>",
    Basic.FLOAT: _xml_float,
    Basic.BOOL: _xml_bool,
    Basic.DATETIME: _xml_date,
    Basic.VOID: lambda _: "<value></value>",
}


@cache
def _xml_renderer(kind: Type) -> Renderer:
    match kind:
        case Basic():
            return _BASIC_XML[kind]
        case RefType():
            return _xml_string
        case EnumType(enum):
            rendered: Mapping[str, str] = {str(member): _xml_string(member) for member in enum}
            return lambda value: rendered.get(value) or _xml_string(value)
        case SetType(of):
            return _xml_set(_xml_renderer(of))
        case MapType(value=of):
            return _xml_map(_xml_renderer(of))
        case RecordType(entity):
            return _xml_record(entity)
        case OptionType(of):
            inner = _xml_renderer(of)
            return lambda value: "<value><nil/></value>" if value is None else inner(value)


def _xml_set(item: Renderer) -> Renderer:
    def render_set(values: tuple[Any, ...]) -> str:
        if not values:
            return "<value><array><data></data></array></value>"
        return f"<value><array><data>{''.join(map(item, values))}</data></array></value>"

    return render_set


def _xml_map(item: Renderer) -> Renderer:
    def render_map(values: Mapping[Any, Any]) -> str:
        if not values:
            return "<value><struct></struct></value>"
        members = [f"<member><name>{xml_text(str(key))}</name>{item(value)}</member>" for key, value in values.items()]
        return f"<value><struct>{''.join(members)}</struct></value>"

    return render_map


def _xml_record(entity: type[Entity]) -> Renderer:
    shown = _shown(entity)
    heads = [(f"<member><name>{field.name}</name>", field.index, _xml_renderer(field.type)) for field in shown]
    options = frozenset(field.index for field in shown if isinstance(field.type, OptionType))
    names = [field.name for field in shown]

    def render_record(record: Row | Mapping[str, Any]) -> str:
        if isinstance(record, Mapping):
            given = [(place, record[name]) for place, name in zip(heads, names, strict=True) if name in record]
        elif options:
            given = [(place, record[place[1]]) for place in heads]
        else:
            members = [f"{head}{render(record[index])}</member>" for head, index, render in heads]
            return f"<value><struct>{''.join(members)}</struct></value>"
        members = [
            f"{head}{render(value)}</member>"
            for (head, index, render), value in given
            if not (value is None and index in options)
        ]
        return f"<value><struct>{''.join(members)}</struct></value>"

    return render_record


@cache
def _shown(entity: type[Entity]) -> tuple[Field[Any], ...]:
    """The fields of a class that records show."""
    return tuple(field for field in entity.fields if not field.internal)


def json_value(kind: Type, value: Any) -> bytes:
    """The JSON of a value of the declared type, in UTF-8; a float that is no number becomes null."""
    if kind is Basic.VOID:
        return b'""'
    if isinstance(kind, RecordType):
        return json_record(kind.entity)(value)
    return _json(_json_plain(kind)(value))


def json_member(name: str, value: bytes) -> bytes:
    """One member of an object, from a value that is rendered already; the caller puts the commas."""
    return b"%b:%b" % (_json(name), value)


def json_record(entity: type[Entity]) -> Callable[[Row], bytes]:
    """The renderer of the rows of a class: all fields that clients may see, in the order of declaration."""
    plain = _json_plain(RecordType(entity))
    return lambda row: _json(plain(row))


def _json(value: Any) -> bytes:
    try:
        return orjson.dumps(value, default=_json_other, option=_JSON_OPTIONS)
    except orjson.JSONEncodeError:
        # The one thing that a value of the contract may hold and JSON may not: half a character, from a file's name.
        return orjson.dumps(_without_surrogates(value), default=_json_other, option=_JSON_OPTIONS)


def _json_other(value: Any) -> Any:
    """What orjson asks for when it meets a value that is not plain."""
    if isinstance(value, datetime):
        return date_text(value)
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(f"{type(value).__name__} is no value of the contract")


def _without_surrogates(value: Any) -> Any:
    if isinstance(value, str):
        return _SURROGATES.sub("\ufffd", value)
    if isinstance(value, Mapping):
        return {_without_surrogates(key): _without_surrogates(item) for key, item in value.items()}
    if isinstance(value, tuple | list):
        return [_without_surrogates(item) for item in value]
    return value


def _same(value: Any) -> Any:
    return value


@cache
def _json_plain(kind: Type) -> Callable[[Any], Any]:
    """The function that makes a value one that orjson knows; records are all that needs work."""
    match kind:
        case RecordType(entity):
            return _plain_record(entity)
        case SetType(of) if (item := _json_plain(of)) is not _same:
            return lambda values: [item(value) for value in values]
        case MapType(value=of) if (item := _json_plain(of)) is not _same:
            return lambda values: {key: item(value) for key, value in values.items()}
        case OptionType(of) if (item := _json_plain(of)) is not _same:
            return lambda value: None if value is None else item(value)
        case _:
            return _same


def _plain_record(entity: type[Entity]) -> Callable[[Any], Any]:
    places = [(field.name, field.index) for field in _shown(entity)]
    changed = [(field.name, plain) for field in _shown(entity) if (plain := _json_plain(field.type)) is not _same]
    options = [field.name for field in _shown(entity) if isinstance(field.type, OptionType)]

    def plain_record(record: Row | Mapping[str, Any]) -> dict[str, Any]:
        if isinstance(record, Mapping):
            members = {name: record[name] for name, _ in places if name in record}
        else:
            members = {name: record[index] for name, index in places}
        for name in options:
            if members.get(name, "") is None:
                del members[name]
        for name, plain in changed:
            if name in members:
                members[name] = plain(members[name])
        return members

    return plain_record
