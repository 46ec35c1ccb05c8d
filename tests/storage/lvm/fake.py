"""LVM over plain files: groups and volumes are remembered here; the file of an active volume has a second link.

It is as unkind as the real one: a new volume holds what another has left behind, one that grows has at its new end what
was there before, and a volume that somebody has open cannot be deactivated.
"""

from __future__ import annotations

import json
import os
import pickle
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from threading import Lock

from xapi.storage.lvm.volumes import device_name
from xapi.system.command import CommandFailed, Completed

EXTENT = 4 << 20
END = 512
PARTIAL = "  WARNING: Couldn't find device with uuid x.\n  Refusing activation of partial LV {}."


@dataclass
class FakeVolume:
    size: int
    file: Path
    tags: list[str] = field(default_factory=list)
    cut_off: bytes = b""
    read_only: bool = False
    suspended: bool = False
    missing: bool = False  # what it lies on


@dataclass
class FakeGroup:
    devices: list[str]
    size: int
    volumes: dict[str, FakeVolume] = field(default_factory=dict)

    @property
    def free(self) -> int:
        return self.size - sum(volume.size for volume in self.volumes.values())


def open_files() -> set[tuple[int, int]]:
    """The files that this process has open, by device and inode."""
    found = set()
    for name in os.listdir("/proc/self/fd"):
        with suppress(OSError):
            status = os.stat(f"/proc/self/fd/{name}")
            found.add((status.st_dev, status.st_ino))
    return found


def open_here(path: Path) -> bool:
    """Whether this process has a file open, by whatever name."""
    status = os.stat(path)
    return (status.st_dev, status.st_ino) in open_files()


def copy_sparse(source: Path, target: Path) -> None:
    with source.open("rb") as old, target.open("wb") as new:
        size = os.fstat(old.fileno()).st_size
        new.truncate(size)
        place = 0
        while place < size:
            try:
                place = os.lseek(old.fileno(), place, os.SEEK_DATA)
            except OSError:
                return
            end = os.lseek(old.fileno(), place, os.SEEK_HOLE)
            os.lseek(new.fileno(), place, os.SEEK_SET)
            os.lseek(old.fileno(), place, os.SEEK_SET)
            while place < end:
                place += os.sendfile(new.fileno(), old.fileno(), None, end - place)


