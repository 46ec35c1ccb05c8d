"""The checksums that follow the blocks of a disk in an XVA: SHA-1 in older ones, XXH64 in newer ones.

With the package `xxhash` the newer kind is written, which costs next to nothing; without it the older, which every
release reads. Both are checked on import in any case, XXH64 then slowly.
"""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import struct
from collections.abc import Callable, Mapping
from typing import Any, Final

Buffer = bytes | bytearray | memoryview
Digest = Callable[[Buffer], str]

SHA1: Final = ".checksum"
XXH64: Final = ".xxhash"
LONGEST: Final = 128  # bytes of a checksum's file that are looked at

_MASK: Final = (1 << 64) - 1
_PRIME_1: Final = 0x9E3779B185EBCA87
_PRIME_2: Final = 0xC2B2AE3D27D4EB4F
_PRIME_3: Final = 0x165667B19E3779F9
_PRIME_4: Final = 0x85EBCA77C2B2AE63
_PRIME_5: Final = 0x27D4EB2F165667C5
_STRIPE: Final = struct.Struct("<4Q")


def sha1(data: Buffer) -> str:
    """The SHA-1 of a block, as 40 lower-case digits."""
    return hashlib.sha1(data, usedforsecurity=False).hexdigest()


def _rotated(value: int, bits: int) -> int:
    return (value << bits | value >> (64 - bits)) & _MASK


def slow_xxh64(data: Buffer) -> str:
    """The XXH64 (seed 0) of a block, as 16 upper-case digits, by the algorithm's specification."""
    view = memoryview(data).cast("B")
    length = len(view)
    stripes = length // 32 * 32
    if stripes:
        one, two, three, four = (_PRIME_1 + _PRIME_2) & _MASK, _PRIME_2, 0, -_PRIME_1 & _MASK
        for a, b, c, d in _STRIPE.iter_unpack(view[:stripes]):
            one = (one + a * _PRIME_2) & _MASK
            one = ((one << 31 | one >> 33) & _MASK) * _PRIME_1 & _MASK
            two = (two + b * _PRIME_2) & _MASK
            two = ((two << 31 | two >> 33) & _MASK) * _PRIME_1 & _MASK
            three = (three + c * _PRIME_2) & _MASK
            three = ((three << 31 | three >> 33) & _MASK) * _PRIME_1 & _MASK
            four = (four + d * _PRIME_2) & _MASK
            four = ((four << 31 | four >> 33) & _MASK) * _PRIME_1 & _MASK
        total = _rotated(one, 1) + _rotated(two, 7) + _rotated(three, 12) + _rotated(four, 18) & _MASK
        for lane in (one, two, three, four):
            total ^= _rotated(lane * _PRIME_2 & _MASK, 31) * _PRIME_1 & _MASK
            total = (total * _PRIME_1 + _PRIME_4) & _MASK
    else:
        total = _PRIME_5
    return f"{_finished((total + length) & _MASK, bytes(view[stripes:])):016X}"


def _finished(total: int, rest: bytes) -> int:
    place = 0
    while len(rest) - place >= 8:
        lane = int.from_bytes(rest[place : place + 8], "little")
        total ^= _rotated(lane * _PRIME_2 & _MASK, 31) * _PRIME_1 & _MASK
        total = (_rotated(total, 27) * _PRIME_1 + _PRIME_4) & _MASK
        place += 8
    if len(rest) - place >= 4:
        total ^= int.from_bytes(rest[place : place + 4], "little") * _PRIME_1 & _MASK
        total = (_rotated(total, 23) * _PRIME_2 + _PRIME_3) & _MASK
        place += 4
    for byte in rest[place:]:
        total ^= byte * _PRIME_5 & _MASK
        total = _rotated(total, 11) * _PRIME_1 & _MASK
    total = (total ^ total >> 33) * _PRIME_2 & _MASK
    total = (total ^ total >> 29) * _PRIME_3 & _MASK
    return total ^ total >> 32


def _fast_xxh64() -> Digest | None:
    if importlib.util.find_spec("xxhash") is None:
        return None
    package: Any = importlib.import_module("xxhash")

    def digest(data: Buffer) -> str:
        return str(package.xxh64_hexdigest(data)).upper()

    return digest


_FAST = _fast_xxh64()
WRITTEN: Final = SHA1 if _FAST is None else XXH64
"""The kind of checksum that exports have."""
DIGESTS: Final[Mapping[str, Digest]] = {SHA1: sha1, XXH64: _FAST or slow_xxh64}
"""How each kind of checksum is made, by the suffix of its file."""


def kind_of(name: str) -> str:
    """The suffix of a checksum's file, or the empty text for another file."""
    return next((suffix for suffix in DIGESTS if name.endswith(suffix)), "")


def matches(kind: str, data: Buffer, text: bytes) -> bool:
    """Whether a block has the checksum that is written in a file of this kind; the case of digits does not count."""
    return DIGESTS[kind](data).lower().encode() == text.strip().lower()
