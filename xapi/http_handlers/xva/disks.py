"""The disks in an XVA: blocks of a mebibyte as files `Ref:4/00000000`, each with a checksum behind it.

Blocks of zeros are left out, but for the first and the last. A block's place follows from the numbers and lengths
before it: a skipped number stands for a block of the length of the first, and an empty file, which writers send to keep
a connection alive, for nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Protocol

from xapi.http_handlers.xva import digests
from xapi.http_handlers.xva.archive import Member, TarReader, TarWriter
from xapi.http_handlers.xva.errors import BadArchive, ChecksumMismatch, EndedEarly, UnexpectedMember

BLOCK: Final = 1 << 20
LONGEST_BLOCK: Final = 16 << 20
SECTOR: Final = 512
MOST_EMPTY: Final = 100_000
CHECKSUM_TABLE: Final = "checksum.xml"
LONGEST_TABLE: Final = 64 << 20
ZEROS: Final = bytes(BLOCK)


class Extent(Protocol):
    """A piece of a disk, as its reader yields it."""

    @property
    def offset(self) -> int: ...

    @property
    def length(self) -> int: ...

    @property
    def zero(self) -> bool: ...


class Reader(Protocol):
    """A disk to export."""

    @property
    def size(self) -> int:
        """The size in bytes."""

    def read_into(self, offset: int, buffer: memoryview) -> None:
        """Fill the buffer from `offset`."""


class Writer(Protocol):
    """A fresh disk to import into."""

    @property
    def size(self) -> int:
        """The size in bytes."""

    def pwrite(self, offset: int, data: memoryview) -> None:
        """Write all of `data` at `offset`, a multiple of 512."""


def block_name(prefix: str, number: int) -> str:
    """The name of a block's file."""
    return f"{prefix}/{number:08d}"


def write_disk(
    tar: TarWriter,
    prefix: str,
    disk: Reader,
    extents: Callable[[int, int], object],
    passed: Callable[[int], None],
    kind: str = digests.WRITTEN,
) -> None:
    """Write a disk; `passed` is told of every block gone by, with its length.

    `extents` answers for a range, as the disk's own method does.
    """
    digest = digests.DIGESTS[kind]
    buffer = memoryview(bytearray(BLOCK))
    last = (disk.size - 1) // BLOCK
    for number in _wanted(extents, disk.size, last, passed):
        start = number * BLOCK
        view = buffer[: min(BLOCK, disk.size - start)]
        disk.read_into(start, view)
        if number in (0, last) or view != ZEROS[: len(view)]:
            name = block_name(prefix, number)
            tar.add(name, view)
            tar.add(name + kind, digest(view).encode())
        passed(len(view))


def _wanted(extents: Callable[[int, int], object], size: int, last: int, passed: Callable[[int], None]) -> object:
    raise NotImplementedError


@dataclass(slots=True)
class Incoming:
    """A disk on its way in: where it is written, how large it is to be, and how far it has come."""

    writer: Writer
    size: int
    offset: int = 0
    last_number: int = -1
    gap: int = BLOCK

    @property
    def complete(self) -> bool:
        """Whether the last block has come."""
        return self.offset >= self.size
