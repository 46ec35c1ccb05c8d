"""An empty CD of guest tools for simulated hosts, so that clients can put into a drive what they expect to be there.

Simulated guests need no tools. On other hosts an image that pretends to hold some would mislead: there the record of
the disk says that it is missing, until somebody puts the image in its place.
"""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Final

from xapi.services.startup.storage import TOOLS_ISO
from xapi.system.atomic_file import write_atomically

SECTOR: Final = 2048
DESCRIPTOR, TERMINATOR, SMALL_ENDIAN_TABLE, BIG_ENDIAN_TABLE, ROOT, SECTORS = 16, 17, 18, 19, 20, 21
"""The sectors of the image (ECMA-119): the first sixteen belong to the system, the last one is the directory."""
UNKNOWN_TIME: Final = b"0" * 16 + b"\0"


def provide_tools_image(directory: Path) -> None:
    """Put an empty image into a directory that has none; one that is there stays as it is."""
    path = directory / TOOLS_ISO
    if not path.exists():
        directory.mkdir(parents=True, exist_ok=True)
        write_atomically(path, empty_image("SIMULATED_TOOLS"), 0o644)


def empty_image(label: str) -> bytes:
    """A CD image without files (ISO 9660), whose label has at most 32 capitals, digits and underscores."""
    image = bytearray(SECTORS * SECTOR)

    def put(sector: int, data: bytes) -> None:
        image[sector * SECTOR : sector * SECTOR + len(data)] = data

    put(DESCRIPTOR, _descriptor(label))
    put(TERMINATOR, b"\xffCD001\x01")
    put(SMALL_ENDIAN_TABLE, struct.pack("<BBIHBB", 1, 0, ROOT, 1, 0, 0))
    put(BIG_ENDIAN_TABLE, struct.pack(">BBIHBB", 1, 0, ROOT, 1, 0, 0))
    put(ROOT, _directory_entry(b"\0") + _directory_entry(b"\1"))
    return bytes(image)


def _descriptor(label: str) -> bytes:
    def text(value: str, length: int) -> bytes:
        return value.encode("ascii").ljust(length)

    return b"".join(
        (
            b"\x01CD001\x01\0",
            text("", 32),
            text(label, 32),
            bytes(8),
            _both32(SECTORS),
            bytes(32),
            _both16(1),
            _both16(1),
            _both16(SECTOR),
            _both32(10),  # bytes in each path table
            struct.pack("<II", SMALL_ENDIAN_TABLE, 0),
            struct.pack(">II", BIG_ENDIAN_TABLE, 0),
            _directory_entry(b"\0"),
            text("", 4 * 128 + 3 * 37),
            UNKNOWN_TIME * 4,
            b"\x01",
        )
    )


def _directory_entry(name: bytes) -> bytes:
    """The root directory as it calls itself (0) or its parent (1)."""
    return b"\x22\0" + _both32(ROOT) + _both32(SECTOR) + bytes(7) + b"\x02\0\0" + _both16(1) + b"\x01" + name


def _both16(value: int) -> bytes:
    return struct.pack("<H", value) + struct.pack(">H", value)


def _both32(value: int) -> bytes:
    return struct.pack("<I", value) + struct.pack(">I", value)
