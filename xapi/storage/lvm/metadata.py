"""The volume MGT of an SR on LVM: what is kept of the SR and of each disk, as the drivers of XenServer write it.

Sectors of 512 bytes, padded with spaces. The first is the header `XSSM:LENGTH:MAJOR:MINOR`, LENGTH being that of all
that is in use, padded to ten characters. Three more hold the SR's UUID and allocation, its name, its description. Then
come the disks, two sectors each: name and description in the first, the other elements in the second. A disk that was
removed leaves a slot marked as deleted, which the next one takes.

The elements are flat, so that no XML parser is needed; elements that we do not know are kept.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from html import unescape

from xapi.storage.errors import InvalidConfiguration, StorageFailure
from xapi.storage.facts import EPOCH
from xapi.storage.file.directory import is_uuid
from xapi.storage.file.record import VdiRecord

SECTOR = 512
HEADER = re.compile(rb"XSSM:([0-9]{1,10}) *:([0-9]+):([0-9]+)")
VERSION = "1:2"
XML_HEADER = '<?xml version="1.0" ?>'
SR_SECTORS = 4
VDI_SECTORS = 2
VDI_SIZE = VDI_SECTORS * SECTOR
ELEMENT = re.compile(r"<([a-z_]+)>(.*?)</\1>", re.DOTALL)
NAMES = ("name_label", "name_description")
ROOM_FOR_NAMES = SECTOR - len("<vdi>") - sum(2 * len(name) + len("<></>") for name in NAMES)
TIME = "%Y%m%dT%H:%M:%SZ"
METADATA_ERROR = 181
FORMATS = {"vhd": "vhd", "raw": "aio"}
"""What XenServer's drivers call the formats of disks."""
OWN = frozenset(
    (*NAMES, "uuid", "deleted", "is_a_snapshot", "snapshot_of", "snapshot_time", "type", "vdi_type", "read_only")
) | {"managed", "metadata_of_pool", "sharable", "sm_config"}
"""The elements that are written anew with a record."""
Fields = dict[str, str]


