"""Listing the VHDs of a directory or of a volume group: size, parent, hidden, and what could not be read."""

from __future__ import annotations

import errno
import fnmatch
import glob
import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import TypeAlias

from xapi.storage.vhd.chain import open_parent
from xapi.storage.vhd.errors import VhdError
from xapi.storage.vhd.file import MemoryFile, Opener, RandomAccessFile, RealFile
from xapi.storage.vhd.footers import FooterFound
from xapi.storage.vhd.image import Vhd
from xapi.storage.vhd.layout import FOOTER_SIZE, HEADER_SIZE, DiskType, Footer, Header
from xapi.storage.vhd.parents import canonical_path, decode_name, recorded_parent

HEAD_SIZE = 4096


@dataclass(frozen=True, slots=True)
class Volume:
    """A logical volume as a lister names it: where to read it, and its size in bytes."""

    name: str
    path: str
    size: int


VolumeLister: TypeAlias = Callable[[str], list[Volume]]
"""Lists the volumes of a volume group; raises OSError where there is no such group."""


def device_volumes(group: str) -> list[Volume]:
    """List the active volumes of a group by their names in /dev/GROUP; FileNotFoundError where there are none.

    A volume that is not active has no name there: a lister that asks LVM knows more.
    """
    directory = os.path.join("/dev", group)
    volumes = []
    for name in sorted(os.listdir(directory)):
        path = os.path.join(directory, name)
        file = RealFile.open(path)
        try:
            volumes.append(Volume(name, path, file.size()))
        finally:
            file.close()
    return volumes


@dataclass(frozen=True, slots=True)
class Target:
    """Something to be looked at: a file by its path, or a volume by its name."""

    name: str
    path: str
    size: int
    volume: bool = False
    raw: bool = False


@dataclass(frozen=True, slots=True)
class Found:
    """What a scan says of one image. Sizes in bytes; `error` is an errno, 0 for an image that could be read."""

    name: str
    capacity: int = 0
    size: int = 0
    hidden: int = 0
    parent: str | None = None
    parent_raw: bool = False
    marker: int = 0
    key_hash: str = ""
    error: int = 0
    message: str = ""


def file_target(path: str, raw: bool = False) -> Target:
    """Return the target for a file; OSError where there is none."""
    return Target(path, path, os.stat(path).st_size, raw=raw)


def file_targets(names: Iterable[str], pattern: str | None) -> list[Target | Found]:
    """Return the files that match a shell pattern, sorted, and then those that are named; a finding for a lost one."""
    matched = sorted(path for choice in expand_braces(pattern or "") for path in glob.glob(choice))
    targets: list[Target | Found] = []
    for path in [*matched, *names]:
        try:
            targets.append(file_target(path))
        except OSError as error:
            targets.append(_lost(path, error))
    return targets


def _lost(name: str, error: OSError) -> Found:
    return Found(name, error=-(error.errno or errno.EIO), message="failure scanning target")


def expand_braces(pattern: str) -> list[str]:
    """Return the patterns that {a,b} in a pattern stands for."""
    start = pattern.find("{")
    end = pattern.find("}", start)
    if start < 0 or end < 0:
        return [pattern] if pattern else []
    choices = pattern[start + 1 : end].split(",")
    return [whole for choice in choices for whole in expand_braces(pattern[:start] + choice + pattern[end + 1 :])]


def volume_targets(volumes: Iterable[Volume], names: Iterable[str], pattern: str | None) -> list[Target]:
    """Return the volumes that match the pattern or one of the names, which may be patterns too, in that order."""
    left = list(volumes)
    targets = []
    for wanted in [*([pattern] if pattern else []), *names]:
        matching = [volume for volume in left if fnmatch.fnmatchcase(volume.name, wanted)]
        left = [volume for volume in left if volume not in matching]
        targets += [Target(volume.name, volume.path, volume.size, volume=True) for volume in matching]
    return targets


def volume_name(path: str) -> str:
    """Return the name of a logical volume from a path in either of its two spellings.

    Under /dev/mapper a single dash separates group and volume, and a double one stands for a dash.
    """
    last = path.rsplit("/", 1)[-1]
    if "--" not in last and not path.startswith("/dev/mapper/"):
        return last
    return last.replace("--", "\0").split("-")[-1].replace("\0", "-")


