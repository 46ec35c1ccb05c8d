"""Looking for everything that is wrong with a VHD, and mending what can be mended without guessing."""

from __future__ import annotations

import os
from collections.abc import Iterator

from xapi.storage.vhd.batmap import Batmap
from xapi.storage.vhd.errors import VhdError
from xapi.storage.vhd.file import RandomAccessFile
from xapi.storage.vhd.footers import read_header
from xapi.storage.vhd.image import Vhd
from xapi.storage.vhd.layout import (
    CREATOR_VERSION,
    FEATURE_RESERVED,
    FOOTER_SIZE,
    NO_CODE,
    NO_UUID,
    NOWHERE,
    SECTOR,
    DiskType,
    Footer,
    Header,
    ParentLocator,
    geometry,
    timestamp,
)
from xapi.storage.vhd.parents import CODES, decode_name, read_locator

CLOCK_SLACK = 1800
"""Seconds that a timestamp may lie in the future: file servers have clocks of their own."""
OPENED_BY_HYPERV = b"\xc7" * FOOTER_SIZE
"""What Microsoft's tools leave in place of the last footer while they have a file open."""


def check(file: RandomAccessFile, ignore_missing_footer: bool = False) -> list[str]:
    """Return what is wrong with the VHD in `file`, one line each; an empty list for a good one.

    Reads only. Parents are not looked at. `ignore_missing_footer` forgives a last footer that a Microsoft tool has
    taken away for the time that it has the file open.
    """
    problems = []
    footer: Footer | None = None
    size = file.size()
    short = size % SECTOR == SECTOR - 1
    tail = file.pread(FOOTER_SIZE, max(size - FOOTER_SIZE + short, 0))
    forgiven = ignore_missing_footer and tail == OPENED_BY_HYPERV
    try:
        footer = Footer.parse(tail, file.path)
        problems += [f"primary footer invalid: {reason}" for reason in _footer_problems(footer)]
    except VhdError as error:
        if not forgiven:
            return [f"primary footer invalid: {error.reason}"]
    if footer is not None and footer.disk_type is DiskType.FIXED:
        if footer.current_size + FOOTER_SIZE - short > size:
            problems.append("the file is shorter than the disk")
        return problems
    try:
        backup = Footer.parse(file.pread(FOOTER_SIZE, 0), file.path)
    except VhdError as error:
        return [*problems, f"backup footer invalid: {error.reason}"]
    problems += [f"backup footer invalid: {reason}" for reason in _footer_problems(backup)]
    if footer is not None and footer != backup:
        problems.append("primary and backup footers do not match")
    footer = footer or backup
    try:
        header = read_header(file, footer)
        if header is None:
            return [*problems, "backup footer invalid: of a fixed disk"]
        vhd = Vhd.open(file, allow_disabled=True)
        problems += [f"header is invalid: {reason}" for reason in _header_problems(vhd, header)]
        if vhd.has_parent:
            problems += _locator_problems(vhd, header)
        problems += _table_problems(vhd)
        problems += _batmap_problems(vhd)
    except VhdError as error:
        problems.append(error.reason)
    return problems


def _footer_problems(footer: Footer) -> Iterator[str]:
    if footer.disabled:
        yield "disabled: a journalled change was cut short"
    if not footer.features & FEATURE_RESERVED:
        yield "invalid 'reserved' feature"
    if footer.features & ~3:
        yield "invalid extra features"
    if footer.disk_type is DiskType.FIXED and footer.data_offset != NOWHERE:
        yield "invalid data offset"
    if footer.timestamp > timestamp() + CLOCK_SLACK:
        yield "creation time in future"
    if footer.by_tap and footer.creator_version > CREATOR_VERSION:
        yield "unsupported tap creator version"
    if geometry(footer.current_size) < footer.geometry:
        yield "geometry too large"
    if footer.saved_state > 1:
        yield "invalid 'saved' state"
    if footer.hidden > 1:
        yield "invalid 'hidden' state"
    if any(footer.reserved):
        yield "invalid 'reserved' bits"


