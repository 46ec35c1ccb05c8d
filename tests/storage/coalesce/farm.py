"""An SR beside a model of what each of its disks holds, and a way to die at any write."""

from __future__ import annotations

import os
import shutil
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path

from xapi.storage.data_paths import NoDataPaths
from xapi.storage.file.directory import IMAGE_NAME, LOG_NAME, RECORD_NAME, SETTINGS_NAME
from xapi.storage.file.driver import FileDriver
from xapi.storage.images.repository import ImagesSr
from xapi.storage.interface import CreateVdi, DataPaths
from xapi.storage.lvm.change_logs import LOG_NAME as LOG_VOLUME
from xapi.storage.lvm.driver import LvmDriver
from xapi.storage.lvm.group import VolumeFile
from xapi.storage.lvm.metadata import Metadata
from xapi.storage.lvm.volumes import VOLUME_NAME, group_name
from xapi.storage.vhd.check import check
from xapi.storage.vhd.file import RealFile

from ..lvm.fake import FakeLvm

SR = "5a000000-0000-4000-8000-000000000001"
MIB = 1 << 20
BLOCK = 2 * MIB
SECTOR = 512
CHANGING = ("write", "pwrite", "pwritev", "ftruncate", "rename", "replace", "link", "unlink", "fsync")


class Killed(BaseException):
    """The process is dead."""


@contextmanager
def killed_after(budget: int, lvm: FakeLvm | None = None) -> Iterator[Callable[[], bool]]:
    """Let so many changes of files happen; the next is torn, and none comes after it. Tells if it came to it.

    Each of LVM's commands counts as one change; the programs themselves are not killed.
    """
    left = budget
    inside = False
    real = {name: getattr(os, name) for name in (*CHANGING, "open")}

    def dying(name: str) -> Callable[..., object]:
        def call(*args: object, **kwargs: object) -> object:
            nonlocal left
            if inside or (name == "open" and not int(args[1]) & os.O_CREAT):  # type: ignore[call-overload]
                return real[name](*args, **kwargs)
            left -= 1
            if left < 0:
                if left == -1 and name == "pwrite":
                    descriptor, data, offset = args
                    real[name](descriptor, memoryview(data)[: len(data) // 2 // SECTOR * SECTOR], offset)  # type: ignore
                if left == -1 and name == "pwritev":
                    descriptor, buffers, offset = args
                    data = b"".join(buffers)  # type: ignore[arg-type]
                    real["pwrite"](descriptor, data[: len(data) // 2 // SECTOR * SECTOR], offset)
                raise Killed
            if name == "fsync":
                return None  # what is written survives the process anyway
            return real[name](*args, **kwargs)

        return call

    @contextmanager
    def command() -> Iterator[None]:
        nonlocal left, inside
        left -= 1
        if left < 0:
            raise Killed
        inside = True
        try:
            yield
        finally:
            inside = False

    for name in real:
        setattr(os, name, dying(name))
    if lvm is not None:
        lvm.around = command
    try:
        yield lambda: left < 0
    finally:
        for name, function in real.items():
            setattr(os, name, function)
        if lvm is not None:
            lvm.around = nullcontext


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
    """Disks in a directory and their model: location -> bytes."""

    lvm: FakeLvm | None = None

    def __init__(self, path: Path, data_paths: DataPaths | None = None) -> None:
        self.path = path
        self.data_paths = data_paths
        self.model: dict[str, bytearray] = {}
        if not path.exists():
            self.make()
        self.attach()

    def make(self) -> None:
        FileDriver().create(SR, {"location": str(self.path)}, 0, "user", {})

    def attach(self) -> None:
        self.sr: ImagesSr = FileDriver().attach(SR, {"location": str(self.path)}, {}, self.data_paths)

    def copy(self, path: Path) -> Farm:
        """Another SR like this one, with the same model."""
        shutil.copytree(self.path, path)
        farm = type(self)(path)
        farm.model = self.model
        return farm

    def create(self, size: int = 2 * BLOCK, **sm_config: str) -> str:
        location = str(uuid.uuid4())
        made = self.sr.create(CreateVdi(location, size, sm_config=sm_config))
        self.model[location] = bytearray(made.virtual_size)
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
        size = self.sr.resize(location, size).virtual_size
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

    def damage(self, location: str) -> None:
        (self.path / f"{location}.vhd").write_bytes(b"nothing like a disk" * 100)

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
        self.inspect_place(killed)

    def inspect_place(self, killed: bool) -> None:
        for name in os.listdir(self.path):
            if IMAGE_NAME.fullmatch(name):
                if name.endswith(".raw"):
                    continue
                file = RealFile.open(str(self.path / name))
                problems = check(file)
                assert killed or not problems, (name, problems)
                file.close()
            else:
                known = RECORD_NAME.fullmatch(name) or LOG_NAME.fullmatch(name) or name == SETTINGS_NAME
                assert known, f"{name} was left behind"


class LvmFarm(Farm):
    """Disks on LVM."""

    lvm: FakeLvm
    allocation = "thick"

    def make(self) -> None:
        self.path.mkdir()
        self.lvm = FakeLvm(self.path)
        self.lvm.device("sdb")
        self.driver.create(SR, self.config, 0, "user", {"allocation": self.allocation})

    @property
    def driver(self) -> LvmDriver:
        return LvmDriver(str(self.path / "state"), self.lvm, str(self.lvm.devices))

    @property
    def config(self) -> dict[str, str]:
        return {"device": str(self.lvm.devices / "sdb")}

    def attach(self) -> None:
        self.sr = self.driver.attach(SR, self.config, {}, self.data_paths)

    def copy(self, path: Path) -> LvmFarm:
        farm = object.__new__(type(self))
        farm.path, farm.data_paths, farm.model = path, None, self.model
        farm.lvm = self.lvm.copy(path)
        farm.attach()
        return farm

    @property
    def volumes(self) -> dict[str, int]:
        return {name: volume.size for name, volume in self.lvm.groups[group_name(SR)].volumes.items()}

    def damage(self, location: str) -> None:
        with self.lvm.groups[group_name(SR)].volumes[f"VHD-{location}"].file.open("r+b") as file:
            file.write(bytes(4096))
            file.seek(-512, os.SEEK_END)
            file.write(bytes(512))

    def images(self) -> set[str]:
        return {match[2] for name in self.volumes if (match := VOLUME_NAME.fullmatch(name))}

    def inspect_place(self, killed: bool) -> None:
        volumes = self.lvm.groups[group_name(SR)].volumes
        for name, volume in volumes.items():
            if name.startswith("VHD-"):
                file = VolumeFile.open_volume(str(volume.file), False)
                problems = check(file)
                file.close()
                assert killed or not problems, (name, problems)
                assert not self.lvm.link(group_name(SR), name).exists() or killed, f"{name} is active"
            else:
                known = VOLUME_NAME.fullmatch(name) or LOG_VOLUME.fullmatch(name) or name == "MGT"
                assert known, f"{name} was left behind"
        kept = Metadata.parse(volumes["MGT"].file.read_bytes()).disks().keys()
        visible = {vdi.location for vdi in self.sr.scan().vdis if vdi.managed}
        assert killed or kept == visible


class ThinLvmFarm(LvmFarm):
    """Disks on LVM that take no more than they hold while nobody has them."""

    allocation = "thin"


FARMS = [Farm, LvmFarm, ThinLvmFarm]