def scan(
    targets: Iterable[Target | Found],
    *,
    fast: bool = False,
    parents: bool = False,
    keep_going: bool = False,
    markers: bool = False,
    volumes: Iterable[Volume] = (),
    opener: Opener = RealFile.open,
) -> Iterator[Found]:
    """Yield what is found of each target; with `parents` also of the parents that were not asked for.

    `fast` reads only the front, and takes the parent's name from the header; `markers` costs two reads more.
    Without `keep_going` the scan ends with the first image that cannot be read; that image is still yielded. A
    finding among the targets is passed on.
    """
    pending = list(targets)
    known = {_identity(target) for target in pending if isinstance(target, Target)}
    by_name = {volume.name: volume for volume in volumes}
    for target in pending:
        found = look_at(target, fast, opener, markers) if isinstance(target, Target) else target
        yield found
        if found.error and not keep_going:
            return
        if not parents or found.parent is None or isinstance(target, Found):
            continue
        try:
            more = _parent_target(target, found, by_name)
        except OSError as error:
            yield _lost(found.parent, error)
            if not keep_going:
                return
            continue
        if _identity(more) not in known:
            known.add(_identity(more))
            pending.append(more)


def _identity(target: Target) -> str:
    return target.name if target.volume else os.path.basename(target.name)


def _parent_target(target: Target, found: Found, volumes: dict[str, Volume]) -> Target:
    assert found.parent is not None
    if not target.volume:
        return file_target(os.path.join(os.path.dirname(target.path), found.parent), found.parent_raw)
    volume = volumes.get(found.parent)
    if volume is None:
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), found.parent)
    return Target(volume.name, volume.path, volume.size, volume=True, raw=found.parent_raw)


def look_at(target: Target, fast: bool, opener: Opener = RealFile.open, markers: bool = False) -> Found:
    """Open one target and return what there is to say of it; never raises for a bad one."""
    found = Found(target.name, size=target.size, capacity=target.size, hidden=1)
    if target.raw:  # it is only there as a parent
        return found
    message = "opening file"
    file: RandomAccessFile | None = None
    try:
        file = opener(target.path, False)
        vhd = _open_front(file) if fast or target.volume else Vhd.open(file, allow_disabled=True)
        message = "getting details"
        found = replace(found, capacity=vhd.size, hidden=int(vhd.hidden))
        if markers and vhd.batmap is not None:
            rest = vhd.batmap.header.rest
            key_hash = rest[33:65].hex() if rest[0] else ""
            found = replace(found, marker=vhd.batmap.header.marker, key_hash=key_hash)
        if vhd.has_parent:
            message = "getting parent"
            found = replace(found, parent=_parent(vhd, target, fast, opener), parent_raw=vhd.parent_is_raw)
    except VhdError as error:
        return replace(found, error=-error.number, message=f"{message}: {error.reason}")
    except OSError as error:
        return replace(found, error=-(error.errno or errno.EIO), message=message)
    finally:
        if file is not None:
            file.close()
    return found


def _open_front(file: RandomAccessFile) -> Vhd:
    """Open a VHD by its front alone, in one read; by its end where the front is none (a fixed disk)."""
    head = MemoryFile(file.pread(HEAD_SIZE, 0), file.path)
    try:
        footer = Footer.parse(head.pread(FOOTER_SIZE, 0), file.path)
    except VhdError:
        return Vhd.open(file, allow_disabled=True)
    if footer.disk_type is DiskType.FIXED or footer.data_offset > HEAD_SIZE - HEADER_SIZE:
        return Vhd.open(file, allow_disabled=True)
    header = Header.parse(head.pread(HEADER_SIZE, footer.data_offset), file.path)
    return Vhd(file, FooterFound(footer, None, footer), header, writable=False)


def _parent(vhd: Vhd, target: Target, fast: bool, opener: Opener) -> str:
    """Return the parent's name: of a volume the bare one; of a file its path if it is there, else as recorded."""
    if target.volume:
        return volume_name((fast and decode_name(vhd.header)) or recorded_parent(vhd) or "")
    if not fast:
        try:
            parent = open_parent(vhd, opener)
        except (VhdError, OSError):
            return recorded_parent(vhd) or decode_name(vhd.header)
        try:
            return canonical_path(parent.path)
        finally:
            parent.close()
    return decode_name(vhd.header) or recorded_parent(vhd) or ""
