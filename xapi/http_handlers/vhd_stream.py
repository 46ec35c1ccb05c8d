"""VHDs as they come and go over a connection: from the front to the end, without seeking.

Out goes a dynamic disk, or with a base a differencing one that holds the blocks in which the disk differs from the
base. In comes any VHD whose metadata lies before its data: dynamic and differencing ones with their blocks in any order
of the file, and fixed ones, whose only mark is their last sector.
"""

from __future__ import annotations

import heapq
import operator
import os
import uuid
from array import array
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import groupby, islice

from xapi.datamodel.errors import IMPORT_ERROR, IMPORT_ERROR_PREMATURE_EOF, VDI_TOO_SMALL
from xapi.http_handlers.overlap import Overlap
from xapi.http_handlers.transfer import BLOCK, Progress, Source, fill, send_range, send_zeros, take
from xapi.rpc.http import Exchange
from xapi.storage.interface import DiskReader, DiskWriter
from xapi.storage.vhd import bitmap
from xapi.storage.vhd.block_table import BlockTable
from xapi.storage.vhd.create import pack_metadata
from xapi.storage.vhd.errors import VhdError
from xapi.storage.vhd.layout import (
    BLOCK_SIZE,
    FOOTER_COOKIE,
    FOOTER_SIZE,
    HEADER_SIZE,
    MAXIMUM_BLOCKS,
    SECTOR,
    UNUSED,
    DiskType,
    Footer,
    Header,
    ParentLocator,
    padded,
    timestamp,
)
from xapi.storage.vhd.parents import build_locators, encode_name

NAME = "the uploaded VHD"
MOST_BLOCKS = 2 << 20
"""More blocks than the largest disk has in blocks of 2 MiB; a table of more is there to take memory."""
BITMAP_SIZE = BLOCK_SIZE // SECTOR // 8


# Out


@dataclass(frozen=True, slots=True)
class Layout:
    """How a disk goes out: what comes first, the numbers of the blocks that follow, and the footer at the end."""

    front: bytes
    blocks: tuple[int, ...]
    footer: bytes

    @property
    def length(self) -> int:
        """The size of the whole file in bytes."""
        return len(self.front) + len(self.blocks) * (BITMAP_SIZE + BLOCK_SIZE) + len(self.footer)


