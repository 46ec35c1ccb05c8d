"""How XenServer names and sizes its logical volumes, and what LVM's reports say of them."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass

from xapi.storage.errors import StorageFailure
from xapi.storage.facts import MAXIMUM_VHD_SIZE
from xapi.storage.file.directory import UUID, is_uuid
from xapi.storage.vhd.layout import BLOCK_SIZE, FOOTER_SIZE, HEADER_SIZE, SECTOR

GROUP_PREFIX = "VG_XenStorage-"
PREFIXES = {"vhd": "VHD-", "raw": "LV-"}
METADATA_VOLUME = "MGT"
NEW_PREFIX = "new_"
"""What begins the name of a volume that is not finished."""
METADATA_SIZE = 4 << 20
HIDDEN_TAG = "hidden"
"""What marks a volume as an inner node of a chain; a VHD says it of itself."""
RESET_TAG = "xapi-reset"
"""What a disk has whose data is being dropped."""
EXTENT = 4 << 20
"""The extents of XenServer's volume groups, in bytes: every volume's size is a multiple."""
LOCATOR_ROOM = 3 * 2 * SECTOR
PAGE = 4096
LVM_GROUP_MISSING = 92
LVM_REPORT_UNREADABLE = 100

VOLUME_NAME = re.compile(rf"(VHD|LV)-({UUID.pattern})")
VOLUME_FIELDS = "lv_name,lv_size,lv_attr,lv_tags"
DEVICE_FIELDS = "pv_name,vg_name,vg_size,vg_free"
GROUP_FIELDS = "vg_name,vg_size,vg_free,vg_extent_size"


def group_name(sr_uuid: str) -> str:
    """Return the volume group of an SR; StorageFailure for what is no UUID."""
    if not is_uuid(sr_uuid):
        raise StorageFailure(f"{sr_uuid!r} is not a UUID", 1)
    return GROUP_PREFIX + sr_uuid


def volume_name(uuid: str, format: str) -> str:
    """Return the logical volume of a disk; StorageFailure for what is no UUID."""
    if not is_uuid(uuid):
        raise StorageFailure(f"{uuid!r} is not a UUID", 1)
    return PREFIXES[format] + uuid


LONGEST_DEVICE_NAME = 127
NAME_TAG = "name="
"""What begins the tag that says a volume's whole name, where LVM could not take that as it is."""


def device_name(group: str, name: str) -> str:
    """Return the device mapper's name of a volume: that of group and volume with their hyphens doubled."""
    return "-".join(part.replace("-", "--") for part in (group, name))


def short_name(group: str, name: str) -> str:
    """Return the name that LVM has for a volume: of one that is too long, kind and first UUID, as sm's journals have.

    The names of disks always fit; those of journals with two or three UUIDs do not.
    """
    if len(device_name(group, name)) <= LONGEST_DEVICE_NAME:
        return name
    return "_".join((*name.split("_")[:2], "1"))


def format_of(name: str) -> str:
    """Return the format of a disk by the name of its volume."""
    return "raw" if name.startswith(PREFIXES["raw"]) else "vhd"


