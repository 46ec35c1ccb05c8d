"""Which volumes of a group have a device: those of disks that are attached or open, and all that they depend on."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from xapi.storage.attachments import Attachments
from xapi.storage.lvm.group import VolumeGroup
from xapi.storage.lvm.refcounts import Count, RefCounts
from xapi.storage.lvm.tree import VolumeTree


class Activation:
    """Notes who needs which volume, and has it active meanwhile. The SR's lock is held, for one thread at a time."""

    def __init__(self, group: VolumeGroup, tree: VolumeTree, attachments: Attachments, counts: RefCounts) -> None:
        self._group = group
        self._tree = tree
        self._attachments = attachments
        self._counts = counts
        self._active: set[str] = set()
        self._open: list[list[str]] = []  # what this process has open: UUIDs, which follow when images are renamed

    def is_active(self, name: str) -> bool:
        """Whether a volume was made active here."""
        return name in self._active

    def is_open(self, uuid: str) -> bool:
        """Whether this process has a disk's volume open."""
        return any(uuid in opened for opened in self._open)

    @contextmanager
    def wanted(self, *uuids: str) -> Iterator[None]:
        """Say inside that disks are needed, whatever they are called then; `settle` does what follows from it."""
        mine = list(uuids)
        self._open.append(mine)
        try:
            yield
        finally:
            self._open = [opened for opened in self._open if opened is not mine]

    def forked(self, leaf: str, base: str) -> None:
        """Take in that what was open as one disk is the volume of another now."""
        for opened in self._open:
            opened[:] = [base if uuid == leaf else uuid for uuid in opened]

    def renamed(self, old: str, new: str) -> None:
        """Take in that a volume has another name, and its device too if it has one."""
        if old in self._active:
            self._active.discard(old)
            self._active.add(new)

    def gone(self, name: str) -> None:
        """Take in that a volume was removed."""
        self._active.discard(name)

    def settle(self) -> None:
        """Have those volumes active that somebody needs, and no others of those that were made active here."""
        inner: dict[str, int] = {}
        held = self._attachments.held()
        needed = {uuid for opened in self._open for uuid in opened}
        for location in held:
            node = self._tree.look(location)
            for each in self._tree.ancestors(node) if node is not None else ():
                needed.add(each.uuid)
                if each.uuid != location:
                    inner[each.uuid] = inner.get(each.uuid, 0) + 1
        names = {volume.name for uuid in needed if (volume := self._tree.volumes.get(uuid)) is not None}
        for name in sorted(names):
            self._active.add(name)  # before it is, for what fails may have happened
            if not self._group.is_active(name):
                self._group.activate(name)
        for name in sorted(self._active - names):
            if self._group.is_active(name):
                self._group.deactivate(name)
            self._active.discard(name)
        counted = inner.keys() | (set(held) & self._tree.volumes.keys())
        self._counts.write({uuid: Count(inner.get(uuid, 0), int(uuid in held)) for uuid in counted})
