"""An SR in a directory beside a model of what each of its disks holds, and a way to die at any write."""

from __future__ import annotations

import os
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from xapi.storage.data_paths import NoDataPaths
from xapi.storage.file.directory import IMAGE_NAME, LOG_NAME, RECORD_NAME, SETTINGS_NAME
from xapi.storage.file.driver import FileDriver
from xapi.storage.file.repository import FileSr
from xapi.storage.interface import CreateVdi, DataPaths
from xapi.storage.vhd.check import check
from xapi.storage.vhd.file import RealFile

SR = "5a000000-0000-4000-8000-000000000001"
MIB = 1 << 20
BLOCK = 2 * MIB
SECTOR = 512
CHANGING = ("write", "pwrite", "pwritev", "ftruncate", "rename", "replace", "link", "unlink", "fsync")


class Killed(BaseException):
    """The process is dead."""


@contextmanager
def killed_after(budget: int) -> Iterator[Callable[[], bool]]:
    """Let so many changes of files happen; the next is torn, and none comes after it. Tells if it came to it."""
    left = budget
    real = {name: getattr(os, name) for name in (*CHANGING, "open")}

    def dying(name: str) -> Callable[..., object]:
        def call(*args: object, **kwargs: object) -> object:
            nonlocal left
            if name == "open" and not int(args[1]) & os.O_CREAT:  # type: ignore[call-overload]
                return real[name](*args, **kwargs)
            left -= 1
            if left < 0:
                if left == -1 and name == "pwrite":
                    descriptor, data, offset = args
                    real[name](descriptor, memoryview(data)[: len(data) // 2 // SECTOR * SECTOR], offset)  # type: ignore
                raise Killed
            return real[name](*args, **kwargs)

        return call

    for name in real:
        setattr(os, name, dying(name))
    try:
        yield lambda: left < 0
    finally:
        for name, function in real.items():
            setattr(os, name, function)


class Recorded(NoDataPaths):
    """Notes which disks were paused, and how many at once at most."""

    def __init__(self) -> None:
        self.paused_disks: list[str] = []

    @contextmanager
    def paused(self, sr_uuid: str, location: str) -> Iterator[None]:
        assert sr_uuid == SR
        self.paused_disks.append(location)
        yield


class Farm:
    """Disks and their model: location -> bytes."""

    def __init__(self, path: Path, data_paths: DataPaths | None = None) -> None:
        self.path = path
        self.data_paths = data_paths
        self.model: dict[str, bytearray] = {}
        if not path.exists():
            FileDriver().create(SR, {"location": str(path)}, 0, "user", {})
        self.attach()

    def attach(self) -> None:
        self.sr: FileSr = FileDriver().attach(SR, {"location": str(self.path)}, {}, self.data_paths)

    def create(self, size: int = 2 * BLOCK) -> str:
        location = str(uuid.uuid4())
        self.sr.create(CreateVdi(location, size))
        self.model[location] = bytearray(size)
        return location

    def write(self, location: str, sector: int, value: int, count: int = 1) -> None:
        sector %= len(self.model[location]) // SECTOR - count + 1
        data = bytes([value]) * (SECTOR * count)
        with self.sr.open_for_writing(location) as disk:
            disk.pwrite(sector * SECTOR, data)
        self.model[location][sector * SECTOR : sector * SECTOR + len(data)] = data

    def snapshot(self, location: str, is_a_snapshot: bool = True) -> str:
        made = str(uuid.uuid4())
        if is_a_snapshot:
            self.sr.snapshot(location, made)
        else:
            self.sr.clone(location, made)
        self.model[made] = bytearray(self.model[location])
        return made

    def clone(self, location: str) -> str:
        return self.snapshot(location, is_a_snapshot=False)

    def grow(self, location: str, size: int) -> None:
        self.sr.resize(location, size)
        self.model[location].extend(bytes(size - len(self.model[location])))

    def destroy(self, location: str) -> None:
        self.sr.destroy(location)
        del self.model[location]

    def hidden(self) -> int:
        return sum(not vdi.managed for vdi in self.sr.scan().vdis)

    def parent(self, location: str) -> str:
        return self.sr.find(location).parent

    def depth(self, location: str) -> int:
        known = {vdi.uuid: vdi for vdi in self.sr.scan().vdis}
        depth = 1
        while known[location].parent:
            location = known[location].parent
            depth += 1
        return depth

    def images(self) -> set[str]:
        return {name[:36] for name in os.listdir(self.path) if IMAGE_NAME.fullmatch(name)}

    def inspect(self, killed: bool = False) -> None:
        """Every disk is there once and holds what it should; every file is in order, unless a write was cut short."""
        found = {vdi.location: vdi for vdi in self.sr.scan().vdis if vdi.managed}
        assert found.keys() == self.model.keys()
        for location, model in self.model.items():
            assert not found[location].missing
            with self.sr.open_for_reading(location) as disk:
                assert disk.size == len(model)
                assert disk.pread(0, disk.size) == model
        for name in os.listdir(self.path):
            if IMAGE_NAME.fullmatch(name):
                file = RealFile.open(str(self.path / name))
                problems = check(file)
                assert killed or not problems, (name, problems)
                file.close()
            else:
                known = RECORD_NAME.fullmatch(name) or LOG_NAME.fullmatch(name) or name == SETTINGS_NAME
                assert known, f"{name} was left behind"
