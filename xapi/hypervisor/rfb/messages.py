"""What a viewer says, cut into messages: handshake of RFB 3.3, 3.7 and 3.8 and everything after it (RFC 6143).

Also known are the lengths of messages that are no business of ours but that viewers send to real guests (QEMU's keys,
fences, continuous updates, new desktop sizes): whoever only listens in must find the next message.
"""

import struct
from collections.abc import Callable
from enum import Enum

from xapi.hypervisor.rfb.errors import ProtocolError

VERSION = b"RFB 003.008\n"
NO_SECURITY = 1
LONGEST = 1 << 20


class Kind(Enum):
    """What a message is about."""

    VERSION = "version"
    SECURITY = "security"
    INITIALISE = "initialise"
    SET_PIXEL_FORMAT = 0
    SET_COLOUR_MAP = 1
    SET_ENCODINGS = 2
    UPDATE_REQUEST = 3
    KEY = 4
    POINTER = 5
    CUT_TEXT = 6
    CONTINUOUS_UPDATES = 150
    FENCE = 248
    SET_DESKTOP_SIZE = 251
    QEMU = 255


# The smallest length of each message, and how to learn the whole length from so many bytes.
_FIXED = {0: 20, 3: 10, 4: 8, 5: 6, 150: 10}
_COUNTED: dict[int, tuple[int, Callable[[bytes], int]]] = {
    1: (6, lambda head: 6 + 6 * int.from_bytes(head[4:6])),
    2: (4, lambda head: 4 + 4 * int.from_bytes(head[2:4])),
    6: (8, lambda head: 8 + abs(struct.unpack(">i", head[4:8])[0])),
    248: (9, lambda head: 9 + head[8]),
    251: (8, lambda head: 8 + 16 * head[6]),
    255: (4, lambda head: _qemu_length(head)),
}


def _qemu_length(head: bytes) -> int:
    if head[1] == 0:
        return 12
    if head[1] == 1:
        return 10 if int.from_bytes(head[2:4]) == 2 else 4
    raise ProtocolError(f"an unknown message of QEMU's, {head[1]}")


class ClientMessages:
    """Cuts one viewer's bytes into messages; `minor` is the version of the protocol once it is known."""

    def __init__(self) -> None:
        self.minor = 8
        self._buffer = bytearray()
        self._stage = Kind.VERSION

    def feed(self, data: bytes) -> list[tuple[Kind, bytes]]:
        """Take what came; return the messages that are whole. ProtocolError for what is none."""
        self._buffer += data
        found: list[tuple[Kind, bytes]] = []
        start = 0
        while (size := self._size(start)) and start + size <= len(self._buffer):
            found.append(self._understand(bytes(self._buffer[start : start + size])))
            start += size
        del self._buffer[:start]
        return found

    def _size(self, start: int) -> int:
        """How long the message that begins here is, or 0 when not even that is known yet."""
        if self._stage is Kind.VERSION:
            return len(VERSION)
        if self._stage in (Kind.SECURITY, Kind.INITIALISE):
            return 1
        if start >= len(self._buffer):
            return 0
        kind = self._buffer[start]
        if kind in _FIXED:
            return _FIXED[kind]
        if kind not in _COUNTED:
            raise ProtocolError(f"unknown message {kind}")
        needed, length = _COUNTED[kind]
        head = bytes(self._buffer[start : start + needed])
        if len(head) < needed:
            return 0
        size = length(head)
        if size > LONGEST:
            raise ProtocolError(f"a message of {size} bytes")
        return size

    def _understand(self, message: bytes) -> tuple[Kind, bytes]:
        stage = self._stage
        if stage is Kind.VERSION:
            number = message[8:11]
            if not message.startswith(b"RFB 003.") or not number.isdigit() or message[11:] != b"\n":
                raise ProtocolError("no RFB version")
            self.minor = int(number)
            self._stage = Kind.SECURITY if self.minor >= 7 else Kind.INITIALISE
        elif stage is Kind.SECURITY:
            if message[0] != NO_SECURITY:
                raise ProtocolError("a security type that was not offered")
            self._stage = Kind.INITIALISE
        elif stage is Kind.INITIALISE:
            self._stage = Kind.UPDATE_REQUEST  # stands for any message from now on
        else:
            return Kind(message[0]), message
        return stage, message


class Activity:
    """Tells whether a person is at a viewer, from what the viewer says: keys and pointer count, requests do not."""

    def __init__(self) -> None:
        self._messages: ClientMessages | None = ClientMessages()

    def feed(self, data: bytes) -> bool:
        """Take what the viewer said; where that is not understood, anything counts from then on."""
        if self._messages is None:
            return bool(data)
        try:
            found = self._messages.feed(data)
        except ProtocolError:
            self._messages = None
            return True
        return any(kind in (Kind.KEY, Kind.POINTER, Kind.CUT_TEXT, Kind.QEMU) for kind, _ in found)
