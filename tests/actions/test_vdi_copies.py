from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import Any

import pytest

from tests.actions.storage_house import DEAD, MEBIBYTE, NULL, StorageHouse, refusal, storage_house
from tests.fakes.guests import running
from xapi.datamodel.errors import TASK_CANCELLED
from xapi.dispatch.tasks import TaskInHand


@pytest.fixture(scope="module")
def house() -> Iterator[StorageHouse]:
    with storage_house() as opened:
        yield opened


@pytest.fixture
def sr(house: StorageHouse) -> str:
    return house.sr()


@pytest.fixture(params=("file", "dummy"))
def other_sr(house: StorageHouse, request: pytest.FixtureRequest) -> str:
    return house.sr(request.param)


def filled(house: StorageHouse, sr: str, **values: Any) -> str:
    disk = house.disk(sr, **values)
    house.write(disk, 0, b"first".ljust(512))
    house.write(disk, 5 * MEBIBYTE, bytes(range(256)) * 4096)
    house.write(disk, 10 * MEBIBYTE - 512, b"last".ljust(512))
    return disk


def content(house: StorageHouse, disk: str) -> bytes:
    return house.read(disk, 0, int(house.client.VDI.get_virtual_size(disk)))


def test_a_copy_has_the_data_and_the_fields(house: StorageHouse, sr: str, other_sr: str) -> None:
    disk = filled(house, sr, read_only=False, tags=["t"], xenstore_data={"a": "b"})
    copy = house.client.VDI.copy(disk, other_sr)
    assert content(house, copy) == content(house, disk)
    ours, theirs = house.client.VDI.get_record(disk), house.client.VDI.get_record(copy)
    for name in ("name_label", "name_description", "type", "other_config", "xenstore_data", "tags", "virtual_size"):
        assert theirs[name] == ours[name]
    assert theirs["SR"] == other_sr
    assert int(theirs["physical_utilisation"]) > MEBIBYTE
    house.check_rows_follow_storage(other_sr)


def test_a_copy_can_be_written_whatever_the_original_is(house: StorageHouse, sr: str) -> None:
    disk = house.disk(sr, read_only=True)
    copy = house.client.VDI.copy(disk, sr)
    assert house.client.VDI.get_read_only(copy) is False


def test_zeros_take_no_room_in_a_copy(house: StorageHouse, sr: str) -> None:
    disk = house.disk(sr, virtual_size=str(8192 * MEBIBYTE))
    house.write(disk, 4096 * MEBIBYTE, b"lonely".ljust(512))
    copy = house.client.VDI.copy(disk, sr)
    assert int(house.client.VDI.get_physical_utilisation(copy)) < 8 * MEBIBYTE
    assert house.read(copy, 4096 * MEBIBYTE, 6) == b"lonely"


def test_an_existing_disk_is_overwritten(house: StorageHouse, sr: str, other_sr: str) -> None:
    disk = filled(house, sr)
    into = house.disk(other_sr, virtual_size=str(20 * MEBIBYTE))
    house.write(into, MEBIBYTE, b"to be gone".ljust(512))
    house.write(into, 15 * MEBIBYTE, b"stays".ljust(512))
    assert house.client.VDI.copy(disk, NULL, NULL, into) == into
    assert house.read(into, 0, 10 * MEBIBYTE) == content(house, disk)
    assert house.read(into, 15 * MEBIBYTE, 5) == b"stays"
    house.check_rows_follow_storage(other_sr)


def test_only_what_differs_from_the_base_is_written(house: StorageHouse, sr: str, other_sr: str) -> None:
    disk = filled(house, sr)
    base = house.client.VDI.snapshot(disk, {})
    into = house.client.VDI.copy(base, other_sr)
    house.write(into, 5 * MEBIBYTE, b"known to be alike, so not looked at".ljust(512))
    house.write(disk, 8 * MEBIBYTE, b"changed".ljust(512))
    house.write(disk, 0, bytes(512))
    house.client.VDI.copy(disk, NULL, base, into)
    found = bytearray(content(house, into))
    assert found[5 * MEBIBYTE : 5 * MEBIBYTE + 5] == b"known"
    found[5 * MEBIBYTE : 5 * MEBIBYTE + 512] = house.read(disk, 5 * MEBIBYTE, 512)
    assert bytes(found) == content(house, disk)


def test_a_disk_that_is_too_small_or_read_only_takes_no_copy(house: StorageHouse, sr: str) -> None:
    disk = filled(house, sr)
    small = house.disk(sr, virtual_size=str(2 * MEBIBYTE))
    size = house.client.VDI.get_virtual_size(disk)
    assert refusal(house.client.VDI.copy, disk, NULL, NULL, small) == ["VDI_TOO_SMALL", small, size]
    frozen = house.disk(sr, read_only=True)
    assert refusal(house.client.VDI.copy, disk, NULL, NULL, frozen) == ["VDI_READONLY", frozen]


def test_a_copy_needs_a_place(house: StorageHouse, sr: str) -> None:
    disk = house.disk(sr)
    assert refusal(house.client.VDI.copy, disk) == ["HANDLE_INVALID", "SR", NULL]
    assert refusal(house.client.VDI.copy, disk, DEAD) == ["HANDLE_INVALID", "SR", DEAD]


def test_a_disk_that_is_written_to_is_not_copied(house: StorageHouse, sr: str) -> None:
    disk = house.disk(sr)
    house.drive(running(house.client), disk)
    house.client.VBD.plug(house.client.VDI.get_VBDs(disk)[0])
    assert refusal(house.client.VDI.copy, disk, sr) == ["VDI_IN_USE", disk, "copy"]


def test_a_failed_copy_leaves_nothing(house: StorageHouse, sr: str) -> None:
    other = house.sr("dummy", **{"fault-open_for_writing": "47:1"})
    disk = filled(house, sr)
    assert refusal(house.client.VDI.copy, disk, other)[0] == "SR_BACKEND_FAILURE_47"
    assert house.client.SR.get_VDIs(other) == []
    house.check_rows_follow_storage(other)
    assert house.client.VDI.get_current_operations(disk) == {}


def test_a_cancelled_copy_leaves_nothing(house: StorageHouse, sr: str, monkeypatch: pytest.MonkeyPatch) -> None:
    disk = filled(house, sr)
    before = house.client.SR.get_VDIs(sr)

    def stop(task: TaskInHand, share: float) -> None:
        if share > 0.4:
            task.cancel()

    monkeypatch.setattr(TaskInHand, "progress", stop)
    assert refusal(house.client.VDI.copy, disk, sr)[0] == TASK_CANCELLED.code
    assert house.client.SR.get_VDIs(sr) == before
    house.client.SR.scan(sr)
    house.check_rows_follow_storage(sr)


def test_the_checksum_is_of_everything(house: StorageHouse, sr: str) -> None:
    disk = filled(house, sr)
    assert house.client.VDI.checksum(disk) == hashlib.md5(content(house, disk)).hexdigest()
