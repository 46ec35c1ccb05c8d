"""The two forms in which results go out, XML and JSON, with the rendered records kept beside the rows.

`Form` is what the dispatcher knows of the wire: it asks for fragments and never sees a document.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from typing import Any, Protocol

from xapi.datamodel.model import Entity
from xapi.datamodel.types import Type
from xapi.rpc import values


class Versioned(Protocol):
    """One state of an object, which remembers its wire forms."""

    row: Entity
    xml: bytes | None
    json: bytes | None


class Form(Protocol):
    """How values and records are rendered as fragments of an answer."""

    name: str

    def value(self, kind: Type, value: Any) -> bytes:
        """Render a value of the declared type."""

    def record(self, version: Versioned) -> bytes:
        """Render a whole object, once for each of its versions."""

    def records(self, versions: Iterable[tuple[str, Versioned]]) -> list[bytes]:
        """Render a map of records by reference, as a list of ready pieces."""

    def struct(self, members: Iterable[tuple[str, bytes]]) -> list[bytes]:
        """Put rendered members together."""

    def array(self, items: Iterable[bytes]) -> list[bytes]:
        """Put rendered items together."""

    def count(self, number: int) -> bytes:
        """Render a number in the way of `valid_ref_counts`."""

    def __hash__(self) -> int:
        """Tell forms apart, for those who keep what they have rendered."""


_xml_renderer = cache(values.xml_record)
_json_renderer = cache(values.json_record)


MEMBER = b"<member><name>"
NAME_END = len(b"</name>")
MEMBER_END = len(b"</member>")


class XmlForm:
    """XML-RPC."""

    name = "xml"
    value = staticmethod(values.xml_value)
    count = staticmethod(values.xml_i4)

    def record(self, version: Versioned) -> bytes:
        """The `<value>` of a record."""
        rendered = version.xml or self.member(version)
        return rendered[len(MEMBER) + len(version.row[0]) + NAME_END : -MEMBER_END]

    def records(self, versions: Iterable[tuple[str, Versioned]]) -> list[bytes]:
        """The `<value>` of a struct of records."""
        return [
            b"<value><struct>",
            *[version.xml or self.member(version) for _, version in versions],
            b"</struct></value>",
        ]

    def member(self, version: Versioned) -> bytes:
        """The `<member>` of a record in a map by reference; this is the form that is kept."""
        row = version.row
        rendered = version.xml = b"%b%b</name>%b</member>" % (MEMBER, row[0].encode(), _xml_renderer(type(row))(row))
        return rendered

    def struct(self, members: Iterable[tuple[str, bytes]]) -> list[bytes]:
        """The `<value>` of a struct."""
        return [
            b"<value><struct>",
            *(values.xml_member(name, value) for name, value in members),
            b"</struct></value>",
        ]

    def array(self, items: Iterable[bytes]) -> list[bytes]:
        """The `<value>` of an array."""
        return [b"<value><array><data>", *items, b"</data></array></value>"]


class JsonForm:
    """JSON-RPC."""

    name = "json"
    value = staticmethod(values.json_value)

    def record(self, version: Versioned) -> bytes:
        """The object of a record."""
        rendered = version.json
        if rendered is None:
            rendered = version.json = _json_renderer(type(version.row))(version.row)
        return rendered

    def records(self, versions: Iterable[tuple[str, Versioned]]) -> list[bytes]:
        """An object of records."""
        return self.struct((ref, version.json or self.record(version)) for ref, version in versions)

    def struct(self, members: Iterable[tuple[str, bytes]]) -> list[bytes]:
        """An object."""
        return [b"{", b",".join(values.json_member(name, value) for name, value in members), b"}"]

    def array(self, items: Iterable[bytes]) -> list[bytes]:
        """An array."""
        return [b"[", b",".join(items), b"]"]

    def count(self, number: int) -> bytes:
        """A number."""
        return b"%d" % number


XML = XmlForm()
JSON = JsonForm()
