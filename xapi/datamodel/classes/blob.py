"""XenAPI's class blob."""

from __future__ import annotations

from datetime import datetime

from xapi.datamodel.model import RW, DynamicRO, Entity, Ref, StaticRO, field, identity, message
from xapi.datamodel.roles import POOL_OPERATOR


class Blob(Entity, name="blob", since="orlando", role=POOL_OPERATOR):
    """A named piece of binary data attached to an object, read and written over HTTP."""

    uuid: DynamicRO[str] = identity(since="rio")
    name_label: RW[str] = field("short name shown for the blob", default="", group="name", since="rio")
    name_description: RW[str] = field("free text about what the blob holds", default="", group="name", since="rio")
    size: DynamicRO[int] = field("length of the data in bytes, 0 until something has been uploaded", since="rio")
    public: RW[bool] = field("true if the data may be read over HTTP without a session", default=False, since="tampa")
    last_updated: StaticRO[datetime] = field("when data was last uploaded", since="rio")
    mime_type: StaticRO[str] = field("MIME type sent along when the data is downloaded", since="rio")


@message(Blob, asynchronous=False, param_since={"public": "tampa"})
def create(mime_type: str, public: bool = False) -> Ref[Blob]:
    """Create an empty blob that is not attached to any object yet.

    The data is uploaded afterwards over HTTP.
    """


@message(Blob, asynchronous=False)
def destroy(self: Ref[Blob]) -> None:
    """Delete a blob together with its data."""
