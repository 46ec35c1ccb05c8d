"""Splitting a disk on LVM into a hidden parent and one or two children.

The disk's volume gets another name and becomes the parent; new, empty volumes are its children, one of which has the
old name. It is made last: that is the moment of truth. A small volume `clone_LEAF_BASE_CHILD`, as XenServer's drivers
make it, says what is under way; whoever finds it takes everything back, or finishes if the moment has passed, for then
the guest may have written to its disk already.
"""

from __future__ import annotations

import logging
import re
import uuid as uuids
from collections.abc import Callable
from dataclasses import dataclass

from xapi.storage.errors import StorageFailure
from xapi.storage.facts import MAXIMUM_VHD_SIZE
from xapi.storage.file.directory import UUID
from xapi.storage.lvm.group import VolumeGroup
from xapi.storage.lvm.sizes import JOURNAL_TAG, make_volume, shrink
from xapi.storage.lvm.volumes import EXTENT, volume_name
from xapi.storage.vhd.create import create_child
from xapi.storage.vhd.errors import VhdError
from xapi.storage.vhd.file import RandomAccessFile
from xapi.storage.vhd.image import Vhd
from xapi.storage.vhd.parents import Parent

LOG = logging.getLogger("xapi.storage")
JOURNAL_NAME = re.compile(rf"clone_({UUID.pattern})_({UUID.pattern})_({UUID.pattern}|)")
BROKEN = (StorageFailure, OSError, VhdError)


Tidy = Callable[["VolumeFork"], object]
"""What follows a split beyond its volumes; called before its journal goes, as often as it takes."""


def nothing(fork: VolumeFork) -> None:
    """Do nothing."""


def describe(group: VolumeGroup, uuid: str) -> Parent:
    """Return what a child of a VHD has to know of it."""
    name = volume_name(uuid, "vhd")
    with group.opened(name) as file:
        vhd = Vhd.open(file)
        return Parent(group.path(name), vhd.size, vhd.footer.unique_id)


def make_child(group: VolumeGroup, parent: str, uuid: str, size: int) -> None:
    """Make a VHD without data that depends on another, in a volume of `size` bytes."""
    with group.active(volume_name(parent, "vhd")):  # a parent is named by where its device is
        described = describe(group, parent)

        def fill(file: RandomAccessFile) -> None:
            create_child(file, described, largest_size=MAXIMUM_VHD_SIZE)

        make_volume(group, volume_name(uuid, "vhd"), size, fill)


def set_hidden(group: VolumeGroup, uuid: str, hidden: bool) -> None:
    """Mark a VHD as an inner node, or as one to be seen."""
    with group.opened(volume_name(uuid, "vhd"), writable=True) as file:
        Vhd.open(file, writable=True).set_hidden(hidden)


@dataclass(frozen=True, slots=True)
class VolumeFork:
    """One split: `leaf` keeps its name and becomes a child of `base`, as does the new disk `child`, if there is one."""

    leaf: str
    base: str
    child: str = ""

    @classmethod
    def plan(cls, leaf: str, child: str) -> VolumeFork:
        """Return a split with a new name for the hidden parent."""
        return cls(leaf, str(uuids.uuid4()), child)

    @classmethod
    def parse(cls, name: str) -> VolumeFork | None:
        """Return the split that a journal's name tells of, None for another volume's name."""
        match = JOURNAL_NAME.fullmatch(name)
        return cls(*match.groups()) if match and len(set(match.groups())) == 3 else None

    @property
    def journal(self) -> str:
        """The name of the journal's volume."""
        return f"clone_{self.leaf}_{self.base}_{self.child}"

    def run(
        self, group: VolumeGroup, leaf_size: int, child_size: int, keep: Callable[[], object], tidy: Tidy = nothing
    ) -> None:
        """Do it; the sizes are those of the new volumes, and `keep` writes what is to be recorded of the child.

        Any failure leaves everything as it was, but for what is recorded.
        """
        group.check_room(leaf_size + (child_size if self.child else 0) + EXTENT)
        group.create(self.journal, EXTENT, JOURNAL_TAG)
        try:
            group.rename(volume_name(self.leaf, "vhd"), volume_name(self.base, "vhd"))
            with group.active(volume_name(self.base, "vhd")):
                if self.child:
                    make_child(group, self.base, self.child, child_size)
                    keep()
                make_child(group, self.base, self.leaf, leaf_size)
        except BROKEN:
            self.roll_back(group)
            raise
        try:
            self.finish(group, tidy)
        except BROKEN as error:
            LOG.warning("%s could not be tidied up after, and will be later: %s", self, error)

    def finish(self, group: VolumeGroup, tidy: Tidy) -> None:
        """Do what follows the moment of truth, as often as it takes."""
        volumes, names = group.look()
        with group.active(volume_name(self.base, "vhd")):
            set_hidden(group, self.base, True)
            tidy(self)
            shrink(group, volumes[self.base])
        if self.journal in names:
            group.remove(self.journal)

    def roll_back(self, group: VolumeGroup) -> None:
        """Take back what was done, as often as it takes. Nobody may have written to the disk meanwhile."""
        leaf, base, child = (volume_name(uuid, "vhd") if uuid else "" for uuid in (self.leaf, self.base, self.child))
        names = group.look()[1]
        if base in names:
            # The data is in this volume; one with the old name beside it can only be the new, empty child.
            for name in (leaf, child):
                if name in names:
                    group.remove(name)
            set_hidden(group, self.base, False)
            group.rename(base, leaf)
        group.remove(self.journal)

    def happened(self, group: VolumeGroup) -> bool:
        """Whether both children are there and in order, so that somebody may have used them."""
        names = group.look()[1]
        if any(volume_name(uuid, "vhd") not in names for uuid in (self.leaf, self.base)):
            return False
        base = describe(group, self.base)
        try:
            for uuid in filter(None, (self.child, self.leaf)):
                with group.opened(volume_name(uuid, "vhd")) as file:
                    vhd = Vhd.open(file)
                    if not vhd.has_parent or vhd.header.parent_id != base.unique_id or vhd.data_end > file.size():
                        return False
        except BROKEN:
            return False
        return True


def recover_forks(group: VolumeGroup, names: list[str], tidy: Tidy = nothing) -> bool:
    """Finish or take back every split that was cut short; return whether there were any.

    One that cannot be worked on keeps its journal: its disk is the only one that waits for that.
    """
    forks = [fork for name in names if (fork := VolumeFork.parse(name)) is not None]
    for fork in forks:
        try:
            if fork.happened(group):
                fork.finish(group, tidy)
            else:
                fork.roll_back(group)
        except BROKEN as error:
            LOG.error("SR %s: %s cannot be settled yet: %s", group.sr_uuid, fork, error)
    return bool(forks)
