"""The disks in an XVA: blocks of a mebibyte as files `Ref:4/00000000`, each with a checksum behind it.

Blocks of zeros are left out, but for the first and the last. A block's place follows from the numbers and lengths
before it: a skipped number stands for a block of the length of the first, and an empty file, which writers send to keep
a connection alive, for nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final, Protocol

from xapi.http_handlers.xva import digests
from xapi.http_handlers.xva.archive import Member, TarReader, TarWriter
from xapi.http_handlers.xva.errors import BadArchive, ChecksumMismatch, EndedEarly, UnexpectedMember

BLOCK: Final = 1 << 20
LONGEST_BLOCK: Final = 16 << 20
SECTOR: Final = 512
MOST_EMPTY: Final = 100_000
LONGEST_NUMBER: Final = 12
CHECKSUM_TABLE: Final = "checksum.xml"
"""What old releases write behind the disks; the checksums in it stand behind the blocks, too."""
ZEROS: Final = bytes(BLOCK)
Passed = Callable[[int], None]


class Piece(Protocol):
    """A piece of a disk, as its reader yields it."""

    @property
    def offset(self) -> int:
        """Where it begins."""

    @property
    def length(self) -> int:
        """How long it is."""

    @property
    def zero(self) -> bool:
        """Whether it holds nothing but zeros."""


class Reader(Protocol):
    """A disk to export."""

    @property
    def size(self) -> int:
        """The size in bytes."""

    def read_into(self, offset: int, buffer: memoryview) -> None:
        """Fill the buffer from `offset`."""

    def extents(self) -> Iterable[Piece]:
        """Yield the pieces of the disk in order."""


class Writer(Protocol):
    """A fresh disk to import into."""

    def pwrite(self, offset: int, data: memoryview) -> None:
        """Write all of `data` at `offset`, both multiples of 512."""


# Out


def block_name(prefix: str, number: int) -> str:
    """The name of a block's file."""
    return f"{prefix}/{number:08d}"


def write_disk(tar: TarWriter, prefix: str, disk: Reader, passed: Passed, kind: str = digests.WRITTEN) -> None:
    """Write a disk; `passed` is told of every part of it that is done, left out or not, by its length."""
    digest = digests.DIGESTS[kind]
    buffer = memoryview(bytearray(BLOCK))
    last = (disk.size - 1) // BLOCK
    done = 0
    for number in chosen_blocks(disk):
        start = number * BLOCK
        view = buffer[: min(BLOCK, disk.size - start)]
        disk.read_into(start, view)
        if number in (0, last) or view != ZEROS[: len(view)]:
            name = block_name(prefix, number)
            tar.add(name, view)
            tar.add(name + kind, digest(view).encode())
        passed(start + len(view) - done)
        done = start + len(view)


def chosen_blocks(disk: Reader) -> Iterator[int]:
    """Yield the numbers of the first block, of those that hold anything but holes, and of the last."""
    if not disk.size:
        return
    yield 0
    following = 1
    for piece in disk.extents():
        if piece.zero or not piece.length:
            continue
        first = max(following, piece.offset // BLOCK)
        following = max(following, -(-(piece.offset + piece.length) // BLOCK))
        yield from range(first, following)
    last = (disk.size - 1) // BLOCK
    if last >= following:
        yield last


# In


@dataclass(slots=True)
class Incoming:
    """A disk on its way in: where it is written, how large it is to be, and how far it has come."""

    writer: Writer
    size: int
    offset: int = 0
    number: int = -1
    gap: int = BLOCK

    @property
    def complete(self) -> bool:
        """Whether the last block has come."""
        return self.offset >= self.size


class DiskStream:
    """The disks of an archive, as they come.

    `verify` demands a checksum behind each block; `force` takes blocks whose checksum is wrong or not there.
    """

    def __init__(
        self, tar: TarReader, disks: Mapping[str, Incoming], passed: Passed, *, verify: bool = True, force: bool = False
    ) -> None:
        self._tar = tar
        self._disks = disks
        self._passed = passed
        self._verify = verify
        self._force = force
        self._waiting: Member | None = None
        self._empty = 0
        self._buffer = memoryview(bytearray(BLOCK))

    def receive(self) -> None:
        """Write all disks; BadArchive in its kinds for what cannot be right."""
        while (member := self._next()) is not None:
            if member.name == CHECKSUM_TABLE:
                continue
            self._receive_block(member)
        for prefix, disk in self._disks.items():
            if not disk.complete:
                raise EndedEarly(f"the disk {prefix} ends at {disk.offset} of {disk.size} bytes")

    def _next(self) -> Member | None:
        member, self._waiting = self._waiting, None
        return member if member is not None else self._tar.next()

    def _receive_block(self, member: Member) -> None:
        prefix, _, text = member.name.rpartition("/")
        disk = self._disks.get(prefix)
        if disk is None or disk.complete or not _is_number(text):
            raise UnexpectedMember(self._expected(), member.name)
        number = int(text)
        if number <= disk.number:
            raise BadArchive(f"the block {member.name} comes after block {disk.number}")
        skipped = disk.gap * (number - disk.number - 1)
        start = disk.offset + skipped
        if start + member.size > disk.size or member.size > LONGEST_BLOCK:
            raise BadArchive(f"the block {member.name} of {member.size} bytes does not fit the disk of {disk.size}")
        view = self._read(member.size)
        self._check(member, view)
        if member.size:
            if disk.number < 0:
                disk.gap = member.size
            disk.writer.pwrite(start, self._padded(member.size))
        else:
            self._empty += 1
            if self._empty > MOST_EMPTY:
                raise BadArchive("the archive has too many empty blocks")
        disk.offset, disk.number = start + member.size, number
        self._passed(skipped + member.size)

    def _read(self, size: int) -> memoryview:
        if size > len(self._buffer):
            self._buffer = memoryview(bytearray(-(-size // SECTOR) * SECTOR))
        view = self._buffer[:size]
        self._tar.read_into(view)
        return view

    def _padded(self, size: int) -> memoryview:
        whole = -(-size // SECTOR) * SECTOR
        if whole > size:
            self._buffer[size:whole] = bytes(whole - size)
        return self._buffer[:whole]

    def _check(self, block: Member, view: memoryview) -> None:
        """Hold a block against the checksum that comes behind it."""
        self._waiting = following = self._tar.next()
        name = following.name if following is not None else "the end of the archive"
        kind = digests.kind_of(name)
        if kind and name == block.name + kind:
            self._waiting = None
            if not digests.matches(kind, view, self._tar.read(digests.LONGEST)) and not self._force:
                raise ChecksumMismatch(f"the block {block.name} is not what it was when it was exported")
        elif self._verify and not self._force:
            raise UnexpectedMember(block.name + digests.SHA1, name)

    def _expected(self) -> str:
        for prefix, disk in self._disks.items():
            if not disk.complete:
                return block_name(prefix, disk.number + 1)
        return "the end of the archive"


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdecimal() and len(text) <= LONGEST_NUMBER
