"""The record of which blocks of a disk changed between snapshots, as drivers keep it.

Each tracked disk has a `ChangeLog`: its bitmap says which blocks changed since the disk named as its `parent`, an older
snapshot. A snapshot's log takes over what its original had gathered, and the original begins anew with the snapshot as
parent; so the changes from one snapshot to a later one are the union of the logs between them.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, replace

from xapi.storage.errors import NoChangeTracking

GRANULE = 64 << 10
"""The bytes that one bit stands for."""
MAGIC = b"xapi-cbt-1\n"
LONGEST_HEAD = 4096


def bitmap_length(size: int) -> int:
    """Return the bytes of the bitmap of a disk of `size` bytes."""
    blocks = -(-size // GRANULE)
    return -(-blocks // 8)


def union(one: bytes, other: bytes) -> bytes:
    """Return the bits that are set in either; the result is as long as the longer one."""
    length = max(len(one), len(other))
    value = int.from_bytes(one.ljust(length, b"\0"), "big") | int.from_bytes(other.ljust(length, b"\0"), "big")
    return value.to_bytes(length, "big")


def bits_from(first: int, size: int) -> bytes:
    """Return a bitmap for a disk of `size` bytes in which everything from byte `first` on is set."""
    count = -(-size // GRANULE)
    clear = min(first // GRANULE, count)
    length = bitmap_length(size)
    value = ((1 << (count - clear)) - 1) << (length * 8 - count)
    return value.to_bytes(length, "big")


@dataclass(frozen=True, slots=True)
class ChangeLog:
    """What changed in a disk of `size` bytes since `parent` (a UUID, empty where nothing older is known)."""

    size: int
    parent: str = ""
    bitmap: bytes = b""

    def encode(self) -> bytes:
        """Return the log as it is written."""
        head = json.dumps({"size": self.size, "parent": self.parent}).encode()
        return MAGIC + head + b"\n" + self.bitmap

    @classmethod
    def decode(cls, untrusted_data: bytes) -> ChangeLog | None:
        """Return the log in a file's content, None if it is none."""
        if not untrusted_data.startswith(MAGIC):
            return None
        end = untrusted_data.find(b"\n", len(MAGIC), len(MAGIC) + LONGEST_HEAD)
        if end < 0:
            return None
        try:
            untrusted = json.loads(untrusted_data[len(MAGIC) : end])
        except (ValueError, RecursionError):
            return None
        if not isinstance(untrusted, dict):
            return None
        size, parent = untrusted.get("size"), untrusted.get("parent")
        if type(size) is not int or not 0 <= size <= 1 << 50 or not isinstance(parent, str):
            return None
        return cls(size, parent, untrusted_data[end + 1 :][: bitmap_length(size)])

    def grown(self, size: int) -> ChangeLog:
        """Return the log of the disk after it was made larger: what is new has changed."""
        if size <= self.size:
            return self
        return ChangeLog(size, self.parent, union(self.bitmap, bits_from(self.size, size)))

    def absorb(self, older: ChangeLog) -> ChangeLog:
        """Return the log that reaches back to the parent of `older`, which was this log's parent."""
        both = union(self.grown(older.size).bitmap, older.bitmap)
        return replace(self, parent=older.parent, bitmap=both[: bitmap_length(self.size)])


def changes_between(find: Callable[[str], ChangeLog | None], base: str, target: str, pending: bytes) -> bytes:
    """Return the bitmap of what may differ between two disks; NoChangeTracking where the logs do not lead to `base`.

    `find` gives a disk's log; `pending` are changes to `target` that are not in its log yet.
    """
    log = find(target)
    if log is None:
        raise NoChangeTracking(target)
    size = log.size
    bitmap = union(union(log.bitmap, pending), bytes(bitmap_length(size)))
    seen = {target}
    while log.parent != base:
        if not log.parent or log.parent in seen:
            raise NoChangeTracking(base)
        seen.add(log.parent)
        older = find(log.parent)
        if older is None:
            raise NoChangeTracking(base)
        bitmap = union(bitmap, older.bitmap)
        if older.size < size:
            bitmap = union(bitmap, bits_from(older.size, size))
        log = older
    first = find(base)
    if first is None:
        raise NoChangeTracking(base)
    if first.size < size:
        bitmap = union(bitmap, bits_from(first.size, size))
    return bitmap[: bitmap_length(size)]
