"""Pictures as PNG files, by zlib alone."""

import struct
import zlib

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_EIGHT_BITS_RGB = bytes((8, 2, 0, 0, 0))


def png(width: int, height: int, pixels: bytes) -> bytes:
    """A PNG of a picture with three bytes a pixel (red, green, blue), row by row."""
    stride = width * 3
    if len(pixels) != stride * height:
        raise ValueError("the pixels are not those of a picture of this size")
    rows = b"".join(b"\0" + pixels[start : start + stride] for start in range(0, len(pixels), stride))
    head = struct.pack(">II", width, height) + _EIGHT_BITS_RGB
    return _SIGNATURE + _chunk(b"IHDR", head) + _chunk(b"IDAT", zlib.compress(rows, 6)) + _chunk(b"IEND", b"")


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
