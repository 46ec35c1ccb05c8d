"""The batmap: one bit for each block of which every sector is present, so that its bitmap need not be read."""

from __future__ import annotations

from dataclasses import replace

from xapi.storage.vhd.file import RandomAccessFile
from xapi.storage.vhd.layout import SECTOR, BatmapHeader, Header, checksum, padded_at_least_one

SIGNED_VERSION = 0x00010001
"""Batmaps of this version summed their bytes as signed numbers."""


def covered_bytes(size: int, block_size: int) -> int:
    """Return how many bytes of the map its checksum covers, for a disk of `size` bytes.

    blktap divides before it rounds up, so that for a few sizes the last blocks have no bit that it reads: those
    bits stay clear, which is always true enough.
    """
    return padded_at_least_one(size // (block_size * 8))


class Batmap:
    """A batmap in memory; `dirty` when it says more than the one on disk."""

    __slots__ = ("bits", "dirty", "header", "header_offset", "valid")

    def __init__(self, header: BatmapHeader, header_offset: int, bits: bytearray, valid: bool = True) -> None:
        self.header = header
        self.header_offset = header_offset
        self.bits = bits
        self.valid = valid
        self.dirty = False

    @classmethod
    def load(cls, file: RandomAccessFile, header: Header, size: int) -> Batmap | None:
        """Read the batmap of a dynamic disk, or return None where the file has none.

        One whose checksum is wrong is taken as all clear: it only ever saves reads.
        """
        place = header.batmap_header_offset
        found = BatmapHeader.parse(file.pread(SECTOR, place))
        covered = covered_bytes(size, header.block_size)
        if found is None or found.offset % SECTOR or found.sectors * SECTOR < covered:
            return None
        if found.offset + found.sectors * SECTOR > file.size():
            return None
        bits = file.pread(covered, found.offset)
        if len(bits) < covered:
            return None
        total = checksum(bits)
        if found.version == SIGNED_VERSION:
            total = (total + 256 * sum(byte > 127 for byte in bits)) & 0xFFFFFFFF
        if found.total != total:
            return cls(found, place, bytearray(covered), valid=False)
        return cls(found, place, bytearray(bits))

    def test(self, block: int) -> bool:
        """Return whether the block is known to be full."""
        at = block >> 3
        return at < len(self.bits) and bool(self.bits[at] & 0x80 >> (block & 7))

    def set(self, block: int) -> None:
        """Note that the block is full; `write` puts it on disk."""
        at = block >> 3
        if at < len(self.bits):
            self.bits[at] |= 0x80 >> (block & 7)
            self.dirty = True

    def clear(self, block: int) -> None:
        """Note that the block is no longer full; this has to reach the disk before the block's bitmap does."""
        at = block >> 3
        if at < len(self.bits):
            self.bits[at] &= ~(0x80 >> (block & 7))
            self.dirty = True

    def write(self, file: RandomAccessFile) -> None:
        """Put map and header on disk, in one write where they lie side by side."""
        self.header = replace(self.header, total=checksum(self.bits), version=max(self.header.version, 0x00010002))
        packed = self.header.pack()
        if self.header.offset == self.header_offset + SECTOR:
            file.pwritev([packed, self.bits], self.header_offset)
        else:
            file.pwrite(self.bits, self.header.offset)
            file.pwrite(packed, self.header_offset)
        self.valid = True
        self.dirty = False
