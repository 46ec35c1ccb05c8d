"""Checks of raw disks: those of a driver whose disks are VHDs else, asked for by `type=raw` in their sm_config."""

from __future__ import annotations

from xapi.storage.contract.subject import MIB, Subject, content, facts_agree, held, new_uuid, refuses, write
from xapi.storage.interface import AttachedSr, CreateVdi, Feature, StorageFailure, Unsupported, VdiInUse, VdiSizeInvalid
from xapi.storage.resetting import ResetsDisks

RAW = {"type": "raw"}


def has_raw(subject: Subject) -> bool:
    """Whether the driver has raw disks as well as VHDs, and chains."""
    formats = {"raw", "vhd"} <= set(subject.driver.type.supported_image_formats)
    return formats and subject.can(Feature.VDI_CREATE, Feature.VDI_SNAPSHOT, Feature.VDI_CLONE)


def raw_disk(sr: AttachedSr, size: int = 4 * MIB) -> str:
    """Make a raw disk that holds something at its begin and at its end; return its location."""
    made = sr.create(CreateVdi(new_uuid(), size, name_label="raw", sm_config=RAW))
    assert made.sm_config["vdi_type"] == "raw"
    write(sr, made.location, 0, b"r" * 4096)
    write(sr, made.location, made.virtual_size - 512, b"e" * 512)
    return made.location


def check_raw_snapshot(subject: Subject) -> None:
    """A raw disk becomes the hidden parent of VHDs, its snapshot and itself, and each goes its own way."""
    if not has_raw(subject):
        return
    with held(subject.create()) as sr:
        location = raw_disk(sr)
        before = content(sr, location)
        taken = sr.snapshot(location, new_uuid())
        assert (taken.snapshot_of, taken.name_label, taken.virtual_size) == (location, "raw", len(before))
        now = facts_agree(sr, location)
        assert now.parent == taken.parent != ""
        assert now.sm_config["vdi_type"] == taken.sm_config["vdi_type"] == "vhd"
        parent = facts_agree(sr, taken.parent)
        assert (parent.managed, parent.sm_config["vdi_type"]) == (False, "raw")
        assert content(sr, location) == content(sr, taken.location) == before
        write(sr, location, MIB, b"2" * 512)
        clone = sr.clone(taken.location, new_uuid())
        write(sr, clone.location, 0, b"3" * 512)
        later = sr.snapshot(location, new_uuid())
    with held(subject.attach()) as sr:
        after = before[:MIB] + b"2" * 512 + before[MIB + 512 :]
        assert content(sr, taken.location) == before
        assert content(sr, location) == content(sr, later.location) == after
        assert content(sr, clone.location) == b"3" * 512 + before[512:]
        assert not any(vdi.missing for vdi in sr.scan().vdis)
        for each in (location, clone.location, taken.location):
            sr.destroy(each)
        assert content(sr, later.location) == after
        sr.destroy(later.location)
        assert sr.scan().vdis == ()


def check_raw_clone(subject: Subject) -> None:
    """A clone of a raw disk is an ordinary disk; either of the two can grow and stay when the other has gone."""
    if not has_raw(subject):
        return
    with held(subject.create()) as sr:
        for first_to_go in (0, 1):
            location = raw_disk(sr)
            before = content(sr, location)
            clone = sr.clone(location, new_uuid())
            assert not clone.is_a_snapshot
            assert facts_agree(sr, clone.location) == clone
            pair = (location, clone.location)
            if subject.can(Feature.VDI_RESIZE):
                for each in pair:
                    assert sr.resize(each, len(before) + 3 * MIB).virtual_size >= len(before) + 3 * MIB
                    refuses(VdiSizeInvalid, lambda each=each: sr.resize(each, MIB))  # type: ignore[misc]
            size = sr.find(location).virtual_size
            assert content(sr, location) == content(sr, clone.location) == before.ljust(size, b"\0")
            sr.destroy(pair[first_to_go])
            assert content(sr, pair[1 - first_to_go]) == before.ljust(size, b"\0")
            sr.destroy(pair[1 - first_to_go])
        assert sr.scan().vdis == ()


def check_raw_in_use(subject: Subject) -> None:
    """While somebody has a raw disk by its path, its data stays there; one that is a VHD now is split as any other."""
    if not has_raw(subject):
        return
    with held(subject.create()) as sr:
        location = raw_disk(sr)
        before = content(sr, location)
        for read_only in (False, True):
            sr.attach(location, read_only)
            refuses(VdiInUse, lambda: sr.snapshot(location, new_uuid()))
            refuses(StorageFailure, lambda: sr.clone(location, new_uuid()))
            sr.detach(location)
        assert [vdi.location for vdi in sr.scan().vdis] == [location]
        with sr.open_for_reading(location) as reader:
            first = sr.snapshot(location, new_uuid()).location
            assert reader.pread(0, reader.size) == before
        sr.attach(location, False)
        second = sr.snapshot(location, new_uuid()).location
        sr.detach(location)
        assert content(sr, first) == content(sr, second) == content(sr, location) == before


def check_raw_reset(subject: Subject) -> None:
    """A disk whose parent is raw is reset as any other, and a raw one has nothing to be reset to."""
    if not has_raw(subject) or not subject.can(Feature.VDI_RESET_ON_BOOT):
        return
    with held(subject.create()) as sr:
        assert isinstance(sr, ResetsDisks)
        location = raw_disk(sr)
        before = content(sr, location)
        refuses(Unsupported, lambda: sr.reset(location))
        sr.destroy(sr.clone(location, new_uuid()).location)
        write(sr, location, 2 * MIB, b"x" * 512)
        sr.reset(location)
        assert content(sr, location) == before