def escaped(text: str) -> str:
    """Return a text as it stands between tags; what XML cannot have is replaced."""
    legal = "".join(letter if letter >= " " or letter in "\t\n\r" else "?" for letter in text)
    legal = legal.encode("utf-8", "replace").decode()
    return legal.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def shortened(text: str, room: int) -> str:
    """Return a text that takes at most `room` bytes when it is written."""
    while len(escaped(text).encode()) > room:
        over = len(escaped(text).encode()) - room
        text = text[: len(text) - max(over // 8, 1)]
    return text


def element(name: str, text: str) -> str:
    """Return an element with a text in it."""
    return f"<{name}>{escaped(text)}</{name}>"


def sectors(text: str, count: int = 1) -> bytes:
    """Return a text padded to whole sectors; StorageFailure if it does not fit."""
    data = text.encode()
    if len(data) > count * SECTOR:
        raise StorageFailure(f"{len(data)} bytes of metadata do not fit into {count * SECTOR}", METADATA_ERROR)
    return data.ljust(count * SECTOR, b" ")


def elements(untrusted: bytes) -> Fields:
    """Return the elements in some sectors; those around others are left out."""
    text = untrusted.replace(b"\0", b"").decode("utf-8", "replace")
    text = text.replace(XML_HEADER, "").strip().removeprefix("<vdi>")
    return {match[1]: unescape(match[2]) for match in ELEMENT.finditer(text)}


@dataclass
class Metadata:
    """What MGT says: of the SR, and of its disks in their slots (None for one that is free)."""

    uuid: str
    name_label: str = ""
    name_description: str = ""
    allocation: str = "thick"
    slots: list[Fields | None] = field(default_factory=list)

    @classmethod
    def parse(cls, untrusted: bytes) -> Metadata:
        """Return what a volume's content says; StorageFailure if it is none of this kind."""
        match = HEADER.match(untrusted[:SECTOR])
        length = int(match[1]) if match else 0
        if match is None or not SR_SECTORS * SECTOR <= length <= len(untrusted):
            raise StorageFailure("the metadata volume has no header that can be believed", METADATA_ERROR)
        sr = elements(untrusted[SECTOR : SR_SECTORS * SECTOR])
        found = cls(sr.get("uuid", ""), sr.get("name_label", ""), sr.get("name_description", ""))
        found.allocation = sr.get("allocation", "thick")
        for offset in range(SR_SECTORS * SECTOR, length, VDI_SIZE):
            slot = elements(untrusted[offset : offset + VDI_SIZE])
            good = is_uuid(slot.get("uuid", "")) and slot.get("deleted", "0") != "1"
            found.slots.append(slot if good else None)
        return found

    def disks(self) -> dict[str, Fields]:
        """Return what is kept of each disk, by its UUID."""
        return {slot["uuid"]: slot for slot in self.slots if slot is not None}

    def slot_for(self, uuid: str) -> int:
        """Return the number of a disk's slot: the one that it has, else the first that is free, else one more."""
        numbers = [number for number, slot in enumerate(self.slots) if slot and slot["uuid"] == uuid]
        free = [number for number, slot in enumerate(self.slots) if slot is None]
        return (numbers + free + [len(self.slots)])[0]

    def put(self, fields: Mapping[str, str]) -> int:
        """Keep a disk, and return the number of its slot. Elements that we do not know stay as they were."""
        number = self.slot_for(fields["uuid"])
        before = self.slots[number] if number < len(self.slots) else None
        foreign = {name: text for name, text in (before or {}).items() if name not in OWN}
        self.slots[number : number + 1] = [{**foreign, "deleted": "0", **fields}]
        return number

    def drop(self, uuid: str) -> int | None:
        """Forget a disk; return its slot's number, None if nothing was kept of it."""
        for number, slot in enumerate(self.slots):
            if slot is not None and slot["uuid"] == uuid:
                self.slots[number] = None
                return number
        return None

    @property
    def length(self) -> int:
        """The bytes in use."""
        return (SR_SECTORS + VDI_SECTORS * len(self.slots)) * SECTOR

    def header(self) -> bytes:
        """Return the first sector."""
        return sectors(f"XSSM:{self.length:<10}:{VERSION}")

    def sr_sectors(self) -> bytes:
        """Return the three sectors about the SR."""
        room = SECTOR - 2 * len("name_description") - len("<></>")
        return (
            sectors(XML_HEADER + element("uuid", self.uuid) + element("allocation", self.allocation))
            + sectors(element("name_label", shortened(self.name_label, room)))
            + sectors(element("name_description", shortened(self.name_description, room)))
        )

    def slot_sectors(self, number: int) -> bytes:
        """Return the two sectors of a slot; a free one names no disk."""
        slot = self.slots[number] or {"uuid": "", "deleted": "1"}
        label, description = (slot.get(name, "") for name in NAMES)
        if len((escaped(label) + escaped(description)).encode()) > ROOM_FOR_NAMES:
            label = shortened(label, ROOM_FOR_NAMES // 2)
            description = shortened(description, ROOM_FOR_NAMES - len(escaped(label).encode()))
        first = "<vdi>" + element(NAMES[0], label) + element(NAMES[1], description)
        rest = "".join(element(name, text) for name, text in slot.items() if name not in NAMES)
        return sectors(first) + sectors(rest + "</vdi>")

    def encode(self) -> bytes:
        """Return everything, as it stands at the beginning of the volume."""
        slots = b"".join(self.slot_sectors(number) for number in range(len(self.slots)))
        return self.header() + self.sr_sectors() + slots


def fields_of(uuid: str, format: str, record: VdiRecord, managed: bool = True) -> Fields:
    """Return the elements for a disk; InvalidConfiguration if its sm_config has no room among them."""
    fields = {
        "uuid": uuid,
        "name_label": record.name_label,
        "name_description": record.name_description,
        "is_a_snapshot": str(int(record.is_a_snapshot)),
        "snapshot_of": record.snapshot_of,
        "snapshot_time": record.snapshot_time.astimezone(UTC).strftime(TIME),
        "type": record.type,
        "vdi_type": FORMATS[format],
        "read_only": str(int(record.read_only)),
        "managed": str(int(managed)),
        "metadata_of_pool": record.metadata_of_pool,
    }
    if record.sharable:
        fields["sharable"] = "1"
    if record.sm_config:
        taken = sum(len(element(key, value).encode()) for key, value in fields.items() if key not in NAMES)
        text = json.dumps(dict(record.sm_config), separators=(",", ":"))
        room = SECTOR - taken - len(element("sm_config", "") + element("deleted", "0") + "</vdi>")
        if len(escaped(text).encode()) > room:
            reason = f"takes {len(escaped(text).encode())} bytes, and {room} is what the metadata volume has room for"
            raise InvalidConfiguration("sm_config", reason, METADATA_ERROR)
        fields["sm_config"] = text
    return fields


def record_of(fields: Mapping[str, str]) -> VdiRecord:
    """Return what the elements of a disk say, defaults for what cannot be believed."""
    try:
        moment = datetime.strptime(fields.get("snapshot_time", ""), TIME).replace(tzinfo=UTC)
    except ValueError:
        moment = EPOCH
    try:
        untrusted = json.loads(fields.get("sm_config", "{}"))
    except (ValueError, RecursionError):
        untrusted = {}
    config = untrusted if isinstance(untrusted, dict) else {}
    return VdiRecord(
        name_label=fields.get("name_label", ""),
        name_description=fields.get("name_description", ""),
        type=fields.get("type") or "user",
        read_only=fields.get("read_only") == "1",
        sharable=fields.get("sharable") == "1",
        is_a_snapshot=fields.get("is_a_snapshot") == "1",
        snapshot_of=fields.get("snapshot_of", ""),
        snapshot_time=moment,
        metadata_of_pool=fields.get("metadata_of_pool", ""),
        sm_config={key: text for key, text in config.items() if isinstance(text, str)},
    )
