"""What an SR holds, so that two moments can be compared, and whether anything is left behind."""

from __future__ import annotations

import os
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from tests.storage.coalesce.farm import LvmFarm
from xapi.storage.file.directory import IMAGE_NAME, LOG_NAME, RECORD_NAME, SETTINGS_NAME
from xapi.storage.images.repository import ImagesSr
from xapi.storage.lvm.change_logs import LOG_NAME as LOG_VOLUME
from xapi.storage.lvm.group import VolumeFile
from xapi.storage.lvm.metadata import FORMATS, Metadata
from xapi.storage.lvm.refcounts import namespace
from xapi.storage.lvm.volumes import METADATA_VOLUME, VOLUME_NAME, group_name
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
    snapshot_of: str
    tracked: bool
    format: str
    custom: str
    content: dict[int, bytes]


State = tuple[str, dict[str, Disk]]
"""The SR's own name, and its disks by location."""


def unnamed(found: State) -> tuple[str, list[str]]:
    """Return a state without the UUIDs of its disks, which an operation that is repeated chooses anew."""
    name, disks = found
    return name, sorted(map(repr, disks.values()))


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
                vdi.snapshot_of,
                vdi.cbt_enabled,
                vdi.sm_config.get("vdi_type", ""),
                vdi.sm_config.get("custom", ""),
                held,
            )
    return sr.stat().name_label, disks


def assert_mixture(now: State, before: State, after: State) -> None:
    """No disk is gone; of one that was written to, each sector is the old or the new, and of others none changed."""
    assert before[1].keys() <= now[1].keys(), "a disk is gone"
    for location in before[1]:
        held, old, new = (found[1][location].content for found in (now, before, after))
        for at in old.keys() | new.keys() | held.keys():
            assert held.get(at) in (old.get(at), new.get(at)), f"{location} at {at}"


def assert_clean_group(farm: LvmFarm, torn: bool = False) -> None:
    """Every VHD passes the check, no volume or record belongs to nothing, none is active, none is counted.

    With `torn`, growing was cut short: the copy of a footer may be an older one.
    """
    volumes = farm.lvm.groups[group_name(farm.sr.uuid)].volumes
    for name, volume in volumes.items():
        assert VOLUME_NAME.fullmatch(name) or LOG_VOLUME.fullmatch(name) or name == METADATA_VOLUME, f"{name} is left"
        if name.startswith("VHD-"):
            with closing(VolumeFile.open_volume(str(volume.file), False)) as file:
                problems = check(file)
            assert problems == [] or (torn and all("footer" in problem for problem in problems)), (name, problems)
    kept = Metadata.parse(volumes[METADATA_VOLUME].file.read_bytes()).disks()
    visible = {vdi.location: vdi for vdi in farm.sr.scan().vdis if vdi.managed}
    assert kept.keys() == visible.keys()
    for uuid, vdi in visible.items():
        format = vdi.sm_config.get("vdi_type")
        assert format is None or kept[uuid]["vdi_type"] == FORMATS[format], uuid
    assert farm.lvm.active() == set()
    counts = farm.path / "state" / "refcount" / namespace(farm.sr.uuid)
    assert not counts.exists() or not os.listdir(counts), os.listdir(counts)


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
