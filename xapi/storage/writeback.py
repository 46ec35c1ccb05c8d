"""Telling the system to write now what a long transfer leaves in its memory: what Python has no call for.

Without it the system gathers for many seconds, and the flush at the end of the transfer waits for the disk alone,
together with everybody else who makes a small file durable meanwhile.
"""

from __future__ import annotations

import ctypes

EVERY = 16 << 20
"""The bytes after which a long transfer does so: large pieces for the disk, and little left for the flush."""
WRITE = 0x02  # SYNC_FILE_RANGE_WRITE

_sync_file_range = ctypes.CDLL(None, use_errno=True).sync_file_range
_sync_file_range.argtypes = [ctypes.c_int, ctypes.c_int64, ctypes.c_int64, ctypes.c_uint]


def begin_writeback(descriptor: int) -> None:
    """Let the system begin to write all that it has of a file, and do not wait for the disk.

    Whatever goes wrong is told by the fsync that follows in any case, which alone makes the data durable; a file of a
    kind that this is not for just stays as it is.
    """
    _sync_file_range(descriptor, 0, 0, WRITE)
