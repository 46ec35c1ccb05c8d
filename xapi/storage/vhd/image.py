"""One VHD file that may be written to; `reader.py` says where its data lies.

A `Vhd` knows nothing of its parents (see chain.py). Writes go to the file at once, data before bitmap before block
table, so that a process killed at any of them leaves a good file; the batmap, which only saves reads, follows on
`flush`. With `barriers` the same order also holds when the machine loses power. Reads may come from several threads;
writes come from one at a time.
"""

from __future__ import annotations

from dataclasses import replace

from xapi.storage.vhd import bitmap
from xapi.storage.vhd.errors import NoSpace, OutOfRange, ReadOnly, Unaligned
from xapi.storage.vhd.file import Bytes, zero_range
from xapi.storage.vhd.footers import FooterFound
from xapi.storage.vhd.layout import FOOTER_SIZE, SECTOR, UNUSED, Footer, padded
from xapi.storage.vhd.reader import VhdReader

PAGE_SECTORS = 8
"""Data of a block begins on a page: direct I/O and shared extents want that."""


class Vhd(VhdReader):
    """An open VHD file. Build one with `Vhd.open`, or with the functions of create.py."""

    def close(self) -> None:
        """Flush what a writer left behind and close the file, which is closed also if that fails."""
        try:
            if self.writable and self._batmap is not None and self._batmap.dirty:
                self.flush()
        finally:
            super().close()

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
