from __future__ import annotations

from pathlib import Path

import pytest

from xapi.storage.errors import SrFull, StorageFailure
from xapi.storage.lvm.commands import create_group
from xapi.storage.lvm.group import VolumeGroup
from xapi.storage.lvm.sizes import enlarge, is_being_enlarged, make_volume, recover_sizes, shrink, zero
from xapi.storage.lvm.volumes import EXTENT, volume_name
from xapi.storage.vhd.create import create_dynamic
from xapi.storage.vhd.file import RandomAccessFile
from xapi.storage.vhd.image import Vhd

from .fake import FakeLvm

SR, DISK = (f"5a000000-0000-4000-8000-00000000000{number}" for number in range(2))
NAME = volume_name(DISK, "vhd")
MIB = 1 << 20


@pytest.fixture
def fake(tmp_path: Path) -> FakeLvm:
    return FakeLvm(tmp_path, size=100 * MIB)


@pytest.fixture
def group(fake: FakeLvm) -> VolumeGroup:
    made = VolumeGroup(SR, fake, str(fake.devices))
    fake(create_group(made.name, [fake.device("sdb")]))
    return made


def make(group: VolumeGroup, size: int = 2 * EXTENT) -> None:
    def fill(file: RandomAccessFile) -> None:
        create_dynamic(file, 4 * MIB).write(0, b"data" * 128)

    make_volume(group, NAME, size, fill)


def test_a_volume_has_its_name_when_it_is_filled(group: VolumeGroup) -> None:
    def fill(file: RandomAccessFile) -> None:
        assert NAME not in group.look()[1]
        zero(file)

    make_volume(group, NAME, EXTENT, fill)
    assert group.look()[1] == [NAME]


def test_a_volume_that_cannot_be_filled_is_none(group: VolumeGroup) -> None:
    def fill(file: RandomAccessFile) -> None:
        raise OSError("it is broken")

    with pytest.raises(OSError, match="broken"):
        make_volume(group, NAME, EXTENT, fill)
    assert group.look()[1] == []


def test_what_was_given_can_be_taken_away(group: VolumeGroup, fake: FakeLvm) -> None:
    make(group)
    enlarge(group, group.look()[0][DISK], 40 * MIB)
    assert group.look()[0][DISK].size == 40 * MIB
    with group.opened(NAME) as file:
        assert Vhd.open(file, strict=True).size == 4 * MIB
    shrink(group, group.look()[0][DISK])
    assert group.look()[0][DISK].size == EXTENT
    with group.opened(NAME) as file:
        assert Vhd.open(file, strict=True).file.pread(EXTENT, 0).count(b"data") == 128
    assert group.look()[1] == [NAME]
    assert fake.active() == set()


def test_too_much_is_refused_and_less_is_nothing(group: VolumeGroup, fake: FakeLvm) -> None:
    make(group)
    volume = group.look()[0][DISK]
    with pytest.raises(SrFull):
        enlarge(group, volume, 98 * MIB)
    calls = len(fake.calls)
    enlarge(group, volume, EXTENT)
    assert len(fake.calls) == calls
    assert group.look()[0][DISK].size == 2 * EXTENT


def test_room_whose_giving_fails_is_taken_away_at_once(group: VolumeGroup, fake: FakeLvm) -> None:
    make(group)
    volume = group.look()[0][DISK]
    for number in range(1, 20):
        fake.fail_at = len(fake.calls) + number
        try:
            enlarge(group, volume, 40 * MIB)
        except StorageFailure:
            volumes, names = group.look()
            recover_sizes(group, volumes, names)
            assert group.look()[1] == [NAME]
            assert group.look()[0][DISK].size == volume.size
        else:
            assert number > 5
            return
    raise AssertionError("it takes more commands than was thought")


def test_room_that_was_given_by_halves_is_taken_away(group: VolumeGroup) -> None:
    make(group)
    volume = group.look()[0][DISK]
    group.create(f"inflate_{DISK}_{volume.size}", EXTENT)
    group.resize(NAME, 40 * MIB)
    volumes, names = group.look()
    assert is_being_enlarged(DISK, names)
    assert recover_sizes(group, volumes, names)
    volumes, names = group.look()
    assert names == [NAME]
    assert volumes[DISK].size == volume.size
    assert not recover_sizes(group, volumes, names)
    with group.opened(NAME) as file:
        assert Vhd.open(file, strict=True).size == 4 * MIB
