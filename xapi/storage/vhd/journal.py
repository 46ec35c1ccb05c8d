"""The journal beside a VHD: what a change is about to overwrite, so that a change cut short can be undone.

The layout is blktap's, so that either tool can revert what the other began: a header of 512 bytes, then entries, each
of 32 bytes and its data. While a change is under way the footers carry the cookie `v_poison`, and the file does not
open. The steps, and what a process killed in between leaves behind:

1. the entries, then the journal's header: the VHD is as it was, and opens;
2. the cookie: the VHD does not open; `revert` brings the old state back;
3. the change itself: as before;
4. the journal's header without entries: the VHD does not open; `revert` makes the new state final;
5. the cookie back: the VHD is as it shall be.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import NamedTuple

from xapi.storage.vhd.errors import CorruptFooter, JournalError, UnsupportedVhd
from xapi.storage.vhd.file import RandomAccessFile
from xapi.storage.vhd.image import Vhd
from xapi.storage.vhd.layout import (
    DISABLED_COOKIE,
    FOOTER_COOKIE,
    FOOTER_SIZE,
    HEADER_SIZE,
    NO_CODE,
    SECTOR,
    Footer,
    checksum,
)

JOURNAL_COOKIE = b"vjournal"
ENTRY_COOKIE = 0xAAAA12344321AAAA
FOOTER_AT_END, FOOTER_COPY, HEADER, LOCATOR, TABLE, BATMAP_HEADER, BATMAP, DATA = range(1, 9)
PIECE = 2 << 20
LONGEST_ENTRY = 64 << 20

_HEADER = struct.Struct(">8s16sQIIQQ")
_EOF = struct.Struct("<Q")  # the one field that blktap leaves in the order of the machine
_ENTRY = struct.Struct(">QIIQI4x")


class Entry(NamedTuple):
    """One entry: what it saves, and where in the VHD and in the journal that is."""

    kind: int
    size: int
    offset: int
    total: int
    place: int


class Journal:
    """A journal that protects one change to one VHD."""

    def __init__(self, file: RandomAccessFile, vhd: Vhd, sync: bool = True) -> None:
        self._file = file
        self._vhd = vhd
        self._sync = sync
        self._footer_offset = vhd.file.size() - FOOTER_SIZE

    def begin(self, regions: Iterable[tuple[int, int]] = ()) -> None:
        """Save all metadata and the `regions` (offset, length in whole sectors) of the VHD, then disable the VHD."""
        vhd = self._vhd
        vhd.check_writable()
        if vhd.footers.end is None or vhd.file.pread(8, self._footer_offset) != FOOTER_COOKIE:
            raise CorruptFooter(vhd.path, "no footer in the last sector; repair the file first")
        if not self._file.fixed_size:
            self._file.truncate(0)
        metadata = list(self._metadata_regions())
        data = [(DATA, *piece) for offset, length in regions for piece in _pieces(offset, length)]
        end = SECTOR
        for kind, offset, length in metadata:
            end = self._save(kind, offset, length, end)
        data_offset = end
        for kind, offset, length in data:
            end = self._save(kind, offset, length, end)
        if self._sync:
            self._file.flush()
        self._write_header(len(metadata), len(data), data_offset, end)
        if self._sync:
            self._file.flush()
        self._mark(DISABLED_COOKIE)

    def commit(self) -> None:
        """Declare the change complete and enable the VHD, whose footer is by now the new one."""
        if self._sync:
            self._vhd.file.flush()
        self._write_header(0, 0, 0, SECTOR)
        if not self._file.fixed_size:
            self._file.truncate(SECTOR)
        if self._sync:
            self._file.flush()
        self._mark(FOOTER_COOKIE)

    def _mark(self, cookie: bytes) -> None:
        self._vhd.write_footer(replace(self._vhd.footer, cookie=cookie), self._sync)

    def _metadata_regions(self) -> Iterator[tuple[int, int, int]]:
        vhd = self._vhd
        yield FOOTER_AT_END, self._footer_offset, FOOTER_SIZE
        if vhd.blocks == 0:
            return
        header = vhd.header
        yield FOOTER_COPY, 0, FOOTER_SIZE
        yield HEADER, vhd.footer.data_offset, HEADER_SIZE
        for locator in header.locators:
            if locator.code != NO_CODE and locator.space_bytes:
                yield LOCATOR, locator.offset, locator.space_bytes
        yield TABLE, header.table_offset, header.table_bytes
        if vhd.batmap is not None:
            yield BATMAP_HEADER, header.batmap_header_offset, SECTOR
            yield BATMAP, vhd.batmap.header.offset, vhd.batmap.header.sectors * SECTOR

    def _save(self, kind: int, offset: int, length: int, place: int) -> int:
        data = self._vhd.file.pread(length, offset).ljust(length, b"\0")
        unsummed = _ENTRY.pack(ENTRY_COOKIE, kind, length, offset, 0)
        # blktap sums the bytes of the entry and then those of the data.
        total = checksum(unsummed) - sum(data) & 0xFFFFFFFF
        self._file.pwritev([_ENTRY.pack(ENTRY_COOKIE, kind, length, offset, total), data], place)
        return place + _ENTRY.size + length

    def _write_header(self, metadata: int, data: int, data_offset: int, end: int) -> None:
        fixed = _HEADER.pack(
            JOURNAL_COOKIE,
            self._vhd.footer.unique_id.bytes,
            self._footer_offset,
            data,
            metadata,
            data_offset,
            SECTOR if metadata else 0,
        )
        self._file.pwrite((fixed + _EOF.pack(end)).ljust(SECTOR, b"\0"), 0)


def _pieces(offset: int, length: int) -> Iterator[tuple[int, int]]:
    for start in range(offset, offset + length, PIECE):
        yield start, min(PIECE, offset + length - start)


def revert(file: RandomAccessFile, journal: RandomAccessFile, sync: bool = True) -> bool:
    """Undo a change to the VHD in `file` that was cut short, or finish one that was already committed.

    Returns False where there was nothing to do. Everything is checked before the first write; JournalError says why
    a journal cannot be used. Killed in the middle, it can be done again.
    """
    head = journal.pread(SECTOR, 0)
    if len(head) < SECTOR or head[:8] != JOURNAL_COOKIE:
        raise JournalError(journal.path, "not a journal, or one that was never complete")
    _, unique_id, footer_offset, data, metadata, _, _ = _HEADER.unpack_from(head)
    footers = list(_footers(file))
    if footers and all(footer.unique_id.bytes != unique_id for footer in footers):
        raise JournalError(journal.path, f"belongs to another VHD than {file.path}")
    if metadata == 0:
        return _finish(file, sync)
    entries = list(_entries(journal, metadata + data))
    if _ends_enabled(file):
        if any(file.pread(entry.size, entry.offset) != journal.pread(entry.size, entry.place) for entry in entries):
            raise JournalError(journal.path, f"{file.path} was in use since; reverting it would destroy data")
        return False
    _restore(file, journal, entries, footer_offset, sync)
    return True


def _footers(file: RandomAccessFile) -> Iterator[Footer]:
    for offset in (max(file.size() - FOOTER_SIZE, 0), 0):
        try:
            yield Footer.parse(file.pread(FOOTER_SIZE, offset), file.path)
        except (CorruptFooter, UnsupportedVhd):
            continue


def _ends_enabled(file: RandomAccessFile) -> bool:
    try:
        return not Footer.parse(file.pread(FOOTER_SIZE, max(file.size() - FOOTER_SIZE, 0)), file.path).disabled
    except (CorruptFooter, UnsupportedVhd):
        return False


def _finish(file: RandomAccessFile, sync: bool) -> bool:
    vhd = Vhd.open(file, writable=True, allow_disabled=True)
    front = vhd.footers.front
    if not vhd.footer.disabled and not (front is not None and front.disabled):
        return False
    vhd.write_footer(replace(vhd.footer, cookie=FOOTER_COOKIE), sync)
    return True


def _entries(journal: RandomAccessFile, count: int) -> Iterator[Entry]:
    """Yield the entries of a journal, each checked against its sum."""
    place, size = SECTOR, journal.size()
    for number in range(count):
        fixed = journal.pread(_ENTRY.size, place)
        if len(fixed) < _ENTRY.size:
            raise JournalError(journal.path, f"ends before entry {number}")
        cookie, kind, length, offset, total = _ENTRY.unpack(fixed)
        place += _ENTRY.size
        if cookie != ENTRY_COOKIE or not FOOTER_AT_END <= kind <= DATA or length % SECTOR or not length:
            raise JournalError(journal.path, f"entry {number} is not an entry")
        if length > LONGEST_ENTRY or place + length > size:
            raise JournalError(journal.path, f"entry {number} is longer than the journal")
        # The four bytes of padding and the sum itself are in the entry too; only the sum is not counted.
        summed = sum(fixed) - sum(fixed[24:28]) + sum(journal.pread(length, place))
        if ~summed & 0xFFFFFFFF != total:
            raise JournalError(journal.path, f"entry {number} does not match its checksum")
        yield Entry(kind, length, offset, total, place)
        place += length


def _restore(
    file: RandomAccessFile, journal: RandomAccessFile, entries: list[Entry], footer_offset: int, sync: bool
) -> None:
    """Write everything back, the footers last: until then the file does not open, and can be reverted again."""
    footers = {entry.kind: entry for entry in entries if entry.kind in (FOOTER_AT_END, FOOTER_COPY)}
    if FOOTER_AT_END not in footers:
        raise JournalError(journal.path, "has no footer")
    for entry in entries:
        if entry.kind not in footers:
            file.pwrite(journal.pread(entry.size, entry.place), entry.offset)
    if sync:
        file.flush()
    for kind in (FOOTER_AT_END, FOOTER_COPY):
        if kind in footers:
            file.pwrite(journal.pread(FOOTER_SIZE, footers[kind].place), footers[kind].offset)
        if kind == FOOTER_AT_END and not file.fixed_size:
            file.truncate(footer_offset + FOOTER_SIZE)
        if sync:
            file.flush()
