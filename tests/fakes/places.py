"""Where tests keep what they make: in memory where there is plenty, as the state of a toolstack waits for its disk."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path
from typing import Final

MEMORY: Final = Path("/dev/shm")
PLENTY: Final = 8 << 30  # bytes that several test processes do not use up together


def _found() -> Path:
    if os.access(MEMORY, os.W_OK) and shutil.disk_usage(MEMORY).free >= PLENTY:
        return MEMORY
    return Path(tempfile.gettempdir())


QUICK: Final = _found()
"""A directory for the states of toolstacks; its name is short enough for Unix sockets below it."""


def state_directory() -> tempfile.TemporaryDirectory[str]:
    """A new directory, which is gone when the block that it is the context of ends."""
    return tempfile.TemporaryDirectory(prefix="xapi-", dir=QUICK)
