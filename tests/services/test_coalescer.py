from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.actions.storage_house import StorageHouse, storage_house
from tests.fakes.clock import FakeClock
from tests.fakes.eventually import eventually
from xapi.datamodel.classes import Task
from xapi.dispatch.tasks import TaskInHand
from xapi.services.coalescer import REST, Coalescer
from xapi.storage.coalesce.plan import MergeInner, MergeLeaf

from ..storage.coalesce.farm import MIB


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def house(clock: FakeClock) -> Iterator[StorageHouse]:
    with storage_house(clock) as opened:
        yield opened


@pytest.fixture
def sr(house: StorageHouse) -> str:
    return house.sr()


@pytest.fixture
def coalescer(house: StorageHouse) -> Coalescer:
    return Coalescer(house.house.toolstack, settle=0)


def grown_chain(house: StorageHouse, sr: str) -> str:
    disk = house.disk(sr)
    for number in range(3):
        house.write(disk, number * MIB, bytes([number + 1]) * 512)
        house.client.VDI.destroy(house.client.VDI.snapshot(disk, {}))
    house.write(disk, 5 * MIB, b"end" + bytes(509))
    return disk


def assert_merged(house: StorageHouse, sr: str, disk: str) -> None:
    assert house.client.SR.get_VDIs(sr) == [disk]
    house.check_rows_follow_storage(sr)
    for number in range(3):
        assert house.read(disk, number * MIB, 512) == bytes([number + 1]) * 512
    assert house.read(disk, 5 * MIB, 3) == b"end"


def test_chains_are_merged_and_rows_follow(house: StorageHouse, sr: str, coalescer: Coalescer) -> None:
    disk = grown_chain(house, sr)
    assert len(house.client.SR.get_VDIs(sr)) > 2
    found = coalescer.look_after(sr)
    assert found is not None
    assert [type(step) for step in found.done] == [MergeInner, MergeInner, MergeLeaf]
    assert_merged(house, sr, disk)
    assert coalescer.look_after(sr) is None


def test_a_task_tells_of_it_and_is_gone_afterwards(house: StorageHouse, sr: str, coalescer: Coalescer) -> None:
    grown_chain(house, sr)
    names: set[str] = set()
    tasks_before = set(house.client.task.get_all())
    forget = house.db.waiters.add([(Task, "")], lambda: names.update(row.name_label for row in house.db.all(Task)))
    coalescer.look_after(sr)
    forget()
    assert "Garbage Collector for SR a file SR" in names
    assert set(house.client.task.get_all()) == tasks_before


def test_an_sr_in_order_makes_no_task(house: StorageHouse, sr: str, coalescer: Coalescer) -> None:
    house.disk(sr)
    made: list[object] = []
    forget = house.db.waiters.add([(Task, "")], lambda: made.append(1))
    assert coalescer.look_after(sr) is None
    forget()
    assert not made


@pytest.mark.parametrize("key", ["gc", "coalesce"])
def test_the_sr_may_forbid_it(house: StorageHouse, sr: str, coalescer: Coalescer, key: str) -> None:
    disk = grown_chain(house, sr)
    house.client.SR.add_to_other_config(sr, key, "false")
    assert coalescer.look_after(sr) is None
    house.client.SR.remove_from_other_config(sr, key)
    coalescer.look_after(sr)
    assert_merged(house, sr, disk)


@pytest.mark.parametrize("who", ["SR", "VDI"])
def test_leaves_may_be_kept(house: StorageHouse, sr: str, coalescer: Coalescer, who: str) -> None:
    disk = grown_chain(house, sr)
    house.client(f"{who}.add_to_other_config", sr if who == "SR" else disk, "leaf-coalesce", "false")
    coalescer.look_after(sr)
    assert len(house.client.SR.get_VDIs(sr)) == 2
    house.check_rows_follow_storage(sr)
    house.client(f"{who}.remove_from_other_config", sr if who == "SR" else disk, "leaf-coalesce")
    coalescer.look_after(sr)
    assert_merged(house, sr, disk)


def test_a_cancelled_run_stops_and_the_sr_rests(
    house: StorageHouse, sr: str, coalescer: Coalescer, clock: FakeClock
) -> None:
    class Cancelling(dict[str, TaskInHand]):
        def __setitem__(self, ref: str, task: TaskInHand) -> None:
            super().__setitem__(ref, task)
            task.cancel()

    disk = grown_chain(house, sr)
    tasks = house.house.toolstack.tasks
    tasks.in_hand = Cancelling()
    found = coalescer.look_after(sr)
    tasks.in_hand = {}
    assert found is not None
    assert found.stopped
    assert found.done == []
    assert coalescer.look_after(sr) is None
    clock.advance(REST.total_seconds() + 1)
    coalescer.look_after(sr)
    assert_merged(house, sr, disk)


def test_news_wake_it(house: StorageHouse, sr: str, coalescer: Coalescer) -> None:
    disk = grown_chain(house, sr)
    house.client.SR.add_to_other_config(sr, "gc", "false")
    coalescer.start()
    try:
        house.client.SR.remove_from_other_config(sr, "gc")
        eventually(lambda: house.client.SR.get_VDIs(sr), lambda found: found == [disk])
        for _ in range(2):
            house.client.VDI.destroy(house.client.VDI.snapshot(disk, {}))
            eventually(lambda: house.client.SR.get_VDIs(sr), lambda found: found == [disk])
    finally:
        coalescer.stop()
    assert_merged(house, sr, disk)


def test_a_disk_in_use_is_put_off_and_others_are_not(
    house: StorageHouse, sr: str, coalescer: Coalescer, clock: FakeClock
) -> None:
    disk, other = grown_chain(house, sr), grown_chain(house, sr)
    handle, row = house.repositories.of_vdi(house.db, disk)
    with handle.open_for_writing(row.location):
        found = coalescer.look_after(sr)
        assert found is not None
        assert [step.image for step in found.skipped] == [row.location]
        assert len(house.client.SR.get_VDIs(sr)) == 3
        house.client.VDI.destroy(house.client.VDI.snapshot(other, {}))
        assert coalescer.look_after(sr) is not None
    assert coalescer.look_after(sr) is None
    clock.advance(REST.total_seconds() + 1)
    coalescer.look_after(sr)
    house.client.VDI.destroy(other)
    assert_merged(house, sr, disk)


def test_it_works_beside_snapshots_and_destruction(house: StorageHouse, sr: str, coalescer: Coalescer) -> None:
    coalescer.start()
    try:
        disk = house.disk(sr)
        for number in range(12):
            snapshot = house.client.VDI.snapshot(disk, {})
            clone = house.client.VDI.clone(snapshot, {})
            house.client.VDI.destroy(snapshot)
            assert house.client.VDI.get_managed(clone)
            if number % 2:
                house.client.VDI.destroy(clone)
    finally:
        coalescer.stop()
    clones = [ref for ref in house.client.SR.get_VDIs(sr) if house.client.VDI.get_managed(ref)]
    assert len(clones) == 7
    house.client.SR.scan(sr)
    coalescer.look_after(sr)
    house.check_rows_follow_storage(sr)
