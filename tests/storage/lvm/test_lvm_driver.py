from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import pytest

from xapi.storage.coalesce.collector import collect
from xapi.storage.coalesce.interface import Collectable
from xapi.storage.coalesce.plan import Wishes
from xapi.storage.contract import MIB, content, new_uuid, write
from xapi.storage.errors import InvalidConfiguration, SrExists, SrFull, SrUnavailable, StorageFailure, VdiUnavailable
from xapi.storage.interface import CreateVdi
from xapi.storage.lvm.driver import LvmDriver
from xapi.storage.lvm.metadata import Metadata
from xapi.storage.lvm.repository import LvmSr
from xapi.storage.lvm.volumes import RESET_TAG, empty_size, full_size
from xapi.system.command import CommandFailed, Completed

from .fake import FakeLvm

SR = "5a000000-0000-4000-8000-00000000000a"
GROUP = f"VG_XenStorage-{SR}"


class Place:
    def __init__(self, root: Path, **sm_config: str) -> None:
        self.fake = FakeLvm(root)
        self.root = root
        self.config = {"device": self.fake.device("sdb")}
        self.driver = LvmDriver(str(root / "state"), self.fake, str(self.fake.devices))
        self.driver.create(SR, self.config, 0, "user", sm_config)
        self.sr = self.attach()

    def attach(self) -> LvmSr:
        return self.driver.attach(SR, self.config, {})

    def disk(self, size: int = 4 * MIB, **sm_config: str) -> str:
        return self.sr.create(CreateVdi(new_uuid(), size, name_label="disk", sm_config=sm_config)).location

    @property
    def volumes(self) -> dict[str, int]:
        return {name: volume.size for name, volume in self.fake.groups[GROUP].volumes.items()}


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def test_names_and_sizes_are_those_of_xenserver(place: Place) -> None:
    disk, raw = place.disk(), place.disk(10 * MIB, type="raw")
    assert place.volumes == {"MGT": 4 << 20, f"VHD-{disk}": full_size(4 * MIB), f"LV-{raw}": 12 << 20}
    taken = place.sr.snapshot(disk, new_uuid())
    assert place.volumes[f"VHD-{taken.location}"] == empty_size()
    assert place.volumes[f"VHD-{disk}"] == full_size(4 * MIB)
    assert place.volumes[f"VHD-{taken.parent}"] < full_size(4 * MIB)


def test_thin_disks_are_large_only_while_they_are_written_to(tmp_path: Path) -> None:
    place = Place(tmp_path, allocation="thin")
    disk = place.disk(64 * MIB)
    assert place.volumes[f"VHD-{disk}"] == empty_size()
    place.sr.attach(disk, False)
    assert place.volumes[f"VHD-{disk}"] == full_size(64 * MIB)
    place.sr.detach(disk)
    assert place.volumes[f"VHD-{disk}"] <= empty_size()
    write(place.sr, disk, 32 * MIB, b"x" * 512)
    assert place.sr.find(disk).physical_utilisation < full_size(64 * MIB)
    assert content(place.sr, disk)[32 * MIB : 32 * MIB + 512] == b"x" * 512


def test_only_what_attached_disks_need_is_active(place: Place) -> None:
    disk, other = place.disk(), place.disk()
    assert place.fake.active() == set()
    taken = place.sr.snapshot(disk, new_uuid())
    place.sr.scan()
    assert place.fake.active() == set()
    place.sr.attach(disk, False)
    needed = {f"VHD-{disk}", f"VHD-{taken.parent}"}
    assert place.fake.active() == needed
    counts = place.root / "state" / "refcount" / f"lvm-{SR}"
    assert (counts / disk).read_text() == "0 1\n"
    assert (counts / taken.parent).read_text() == "1 0\n"
    second = place.sr.snapshot(disk, new_uuid())
    assert place.fake.active() == needed | {f"VHD-{second.parent}"}
    place.sr.attach(other, True)
    place.sr.detach(disk)
    assert place.fake.active() == {f"VHD-{other}"}
    place.sr.detach(other)
    assert place.fake.active() == set()
    assert list(counts.iterdir()) == []


def test_a_raw_disk_holds_nothing_of_what_was_there(place: Place) -> None:
    raw = place.disk(5 * MIB, type="raw")
    assert not any(content(place.sr, raw))
    grown = place.sr.resize(raw, 9 * MIB)
    assert grown.virtual_size >= 9 * MIB
    assert not any(content(place.sr, raw))


