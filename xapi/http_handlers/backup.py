"""A host's backup, /host_backup, and its way back, /host_restore: the database and what is kept beside it.

What is backed up is what belongs to this toolstack. The operating system below it is its distribution's to back up.
"""

from __future__ import annotations

import io
import tarfile
import tempfile
from typing import Final

from xapi.actions.blob import content_path, store_atomically
from xapi.datamodel.classes import Blob
from xapi.datamodel.errors import INVALID_VALUE, RESTORE_INCOMPATIBLE_VERSION
from xapi.dispatch.context import Context
from xapi.http_handlers.admission import BINARY, Ending, flag, headers_for
from xapi.http_handlers.database_dump import LARGEST, dump, read_dump
from xapi.http_handlers.database_restore import check_and_stage
from xapi.http_handlers.file_answer import answer_with
from xapi.http_handlers.transfer import Upload
from xapi.rpc.http import Exchange

DATABASE: Final = "database.xml"
BLOBS: Final = "blobs/"
MOST_MEMBERS: Final = 100_000
LARGEST_BLOB: Final = 1 << 30
LARGEST_BACKUP: Final = 16 << 30


def send(ctx: Context, exchange: Exchange) -> Ending:
    """GET /host_backup: a tar with the database, secrets and all, and the data of blobs."""
    with tempfile.TemporaryFile() as file:
        with tarfile.open(fileobj=file, mode="w") as archive:
            document = b"".join(dump(ctx.db))
            entry = tarfile.TarInfo(DATABASE)
            entry.size, entry.mode, entry.mtime = len(document), 0o600, int(ctx.now().timestamp())
            archive.addfile(entry, io.BytesIO(document))
            for blob in ctx.db.all(Blob):
                ctx.task.check()
                path = content_path(ctx.toolstack, blob)
                if path.exists():
                    archive.add(path, f"{BLOBS}{blob.uuid}", recursive=False)
        return answer_with(exchange, file, headers_for(ctx, BINARY))


def receive(ctx: Context, exchange: Exchange) -> Ending:
    """PUT /host_restore: check a backup and keep it; the database is restored when the toolstack starts next.

    INVALID_VALUE for what is no backup, and the errors of `database_restore.adapted`. Then nothing has changed. The
    data of blobs that are there are put back at once. A request without any body changes nothing: clients
    send it to learn where the upload has to go.
    """
    dry_run = flag(exchange.request, "dry_run")
    upload = Upload(exchange)
    if upload.empty or not upload.answer_early(headers_for(ctx)):
        return Ending()
    with tempfile.TemporaryFile() as file:
        block = memoryview(bytearray(1 << 20))
        while count := upload.readinto(block):
            ctx.task.check()
            file.write(block[:count])
            if file.tell() > LARGEST_BACKUP:
                raise INVALID_VALUE("Content-Length", f"more than {LARGEST_BACKUP}")
        file.seek(0)
        try:
            with tarfile.open(fileobj=file, mode="r:") as archive:
                _restore(ctx, archive, dry_run)
        except tarfile.TarError as problem:
            raise INVALID_VALUE("backup", str(problem)) from problem
    return Ending()


def _restore(ctx: Context, archive: tarfile.TarFile, dry_run: bool) -> None:
    first = archive.next()
    if first is None or first.name != DATABASE or not first.isreg() or first.size > LARGEST:
        raise RESTORE_INCOMPATIBLE_VERSION()
    content = archive.extractfile(first)
    assert content is not None
    document = content.read()
    wanted = {row[Blob.field_named["uuid"].index] for row in read_dump(document).rows.get(Blob, ())}
    check_and_stage(ctx, document, dry_run=True)
    if not dry_run:
        _restore_blobs(ctx, archive, wanted)
        check_and_stage(ctx, document, dry_run=False)


def _restore_blobs(ctx: Context, archive: tarfile.TarFile, wanted: set[str]) -> None:
    for _ in range(MOST_MEMBERS):
        member = archive.next()
        if member is None:
            return
        identity = member.name.removeprefix(BLOBS)
        if not member.isreg() or identity not in wanted or member.size > LARGEST_BLOB:
            raise INVALID_VALUE("backup", f"an unexpected member {member.name[:100]!r}")
        content = archive.extractfile(member)
        known = ctx.db.by_uuid(Blob, identity)
        if content is not None and known is not None:
            store_atomically(ctx.toolstack, known.ref, content.read())
    raise INVALID_VALUE("backup", "too many members")
