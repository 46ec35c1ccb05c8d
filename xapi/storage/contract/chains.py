"""Checks of disks that share what they hold: snapshots, clones, resets, changed blocks."""

from __future__ import annotations

from xapi.storage.contract.subject import GRANULE, MIB, Subject, content, facts_agree, held, new_uuid, refuses, write
from xapi.storage.interface import (
    Feature,
    NoChangeTracking,
    StorageFailure,
    Unsupported,
    VdiExists,
    VdiInUse,
    VdiMissing,
)
from xapi.storage.resetting import ResetsDisks


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