def lay_out(size: int, blocks: Iterable[int], identity: str, base: str = "") -> Layout:
    """Place the given blocks of a disk of `size` bytes one behind the other.

    `identity` and `base` are the UUIDs of the disks; with a base the file is a differencing disk.
    """
    chosen = tuple(blocks)
    kind = DiskType.DIFFERENCING if base else DiskType.DYNAMIC
    footer = Footer.new(size, kind, uuid.UUID(identity))
    entries = -(-size // BLOCK_SIZE)
    header = Header(table_offset=FOOTER_SIZE + HEADER_SIZE, table_entries=entries)
    locators: list[tuple[ParentLocator, bytes]] = []
    if base:
        parent, child = f"/{base}.vhd", f"/{identity}.vhd"
        header = Header(
            table_offset=header.table_offset,
            table_entries=entries,
            parent_id=uuid.UUID(base),
            parent_timestamp=timestamp(),
            parent_name=encode_name(parent, child),
        )
        locators = build_locators(child, parent, header.table_offset + header.table_bytes)
    table = BlockTable(array("I", [UNUSED]) * entries)
    place = header.table_offset + header.table_bytes + sum(len(text) for _, text in locators)
    for number, block in enumerate(chosen):
        table.set(block, (place + number * (BITMAP_SIZE + BLOCK_SIZE)) // SECTOR)
    _, metadata = pack_metadata(footer, header, table.pack(header.table_bytes), None, locators)
    packed = footer.pack()
    return Layout(b"".join([packed, *metadata]), chosen, packed)


def data_blocks(reader: DiskReader) -> Iterator[int]:
    """Yield the blocks of a disk that hold anything but holes."""
    following = 0
    for extent in reader.extents():
        if extent.zero or not extent.length:
            continue
        first = max(following, extent.offset // BLOCK_SIZE)
        following = max(following, -(-(extent.offset + extent.length) // BLOCK_SIZE))
        yield from range(first, following)


def changed_blocks(reader: DiskReader, base: DiskReader) -> Iterator[int]:
    """Yield the blocks in which a disk differs from another; what both keep in the same place is not even read."""
    common = min(reader.size, base.size)
    for block, _ in groupby(heapq.merge(data_blocks(reader), data_blocks(base))):
        if block * BLOCK_SIZE >= reader.size:
            return
        start = block * BLOCK_SIZE
        length = min(BLOCK_SIZE, reader.size - start)
        if start + length > common:
            shared = max(common - start, 0)
            beyond = any(not extent.zero for extent in reader.extents(start + shared, length - shared))
            if beyond or (shared and _differ(reader, base, start, shared)):
                yield block
        elif _differ(reader, base, start, length):
            yield block


def _differ(reader: DiskReader, base: DiskReader, start: int, length: int) -> bool:
    if _places(reader, start, length) == _places(base, start, length):
        return False
    return reader.pread(start, length) != base.pread(start, length)


def _places(reader: DiskReader, start: int, length: int) -> list[tuple[int, int, int, int, int]]:
    """Where the data of a range lies, so that equal answers mean equal data."""
    found = []
    for extent in reader.extents(start, length):
        if extent.zero:
            found.append((extent.offset, extent.length, -1, -1, -1))
        else:
            status = os.fstat(extent.descriptor)
            found.append((extent.offset, extent.length, status.st_dev, status.st_ino, extent.place))
    return found


def send_vhd(exchange: Exchange, reader: DiskReader, layout: Layout, progress: Progress) -> None:
    """Send all of a VHD but its footer."""
    exchange.write(layout.front)
    present = b"\xff" * BITMAP_SIZE
    for block in layout.blocks:
        exchange.write(present)
        start = block * BLOCK_SIZE
        length = min(BLOCK_SIZE, reader.size - start)
        send_range(exchange, reader, start, length, progress)
        send_zeros(exchange, BLOCK_SIZE - length, progress)


# In


class Position:
    """A source of which we know how far it was read."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self.place = 0

    def readinto(self, buffer: memoryview) -> int:
        """Fill the front of the buffer; return how many bytes, 0 at the end only."""
        count = self._source.readinto(buffer)
        self.place += count
        return count

    def skip_to(self, place: int) -> None:
        """Read on until a place that is not behind us; IMPORT_ERROR for one that is."""
        if place < self.place:
            raise IMPORT_ERROR("the parts of the VHD overlap, or its metadata comes after its data")
        while self.place < place:
            take(self, min(BLOCK, place - self.place))


def receive_vhd(source: Source, writer: DiskWriter, vdi: str, progress: Progress) -> None:
    """Write what a VHD holds to a disk, which keeps its size.

    Sectors that a differencing VHD lacks stay as they are; those that a dynamic one lacks become zeros. IMPORT_ERROR
    for what is no VHD, VDI_TOO_SMALL for one that is larger than the disk, before anything is written.
    """
    stream = Position(source)
    front = take(stream, FOOTER_SIZE)
    try:
        if not front.startswith(FOOTER_COOKIE):
            _receive_fixed(stream, front, writer, vdi, progress)
            return
        footer = Footer.parse(front, NAME)
        if footer.disk_type is DiskType.FIXED:
            raise IMPORT_ERROR("the VHD begins with the footer of a fixed disk")
        if footer.current_size > writer.size:
            raise VDI_TOO_SMALL(vdi, footer.current_size)
        _receive_blocks(stream, footer, writer, progress)
    except VhdError as error:
        raise IMPORT_ERROR(f"the VHD is damaged: {error}") from error


def _receive_blocks(stream: Position, footer: Footer, writer: DiskWriter, progress: Progress) -> None:
    stream.skip_to(footer.data_offset)
    header = Header.parse(take(stream, HEADER_SIZE), NAME)
    blocks = -(-footer.current_size // header.block_size)
    if header.table_entries > MAXIMUM_BLOCKS or blocks > min(header.table_entries, MOST_BLOCKS):
        raise IMPORT_ERROR(f"the VHD's table of {header.table_entries} blocks does not fit its size")
    stream.skip_to(header.table_offset)
    table = BlockTable.parse(take(stream, header.table_entries * 4), blocks)
    child = footer.disk_type is DiskType.DIFFERENCING
    if not child:
        _clear_unused(table, header.block_size, footer.current_size, writer)
    bitmap_bytes = padded(-(-header.block_size // SECTOR // 8))
    end = stream.place
    with Overlap[None]() as behind:
        for block in _in_order(table):
            # Blocks come in the order of their places, so that one that overlaps anything before it is noticed here.
            stream.skip_to(table[block] * SECTOR)
            end = table[block] * SECTOR + bitmap_bytes + header.block_size
            start = block * header.block_size
            length = min(header.block_size, footer.current_size - start)
            _receive_block(stream, header.block_size, start, length, writer, behind, clear=not child)
            progress.add(length)
        behind.finish()
    # What is left are padding and the copy of the footer; who does not send them has said everything all the same.
    rest = memoryview(bytearray(BLOCK))
    while stream.place < end + FOOTER_SIZE and stream.readinto(rest[: end + FOOTER_SIZE - stream.place]):
        continue


def _in_order(table: BlockTable) -> Iterable[int]:
    """The allocated blocks by their places in the file, which is nearly always their own order."""
    allocated = array("I", (block for block in range(len(table)) if table.allocated[block]))
    places = array("I", (table[block] for block in allocated))
    if all(map(operator.lt, places, islice(places, 1, None))):
        return allocated
    return sorted(allocated, key=table.entries.__getitem__)


def _receive_block(
    stream: Position, size: int, start: int, length: int, writer: DiskWriter, behind: Overlap[None], *, clear: bool
) -> None:
    """Write the first `length` bytes of a block to `start`; sectors that it lacks are cleared, or stay as they are."""
    sectors = size // SECTOR
    present = bitmap.from_bytes(take(stream, padded(-(-sectors // 8))), sectors)
    for first, count, there in bitmap.runs(present, sectors, 0, length // SECTOR):
        place, left = start + first * SECTOR, count * SECTOR
        if not there and clear:
            behind.finish()  # a writer is for one thread at a time
            writer.write_zeros(place, left)
        while left:
            buffer = behind.buffer(min(BLOCK, size))
            view = buffer[: min(len(buffer), left)]
            if fill(stream, view) < len(view):
                raise IMPORT_ERROR_PREMATURE_EOF()
            if there:
                behind.begin(partial(_put, writer, place, len(view)), buffer)
            else:
                behind.give_back(buffer)
            place += len(view)
            left -= len(view)


def _put(writer: DiskWriter, place: int, length: int, buffer: memoryview) -> None:
    writer.pwrite(place, buffer[:length])


def _clear_unused(table: BlockTable, block_size: int, size: int, writer: DiskWriter) -> None:
    """Make the blocks that a VHD has not read as zeros, in runs as long as they can be."""
    block = 0
    while block < len(table):
        following = table.next_allocated(block)
        if following > block:
            start = block * block_size
            writer.write_zeros(start, min(following * block_size, size) - start)
        block = following + 1


def _receive_fixed(stream: Position, front: bytes, writer: DiskWriter, vdi: str, progress: Progress) -> None:
    """Write a fixed VHD: data, and a footer in the last sector, which must not be taken for data."""
    size = writer.size
    buffer = bytearray(BLOCK + FOOTER_SIZE)
    view = memoryview(buffer)
    view[:FOOTER_SIZE] = front
    kept, offset = FOOTER_SIZE, 0
    while True:
        wanted = min(BLOCK, size - offset)
        got = fill(stream, view[kept : kept + wanted]) if wanted else 0
        ready = kept + got - FOOTER_SIZE
        last = got < wanted or not wanted
        if ready % SECTOR:
            raise IMPORT_ERROR("this is no VHD: it neither begins nor ends with a footer")
        if ready:
            writer.pwrite(offset, view[:ready])
            offset += ready
            progress.add(ready)
            buffer[:FOOTER_SIZE] = buffer[ready : ready + FOOTER_SIZE]
        if last:
            break
    footer = Footer.parse(bytes(buffer[:FOOTER_SIZE]), NAME)
    if footer.disk_type is not DiskType.FIXED or footer.current_size != offset:
        raise IMPORT_ERROR("the data and the footer of the fixed VHD do not fit each other")