def whole_extents(size: int) -> int:
    """Return the size of the volume that holds `size` bytes."""
    return -(-size // EXTENT) * EXTENT


def metadata_size(virtual_size: int) -> int:
    """Return the bytes in a VHD of `virtual_size` before its first block, and its footer at the end."""
    blocks = -(-virtual_size // BLOCK_SIZE)
    table = -(-blocks * 4 // SECTOR) * SECTOR
    batmap = SECTOR + -(-blocks // (8 * SECTOR)) * SECTOR
    return FOOTER_SIZE + HEADER_SIZE + table + batmap + LOCATOR_ROOM + FOOTER_SIZE


def full_size(virtual_size: int) -> int:
    """Return the volume in which every block of a VHD has room, and its metadata may grow to the largest disk's."""
    blocks = -(-virtual_size // BLOCK_SIZE)
    return whole_extents(metadata_size(MAXIMUM_VHD_SIZE) + blocks * (BLOCK_SIZE + PAGE))


def empty_size() -> int:
    """Return the volume for a VHD without a block: what a read-only snapshot needs."""
    return whole_extents(metadata_size(MAXIMUM_VHD_SIZE))


@dataclass(frozen=True, slots=True)
class Volume:
    """A logical volume that is a disk; size in bytes. `resetting` is True if its data is being dropped."""

    uuid: str
    format: str
    name: str
    size: int
    active: bool
    open: bool
    read_only: bool
    hidden: bool
    resetting: bool = False


@dataclass(frozen=True, slots=True)
class Group:
    """A volume group; sizes in bytes."""

    name: str
    size: int
    free: int
    extent: int


def parse_volumes(report: str) -> list[Volume]:
    """Return the disks in what `lvs --reportformat json` printed; other volumes, such as MGT, are no disks."""
    return [volume for row in _rows(report, "lv") if (volume := _volume(row)) is not None]


def volume_names(report: str) -> list[str]:
    """Return the names of all volumes in what `lvs --reportformat json` printed, also of those that are no disks."""
    return [_name(row) for row in _rows(report, "lv")]


def _name(row: dict[str, str]) -> str:
    long = [tag.removeprefix(NAME_TAG) for tag in row.get("lv_tags", "").split(",") if tag.startswith(NAME_TAG)]
    return long[0] if long else row.get("lv_name", "")


def idle_volumes(report: str) -> list[str]:
    """Return the names of the volumes that have a device which nobody has open, also of those that are no disks."""
    return [_name(row) for row in _rows(report, "lv") if row.get("lv_attr", "").ljust(10, "-")[4:6] == "a-"]


def suspended_volumes(report: str) -> list[str]:
    """Return the names of the volumes whose devices let nobody read or write for now."""
    return [_name(row) for row in _rows(report, "lv") if row.get("lv_attr", "").ljust(10, "-")[4] == "s"]


@dataclass(frozen=True, slots=True)
class Device:
    """A physical volume and the SR that lies on it; sizes of the whole group in bytes."""

    path: str
    sr_uuid: str
    size: int
    free: int


def parse_devices(report: str) -> list[Device]:
    """Return the physical volumes of SRs in what `pvs --reportformat json` printed."""
    found = []
    for row in _rows(report, "pv"):
        group = row.get("vg_name", "")
        uuid = group.removeprefix(GROUP_PREFIX)
        if group.startswith(GROUP_PREFIX) and is_uuid(uuid):
            sizes = (_bytes(row.get(key, "")) for key in ("vg_size", "vg_free"))
            found.append(Device(row.get("pv_name", ""), uuid, *sizes))
    return found


def _volume(row: dict[str, str]) -> Volume | None:
    match = VOLUME_NAME.fullmatch(row.get("lv_name", ""))
    if match is None:
        return None
    attributes = row.get("lv_attr", "").ljust(10, "-")
    tags = row.get("lv_tags", "").split(",")
    return Volume(
        uuid=match[2],
        format=format_of(match[0]),
        name=match[0],
        size=_bytes(row.get("lv_size", "")),
        active=attributes[4] == "a",
        open=attributes[5] == "o",
        read_only=attributes[1] in "rR",
        hidden=HIDDEN_TAG in tags,
        resetting=RESET_TAG in tags,
    )


def parse_group(report: str) -> Group:
    """Return the one volume group in what `vgs --reportformat json` printed; StorageFailure if there is none."""
    for row in _rows(report, "vg"):
        sizes = (_bytes(row.get(key, "")) for key in ("vg_size", "vg_free", "vg_extent_size"))
        return Group(row.get("vg_name", ""), *sizes)
    raise StorageFailure("there is no such volume group", LVM_GROUP_MISSING)


def _rows(report: str, kind: str) -> list[dict[str, str]]:
    try:
        rows = [row for part in json.loads(report)["report"] for row in part.get(kind, [])]
        return [{str(key): str(value) for key, value in row.items()} for row in rows]
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise StorageFailure(f"LVM's report cannot be read: {error}", LVM_REPORT_UNREADABLE) from error


def _bytes(text: str) -> int:
    digits = text.removesuffix("B")
    if not (digits.isascii() and digits.isdigit()):
        raise StorageFailure(f"LVM's report has a size that is none: {text!r}", LVM_REPORT_UNREADABLE)
    return int(digits)
