"""The door to the data of blobs: /blob. Whoever asks may read those that are public."""

from __future__ import annotations

import os
import re
from typing import Final

from xapi.actions.blob import DEFAULT_MIME_TYPE, content_path, open_for_read
from xapi.datamodel.classes import Blob
from xapi.datamodel.errors import HANDLE_INVALID, INVALID_VALUE, UUID_INVALID
from xapi.datamodel.failure import Failure
from xapi.db.database import Database
from xapi.dispatch.context import Context
from xapi.dispatch.toolstack import Toolstack
from xapi.http_handlers.admission import Ending, failure_page, given, headers_for
from xapi.http_handlers.file_answer import answer_with
from xapi.http_handlers.http_actions import NAMED
from xapi.http_handlers.places import public_places_of
from xapi.http_handlers.transfer import BLOCK, Upload
from xapi.rpc.http import Exchange, Streaming
from xapi.rpc.http_message import Request, error_page
from xapi.system.atomic_file import file_beside, make_durable, sync_directory

LARGEST: Final = 4 << 30
_MIME_TYPE = re.compile(r"[\w.+-]+/[\w.+-]+(?:; ?charset=[\w-]+)?")
UNTRUSTED: Final = (("X-Content-Type-Options", "nosniff"), ("Content-Security-Policy", "sandbox; default-src 'none'"))
"""What keeps a browser from taking somebody's blob for a page of ours."""


def find_blob(database: Database, request: Request) -> Blob:
    """The blob that `ref` or `uuid` names; INVALID_VALUE without a name, HANDLE_INVALID, UUID_INVALID."""
    names = given(request)
    if "ref" in names:
        found = database.find(Blob, names["ref"])
        if found is None:
            raise HANDLE_INVALID(Blob.wire_name, names["ref"])
        return found
    if "uuid" not in names:
        raise INVALID_VALUE("ref", "")
    found = database.by_uuid(Blob, names["uuid"])
    if found is None:
        raise UUID_INVALID(Blob.wire_name, names["uuid"])
    return found


def public_door(toolstack: Toolstack, guarded: Streaming) -> Streaming:
    """The door for GET /blob: public blobs go out to everybody, all else goes through the guarded door."""

    def serve(exchange: Exchange) -> None:
        try:
            public = find_blob(toolstack.db, exchange.request).public
        except Failure:
            public = False
        if not public:
            guarded.handler(exchange)
            return
        try:
            with public_places_of(toolstack):
                _send_to_anybody(toolstack, exchange)
        except Failure as crowded:
            exchange.respond(failure_page(NAMED["get_blob"], crowded))

    return Streaming(serve)


def _send_to_anybody(toolstack: Toolstack, exchange: Exchange) -> None:
    if ending := _send(toolstack, find_blob(toolstack.db, exchange.request), exchange, ()):
        exchange.write(ending.tail)
    else:
        exchange.respond(error_page(404, "Nothing was uploaded to the blob."))


def send(ctx: Context, exchange: Exchange) -> Ending:
    """GET /blob: the data of a blob, with its MIME type; 404 while there are none."""
    sent = _send(ctx.toolstack, find_blob(ctx.db, exchange.request), exchange, headers_for(ctx))
    return sent or Ending(response=error_page(404, "Nothing was uploaded to the blob."))


def _send(toolstack: Toolstack, blob: Blob, exchange: Exchange, headers: tuple[tuple[str, str], ...]) -> Ending | None:
    """Send the data but for the last bytes; None when there are none."""
    file = open_for_read(toolstack, blob.ref)
    if file is None:
        return None
    with file:
        kind = blob.mime_type if _MIME_TYPE.fullmatch(blob.mime_type) else DEFAULT_MIME_TYPE
        return answer_with(exchange, file, (("Content-Type", kind), *UNTRUSTED, *headers))


def receive(ctx: Context, exchange: Exchange) -> Ending:
    """PUT /blob: replace the data of a blob; readers have the old data until the new are whole."""
    blob = find_blob(ctx.db, exchange.request)
    upload = Upload(exchange)
    if upload.length is not None and upload.length > LARGEST:
        raise INVALID_VALUE("Content-Length", str(upload.length))
    if not upload.answer_early(headers_for(ctx)):
        return Ending()
    path = content_path(ctx.toolstack, blob)
    path.parent.mkdir(mode=0o700, exist_ok=True)
    with file_beside(path) as (file, temporary):
        size = 0
        block = memoryview(bytearray(BLOCK))
        while count := upload.readinto(block):
            ctx.task.check()
            size += count
            if size > LARGEST:
                raise INVALID_VALUE("Content-Length", f"more than {LARGEST}")
            file.write(block[:count])
        make_durable(file)
        with ctx.transaction() as transaction:
            # In the transaction, so that a blob that is destroyed meanwhile leaves no file behind.
            transaction.update(Blob, blob.ref, size=size, last_updated=ctx.now())
            os.replace(temporary, path)
    sync_directory(path.parent)
    return Ending()
