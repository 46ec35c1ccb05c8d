from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from xapi.storage.coalesce.collector import Collected, collect
from xapi.storage.coalesce.interface import Collectable
from xapi.storage.coalesce.plan import MergeInner, MergeLeaf, Remove, Wishes
from xapi.storage.errors import SrFull
from xapi.storage.lvm.volumes import empty_size, full_size, group_name
from xapi.storage.vhd.parents import Parent

from .farm import BLOCK, FARMS, MIB, SECTOR, SR, Farm, LvmFarm, Recorded, ThinLvmFarm


@pytest.fixture
def paths() -> Recorded:
    return Recorded()


@pytest.fixture(params=FARMS)
def farm(request: pytest.FixtureRequest, tmp_path: Path, paths: Recorded) -> Farm:
    kind: type[Farm] = request.param
    return kind(tmp_path / "sr", paths)


def run(farm: Farm, wishes: Wishes | None = None, small: int = 16 * MIB) -> Collected:
    chains = farm.sr.chains()
    chains.small = small
    found = collect(chains, wishes or Wishes())
    assert not found.failed
    return found


def grown_chain(farm: Farm, links: int = 4) -> str:
    """A disk whose snapshots were all destroyed: a chain of hidden images with one child each."""
    disk = farm.create()
    for number in range(links - 1):
        farm.write(disk, number * 7, number + 1, count=5)
        farm.destroy(farm.snapshot(disk))
    farm.write(disk, 3, 99)
    return disk


def test_the_sr_is_collectable(farm: Farm) -> None:
    assert isinstance(farm.sr, Collectable)


def test_a_chain_becomes_one_image_under_the_name_of_its_disk(farm: Farm) -> None:
    disk = grown_chain(farm)
    assert farm.depth(disk) == 4
    found = run(farm)
    assert [type(step) for step in found.done] == [MergeInner, MergeInner, MergeLeaf]
    assert farm.images() == {disk}
    assert farm.parent(disk) == ""
    farm.inspect()


def test_a_snapshot_keeps_its_base(farm: Farm) -> None:
    disk = grown_chain(farm)
    kept = farm.snapshot(disk)
    run(farm)
    assert farm.depth(disk) == farm.depth(kept) == 2
    assert farm.parent(disk) == farm.parent(kept)
    assert len(farm.images()) == 3
    farm.inspect()


def test_many_children_get_the_lower_parent(farm: Farm) -> None:
    disk = grown_chain(farm, 3)
    clones = [farm.clone(disk) for _ in range(4)]
    for number, clone in enumerate(clones):
        farm.write(clone, 100 + number, 40 + number)
    run(farm)
    assert {farm.depth(one) for one in (disk, *clones)} == {2}
    farm.inspect()


def test_a_disk_with_much_data_is_split_and_then_merged(farm: Farm, paths: Recorded) -> None:
    disk = grown_chain(farm, 2)
    found = run(farm, small=0)
    assert [type(step) for step in found.done] == [MergeInner, MergeLeaf]
    assert farm.images() == {disk}
    assert set(paths.paused_disks) == {disk}
    farm.inspect()