class FakeLvm:
    """A Runner. Every command is kept in `calls`; with `fail_at`, the call of that number fails.

    `around` is entered for each command, and inside of that `beside`, which is told the command.
    """

    def __init__(self, root: Path, size: int = 1 << 40) -> None:
        self.root = root
        self.devices = root / "dev"
        self.devices.mkdir(exist_ok=True)
        (root / "data").mkdir(exist_ok=True)
        self.size = size
        self.groups: dict[str, FakeGroup] = {}
        self.calls: list[tuple[str, ...]] = []
        self.fail_at = -1
        self.around: Callable[[], AbstractContextManager[object]] = nullcontext
        self.beside: Callable[[Sequence[str]], AbstractContextManager[object]] = nullcontext
        self.read_only = False  # whether the system says so of the devices
        self._made = 0
        self._left_behind: list[Path] = []

    def copy(self, root: Path) -> FakeLvm:
        """Another world like this one, with nothing left behind."""
        root.mkdir()
        other = FakeLvm(root, self.size)
        for path in self.devices.iterdir():
            if path.is_file():
                (other.devices / path.name).touch()
        for name, group in self.groups.items():
            made = other.groups[name] = FakeGroup(group.devices, group.size)
            (other.devices / name).mkdir()
            for volume, known in group.volumes.items():
                file = root / "data" / known.file.name
                copy_sparse(known.file, file)
                made.volumes[volume] = FakeVolume(known.size, file, list(known.tags), known.cut_off, known.read_only)
                if self.link(name, volume).exists():
                    os.link(file, other.link(name, volume))
        other._made = self._made
        return other

    def device(self, name: str) -> str:
        path = self.devices / name
        path.touch()
        return str(path)

    def __call__(self, argv: Sequence[str]) -> Completed:
        with self.around(), self.beside(argv):
            return self._run(argv)

    def _run(self, argv: Sequence[str]) -> Completed:
        program, *rest = argv
        self.calls.append(tuple(argv))
        if len(self.calls) == self.fail_at:
            raise CommandFailed(argv, 5, b"", "it was told to fail")
        split = rest.index("--") if "--" in rest else len(rest)
        options, names = rest[:split], rest[split + 1 :]
        pairs = dict(pairwise(options))
        try:
            text = getattr(self, program.rsplit("/", 1)[-1])(pairs, options, names)
        except (KeyError, ValueError, FileNotFoundError, FileExistsError) as error:
            raise CommandFailed(argv, 5, b"", f"{type(error).__name__}: {error}") from error
        return Completed(0, text.encode(), "")

    def _find(self, name: str) -> tuple[str, str, FakeVolume]:
        group, volume = name.split("/")
        return group, volume, self.groups[group].volumes[volume]

    def link(self, group: str, volume: str) -> Path:
        return self.devices / group / volume

    # Programs

    def dmsetup(self, pairs: dict[str, str], options: list[str], names: list[str]) -> str:
        assert options == ["resume"]
        (found,) = (
            volume
            for group, known in self.groups.items()
            for name, volume in known.volumes.items()
            if device_name(group, name) == names[0]
        )
        found.suspended = False
        return ""

    def blockdev(self, pairs: dict[str, str], options: list[str], names: list[str]) -> str:
        return f"{int(self.read_only)}\n"

    def pvs(self, pairs: dict[str, str], options: list[str], names: list[str]) -> str:
        rows = [
            {"pv_name": device, "vg_name": name, "vg_size": f"{group.size}B", "vg_free": f"{group.free}B"}
            for name, group in self.groups.items()
            for device in group.devices
        ]
        return json.dumps({"report": [{"pv": rows}]})

    def vgs(self, pairs: dict[str, str], options: list[str], names: list[str]) -> str:
        group = self.groups[names[0]]
        sizes = {"vg_size": f"{group.size}B", "vg_free": f"{group.free}B", "vg_extent_size": f"{EXTENT}B"}
        return json.dumps({"report": [{"vg": [{"vg_name": names[0], **sizes}]}]})

    def lvs(self, pairs: dict[str, str], options: list[str], names: list[str]) -> str:
        rows = []
        devices = set(os.listdir(self.devices / names[0]))
        opened = open_files() if devices else set()
        for name, volume in self.groups[names[0]].volumes.items():
            active = name in devices
            row = {"lv_name": name, "lv_size": f"{volume.size}B", "lv_tags": ",".join(volume.tags)}
            used = False
            if active:
                status = os.stat(self.link(names[0], name))
                used = (status.st_dev, status.st_ino) in opened
            mode = "r" if volume.read_only else "w"
            state = "s" if volume.suspended else "a" if active else "-"
            partial = "p" if volume.missing else "-"
            rows.append({**row, "lv_attr": f"-{mode}i-{state}{'o' if used else '-'}--{partial}-"})
        return json.dumps({"report": [{"lv": rows}]})

    def vgcreate(self, pairs: dict[str, str], options: list[str], names: list[str]) -> str:
        name, *devices = names
        if name in self.groups:
            raise FileExistsError(name)
        self.groups[name] = FakeGroup(devices, self.size)
        (self.devices / name).mkdir()
        return ""

    def vgremove(self, pairs: dict[str, str], options: list[str], names: list[str]) -> str:
        if self.groups[names[0]].volumes:
            raise ValueError("the group has volumes")
        del self.groups[names[0]]
        (self.devices / names[0]).rmdir()
        return ""

    def lvcreate(self, pairs: dict[str, str], options: list[str], names: list[str]) -> str:
        group, name, size = self.groups[names[0]], pairs["--name"], int(pairs["--size"].removesuffix("B"))
        if name in group.volumes or len(device_name(names[0], name)) > 127:
            raise FileExistsError(name)
        if size > group.free:
            raise ValueError("insufficient free space")
        if size % EXTENT:
            raise ValueError("not whole extents")
        if self._left_behind:
            file = self._left_behind.pop()
        else:
            self._made += 1
            file = self.root / "data" / str(self._made)
            file.write_bytes(b"\xa5" * 65536)
        os.truncate(file, size)
        group.volumes[name] = FakeVolume(size, file, [new for option, new in pairwise(options) if option == "--addtag"])
        if pairs.get("--activate") != "n":
            os.link(file, self.link(names[0], name))
        return ""

    def lvremove(self, pairs: dict[str, str], options: list[str], names: list[str]) -> str:
        group, name, volume = self._find(names[0])
        if self.link(group, name).exists():
            raise ValueError("the volume is active")
        self._left_behind.append(volume.file)
        del self.groups[group].volumes[name]
        return ""

    def lvrename(self, pairs: dict[str, str], options: list[str], names: list[str]) -> str:
        group, old, new = names
        volumes = self.groups[group].volumes
        if new in volumes:
            raise FileExistsError(new)
        volumes[new] = volumes.pop(old)
        if self.link(group, old).exists():
            self.link(group, old).rename(self.link(group, new))
        return ""

    def lvresize(self, pairs: dict[str, str], options: list[str], names: list[str]) -> str:
        group, _, volume = self._find(names[0])
        size = int(pairs["--size"].removesuffix("B"))
        if size - volume.size > self.groups[group].free:
            raise ValueError("insufficient free space")
        with volume.file.open("r+b") as file:
            if size < volume.size:
                file.seek(-END, os.SEEK_END)
                volume.cut_off = file.read(END)
                file.truncate(size)
            elif size > volume.size:
                file.seek(size - END)
                file.write(volume.cut_off.ljust(END, b"\xa5"))
        volume.size = size
        return ""

    def lvchange(self, pairs: dict[str, str], options: list[str], names: list[str]) -> str:
        group, name, volume = self._find(names[0])
        link = self.link(group, name)
        match pairs.get("--activate"):
            case "y" if volume.missing:
                raise ValueError(PARTIAL.format(names[0]))
            case "y":
                if not link.exists():
                    os.link(volume.file, link)
            case "n" if link.exists() and open_here(link):
                raise ValueError(f"{name} is in use")
            case "n":
                link.unlink(missing_ok=True)
        if "--permission" in pairs:
            volume.read_only = pairs["--permission"] == "r"
        if "--addtag" in pairs:
            volume.tags.append(pairs["--addtag"])
        if "--deltag" in pairs:
            volume.tags.remove(pairs["--deltag"])
        return ""

    def active(self) -> set[str]:
        """The names of all volumes that have a device."""
        return {path.name for path in self.devices.glob("VG_*/*")}


class KeptLvm(FakeLvm):
    """Keeps what it knows in a file, so that the next process that begins here finds it. Safe for threads."""

    def __init__(self, root: Path) -> None:
        root.mkdir(exist_ok=True)
        super().__init__(root)
        self._turn = Lock()
        self._file = root / "known"

    def __call__(self, argv: Sequence[str]) -> Completed:
        with self._turn:
            if self._file.exists():
                self.groups, self._made, self._left_behind = pickle.loads(self._file.read_bytes())
            try:
                return super().__call__(argv)
            finally:
                fresh = self._file.with_suffix(".new")
                fresh.write_bytes(pickle.dumps((self.groups, self._made, self._left_behind)))
                fresh.rename(self._file)
