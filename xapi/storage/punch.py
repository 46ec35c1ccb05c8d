"""Giving up the room of a range of a file: what Python has no call for."""

from __future__ import annotations

import ctypes
import errno
import os

KEEP_SIZE_AND_PUNCH = 0x01 | 0x02
GRAIN = 4096
"""Only whole pages of a file give up room."""
UNSUPPORTED = frozenset({errno.EOPNOTSUPP, errno.ENOSYS, errno.ENODEV, errno.EINVAL})

_fallocate = ctypes.CDLL(None, use_errno=True).fallocate
_fallocate.argtypes = [ctypes.c_int, ctypes.c_int, ctypes.c_int64, ctypes.c_int64]


def punch(descriptor: int, offset: int, length: int) -> tuple[int, int]:
    """Make the whole pages of a range a hole that reads as zeros.

    Returns the first byte that is zero now and the first behind it that may not be; two equal values where the file
    system has no holes. OSError for anything else.
    """
    begin = -(-offset // GRAIN) * GRAIN
    end = (offset + length) // GRAIN * GRAIN
    if end <= begin:
        return offset, offset
    if _fallocate(descriptor, KEEP_SIZE_AND_PUNCH, begin, end - begin) != 0:
        number = ctypes.get_errno()
        if number in UNSUPPORTED:
            return offset, offset
        raise OSError(number, os.strerror(number))
    return begin, end
