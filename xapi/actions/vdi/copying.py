"""The bytes of one disk into another: zeros are not read, and what both already hold alike is not written."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from typing import Final

from xapi.storage.interface import DiskReader, DiskWriter, Extent

PIECE: Final = 2 << 20
"""The bytes that are copied between two looks at whether somebody wants it to stop: one block of a VHD."""
LARGEST_HOLE: Final = 1 << 30
Step = Callable[[int], None]
"""Is told after each piece how many bytes of the disk are done; may raise to stop."""


def copy_bytes(reader: DiskReader, writer: DiskWriter, step: Step, *, blank: bool = False) -> None:
    """Copy a whole disk; with `blank`, the other one reads as zeros, and zeros need not be written."""
    for extent in reader.extents():
        if extent.zero:
            if not blank:
                _write_zeros(writer, extent.offset, extent.length)
            step(extent.offset + extent.length)
        else:
            _copy_range(reader, writer, extent.offset, extent.length, step)
    writer.flush()


def copy_changes(base: DiskReader, reader: DiskReader, writer: DiskWriter, step: Step) -> int:
    """Copy what differs from `base` into a disk that holds what `base` holds; returns the bytes that were written."""
    written = 0
    for offset, length, alike in _compared(base, reader):
        if not alike:
            written += _copy_difference(base, reader, writer, offset, length)
        step(offset + length)
    writer.flush()
    return written


def _write_zeros(writer: DiskWriter, offset: int, length: int) -> None:
    for start in range(offset, offset + length, LARGEST_HOLE):
        writer.write_zeros(start, min(LARGEST_HOLE, offset + length - start))


def _copy_range(reader: DiskReader, writer: DiskWriter, offset: int, length: int, step: Step) -> None:
    end = offset + length
    while offset < end:
        # Pieces end where blocks of the disk do.
        count = min(PIECE - offset % PIECE, end - offset)
        writer.pwrite(offset, reader.pread(offset, count))
        offset += count
        step(offset)


def _compared(base: DiskReader, reader: DiskReader) -> Iterator[tuple[int, int, bool]]:
    """The pieces of a disk as (offset, length, alike), told without reading from where they lie."""
    common = min(base.size, reader.size)
    theirs = base.extents(0, common)
    ours = reader.extents(0, reader.size)
    one, other = next(theirs, None), next(ours, None)
    while other is not None:
        if one is None:
            yield from _pieces(other.offset, other.length, other.zero)
            other = next(ours, None)
            continue
        start = max(one.offset, other.offset)
        end = min(one.offset + one.length, other.offset + other.length)
        yield from _pieces(start, end - start, _same_place(one, other, start))
        if one.offset + one.length == end:
            one = next(theirs, None)
        if other.offset + other.length == end:
            other = next(ours, None)
        elif one is None:
            other = Extent(end, other.offset + other.length - end, other.descriptor, other.place + end - other.offset)


def _pieces(offset: int, length: int, alike: bool) -> Iterator[tuple[int, int, bool]]:
    if alike:
        yield offset, length, True
        return
    end = offset + length
    while offset < end:
        count = min(PIECE - offset % PIECE, end - offset)
        yield offset, count, False
        offset += count


def _same_place(one: Extent, other: Extent, start: int) -> bool:
    """Whether two extents are the same bytes of the same file from `start` on, or zeros both."""
    if one.zero or other.zero:
        return one.zero and other.zero
    if one.place + start - one.offset != other.place + start - other.offset:
        return False
    ours, theirs = os.fstat(one.descriptor), os.fstat(other.descriptor)
    return (ours.st_dev, ours.st_ino) == (theirs.st_dev, theirs.st_ino)


def _copy_difference(base: DiskReader, reader: DiskReader, writer: DiskWriter, offset: int, length: int) -> int:
    wanted = reader.pread(offset, length)
    common = max(min(length, base.size - offset), 0)
    present = (base.pread(offset, common) if common else b"").ljust(length, b"\0")
    if wanted == present:
        return 0
    writer.pwrite(offset, wanted)
    return length
