"""Splitting a disk on LVM into a hidden parent and one or two children.

The disk's volume gets another name and becomes the parent; new, empty VHDs are its children, one of which has the old
name. It is made last: that is the moment of truth. A raw disk is split in the same way: its volume stays raw, and from
then on the disk is a VHD. A small volume `clone_LEAF_BASE_CHILD`, as XenServer's drivers
make it, says what is under way; whoever finds it takes everything back, or finishes if the moment has passed, for then
the guest may have written to its disk already.
"""

from __future__ import annotations

import logging
import re
import uuid as uuids
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from xapi.storage.facts import MAXIMUM_VHD_SIZE
from xapi.storage.file.directory import UUID
from xapi.storage.lvm.group import VolumeGroup
from xapi.storage.lvm.sizes import BROKEN, JOURNAL_TAG, make_volume, shrink, tidy_up
from xapi.storage.lvm.volumes import EXTENT, HIDDEN_TAG, Volume, format_of, volume_name
from xapi.storage.vhd.create import create_child
from xapi.storage.vhd.file import RandomAccessFile
from xapi.storage.vhd.image import Vhd
from xapi.storage.vhd.parents import Parent, decode_name

LOG = logging.getLogger("xapi.storage")
JOURNAL_NAME = re.compile(rf"clone_({UUID.pattern})_({UUID.pattern})_({UUID.pattern}|)")

Tidy = Callable[["VolumeFork"], object]
"""What follows a split beyond its volumes; called before its journal goes, as often as it takes."""


def nothing(fork: VolumeFork) -> None:
    """Do nothing."""


def describe(group: VolumeGroup, name: str) -> Parent:
    """Return what a child of the image on a volume has to know of it."""
    with group.opened(name) as file:
        if format_of(name) == "raw":
            return Parent(group.path(name), file.size())
        vhd = Vhd.open(file)
        return Parent(group.path(name), vhd.size, vhd.footer.unique_id)


def make_child(group: VolumeGroup, parent: str, uuid: str, size: int) -> None:
    """Make a VHD without data that depends on the image on the volume `parent`, in a volume of `size` bytes."""
    with group.active(parent):  # a parent is named by where its device is
        described = describe(group, parent)

        def fill(file: RandomAccessFile) -> None:
            create_child(file, described, largest_size=MAXIMUM_VHD_SIZE)

        make_volume(group, volume_name(uuid, "vhd"), size, fill)


def set_hidden(group: VolumeGroup, volume: Volume, hidden: bool) -> None:
    """Mark an image as an inner node, or as one to be seen: a VHD does that itself, a raw one has a tag for it."""
    if volume.format == "raw":
        if volume.hidden != hidden:
            group.tag(volume.name, HIDDEN_TAG, hidden)
        return
    with group.opened(volume.name, writable=True) as file:
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
        self,
        group: VolumeGroup,
        format: str,
        leaf_size: int,
        child_size: int,
        keep: Callable[[], object],
        tidy: Tidy = nothing,
    ) -> None:
        """Split a disk of a format; the sizes are those of the new volumes, and `keep` writes the child's record.

        Any failure leaves everything as it was, but for what is recorded.
        """
        base = volume_name(self.base, format)
        group.check_room(leaf_size + (child_size if self.child else 0) + EXTENT)
        group.create(self.journal, EXTENT, JOURNAL_TAG)
        try:
            group.rename(volume_name(self.leaf, format), base)
            with group.active(base):
                if self.child:
                    make_child(group, base, self.child, child_size)
                    keep()
                make_child(group, base, self.leaf, leaf_size)
        except BROKEN:
            tidy_up(group, partial(self.roll_back, group))
            raise
        tidy_up(group, partial(self.finish, group, tidy))

    def finish(self, group: VolumeGroup, tidy: Tidy) -> None:
        """Do what follows the moment of truth, as often as it takes."""
        volumes, names = group.look()
        base = volumes[self.base]
        with group.active(base.name):
            set_hidden(group, base, True)
            tidy(self)
            shrink(group, base)
        if self.journal in names:
            group.remove(self.journal)

    def roll_back(self, group: VolumeGroup) -> None:
        """Take back what was done, as often as it takes. Nobody may have written to the disk meanwhile."""
        volumes, names = group.look()
        base = volumes.get(self.base)
        if base is not None:
            # The data is in this volume; a VHD with the old name beside it can only be the new, empty child.
            for name in (volume_name(uuid, "vhd") for uuid in (self.leaf, self.child) if uuid):
                if name in names:
                    group.remove(name)
            set_hidden(group, base, False)
            group.rename(base.name, volume_name(self.leaf, base.format))
        group.remove(self.journal)

    def happened(self, group: VolumeGroup) -> bool:
        """Whether both children are there and in order, so that somebody may have used them."""
        volumes, names = group.look()
        above = volumes.get(self.base)
        if above is None or volume_name(self.leaf, "vhd") not in names:
            return False
        base = describe(group, above.name)
        try:
            for uuid in filter(None, (self.child, self.leaf)):
                with group.opened(volume_name(uuid, "vhd")) as file:
                    vhd = Vhd.open(file)
                    if not vhd.has_parent or vhd.header.parent_id != base.unique_id or vhd.data_end > file.size():
                        return False
                    if base.raw and decode_name(vhd.header) != above.name:
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
