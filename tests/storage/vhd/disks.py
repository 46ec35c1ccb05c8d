"""Files in memory under names, which can be cut off at any write."""

from __future__ import annotations

from collections.abc import Sequence

from xapi.storage.vhd.chain import Chain
from xapi.storage.vhd.file import Bytes, MemoryFile

SECTOR = 512


class Killed(BaseException):
    """The process died in the middle of a write."""


class Store:
    """Files by path. With `budget` set, that many writes succeed; the next is lost, or torn, and Killed is raised."""

    def __init__(self, files: dict[str, bytearray] | None = None) -> None:
        self.files = files or {}
        self.budget: int | None = None
        self.torn = False
        self.writes = 0

    def copy(self) -> Store:
        return Store({path: bytearray(data) for path, data in self.files.items()})

    def create(self, path: str, fixed_size: int = 0) -> StoreFile:
        self.files[path] = bytearray(fixed_size)
        return StoreFile(self, path, fixed_size > 0)

    def open(self, path: str, writable: bool = False) -> StoreFile:
        if path not in self.files:
            raise FileNotFoundError(path)
        return StoreFile(self, path, False)

    def device(self, path: str) -> StoreFile:
        return StoreFile(self, path, True)

    def chain(self, path: str, writable: bool = False, raw: bool = False) -> Chain:
        return Chain.open(path, writable, self.open, raw)


class StoreFile(MemoryFile):
    def __init__(self, store: Store, path: str, fixed_size: bool) -> None:
        super().__init__(path=path, fixed_size=fixed_size)
        self.store = store
        self.data = store.files[path]

    def spend(self) -> bool:
        self.store.writes += 1
        if self.store.budget is None:
            return True
        self.store.budget -= 1
        return self.store.budget >= 0

    def pwrite(self, data: Bytes, offset: int) -> None:
        if self.spend():
            super().pwrite(data, offset)
            return
        half = len(data) // 2 // SECTOR * SECTOR
        if self.store.torn and half:
            super().pwrite(bytes(data[:half]), offset)
        raise Killed

    def pwritev(self, buffers: Sequence[Bytes], offset: int) -> None:
        self.pwrite(b"".join(buffers), offset)

    def truncate(self, length: int) -> None:
        if length == len(self.data):
            return
        if not self.spend():
            raise Killed
        super().truncate(length)