def test_a_parent_is_grown_to_the_size_of_its_child(farm: Farm) -> None:
    disk = farm.create()
    farm.write(disk, 0, 1)
    farm.destroy(farm.snapshot(disk))
    farm.grow(disk, 300 * BLOCK)  # beyond the room of the first table
    farm.write(disk, 150 * BLOCK // 512, 2)
    farm.destroy(farm.snapshot(disk))
    run(farm)
    assert farm.images() == {disk}
    farm.inspect()


def test_leaves_stay_if_that_is_wished(farm: Farm) -> None:
    disk = grown_chain(farm)
    run(farm, Wishes(leaf_coalesce=False))
    assert farm.depth(disk) == 2
    run(farm, Wishes(pinned=frozenset({disk})))
    assert farm.depth(disk) == 2
    farm.inspect()


def test_a_tracked_disk_is_not_merged_and_its_changes_stay_exact(farm: Farm) -> None:
    disk = farm.create()
    farm.write(disk, 0, 1, count=512)
    farm.sr.enable_cbt(disk)
    old = farm.snapshot(disk)
    farm.write(disk, 4096, 2)
    new = farm.snapshot(disk)
    farm.sr.destroy_data(old)
    del farm.model[old]
    run(farm)
    assert farm.depth(disk) == 2
    assert farm.sr.changed_blocks(old, new) == (0x8000000000000000 >> 4096 * 512 // (64 << 10)).to_bytes(8, "big")


def test_a_disk_that_is_open_here_is_put_off(farm: Farm) -> None:
    disk = grown_chain(farm)
    with farm.sr.open_for_writing(disk) as writer:
        found = run(farm)
        # A file can be removed while it is open, a volume cannot.
        expected = {MergeLeaf} if farm.lvm is None else {MergeLeaf, Remove}
        assert {type(step) for step in found.skipped} == expected
        writer.pwrite(0, b"w" * 512)
    farm.model[disk][:512] = b"w" * 512
    assert farm.depth(disk) == (2 if farm.lvm is None else 3)
    run(farm)
    assert farm.images() == {disk}
    farm.inspect()


def test_a_reader_goes_on_reading_while_its_chain_is_merged(farm: Farm) -> None:
    disk = grown_chain(farm)
    clone = farm.clone(disk)
    with farm.sr.open_for_reading(clone) as reader:
        farm.destroy(disk)
        run(farm)
        assert reader.pread(0, reader.size) == farm.model[clone]
    farm.inspect()


def test_a_damaged_image_stops_everything(farm: Farm) -> None:
    disk = grown_chain(farm)
    other = farm.create()
    farm.damage(other)
    farm.attach()
    assert run(farm).done == []
    assert farm.depth(disk) == 4


def test_the_work_stops_where_it_is_told_to_and_goes_on_later(farm: Farm) -> None:
    disk = farm.create(6 * BLOCK)
    for number in range(6):
        farm.write(disk, number * BLOCK // 512, number + 1)
    farm.destroy(farm.snapshot(disk))
    for number in range(6):
        farm.write(disk, number * BLOCK // 512 + 1, number + 11)
    farm.destroy(farm.snapshot(disk))
    answers = iter([True, True, True, False])
    found = collect(farm.sr.chains(), Wishes(), lambda: next(answers))
    assert found.stopped
    assert not found.done
    farm.inspect()
    run(farm)
    assert farm.images() == {disk}
    farm.inspect()


def test_others_have_their_turn_between_two_blocks(farm: Farm) -> None:
    disk = farm.create(4 * BLOCK)
    for turn in range(2):
        for number in range(4):
            farm.write(disk, number * BLOCK // 512 + turn, number + 1)
        farm.destroy(farm.snapshot(disk))
    made: list[str] = []

    def meanwhile() -> bool:
        if len(made) < 4:
            made.append(farm.snapshot(disk))
            farm.write(disk, len(made) * 50, 70 + len(made))
        return True

    collect(farm.sr.chains(), Wishes(), meanwhile)
    assert len(made) == 4
    farm.inspect()


def test_a_disk_destroyed_meanwhile_ends_the_step(farm: Farm) -> None:
    disk = farm.create(4 * BLOCK)
    for _ in range(2):
        farm.write(disk, 0, 1)
        farm.destroy(farm.snapshot(disk))
    farm.write(disk, 0, 1)

    def meanwhile() -> bool:
        if disk in farm.model and farm.parent(disk):
            calls.append(1)
            if len(calls) == 2:
                farm.destroy(disk)
        return True

    calls: list[int] = []
    collect(farm.sr.chains(), Wishes(), meanwhile)
    assert farm.images() == set()
    farm.inspect()


def test_a_full_disk_loses_nothing_and_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    farm = Farm(tmp_path / "sr")
    disk = farm.create()
    for block in range(2):
        farm.write(disk, block * BLOCK // 512, block + 1)
        farm.destroy(farm.snapshot(disk))
    real = os.pwrite

    def full(descriptor: int, data: bytes, offset: int) -> int:
        if offset + len(data) > os.fstat(descriptor).st_size:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return real(descriptor, data, offset)

    monkeypatch.setattr(os, "pwrite", full)
    found = collect(farm.sr.chains(), Wishes())
    monkeypatch.setattr(os, "pwrite", real)
    assert {type(failure) for failure in found.failed.values()} == {SrFull}
    farm.inspect()
    run(farm)
    assert farm.images() == {disk}
    farm.inspect()


def test_a_child_without_room_for_another_name_is_left_alone(farm: Farm, monkeypatch: pytest.MonkeyPatch) -> None:
    disk = grown_chain(farm)

    def no_locators(child: str, parent: str, offset: int, room: int = 0) -> list[Parent]:
        return []

    monkeypatch.setattr("xapi.storage.vhd.create.build_locators", no_locators)
    farm.destroy(farm.snapshot(disk))
    monkeypatch.undo()
    run(farm, Wishes(leaf_coalesce=False))
    assert farm.depth(disk) > 2
    with farm.sr.open_for_reading(disk) as reader:
        assert reader.pread(0, reader.size) == farm.model[disk]


def test_a_full_group_loses_nothing_and_is_told(tmp_path: Path) -> None:
    farm = LvmFarm(tmp_path / "sr")
    disk = grown_chain(farm)
    group = farm.lvm.groups[group_name(SR)]
    size, group.size = group.size, sum(farm.volumes.values())
    found = collect(farm.sr.chains(), Wishes())
    assert {type(failure) for failure in found.failed.values()} == {SrFull}
    farm.inspect()
    group.size = size
    run(farm)
    assert farm.images() == {disk}
    farm.inspect()


@pytest.mark.parametrize("kind", [LvmFarm, ThinLvmFarm])
def test_volumes_are_as_large_as_they_have_to_be(tmp_path: Path, kind: type[LvmFarm]) -> None:
    farm = kind(tmp_path / "sr")
    disk = farm.create(16 * BLOCK)
    for number in range(3):
        farm.write(disk, number * 5 * BLOCK // SECTOR, number + 1, count=100)
        kept = farm.snapshot(disk)
        if number < 2:
            farm.destroy(kept)
    run(farm)
    full = full_size(16 * BLOCK)
    sizes = farm.volumes
    assert len(farm.images()) == 3
    assert sizes[f"VHD-{farm.parent(disk)}"] < full
    assert sizes[f"VHD-{kept}"] == empty_size()
    assert sizes[f"VHD-{disk}"] == (full if kind is LvmFarm else empty_size())
    farm.destroy(kept)
    farm.sr.attach(disk, False)
    run(farm)
    assert farm.images() == {disk}
    assert farm.volumes[f"VHD-{disk}"] == full
    farm.sr.detach(disk)
    assert (farm.volumes[f"VHD-{disk}"] == full) is (kind is LvmFarm)
    farm.inspect()


def test_volumes_are_active_only_while_they_are_merged(tmp_path: Path) -> None:
    farm = LvmFarm(tmp_path / "sr")
    disk = grown_chain(farm)
    other = farm.create()
    farm.sr.attach(other, False)
    seen: set[frozenset[str]] = set()

    def watch() -> bool:
        seen.add(frozenset(farm.lvm.active()))
        return True

    collect(farm.sr.chains(), Wishes(), watch)
    assert farm.lvm.active() == {f"VHD-{other}"}
    assert all(f"VHD-{disk}" not in active for active in seen)
    assert max(map(len, seen)) == 3
    farm.sr.detach(other)
    assert farm.lvm.active() == set()


def test_a_disk_in_use_has_its_new_chain_active(tmp_path: Path) -> None:
    farm = LvmFarm(tmp_path / "sr")
    disk = grown_chain(farm)
    farm.sr.attach(disk, False)
    assert len(farm.lvm.active()) == 4
    run(farm)
    assert farm.lvm.active() == {f"VHD-{disk}"}
    counts = farm.path / "state" / "refcount" / f"lvm-{SR}"
    assert [(path.name, path.read_text()) for path in counts.iterdir()] == [(disk, "0 1\n")]
    farm.sr.detach(disk)
    farm.inspect()


@pytest.mark.parametrize("kind", [LvmFarm, ThinLvmFarm])
def test_volumes_that_others_made_read_only_are_merged_into(tmp_path: Path, kind: type[LvmFarm]) -> None:
    farm = kind(tmp_path / "sr")
    disk = grown_chain(farm)
    volumes = farm.lvm.groups[group_name(SR)].volumes
    for name, volume in volumes.items():
        volume.read_only = name.startswith("VHD-") and name != f"VHD-{disk}"
    run(farm)
    assert farm.images() == {disk}
    assert not volumes[f"VHD-{disk}"].read_only
    farm.inspect()


# Raw disks


def test_a_raw_disk_becomes_raw_again(farm: Farm, paths: Recorded) -> None:
    disk = farm.create(type="raw")
    farm.write(disk, 3, 1, count=5)
    farm.destroy(farm.snapshot(disk))
    farm.write(disk, 5, 2, count=5)
    farm.destroy(farm.snapshot(disk))
    farm.write(disk, 700, 3)
    assert farm.depth(disk) == 3
    found = run(farm)
    assert [type(step) for step in found.done] == [MergeInner, MergeLeaf]
    assert farm.images() == {disk}
    assert farm.sr.find(disk).sm_config["vdi_type"] == "raw"
    assert paths.paused_disks
    farm.inspect()
    farm.attach()
    farm.inspect()


def test_a_raw_parent_grows_with_its_child_and_is_no_larger_than_the_disk(farm: Farm) -> None:
    disk = farm.create(BLOCK, type="raw")
    farm.write(disk, 3, 1)
    farm.destroy(farm.snapshot(disk))
    farm.grow(disk, 3 * BLOCK)
    farm.write(disk, len(farm.model[disk]) // SECTOR - 1, 7)
    run(farm)
    assert farm.images() == {disk}
    farm.inspect()


def test_a_disk_in_use_does_not_become_raw(farm: Farm) -> None:
    disk = farm.create(type="raw")
    farm.destroy(farm.snapshot(disk))
    farm.write(disk, 5, 2, count=5)
    farm.destroy(farm.snapshot(disk))
    farm.write(disk, 9, 3, count=5)
    farm.sr.attach(disk, False)
    found = run(farm)
    assert [type(step) for step in found.done] == [MergeInner]
    assert [type(step) for step in found.skipped] == [MergeLeaf]
    assert farm.depth(disk) == 2
    farm.sr.detach(disk)
    run(farm)
    assert farm.images() == {disk}
    farm.inspect()


def test_snapshots_keep_a_raw_base(farm: Farm) -> None:
    disk = farm.create(type="raw")
    farm.write(disk, 5, 2, count=5)
    clones = [farm.clone(disk) for _ in range(3)]
    for number, clone in enumerate(clones):
        farm.write(clone, 100 * number, number + 3)
        farm.destroy(farm.snapshot(clone))
    run(farm)
    assert {farm.depth(each) for each in farm.model} == {2}
    assert {farm.parent(each) for each in farm.model} == {farm.parent(disk)}
    farm.inspect()
    for each in [disk, *clones[1:]]:
        farm.destroy(each)
    run(farm)
    assert farm.images() == {clones[0]}
    assert farm.sr.find(clones[0]).sm_config["vdi_type"] == "raw"
    farm.inspect()
