from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from xapi.storage.coalesce.collector import Collected, collect
from xapi.storage.coalesce.interface import Collectable
from xapi.storage.coalesce.plan import MergeInner, MergeLeaf, Wishes
from xapi.storage.errors import SrFull
from xapi.storage.vhd.parents import Parent

from .farm import BLOCK, MIB, Farm, Recorded


@pytest.fixture
def paths() -> Recorded:
    return Recorded()


@pytest.fixture
def farm(tmp_path: Path, paths: Recorded) -> Farm:
    return Farm(tmp_path / "sr", paths)


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


def test_the_directory_sr_is_collectable(farm: Farm) -> None:
    assert isinstance(farm.sr, Collectable)


def test_a_chain_becomes_one_file_under_the_name_of_its_disk(farm: Farm) -> None:
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
        assert {type(step) for step in found.skipped} == {MergeLeaf}
        writer.pwrite(0, b"w" * 512)
    farm.model[disk][:512] = b"w" * 512
    assert farm.depth(disk) == 2
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
    (farm.path / f"{other}.vhd").write_bytes(b"nothing like a disk" * 100)
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


def test_a_full_disk_loses_nothing_and_is_told(farm: Farm, monkeypatch: pytest.MonkeyPatch) -> None:
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
