"""The door through which another pool hands over the messages about an object: PUT /messages."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import datetime
from typing import Final, NamedTuple

from lxml import etree

from xapi.actions.message import CLASSES, MOST_KEPT
from xapi.datamodel.classes.message import AlertMessage, Cls
from xapi.datamodel.errors import INVALID_VALUE, UUID_INVALID
from xapi.dispatch.context import Context
from xapi.http_handlers.admission import Ending, given
from xapi.http_handlers.database_restore import read_upload
from xapi.rpc.http import Exchange
from xapi.rpc.values import read_date

LARGEST: Final = 64 << 20
_DECLARATION = re.compile(rb"<\?xml[^>]*\?>")
_REFERENCE = re.compile(r"OpaqueRef:[0-9A-Za-z-]{1,64}")


class Received(NamedTuple):
    """One message of the upload."""

    ref: str
    uuid: str
    name: str
    priority: int
    timestamp: datetime
    body: str


def receive(ctx: Context, exchange: Exchange) -> Ending:
    """Take messages about the object that `cls` and `uuid` name; those that are known already stay as they are.

    INVALID_VALUE for anything malformed or about another object, UUID_INVALID when there is no such object; then none
    is taken. The oldest messages go when there are too many.
    """
    names = given(exchange.request)
    kinds = {str(member).lower(): member for member in Cls}
    cls = kinds.get(names.get("cls", "").lower())
    if cls is None:
        raise INVALID_VALUE("cls", names.get("cls", ""))
    identity = names.get("uuid", "")
    if ctx.db.by_uuid(CLASSES[cls], identity) is None:
        raise UUID_INVALID(cls, identity)
    found = list(read_messages(read_upload(ctx, exchange, LARGEST), cls, identity))
    with ctx.transaction() as transaction:
        known = {row.ref for row in transaction.all(AlertMessage)} | {row.uuid for row in transaction.all(AlertMessage)}
        for message in found:
            if message.ref not in known and message.uuid not in known:
                known |= {message.ref, message.uuid}
                values = message._asdict()
                transaction.create(AlertMessage, values.pop("ref"), cls=cls, obj_uuid=identity, **values)
        kept = sorted(transaction.all(AlertMessage), key=lambda row: row.timestamp, reverse=True)
        for row in kept[MOST_KEPT:]:
            transaction.delete(AlertMessage, row.ref)
    return Ending()


def read_messages(document: bytes, cls: Cls, identity: str) -> Iterator[Received]:
    """Read a series of XML documents, one a message; INVALID_VALUE for what is none, or about another object."""
    parser = etree.XMLParser(resolve_entities=False, no_network=True, huge_tree=False, load_dtd=False)
    if b"<!" in document:
        raise INVALID_VALUE("messages", "a document type is not taken")
    try:
        root = etree.fromstring(b"<messages>" + _DECLARATION.sub(b"", document) + b"</messages>", parser)
    except (etree.XMLSyntaxError, ValueError) as problem:
        raise INVALID_VALUE("messages", str(problem)) from problem
    for element in root:
        values = {child.tag: child.text or "" for child in element}
        if element.tag != "message":
            raise INVALID_VALUE("messages", f"an element {element.tag}")
        if values.get("obj_uuid", identity) != identity or values.get("cls", cls).lower() != cls.lower():
            raise INVALID_VALUE("obj_uuid", values.get("obj_uuid", ""))
        try:
            message = Received(
                values["ref"],
                values["uuid"],
                values["name"],
                int(values["priority"]),
                read_date(values["timestamp"]),
                values.get("body", ""),
            )
        except (KeyError, ValueError) as problem:
            raise INVALID_VALUE("messages", f"a message with a bad member: {problem}") from problem
        if not _REFERENCE.fullmatch(message.ref) or not -(1 << 63) <= message.priority < 1 << 63 or not message.uuid:
            raise INVALID_VALUE("messages", "a message with a bad reference, UUID or priority")
        yield message
