"""What a handle can do whose driver has the feature VDI_RESET_ON_BOOT."""

from __future__ import annotations

from typing import Protocol, runtime_checkable


@runtime_checkable
class ResetsDisks(Protocol):
    """An attached SR whose disks can forget what was written to them."""

    def reset(self, location: str) -> None:
        """Drop what a disk itself holds, so that it is as its parent is; attached or not, but nobody reads or writes.

        Unsupported for a disk without a parent. Whenever this is cut short, the disk is as before or as its parent is.
        """
