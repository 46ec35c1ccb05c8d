"""How the C library keeps the memory that the server is done with.

Left to itself it learns from every large buffer that is given back to keep the next ones, and gives each thread a heap
of its own: after some transfers a server holds tens of mebibytes that nobody uses.
"""

from __future__ import annotations

import ctypes
from typing import Final

M_MMAP_THRESHOLD: Final = -3
M_ARENA_MAX: Final = -8
LARGE: Final = 512 << 10
"""Buffers from this size on are the system's own, and go back to it at once."""
HEAPS: Final = 2
"""Heaps for all threads. Python keeps small objects itself, so that threads hardly meet here."""


def give_back_large_buffers() -> None:
    """Have the C library return large buffers to the system; to be called before threads are started.

    Libraries other than glibc have no such setting, and stay as they are.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(M_MMAP_THRESHOLD, LARGE)
        mallopt(M_ARENA_MAX, HEAPS)
