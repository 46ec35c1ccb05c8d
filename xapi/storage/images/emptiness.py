"""Whether an image holds anything itself."""

from __future__ import annotations

from xapi.storage.vhd.image import Vhd

TABLE_PIECE = 256 << 10
UNUSED_ENTRIES = b"\xff" * TABLE_PIECE


def has_no_blocks(vhd: Vhd) -> bool:
    """Whether a dynamic disk holds nothing itself; reads its block table up to the first block only."""
    at, left = vhd.header.table_offset, vhd.blocks * 4
    while left:
        part = vhd.file.pread(min(left, TABLE_PIECE), at)
        if part != UNUSED_ENTRIES[: len(part)] or not part:
            return False
        at += len(part)
        left -= len(part)
    return True
