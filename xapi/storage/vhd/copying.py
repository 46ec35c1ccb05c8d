"""Copying a whole disk, holes left out, by the kernel where it can."""

from __future__ import annotations

import errno
import os

from xapi.storage.vhd.chain import CHUNK, Chain, RawDisk
from xapi.storage.vhd.coalesce import Progress
from xapi.storage.vhd.errors import InvalidSize
from xapi.storage.vhd.file import RealFile
from xapi.storage.vhd.image import Vhd

ZEROS = bytes(CHUNK)


def copy_disk(source: Chain, target: Vhd | RawDisk, progress: Progress | None = None, sync: bool = True) -> int:
    """Write what `source` holds into `target`, which is new and reads as zeros; return the bytes of data copied.

    A raw target gets its data by copy_file_range where both sides are files; a VHD gets no block of zeros.
    """
    if target.size < source.size:
        raise InvalidSize(target.path, f"{target.size} bytes do not hold the {source.size} of {source.leaf.path}")
    copied = 0
    buffer = memoryview(bytearray(CHUNK))
    for extent in source.extents():
        if extent.file is None:
            continue
        done = 0
        if isinstance(target, RawDisk) and isinstance(target.file, RealFile) and isinstance(extent.file, RealFile):
            done = _copy_range(extent.file, extent.file_offset, target.file, extent.offset, extent.length)
        # On the source's block boundaries, so that each block of a VHD is written in one piece.
        position = extent.offset + done
        end = extent.offset + extent.length
        while position < end:
            part = buffer[: min(CHUNK - position % CHUNK, end - position)]
            have = extent.file.pread_into(part, extent.file_offset + position - extent.offset)
            part[have:] = bytes(len(part) - have)
            if part != ZEROS[: len(part)]:
                target.write(position, part)
            position += len(part)
        copied += extent.length
        if progress is not None:
            progress(end, source.size)
    target.flush(sync)
    return copied


def _copy_range(source: RealFile, source_offset: int, target: RealFile, offset: int, length: int) -> int:
    """Copy inside the kernel; return how much it did before it could not."""
    done = 0
    while done < length:
        try:
            count = os.copy_file_range(
                source.fileno(), target.fileno(), length - done, source_offset + done, offset + done
            )
        except OSError as error:
            if error.errno in (errno.EXDEV, errno.EINVAL, errno.EOPNOTSUPP, errno.ENOSYS, errno.EBADF):
                return done
            raise
        if count == 0:
            return done
        done += count
    return done
