"""What can be offered by NBD."""

from __future__ import annotations

from typing import Protocol


class Export(Protocol):
    """A disk for one connection or several. Offsets and lengths are bytes, any of them; errors are OSErrors."""

    @property
    def size(self) -> int:
        """The size of the disk now."""

    @property
    def read_only(self) -> bool:
        """Whether writes are refused."""

    def read_into(self, offset: int, buffer: memoryview) -> None:
        """Fill `buffer` from `offset`."""

    def read_cached(self, offset: int, buffer: memoryview) -> bool:
        """Fill `buffer` if no disk has to be waited for, and return whether it is filled."""

    def prefetch(self, offset: int, length: int) -> None:
        """Begin to read a range inside the disk, and do not wait for it."""

    def write(self, offset: int, data: memoryview) -> None:
        """Write all of `data` at `offset`."""

    def write_zeros(self, offset: int, length: int, keep_room: bool) -> None:
        """Make a range read as zeros; with `keep_room`, room that it has is not given up."""

    def trim(self, offset: int, length: int) -> None:
        """Give up the room of a range that nobody wants to read again."""

    def flush(self) -> None:
        """Return when everything that was written is on stable storage."""

    def status(self, offset: int, length: int, most: int) -> list[tuple[int, bool]]:
        """Return (length, whether it is zeros) of at most so many pieces from `offset`, none of them empty."""
