"""Naming a parent in a child, and finding it again: the parent locators and the parent's Unicode name.

The three locators and their order are those that blktap writes: MacX (a file URL, UTF-8), W2ku and W2ru (UTF-16LE
with backslashes). All three hold the path relative to the child's directory, as blktap's do. The name in the header
is the last component of the path, in UTF-16BE.
"""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from dataclasses import dataclass

from xapi.storage.vhd.errors import InvalidName
from xapi.storage.vhd.file import Opener, RealFile
from xapi.storage.vhd.image import Vhd
from xapi.storage.vhd.layout import NO_UUID, SECTOR, Header, ParentLocator, padded, timestamp

MACX = b"MacX"
W2KU = b"W2ku"
W2RU = b"W2ru"
CODES = (MACX, W2KU, W2RU)
LOCATOR_ROOM = SECTOR
"""The least room that a locator gets; longer paths get whole sectors, as many as they need."""
LONGEST_LOCATOR = 64 << 10
NAME_BYTES = 512


@dataclass(frozen=True, slots=True)
class Parent:
    """What a child has to know of its parent. Sizes in bytes; a raw parent has the UUID of zeros."""

    path: str
    size: int
    unique_id: uuid.UUID = NO_UUID
    timestamp: int = 0

    @property
    def raw(self) -> bool:
        """Whether the parent is a raw file or volume."""
        return self.unique_id == NO_UUID


def describe_parent(path: str, raw: bool = False, opener: Opener = RealFile.open) -> Parent:
    """Open the file at `path` and return what a child of it has to know."""
    file = opener(path, False)
    try:
        modified = timestamp(os.stat(path).st_mtime) if os.path.exists(path) else timestamp()
        if raw:
            return Parent(path, file.size(), NO_UUID, modified)
        vhd = Vhd.open(file)
        return Parent(path, vhd.size, vhd.footer.unique_id, modified)
    finally:
        file.close()


def mapper_path(path: str) -> str:
    """Return the device-mapper spelling of /dev/GROUP/VOLUME: dashes doubled, a single one between the two."""
    _, _, group, volume = path.split("/")
    return f"/dev/mapper/{group.replace('-', '--')}-{volume.replace('-', '--')}"


def canonical_path(path: str) -> str:
    """Return the absolute path by which a file is known, without symbolic links.

    A logical volume keeps its name under /dev/mapper, where it stays when device numbers change (blktap's rule).
    """
    plain = os.path.abspath(path)
    parts = plain.split("/")
    if plain.startswith("/dev/mapper/") and len(parts) == 4 and os.path.exists(plain):
        return plain
    if plain.startswith("/dev/") and len(parts) == 4:
        mapped = mapper_path(plain)
        if os.path.exists(mapped):
            return mapped
    return os.path.realpath(plain)


def relative_path(child: str, parent: str) -> str:
    """Return the parent's path from the child's directory; one in the same directory begins with "./"."""
    relative = os.path.relpath(canonical_path(parent), os.path.dirname(canonical_path(child)))
    return relative if relative.startswith("../") else f"./{relative}"


def encode_locator(code: bytes, relative: str) -> bytes:
    """Return a relative path in the spelling of one platform."""
    if code == MACX:
        return b"file://" + os.fsencode(relative)
    bare = relative.removeprefix("./")
    return (".\\" + bare.replace("/", "\\")).encode("utf-16-le", "surrogatepass")


def decode_locator(code: bytes, data: bytes) -> str | None:
    """Return the path that a locator spells, with slashes; None for one that cannot be read."""
    try:
        if code == MACX:
            text = os.fsdecode(data)
            if not text.startswith("file://"):
                return None
            return text.removeprefix("file://") or None
        text = data.decode("utf-16-le", "surrogatepass").replace("\\", "/")
    except UnicodeDecodeError:
        return None
    if text[:2] in ("C:", "c:"):
        text = text[2:]
    return None if not text or "\0" in text else text


def encode_name(path: str, child: str) -> bytes:
    """Return the parent's name as it stands in the header: 512 bytes of UTF-16BE; InvalidName if it is longer."""
    name = os.path.basename(path).encode("utf-16-be", "surrogatepass")
    if not name or len(name) > NAME_BYTES:
        raise InvalidName(child, f"the name of parent {path} does not fit into {NAME_BYTES} bytes of UTF-16")
    return name.ljust(NAME_BYTES, b"\0")


def decode_name(header: Header) -> str:
    """Return the parent's name from the header, empty where there is none."""
    return header.parent_name.decode("utf-16-be", "replace").split("\0", 1)[0].replace("\\", "/")


def build_locators(child: str, parent: str, offset: int, room: int = LOCATOR_ROOM) -> list[tuple[ParentLocator, bytes]]:
    """Return the locators of a new child, placed one behind the other from `offset`, each with its padded bytes."""
    relative = relative_path(child, parent)
    placed = []
    for code in CODES:
        text = encode_locator(code, relative)
        space = max(padded(len(text)), room)
        # blktap and Hyper-V give the room in bytes, where the specification says sectors; readers take both.
        placed.append((ParentLocator(code, space, len(text), offset), text.ljust(space, b"\0")))
        offset += space
    return placed


def read_locator(vhd: Vhd, locator: ParentLocator) -> str | None:
    """Return the path in one locator of an open child; None where it is empty, foreign or unreadable."""
    if locator.code not in CODES or not 0 < locator.length <= min(LONGEST_LOCATOR, locator.space_bytes):
        return None
    return decode_locator(locator.code, vhd.file.pread(locator.length, locator.offset))


def parent_paths(vhd: Vhd) -> Iterator[str]:
    """Yield the paths where the parent of `vhd` may be, the likeliest first and each once.

    First the locators in their order, absolute or from the child's directory; then the name in the header, in the
    child's directory.
    """
    directory = os.path.dirname(canonical_path(vhd.path))
    seen = set()
    names = [read_locator(vhd, locator) for locator in vhd.header.locators]
    for name in [*names, decode_name(vhd.header)]:
        if not name or "\0" in name:
            continue
        spellings = [name, directory + name] if name.startswith("/") else [os.path.join(directory, name)]
        for spelling in spellings:
            path = os.path.normpath(spelling)
            if path not in seen:
                seen.add(path)
                yield path


def recorded_parent(vhd: Vhd) -> str | None:
    """Return the parent's path as the child spells it, without looking whether it is there."""
    for locator in vhd.header.locators:
        name = read_locator(vhd, locator)
        if name:
            return name
    return decode_name(vhd.header) or None
