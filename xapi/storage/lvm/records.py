"""The metadata volume of an attached SR: read once, and written slot by slot."""

from __future__ import annotations

from dataclasses import replace

from xapi.storage.errors import StorageFailure
from xapi.storage.file.record import VdiRecord
from xapi.storage.lvm.group import VolumeGroup
from xapi.storage.lvm.metadata import (
    FORMATS,
    SECTOR,
    SR_SECTORS,
    VDI_SIZE,
    Fields,
    Metadata,
    fields_of,
    record_of,
)
from xapi.storage.lvm.sizes import make_volume
from xapi.storage.lvm.volumes import METADATA_SIZE, METADATA_VOLUME
from xapi.storage.vhd.file import RandomAccessFile


class Records:
    """What MGT keeps of an SR and its disks. Not safe for several threads: the SR's lock is held."""

    def __init__(self, group: VolumeGroup) -> None:
        self._group = group
        with group.opened(METADATA_VOLUME) as file:
            self._metadata = Metadata.parse(file.pread(METADATA_SIZE, 0))
        self._disks: dict[str, Fields] = self._metadata.disks()

    @staticmethod
    def prepare(group: VolumeGroup, allocation: str) -> None:
        """Make the volume of a new SR."""

        def fill(file: RandomAccessFile) -> None:
            file.pwrite(Metadata(group.sr_uuid, allocation=allocation).encode(), 0)
            file.flush()

        make_volume(group, METADATA_VOLUME, METADATA_SIZE, fill)

    @property
    def names(self) -> tuple[str, str]:
        """The SR's name and description."""
        return self._metadata.name_label, self._metadata.name_description

    @property
    def thin(self) -> bool:
        """Whether volumes are only as large as they have to be while nobody writes to them."""
        return self._metadata.allocation in ("thin", "xlvhd")

    def rename(self, name_label: str, name_description: str) -> None:
        """Keep another name and description of the SR."""
        self._metadata.name_label, self._metadata.name_description = name_label, name_description
        self._write((SECTOR, self._metadata.sr_sectors()))

    def get(self, uuid: str) -> VdiRecord:
        """Return what is kept of a disk, defaults for one that is not known."""
        fields = self._disks.get(uuid)
        return record_of(fields) if fields is not None else VdiRecord()

    def uuids(self) -> set[str]:
        """Return the disks of which something is kept."""
        return set(self._disks)

    def check(self, uuid: str, format: str, record: VdiRecord) -> None:
        """Raise InvalidConfiguration if a disk's record, or that of a snapshot of it, has no room."""
        fields_of(uuid, format, replace(record, is_a_snapshot=True, snapshot_of=uuid))

    def put(self, uuid: str, format: str, record: VdiRecord) -> None:
        """Keep a disk's record."""
        fields = fields_of(uuid, format, record)
        number = self._metadata.slot_for(uuid)
        if SR_SECTORS * SECTOR + (number + 1) * VDI_SIZE > METADATA_SIZE:
            raise StorageFailure("the metadata volume has no room for another disk", 44)
        self._metadata.put(fields)
        self._disks[uuid] = fields
        self._write_slot(number)

    def keep_format(self, uuid: str, format: str) -> None:
        """Keep that a disk has a format, if anything is kept of it."""
        fields = self._disks.get(uuid)
        if fields is not None and fields.get("vdi_type") != FORMATS[format]:
            self._disks[uuid] = {**fields, "vdi_type": FORMATS[format]}
            self._write_slot(self._metadata.put(self._disks[uuid]))

    def drop(self, uuid: str) -> None:
        """Forget a disk."""
        number = self._metadata.drop(uuid)
        self._disks.pop(uuid, None)
        if number is not None:
            self._write_slot(number)

    def _write_slot(self, number: int) -> None:
        # The header comes last: it says how much of what is behind it counts.
        offset = SR_SECTORS * SECTOR + number * VDI_SIZE
        self._write((offset, self._metadata.slot_sectors(number)), (0, self._metadata.header()))

    def _write(self, *pieces: tuple[int, bytes]) -> None:
        with self._group.opened(METADATA_VOLUME, writable=True) as file:
            for offset, data in pieces:
                file.pwrite(data, offset)
                file.flush()
