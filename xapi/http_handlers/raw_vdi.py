"""The doors to the data of one disk: /export_raw_vdi and /import_raw_vdi."""

from __future__ import annotations

import re
import struct
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Final

from xapi.actions.storage_repositories import StorageRepositories
from xapi.datamodel.classes import VBD, VDI
from xapi.datamodel.classes.vdi import VdiOperations
from xapi.datamodel.errors import (
    IMPORT_ERROR,
    INVALID_VALUE,
    NOT_IMPLEMENTED,
    UUID_INVALID,
    VDI_IN_USE,
    VDI_READONLY,
    VDI_TOO_SMALL,
)
from xapi.dispatch.context import Context
from xapi.dispatch.occupy import assert_allowed, occupied
from xapi.http_handlers import qcow2_stream
from xapi.http_handlers.admission import BINARY, Ending, flag, given, headers_for
from xapi.http_handlers.overlap import Overlap
from xapi.http_handlers.transfer import BLOCK, Progress, Source, Upload, fill, send_range, take
from xapi.http_handlers.vhd_stream import changed_blocks, data_blocks, lay_out, receive_vhd, send_vhd
from xapi.rpc.http import Exchange
from xapi.rpc.http_message import Request, Response
from xapi.storage.interface import AttachedSr, DiskReader, DiskWriter
from xapi.storage.vhd.layout import BLOCK_SIZE

SECTOR: Final = 512
CONTENT_TYPES: Final = {
    "raw": "application/octet-stream",
    "vhd": "application/vhd",
    "qcow2": "application/x-qemu-disk",
}
OTHERS: Final = frozenset({"tar"})
MOST_BESIDES: Final = 64 << 20
"""The bytes that an uploaded image may have besides twice those of the disk: it may hold snapshots, and has tables."""
CHUNK: Final = struct.Struct("<qI")
"""The head of a piece in the body of `chunked` imports: where it goes, and how long it is; length 0 ends the body."""
LONGEST_CHUNK: Final = 64 << 20
RANGE = re.compile(r"bytes=(\d{0,18})-(\d{0,18})")


# What the request means


def disk_named(ctx: Context, name: str) -> VDI:
    """The disk of a reference or a UUID; INVALID_VALUE for no name, UUID_INVALID for one that nobody has."""
    if not name:
        raise INVALID_VALUE("vdi", "")
    row = ctx.db.find(VDI, name) or ctx.db.by_uuid(VDI, name)
    if row is None:
        raise UUID_INVALID(VDI.wire_name, name)
    return row


def wanted_format(request: Request) -> str:
    """The format that the request asks for, raw if none; INVALID_VALUE, or NOT_IMPLEMENTED for what others have."""
    name = given(request).get("format", "raw").lower()
    if name in OTHERS:
        raise NOT_IMPLEMENTED(f"format {name} of a disk's data")
    if name not in CONTENT_TYPES:
        raise INVALID_VALUE("format", name)
    return name


def handle_of(ctx: Context, vdi: VDI) -> AttachedSr:
    """The storage repository of a disk, as this host reaches it."""
    repositories: StorageRepositories = ctx.toolstack.part(StorageRepositories)
    return repositories.get(ctx.db, vdi.SR)


@contextmanager
def open_disk(ctx: Context, vdi: VDI) -> Iterator[DiskReader]:
    """Open a disk for reading and keep it occupied meanwhile; VDI_IN_USE where somebody writes to it."""
    with occupied(ctx, VDI, vdi.ref, VdiOperations.COPY), handle_of(ctx, vdi).open_for_reading(vdi.location) as reader:
        yield reader


def assert_writable(ctx: Context, vdi: VDI) -> None:
    """VDI_READONLY, VDI_IN_USE where a VM has the disk, and what its lifecycle says against an upload now."""
    if vdi.read_only:
        raise VDI_READONLY(vdi.ref)
    for ref in vdi.VBDs:
        vbd = ctx.db.find(VBD, ref)
        if vbd is not None and (vbd.currently_attached or vbd.reserved):
            raise VDI_IN_USE(vdi.ref, "import")
    handle_of(ctx, vdi)
    with ctx.transaction() as transaction:
        assert_allowed(transaction, transaction.get(VDI, vdi.ref), VdiOperations.BLOCKED)


@contextmanager
def open_disk_for_writing(ctx: Context, vdi: VDI) -> Iterator[DiskWriter]:
    """Open a disk for writing and let nobody else near it; the errors of `assert_writable`."""
    assert_writable(ctx, vdi)
    handle = handle_of(ctx, vdi)
    with occupied(ctx, VDI, vdi.ref, VdiOperations.BLOCKED), handle.open_for_writing(vdi.location) as writer:
        yield writer
        writer.flush()


