"""What an SR in a directory holds, so that two moments can be compared."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from xapi.storage.file.directory import IMAGE_NAME, LOG_NAME, RECORD_NAME, SETTINGS_NAME
from xapi.storage.images.repository import ImagesSr
from xapi.storage.vhd.check import check
from xapi.storage.vhd.file import RealFile

PIECE = 512


@dataclass(frozen=True)
class Disk:
    """What a client sees of a disk. `content` has the sectors that are not zeros."""

    size: int
    name: str
    description: str
    type: str
    is_a_snapshot: bool
    tracked: bool
    content: dict[int, bytes]


State = tuple[str, dict[str, Disk]]
"""The SR's own name, and its disks by location."""


def content(sr: ImagesSr, location: str) -> dict[int, bytes]:
    found = {}
    with sr.open_for_reading(location) as disk:
        for extent in disk.extents():
            if not extent.zero:
                data = disk.pread(extent.offset, extent.length)
                if any(data):
                    for at in range(0, len(data), PIECE):
                        if any(data[at : at + PIECE]):
                            found[extent.offset + at] = data[at : at + PIECE]
    return found


def state(sr: ImagesSr) -> State:
    """What is in the SR; nothing may be missing."""
    disks = {}
    for vdi in sr.scan().vdis:
        assert not vdi.missing, f"{vdi.location} is missing"
        assert sr.find(vdi.location) == vdi
        if vdi.managed:
            held = content(sr, vdi.location) if vdi.type != "cbt_metadata" else {}
            disks[vdi.location] = Disk(
                vdi.virtual_size,
                vdi.name_label,
                vdi.name_description,
                vdi.type,
                vdi.is_a_snapshot,
                vdi.cbt_enabled,
                held,
            )
    return sr.stat().name_label, disks


def assert_clean(path: Path, torn: bool = False) -> None:
    """Every image passes the check, and there is no file that belongs to nothing.

    With `torn`, a write of data was cut short: the copy of the footer behind the data may be missing.
    """
    for name in os.listdir(path):
        known = IMAGE_NAME.fullmatch(name) or RECORD_NAME.fullmatch(name) or LOG_NAME.fullmatch(name)
        assert known or name == SETTINGS_NAME, f"{name} was left behind"
        if name.endswith(".vhd"):
            file = RealFile.open(str(path / name))
            try:
                problems = check(file)
            finally:
                file.close()
            assert problems == [] or (torn and all("footer" in problem for problem in problems)), (name, problems)
