"""The checksums that follow the blocks of a disk in an XVA: SHA-1 in older ones, XXH64 in newer ones.

XXH64 is written, which costs next to nothing; both are checked on import.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from typing import Final

import xxhash

Buffer = bytes | bytearray | memoryview
Digest = Callable[[Buffer], str]

SHA1: Final = ".checksum"
XXH64: Final = ".xxhash"
LONGEST: Final = 128  # bytes of a checksum's file that are looked at


def sha1(data: Buffer) -> str:
    """The SHA-1 of a block, as 40 lower-case digits."""
    return hashlib.sha1(data, usedforsecurity=False).hexdigest()


def xxh64(data: Buffer) -> str:
    """The XXH64 (seed 0) of a block, as 16 upper-case digits."""
    return xxhash.xxh64_hexdigest(data).upper()


WRITTEN: Final = XXH64
"""The kind of checksum that exports have, as those of today's hosts."""
DIGESTS: Final[Mapping[str, Digest]] = {SHA1: sha1, XXH64: xxh64}
"""How each kind of checksum is made, by the suffix of its file."""


def kind_of(name: str) -> str:
    """The suffix of a checksum's file, or the empty text for another file."""
    return next((suffix for suffix in DIGESTS if name.endswith(suffix)), "")


def matches(kind: str, data: Buffer, text: bytes) -> bool:
    """Whether a block has the checksum that is written in a file of this kind; the case of digits does not count."""
    return DIGESTS[kind](data).lower().encode() == text.strip().lower()
