"""One VHD file: opening it, what it says of itself, where its own data lies, and writing to it.

A `Vhd` knows nothing of its parents (see chain.py). Writes go to the file at once, data before bitmap before block
table, so that a process killed at any of them leaves a good file; the batmap, which only saves reads, follows on
`flush`. With `barriers` the same order also holds when the machine loses power. Reads may come from several threads;
writes come from one at a time.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import replace

from xapi.storage.vhd import bitmap
from xapi.storage.vhd.batmap import Batmap
from xapi.storage.vhd.block_table import BlockTable
from xapi.storage.vhd.errors import (
    CorruptBlockTable,
    CorruptFooter,
    CorruptHeader,
    JournalPending,
    NoSpace,
    OutOfRange,
    ReadOnly,
    Unaligned,
)
from xapi.storage.vhd.file import Bytes, RandomAccessFile, zero_range
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

PAGE_SECTORS = 8
"""Data of a block begins on a page: direct I/O and shared extents want that."""
CACHED_BITMAPS = 4096


class Vhd:
    """An open VHD file. Build one with `Vhd.open`, or with the functions of create.py."""

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
    ) -> Vhd:
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
        """Flush what a writer left behind and close the file."""
        if self.writable and self._batmap is not None and self._batmap.dirty:
            self.flush()
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

    # Writing

    def check_range(self, offset: int, length: int) -> None:
        """Raise OutOfRange unless the range lies inside the virtual disk."""
        if offset < 0 or length < 0 or offset + length > self.size:
            raise OutOfRange(self.path, f"{length} bytes at {offset} lie outside a disk of {self.size} bytes")

    def check_writable(self) -> None:
        """Raise ReadOnly unless the file was opened for writing."""
        if not self.writable:
            raise ReadOnly(self.path, "opened for reading only")

    def write(self, offset: int, data: Bytes) -> None:
        """Write whole sectors at `offset` of the virtual disk.

        A block that is not there yet is appended to the file: footer at the new end, data with bitmap, block table.
        """
        self.check_writable()
        view = memoryview(data).cast("B")
        self.check_range(offset, len(view))
        self._check_aligned("a write of", offset, len(view))
        if self._header is None:
            self.file.pwrite(view, offset)
            return
        self._mend_ends()
        size, done = self.block_size, 0
        fresh: list[tuple[int, int, memoryview]] = []
        while done < len(view):
            block, within = divmod(offset + done, size)
            part = view[done : done + size - within]
            if self.table.entries[block] == UNUSED:
                fresh.append((block, within, part))
            else:
                self._overwrite(block, within, part)
            done += len(part)
        if fresh:
            self._allocate(fresh)

    def write_zeros(self, offset: int, length: int) -> None:
        """Make whole sectors read as zeros, whatever a parent has there, and store no zeros for that if possible.

        Data gives its room up. A block that is not there yet gets its place in the file, and no data, where a parent
        would be seen without it.
        """
        self.check_writable()
        self.check_range(offset, length)
        self._check_aligned("zeroing", offset, length)
        if self._header is None:
            zero_range(self.file, offset, length)
            return
        self._mend_ends()
        size, end = self.block_size, offset + length
        while offset < end:
            block, within = divmod(offset, size)
            count = min(size - within, end - offset)
            if self.table.entries[block] != UNUSED:
                zero_range(self.file, (self.table.entries[block] + self._bitmap_sectors) * SECTOR + within, count)
                self._mark_present(block, within, count)
            elif not self.has_parent:
                pass  # what is not there reads as zeros
            elif count == size and not self.file.fixed_size:
                last = self.table.next_allocated(block, end // size) - 1
                self.allocate(block, last, full=True)
                count = (last + 1 - block) * size
            else:
                self.write(offset, bytes(count))
            offset += count

    def _check_aligned(self, what: str, offset: int, length: int) -> None:
        if offset % SECTOR or length % SECTOR:
            raise Unaligned(self.path, f"{what} {length} bytes at {offset} is not of whole sectors")

    def _mend_ends(self) -> None:
        """Put right what a change cut short left at the ends of the file, before the first write adds to it.

        A lost end would make a write into the last block look like the end; a stale copy at the front would count
        if the footer at the end were lost too.
        """
        if not self._ends_are_sure:
            if self.footers.front != self.footer:
                self.file.pwrite(self.footer.pack(), 0)
            if not self.file.fixed_size and self.file.size() < self.data_end + FOOTER_SIZE:
                self.file.pwrite(self.footer.pack(), self.data_end)
            self._ends_are_sure = True

    def _overwrite(self, block: int, within: int, part: memoryview) -> None:
        entry = self.table.entries[block]
        self.file.pwrite(part, (entry + self._bitmap_sectors) * SECTOR + within)
        self._mark_present(block, within, len(part))

    def _mark_present(self, block: int, within: int, length: int) -> None:
        """Say that this part of an allocated block has its data."""
        if self.batmap is not None and self.batmap.test(block):
            return
        before = self.block_bitmap(block)
        after = before | bitmap.mask(self._sectors, within // SECTOR, length // SECTOR)
        if after == before:
            return
        if self.barriers:
            self.file.flush()
        self.write_bitmap(block, after)

    def write_bitmap(self, block: int, value: int) -> None:
        """Put the bitmap of an allocated block on disk; one that is now full is noted for the batmap."""
        packed = bitmap.to_bytes(value, self._sectors, self._bitmap_sectors * SECTOR)
        with self._lock:
            self.file.pwrite(packed, self.table.entries[block] * SECTOR)
            self._remember(block, value)
        if value == self._full and self.batmap is not None:
            self.batmap.set(block)

    def place_blocks(self, count: int, start: int) -> tuple[list[int], int]:
        """Return the sectors for `count` new blocks from offset `start` on, and the offset behind the last.

        NoSpace when they do not fit on the device, or lie beyond what an entry can say.
        """
        places = []
        sector = padded(start) // SECTOR
        for _ in range(count):
            sector += -(sector + self._bitmap_sectors) % PAGE_SECTORS
            places.append(sector)
            sector += self.block_sectors
        if sector > UNUSED:
            raise NoSpace(self.path, "the next block would lie beyond the 2 TiB that a block table can address")
        if self.file.fixed_size and sector * SECTOR + FOOTER_SIZE > self.file.size():
            raise NoSpace(self.path, f"the device is too small for {count} more blocks")
        return places, sector * SECTOR

    def extend(self, end: int) -> None:
        """Make the file reach to `end` and put its footer there; on a device the footer is at the end already."""
        if self.file.fixed_size:
            return
        if self.file.size() > self.data_end + FOOTER_SIZE:
            # Left behind by a write that was cut short; cutting it off makes what follows a hole again.
            self.file.pwrite(self.footer.pack(), self.data_end)
            self.file.truncate(self.data_end + FOOTER_SIZE)
        self.file.pwrite(self.footer.pack(), end)

    def _allocate(self, fresh: list[tuple[int, int, memoryview]]) -> None:
        places, end = self.place_blocks(len(fresh), self.data_end)
        self.extend(end)
        bitmaps = []
        for (_, within, part), place in zip(fresh, places, strict=True):
            value = bitmap.mask(self._sectors, within // SECTOR, len(part) // SECTOR)
            packed = bitmap.to_bytes(value, self._sectors, self._bitmap_sectors * SECTOR)
            if within == 0:
                self.file.pwritev([packed, part], place * SECTOR)
            else:
                self.file.pwrite(part, (place + self._bitmap_sectors) * SECTOR + within)
                self.file.pwrite(packed, place * SECTOR)
            bitmaps.append(value)
        if self.barriers:
            self.file.flush()
        blocks = [block for block, _, _ in fresh]
        self.write_entries(dict(zip(blocks, places, strict=True)))
        self._data_end = end
        for block, value in zip(blocks, bitmaps, strict=True):
            self._remember(block, value)
            if value == self._full and self.batmap is not None:
                self.batmap.set(block)

    def write_entries(self, changes: dict[int, int]) -> None:
        """Put entries of the block table on disk, whole sectors of it in one write, and then in memory."""
        place, packed = self.table.sectors(min(changes), max(changes), changes)
        self.file.pwrite(packed, self.header.table_offset + place)
        for block, sector in changes.items():
            self.table.set(block, sector)

    def allocate(self, first: int, last: int, full: bool = False) -> None:
        """Give every block from first to last that has none its place, without data.

        Their sectors are not present, unless `full` says so: then they read as zeros (on a device, as what is there).
        """
        self.check_writable()
        blocks = [block for block in range(first, last + 1) if self.table.entries[block] == UNUSED]
        empty = bitmap.to_bytes(self._full if full else 0, self._sectors, self._bitmap_sectors * SECTOR)
        for at in range(0, len(blocks), 1024):
            part = blocks[at : at + 1024]
            places, end = self.place_blocks(len(part), self.data_end)
            self.extend(end)
            for place in places:
                self.file.pwrite(empty, place * SECTOR)
            if self.barriers:
                self.file.flush()
            self.write_entries(dict(zip(part, places, strict=True)))
            self._data_end = end

    def clear_sectors(self, block: int, present: int) -> None:
        """Take the sectors of the bitmap `present` out of an allocated block, so that a parent's are seen."""
        self.check_writable()
        before = self.block_bitmap(block)
        after = before & ~present
        if after == before:
            return
        if self.batmap is not None and self.batmap.test(block):
            self.batmap.clear(block)
            self.batmap.write(self.file)
            if self.barriers:
                self.file.flush()
        self.write_bitmap(block, after)

    def flush(self, sync: bool = True) -> None:
        """Write the batmap if it changed and, with `sync`, return when everything is on stable storage."""
        if self._batmap is not None and self._batmap.dirty:
            if sync:
                self.file.flush()  # a full bit must not be there before the bitmap that it stands for
            self._batmap.write(self.file)
        if sync:
            self.file.flush()

    def write_footer(self, footer: Footer, sync: bool = True) -> None:
        """Put a footer at the end and then, on a dynamic disk, its copy at the front.

        The one at the end is the one that counts: cut short between the two, the change is made.
        """
        self.check_writable()
        packed = footer.pack()
        place = self.footer_offset
        self.file.pwrite(packed, place)
        if not self.file.fixed_size and self.file.size() > place + FOOTER_SIZE:
            self.file.truncate(place + FOOTER_SIZE)
        if self._header is not None:
            if sync:
                self.file.flush()
            self.file.pwrite(packed, 0)
        if sync:
            self.file.flush()
        self.footer = footer
        self.footers = FooterFound(footer, footer, footer if self._header is not None else None)

    def set_hidden(self, hidden: bool | int, sync: bool = True) -> None:
        """Set or clear the hidden byte (any value that fits one)."""
        self.write_footer(replace(self.footer, hidden=int(hidden)), sync)
