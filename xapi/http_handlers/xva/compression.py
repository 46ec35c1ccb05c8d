"""Compressed archives: gzip by the standard library, Zstandard by the package `zstandard`.

What comes in is unpacked into buffers of the reader's size, whatever the compressed stream claims: a small upload that
unpacks to very much costs its time and nothing else.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable
from typing import IO, Any, Final, Protocol, cast

import zstandard

from xapi.http_handlers.xva.archive import Buffer, Source
from xapi.http_handlers.xva.errors import BadArchive, EndedEarly

GZIP: Final = "gzip"
ZSTD: Final = "zstd"
GZIP_MARK: Final = b"\x1f\x8b"
ZSTD_MARK: Final = b"\x28\xb5\x2f\xfd"
GZIP_FORM: Final = 31  # of zlib: the largest window, and gzip's head around it
GZIP_LEVEL: Final = 1  # disks are large, and what does not shrink quickly hardly shrinks
READ: Final = 256 << 10
LARGEST_WINDOW: Final = 128 << 20


class Compressor(Protocol):
    """Takes plain data and passes it on, compressed or as it is."""

    def write(self, data: Buffer) -> None:
        """Take some data."""

    def finish(self, data: bytes) -> bytes:
        """Return what is still to be passed on, with some last data in it."""


class Plain:
    """Passes data on as it is."""

    def __init__(self, write: Callable[[Buffer], object]) -> None:
        self._write = write

    def write(self, data: Buffer) -> None:
        """Pass some data on."""
        self._write(data)

    def finish(self, data: bytes) -> bytes:
        """Return the last data: nothing was kept back."""
        return data


class _Squeezer:
    """Passes on what a compression object makes of the data."""

    def __init__(self, write: Callable[[Buffer], object], squeeze: Any) -> None:
        self._write = write
        self._squeeze = squeeze

    def write(self, data: Buffer) -> None:
        """Take some data."""
        made = self._squeeze.compress(data)
        if made:
            self._write(made)

    def finish(self, data: bytes) -> bytes:
        """Return what is still to be passed on, with some last data in it."""
        return bytes(self._squeeze.compress(data) + self._squeeze.flush())


def compressor(method: str, write: Callable[[Buffer], object]) -> Compressor:
    """The compressor of a method, which is empty for none."""
    if method == GZIP:
        return _Squeezer(write, zlib.compressobj(GZIP_LEVEL, zlib.DEFLATED, GZIP_FORM))
    if method == ZSTD:
        return _Squeezer(write, zstandard.ZstdCompressor().compressobj())
    return Plain(write)


def plain_source(source: Source) -> Source:
    """What a source holds, unpacked if it begins like something compressed."""
    ahead = bytearray(len(ZSTD_MARK))
    got = 0
    while got < len(ahead):
        count = source.readinto(memoryview(ahead)[got:])
        if not count:
            break
        got += count
    joined = _Joined(bytes(ahead[:got]), source)
    if ahead.startswith(GZIP_MARK):
        return _Gunzipped(joined)
    if bytes(ahead) == ZSTD_MARK:
        return _Unzstd(joined)
    return joined


class _Joined:
    """Some bytes, and then a source."""

    def __init__(self, ahead: bytes, source: Source) -> None:
        self._ahead = ahead
        self._source = source

    def readinto(self, buffer: memoryview) -> int:
        if self._ahead:
            count = min(len(buffer), len(self._ahead))
            buffer[:count] = self._ahead[:count]
            self._ahead = self._ahead[count:]
            return count
        return self._source.readinto(buffer)

    def read(self, count: int = READ) -> bytes:
        buffer = bytearray(count if 0 < count < READ else READ)
        return bytes(buffer[: self.readinto(memoryview(buffer))])


class _Gunzipped:
    """The content of one gzip member or of several, one behind the other."""

    def __init__(self, source: _Joined) -> None:
        self._source = source
        self._inflate = zlib.decompressobj(GZIP_FORM)
        self._input = b""

    def readinto(self, buffer: memoryview) -> int:
        while len(buffer):
            if self._inflate.eof and not self._begin_next():
                return 0
            try:
                data = self._inflate.decompress(self._input, len(buffer))
            except zlib.error as error:
                raise BadArchive(f"the compressed data is damaged: {error}") from None
            self._input = self._inflate.unconsumed_tail
            if data:
                buffer[: len(data)] = data
                return len(data)
            if not self._inflate.eof and not self._input:
                self._input = self._source.read()
                if not self._input:
                    raise EndedEarly("the compressed data breaks off")
        return 0

    def _begin_next(self) -> bool:
        """Go on to the next member; what follows the last one is nothing of ours."""
        rest = self._inflate.unused_data or self._source.read()
        if len(rest) == 1:
            rest += self._source.read()
        if not rest.startswith(GZIP_MARK):
            return False
        self._inflate = zlib.decompressobj(GZIP_FORM)
        self._input = rest
        return True


class _Unzstd:
    """The content of Zstandard frames. Data that breaks off just ends: the reader of the archive misses the rest."""

    def __init__(self, source: _Joined) -> None:
        limited = zstandard.ZstdDecompressor(max_window_size=LARGEST_WINDOW)
        # It only ever calls `read`.
        self._reader = limited.stream_reader(cast(IO[bytes], source), read_size=READ, read_across_frames=True)

    def readinto(self, buffer: memoryview) -> int:
        try:
            return int(self._reader.readinto(buffer))
        except zstandard.ZstdError as error:
            raise BadArchive(f"the compressed data is damaged: {error}") from None
