"""The change logs of an SR on LVM, each on a volume `DISK.cbtlog`: a sector that says what it is, then the bitmap."""

from __future__ import annotations

import re

from xapi.storage.file.directory import UUID
from xapi.storage.lvm.group import VolumeGroup
from xapi.storage.lvm.sizes import make_volume
from xapi.storage.lvm.volumes import EXTENT
from xapi.storage.tracking import MAGIC, ChangeLog, bitmap_length
from xapi.storage.vhd.file import RandomAccessFile
from xapi.storage.vhd.layout import SECTOR

LOG_NAME = re.compile(rf"({UUID.pattern})\.cbtlog")
LOG_SIZE = EXTENT
"""Room for the bitmap of the largest disk, and a sector."""


def log_name(uuid: str) -> str:
    """Return the volume of a disk's change log."""
    return f"{uuid}.cbtlog"


def read_log(group: VolumeGroup, uuid: str) -> ChangeLog | None:
    """Return the change log of a disk, None if what is there is none."""
    with group.opened(log_name(uuid)) as file:
        head = ChangeLog.decode(file.pread(SECTOR, 0))
        return head and ChangeLog.decode(file.pread(min(SECTOR + bitmap_length(head.size), LOG_SIZE), 0))


def write_log(group: VolumeGroup, uuid: str, log: ChangeLog, there: bool) -> None:
    """Keep a change log; `there` says whether it has a volume. Cut short, a log that only gained bits has some of them.

    The sector comes last.
    """
    encoded = log.encode()
    end = encoded.index(b"\n", len(MAGIC))
    head, bitmap = encoded[:end].ljust(SECTOR - 1) + b"\n", encoded[end + 1 :]

    def fill(file: RandomAccessFile) -> None:
        file.pwrite(bitmap.ljust(bitmap_length(log.size), b"\0"), SECTOR)
        file.flush()
        file.pwrite(head, 0)
        file.flush()

    if there:
        with group.opened(log_name(uuid), writable=True) as file:
            fill(file)
    else:
        make_volume(group, log_name(uuid), LOG_SIZE, fill)
