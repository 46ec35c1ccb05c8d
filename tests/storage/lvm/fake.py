"""LVM over plain files: groups and volumes are remembered here; the file of an active volume has a second link."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

from xapi.system.command import CommandFailed, Completed

EXTENT = 4 << 20


@dataclass
class FakeVolume:
    size: int
    file: Path
    tags: list[str] = field(default_factory=list)


@dataclass
class FakeGroup:
    devices: list[str]
    size: int
    volumes: dict[str, FakeVolume] = field(default_factory=dict)

    @property
    def free(self) -> int:
        return self.size - sum(volume.size for volume in self.volumes.values())


class FakeLvm:
    """A Runner. Every command is kept in `calls`; with `fail_at`, the call of that number fails."""

    def __init__(self, root: Path, size: int = 1 << 40) -> None:
        self.root = root
        self.devices = root / "dev"
        self.devices.mkdir()
        (root / "data").mkdir()
        self.size = size
        self.groups: dict[str, FakeGroup] = {}
        self.calls: list[tuple[str, ...]] = []
        self.fail_at = -1
        self._made = 0

    def device(self, name: str) -> str:
        path = self.devices / name
        path.touch()
        return str(path)

    def __call__(self, argv: Sequence[str]) -> Completed:
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
        for name, volume in self.groups[names[0]].volumes.items():
            active = self.link(names[0], name).exists()
            row = {"lv_name": name, "lv_size": f"{volume.size}B", "lv_tags": ",".join(volume.tags)}
            rows.append({**row, "lv_attr": f"-wi-{'a' if active else '-'}-----"})
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
        if name in group.volumes or len(name) > 127:
            raise FileExistsError(name)
        if size > group.free:
            raise ValueError("insufficient free space")
        if size % EXTENT:
            raise ValueError("not whole extents")
        self._made += 1
        file = self.root / "data" / str(self._made)
        # What was there before is there still.
        file.write_bytes(b"\xa5" * 65536)
        os.truncate(file, size)
        group.volumes[name] = FakeVolume(size, file, [pairs["--addtag"]] if "--addtag" in pairs else [])
        if pairs.get("--activate") != "n":
            os.link(file, self.link(names[0], name))
        return ""

    def lvremove(self, pairs: dict[str, str], options: list[str], names: list[str]) -> str:
        group, name, volume = self._find(names[0])
        if self.link(group, name).exists():
            raise ValueError("the volume is active")
        volume.file.unlink()
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
        volume.size = size
        os.truncate(volume.file, size)
        return ""

    def lvchange(self, pairs: dict[str, str], options: list[str], names: list[str]) -> str:
        group, name, volume = self._find(names[0])
        link = self.link(group, name)
        match pairs.get("--activate"):
            case "y":
                if not link.exists():
                    os.link(volume.file, link)
            case "n":
                link.unlink(missing_ok=True)
        if "--addtag" in pairs:
            volume.tags.append(pairs["--addtag"])
        if "--deltag" in pairs:
            volume.tags.remove(pairs["--deltag"])
        return ""

    def active(self) -> set[str]:
        """The names of all volumes that have a device."""
        return {path.name for path in self.devices.glob("VG_*/*")}
