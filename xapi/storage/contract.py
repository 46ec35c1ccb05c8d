"""What every storage driver must satisfy: a suite of checks, run by the tests on each of them.

A check takes a `Subject`, which makes SRs of one kind; it looks at the driver's features and leaves out what is not
offered, apart from asking that it be refused by name.
"""

from __future__ import annotations

import inspect
import uuid as uuids
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

from xapi.storage.interface import (
    AttachedSr,
    CreateVdi,
    DiskReader,
    Feature,
    FileBackend,
    NbdBackend,
    NoChangeTracking,
    SrDriver,
    SrHealth,
    SrInUse,
    SrNotEmpty,
    StorageFailure,
    Unsupported,
    VdiExists,
    VdiFacts,
    VdiInUse,
    VdiMissing,
    VdiSizeInvalid,
)
from xapi.storage.resetting import ResetsDisks

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


def check_type(subject: Subject) -> None:
    """The type has all that an SM record shows."""
    facts = subject.driver.type
    assert facts.name and facts.name == facts.name.lower()
    assert facts.label and facts.description and facts.driver_filename
    assert all(isinstance(feature, Feature) and version >= 1 for feature, version in facts.features.items())
    assert all(key and text for key, text in facts.configuration.items())
    assert subject.can(Feature.VDI_ATTACH, Feature.VDI_DETACH)


def check_empty(subject: Subject) -> None:
    """A new SR holds no disk that nobody put there, and knows its space."""
    sr = subject.create()
    assert sr.uuid == subject.sr_uuid
    if subject.can(Feature.VDI_CREATE):
        assert sr.scan().vdis == ()
    stat = sr.stat()
    assert stat.health is SrHealth.HEALTHY
    assert 0 <= stat.free <= stat.total
    sr.detach_sr()
    sr.detach_sr()


def check_unknown_location(subject: Subject) -> None:
    """A location that does not exist, or that tries to leave the SR, is a missing disk."""
    with held(subject.create()) as sr:
        for location in (new_uuid(), "", "..", "../../etc/passwd", "/etc/passwd", "a\0b", "x" * 5000, "-rf"):
            refuses(VdiMissing, lambda location=location: sr.find(location))  # type: ignore[misc]
            refuses(VdiMissing, lambda location=location: sr.attach(location, True))  # type: ignore[misc]
            refuses(VdiMissing, lambda location=location: sr.open_for_reading(location))  # type: ignore[misc]


def check_attach(subject: Subject) -> None:
    """A disk can be held by many readers; the SR cannot go meanwhile."""
    with held(subject.create()) as sr:
        location = subject.disk(sr)
        backend = sr.attach(location, True)
        assert isinstance(backend, FileBackend | NbdBackend)
        assert backend.read_only
        sr.activate(location)
        assert sr.attach(location, True) == backend
        refuses(SrInUse, sr.detach_sr)
        if subject.can(Feature.VDI_DELETE):
            assert isinstance(refuses(VdiInUse, lambda: sr.destroy(location)), VdiInUse)
        sr.deactivate(location)
        sr.detach(location)
        sr.detach(location)
        sr.detach(location)


def check_one_writer(subject: Subject) -> None:
    """A disk that is attached for writing belongs to one."""
    if not subject.can(Feature.VDI_CREATE):
        return
    with held(subject.create()) as sr:
        location = subject.disk(sr)
        sr.attach(location, False)
        refuses(VdiInUse, lambda: sr.attach(location, False))
        refuses(VdiInUse, lambda: sr.open_for_writing(location))
        refuses(VdiInUse, lambda: sr.open_for_reading(location))
        sr.detach(location)
        sr.attach(location, True)
        refuses(VdiInUse, lambda: sr.attach(location, False))
        sr.detach(location)
        if not subject.can(Feature.VDI_UPDATE):
            return
        shared = sr.create(CreateVdi(new_uuid(), MIB, sharable=True)).location
        sr.attach(shared, False)
        sr.attach(shared, False)
        sr.detach(shared)
        sr.detach(shared)


def check_reading(subject: Subject) -> None:
    """What is read is as long as the disk, and extents cover it."""
    with held(subject.create()) as sr:
        location = subject.disk(sr)
        size = sr.find(location).virtual_size
        assert len(content(sr, location)) == size
        with sr.open_for_reading(location) as disk:
            buffer = bytearray(b"\xff" * 1000)
            disk.read_into(100, memoryview(buffer))
            assert bytes(buffer) == disk.pread(100, 1000)
            refuses(StorageFailure, lambda: disk.pread(size - 10, 20))
            refuses(StorageFailure, lambda: disk.pread(-1, 1))


