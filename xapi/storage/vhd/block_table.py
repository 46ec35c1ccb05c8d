"""The block allocation table in memory: where each block of the virtual disk lies in the file."""

from __future__ import annotations

import bisect
import operator
import sys
from array import array
from itertools import compress, islice

from xapi.storage.vhd.errors import CorruptBlockTable
from xapi.storage.vhd.layout import SECTOR, UNUSED

SORTED_AT_ONCE = 1 << 19


class BlockTable:
    """One entry for each block: the sector where its bitmap begins, or UNUSED.

    `allocated` has a byte 1 for each block that is there, so that runs are found by `find`, not by a loop.
    """

    __slots__ = ("allocated", "entries")

    def __init__(self, entries: array[int]) -> None:
        self.entries = entries
        if entries.count(UNUSED) == len(entries):
            self.allocated = bytearray(len(entries))
        else:
            self.allocated = bytearray(map(UNUSED.__ne__, entries))

    @classmethod
    def parse(cls, data: bytes, count: int) -> BlockTable:
        """Return the table of `count` entries at the beginning of `data`."""
        entries = array("I", data[: count * 4])
        if sys.byteorder == "little":
            entries.byteswap()
        return cls(entries)

    def __len__(self) -> int:
        return len(self.entries)

    def __getitem__(self, block: int) -> int:
        return self.entries[block]

    def next_allocated(self, block: int, stop: int | None = None) -> int:
        """Return the first allocated block in [block, stop), or `stop`: the number of blocks by default."""
        stop = len(self.entries) if stop is None else stop
        found = self.allocated.find(1, block, stop)
        return stop if found < 0 else found

    def count(self) -> int:
        """Return how many blocks are allocated."""
        return self.allocated.count(1)

    def highest(self) -> int:
        """Return the sector of the last block in the file, or -1 where no block is allocated."""
        return max(compress(self.entries, self.allocated), default=-1)

    def set(self, block: int, sector: int) -> None:
        """Say where a block lies, or with UNUSED that it is nowhere."""
        self.entries[block] = sector
        self.allocated[block] = sector != UNUSED

    def sectors(self, first: int, last: int, changes: dict[int, int]) -> tuple[int, bytes]:
        """Return the bytes of the table's sectors that hold entries first to last, with `changes` made.

        The first value is the offset from the beginning of the table; entries behind the last block are UNUSED.
        """
        per_sector = SECTOR // 4
        start = first // per_sector * per_sector
        stop = (last // per_sector + 1) * per_sector
        part = self.entries[start:stop]
        part.extend([UNUSED] * (stop - start - len(part)))
        for block, sector in changes.items():
            part[block - start] = sector
        return start * 4, big_endian(part)

    def pack(self, length: int) -> bytes:
        """Return the whole table in `length` bytes, the rest of them marked unused."""
        return big_endian(self.entries).ljust(length, b"\xff")

    def validate(self, path: str, block_sectors: int, table: tuple[int, int], file_sectors: int) -> None:
        """Raise CorruptBlockTable unless every block lies in the file, apart from the others and from `table`.

        `table` is the first and the last-but-one sector of the table itself. A block may be cut short by the end of
        the file (what is missing reads as zeros), but has to begin inside it.
        """
        places = ascending(array("I", compress(self.entries, self.allocated)))
        if not places:
            return
        nearest = min(map(operator.sub, islice(places, 1, None), places), default=block_sectors)
        if nearest == 0:
            raise CorruptBlockTable(path, "two blocks lie at the same place in the file")
        if nearest < block_sectors:
            raise CorruptBlockTable(path, "two blocks overlap in the file")
        if places[0] < 3:
            raise CorruptBlockTable(path, f"a block at sector {places[0]} overlaps the headers")
        if places[-1] >= file_sectors:
            raise CorruptBlockTable(path, f"a block at sector {places[-1]} is beyond the end of the file")
        at = bisect.bisect_right(places, table[0] - block_sectors)
        if at < len(places) and places[at] < table[1]:
            raise CorruptBlockTable(path, f"a block at sector {places[at]} overlaps the block allocation table")


def ascending(places: array[int], at_once: int = SORTED_AT_ONCE) -> array[int]:
    """Return the places in order; a disk that was written from its beginning to its end has them so already.

    Sorting makes an object of each number, and a table of 2 TiB has a million: they are sorted `at_once` or so.
    """
    if min(map(operator.sub, islice(places, 1, None), places), default=0) >= 0:
        return places
    step = -(-(max(places) + 1) // (1 + len(places) // at_once))
    found = array("I")
    for begin in range(0, max(places) + 1, step):
        found.extend(sorted(place for place in places if begin <= place < begin + step))
    return found


def big_endian(entries: array[int]) -> bytes:
    """Return the entries as they lie on disk."""
    if sys.byteorder == "little":
        entries = entries[:]
        entries.byteswap()
    return entries.tobytes()
