"""Splitting a disk on LVM into a hidden parent and two children.

The disk's volume gets another name and becomes the parent; two new, empty volumes are its children, one of which has
the old name. A small volume `clone_LEAF_BASE_CHILD`, as XenServer's drivers make it, says what is under way. While it
is there nothing has been written to the children, and whoever finds it takes everything back.
"""

from __future__ import annotations

import re
import uuid as uuids
from dataclasses import dataclass

from xapi.storage.errors import StorageFailure
from xapi.storage.facts import MAXIMUM_VHD_SIZE
from xapi.storage.file.directory import UUID
from xapi.storage.lvm.group import VolumeGroup
from xapi.storage.lvm.volumes import EXTENT, volume_name
from xapi.storage.vhd.create import create_child
from xapi.storage.vhd.errors import VhdError
from xapi.storage.vhd.image import Vhd
from xapi.storage.vhd.parents import Parent

JOURNAL_TAG = "journaler"
JOURNAL_NAME = re.compile(rf"clone_({UUID.pattern})_({UUID.pattern})_({UUID.pattern})")


@dataclass(frozen=True, slots=True)
class VolumeFork:
    """One split: `leaf` keeps its name and becomes a child of `base`, as does the new disk `child`."""

    leaf: str
    base: str
    child: str

    @classmethod
    def plan(cls, leaf: str, child: str) -> VolumeFork:
        """Return a split with a new name for the hidden parent."""
        return cls(leaf, str(uuids.uuid4()), child)

    @classmethod
    def parse(cls, name: str) -> VolumeFork | None:
        """Return the split that a journal's name tells of, None for another volume's name."""
        match = JOURNAL_NAME.fullmatch(name)
        return cls(*match.groups()) if match else None

    @property
    def journal(self) -> str:
        """The name of the journal's volume."""
        return f"clone_{self.leaf}_{self.base}_{self.child}"

    def run(self, group: VolumeGroup, leaf_size: int, child_size: int) -> None:
        """Do it; the sizes are those of the new volumes. Any failure leaves everything as it was."""
        group.check_room(leaf_size + child_size + EXTENT)
        group.create(self.journal, EXTENT, JOURNAL_TAG)
        try:
            group.rename(volume_name(self.leaf, "vhd"), volume_name(self.base, "vhd"))
            self._make_children(group, leaf_size, child_size)
            self._set_hidden(group, True)
        except (StorageFailure, OSError, VhdError):
            self.roll_back(group)
            raise
        group.remove(self.journal)

    def _make_children(self, group: VolumeGroup, leaf_size: int, child_size: int) -> None:
        base = volume_name(self.base, "vhd")
        with group.opened(base) as file:
            vhd = Vhd.open(file)
            parent = Parent(group.path(base), vhd.size, vhd.footer.unique_id)
            for uuid, size in ((self.child, child_size), (self.leaf, leaf_size)):
                name = volume_name(uuid, "vhd")
                group.create(name, size)
                with group.opened(name, writable=True) as made:
                    create_child(made, parent, largest_size=MAXIMUM_VHD_SIZE)

    def _set_hidden(self, group: VolumeGroup, hidden: bool) -> None:
        with group.opened(volume_name(self.base, "vhd"), writable=True) as file:
            Vhd.open(file, writable=True).set_hidden(hidden)

    def roll_back(self, group: VolumeGroup) -> None:
        """Take back what was done, as often as it takes."""
        leaf, base, child = (volume_name(uuid, "vhd") for uuid in (self.leaf, self.base, self.child))
        names = group.look()[1]
        if child in names:
            group.remove(child)
        if base in names:
            # The data is in this volume; one with the old name beside it can only be the new, empty child.
            if leaf in names:
                group.remove(leaf)
            self._set_hidden(group, False)
            group.rename(base, leaf)
        if self.journal in names:
            group.remove(self.journal)


def recover_forks(group: VolumeGroup) -> None:
    """Take back every split that was cut short."""
    for name in group.look()[1]:
        fork = VolumeFork.parse(name)
        if fork is not None:
            fork.roll_back(group)