def check_writing(subject: Subject) -> None:
    """What was written is read, also after the SR was attached anew; the rest is zeros."""
    if not subject.can(Feature.VDI_CREATE):
        return
    with held(subject.create()) as sr:
        location = subject.disk(sr, 5 * MIB)
        size = sr.find(location).virtual_size
        expected = bytearray(size)
        pieces = ((0, b"a" * 512), (3 * MIB - 512, b"b" * 1024), (size - 512, b"c" * 512), (MIB, b"d" * MIB))
        for offset, data in pieces:
            write(sr, location, offset, data)
            expected[offset : offset + len(data)] = data
        with sr.open_for_writing(location) as disk:
            disk.write_zeros(MIB + 4096, 8192)
            disk.pwrite(MIB + 65536, bytes(4096))
        expected[MIB + 4096 : MIB + 12288] = bytes(8192)
        expected[MIB + 65536 : MIB + 69632] = bytes(4096)
        assert content(sr, location) == expected
        with sr.open_for_writing(location) as disk:
            refuses(StorageFailure, lambda: disk.pwrite(size, b"x" * 512))
    with held(subject.attach()) as sr:
        assert content(sr, location) == expected


def check_creation(subject: Subject) -> None:
    """A disk is made with all that was said of it, and is still that when the SR is attached anew."""
    if not subject.can(Feature.VDI_CREATE, Feature.VDI_UPDATE):
        return
    uuid = new_uuid()
    wanted = CreateVdi(
        uuid,
        10 * MIB + 1,
        name_label="naïve ☃ </name>",
        name_description="two\nlines",
        type="system",
        sharable=True,
        sm_config={"custom": "value"},
    )
    with held(subject.create()) as sr:
        made = sr.create(wanted)
        assert made.virtual_size >= wanted.virtual_size
        assert (made.uuid, made.name_label, made.name_description) == (uuid, wanted.name_label, "two\nlines")
        assert (made.type, made.sharable, made.read_only, made.managed) == ("system", True, False, True)
        assert made.sm_config["custom"] == "value"
        assert not made.is_a_snapshot
        assert facts_agree(sr, made.location) == made
        refuses(VdiExists, lambda: sr.create(wanted))
        assert sr.scan().virtual == made.virtual_size
        for size in (0, -1, 1 << 60):
            refuses(VdiSizeInvalid, lambda size=size: sr.create(CreateVdi(new_uuid(), size)))  # type: ignore[misc]
        refuses(StorageFailure, lambda: sr.create(CreateVdi("../escape", MIB)))
        sr.update(made.location, "new name", "new text")
    with held(subject.attach()) as sr:
        found = facts_agree(sr, made.location)
        assert (found.name_label, found.name_description) == ("new name", "new text")
        assert (found.type, found.sharable, found.sm_config) == (made.type, made.sharable, made.sm_config)
        assert sr.introduce(uuid, made.location) == found


def check_plain_creation(subject: Subject) -> None:
    """Drivers that keep no names make disks too: of the right size, each once, and never outside the SR."""
    if not subject.can(Feature.VDI_CREATE):
        return
    with held(subject.create()) as sr:
        made = sr.create(CreateVdi(new_uuid(), 3 * MIB))
        assert made.virtual_size >= 3 * MIB
        assert not made.read_only
        assert facts_agree(sr, made.location) == made
        refuses(VdiExists, lambda: sr.create(CreateVdi(made.uuid, 3 * MIB)))
        refuses(VdiSizeInvalid, lambda: sr.create(CreateVdi(new_uuid(), 0)))
        refuses(StorageFailure, lambda: sr.create(CreateVdi("../escape", MIB)))
    with held(subject.attach()) as sr:
        assert facts_agree(sr, made.location) == made


def check_destruction(subject: Subject) -> None:
    """A destroyed disk is gone, and the SR can go after the last one."""
    if not subject.can(Feature.VDI_CREATE, Feature.VDI_DELETE):
        return
    sr = subject.create()
    location = subject.disk(sr)
    if subject.can(Feature.SR_UPDATE):  # others leave what is there to its owner
        refuses(SrNotEmpty, sr.destroy_sr)
    sr.destroy(location)
    refuses(VdiMissing, lambda: sr.find(location))
    refuses(VdiMissing, lambda: sr.destroy(location))
    assert sr.scan().vdis == ()
    sr.destroy_sr()


