"""Checks of disks that stand alone: made, attached, read, written, grown, removed."""

from __future__ import annotations

from collections.abc import Callable

from xapi.storage.contract.subject import MIB, Subject, content, facts_agree, held, new_uuid, refuses, write
from xapi.storage.interface import (
    CreateVdi,
    Feature,
    FileBackend,
    NbdBackend,
    SrHealth,
    SrInUse,
    SrNotEmpty,
    StorageFailure,
    Unsupported,
    VdiExists,
    VdiInUse,
    VdiMissing,
    VdiSizeInvalid,
)


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
