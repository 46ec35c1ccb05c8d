"""Colours on the wire: from the framebuffer's 256 colours to whatever pixels a viewer wants (RFC 6143, section 7.4).

Pixels are kept as one byte each, an index into a palette, because text screens have few colours: then every pixel
format is a handful of table look-ups that the interpreter does for a whole picture at once.
"""

import struct
from dataclasses import dataclass

from xapi.hypervisor.rfb.errors import ProtocolError

_FORMAT = struct.Struct(">BBBBHHHBBBxxx")

SIXTEEN = (
    (0, 0, 0), (170, 0, 0), (0, 170, 0), (170, 85, 0), (0, 0, 170), (170, 0, 170), (0, 170, 170), (170, 170, 170),
    (85, 85, 85), (255, 85, 85), (85, 255, 85), (255, 255, 85), (85, 85, 255), (255, 85, 255), (85, 255, 255),
    (255, 255, 255),
)  # fmt: skip
_STEPS = (0, 95, 135, 175, 215, 255)


def _make_palette() -> tuple[tuple[int, int, int], ...]:
    cube = tuple((red, green, blue) for red in _STEPS for green in _STEPS for blue in _STEPS)
    greys = tuple((level, level, level) for level in range(8, 248, 10))
    return SIXTEEN + cube + greys


PALETTE = _make_palette()
"""The 256 colours of terminals: sixteen by name, a cube of six steps a side, and 24 greys."""


def nearest(red: int, green: int, blue: int) -> int:
    """The colour of the palette's cube that is closest to a colour of 8 bits a channel."""
    return 16 + 36 * _nearest_step(red) + 6 * _nearest_step(green) + _nearest_step(blue)


def _nearest_step(level: int) -> int:
    return min(range(6), key=lambda step: abs(_STEPS[step] - level))


@dataclass(frozen=True, slots=True)
class PixelFormat:
    """How a viewer wants its pixels."""

    bits_per_pixel: int = 32
    depth: int = 24
    big_endian: bool = False
    true_colour: bool = True
    maxima: tuple[int, int, int] = (255, 255, 255)
    shifts: tuple[int, int, int] = (16, 8, 0)

    @classmethod
    def parse(cls, data: bytes) -> "PixelFormat":
        """Read the 16 bytes of the protocol; ProtocolError for a size that no pixel has."""
        bits, depth, big, true, *rest = _FORMAT.unpack(data)
        if bits not in (8, 16, 32) or (not true and bits != 8):
            raise ProtocolError(f"{bits} bits per pixel")
        red, green, blue, red_shift, green_shift, blue_shift = rest
        return cls(bits, depth, bool(big), bool(true), (red, green, blue), (red_shift, green_shift, blue_shift))

    def pack(self) -> bytes:
        """The 16 bytes of the protocol."""
        return _FORMAT.pack(
            self.bits_per_pixel, self.depth, self.big_endian, self.true_colour, *self.maxima, *self.shifts
        )

    def value(self, colour: int) -> bytes:
        """One pixel of a colour of the palette."""
        size = self.bits_per_pixel // 8
        if not self.true_colour:
            return bytes((colour,))
        number = 0
        for level, maximum, shift in zip(PALETTE[colour], self.maxima, self.shifts, strict=True):
            number |= (level * maximum + 127) // 255 << min(shift, 32)
        return (number & (1 << 8 * size) - 1).to_bytes(size, "big" if self.big_endian else "little")

    @property
    def compact(self) -> slice:
        """Which bytes of a pixel ZRLE sends: three of four where the fourth never says anything (section 7.7.5)."""
        if self.bits_per_pixel != 32 or not self.true_colour or self.depth > 24:
            return slice(0, self.bits_per_pixel // 8)
        low = all(maximum << shift < 1 << 24 for maximum, shift in zip(self.maxima, self.shifts, strict=True))
        high = all(shift >= 8 for shift in self.shifts)
        if not low and not high:
            return slice(0, 4)
        first = low == self.big_endian  # the three bytes follow the idle one
        return slice(1, 4) if first else slice(0, 3)


class PixelWriter:
    """Turns pixels of the framebuffer into those of one viewer."""

    def __init__(self, wanted: PixelFormat) -> None:
        self.format = wanted
        values = [wanted.value(colour) for colour in range(256)]
        self._values = values
        self._planes = [bytes(value[place] for value in values) for place in range(len(values[0]))]
        kept = range(len(values[0]))[wanted.compact]
        self._compact_planes = [self._planes[place] for place in kept]
        self._compact = [value[wanted.compact] for value in values]

    def one(self, colour: int) -> bytes:
        """One pixel."""
        return self._values[colour]

    def one_compact(self, colour: int) -> bytes:
        """One pixel as ZRLE has it."""
        return self._compact[colour]

    def expand(self, pixels: bytes) -> bytes:
        """Many pixels."""
        return _interleave(pixels, self._planes)

    def expand_compact(self, pixels: bytes) -> bytes:
        """Many pixels as ZRLE has them."""
        return _interleave(pixels, self._compact_planes)


def _interleave(pixels: bytes, planes: list[bytes]) -> bytes:
    if len(planes) == 1:
        return pixels.translate(planes[0])
    size = len(planes)
    out = bytearray(len(pixels) * size)
    for place, table in enumerate(planes):
        out[place::size] = pixels.translate(table)
    return bytes(out)


def colour_map() -> bytes:
    """The message that tells a viewer without true colour what the 256 colours are (section 7.6.2)."""
    levels = [level * 257 for colour in PALETTE for level in colour]
    return struct.pack(f">BxHH{len(levels)}H", 1, 0, len(PALETTE), *levels)