def check_resize(subject: Subject) -> None:
    """A disk grows, keeps what it holds, and never shrinks."""
    if not subject.can(Feature.VDI_CREATE, Feature.VDI_RESIZE):
        return
    with held(subject.create()) as sr:
        location = subject.disk(sr, 4 * MIB)
        write(sr, location, 4096, b"kept" * 128)
        grown = sr.resize(location, 300 * MIB)
        assert grown.virtual_size >= 300 * MIB
        assert facts_agree(sr, location) == grown
        with sr.open_for_reading(location) as disk:
            assert disk.pread(4096, 512) == b"kept" * 128
            assert not any(disk.pread(290 * MIB, MIB))
        write(sr, location, 290 * MIB, b"late" * 128)
        refuses(VdiSizeInvalid, lambda: sr.resize(location, 4 * MIB))
        sr.attach(location, False)
        refuses(VdiInUse, lambda: sr.resize(location, 400 * MIB))
        if subject.can(Feature.VDI_RESIZE_ONLINE):
            assert sr.resize_online(location, 400 * MIB).virtual_size >= 400 * MIB
        sr.detach(location)


def check_snapshot(subject: Subject) -> None:
    """A snapshot keeps what the disk held; original and snapshot go their own ways and can be removed in any order."""
    if not subject.can(Feature.VDI_CREATE, Feature.VDI_SNAPSHOT):
        return
    with held(subject.create()) as sr:
        for first_to_go in (0, 1):
            location = subject.disk(sr, name="original")
            write(sr, location, 0, b"1" * 4096)
            before = content(sr, location)
            taken = sr.snapshot(location, new_uuid())
            assert taken.is_a_snapshot
            assert taken.snapshot_of == location
            assert taken.snapshot_time.year > 2000
            assert (taken.name_label, taken.virtual_size) == ("original", sr.find(location).virtual_size)
            assert facts_agree(sr, taken.location) == taken
            assert not facts_agree(sr, location).is_a_snapshot
            write(sr, location, 0, b"2" * 512)
            assert content(sr, taken.location) == before
            after = content(sr, location)
            assert after[:512] == b"2" * 512
            assert after[512:] == before[512:]
            pair = [(location, after), (taken.location, before)]
            gone, left = pair[first_to_go], pair[1 - first_to_go]
            sr.destroy(gone[0])
            assert content(sr, left[0]) == left[1]
            sr.destroy(left[0])
            assert [vdi for vdi in sr.scan().vdis if vdi.managed] == []


def check_snapshot_while_attached(subject: Subject) -> None:
    """A snapshot can be taken of a disk that a guest has."""
    if not subject.can(Feature.VDI_CREATE, Feature.VDI_SNAPSHOT):
        return
    with held(subject.create()) as sr:
        location = subject.disk(sr)
        write(sr, location, 0, b"1" * 512)
        sr.attach(location, False)
        sr.activate(location)
        taken = sr.snapshot(location, new_uuid())
        sr.deactivate(location)
        sr.detach(location)
        assert content(sr, taken.location) == content(sr, location)


def check_clone(subject: Subject) -> None:
    """A clone is an ordinary disk with the same content, and clones of clones are too."""
    if not subject.can(Feature.VDI_CREATE, Feature.VDI_CLONE):
        return
    with held(subject.create()) as sr:
        location = subject.disk(sr)
        write(sr, location, 8192, b"x" * 512)
        expected = content(sr, location)
        made = [location]
        for _ in range(4):
            clone = sr.clone(made[-1], new_uuid())
            assert not clone.is_a_snapshot
            assert clone.managed
            assert facts_agree(sr, clone.location) == clone
            made.append(clone.location)
        assert all(content(sr, each) == expected for each in made)
        write(sr, made[2], 0, b"y" * 512)
        assert [content(sr, each) == expected for each in made] == [True, True, False, True, True]
        refuses(VdiExists, lambda: sr.clone(location, made[1]))
        refuses(VdiMissing, lambda: sr.clone(new_uuid(), new_uuid()))
        for each in made[:-1]:
            sr.destroy(each)
        assert content(sr, made[-1]) == expected


