from __future__ import annotations

from pathlib import Path

import pytest

from xapi.storage.contract import new_uuid
from xapi.storage.lvm import commands
from xapi.storage.lvm.driver import LvmDriver
from xapi.storage.lvm.group import VolumeGroup
from xapi.storage.lvm.volumes import EXTENT, LONGEST_DEVICE_NAME, device_name, group_name, short_name, volume_name

from .fake import FakeLvm

SR = "5a000000-0000-4000-8000-00000000000b"


@pytest.fixture
def lvm(tmp_path: Path) -> FakeLvm:
    return FakeLvm(tmp_path)


@pytest.fixture
def group(lvm: FakeLvm) -> VolumeGroup:
    made = VolumeGroup(SR, lvm, str(lvm.devices))
    lvm(["vgcreate", "--", made.name, lvm.device("sdb")])
    return made


@pytest.mark.parametrize("kind", ["clone_{}_{}_{}", "coalesce_{}_{}", "leaf_{}_{}"])
def test_a_journal_whose_name_lvm_cannot_take_has_it_in_a_tag(lvm: FakeLvm, group: VolumeGroup, kind: str) -> None:
    name = kind.format(*(new_uuid() for _ in range(3)))
    group.create(name, EXTENT, "journaler")
    (stored,) = lvm.groups[group.name].volumes
    assert stored != name
    assert len(device_name(group.name, stored)) <= LONGEST_DEVICE_NAME
    assert group.look()[1] == [name]
    assert not group.is_active(name)
    group.remove(name)
    assert group.look()[1] == []


def test_names_of_disks_and_of_short_journals_are_lvms_own(lvm: FakeLvm, group: VolumeGroup) -> None:
    uuid = new_uuid()
    plain = [volume_name(uuid, "vhd"), volume_name(uuid, "raw"), f"new_VHD-{uuid}", f"inflate_{uuid}_{1 << 42}", "MGT"]
    for name in plain:
        assert short_name(group_name(SR), name) == name
        group.create(name, EXTENT)
    assert sorted(lvm.groups[group.name].volumes) == sorted(plain) == sorted(group.look()[1])


def test_what_is_too_long_is_told_by_the_device_mappers_name() -> None:
    assert device_name("a-b", "c-d") == "a--b-c--d"
    room = LONGEST_DEVICE_NAME - len(device_name(group_name(SR), ""))
    assert short_name(group_name(SR), "x" * room) == "x" * room
    assert short_name(group_name(SR), f"kind_{'x' * 30}_{'y' * room}") == f"kind_{'x' * 30}_1"


def test_an_sr_is_found_by_any_name_of_its_device(tmp_path: Path, lvm: FakeLvm) -> None:
    driver = LvmDriver(str(tmp_path / "state"), lvm, str(lvm.devices))
    device = lvm.device("sdb")
    driver.create(SR, {"device": device}, 0, "user", {})
    link = tmp_path / "by-id"
    link.symlink_to(device)
    (found,) = driver.probe_ext({"device": str(link)}, {})
    assert found.sr is not None
    assert found.sr.uuid == SR
    (other,) = driver.probe_ext({"device": lvm.device("sdc")}, {})
    assert other.sr is None


def test_nobody_is_asked_and_no_volume_is_active_after_a_boot() -> None:
    argv = commands.create_group(group_name(SR), ["/dev/sdb"])
    assert "--yes" in argv
    assert argv[argv.index("--setautoactivation") + 1] == "n"
