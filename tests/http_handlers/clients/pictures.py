"""Pictures that clients took of a screen, and what they show: PNG files read by zlib alone, compared pixel by pixel."""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass

from xapi.hypervisor.rfb import font

TOLERANCE = 8
"""How far a colour may be off: a client that paints with fewer bits, or a browser with a colour profile."""


@dataclass(frozen=True)
class Picture:
    """Rows of pixels with three bytes each: red, green, blue."""

    width: int
    rows: tuple[bytes, ...]

    @property
    def height(self) -> int:
        return len(self.rows)

    def line(self, number: int) -> tuple[bytes, ...]:
        """The pixels of a line of text."""
        return self.rows[number * font.HEIGHT : (number + 1) * font.HEIGHT]

    def says(self, number: int, text: str) -> bool:
        """Whether a line of text begins with these words, light on dark, as its pixels show."""
        return all(
            self.line(number)[row][(place * font.WIDTH + bit) * 3] > 100
            if bits >> bit & 1
            else self.line(number)[row][(place * font.WIDTH + bit) * 3] < 60
            for place, character in enumerate(text)
            for row, bits in enumerate(font.glyph(character))
            for bit in range(font.WIDTH)
        )

    def lines_that_say(self, text: str) -> list[int]:
        return [number for number in range(self.height // font.HEIGHT) if self.says(number, text)]

    def below_the_clock(self) -> Picture:
        """All but the first line, which changes every second."""
        return Picture(self.width, self.rows[font.HEIGHT :])


def differing(one: Picture, other: Picture) -> int:
    """How many bytes of two pictures of one size are not alike within the tolerance."""
    assert (one.width, one.height) == (other.width, other.height)
    return sum(
        abs(a - b) > TOLERANCE
        for left, right in zip(one.rows, other.rows, strict=True)
        if left != right
        for a, b in zip(left, right, strict=True)
    )


def read_png(data: bytes) -> Picture:
    """A picture with eight bits a channel and no interlacing, which is what every client here writes."""
    assert data[:8] == b"\x89PNG\r\n\x1a\n"
    place, compressed, head = 8, b"", (0, 0, 0, 0, 0)
    while place < len(data):
        size, kind = struct.unpack_from(">I4s", data, place)
        body = data[place + 8 : place + 8 + size]
        if kind == b"IHDR":
            head = struct.unpack(">IIBB2xB", body)
        elif kind == b"IDAT":
            compressed += body
        place += 12 + size
    width, _, depth, colour, interlaced = head
    assert depth == 8 and colour in (2, 6) and not interlaced
    channels = 3 if colour == 2 else 4
    rows = _unfiltered(zlib.decompress(compressed), width * channels, channels)
    return Picture(width, tuple(row if channels == 3 else _without_alpha(row) for row in rows))


def _without_alpha(row: bytes) -> bytes:
    kept = bytearray(len(row) // 4 * 3)
    for channel in range(3):
        kept[channel::3] = row[channel::4]
    return bytes(kept)


def _unfiltered(data: bytes, stride: int, step: int) -> list[bytes]:
    rows: list[bytes] = []
    above = bytes(stride)
    for start in range(0, len(data), stride + 1):
        row = bytearray(data[start + 1 : start + 1 + stride])
        kind = data[start]
        for place in range(stride) if kind else ():
            left = row[place - step] if place >= step else 0
            if kind == 1:
                guess = left
            elif kind == 2:
                guess = above[place]
            elif kind == 3:
                guess = (left + above[place]) // 2
            else:
                guess = _paeth(left, above[place], above[place - step] if place >= step else 0)
            row[place] = (row[place] + guess) & 255
        above = bytes(row)
        rows.append(above)
    return rows


def _paeth(left: int, up: int, corner: int) -> int:
    guess = left + up - corner
    distances = (abs(guess - left), abs(guess - up), abs(guess - corner))
    return (left, up, corner)[distances.index(min(distances))]