def check_reset(subject: Subject) -> None:
    """A disk that was split can forget what was written to it since, keeping its size; one without a parent cannot."""
    if not subject.can(Feature.VDI_RESET_ON_BOOT):
        return
    with held(subject.create()) as sr:
        assert isinstance(sr, ResetsDisks)
        location = subject.disk(sr)
        write(sr, location, 8192, b"x" * 512)
        refuses(Unsupported, lambda: sr.reset(location))
        clone = sr.clone(location, new_uuid()).location
        expected = content(sr, location)
        write(sr, location, 8192, b"y" * 512)
        sr.resize(location, 8 * MIB)
        write(sr, location, 6 * MIB, b"z" * 512)
        sr.attach(location, False)
        sr.reset(location)
        sr.detach(location)
        assert facts_agree(sr, location).virtual_size == 8 * MIB
        assert content(sr, location) == expected.ljust(8 * MIB, b"\0")
        assert content(sr, clone) == expected
        with sr.open_for_writing(location):
            refuses(VdiInUse, lambda: sr.reset(location))
        refuses(VdiMissing, lambda: sr.reset(new_uuid()))


def check_changed_blocks(subject: Subject) -> None:
    """Changes between snapshots are known by block, and stay known when a snapshot's data goes."""
    if not subject.can(Feature.VDI_CREATE, Feature.VDI_CONFIG_CBT):
        return
    with held(subject.create()) as sr:
        location = subject.disk(sr, 2 * MIB)
        sr.enable_cbt(location)
        assert facts_agree(sr, location).cbt_enabled
        write(sr, location, 0, b"1" * 512)
        first = sr.snapshot(location, new_uuid()).location
        write(sr, location, 3 * GRANULE, b"2" * 512)
        second = sr.snapshot(location, new_uuid()).location
        write(sr, location, 9 * GRANULE, b"3" * 512)
        assert facts_agree(sr, first).cbt_enabled
        assert bits(sr.changed_blocks(first, second)) == {3}
        assert bits(sr.changed_blocks(first, location)) == {3, 9}
        assert bits(sr.changed_blocks(second, location)) == {9}
        refuses(NoChangeTracking, lambda: sr.changed_blocks(second, first))
        left = sr.destroy_data(first)
        assert left.type == "cbt_metadata"
        assert facts_agree(sr, first) == left
        refuses(StorageFailure, lambda: sr.open_for_reading(first))
        refuses(StorageFailure, lambda: sr.attach(first, True))
        assert bits(sr.changed_blocks(first, second)) == {3}
        sr.destroy(second)
        assert bits(sr.changed_blocks(first, location)) == {3, 9}
    with held(subject.attach()) as sr:
        assert bits(sr.changed_blocks(first, location)) == {3, 9}
        assert sr.find(first).type == "cbt_metadata"
        sr.destroy(first)
        refuses(VdiMissing, lambda: sr.find(first))
        sr.disable_cbt(location)
        assert not facts_agree(sr, location).cbt_enabled
        refuses(StorageFailure, lambda: sr.changed_blocks(first, location))
        refuses(NoChangeTracking, lambda: sr.destroy_data(location))


def bits(bitmap: bytes) -> set[int]:
    """Return the numbers of the bits that are set, the highest of the first byte being number 0."""
    return {index for index in range(len(bitmap) * 8) if bitmap[index // 8] >> (7 - index % 8) & 1}


def check_undeclared(subject: Subject) -> None:
    """What is not among the features is refused as such."""
    with held(subject.create()) as sr:
        location = subject.disk(sr)
        asked: dict[Feature, Callable[[], object]] = {
            Feature.VDI_CREATE: lambda: sr.create(CreateVdi(new_uuid(), MIB)),
            Feature.VDI_DELETE: lambda: sr.destroy(location),
            Feature.VDI_RESIZE: lambda: sr.resize(location, 1 << 30),
            Feature.VDI_RESIZE_ONLINE: lambda: sr.resize_online(location, 1 << 30),
            Feature.VDI_CLONE: lambda: sr.clone(location, new_uuid()),
            Feature.VDI_SNAPSHOT: lambda: sr.snapshot(location, new_uuid()),
            Feature.VDI_CONFIG_CBT: lambda: sr.enable_cbt(location),
            Feature.VDI_GENERATE_CONFIG: lambda: sr.generate_config(location),
        }
        for feature, action in asked.items():
            if not subject.can(feature):
                refuses(Unsupported, action)


CHECKS: tuple[Callable[[Subject], None], ...] = tuple(
    check
    for name, check in list(globals().items())
    if name.startswith("check_") and inspect.isfunction(check) and name != "check_extents"
)
"""All checks, in the order in which they stand here."""
