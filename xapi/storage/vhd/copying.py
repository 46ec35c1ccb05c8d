"""Copying a whole disk, holes and zeros left out."""

from __future__ import annotations

from collections.abc import Iterator

from xapi.storage.vhd.chain import Chain, RawDisk
from xapi.storage.vhd.coalesce import Progress
from xapi.storage.vhd.errors import InvalidSize
from xapi.storage.vhd.image import Vhd
from xapi.storage.vhd.read_ahead import read_for
from xapi.storage.zeros import is_zero

GRANULE = 64 << 10
"""A raw disk gets no such aligned piece of zeros; a VHD no such block."""


def copy_disk(source: Chain, target: Vhd | RawDisk, progress: Progress | None = None, sync: bool = True) -> int:
    """Write what `source` holds into `target`, which is new and reads as zeros; return the bytes of data read.

    Zeros that the source stores are not stored again.
    """
    if target.size < source.size:
        raise InvalidSize(target.path, f"{target.size} bytes do not hold the {source.size} of {source.leaf.path}")
    copied = 0
    raw = isinstance(target, RawDisk)
    for offset, data in read_for(target.file, source.extents()):
        if raw:
            for start, stop in _without_zeros(offset, data):
                target.write(offset + start, data[start:stop])
        elif not is_zero(data):
            target.write(offset, data)
        copied += len(data)
        if progress is not None:
            progress(offset + len(data), source.size)
    target.flush(sync)
    return copied


def _without_zeros(offset: int, data: memoryview) -> Iterator[tuple[int, int]]:
    """Yield the begin and the end, in `data`, of what is between aligned pieces of zeros."""
    begin = at = 0
    while at < len(data):
        stop = min(at + GRANULE - (offset + at) % GRANULE, len(data))
        if is_zero(data[at:stop]):
            if begin < at:
                yield begin, at
            begin = stop
        at = stop
    if begin < at:
        yield begin, at
