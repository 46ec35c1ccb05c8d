"""Making VHDs. A dynamic disk and a child are written with one call, a fixed disk is a hole and a footer."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import replace

from xapi.storage.vhd.batmap import covered_bytes
from xapi.storage.vhd.errors import InvalidSize, NoSpace
from xapi.storage.vhd.file import RandomAccessFile
from xapi.storage.vhd.footers import FooterFound
from xapi.storage.vhd.image import Vhd
from xapi.storage.vhd.layout import (
    BLOCK_SIZE,
    FOOTER_SIZE,
    HEADER_SIZE,
    LOCATOR_COUNT,
    SECTOR,
    BatmapHeader,
    DiskType,
    Footer,
    Header,
    ParentLocator,
    check_size,
    checksum,
    padded_at_least_one,
)
from xapi.storage.vhd.parents import Parent, build_locators, encode_name


def create_fixed(
    file: RandomAccessFile,
    size: int,
    *,
    unique_id: uuid.UUID | None = None,
    hidden: bool = False,
    sync: bool = True,
) -> Vhd:
    """Make the empty `file` a fixed VHD of `size` bytes; its data is a hole. Returns it open for writing.

    On a device the data is whatever was there.
    """
    check_size(file.path, size)
    footer = Footer.new(size, DiskType.FIXED, unique_id, hidden)
    if file.fixed_size:
        if file.size() < size + FOOTER_SIZE:
            raise NoSpace(file.path, f"a fixed disk of {size} bytes does not fit on a device of {file.size()}")
        file.pwrite(footer.pack(), file.size() - FOOTER_SIZE)
    else:
        file.truncate(0)
        file.pwrite(footer.pack(), size)
    if sync:
        file.flush()
    return Vhd(file, FooterFound(footer, footer, None), None, writable=True)


def create_dynamic(
    file: RandomAccessFile,
    size: int,
    *,
    largest_size: int = 0,
    block_size: int = BLOCK_SIZE,
    unique_id: uuid.UUID | None = None,
    hidden: bool = False,
    sync: bool = True,
) -> Vhd:
    """Make the empty `file` a dynamic VHD of `size` bytes without data. Returns it open for writing.

    `largest_size` leaves room in the metadata for growing to that many bytes without a journal.
    """
    check_size(file.path, size)
    footer = Footer.new(size, DiskType.DYNAMIC, unique_id, hidden)
    header = Header(table_offset=FOOTER_SIZE + HEADER_SIZE, table_entries=0, block_size=block_size)
    return _write_new(file, footer, header, None, largest_size, sync)


def create_child(
    file: RandomAccessFile,
    parent: Parent,
    *,
    size: int = 0,
    largest_size: int = 0,
    block_size: int = BLOCK_SIZE,
    unique_id: uuid.UUID | None = None,
    hidden: bool = False,
    sync: bool = True,
) -> Vhd:
    """Make the empty `file` a differencing VHD that reads as `parent` until it is written to.

    `size` is the parent's unless given; it may be larger (what is beyond the parent reads as zeros), not smaller.
    """
    size = size or parent.size
    check_size(file.path, size)
    if size < parent.size:
        raise InvalidSize(file.path, f"a child of {size} bytes is smaller than its parent of {parent.size}")
    footer = Footer.new(size, DiskType.DIFFERENCING, unique_id, hidden)
    header = Header(
        table_offset=FOOTER_SIZE + HEADER_SIZE,
        table_entries=0,
        block_size=block_size,
        parent_id=parent.unique_id,
        parent_timestamp=parent.timestamp,
        parent_name=encode_name(parent.path, file.path),
    )
    return _write_new(file, footer, header, parent.path, largest_size, sync)


def _write_new(
    file: RandomAccessFile, footer: Footer, header: Header, parent: str | None, largest_size: int, sync: bool
) -> Vhd:
    if largest_size:
        check_size(file.path, largest_size)
        if largest_size < footer.current_size:
            raise InvalidSize(file.path, f"room for {largest_size} bytes is less than the disk's own size")
    entries = -(-max(footer.current_size, largest_size) // header.block_size)
    header = replace(header, table_entries=entries)
    end = batmap_end(header)
    locators = build_locators(file.path, parent, end) if parent is not None else []
    header, metadata = pack_metadata(footer, header, b"\xff" * (entries * 4), b"", locators)
    packed = footer.pack()
    used = FOOTER_SIZE + sum(map(len, metadata)) + FOOTER_SIZE
    if file.fixed_size:
        if file.size() < used:
            raise NoSpace(file.path, f"the metadata of {used} bytes does not fit on a device of {file.size()}")
        # The end first: a front that is whole says that all is.
        file.pwrite(packed, file.size() - FOOTER_SIZE)
        file.pwritev([packed, *metadata], 0)
    else:
        file.truncate(0)
        file.pwritev([packed, *metadata, packed], 0)
    if sync:
        file.flush()
    return Vhd(file, FooterFound(footer, footer, footer), header, writable=True)


def batmap_end(header: Header) -> int:
    """Return where a batmap for the table of `header` ends: the offset of what comes behind it."""
    return header.batmap_header_offset + SECTOR + padded_at_least_one(-(-header.table_entries // 8))


def pack_metadata(
    footer: Footer,
    header: Header,
    table: bytes,
    full_blocks: bytes | bytearray | None,
    locators: Sequence[tuple[ParentLocator, bytes]],
    old_batmap: BatmapHeader | None = None,
) -> tuple[Header, list[bytes]]:
    """Return the header with its locators, and all that lies between the front footer and the first block.

    That is header, table, batmap (`full_blocks` are its bits, None for a file without one) and the padded locators,
    one behind the other: the order that blktap expects. The table begins right behind the header.
    """
    empty = (ParentLocator(),) * (LOCATOR_COUNT - len(locators))
    header = replace(header, locators=tuple(locator for locator, _ in locators) + empty)
    packed = [header.pack(), table.ljust(header.table_bytes, b"\xff")]
    if full_blocks is not None:
        length = padded_at_least_one(-(-header.table_entries // 8))
        bits = bytes(full_blocks[:length]).ljust(length, b"\0")
        total = checksum(bits[: covered_bytes(footer.current_size, header.block_size)])
        batmap = BatmapHeader(header.batmap_header_offset + SECTOR, length // SECTOR, total)
        if old_batmap is not None:
            batmap = replace(batmap, marker=old_batmap.marker, rest=old_batmap.rest)
        packed += [batmap.pack(), bits]
    return header, [*packed, *(text for _, text in locators)]
