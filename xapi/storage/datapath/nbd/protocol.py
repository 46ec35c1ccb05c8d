"""What goes over the wire: numbers, and the packing and parsing of each message. No sockets.

All integers are big-endian. Whatever comes from a client is of bounded length before it is read.
"""

from __future__ import annotations

import enum
import errno
import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

GREETING_MAGIC = b"NBDMAGIC"
OPTION_MAGIC = b"IHAVEOPT"
OPTION_REPLY_MAGIC = 0x0003E889045565A9
REQUEST_MAGIC = 0x25609513
SIMPLE_REPLY_MAGIC = 0x67446698
CHUNK_MAGIC = 0x668E33EF

LONGEST_OPTION = 16 << 10
LONGEST_NAME = 4096
LONGEST_PAYLOAD = 32 << 20
"""The most bytes of one read or write."""
PREFERRED_BLOCK = 64 << 10
SMALLEST_BLOCK = 512
MOST_DESCRIPTORS = 1024
ALLOCATION_CONTEXT = "base:allocation"
ALLOCATION_ID = 1

GREETING = struct.Struct(">8s8sH")
CLIENT_FLAGS = struct.Struct(">I")
OPTION = struct.Struct(">8sII")
OPTION_REPLY = struct.Struct(">QIII")
EXPORT_ANSWER = struct.Struct(">QH")
REQUEST = struct.Struct(">IHHQQI")
SIMPLE_REPLY = struct.Struct(">IIQ")
CHUNK = struct.Struct(">IHHQI")
OFFSET = struct.Struct(">Q")
DATA_CHUNK = struct.Struct(">IHHQIQ")
"""The head of a chunk of data, with the offset that begins its payload."""
HOLE = struct.Struct(">QI")
ERROR = struct.Struct(">IH")
DESCRIPTOR = struct.Struct(">II")
NUMBER = struct.Struct(">I")
SHORT = struct.Struct(">H")
INFO_EXPORT = struct.Struct(">HQH")
INFO_BLOCK_SIZE = struct.Struct(">HIII")


class Handshake(enum.IntFlag):
    """Flags of the greeting and of the client's answer."""

    FIXED_NEWSTYLE = 1
    NO_ZEROES = 2


class OptionCode(enum.IntEnum):
    """What a client asks for before it sends requests."""

    EXPORT_NAME = 1
    ABORT = 2
    LIST = 3
    STARTTLS = 5
    INFO = 6
    GO = 7
    STRUCTURED_REPLY = 8
    LIST_META_CONTEXT = 9
    SET_META_CONTEXT = 10


class OptionAnswer(enum.IntEnum):
    """Kinds of replies to options."""

    ACK = 1
    SERVER = 2
    INFO = 3
    META_CONTEXT = 4
    UNSUPPORTED = 1 << 31 | 1
    POLICY = 1 << 31 | 2
    INVALID = 1 << 31 | 3
    TLS_REQUIRED = 1 << 31 | 5
    UNKNOWN = 1 << 31 | 6
    TOO_BIG = 1 << 31 | 9


class Info(enum.IntEnum):
    """Kinds of what is told of an export."""

    EXPORT = 0
    NAME = 1
    BLOCK_SIZE = 3


class Transmission(enum.IntFlag):
    """What an export can do."""

    HAS_FLAGS = 1
    READ_ONLY = 2
    SEND_FLUSH = 4
    SEND_FUA = 8
    SEND_TRIM = 32
    SEND_WRITE_ZEROES = 64
    SEND_DF = 128
    CAN_MULTI_CONN = 256


class Command(enum.IntEnum):
    """What a request wants."""

    READ = 0
    WRITE = 1
    DISCONNECT = 2
    FLUSH = 3
    TRIM = 4
    WRITE_ZEROES = 6
    BLOCK_STATUS = 7


class CommandFlag(enum.IntFlag):
    """How a request is to be done."""

    FUA = 1
    NO_HOLE = 2
    DONT_FRAGMENT = 4
    REQUEST_ONE = 8


ALLOWED_FLAGS = {
    Command.READ: CommandFlag.DONT_FRAGMENT | CommandFlag.FUA,
    Command.WRITE: CommandFlag.FUA,
    Command.DISCONNECT: CommandFlag(0),
    Command.FLUSH: CommandFlag.FUA,
    Command.TRIM: CommandFlag.FUA,
    Command.WRITE_ZEROES: CommandFlag.FUA | CommandFlag.NO_HOLE,
    Command.BLOCK_STATUS: CommandFlag.REQUEST_ONE | CommandFlag.FUA,
}


