"""How a part of a picture goes over the wire: raw, hextile, zlib, ZRLE (RFC 6143, section 7.7, and the zlib registry).

The compressed ones keep one stream for a whole connection, so an encoder belongs to one viewer.
"""

import re
import zlib
from collections.abc import Callable, Iterable, Iterator
from enum import IntEnum

from xapi.hypervisor.rfb.framebuffer import Rect
from xapi.hypervisor.rfb.pixels import PixelWriter

_HEXTILE, _ZRLE_TILE = 16, 64
_RAW, _BACKGROUND, _FOREGROUND, _SUBRECTS, _COLOURED = 1, 2, 4, 8, 16
_RUNS = re.compile(rb"(.)\1*", re.DOTALL)
_DIGITS = b"0123456789abcdef"
_LEVEL = 3  # text compresses well at any level; the lowest ones cost a third of the time


class Encoding(IntEnum):
    """Encodings that are known here, by their numbers; the negative ones are announcements."""

    RAW = 0
    HEXTILE = 5
    ZLIB = 6
    ZRLE = 16
    DESKTOP_SIZE = -223


class Encoder:
    """Encodes rectangles for one viewer."""

    def __init__(self) -> None:
        self._zlib: zlib._Compress | None = None
        self._zrle: zlib._Compress | None = None
        self._ways: dict[Encoding, Callable[[list[bytes], PixelWriter], bytes]] = {
            Encoding.RAW: _raw,
            Encoding.HEXTILE: _hextile,
            Encoding.ZLIB: self._deflated,
            Encoding.ZRLE: self._run_lengths,
        }

    def encode(self, encoding: Encoding, rows: list[bytes], writer: PixelWriter) -> bytes:
        """The bytes that follow the head of a rectangle with these rows of pixels."""
        return self._ways[encoding](rows, writer)

    def _deflated(self, rows: list[bytes], writer: PixelWriter) -> bytes:
        if self._zlib is None:
            self._zlib = zlib.compressobj(_LEVEL)
        return _counted(self._zlib, _raw(rows, writer))

    def _run_lengths(self, rows: list[bytes], writer: PixelWriter) -> bytes:
        if self._zrle is None:
            self._zrle = zlib.compressobj(_LEVEL)
        return _counted(self._zrle, b"".join(_zrle_tile(tile, writer) for tile in _tiles(rows, _ZRLE_TILE)))


def _counted(stream: "zlib._Compress", data: bytes) -> bytes:
    packed = stream.compress(data) + stream.flush(zlib.Z_SYNC_FLUSH)
    return len(packed).to_bytes(4) + packed


def _raw(rows: list[bytes], writer: PixelWriter) -> bytes:
    return writer.expand(b"".join(rows))


def _tiles(rows: list[bytes], side: int) -> Iterator[list[bytes]]:
    for top in range(0, len(rows), side):
        band = rows[top : top + side]
        for left in range(0, len(band[0]), side):
            yield [row[left : left + side] for row in band]


def _zrle_tile(rows: list[bytes], writer: PixelWriter) -> bytes:
    pixels = b"".join(rows)
    colours = sorted(set(pixels))
    if len(colours) == 1:
        return b"\x01" + writer.one_compact(colours[0])
    if len(colours) > 16:
        return b"\x00" + writer.expand_compact(pixels)
    bits = 1 if len(colours) == 2 else 2 if len(colours) <= 4 else 4
    per_byte = 8 // bits
    size = -(-len(rows[0]) // per_byte)
    table = bytes.maketrans(bytes(colours), _DIGITS[: len(colours)])
    # A row of palette indices is one number in base 2, 4 or 16, and that number's bytes are what goes out.
    packed = [int(row.translate(table).ljust(size * per_byte, b"0"), 1 << bits).to_bytes(size) for row in rows]
    return bytes((len(colours),)) + b"".join(map(writer.one_compact, colours)) + b"".join(packed)


def _hextile(rows: list[bytes], writer: PixelWriter) -> bytes:
    out: list[bytes] = []
    background = foreground = -1  # what the viewer remembers from the tile before
    for tile in _tiles(rows, _HEXTILE):
        pixels = b"".join(tile)
        colours = set(pixels)
        ground = max(colours, key=pixels.count)
        fresh = _BACKGROUND if ground != background else 0
        head = writer.one(ground) if fresh else b""
        if len(colours) == 1:
            out += (bytes((fresh,)), head)
            background = ground
            continue
        rects = list(_subrects(tile, ground))
        coloured = len(colours) > 2
        body = b""
        if len(rects) <= 255:
            body = bytes((len(rects),)) + b"".join(_subrect_bytes(rects, writer, coloured))
        raw = writer.expand(pixels)
        if not body or len(head) + len(body) >= len(raw):
            out += (bytes((_RAW,)), raw)
            background = foreground = -1
            continue
        flags = fresh | _SUBRECTS
        background = ground
        if coloured:
            flags |= _COLOURED
            foreground = -1
        else:
            (ink,) = colours - {ground}
            if ink != foreground:
                flags |= _FOREGROUND
                head += writer.one(ink)
                foreground = ink
        out += (bytes((flags,)), head, body)
    return b"".join(out)


def _subrects(tile: list[bytes], ground: int) -> Iterator[tuple[int, Rect]]:
    """Cover what is not background with rectangles: runs of one colour, those below each other joined."""
    going: dict[tuple[int, int, int], int] = {}
    for top, row in enumerate([*tile, b""]):
        runs = {
            (match.start(), match.end(), row[match.start()])
            for match in _RUNS.finditer(row)
            if row[match.start()] != ground
        }
        for run in [run for run in going if run not in runs]:
            left, right, colour = run
            start = going.pop(run)
            yield colour, Rect(left, start, right - left, top - start)
        for run in runs:
            going.setdefault(run, top)


def _subrect_bytes(rects: Iterable[tuple[int, Rect]], writer: PixelWriter, coloured: bool) -> Iterator[bytes]:
    for colour, rect in rects:
        place = bytes((rect.left << 4 | rect.top, rect.width - 1 << 4 | rect.height - 1))
        yield writer.one(colour) + place if coloured else place