def test_children_of_a_raw_disk_have_room_for_all_of_it(place: Place) -> None:
    raw = place.disk(8 * MIB, type="raw")
    taken = place.sr.snapshot(raw, new_uuid())
    clone = place.sr.clone(taken.location, new_uuid()).location
    assert place.volumes == {
        "MGT": 4 << 20,
        f"LV-{taken.parent}": 8 * MIB,
        f"VHD-{raw}": full_size(8 * MIB),
        f"VHD-{taken.location}": empty_size(),
        f"VHD-{clone}": full_size(8 * MIB),
    }
    assert place.fake.groups[GROUP].volumes[f"LV-{taken.parent}"].tags == ["hidden"]
    place.sr.attach(raw, False)
    assert place.fake.active() == {f"VHD-{raw}", f"LV-{taken.parent}"}
    counts = place.root / "state" / "refcount" / f"lvm-{SR}"
    assert (counts / taken.parent).read_text() == "1 0\n"
    place.sr.detach(raw)
    assert place.fake.active() == set()


def test_children_of_a_raw_disk_take_little_in_a_thin_sr(tmp_path: Path) -> None:
    place = Place(tmp_path, allocation="thin")
    raw = place.disk(64 * MIB, type="raw")
    clone = place.sr.clone(raw, new_uuid())
    assert place.volumes[f"LV-{clone.parent}"] == 64 * MIB
    assert place.volumes[f"VHD-{raw}"] == place.volumes[f"VHD-{clone.location}"] == empty_size()
    place.sr.attach(raw, False)
    assert place.volumes[f"VHD-{raw}"] == full_size(64 * MIB)
    place.sr.detach(raw)
    assert place.volumes[f"VHD-{raw}"] <= empty_size()


def test_a_raw_disk_is_grown_by_whole_extents_whatever_lies_on_it(place: Place) -> None:
    raw = place.disk(2 * MIB, type="raw")
    assert place.sr.find(raw).virtual_size == 4 * MIB
    assert place.sr.resize(raw, 6 * MIB).virtual_size == 8 * MIB
    place.sr.clone(raw, new_uuid())
    assert place.sr.resize(raw, 10 * MIB).virtual_size == 12 * MIB


def test_a_full_group_hinders_no_reset(place: Place) -> None:
    disk = place.disk()
    write(place.sr, disk, 0, b"kept" * 128)
    place.sr.snapshot(disk, new_uuid())
    write(place.sr, disk, 0, b"lost" * 128)
    place.fake.groups[GROUP].size -= place.fake.groups[GROUP].free
    place.sr.reset(disk)
    assert content(place.sr, disk)[:512] == b"kept" * 128
    assert place.fake.groups[GROUP].volumes[f"VHD-{disk}"].tags == []


def test_a_disk_whose_reset_cannot_be_finished_is_not_used(place: Place) -> None:
    disk, other = place.disk(), place.disk()
    write(place.sr, disk, 0, b"kept" * 128)
    place.sr.snapshot(disk, new_uuid())
    write(place.sr, disk, 0, b"lost" * 128)
    volume = place.fake.groups[GROUP].volumes[f"VHD-{disk}"]
    volume.tags.append(RESET_TAG)
    elsewhere = place.driver.attach(SR, {**place.config, "SRmaster": "false"}, {})
    assert elsewhere.find(disk).missing
    with pytest.raises(VdiUnavailable):
        elsewhere.attach(disk, False)
    assert not elsewhere.find(other).missing
    assert content(place.sr, disk)[:512] == b"kept" * 128
    assert volume.tags == []


def test_the_metadata_volume_says_what_there_is(place: Place) -> None:
    disk = place.disk()
    place.sr.update(disk, "name & <more>", "text")
    place.sr.update_sr("the SR", "its text")
    raw = place.fake.groups[GROUP].volumes["MGT"].file.read_bytes()
    assert raw.startswith(b"XSSM:3072      :1:2 ")
    found = Metadata.parse(raw)
    assert (found.uuid, found.name_label, found.allocation) == (SR, "the SR", "thick")
    assert found.disks()[disk]["name_label"] == "name & <more>"
    assert found.disks()[disk]["vdi_type"] == "vhd"
    assert place.attach().stat().name_label == "the SR"


def test_a_group_without_room_says_so(place: Place) -> None:
    place.fake.groups[GROUP].size = 40 * MIB
    with pytest.raises(SrFull) as caught:
        place.disk(100 * MIB)
    assert caught.value.available == 36 * MIB
    assert set(place.volumes) == {"MGT"}


def test_a_second_sr_on_the_same_device_is_refused(place: Place) -> None:
    with pytest.raises(SrExists):
        place.driver.create(new_uuid(), place.config, 0, "user", {})
    assert SR in place.driver.probe(place.config, {})