REFUSED_FLAGS = {int(command): ~int(flags) & 0xFFFF for command, flags in ALLOWED_FLAGS.items()}
"""By command, the flags that it may not have: plain numbers, as each request asks for them."""


class ChunkType(enum.IntEnum):
    """Kinds of structured replies."""

    NONE = 0
    OFFSET_DATA = 1
    OFFSET_HOLE = 2
    BLOCK_STATUS = 5
    ERROR = 1 << 15 | 1


CHUNK_DONE = 1
OFFSET_DATA = int(ChunkType.OFFSET_DATA)
STATE_HOLE_AND_ZERO = 3

WIRE_ERRORS = {
    errno.EPERM: 1,
    errno.EACCES: 1,
    errno.EROFS: 1,
    errno.EIO: 5,
    errno.ENOMEM: 12,
    errno.EINVAL: 22,
    errno.ENOSPC: 28,
    errno.EDQUOT: 28,
    errno.EFBIG: 28,
    errno.EOVERFLOW: 75,
    errno.ENOTSUP: 95,
    errno.ESHUTDOWN: 108,
}
"""The errors that the protocol knows, by those of the system; all others are input/output errors."""


def wire_error(number: int | None) -> int:
    """Return the protocol's number for an errno."""
    return WIRE_ERRORS.get(number or 0, 5)


class Malformed(Exception):
    """A client has sent what no client may send; the connection cannot go on."""


class Request(NamedTuple):
    """One request as it came; nothing of it is checked but its length."""

    flags: int
    command: int
    cookie: int
    offset: int
    length: int


def parse_request(untrusted: bytes | bytearray | memoryview, at: int = 0) -> Request:
    """Return the request in 28 bytes; Malformed if they do not begin as one."""
    magic, flags, command, cookie, offset, length = REQUEST.unpack_from(untrusted, at)
    if magic != REQUEST_MAGIC:
        raise Malformed(f"a request begins with {magic:#x}")
    return Request(flags, command, cookie, offset, length)


def parse_option(untrusted: bytes) -> tuple[int, int]:
    """Return code and length of an option from its 16 bytes; Malformed."""
    magic, code, length = OPTION.unpack(untrusted)
    if magic != OPTION_MAGIC:
        raise Malformed(f"an option begins with {magic!r}")
    if length > LONGEST_OPTION:
        raise Malformed(f"option {code} has {length} bytes")
    return code, length


@dataclass(frozen=True, slots=True)
class Wanted:
    """The export that INFO or GO names, and what is asked about it."""

    name: str
    infos: tuple[int, ...]


def _name(untrusted: bytes) -> str:
    if len(untrusted) > LONGEST_NAME:
        raise ValueError("a name is too long")
    return untrusted.decode("utf-8")


def parse_wanted(untrusted: bytes) -> Wanted:
    """Parse the data of INFO and GO; ValueError."""
    name, rest = _counted(untrusted)
    if len(rest) < 2:
        raise ValueError("no count of information requests")
    (count,) = SHORT.unpack_from(rest)
    if len(rest) != 2 + count * 2:
        raise ValueError(f"{count} information requests in {len(rest) - 2} bytes")
    return Wanted(name, struct.unpack_from(f">{count}H", rest, 2))


def parse_contexts(untrusted: bytes) -> tuple[str, tuple[str, ...]]:
    """Parse the data of LIST_META_CONTEXT and SET_META_CONTEXT: the export and the queries; ValueError."""
    name, rest = _counted(untrusted)
    if len(rest) < 4:
        raise ValueError("no count of queries")
    (count,) = NUMBER.unpack_from(rest)
    rest = rest[4:]
    queries = []
    for _ in range(count):  # each takes four bytes at least, and there are few of those
        query, rest = _counted(rest)
        queries.append(query)
    if rest:
        raise ValueError(f"{len(rest)} bytes behind the queries")
    return name, tuple(queries)


def _counted(untrusted: bytes) -> tuple[str, bytes]:
    if len(untrusted) < 4:
        raise ValueError("no length of a name")
    (length,) = NUMBER.unpack_from(untrusted)
    if length > len(untrusted) - 4:
        raise ValueError(f"a name of {length} bytes in {len(untrusted) - 4}")
    return _name(untrusted[4 : 4 + length]), untrusted[4 + length :]


