"""The database as one XML document: what GET /pool/xmldbdump sends, what backups hold, and what a restore reads.

    <database><manifest><pair key= value=/></manifest><table name="VM"><row ref= name__label= …/></table></database>

Fields have the names that queries know. Sets and maps are JSON, dates ISO 8601; `%` announces what XML attributes
cannot hold as it is (`%%`, `%n`, `%r`, `%t`, and `%uXXXX`).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from lxml import etree

from xapi import __version__
from xapi.datamodel.classes import Secret, Session, Task
from xapi.datamodel.errors import INVALID_VALUE, RESTORE_INCOMPATIBLE_VERSION
from xapi.datamodel.model import Entity
from xapi.datamodel.types import Basic, MapType
from xapi.db.database import Database
from xapi.db.schema import STORED, StoredClass, StoredField
from xapi.dispatch.context import Context
from xapi.http_handlers.admission import Ending, headers_for
from xapi.rpc.http import Exchange

FORMAT: Final = 1
LARGEST: Final = 512 * 1024 * 1024
HIDDEN: Final = "(secret)"
XML: Final = ("Content-Type", "text/xml")
_SPECIAL = re.compile("[%\x00-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]")
_ESCAPE = re.compile(r"%(?:%|n|r|t|u([0-9a-f]{4}))")
_SHORT = {"%": "%%", "\n": "%n", "\r": "%r", "\t": "%t"}
_LONG = {text: plain for plain, text in _SHORT.items()}
_SECRET_KEY = re.compile("pass(word|wd)?$|password|secret|token|private|credential|chap|licen[cs]e_?key", re.IGNORECASE)
_SECRET_TEXT = re.compile("password|secret|token", re.IGNORECASE)
_LEFT_OUT = frozenset({Session, Task})


def _protect(text: str) -> str:
    return _SPECIAL.sub(lambda found: _SHORT.get(found[0]) or f"%u{ord(found[0]):04x}", text)


def _restore(text: str) -> str:
    return _ESCAPE.sub(lambda found: chr(int(found[1], 16)) if found[1] else _LONG[found[0]], text)


# Out


def dump(database: Database, *, hide_secrets: bool = False) -> Iterator[bytes]:
    """The document in pieces. With `hide_secrets` passwords and the like are left out; that is no backup any more."""
    pool_facts = {"format": str(FORMAT), "version": __version__, "generation_count": str(database.generation)}
    pairs = "".join(f'<pair key="{key}" value="{_quoted(value)}"/>' for key, value in pool_facts.items())
    yield f"<?xml version='1.0' encoding='UTF-8'?>\n<database><manifest>{pairs}</manifest>\n".encode()
    for stored in STORED.values():
        if stored.entity in _LEFT_OUT:
            continue
        yield f'<table name="{stored.entity.wire_name}">\n'.encode()
        for row in database.all(stored.entity):
            if row[0] not in database.fleeting:
                yield _row_text(stored, row, hide_secrets).encode()
        yield b"</table>\n"
    yield b"</database>\n"


def _row_text(stored: StoredClass, row: Entity, hide_secrets: bool) -> str:
    parts = [f'<row ref="{_quoted(row[0])}"']
    for column in stored.columns:
        value = row[column.field.index]
        if hide_secrets:
            value = _without_secrets(stored.entity, column, value)
        text = column.store(value)
        if not isinstance(text, str):
            text = str(text).lower() if isinstance(text, bool) else repr(text)
        parts.append(f'{column.column}="{_quoted(text)}"')
    return " ".join(parts) + "/>\n"


def _quoted(text: str) -> str:
    protected = _protect(text).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return protected.replace('"', "&quot;")


def _without_secrets(entity: type[Entity], column: StoredField, value: Any) -> Any:
    kind = column.field.type
    if isinstance(kind, MapType) and kind.value is Basic.STRING:
        return {key: HIDDEN if _SECRET_KEY.search(str(key)) else item for key, item in value.items()}
    if kind is Basic.STRING and value and (entity is Secret or _SECRET_TEXT.search(column.column)):
        return value if column.field.name == "uuid" else HIDDEN
    return value


# In


@dataclass(frozen=True, slots=True)
class Dump:
    """A document that was read: its manifest, and the rows by class; what this version does not know is left out."""

    manifest: Mapping[str, str]
    rows: Mapping[type[Entity], tuple[Entity, ...]]


def read_dump(document: bytes) -> Dump:
    """Read a document; INVALID_VALUE for one that is none, RESTORE_INCOMPATIBLE_VERSION for a newer format."""
    if b"<!DOCTYPE" in document:
        raise INVALID_VALUE("database", "a document type is not taken")
    parser = etree.XMLParser(
        resolve_entities=False,
        no_network=True,
        huge_tree=len(document) <= LARGEST,
        load_dtd=False,
        remove_comments=True,
    )
    try:
        root = etree.fromstring(document, parser)
    except etree.XMLSyntaxError as problem:
        raise INVALID_VALUE("database", f"this is no dump of a database: {problem}") from problem
    if root.tag != "database":
        raise INVALID_VALUE("database", "this is no dump of a database")
    manifest = {pair.get("key", ""): pair.get("value", "") for pair in root.iterfind("manifest/pair")}
    if not manifest.get("format", "").isdigit() or int(manifest["format"]) > FORMAT:
        raise RESTORE_INCOMPATIBLE_VERSION()
    tables = {stored.entity.wire_name: stored for stored in STORED.values()}
    rows: dict[type[Entity], tuple[Entity, ...]] = {}
    for table in root.iterfind("table"):
        stored = tables.get(table.get("name", ""))
        if stored is not None:
            rows[stored.entity] = tuple(_rows(stored, table))
    return Dump(manifest, rows)


def _rows(stored: StoredClass, table: Iterable[etree._Element]) -> Iterator[Entity]:
    for element in table:
        reference = _restore(element.get("ref", ""))
        if element.tag != "row" or not reference:
            raise INVALID_VALUE("database", f"a row of {stored.entity.wire_name} has no reference")
        row: list[Any] = [reference, *(field.default for field in stored.entity.fields)]
        for column in stored.columns:
            text = element.get(column.column)
            if text is not None:
                row[column.field.index] = _value(stored, column, _restore(text))
        yield stored.entity(row)


def _value(stored: StoredClass, column: StoredField, text: str) -> Any:
    kind = column.field.type
    try:
        if kind is Basic.INT:
            return int(text)
        if kind is Basic.FLOAT:
            return float(text)
        if kind is Basic.BOOL:
            return {"true": True, "false": False}[text]
        return column.load(text)
    except (ValueError, KeyError, TypeError, AttributeError) as problem:
        name = f"{stored.entity.wire_name}.{column.column}"
        raise INVALID_VALUE("database", f"{name} cannot be {text[:100]!r}") from problem


# The door


def send(ctx: Context, exchange: Exchange) -> Ending:
    """GET /pool/xmldbdump: the whole database, with its secrets, as a backup needs them."""
    exchange.start(200, headers_for(ctx, XML, ("Content-Disposition", 'attachment; filename="pool-database.xml"')))
    tail = b""
    waiting: list[bytes] = []
    size = 0
    for piece in dump(ctx.db):
        if tail:
            waiting.append(tail)
            size += len(tail)
        tail = piece
        if size > 1 << 18:
            exchange.write(b"".join(waiting))
            waiting.clear()
            size = 0
            ctx.task.check()
    exchange.write(b"".join(waiting))
    return Ending(tail=tail)
