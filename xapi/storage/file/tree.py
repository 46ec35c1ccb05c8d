"""Which disks a directory holds, and which of them depend on which: read from the VHDs themselves.

What was read is kept as long as the file's inode, size and times are the same, so that looking again costs one `stat`.
A raw file cannot say that it is an inner node of a chain: its record says it.
"""

from __future__ import annotations

import os
import stat

from xapi.storage.file.directory import IMAGE_NAME, LOG_NAME, Directory
from xapi.storage.file.record import load_record
from xapi.storage.images.tree import ImageTree, Node
from xapi.storage.vhd.errors import VhdError
from xapi.storage.vhd.image import Vhd
from xapi.storage.vhd.parents import parent_paths


def read_node(directory: Directory, uuid: str, format: str, found: os.stat_result) -> Node:
    """Look into an image file; whatever is wrong with it is in the node's `trouble`. Errors of the system pass."""
    path = directory.image(uuid, format)
    if format == "raw":
        hidden = load_record(directory, uuid).hidden
        return Node(uuid, path, format, found.st_size, found.st_blocks * 512, hidden)
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


def _parent(directory: Directory, vhd: Vhd) -> str:
    """Return the UUID in the first name that a child gives for its parent and that could be one of ours."""
    for path in parent_paths(vhd):
        place, name = os.path.split(path)
        match = IMAGE_NAME.fullmatch(name)
        if match and place == directory.path:
            return match[1]
    return ""


class Tree(ImageTree):
    """The images of a directory."""

    def __init__(self, directory: Directory) -> None:
        super().__init__()
        self._directory = directory

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

    def _mark(self, uuid: str, format: str) -> tuple[int, int] | None:
        """Whatever tells that the record of a raw image has not changed, which says whether that is hidden."""
        if format != "raw":
            return None
        try:
            found = os.lstat(self._directory.record(uuid))
        except FileNotFoundError:
            return None
        return found.st_ino, found.st_mtime_ns

    def _update(self, uuid: str, format: str, found: os.stat_result) -> Node:
        stamp = (format, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns, self._mark(uuid, format))
        known = self._known(uuid, stamp)
        if known is not None:
            return known
        try:
            return self._keep(read_node(self._directory, uuid, format, found), stamp)
        except OSError as error:
            # Perhaps not the file is damaged but what it lies on, and only for now: it is looked into each time.
            path, why = self._directory.image(uuid, format), error.strerror or str(error)
            return self._keep(Node(uuid, path, format, 0, found.st_size, trouble=why), ())
