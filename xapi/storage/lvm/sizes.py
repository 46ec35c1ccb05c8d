"""Making, filling, enlarging and shrinking the volumes of an SR, so that a kill at any moment leaves old or new.

A new volume gets its name when all that belongs there is written, for a fresh one holds what another has left behind.
For the same reason a volume that is made larger may not be looked into before its new end is written: as long as that
takes, there is a small volume `inflate_DISK_SIZE`, as XenServer's drivers make it, and whoever finds it takes the room
away again.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable
from functools import partial

from xapi.storage.errors import StorageFailure
from xapi.storage.file.directory import UUID
from xapi.storage.lvm.group import VolumeGroup
from xapi.storage.lvm.volumes import EXTENT, NEW_PREFIX, Volume, whole_extents
from xapi.storage.vhd.errors import VhdError
from xapi.storage.vhd.file import RandomAccessFile
from xapi.storage.vhd.image import Vhd
from xapi.storage.vhd.modify import set_physical_size

LOG = logging.getLogger("xapi.storage")
JOURNAL_TAG = "journaler"
INFLATE_NAME = re.compile(rf"inflate_({UUID.pattern})_([0-9]+)")
PIECE = 4 << 20

BROKEN = (StorageFailure, OSError, VhdError)

Fill = Callable[[RandomAccessFile], object]
"""Writes what a new volume is to hold, durably."""


def tidy_up(group: VolumeGroup, action: Callable[[], object]) -> None:
    """Take back what has failed, or clear up after what is done: whether this fails too is nothing to tell a client.

    What is left has a name that tells of it, and is settled before the next operation.
    """
    try:
        action()
    except BROKEN as error:
        group.disturbed = True
        LOG.warning("SR %s: not everything can be tidied up now, and will be: %s", group.sr_uuid, error)


def zero(file: RandomAccessFile, start: int = 0) -> None:
    """Write zeros from `start` to the end of a volume, over what another disk has left behind there."""
    end = file.size()
    zeros = bytes(PIECE)
    for offset in range(start, end, PIECE):
        file.pwrite(zeros[: end - offset], offset)
    file.flush()


def make_volume(group: VolumeGroup, name: str, size: int, fill: Fill) -> None:
    """Make a volume that holds what `fill` writes; on any failure there is none."""
    temporary = NEW_PREFIX + name
    group.create(temporary, size)
    try:
        with group.opened(temporary, writable=True) as file:
            fill(file)
        group.rename(temporary, name)
    except BROKEN:
        tidy_up(group, partial(group.remove, temporary))
        raise


def enlarge(group: VolumeGroup, volume: Volume, size: int) -> None:
    """Make a volume larger, unless it is: the end of a VHD gets its footer, that of a raw disk zeros.

    SrFull, and any failure of LVM: then the volume has the size that it had, or is given that before it is next used.
    """
    size = whole_extents(size)
    if size <= volume.size:
        return
    group.check_room(size - volume.size + EXTENT)
    journal = f"inflate_{volume.uuid}_{volume.size}"
    group.create(journal, EXTENT, JOURNAL_TAG)
    try:
        with group.opened(volume.name, writable=True) as file:
            # What is at the new end may be an old footer of this very disk: the good one is read before.
            vhd = Vhd.open(file, writable=True) if volume.format == "vhd" else None
            group.resize(volume.name, size)
            if vhd is not None:
                set_physical_size(vhd, file.size())
            else:
                zero(file, volume.size)
        group.remove(journal)
    except BROKEN:
        tidy_up(group, partial(_take_away, group, volume, volume.size, journal))
        raise


def _take_away(group: VolumeGroup, volume: Volume | None, size: int, journal: str) -> None:
    # What was at the old end is there still: nothing is written to a disk while it has this journal.
    if volume is not None:
        group.resize(volume.name, size)
    group.remove(journal)


def is_being_enlarged(uuid: str, names: list[str]) -> bool:
    """Whether a volume has room whose end may hold anything: nothing may be written to it before that is settled."""
    return any(name.startswith(f"inflate_{uuid}_") for name in names)


def recover_sizes(group: VolumeGroup, volumes: dict[str, Volume], names: list[str]) -> bool:
    """Take away room whose giving was cut short, and volumes that were never finished; return whether there were any.

    What cannot be worked on keeps its journal.
    """
    found = False
    for name in names:
        match = INFLATE_NAME.fullmatch(name)
        if match is None and not name.startswith(NEW_PREFIX):
            continue
        found = True
        try:
            if match is None:
                group.remove(name)
                continue
            volume, size = volumes.get(match[1]), int(match[2])
            larger = volume is not None and whole_extents(size) == size and 0 < size < volume.size
            _take_away(group, volume if larger else None, size, name)
        except StorageFailure as failure:
            LOG.error("SR %s: %s cannot be settled yet: %s", group.sr_uuid, name, failure)
    return found


def shrink(group: VolumeGroup, volume: Volume) -> None:
    """Take away the room that a VHD does not need while nobody writes to it."""
    if volume.format != "vhd":
        return
    with group.active(volume.name):
        with group.opened(volume.name) as file:
            wanted = whole_extents(Vhd.open(file).physical_size)
        if wanted >= volume.size:
            return
        with group.opened(volume.name, writable=True) as file:
            set_physical_size(Vhd.open(file, writable=True), wanted)
    group.resize(volume.name, wanted)