def test_a_host_without_lvm_says_so(tmp_path: Path) -> None:
    def absent(argv: object) -> Completed:
        raise CommandFailed(["pvs"], 127, b"", "no such program: pvs")

    device = tmp_path / "sdb"
    device.touch()
    driver = LvmDriver(str(tmp_path / "state"), absent)
    for action in (
        lambda: driver.probe({"device": str(device)}, {}),
        lambda: driver.create(SR, {"device": str(device)}, 0, "user", {}),
        lambda: driver.attach(SR, {"device": str(device)}, {}),
    ):
        with pytest.raises(SrUnavailable):
            action()


def test_a_snapshot_that_fails_at_any_command_leaves_what_was(tmp_path: Path) -> None:
    for number in range(1, 60, 4):
        root = tmp_path / str(number)
        root.mkdir()
        place = Place(root)
        disk = place.disk()
        write(place.sr, disk, 0, b"kept" * 128)
        place.fake.fail_at = len(place.fake.calls) + number
        with suppress(StorageFailure):
            place.sr.snapshot(disk, new_uuid())
        if len(place.fake.calls) < place.fake.fail_at:
            assert number > 10
            return
        place.fake.fail_at = -1
        again = place.attach()
        assert content(again, disk)[:512] == b"kept" * 128
        assert not [name for name in place.volumes if name.startswith("clone_")]
        assert all(not vdi.missing for vdi in again.scan().vdis)
        write(again, disk, 512, b"more" * 128)
        assert content(again, disk)[:1024] == b"kept" * 128 + b"more" * 128
    raise AssertionError("a snapshot takes more commands than was thought")


def test_a_configuration_that_has_no_room_makes_no_disk(place: Place) -> None:
    with pytest.raises(InvalidConfiguration) as caught:
        place.disk(custom="x" * 400)
    assert (caught.value.code, caught.value.key) == ("SR_BACKEND_FAILURE_181", "sm_config")
    assert set(place.volumes) == {"MGT"}
    disk = place.disk(custom="x" * 40)
    assert place.sr.snapshot(disk, new_uuid()).sm_config["custom"] == "x" * 40
    assert place.attach().find(disk).sm_config["custom"] == "x" * 40


def test_volumes_of_others_are_left_alone(place: Place) -> None:
    group = place.fake.groups[GROUP]
    for name in ("mine", "clone_nonsense", "inflate_1_2"):
        place.fake(["lvcreate", "--name", name, "--size", f"{4 * MIB}B", "--activate", "n", "--", GROUP])
    place.attach().scan()
    assert {"mine", "clone_nonsense", "inflate_1_2"} <= group.volumes.keys()


def test_a_host_that_is_not_in_charge_takes_nothing_back_and_sees_what_the_other_does(place: Place) -> None:
    disk = place.disk()
    write(place.sr, disk, 0, b"x" * 512)
    other = place.driver.attach(SR, {**place.config, "SRmaster": "false"}, {})
    assert other.find(disk).parent == ""
    first = place.sr.snapshot(disk, new_uuid())
    assert other.find(disk).parent == first.parent
    place.sr.destroy(first.location)
    collect(place.sr.chains(), Wishes())
    assert other.find(disk).parent == ""
    assert content(other, disk)[:512] == b"x" * 512
    journal = f"inflate_{disk}_{4 * MIB}"
    place.fake(["lvcreate", "--name", journal, "--size", f"{4 * MIB}B", "--activate", "n", "--", GROUP])
    other.scan()
    assert journal in place.volumes


def test_an_old_footer_at_the_end_of_a_grown_volume_is_not_believed(tmp_path: Path) -> None:
    place = Place(tmp_path, allocation="thin")
    disk = place.disk(64 * MIB)
    write(place.sr, disk, 0, b"x" * 512)  # grown for that, and cut again
    place.sr.resize(disk, 80 * MIB)
    place.sr.attach(disk, False)
    place.sr.detach(disk)
    assert place.sr.find(disk).virtual_size == 80 * MIB


def test_an_open_volume_is_not_removed(place: Place) -> None:
    disk = place.disk()
    write(place.sr, disk, 0, b"x" * 512)
    taken = place.sr.snapshot(disk, new_uuid()).location
    with place.sr.open_for_reading(taken) as reader:
        place.sr.destroy(disk)
        assert isinstance(place.sr, Collectable)
        collect(place.sr.chains(), Wishes())
        assert reader.pread(0, 512) == b"x" * 512
    collect(place.sr.chains(), Wishes())
    assert set(place.volumes) == {"MGT", f"VHD-{taken}"}
    assert content(place.sr, taken)[:512] == b"x" * 512


def test_a_device_that_is_not_there_is_no_place_for_an_sr(place: Place) -> None:
    with pytest.raises(InvalidConfiguration) as refused:
        place.driver.probe_ext({"device": str(place.fake.devices / "nothing")}, {})
    assert refused.value.code == "SR_BACKEND_FAILURE_91"
