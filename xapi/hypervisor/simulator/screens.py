"""What simulated screens and terminals say: the RFB protocol 3.3 to 3.8 (RFC 6143) and a login prompt, without I/O.

A screen is fed the bytes that came and answers the bytes to send. It shows one still picture: it has no news to send.
"""

import struct
from collections.abc import Callable
from typing import Protocol

WIDTH, HEIGHT = 640, 480
_PIXEL_FORMAT = struct.Struct(">BBBBHHHBBBxxx")
_DEFAULT_FORMAT = _PIXEL_FORMAT.pack(32, 24, 0, 1, 255, 255, 255, 16, 8, 0)
_LENGTHS = {0: 20, 2: 4, 3: 10, 4: 8, 5: 6, 6: 8}  # of the client's messages, or of their heads
_LONGEST_TEXT = 1 << 20


class ProtocolError(Exception):
    """The client spoke nonsense; hang up."""


class Screen(Protocol):
    """One conversation with one client."""

    def greet(self) -> bytes:
        """What to send before anything came."""

    def feed(self, data: bytes) -> bytes:
        """Take what came and answer what to send; raises ProtocolError."""


class RfbScreen:
    """One RFB connection to a still picture."""

    def __init__(self, name: str) -> None:
        self._name = name.encode()
        self._buffer = b""
        self._stage: Callable[[], bytes | None] = self._version
        self._minor = 8
        self._bytes_per_pixel = 4
        self._wanted = b""  # the latest request for a whole update (an incremental one has nothing to tell)

    def greet(self) -> bytes:
        """The server's highest version."""
        return b"RFB 003.008\n"

    def feed(self, data: bytes) -> bytes:
        """Take what came and answer what to send; raises ProtocolError."""
        self._buffer += data
        answers: list[bytes] = []
        self._wanted = b""
        while (answer := self._stage()) is not None:
            answers.append(answer)
        if self._wanted:
            answers.append(self._update(self._wanted))
        return b"".join(answers)

    def _take(self, size: int) -> bytes | None:
        if len(self._buffer) < size:
            return None
        taken, self._buffer = self._buffer[:size], self._buffer[size:]
        return taken

    def _version(self) -> bytes | None:
        line = self._take(12)
        if line is None:
            return None
        if not line.startswith(b"RFB 003.") or not line[8:11].isdigit():
            raise ProtocolError("no RFB version")
        self._minor = int(line[8:11])
        if self._minor < 7:
            self._stage = self._initialise
            return struct.pack(">I", 1)
        self._stage = self._security
        return b"\x01\x01"

    def _security(self) -> bytes | None:
        choice = self._take(1)
        if choice is None:
            return None
        if choice != b"\x01":
            raise ProtocolError("a security type that was not offered")
        self._stage = self._initialise
        return struct.pack(">I", 0) if self._minor >= 8 else b""

    def _initialise(self) -> bytes | None:
        if self._take(1) is None:
            return None
        self._stage = self._message
        return struct.pack(">HH", WIDTH, HEIGHT) + _DEFAULT_FORMAT + struct.pack(">I", len(self._name)) + self._name

    def _message(self) -> bytes | None:
        if not self._buffer:
            return None
        kind = self._buffer[0]
        if kind not in _LENGTHS:
            raise ProtocolError(f"unknown message {kind}")
        length = _LENGTHS[kind]
        if len(self._buffer) < length:
            return None
        if kind == 2:
            length += 4 * int.from_bytes(self._buffer[2:4])
        elif kind == 6:
            length += int.from_bytes(self._buffer[4:8])
        if length > _LONGEST_TEXT:
            raise ProtocolError("a text that is too long")
        message = self._take(length)
        if message is None:
            return None
        if kind == 0:
            self._set_pixel_format(message)
        elif kind == 3 and not message[1]:
            self._wanted = message  # one answer serves all requests that came together: a flood must not cost memory
        return b""

    def _set_pixel_format(self, message: bytes) -> None:
        if message[4] not in (8, 16, 32):
            raise ProtocolError(f"{message[4]} bits per pixel")
        self._bytes_per_pixel = message[4] // 8

    def _update(self, message: bytes) -> bytes:
        left, top, width, height = struct.unpack(">2xHHHH", message)
        left, top = min(left, WIDTH), min(top, HEIGHT)
        width, height = min(width, WIDTH - left), min(height, HEIGHT - top)
        if not width or not height:
            return b""
        head: bytes = struct.pack(">BxHHHHHi", 0, 1, left, top, width, height, 0)
        picture: bytes = b"\x20" * (width * height * self._bytes_per_pixel)
        return head + picture


class TextScreen:
    """One terminal with a login prompt that nobody passes."""

    def __init__(self, name: str) -> None:
        self._prompt = f"\r\n{name} login: ".encode()

    def greet(self) -> bytes:
        """A login prompt."""
        return self._prompt

    def feed(self, data: bytes) -> bytes:
        """An echo, and a new prompt after each line."""
        return data.replace(b"\r\n", b"\r").replace(b"\n", b"\r").replace(b"\r", b"\r\n" + self._prompt)
