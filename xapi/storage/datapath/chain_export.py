"""A VHD chain or a raw file as an export: opened, closed and opened again while clients stay connected."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice
from threading import Lock

from xapi.storage.vhd.chain import BlockState, Chain
from xapi.storage.vhd.errors import VhdError
from xapi.storage.vhd.file import RealFile
from xapi.storage.vhd.layout import SECTOR
from xapi.system.undo import on_failure


@contextmanager
def system_errors() -> Iterator[None]:
    """Let errors of the format leave the block as errors of the system."""
    try:
        yield
    except VhdError as error:
        raise OSError(error.number, str(error)) from error


class ChainExport:
    """One disk. Reads may come from several threads; writes take turns.

    While it is closed, only `size` and `read_only` may be asked.
    """

    def __init__(self, path: str, raw: bool, read_only: bool) -> None:
        self._path = path
        self._raw = raw
        self.read_only = read_only
        self.size = 0
        self._writing = Lock()
        self._lost: OSError | None = None
        self._chain: Chain
        self.open()

    def open(self) -> None:
        """Open every file of the chain by its name; OSError if one is missing or damaged."""
        with system_errors():
            chain = Chain.open(self._path, not self.read_only, raw=self._raw)
            with on_failure(chain.close):
                chain.open_all()
        self._chain, self.size = chain, chain.size

    def become(self, path: str, raw: bool) -> None:
        """Be another disk from the next opening on; OSError if it cannot be opened or is smaller. To be called closed.

        Nobody looks at what it holds: it has to be what this one held when it was closed.
        """
        with system_errors():
            chain = Chain.open(path, not self.read_only, raw=raw)
            try:
                chain.open_all()
                size = chain.size
            finally:
                chain.close()
        if size < self.size:
            raise OSError(errno.EINVAL, f"{path} has {size} bytes, and the disk had {self.size}")
        self._path, self._raw = path, raw

    def close(self) -> None:
        """Make everything durable and close the files. Where that fails, clients are told at their next flush too."""
        try:
            self.flush()
        except OSError as error:
            self._lost = error
            raise
        finally:
            with system_errors():
                self._chain.close()

    def read_into(self, offset: int, buffer: memoryview) -> None:
        """Fill `buffer` from `offset`."""
        try:
            self._chain.read_into(offset, buffer)
        except VhdError as error:  # as `system_errors` does, which would cost as much as the rest of a small read
            raise OSError(error.number, str(error)) from error

    def read_cached(self, offset: int, buffer: memoryview) -> bool:
        """Fill `buffer` if no disk has to be waited for, and return whether it is filled."""
        try:
            return self._chain.read_cached(offset, buffer)
        except VhdError as error:
            raise OSError(error.number, str(error)) from error

    def prefetch(self, offset: int, length: int) -> None:
        """Let the system begin to read a range inside the disk."""
        with system_errors():
            self._chain.prefetch(offset, length)

    def write(self, offset: int, data: memoryview) -> None:
        """Write all of `data`; sectors that are written in part are read first."""
        with system_errors(), self._writing:
            if offset % SECTOR == 0 and len(data) % SECTOR == 0:
                self._chain.write(offset, data)
            elif len(data):
                self._write_bytes(offset, data)

    def _write_bytes(self, offset: int, data: memoryview) -> None:
        begin = offset // SECTOR * SECTOR
        end = -(-(offset + len(data)) // SECTOR) * SECTOR
        if end > self.size:  # a raw file may end inside a sector
            raise OSError(errno.EINVAL, "a write into the disk's last, cut sector")
        whole = bytearray(end - begin)
        self._chain.read_into(begin, memoryview(whole))
        whole[offset - begin : offset - begin + len(data)] = data
        self._chain.write(begin, whole)

    def write_zeros(self, offset: int, length: int, keep_room: bool) -> None:
        """Make a range read as zeros, which take no room unless it is to be kept."""
        with system_errors(), self._writing:
            begin = -(-offset // SECTOR) * SECTOR
            end = (offset + length) // SECTOR * SECTOR
            if end < begin:  # inside one sector
                self._write_bytes(offset, memoryview(bytes(length)))
                return
            if offset < begin:
                self._write_bytes(offset, memoryview(bytes(begin - offset)))
            if end < offset + length:
                self._write_bytes(end, memoryview(bytes(offset + length - end)))
            if begin < end:
                self._chain.write_zeros(begin, end - begin, keep_room)

    def trim(self, offset: int, length: int) -> None:
        """Give up the room that the range takes in the leaf; what only a parent holds stays as it is."""
        with system_errors(), self._writing:
            for piece in list(self._chain.extents(offset, length)):
                if piece.depth == 0 and isinstance(piece.file, RealFile):
                    piece.file.punch(piece.file_offset, piece.length)

    def flush(self) -> None:
        """Return when everything that was written is on stable storage."""
        if self.read_only:
            return
        with system_errors(), self._writing:
            lost, self._lost = self._lost, None
            if lost is not None:
                raise lost
            self._chain.flush()

    def status(self, offset: int, length: int, most: int) -> list[tuple[int, bool]]:
        """Return what the first pieces of a range are."""
        with system_errors():
            pieces = islice(self._chain.block_status(offset, length), most)
            return [(count, state is BlockState.ZERO) for _, count, state in pieces]
