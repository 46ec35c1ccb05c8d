"""Which disks a directory holds, and which of them depend on which: read from the VHDs themselves.

What was read is kept as long as the file's inode, size and times are the same, so that looking again costs one `stat`.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass

from xapi.storage.file.directory import IMAGE_NAME, LOG_NAME, Directory
from xapi.storage.vhd.errors import VhdError
from xapi.storage.vhd.image import Vhd
from xapi.storage.vhd.parents import parent_paths

Stamp = tuple[int, int, int, int]


@dataclass(frozen=True, slots=True)
class Node:
    """One image file. `trouble` says why it cannot be used, and is empty for a good one; sizes in bytes.

    `parent` is the UUID of the image that it depends on, empty for none. A damaged file's parent is not known.
    """

    uuid: str
    path: str
    format: str
    size: int = 0
    utilisation: int = 0
    hidden: bool = False
    parent: str = ""
    trouble: str = ""


def read_node(directory: Directory, uuid: str, format: str, found: os.stat_result) -> Node:
    """Look into an image file; whatever is wrong with it is in the node's `trouble`."""
    path = directory.image(uuid, format)
    if format == "raw":
        return Node(uuid, path, format, found.st_size, found.st_blocks * 512)
    try:
        file = directory.open(path, False)
        try:
            vhd = Vhd.open(file)
            parent, trouble = "", ""
            if vhd.has_parent:
                parent = _parent(directory, vhd)
                trouble = "" if parent else "its parent is not in this SR"
            return Node(uuid, path, format, vhd.size, found.st_size, bool(vhd.hidden), parent, trouble)
        finally:
            file.close()
    except VhdError as error:
        return Node(uuid, path, format, 0, found.st_size, trouble=error.reason)
    except OSError as error:
        return Node(uuid, path, format, 0, found.st_size, trouble=error.strerror or str(error))


def _parent(directory: Directory, vhd: Vhd) -> str:
    """Return the UUID in the first name that a child gives for its parent and that could be one of ours."""
    for path in parent_paths(vhd):
        place, name = os.path.split(path)
        match = IMAGE_NAME.fullmatch(name)
        if match and place == directory.path:
            return match[1]
    return ""


class Tree:
    """The images of a directory and their dependence. Not safe for several threads: the SR's lock is held."""

    def __init__(self, directory: Directory) -> None:
        self._directory = directory
        self._nodes: dict[str, Node] = {}
        self._stamps: dict[str, Stamp] = {}
        self._children: dict[str, set[str]] = {}
        self._logs: set[str] = set()
        self._troubled: set[str] = set()

    def refresh(self) -> None:
        """Look at everything in the directory; errors of the system for a directory that cannot be read."""
        seen: set[str] = set()
        logs: set[str] = set()
        with os.scandir(self._directory.path) as entries:
            for entry in entries:
                match = IMAGE_NAME.fullmatch(entry.name)
                if match is None:
                    log = LOG_NAME.fullmatch(entry.name)
                    if log is not None:
                        logs.add(log[1])
                    continue
                try:
                    found = entry.stat(follow_symlinks=False)
                except FileNotFoundError:
                    continue
                if stat.S_ISREG(found.st_mode) and (match[1] not in seen or match[2] == "vhd"):
                    seen.add(match[1])
                    self._update(match[1], match[2], found)
        for uuid in self._nodes.keys() - seen:
            self._forget(uuid)
        self._logs = logs

    def look(self, uuid: str) -> Node | None:
        """Return what one image is now, None if it is not there."""
        for format in ("vhd", "raw"):
            try:
                found = os.lstat(self._directory.image(uuid, format))
            except FileNotFoundError:
                continue
            if stat.S_ISREG(found.st_mode):
                return self._update(uuid, format, found)
        self._forget(uuid)
        return None

    def reread(self, uuid: str) -> Node | None:
        """Return what one image is now, even if a change to it was too quick to show in its times."""
        self._forget(uuid)
        return self.look(uuid)

    def _update(self, uuid: str, format: str, found: os.stat_result) -> Node:
        stamp = (found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)
        known = self._nodes.get(uuid)
        if known is not None and known.format == format and self._stamps[uuid] == stamp:
            return known
        node = read_node(self._directory, uuid, format, found)
        self._forget(uuid)
        self._nodes[uuid] = node
        self._stamps[uuid] = stamp
        if node.parent:
            self._children.setdefault(node.parent, set()).add(uuid)
        if node.trouble:
            self._troubled.add(uuid)
        return node

    def _forget(self, uuid: str) -> None:
        node = self._nodes.pop(uuid, None)
        self._stamps.pop(uuid, None)
        self._troubled.discard(uuid)
        if node is not None and node.parent:
            siblings = self._children[node.parent]
            siblings.discard(uuid)
            if not siblings:
                del self._children[node.parent]

    def nodes(self) -> tuple[Node, ...]:
        """Return all images, as they were when they were last looked at."""
        return tuple(self._nodes.values())

    def logs(self) -> frozenset[str]:
        """Return the UUIDs that have a record of changed blocks, as of the last refresh."""
        return frozenset(self._logs)

    def children(self, uuid: str) -> frozenset[str]:
        """Return the images that depend directly on one."""
        return frozenset(self._children.get(uuid, ()))

    def ancestors(self, node: Node) -> Iterator[Node]:
        """Yield the node, its parent and so on, looked at now; stops at a parent that is missing or seen before."""
        seen: set[str] = set()
        current: Node | None = node
        while current is not None and current.uuid not in seen:
            seen.add(current.uuid)
            yield current
            current = self.look(current.parent) if current.parent else None

    def trouble(self, node: Node) -> str:
        """Return why a disk cannot be used, looking at all that it depends on; empty if it can."""
        last = node
        for last in self.ancestors(node):
            if last.trouble:
                return last.trouble if last is node else f"its ancestor {last.uuid} is damaged: {last.trouble}"
        if last.parent:
            return f"its ancestor {last.parent} is missing, or its parents form a loop"
        return ""

    def is_whole(self, node: Node) -> bool:
        """Whether a disk and all that it depends on were in order when they were last looked at."""
        seen: set[str] = set()
        current: Node | None = node
        while current is not None and not current.trouble and current.uuid not in seen:
            if not current.parent:
                return True
            seen.add(current.uuid)
            current = self._nodes.get(current.parent)
        return False

    def all_parents_known(self) -> bool:
        """Whether no damaged image could depend on one that seems unused."""
        return not self._troubled

    def unused(self) -> list[Node]:
        """Return the hidden images that nothing depends on: garbage. None at all if a damaged one might need them."""
        if not self.all_parents_known():
            return []
        return [node for node in self._nodes.values() if node.hidden and node.uuid not in self._children]