# Out


def export(ctx: Context, exchange: Exchange) -> Ending:
    """Send the data of a disk: raw, also in ranges, as QCOW2, or as a VHD.

    With `base` the VHD holds only what differs from another disk.
    """
    request = exchange.request
    kind = wanted_format(request)
    vdi = disk_named(ctx, given(request).get("vdi", ""))
    base_name = given(request).get("base", "")
    headers = (
        ("Content-Type", CONTENT_TYPES[kind]),
        ("Content-Disposition", f'attachment; filename="{vdi.uuid}.{kind}"'),
    )
    with ExitStack() as stack:
        reader = stack.enter_context(open_disk(ctx, vdi))
        if kind == "raw":
            return _export_raw(ctx, exchange, reader, headers)
        if kind == "qcow2":
            if base_name:
                raise NOT_IMPLEMENTED("base of an export as qcow2")
            image = qcow2_stream.lay_out(reader.size, reader.extents())
            exchange.start(200, headers_for(ctx, *headers), image.length)
            progress = Progress(ctx, image.clusters * qcow2_stream.CLUSTER)
            return Ending(tail=qcow2_stream.send_qcow2(exchange, reader, image, progress))
        if base_name:
            base = disk_named(ctx, base_name)
            base_reader = stack.enter_context(handle_of(ctx, base).open_for_reading(base.location))
            layout = lay_out(reader.size, changed_blocks(reader, base_reader), vdi.uuid, base.uuid)
        else:
            layout = lay_out(reader.size, data_blocks(reader), vdi.uuid)
        exchange.start(200, headers_for(ctx, *headers), layout.length)
        send_vhd(exchange, reader, layout, Progress(ctx, len(layout.blocks) * BLOCK_SIZE))
        return Ending(tail=layout.footer)


def _export_raw(ctx: Context, exchange: Exchange, reader: DiskReader, headers: tuple[tuple[str, str], ...]) -> Ending:
    size = reader.size
    wanted = exchange.request.headers.get("range")
    start, stop = (0, size) if wanted is None else parse_range(wanted, size)
    common = headers_for(ctx, *headers, ("Accept-Ranges", "bytes"))
    if start >= stop:
        return Ending(response=Response(416, (("Content-Range", f"bytes */{size}"),)))
    if (start, stop) == (0, size):
        exchange.start(200, common, size)
    else:
        exchange.start(206, (*common, ("Content-Range", f"bytes {start}-{stop - 1}/{size}")), stop - start)
    # The last sector goes out when the disk is free again: who has it may use the disk for something else.
    last = min(SECTOR, stop - start)
    tail = reader.pread(stop - last, last)
    send_range(exchange, reader, start, stop - last - start, Progress(ctx, stop - start))
    return Ending(tail=tail)


def parse_range(text: str, size: int) -> tuple[int, int]:
    """The first byte and the one behind the last that a Range header asks for.

    All of the disk for a header of another kind (RFC 9110 lets a server ignore it), nothing for what lies outside.
    """
    found = RANGE.fullmatch(text.strip())
    if found is None or found.groups() == ("", ""):
        return 0, size
    first, last = found.groups()
    if not first:
        return max(size - int(last), 0), size
    stop = size if not last else min(int(last) + 1, size)
    return int(first), stop


# In


def import_(ctx: Context, exchange: Exchange) -> Ending:
    """Write an upload to a disk: raw, raw in pieces (`chunked`), a QCOW2 image, or a VHD.

    A request without any body changes nothing: clients send it to learn where the upload has to go.
    """
    request = exchange.request
    kind = wanted_format(request)
    vdi = disk_named(ctx, given(request).get("vdi", ""))
    chunked = "chunked" in given(request) and flag(request, "chunked", True)
    if chunked and kind != "raw":
        raise INVALID_VALUE("chunked", f"not with the format {kind}")
    upload = Upload(exchange)
    headers = headers_for(ctx, BINARY)
    if upload.empty or upload.boundless:
        assert_writable(ctx, vdi)  # without occupying the disk: who asks wants to write to it by the next request
        if upload.empty or not upload.answer_early(headers):
            return Ending()
    with open_disk_for_writing(ctx, vdi) as writer:
        progress = Progress(ctx, writer.size)
        if kind == "raw" and not chunked and upload.length is not None and upload.length > writer.size:
            raise VDI_TOO_SMALL(vdi.ref, upload.length)
        if not exchange.started:
            upload.answer_early(headers)
        if kind == "vhd":
            receive_vhd(upload, writer, vdi.ref, progress)
        elif kind == "qcow2":
            receive_image(ctx, upload, writer, vdi.ref)
        elif chunked:
            receive_chunks(upload, writer, vdi.ref, progress)
        else:
            receive_raw(upload, writer, vdi.ref, progress, boundless=upload.boundless)
    note_utilisation(ctx, vdi)
    return Ending()


