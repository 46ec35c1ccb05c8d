"""Tar streams as they are in XVAs: ordinary files only, one after the other, without seeking.

The writer makes POSIX ustar. The reader takes that, the older kinds and GNU's, and refuses whatever is no ordinary
file: nothing of an archive ever becomes a name in a file system, so links and directories have no place in it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, NamedTuple, Protocol

from xapi.http_handlers.xva.errors import BadArchive, EndedEarly

RECORD: Final = 512
END: Final = bytes(2 * RECORD)
MOST_MEMBERS: Final = 64 << 20
"""More members than blocks and checksums of the largest disks; a tar that goes on is a trap."""
LONGEST_NOTE: Final = 64 << 10
MOST_NOTES: Final = 16
"""As many stand before one file at most; writers put one or two there."""
NOTE_KINDS: Final = (b"x", b"g")
FORBIDDEN_NOTES: Final = (b"path=", b"linkpath=", b"size=", b"GNU.sparse")
SKIPPED_AT_ONCE: Final = 1 << 20
NAME_FIELD: Final = 100
SIZE_FIELD: Final = slice(124, 136)
CHECKSUM_FIELD: Final = slice(148, 156)
PREFIX_FIELD: Final = slice(345, 500)
POSIX: Final = b"ustar\0"
Buffer = bytes | bytearray | memoryview


class Source(Protocol):
    """Something that bytes come out of, one after the other."""

    def readinto(self, buffer: memoryview) -> int:
        """Fill the front of the buffer; return how many bytes, 0 at the end only."""


class Member(NamedTuple):
    """The head of one file in a tar."""

    name: str
    size: int


def member_head(name: str, size: int) -> bytes:
    """Return the record that begins a file; the name is of at most 100 ASCII characters."""
    encoded = name.encode("ascii")
    if len(encoded) > NAME_FIELD or not 0 <= size < 1 << 33:
        raise ValueError(f"a member {name!r} of {size} bytes cannot be in an archive")
    head = bytearray(HEAD)
    head[: len(encoded)] = encoded
    head[SIZE_FIELD] = b"%011o\0" % size
    head[CHECKSUM_FIELD] = b"%06o\0 " % sum(head)
    return bytes(head)


def _empty_head() -> bytes:
    """A head as POSIX has it: mode, owners, time, and spaces in place of the checksum; name and size are missing."""
    numbers = b"0000644\0" + b"0000000\0" * 2 + bytes(12) + b"00000000000\0" + b" " * 8 + b"0"
    end = bytes(64) + b"0000000\0" * 2
    return (bytes(NAME_FIELD) + numbers + bytes(100) + b"ustar\x0000" + end).ljust(RECORD, b"\0")


HEAD: Final = _empty_head()


def _number(field: bytes) -> int:
    """The value of a number in a head, octal or in GNU's binary form; ValueError for what is neither."""
    if field[0] in (0o200, 0o377):
        value = int.from_bytes(field[1:], "big")
        return value if field[0] == 0o200 else value - (1 << 8 * (len(field) - 1))
    digits = field.split(b"\0", 1)[0].strip(b" ")
    if not digits:
        return 0
    if not digits.isdigit():
        raise ValueError(f"{digits!r} is no number")
    return int(digits, 8)


def _text(field: bytes) -> str:
    return field.split(b"\0", 1)[0].decode("utf-8")


def padding(size: int) -> bytes:
    """Return the zeros that follow so many bytes of data."""
    return bytes(-size % RECORD)


class TarWriter:
    """Makes a tar, piece by piece, through `write`."""

    def __init__(self, write: Callable[[Buffer], object]) -> None:
        self._write = write

    def add(self, name: str, data: Buffer) -> None:
        """Write one file."""
        self._write(member_head(name, len(data)))
        self._write(data)
        rest = padding(len(data))
        if rest:
            self._write(rest)

    def add_made(self, files: Buffer) -> None:
        """Write files that are in the form of a tar already, heads and padding included."""
        self._write(files)