def parse_name(untrusted: bytes) -> str:
    """Return the name of an export; ValueError."""
    return _name(untrusted)


# What the server says


def greeting() -> bytes:
    """Return the server's first words."""
    return GREETING.pack(GREETING_MAGIC, OPTION_MAGIC, Handshake.FIXED_NEWSTYLE | Handshake.NO_ZEROES)


def option_reply(option: int, answer: OptionAnswer, data: bytes = b"") -> bytes:
    """Return one reply to an option; data of an error is a text for people."""
    return OPTION_REPLY.pack(OPTION_REPLY_MAGIC, option, answer, len(data)) + data


def server_reply(option: int, name: str) -> bytes:
    """Return one line of a list of exports."""
    encoded = name.encode()
    return option_reply(option, OptionAnswer.SERVER, NUMBER.pack(len(encoded)) + encoded)


def export_info(option: int, size: int, flags: int) -> bytes:
    """Return size and abilities of an export."""
    return option_reply(option, OptionAnswer.INFO, INFO_EXPORT.pack(Info.EXPORT, size, flags))


def block_size_info(option: int) -> bytes:
    """Return the sizes of requests that are allowed, preferred and possible."""
    sizes = INFO_BLOCK_SIZE.pack(Info.BLOCK_SIZE, SMALLEST_BLOCK, PREFERRED_BLOCK, LONGEST_PAYLOAD)
    return option_reply(option, OptionAnswer.INFO, sizes)


def name_info(option: int, name: str) -> bytes:
    """Return the export's name as the server has it."""
    return option_reply(option, OptionAnswer.INFO, SHORT.pack(Info.NAME) + name.encode())


def context_reply(option: int, number: int, name: str) -> bytes:
    """Return one metadata context."""
    return option_reply(option, OptionAnswer.META_CONTEXT, NUMBER.pack(number) + name.encode())


def export_answer(size: int, flags: int, zeroes: bool) -> bytes:
    """Return the answer to EXPORT_NAME, with the 124 zeros that old clients want."""
    return EXPORT_ANSWER.pack(size, flags) + bytes(124 if zeroes else 0)


def simple_reply(cookie: int, error: int = 0) -> bytes:
    """Return a reply without data."""
    return SIMPLE_REPLY.pack(SIMPLE_REPLY_MAGIC, error, cookie)


def chunk_head(kind: ChunkType, cookie: int, length: int, done: bool = True) -> bytes:
    """Return the head of a structured reply with `length` bytes behind it."""
    return CHUNK.pack(CHUNK_MAGIC, CHUNK_DONE if done else 0, kind, cookie, length)


def pack_data_head(reply: memoryview, cookie: int, offset: int, length: int, done: bool) -> None:
    """Write the head of `length` bytes of data from `offset` into the reply that has them behind it."""
    size = OFFSET.size + length
    DATA_CHUNK.pack_into(reply, 0, CHUNK_MAGIC, CHUNK_DONE if done else 0, OFFSET_DATA, cookie, size, offset)


def error_chunk(cookie: int, error: int) -> bytes:
    """Return a structured reply that ends a request with an error."""
    return chunk_head(ChunkType.ERROR, cookie, ERROR.size) + ERROR.pack(error, 0)


def hole_chunk(cookie: int, offset: int, length: int, done: bool) -> bytes:
    """Return a structured reply that says where zeros are."""
    return chunk_head(ChunkType.OFFSET_HOLE, cookie, HOLE.size, done) + HOLE.pack(offset, length)


def status_chunk(cookie: int, pieces: Sequence[tuple[int, bool]]) -> bytes:
    """Return the block status: (length, whether it reads as zeros and takes no room) of one piece after the other."""
    descriptors = b"".join(DESCRIPTOR.pack(length, STATE_HOLE_AND_ZERO if zero else 0) for length, zero in pieces)
    head = chunk_head(ChunkType.BLOCK_STATUS, cookie, NUMBER.size + len(descriptors))
    return head + NUMBER.pack(ALLOCATION_ID) + descriptors


def joined_pieces(pieces: Iterable[tuple[int, bool]]) -> list[tuple[int, bool]]:
    """Return pieces with neighbours of one kind joined, as far as their lengths fit into a descriptor."""
    found: list[tuple[int, bool]] = []
    for length, zero in pieces:
        if found and found[-1][1] == zero and found[-1][0] + length < 1 << 32:
            found[-1] = (found[-1][0] + length, zero)
        else:
            found.append((length, zero))
    return found
