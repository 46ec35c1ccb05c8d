"""The driver that is checked, and what checks have in common."""

from __future__ import annotations

import uuid as uuids
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

from xapi.storage.interface import AttachedSr, CreateVdi, DiskReader, Feature, SrDriver, StorageFailure, VdiFacts

MIB = 1 << 20
GRANULE = 64 << 10


def new_uuid() -> str:
    """Return a UUID that nothing has yet."""
    return str(uuids.uuid4())


@dataclass
class Subject:
    """A driver under test: how to make an SR, and what to do for drivers that cannot make disks.

    `prepare` puts a disk there from outside and returns its location, for SRs of things that exist anyhow.
    """

    driver: SrDriver
    device_config: Mapping[str, str]
    sm_config: Mapping[str, str] = field(default_factory=dict)
    prepare: Callable[[], str] | None = None
    sr_uuid: str = field(default_factory=new_uuid)

    def can(self, *features: Feature) -> bool:
        """Whether the driver offers all of these."""
        return all(feature in self.driver.type.features for feature in features)

    def create(self) -> AttachedSr:
        """Make the SR and attach it."""
        self.driver.create(self.sr_uuid, self.device_config, 0, "user", self.sm_config)
        return self.attach()

    def attach(self) -> AttachedSr:
        """Attach the SR that was made."""
        return self.driver.attach(self.sr_uuid, self.device_config, self.sm_config)

    def disk(self, sr: AttachedSr, size: int = 4 * MIB, name: str = "disk") -> str:
        """Make a disk, or have one made from outside; return its location."""
        if self.can(Feature.VDI_CREATE):
            return sr.create(CreateVdi(new_uuid(), size, name_label=name)).location
        assert self.prepare is not None
        return self.prepare()


def refuses(failure: type[StorageFailure], action: Callable[[], object]) -> StorageFailure:
    """Assert that an action is refused in a certain way, and return the refusal."""
    try:
        action()
    except failure as refusal:
        assert refusal.code.startswith("SR_BACKEND_FAILURE_"), refusal.code
        assert len(refusal.params) == 3
        assert refusal.text
        return refusal
    raise AssertionError(f"not refused with {failure.__name__}")


@contextmanager
def held(sr: AttachedSr) -> Iterator[AttachedSr]:
    """Detach an SR at the end of a block."""
    yield sr
    sr.detach_sr()


def content(sr: AttachedSr, location: str) -> bytes:
    """Return all that a disk holds."""
    with sr.open_for_reading(location) as disk:
        whole = disk.pread(0, disk.size)
        check_extents(disk, whole)
        return whole


def check_extents(disk: DiskReader, whole: bytes) -> None:
    """Assert that the extents of a disk cover it, in order, and that those of zeros hold nothing else."""
    position = 0
    for extent in disk.extents():
        assert extent.offset == position
        assert extent.length > 0
        if extent.zero:
            assert not any(whole[position : position + extent.length])
        position += extent.length
    assert position == disk.size


def write(sr: AttachedSr, location: str, offset: int, data: bytes) -> None:
    """Write to a disk, durably."""
    with sr.open_for_writing(location) as disk:
        disk.pwrite(offset, data)
        disk.flush()


def facts_agree(sr: AttachedSr, location: str) -> VdiFacts:
    """Return a disk's facts, asserting that find and scan say the same."""
    found = sr.find(location)
    assert [vdi for vdi in sr.scan().vdis if vdi.location == location] == [found]
    return found
