"""A small RFB client: it decodes raw, hextile, zlib and ZRLE to pixels, so that pictures are compared by content."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable

from xapi.hypervisor.rfb.pixels import PALETTE

Colour = tuple[int, int, int]


class Viewer:
    """`exchange` sends bytes and `read(n)` brings exactly so many."""

    def __init__(self, send: Callable[[bytes], object], read: Callable[[int], bytes], minor: int = 8) -> None:
        self.send, self.read = send, read
        self.inflate = {6: zlib.decompressobj(), 16: zlib.decompressobj()}
        self.pixel = ("<", 32, 24, True, (255, 255, 255), (16, 8, 0))
        assert read(12) == b"RFB 003.008\n"
        send(b"RFB 003.%03d\n" % minor)
        if minor == 3:
            assert read(4) == b"\0\0\0\x01"
        else:
            assert read(2) == b"\x01\x01"
            send(b"\x01")
            if minor == 8:
                assert read(4) == b"\0\0\0\0"
        send(b"\x01")
        self.width, self.height = struct.unpack(">HH", read(4))
        read(16)
        self.name = read(int.from_bytes(read(4))).decode()
        self.picture: list[list[Colour | None]] = []
        self.blank()

    def blank(self) -> None:
        self.picture = [[None] * self.width for _ in range(self.height)]

    def ask_format(self, order: str, bits: int, depth: int, true: bool, maxima: Colour, shifts: Colour) -> None:
        self.pixel = (order, bits, depth, true, maxima, shifts)
        fields = (bits, depth, order == ">", true, *maxima, *shifts)
        self.send(b"\0\0\0\0" + struct.pack(">BB??HHHBBBxxx", *fields))

    def ask_encodings(self, *numbers: int) -> None:
        self.send(struct.pack(f">BxH{len(numbers)}i", 2, len(numbers), *numbers))

    def ask(self, incremental: bool = False) -> None:
        self.send(struct.pack(">B?HHHH", 3, incremental, 0, 0, self.width, self.height))

    def press(self, text: str) -> None:
        for character in text:
            keysym = {"\n": 0xFF0D, "\b": 0xFF08}.get(character, ord(character))
            for down in (True, False):
                self.send(struct.pack(">B?xxI", 4, down, keysym))

    def take(self) -> list[int]:
        """Take one update; the encodings of its rectangles."""
        kind = self.read(1)
        if kind == b"\x01":
            _, first, count = struct.unpack(">BHH", self.read(5))
            assert (first, count) == (0, 256)
            levels = struct.unpack(">768H", self.read(6 * 256))
            assert [tuple(level // 257 for level in levels[3 * n : 3 * n + 3]) for n in range(256)] == list(PALETTE)
            kind = self.read(1)
        assert kind == b"\0"
        _, count = struct.unpack(">BH", self.read(3))
        seen = []
        for _ in range(count):
            left, top, width, height, encoding = struct.unpack(">HHHHi", self.read(12))
            seen.append(encoding)
            if encoding == -223:
                self.width, self.height = width, height
                self.blank()
            else:
                self._decode(encoding, left, top, width, height)
        return seen

    def _size(self) -> int:
        return self.pixel[1] // 8

    def colour(self, data: bytes) -> Colour:
        order, _, _, true, maxima, shifts = self.pixel
        number = int.from_bytes(data, "big" if order == ">" else "little")
        if not true:
            return PALETTE[number]
        levels = [(number >> shift) & most for most, shift in zip(maxima, shifts, strict=True)]
        return tuple(round(level * 255 / most) for level, most in zip(levels, maxima, strict=True))  # type: ignore

    def _fill(self, left: int, top: int, width: int, height: int, colour: Colour) -> None:
        for row in range(top, top + height):
            self.picture[row][left : left + width] = [colour] * width

    def _raw(self, read: Callable[[int], bytes], left: int, top: int, width: int, height: int) -> None:
        size = self._size()
        for row in range(top, top + height):
            data = read(width * size)
            self.picture[row][left : left + width] = [
                self.colour(data[start : start + size]) for start in range(0, len(data), size)
            ]

    def _decode(self, encoding: int, left: int, top: int, width: int, height: int) -> None:
        if encoding == 0:
            self._raw(self.read, left, top, width, height)
        elif encoding == 5:
            self._hextile(left, top, width, height)
        else:
            data = self.inflate[encoding].decompress(self.read(int.from_bytes(self.read(4))))
            place = 0

            def read(count: int) -> bytes:
                nonlocal place
                place += count
                assert place <= len(data)
                return data[place - count : place]

            if encoding == 6:
                self._raw(read, left, top, width, height)
            else:
                self._zrle(read, left, top, width, height)
            assert place == len(data)

    def _hextile(self, left: int, top: int, width: int, height: int) -> None:
        size = self._size()
        ground = ink = None
        for y in range(top, top + height, 16):
            for x in range(left, left + width, 16):
                w, h = min(16, left + width - x), min(16, top + height - y)
                flags = self.read(1)[0]
                if flags & 1:
                    self._raw(self.read, x, y, w, h)
                    ground = ink = None
                    continue
                if flags & 2:
                    ground = self.colour(self.read(size))
                if flags & 4:
                    ink = self.colour(self.read(size))
                assert ground is not None
                self._fill(x, y, w, h, ground)
                if flags & 8:
                    for _ in range(self.read(1)[0]):
                        colour = self.colour(self.read(size)) if flags & 16 else ink
                        place, extent = self.read(2)
                        assert colour is not None
                        self._fill(x + (place >> 4), y + (place & 15), (extent >> 4) + 1, (extent & 15) + 1, colour)
                if flags & 16:
                    ink = None

    def _zrle(self, read: Callable[[int], bytes], left: int, top: int, width: int, height: int) -> None:
        order, bits, depth, true, maxima, shifts = self.pixel
        if bits == 32 and true and depth <= 24:
            low = all(most << shift < 1 << 24 for most, shift in zip(maxima, shifts, strict=True))
            size, first = 3, low == (order == ">")
            pad = (lambda data: b"\0" + data) if first else (lambda data: data + b"\0")
        else:
            size, pad = bits // 8, lambda data: data
        for y in range(top, top + height, 64):
            for x in range(left, left + width, 64):
                w, h = min(64, left + width - x), min(64, top + height - y)
                kind = read(1)[0]
                if kind == 1:
                    self._fill(x, y, w, h, self.colour(pad(read(size))))
                elif kind == 0:
                    for row in range(y, y + h):
                        for column in range(x, x + w):
                            self.picture[row][column] = self.colour(pad(read(size)))
                else:
                    assert 2 <= kind <= 16
                    colours = [self.colour(pad(read(size))) for _ in range(kind)]
                    per = {2: 1, 3: 2, 4: 2}.get(kind, 4)
                    for row in range(y, y + h):
                        data = read(-(-w * per // 8))
                        number = int.from_bytes(data) >> len(data) * 8 - w * per
                        for column in reversed(range(w)):
                            self.picture[row][x + column] = colours[number & (1 << per) - 1]
                            number >>= per


def joined(session: object) -> Viewer:
    """A viewer of a session in the same thread: what it sends is answered at once."""
    waiting = bytearray(session.greet())  # type: ignore[attr-defined]

    def send(data: bytes) -> None:
        waiting.extend(session.feed(data))  # type: ignore[attr-defined]

    def read(count: int) -> bytes:
        if len(waiting) < count:
            waiting.extend(session.update())  # type: ignore[attr-defined]
        assert len(waiting) >= count, "there is nothing to read"
        data = bytes(waiting[:count])
        del waiting[:count]
        return data

    made = Viewer(send, read)
    made.waiting = waiting  # type: ignore[attr-defined]
    return made
