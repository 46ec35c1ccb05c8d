"""Changing the size of a VHD, and making room for longer metadata by moving blocks out of its way."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from xapi.storage.vhd.create import batmap_end, pack_metadata
from xapi.storage.vhd.errors import InvalidSize, JournalError
from xapi.storage.vhd.file import RandomAccessFile
from xapi.storage.vhd.image import Vhd
from xapi.storage.vhd.journal import Journal
from xapi.storage.vhd.layout import (
    FOOTER_SIZE,
    HEADER_SIZE,
    NO_CODE,
    SECTOR,
    UNUSED,
    DiskType,
    Footer,
    Header,
    ParentLocator,
    check_size,
)


def largest_size(vhd: Vhd) -> int:
    """Return the size in bytes up to which the disk grows without moving anything."""
    return vhd.size if vhd.disk_type is DiskType.FIXED else vhd.header.table_entries * vhd.block_size


def grow(vhd: Vhd, size: int, journal: RandomAccessFile | None = None, sync: bool = True) -> None:
    """Make the virtual disk `size` bytes large; what is new reads as zeros.

    Where the metadata has no room for the new size, an empty `journal` file is needed: cut short, the VHD has to be
    reverted from it (see journal.py). Without need of one, the change is one sector. InvalidSize for a smaller size.
    """
    vhd.check_writable()
    check_size(vhd.path, size)
    if size < vhd.size:
        raise InvalidSize(vhd.path, f"shrinking from {vhd.size} to {size} bytes is not supported")
    if size == vhd.size:
        if vhd.disk_type is not DiskType.FIXED and vhd.footers.front != vhd.footer:
            vhd.write_footer(vhd.footer, sync)  # growing to this size was cut short, between the footer and its copy
        return
    if vhd.disk_type is not DiskType.FIXED and size <= largest_size(vhd):
        _grow_in_place(vhd, size, sync)
        return
    if journal is None:
        raise JournalError(vhd.path, f"growing beyond {largest_size(vhd)} bytes needs a journal")
    if vhd.disk_type is DiskType.FIXED:
        _grow_fixed(vhd, size, journal, sync)
    else:
        relayout(vhd, journal, size=size, sync=sync)


def _grow_in_place(vhd: Vhd, size: int, sync: bool) -> None:
    vhd.flush(sync)
    first, last = vhd.blocks, -(-size // vhd.block_size) - 1
    if last >= first:
        # Whoever made the file may have left anything in the part of the table that was not in use.
        offset = vhd.header.table_offset + first * 4
        vhd.file.pwrite(b"\xff" * ((last - first + 1) * 4), offset)
        if sync:
            vhd.file.flush()
    footer = vhd.footer.resized(size)
    vhd.write_footer(footer, sync)
    vhd.replace_metadata(footer, vhd.header)


def _grow_fixed(vhd: Vhd, size: int, journal: RandomAccessFile, sync: bool) -> None:
    if vhd.file.fixed_size and vhd.file.size() < size + FOOTER_SIZE:
        raise InvalidSize(vhd.path, f"the device is too small for {size} bytes")
    change = Journal(journal, vhd, sync)
    old = vhd.footer_offset
    change.begin()
    footer = vhd.footer.resized(size)
    if not vhd.file.fixed_size:
        vhd.file.pwrite(footer.pack(), size)
        vhd.file.pwrite(bytes(FOOTER_SIZE), old)
    vhd.replace_metadata(footer, None)
    if vhd.file.fixed_size:
        vhd.write_footer(footer, sync)
    change.commit()


def relayout(
    vhd: Vhd,
    journal: RandomAccessFile,
    *,
    size: int = 0,
    header: Header | None = None,
    locators: Sequence[tuple[bytes, bytes, int]] | None = None,
    sync: bool = True,
) -> None:
    """Write all metadata of a dynamic disk anew, moving blocks that are in its way to the end of the file.

    `size` is the new virtual size in bytes, `header` the header to go by (its table and locators are replaced),
    `locators` new ones as (code, text, room in bytes); what is not given stays. Needs an empty journal file.
    """
    vhd.flush(sync)
    size = size or vhd.size
    header = header or vhd.header
    entries = max(header.table_entries, -(-size // vhd.block_size))
    header = replace(header, table_offset=FOOTER_SIZE + HEADER_SIZE, table_entries=entries)
    footer = replace(vhd.footer.resized(size), data_offset=FOOTER_SIZE)
    behind_table = batmap_end(header) if vhd.batmap is not None else header.batmap_header_offset
    placed = _place_locators(vhd, locators, behind_table)
    end = behind_table + sum(len(text) for _, text in placed)
    moves, data_end = _plan_moves(vhd, end)
    change = Journal(journal, vhd, sync)
    overwritten = min(end, vhd.file.size() - FOOTER_SIZE)
    change.begin([(FOOTER_SIZE, overwritten - FOOTER_SIZE)])
    footer = replace(footer, cookie=vhd.footer.cookie)
    _move_blocks(vhd, moves, footer, max(data_end, end))
    if sync:
        vhd.file.flush()
    for block, sector in moves.items():
        vhd.table.set(block, sector)
    table = vhd.table.pack(entries * 4)
    full_blocks = vhd.batmap.bits if vhd.batmap is not None else None
    old_batmap = vhd.batmap.header if vhd.batmap is not None else None
    header, packed = pack_metadata(footer, header, table, full_blocks, placed, old_batmap)
    vhd.file.pwritev(packed, FOOTER_SIZE)
    vhd.replace_metadata(footer, header)
    vhd.write_footer(footer, sync)
    change.commit()


def _place_locators(
    vhd: Vhd, locators: Sequence[tuple[bytes, bytes, int]] | None, offset: int
) -> list[tuple[ParentLocator, bytes]]:
    if locators is None:
        locators = [
            (old.code, vhd.file.pread(min(old.length, old.space_bytes), old.offset), old.space_bytes)
            for old in vhd.header.locators
            if old.code != NO_CODE and old.space_bytes
        ]
    placed = []
    for code, text, room in locators:
        placed.append((ParentLocator(code, room, len(text), offset), text.ljust(room, b"\0")))
        offset += room
    return placed


def _plan_moves(vhd: Vhd, end: int) -> tuple[dict[int, int], int]:
    """Return the new sectors of the blocks that begin before `end`, and where the data will end."""
    limit = end // SECTOR
    entries = vhd.table.entries
    in_way = sorted((entry, block) for block, entry in enumerate(entries) if entry != UNUSED and entry < limit)
    places, data_end = vhd.place_blocks(len(in_way), max(vhd.data_end, end))
    return {block: place for (_, block), place in zip(in_way, places, strict=True)}, data_end


def _move_blocks(vhd: Vhd, moves: dict[int, int], footer: Footer, end: int) -> None:
    length = vhd.block_sectors * SECTOR
    if not vhd.file.fixed_size and end + FOOTER_SIZE > vhd.file.size():
        vhd.file.pwrite(footer.pack(), end)
    buffer = memoryview(bytearray(length))
    for block, place in moves.items():
        have = vhd.file.pread_into(buffer, vhd.table.entries[block] * SECTOR)
        buffer[have:] = bytes(length - have)
        vhd.file.pwrite(buffer, place * SECTOR)
