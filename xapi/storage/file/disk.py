"""An open disk of a directory: a VHD chain or a raw file, read and written by offset."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Self

from xapi.storage.errors import DataDamaged, VdiReadOnly
from xapi.storage.facts import Extent
from xapi.storage.failures import translated
from xapi.storage.vhd.chain import CHUNK, Chain
from xapi.storage.vhd.file import RealFile
from xapi.storage.writeback import EVERY, begin_writeback
from xapi.storage.zeros import is_zero


class ChainDisk:
    """A DiskReader and DiskWriter over a chain; `release` is called once, when it is closed."""

    def __init__(self, chain: Chain, sr_uuid: str, location: str, release: Callable[[], None], writable: bool) -> None:
        self._chain = chain
        self._sr_uuid = sr_uuid
        self._location = location
        self._release = release
        self._writable = writable
        self._open = True
        self._unwritten = 0

    @property
    def size(self) -> int:
        """The size of the virtual disk in bytes."""
        return self._chain.size

    def pread(self, offset: int, length: int) -> bytes:
        """Return exactly `length` bytes from `offset`."""
        with translated(self._sr_uuid, self._location):
            return self._chain.read(offset, length)

    def read_into(self, offset: int, buffer: memoryview) -> None:
        """Fill `buffer` from `offset`."""
        with translated(self._sr_uuid, self._location):
            self._chain.read_into(offset, buffer)

    def extents(self, offset: int = 0, length: int | None = None) -> Iterator[Extent]:
        """Yield the pieces of a range in order and without gaps."""
        with translated(self._sr_uuid, self._location):
            for piece in self._chain.extents(offset, length):
                file = piece.file
                descriptor = file.fileno() if isinstance(file, RealFile) else -1
                yield Extent(piece.offset, piece.length, descriptor, piece.file_offset)

    def _check_writable(self, offset: int, length: int) -> None:
        if not self._writable:
            raise VdiReadOnly(self._location)
        if offset < 0 or length < 0 or offset + length > self.size:
            raise DataDamaged(self._location, f"{length} bytes at {offset} lie outside its {self.size}")

    def pwrite(self, offset: int, data: bytes | bytearray | memoryview) -> None:
        """Write all of `data` at `offset`; pieces of zeros are only written where there is other data now."""
        view = memoryview(data).cast("B")
        self._check_writable(offset, len(view))
        with translated(self._sr_uuid, self._location):
            done = 0
            while done < len(view):
                part = view[done : done + CHUNK - (offset + done) % CHUNK]
                if is_zero(part):
                    self._chain.write_zeros(offset + done, len(part))
                else:
                    self._chain.write(offset + done, part)
                    self._wrote(len(part))
                done += len(part)

    def _wrote(self, count: int) -> None:
        self._unwritten += count
        file = self._chain.leaf.file
        if self._unwritten >= EVERY and isinstance(file, RealFile):
            self._unwritten = 0
            begin_writeback(file.fileno())

    def write_zeros(self, offset: int, length: int) -> None:
        """Make a range read as zeros."""
        self._check_writable(offset, length)
        with translated(self._sr_uuid, self._location):
            self._chain.write_zeros(offset, length)

    def flush(self) -> None:
        """Return when everything written so far is on stable storage."""
        with translated(self._sr_uuid, self._location):
            if self._writable:
                self._chain.flush()

    def close(self) -> None:
        """Flush what was written and give the disk up, which is done also if the flush fails."""
        if not self._open:
            return
        self._open = False
        with ExitStack() as stack:
            stack.callback(self._release)
            stack.enter_context(translated(self._sr_uuid, self._location))
            stack.callback(self._chain.close)
            self.flush()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