def receive_image(ctx: Context, source: Source, writer: DiskWriter, vdi: str) -> None:
    """Write a QCOW2 image to a disk, once the whole of it lies in a file that has no name.

    IMPORT_ERROR for an upload that is much longer than the disk.
    """
    most = 2 * writer.size + MOST_BESIDES
    view = memoryview(bytearray(BLOCK))
    with tempfile.TemporaryFile(dir=ctx.toolstack.state) as file:
        done = 0
        arriving = Progress(ctx, 2 * writer.size)  # the first half of the way
        while got := fill(source, view):
            done += got
            if done > most:
                raise IMPORT_ERROR(f"the image is longer than {most} bytes")
            if done == got:
                qcow2_stream.parse_head(bytes(view[:got]))
            file.write(view[:got])
            arriving.add(got)
        file.flush()
        qcow2_stream.receive_qcow2(file.fileno(), writer, vdi, Progress(ctx, writer.size, begun=0.5))
    writer.flush()


def receive_raw(source: Source, writer: DiskWriter, vdi: str, progress: Progress, *, boundless: bool = False) -> None:
    """Write a raw image from the front of a disk on; what it does not reach stays.

    An image that goes on behind the end of the disk is VDI_TOO_SMALL, but of a `boundless` source nobody asks whether
    it goes on. A second thread writes while the first one receives.
    """
    size, offset = writer.size, 0
    with Overlap[None]() as behind:
        while offset < size:
            wanted = min(BLOCK, size - offset)
            view = behind.buffer(BLOCK)
            got = fill(source, view[:wanted])
            behind.begin(partial(write_padded, writer, offset, got), view)
            offset += got
            progress.add(got)
            if got < wanted:
                break
        behind.finish()
    if offset == size and not boundless and source.readinto(memoryview(bytearray(1))):
        raise VDI_TOO_SMALL(vdi, size + 1)


def receive_chunks(source: Source, writer: DiskWriter, vdi: str, progress: Progress) -> None:
    """Write pieces of a raw image, each with its place before it, until the empty one."""
    view = memoryview(bytearray(BLOCK))
    while True:
        offset, length = CHUNK.unpack(take(source, CHUNK.size))
        if not length:
            return
        if offset < 0 or length > LONGEST_CHUNK:
            raise IMPORT_ERROR(f"a piece of {length} bytes at {offset} is nonsense")
        if offset + length > writer.size:
            raise VDI_TOO_SMALL(vdi, offset + length)
        while length:
            got = fill(source, view[: min(BLOCK, length)])
            if not got:
                raise IMPORT_ERROR("the upload ends within a piece")
            write_unaligned(writer, offset, view[:got])
            offset += got
            length -= got
            progress.add(got)


def write_padded(writer: DiskWriter, offset: int, count: int, view: memoryview) -> None:
    """Write the front of a buffer at a whole sector; a last part of a sector keeps the rest of what is there."""
    whole = count // SECTOR * SECTOR
    if whole:
        writer.pwrite(offset, view[:whole])
    if count > whole:
        write_unaligned(writer, offset + whole, view[whole:count])


def write_unaligned(writer: DiskWriter, offset: int, data: memoryview) -> None:
    """Write at any place; the sectors at both ends keep what is not written."""
    before, after = offset % SECTOR, -(offset + len(data)) % SECTOR
    if not before and not after:
        writer.pwrite(offset, data)
        return
    whole = bytearray(before + len(data) + after)
    start = offset - before
    whole[:SECTOR] = writer.pread(start, SECTOR)
    whole[-SECTOR:] = writer.pread(start + len(whole) - SECTOR, SECTOR)
    whole[before : before + len(data)] = data
    writer.pwrite(start, whole)


def note_utilisation(ctx: Context, vdi: VDI) -> None:
    """Write down how much room a disk takes now."""
    facts = handle_of(ctx, vdi).find(vdi.location)
    with ctx.transaction() as transaction:
        if transaction.find(VDI, vdi.ref) is not None:
            transaction.update(VDI, vdi.ref, physical_utilisation=facts.physical_utilisation)
