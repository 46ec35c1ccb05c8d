"""The description in an XVA, `ova.xml`: an XML-RPC value with a map of versions and the records of the objects.

Objects are named `Ref:0`, `Ref:1` …; records refer to one another by these names. Values are as the wire has them:
texts, booleans, dates, lists and dicts, with integers as texts.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from xapi.http_handlers.xva.errors import BadArchive
from xapi.rpc import xmlrpc
from xapi.rpc.values import xml_member, xml_text

NAME: Final = "ova.xml"
LONGEST: Final = xmlrpc.MAX_BYTES - 1024
MOST_OBJECTS: Final = 100_000
MAJOR: Final = 1
MINOR: Final = 9
"""The release that exports name as theirs: the oldest whose hosts read all that is in them, so that all take them."""
NEWEST_MAJOR: Final = 26
"""Releases were 1.9 for years, then 1.10 to 1.249, and have the year as their major number from 22 on. Those of later
years may mean something else by what they write; within a year nothing but fields is added."""
EXPORT_VERSION: Final = 2
"""The version of the format itself: 2 has a checksum behind each block and no table of them at the end."""
_DECLARATION = re.compile(rb"\s*<\?xml[^>]*\?>")


@dataclass(frozen=True, slots=True)
class ExportedObject:
    """One object of an export: its class, its name in the archive, and its record."""

    class_name: str
    id: str
    snapshot: Mapping[str, object]


@dataclass(frozen=True, slots=True)
class Description:
    """All that an archive says before its disks; a `legacy` one is of the first release."""

    version: Mapping[str, object]
    objects: tuple[ExportedObject, ...]
    legacy: bool = False

    def of_class(self, class_name: str) -> tuple[ExportedObject, ...]:
        """The objects of a class, in their order."""
        return tuple(one for one in self.objects if one.class_name == class_name)

    def number(self, name: str, default: int = 0) -> int:
        """A number of the version map; the default for one that is missing or none."""
        try:
            return int(str(self.version.get(name, default)))
        except ValueError:
            return default

    @property
    def newer(self) -> bool:
        """Whether the archive comes from a release, or has a form, that this one cannot know."""
        return self.number("xapi_major") > NEWEST_MAJOR or self.number("export_vsn") > EXPORT_VERSION


def parse(data: bytes) -> Description:
    """Read a description; BadArchive says why it is none."""
    declared = _DECLARATION.match(data)
    value = data[declared.end() :] if declared else data
    document = b"<methodResponse><params><param>%b</param></params></methodResponse>" % value
    try:
        root = xmlrpc.parse_response(document)
    except xmlrpc.MalformedAnswer as problem:
        raise BadArchive(f"{NAME} cannot be read: {problem}") from None
    if not isinstance(root, dict):
        raise BadArchive(f"{NAME} is no map")
    version, objects = root.get("version"), root.get("objects")
    if not isinstance(version, dict) or not isinstance(objects, list):
        raise BadArchive(f"{NAME} lacks the version or the objects")
    if len(objects) > MOST_OBJECTS:
        raise BadArchive(f"{NAME} has {len(objects)} objects")
    found = tuple(_object(one) for one in objects)
    if len({one.id for one in found}) < len(found):
        raise BadArchive(f"{NAME} has two objects of one name")
    return Description(version, found)


def _object(value: object) -> ExportedObject:
    if isinstance(value, dict):
        class_name, identity, snapshot = value.get("class"), value.get("id"), value.get("snapshot")
        if isinstance(class_name, str) and isinstance(identity, str) and isinstance(snapshot, dict):
            if not identity or "/" in identity or "\0" in identity or identity in (".", ".."):
                raise BadArchive(f"{NAME} has an object with the name {identity!r}")
            return ExportedObject(class_name, identity, snapshot)
    raise BadArchive(f"{NAME} has an object without class, id or snapshot")


def render(version: Mapping[str, object], objects: Iterable[tuple[str, str, bytes]]) -> bytes:
    """Write a description, from the class, the name and the rendered record of each object."""
    members = b"".join(xml_member(name, _text(value)) for name, value in version.items())
    items = b"".join(
        b"<value><struct>%b%b%b</struct></value>"
        % (xml_member("class", _text(class_name)), xml_member("id", _text(identity)), xml_member("snapshot", record))
        for class_name, identity, record in objects
    )
    return b"<value><struct>%b%b</struct></value>" % (
        xml_member("version", b"<value><struct>%b</struct></value>" % members),
        xml_member("objects", b"<value><array><data>%b</data></array></value>" % items),
    )


def _text(value: object) -> bytes:
    return f"<value>{xml_text(str(value))}</value>".encode()
