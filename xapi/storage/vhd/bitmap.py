"""Bitmaps as integers: the first sector of a block is the most significant bit, as it lies on disk.

An integer of 4096 bits is compared, masked and searched by C code, and is safe to share between threads.
"""

from __future__ import annotations

from collections.abc import Iterator


def full(bits: int) -> int:
    """Return the bitmap of `bits` sectors that are all present."""
    return (1 << bits) - 1


def mask(bits: int, start: int, count: int) -> int:
    """Return the bitmap of `bits` sectors in which only `count` from `start` are present."""
    return ((1 << count) - 1) << (bits - start - count)


def from_bytes(data: bytes, bits: int) -> int:
    """Return the bitmap of `bits` sectors (a multiple of 8) that begins `data`."""
    return int.from_bytes(data[: bits // 8], "big")


def to_bytes(bitmap: int, bits: int, length: int) -> bytes:
    """Return a bitmap of `bits` sectors as it lies in `length` bytes on disk."""
    return bitmap.to_bytes(bits // 8, "big").ljust(length, b"\0")


def run_at(bitmap: int, bits: int, start: int) -> tuple[int, bool]:
    """Return the end of the run of sectors to which `start` belongs, and whether they are present."""
    left = bits - start
    everything = (1 << left) - 1
    here = bitmap & everything
    missing = (here ^ everything).bit_length()
    if missing < left:
        return bits - missing, True
    return bits - here.bit_length(), False


def runs(bitmap: int, bits: int, start: int, stop: int) -> Iterator[tuple[int, int, bool]]:
    """Yield (first sector, count, present) over [start, stop): each run as long as it can be."""
    while start < stop:
        end, present = run_at(bitmap, bits, start)
        end = min(end, stop)
        yield start, end - start, present
        start = end
