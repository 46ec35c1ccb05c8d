"""Reading a disk's data from its first byte to its last, with the next pieces under way while one is being written.

Reads and writes leave the interpreter's lock, so a copy keeps two processors, or two disks, at work.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from typing import NamedTuple, TypeAlias

from xapi.storage.vhd.chain import CHUNK, Extent
from xapi.storage.vhd.file import RandomAccessFile, RealFile
from xapi.storage.writeback import EVERY, begin_writeback

READERS = 2
BUFFERS = 5
"""Pieces in memory: one is written, the others are being read or are ready."""


class Part(NamedTuple):
    """Bytes of a virtual disk that lie in one piece in one file."""

    offset: int
    length: int
    file: RandomAccessFile
    place: int


Data: TypeAlias = tuple[int, memoryview]
"""(Offset, what is there), of at most CHUNK bytes, on one side of every multiple of CHUNK."""


def read_for(target: RandomAccessFile, extents: Iterable[Extent]) -> Iterator[Data]:
    """Yield the data of extents for a caller who writes all of it to `target`, which begins early to go to its disk."""
    unwritten = 0
    for offset, data in read_data(extents):
        yield offset, data
        unwritten += len(data)
        if unwritten >= EVERY and isinstance(target, RealFile):
            begin_writeback(target.fileno())
            unwritten = 0


def read_data(extents: Iterable[Extent]) -> Iterator[Data]:
    """Yield the data of extents in their order, zeros left out; what is yielded is good until the next is asked for.

    What adjoins is yielded as one, whatever files it comes from. The extents are looked for in the caller's thread,
    the bytes are read in others; their errors are raised here.
    """
    pool = ThreadPoolExecutor(READERS, "read-ahead")
    free: list[memoryview] = []
    pending: deque[tuple[memoryview, Future[list[Data]]]] = deque()
    with ExitStack() as stack:
        stack.callback(pool.shutdown, cancel_futures=True)
        for parts in _chunks(extents):
            if len(pending) == BUFFERS:
                yield from _next(pending, free)
            buffer = free.pop() if free else memoryview(bytearray(CHUNK))
            pending.append((buffer, pool.submit(_read, parts, buffer)))
        while pending:
            yield from _next(pending, free)


def _next(pending: deque[tuple[memoryview, Future[list[Data]]]], free: list[memoryview]) -> Iterator[Data]:
    buffer, future = pending.popleft()
    yield from future.result()
    free.append(buffer)


def _chunks(extents: Iterable[Extent]) -> Iterator[list[Part]]:
    """Yield what lies between two multiples of CHUNK together: pieces may be small, and many."""
    parts: list[Part] = []
    limit = 0
    for extent in extents:
        if extent.file is None:
            continue
        offset, end = extent.offset, extent.offset + extent.length
        while offset < end:
            if offset >= limit:
                if parts:
                    yield parts
                parts, limit = [], (offset // CHUNK + 1) * CHUNK
            length = min(end, limit) - offset
            parts.append(Part(offset, length, extent.file, extent.file_offset + offset - extent.offset))
            offset += length
    if parts:
        yield parts


def _read(parts: list[Part], buffer: memoryview) -> list[Data]:
    found: list[Data] = []
    begin = end = parts[0].offset
    at = 0
    for offset, length, file, place in parts:
        if offset != end:
            found.append((begin, buffer[at : at + end - begin]))
            at += end - begin
            begin = end = offset
        part = buffer[at + end - begin : at + end - begin + length]
        have = file.pread_into(part, place)
        if have < length:  # a last block that the end of its file cuts short
            part[have:] = bytes(length - have)
        end += length
    found.append((begin, buffer[at : at + end - begin]))
    return found
