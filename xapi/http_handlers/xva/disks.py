"""The disks in an XVA: blocks of a mebibyte as files `Ref:4/00000000`, each with a checksum behind it.

Blocks of zeros are left out, but for the first and the last. A block's place follows from the numbers and lengths
before it: a skipped number stands for a block of the length of the first, and an empty file, which writers send to keep
a connection alive, for nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Final, NamedTuple, Protocol

from xapi.http_handlers.overlap import Overlap
from xapi.http_handlers.xva import digests
from xapi.http_handlers.xva.archive import RECORD, Member, TarReader, TarWriter, member_head, padding
from xapi.http_handlers.xva.errors import BadArchive, ChecksumMismatch, EndedEarly, UnexpectedMember
from xapi.storage.zeros import is_zero

BLOCK: Final = 1 << 20
LONGEST_BLOCK: Final = 16 << 20
SECTOR: Final = 512
MOST_EMPTY: Final = 100_000
LONGEST_NUMBER: Final = 12
CHECKSUM_TABLE: Final = "checksum.xml"
"""What old releases write behind the disks; the checksums in it stand behind the blocks, too."""
FRAMED: Final = BLOCK + 3 * RECORD
"""A block and its checksum as files of a tar."""
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
    """Write a disk; `passed` is told of every part of it that is done, left out or not, by its length.

    While one block goes out, a second thread reads those that follow and makes their checksums.
    """
    digest = digests.DIGESTS[kind]
    last = (disk.size - 1) // BLOCK
    done = 0

    def read(number: int, buffer: memoryview) -> _Outgoing:
        size = min(BLOCK, disk.size - number * BLOCK)
        view = buffer[RECORD : RECORD + size]
        disk.read_into(number * BLOCK, view)
        end = number * BLOCK + size
        if number not in (0, last) and is_zero(view):
            return _Outgoing(end, buffer[:0])
        name = block_name(prefix, number)
        return _Outgoing(end, framed(buffer, name, size, name + kind, digest(view).encode()))

    def send_oldest() -> None:
        nonlocal done
        outgoing, buffer = ahead.oldest()
        if outgoing.files:
            tar.add_made(outgoing.files)
        ahead.give_back(buffer)
        passed(outgoing.end - done)
        done = outgoing.end

    with Overlap[_Outgoing]() as ahead:
        for number in chosen_blocks(disk):
            if not ahead.has_room(FRAMED):
                send_oldest()
            ahead.begin(partial(read, number), ahead.buffer(FRAMED))
        while len(ahead):
            send_oldest()


class _Outgoing(NamedTuple):
    """A block that was read: where it ends on its disk, and the two files of it, nothing if it is left out."""

    end: int
    files: memoryview


def framed(buffer: memoryview, name: str, size: int, checksum_name: str, checksum: bytes) -> memoryview:
    """Put what a tar has around a block before and behind it: the block begins at RECORD in the buffer."""
    rest = padding(size) + member_head(checksum_name, len(checksum)) + checksum + padding(len(checksum))
    buffer[:RECORD] = member_head(name, size)
    end = RECORD + size + len(rest)
    buffer[RECORD + size : end] = rest
    return buffer[:end]


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


class _Block(NamedTuple):
    """A block that has come: what it is called and how long it is, its checksum, and where it goes."""

    member: Member
    kind: str
    checksum: bytes
    writer: Writer
    start: int


class DiskStream:
    """The disks of an archive, as they come: one thread receives, a second one checks and writes.

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
        self._table_passed = False
        self._behind: Overlap[None] = Overlap()

    def receive(self) -> None:
        """Write all disks; BadArchive in its kinds for what cannot be right. Once only."""
        with self._behind:
            while (member := self._next()) is not None:
                if member.name == CHECKSUM_TABLE and not self._table_passed:
                    self._table_passed = True
                else:
                    self._receive_block(member)
            self._behind.finish()
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
        buffer = self._behind.buffer(-(-max(member.size, BLOCK) // SECTOR) * SECTOR)
        self._tar.read_into(buffer[: member.size])
        kind, checksum = self._checksum(member)
        if member.size:
            if disk.number < 0:
                disk.gap = member.size
        else:
            self._empty += 1
            if self._empty > MOST_EMPTY:
                raise BadArchive("the archive has too many empty blocks")
        self._behind.begin(partial(self._keep, _Block(member, kind, checksum, disk.writer, start)), buffer)
        disk.offset, disk.number = start + member.size, number
        self._passed(skipped + member.size)

    def _checksum(self, block: Member) -> tuple[str, bytes]:
        """Read the checksum that comes behind a block: its kind, which is empty if there is none, and its text."""
        self._waiting = following = self._tar.next()
        name = following.name if following is not None else "the end of the archive"
        kind = digests.kind_of(name)
        if kind and name == block.name + kind:
            self._waiting = None
            return kind, self._tar.read(digests.LONGEST)
        if self._verify and not self._force:
            raise UnexpectedMember(block.name + digests.SHA1, name)
        return "", b""

    def _keep(self, block: _Block, buffer: memoryview) -> None:
        """On the second thread: hold a block against its checksum, and write it."""
        size = block.member.size
        wrong = bool(block.kind) and not digests.matches(block.kind, buffer[:size], block.checksum)
        if wrong and not self._force:
            raise ChecksumMismatch(f"the block {block.member.name} is not what it was when it was exported")
        whole = -(-size // SECTOR) * SECTOR
        if whole > size:
            buffer[size:whole] = bytes(whole - size)
        if whole:
            block.writer.pwrite(block.start, buffer[:whole])

    def _expected(self) -> str:
        for prefix, disk in self._disks.items():
            if not disk.complete:
                return block_name(prefix, disk.number + 1)
        return "the end of the archive"


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdecimal() and len(text) <= LONGEST_NUMBER
