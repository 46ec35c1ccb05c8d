"""What one VHD file says of itself, and where its own data lies.

Reads may come from several threads.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Self

from xapi.storage.vhd import bitmap
from xapi.storage.vhd.batmap import Batmap
from xapi.storage.vhd.block_table import BlockTable
from xapi.storage.vhd.errors import (
    CorruptBlockTable,
    CorruptFooter,
    CorruptHeader,
    JournalPending,
)
from xapi.storage.vhd.file import RandomAccessFile
from xapi.storage.vhd.footers import FooterFound, read_footers, read_header
from xapi.storage.vhd.layout import (
    FOOTER_SIZE,
    HEADER_SIZE,
    NO_CODE,
    NO_UUID,
    SECTOR,
    UNUSED,
    DiskType,
    Footer,
    Header,
    padded,
)

CACHED_BITMAPS = 4096


class VhdReader:
    """An open VHD file, as far as it is only looked at."""

    def __init__(self, file: RandomAccessFile, found: FooterFound, header: Header | None, writable: bool) -> None:
        self.file = file
        self.footers = found
        self.footer = found.footer
        self._header = header
        self.writable = writable
        self.barriers = False
        self._ends_are_sure = False
        # What is read late is read once: a thread that read before a write must not store what it saw after it.
        self._lock = threading.RLock()
        self._bitmaps: dict[int, int] = {}
        self._table: BlockTable | None = None
        self._batmap: Batmap | None = None
        self._batmap_loaded = False
        self._data_end = -1
        self._measure()

    def _measure(self) -> None:
        self.size = self.footer.current_size
        if self._header is not None:
            self.block_size = self._header.block_size
            self._sectors = self.block_size // SECTOR
            self._bitmap_sectors = padded(self._sectors // 8) // SECTOR
            self._full = bitmap.full(self._sectors)

    @classmethod
    def open(
        cls, file: RandomAccessFile, writable: bool = False, strict: bool = False, allow_disabled: bool = False
    ) -> Self:
        """Open what is in `file`; a VhdError says what is wrong with it, and then the file stays open.

        A torn footer at the end is tolerated where the copy at the front is good; `strict` refuses it, and checks
        the block table at once. `allow_disabled` opens a file in the middle of a journalled change, for looking.
        """
        found = read_footers(file)
        if found.footer.disabled and not allow_disabled:
            raise JournalPending(file.path, "a journalled change was cut short; revert it from its journal")
        header = read_header(file, found.footer)
        if header is None and not found.footer.current_size + FOOTER_SIZE - 1 <= file.size():
            raise CorruptFooter(file.path, "the file is shorter than the fixed disk that its footer describes")
        vhd = cls(file, found, header, writable)
        if strict:
            if found.end is None:
                raise CorruptFooter(file.path, "no valid footer at the end of the file")
            if header is not None and found.front != found.end:
                raise CorruptFooter(file.path, "the footer at the end and its copy at the front differ")
            if header is not None:
                _ = vhd.table
        return vhd

    def close(self) -> None:
        """Close the file."""
        self.file.close()

    @property
    def path(self) -> str:
        """The name of the file."""
        return self.file.path

    @property
    def disk_type(self) -> DiskType:
        """Fixed, dynamic or differencing."""
        return self.footer.disk_type

    @property
    def header(self) -> Header:
        """The dynamic header; CorruptHeader on a fixed disk, which has none."""
        if self._header is None:
            raise CorruptHeader(self.path, "a fixed disk has no dynamic header")
        return self._header

    @property
    def hidden(self) -> int:
        """Not 0 when tools should not show this disk: it is only there as a parent."""
        old = self.footer.by_tap and self.footer.creator_version == 0x00010001
        if old and self.footers.front is not None:  # the first tools marked only the copy at the front
            return self.footers.front.hidden
        return self.footer.hidden

    @property
    def has_parent(self) -> bool:
        """Whether this is a differencing disk."""
        return self.footer.disk_type is DiskType.DIFFERENCING

    @property
    def parent_is_raw(self) -> bool:
        """Whether the parent is a raw file or volume: blktap marks that with a parent UUID of zeros."""
        return self.has_parent and self.header.parent_id == NO_UUID

    @property
    def blocks(self) -> int:
        """How many blocks the virtual disk has; 0 for a fixed disk."""
        return 0 if self._header is None else -(-self.size // self.block_size)

    @property
    def block_sectors(self) -> int:
        """The sectors that an allocated block takes in the file: its bitmap and its data."""
        return self._bitmap_sectors + self._sectors

    @property
    def table(self) -> BlockTable:
        """The block table, read and checked when it is first asked for."""
        if self._table is None:
            with self._lock:
                self._table = self._table or self._load_table()
        return self._table

    def _load_table(self) -> BlockTable:
        header = self.header
        data = self.file.pread(self.blocks * 4, header.table_offset)
        if len(data) < self.blocks * 4:
            raise CorruptBlockTable(self.path, "the file ends inside the block table")
        table = BlockTable.parse(data, self.blocks)
        own = (header.table_offset // SECTOR, (header.table_offset + header.table_bytes) // SECTOR)
        table.validate(self.path, self.block_sectors, own, -(-self.file.size() // SECTOR))
        return table

    @property
    def batmap(self) -> Batmap | None:
        """The batmap, or None: only files of the tap creator, from version 1.1 on, have one."""
        if not self._batmap_loaded:
            with self._lock:
                tap = self.footer.by_tap and self.footer.creator_version >= 0x00010001
                if not self._batmap_loaded and self._header is not None and tap:
                    self._batmap = Batmap.load(self.file, self._header, self.size)
                self._batmap_loaded = True
        return self._batmap

    @property
    def headers_end(self) -> int:
        """The offset behind the last metadata: table, batmap and parent locators."""
        if self._header is None:
            return 0
        header = self._header
        end = max(self.footer.data_offset + HEADER_SIZE, header.table_offset + header.table_bytes)
        if self.batmap is not None:
            end = max(end, header.batmap_header_offset + SECTOR)
            end = max(end, self.batmap.header.offset + self.batmap.header.sectors * SECTOR)
        size = self.file.size()
        for locator in header.locators:
            place = locator.offset + locator.space_bytes
            if locator.code != NO_CODE and place <= size:  # one that claims to be elsewhere is not there
                end = max(end, place)
        return end

    @property
    def data_end(self) -> int:
        """The offset behind the last thing of value, which is where a file's footer belongs."""
        if self._header is None:
            return self.size
        if self._data_end < 0:
            highest = self.table.highest()
            self._data_end = max(self.headers_end, (highest + self.block_sectors) * SECTOR if highest >= 0 else 0)
        return self._data_end

    @property
    def physical_size(self) -> int:
        """The bytes that the VHD uses, with its footer: what a device must have at least."""
        return self.data_end + FOOTER_SIZE

    @property
    def footer_offset(self) -> int:
        """Where the footer belongs: at the end of a device, behind the data of a file."""
        return self.file.size() - FOOTER_SIZE if self.file.fixed_size else self.data_end

    def forget(self) -> None:
        """Drop what is kept of table, batmap and bitmaps, and read it anew when it is next needed."""
        self._table = None
        self._batmap = None
        self._batmap_loaded = False
        self._bitmaps.clear()
        self._data_end = -1

    def replace_metadata(self, footer: Footer, header: Header | None) -> None:
        """Take over a footer and a header that were just written to the file."""
        self.footer = footer
        self.footers = FooterFound(footer, footer, footer if header is not None else None)
        self._header = header
        self.forget()
        self._measure()

    # Where the data is

    def block_bitmap(self, block: int) -> int:
        """Return the bitmap of a block as an integer (see bitmap.py); 0 for a block that is not allocated."""
        entry = self.table.entries[block]
        if entry == UNUSED:
            return 0
        known = self._bitmaps.get(block)
        if known is not None:
            return known
        with self._lock:
            known = self._bitmaps.get(block)
            if known is None:
                data = self.file.pread(self._bitmap_sectors * SECTOR, entry * SECTOR)
                known = bitmap.from_bytes(data.ljust(self._bitmap_sectors * SECTOR, b"\0"), self._sectors)
                self._remember(block, self._full if known == self._full else known)  # one number for all full ones
            return known

    def _remember(self, block: int, value: int) -> None:
        if len(self._bitmaps) >= CACHED_BITMAPS:
            self._bitmaps.clear()
        self._bitmaps[block] = value

    def block_is_full(self, block: int) -> bool:
        """Return whether every sector of the block is in this file."""
        if self.table.entries[block] == UNUSED:
            return False
        batmap = self.batmap
        return (batmap is not None and batmap.test(block)) or self.bitmap_is_full(block)

    def bitmap_is_full(self, block: int) -> bool:
        """Return whether the block's own bitmap says so, whatever the batmap says."""
        return self.block_bitmap(block) == self._full

    def run_at(self, offset: int, end: int) -> tuple[int, int | None]:
        """Return where the run that begins at `offset` ends, at `end` at the latest, and its place in the file.

        The place is None for what this file does not have: a parent's to say, or zeros. That what it has may be a
        hole of the file system is not looked at.
        """
        if self._header is None:
            return end, offset
        table = self._table if self._table is not None else self.table
        size = self.block_size
        block = offset // size
        entry = table.entries[block]
        if entry == UNUSED:
            return min(end, table.next_allocated(block, -(-end // size)) * size), None
        first = block * size
        stop, present = first + size, True
        batmap = self._batmap if self._batmap_loaded else self.batmap
        if batmap is None or not batmap.test(block):
            known = self._bitmaps.get(block)
            if known is None:
                known = self.block_bitmap(block)
            if known != self._full:
                sector, present = bitmap.run_at(known, self._sectors, (offset - first) // SECTOR)
                stop = first + sector * SECTOR
        place = (entry + self._bitmap_sectors) * SECTOR + offset - first if present else None
        return (stop if stop < end else end), place

    def runs(self, offset: int, length: int) -> Iterator[tuple[int, int, int | None]]:
        """Yield (offset, length, place in the file) over the range, which lies inside the disk; see `run_at`."""
        end = offset + length
        while offset < end:
            stop, place = self.run_at(offset, end)
            yield offset, stop - offset, place
            offset = stop