def _header_problems(vhd: Vhd, header: Header) -> Iterator[str]:
    if header.data_offset != NOWHERE:
        yield "invalid data offset"
    if header.table_offset + header.table_entries * 4 > vhd.file.size() - FOOTER_SIZE:
        yield "invalid table offset"
    if header.reserved or any(header.tail):
        yield "invalid reserved bits"
    if not vhd.has_parent:
        if any(header.parent_name):
            yield "non-null parent name"
        if any(locator != ParentLocator() for locator in header.locators):
            yield "non-null parent locators"
        if header.parent_id != NO_UUID:
            yield "non-null parent uuid"
        if header.parent_timestamp:
            yield "non-zero parent timestamp"
        return
    if header.parent_timestamp > timestamp() + CLOCK_SLACK:
        yield "parent creation time in future"
    if not decode_name(header):
        yield "invalid parent name"


def _locator_problems(vhd: Vhd, header: Header) -> Iterator[str]:
    name, found = decode_name(header), 0
    codes = [locator.code for locator in header.locators if locator.code != NO_CODE]
    if len(codes) != len(set(codes)):
        yield "duplicate platform code in the parent locators"
    for number, locator in enumerate(header.locators):
        if locator.code == NO_CODE:
            if locator != ParentLocator():
                yield f"invalid parent locator {number}: non-zero locator"
            continue
        if locator.offset + locator.space_bytes > vhd.file.size() - FOOTER_SIZE or not locator.space_bytes:
            yield f"invalid parent locator {number}: invalid size"
            continue
        if locator.code not in CODES:
            continue
        path = read_locator(vhd, locator)
        if path is None:
            yield f"error reading parent locator {number}"
        elif os.path.basename(path) != name:
            yield f"parent locator {number} name ({os.path.basename(path)}) does not match header name ({name})"
        else:
            found += 1
    if not found:
        yield f"could not find parent {name}"


def _table_problems(vhd: Vhd) -> Iterator[str]:
    table = vhd.table
    size = vhd.file.size()
    if size % SECTOR not in (0, SECTOR - 1):
        yield f"invalid file size: {size:#x}"
    places = sorted(entry for entry in set(table.entries) if entry != 0xFFFFFFFF)
    if places and places[0] * SECTOR < vhd.headers_end:
        yield f"block {table.entries.index(places[0])} (offset {places[0]:#x}) clobbers headers"
    if places and (places[-1] + vhd.block_sectors) * SECTOR > -(-size // SECTOR) * SECTOR - FOOTER_SIZE:
        yield f"block {table.entries.index(places[-1])} (offset {places[-1]:#x}) clobbers footer"


def _batmap_problems(vhd: Vhd) -> Iterator[str]:
    batmap = vhd.batmap
    if batmap is None:
        if vhd.footer.by_tap and vhd.footer.creator_version >= 0x00010002:
            yield "error reading batmap"
        return
    if not batmap.valid:
        yield "batmap is invalid: invalid checksum"
        return
    if batmap.header.sectors * SECTOR * 8 < vhd.header.table_entries:
        yield "batmap is invalid: batmap-BAT size mismatch"
    if any(batmap.bits):
        for block in range(min(vhd.blocks, len(batmap.bits) * 8)):
            if not batmap.test(block):
                continue
            if not vhd.table.allocated[block]:
                yield f"batmap shows unallocated block {block} full"
            elif not vhd.bitmap_is_full(block):
                yield f"batmap shows block {block} full, its bitmap does not"


def repair(file: RandomAccessFile, sync: bool = True) -> Vhd:
    """Mend what the good copies allow: both footers, the end of the file, a batmap with a wrong checksum.

    Whichever footer is good is written to both places, the end of the file found by the block table. Raises the
    VhdError that opening raises where nothing good is left; then nothing is written. Returns the VHD, open.
    """
    vhd = Vhd.open(file, writable=True)
    if vhd.disk_type is not DiskType.FIXED:
        _ = vhd.table  # a table that cannot be believed must not decide where the file ends
        if vhd.batmap is not None and not vhd.batmap.valid:
            rebuild_batmap(vhd, vhd.batmap)
    vhd.write_footer(vhd.footer, sync)
    vhd.flush(sync)
    return vhd


def rebuild_batmap(vhd: Vhd, batmap: Batmap) -> None:
    """Make the batmap say what the bitmaps say; `flush` writes it."""
    batmap.bits[:] = bytes(len(batmap.bits))
    block = vhd.table.next_allocated(0)
    while block < vhd.blocks:
        if vhd.bitmap_is_full(block):
            batmap.set(block)
        block = vhd.table.next_allocated(block + 1)
    batmap.dirty = True