class TarReader:
    """Reads a tar, member by member."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._left = 0
        self._padding = 0
        self._count = 0
        self.ended = False

    def next(self) -> Member | None:
        """Go on to the next file, skipping what is left of this one; None at the end of the archive.

        An archive that ends without its two empty records has ended all the same.
        """
        notes = 0
        while not self.ended:
            self._skip()
            head = bytearray(RECORD)
            got = self._fill(memoryview(head))
            if got == 0 or not any(head):
                self._end(got)
                return None
            if got < RECORD:
                raise EndedEarly("the archive ends within the head of a member")
            member = self._parsed(bytes(head))
            if member is not None:
                return member
            notes += 1
            if notes > MOST_NOTES:
                raise BadArchive("the archive has one extended head after the other")
        return None

    def _end(self, got: int) -> None:
        self.ended = True
        if got == RECORD:  # the second empty record, which some leave out
            self._fill(memoryview(bytearray(RECORD)))

    def _parsed(self, head: bytes) -> Member | None:
        """The member of a head; None for notes about the next one, which are read and passed over."""
        self._count += 1
        if self._count > MOST_MEMBERS:
            raise BadArchive("the archive has too many members")
        kind = head[156:157]
        try:
            # The checksum counts its own field as spaces; some old writers summed the bytes as signed numbers.
            rest = head[:148] + head[156:]
            total = sum(rest) + 8 * 32
            signed = total - 256 * sum(map((127).__lt__, rest)) if not head.isascii() else total
            if _number(head[CHECKSUM_FIELD]) not in (total, signed):
                raise ValueError("its checksum is wrong")
            size, name = _number(head[SIZE_FIELD]), _text(head[:NAME_FIELD])
            prefix = _text(head[PREFIX_FIELD]) if head[257:263] == POSIX else ""
        except ValueError as error:  # of text that is not UTF-8, too
            raise BadArchive(f"the head of a member is damaged: {error}") from None
        name = f"{prefix}/{name}" if prefix else name
        if size < 0:
            raise BadArchive("a member has a negative size")
        self._left, self._padding = size, -size % RECORD
        if kind in NOTE_KINDS:
            note = self.read(LONGEST_NOTE)
            if any(word in note for word in FORBIDDEN_NOTES):
                raise BadArchive("the archive has names or sizes in extended heads")
            return None
        if kind not in (b"0", b"\0"):
            raise BadArchive(f"the member {name!r} is no ordinary file")
        if name.startswith("/") or ".." in name.split("/"):
            raise BadArchive(f"the name {name!r} leads out of the archive")
        return Member(name, size)

    @property
    def left(self) -> int:
        """The bytes of the current member that were not read yet."""
        return self._left

    def readinto(self, buffer: memoryview) -> int:
        """Fill the front of the buffer from the current member; return how many bytes, 0 at its end only."""
        if not self._left or not len(buffer):
            return 0
        count = self._source.readinto(buffer[: self._left])
        if not count:
            raise EndedEarly("the archive ends within a member")
        self._left -= count
        return count

    def read_into(self, buffer: memoryview) -> None:
        """Fill the whole buffer from the current member, which must have so much left."""
        done = 0
        while done < len(buffer):
            count = self.readinto(buffer[done:])
            if not count:
                raise EndedEarly("a member is shorter than it has to be")
            done += count

    def read(self, longest: int) -> bytes:
        """Return all that is left of the current member; BadArchive if that is more than `longest` bytes."""
        if self._left > longest:
            raise BadArchive(f"a member of {self._left} bytes is longer than the {longest} that it may have")
        data = bytearray(self._left)
        self.read_into(memoryview(data))
        return bytes(data)

    def _skip(self) -> None:
        self._left += self._padding
        self._padding = 0
        if self._left:
            rest = memoryview(bytearray(min(self._left, SKIPPED_AT_ONCE)))
            while self._left:
                self.readinto(rest)

    def _fill(self, buffer: memoryview) -> int:
        done = 0
        while done < len(buffer):
            count = self._source.readinto(buffer[done:])
            if not count:
                break
            done += count
        return done
