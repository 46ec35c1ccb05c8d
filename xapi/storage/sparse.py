"""Raw disks in sparse files: copying them without their holes, and telling which blocks differ."""

from __future__ import annotations

import os
from collections.abc import Iterator

from xapi.storage.tracking import GRANULE, bitmap_length
from xapi.storage.vhd.file import RealFile

PIECE = 2 << 20


def data_runs(path: str) -> Iterator[tuple[int, int]]:
    """Yield (offset, length) of what a file holds besides holes; nothing for a file that is not there."""
    try:
        file = RealFile.open(path)
    except FileNotFoundError:
        return
    try:
        for offset, length, present in file.data_runs(0, file.size()):
            if present:
                yield offset, length
    finally:
        file.close()


def copy_sparse(source: str, target: str) -> None:
    """Copy a file, holes left out, so that `target` is there as a whole or not at all."""
    temporary = f"{target}.part"
    reader = os.open(source, os.O_RDONLY | os.O_CLOEXEC)
    writer = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        os.ftruncate(writer, os.fstat(reader).st_size)
        for offset, length in data_runs(source):
            done = 0
            while done < length:
                count = os.copy_file_range(reader, writer, length - done, offset + done, offset + done)
                if count == 0:
                    break
                done += count
        os.rename(temporary, target)
    finally:
        os.close(reader)
        os.close(writer)


def differing_blocks(one: str, other: str, size: int) -> bytes:
    """Return the bitmap of the blocks of a disk of `size` bytes that differ between two files; holes are zeros."""
    blocks = {
        block
        for path in (one, other)
        for offset, length in data_runs(path)
        for block in range(offset // GRANULE, -(-(offset + length) // GRANULE))
    }
    bitmap = bytearray(bitmap_length(size))
    left, right = _open(one), _open(other)
    try:
        for block in blocks:
            if block * GRANULE < size and _block(left, block) != _block(right, block):
                bitmap[block // 8] |= 0x80 >> block % 8
    finally:
        for file in (left, right):
            if file is not None:
                file.close()
    return bytes(bitmap)


def _open(path: str) -> RealFile | None:
    try:
        return RealFile.open(path)
    except FileNotFoundError:
        return None


def _block(file: RealFile | None, block: int) -> bytes:
    data = file.pread(GRANULE, block * GRANULE) if file is not None else b""
    return data.ljust(GRANULE, b"\0")
