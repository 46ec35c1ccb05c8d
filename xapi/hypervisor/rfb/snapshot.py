"""One look at a screen: a viewer that asks for one whole picture and goes; bytes in, bytes out, without I/O."""

import struct
from collections.abc import Generator

from xapi.hypervisor.rfb.errors import ProtocolError
from xapi.hypervisor.rfb.pixels import PixelFormat
from xapi.hypervisor.rfb.png import png

LARGEST = 64 * 1024 * 1024
"""Bytes of a picture at four a pixel; screens that are larger are refused."""
_FORMAT = PixelFormat(maxima=(255, 255, 255), shifts=(0, 8, 16))
_RAW, _DESKTOP_SIZE = 0, -223


class Snapshot:
    """A viewer that takes one picture. `feed` what the screen sent and send what it returns, until `picture` is there.

    Only raw pixels are asked for: every server has them, and the socket is a local one.
    """

    def __init__(self) -> None:
        self.picture: bytes | None = None
        self._buffer = bytearray()
        self._sent: list[bytes] = []
        self._steps = self._conversation()
        self._needed = next(self._steps)

    def feed(self, data: bytes) -> bytes:
        """Take what the screen sent and return what to send; raises ProtocolError."""
        self._buffer += data
        while self.picture is None and len(self._buffer) >= self._needed:
            taken = bytes(self._buffer[: self._needed])
            del self._buffer[: self._needed]
            try:
                self._needed = self._steps.send(taken)
            except StopIteration as ended:
                self.picture = ended.value
        sent = b"".join(self._sent)
        self._sent.clear()
        return sent

    def _conversation(self) -> Generator[int, bytes, bytes]:
        """Yield how many bytes are needed next, and get them; return the picture as a PNG."""
        version = yield 12
        if not version.startswith(b"RFB 003.") or not version[8:11].isdigit():
            raise ProtocolError("this is no screen")
        minor = 8 if int(version[8:11]) >= 8 else 7 if int(version[8:11]) == 7 else 3
        self._sent.append(b"RFB 003.%03d\n" % minor)
        yield from self._pass_security(minor)
        self._sent.append(b"\x01")
        width, height, name_length = struct.unpack(">HH16xI", (yield 24))
        if name_length > LARGEST:
            raise ProtocolError("a name that is too long")
        yield name_length
        self._sent.append(b"\0\0\0\0" + _FORMAT.pack() + struct.pack(">BxHii", 2, 2, _RAW, _DESKTOP_SIZE))
        while True:
            if width * height * 4 > LARGEST:
                raise ProtocolError(f"a screen of {width} by {height}")
            pixels = bytearray(width * height * 4)
            self._sent.append(struct.pack(">BBHHHH", 3, 0, 0, 0, width, height))
            resized = yield from self._update(pixels, width)
            if resized is None:
                colours = bytearray(width * height * 3)
                for channel in range(3):
                    colours[channel::3] = pixels[channel::4]
                return png(width, height, bytes(colours))
            width, height = resized

    def _pass_security(self, minor: int) -> Generator[int, bytes, None]:
        if minor == 3:
            chosen = int.from_bytes((yield 4))
        else:
            offered = yield from self._counted()
            chosen = 1 if 1 in offered else 0
            self._sent.append(b"\x01")
        if chosen != 1:
            raise ProtocolError("the screen wants a password")
        if minor == 8 and int.from_bytes((yield 4)):
            raise ProtocolError("the screen turned us away")

    def _counted(self) -> Generator[int, bytes, bytes]:
        count = yield 1
        return (yield count[0])

    def _update(self, pixels: bytearray, width: int) -> Generator[int, bytes, tuple[int, int] | None]:
        """Fill the picture; or return its new size when that has changed meanwhile."""
        while (kind := (yield 1)[0]) != 0:
            yield from self._skip(kind)
        (count,) = struct.unpack(">xH", (yield 3))
        resized = None
        for _ in range(count):
            left, top, columns, rows, encoding = struct.unpack(">HHHHi", (yield 12))
            if encoding == _DESKTOP_SIZE:
                resized = (columns, rows)
                continue
            if encoding != _RAW or left + columns > width or (top + rows) * width * 4 > len(pixels):
                raise ProtocolError("a rectangle that was not asked for")
            data = yield columns * rows * 4
            for row in range(rows):
                start = ((top + row) * width + left) * 4
                pixels[start : start + columns * 4] = data[row * columns * 4 : (row + 1) * columns * 4]
        return resized

    def _skip(self, kind: int) -> Generator[int, bytes, None]:
        if kind == 1:
            head = yield 5
            yield 6 * int.from_bytes(head[3:5])
        elif kind == 3:
            head = yield 7
            yield min(int.from_bytes(head[3:7]), LARGEST)
        elif kind != 2:
            raise ProtocolError(f"unknown message {kind}")
