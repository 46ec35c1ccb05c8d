from __future__ import annotations

import base64
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tests.actions.storage_house import (
    DEAD,
    GIBIBYTE,
    MEBIBYTE,
    NULL,
    StorageHouse,
    disk_record,
    refusal,
    storage_house,
)
from tests.fakes.guests import halted
from xapi.actions.vdi import chains
from xapi.datamodel.classes import VDI
from xapi.datamodel.failure import Failure
from xapi.db.database import Database


@pytest.fixture(scope="module")
def house() -> Iterator[StorageHouse]:
    with storage_house() as opened:
        yield opened


@pytest.fixture(params=("file", "dummy"))
def sr(house: StorageHouse, request: pytest.FixtureRequest) -> str:
    return house.sr(request.param)


@pytest.fixture
def file_sr(house: StorageHouse) -> str:
    return house.sr()


@pytest.fixture
def disk(house: StorageHouse, sr: str) -> str:
    return house.disk(sr)


# Making


def test_a_new_disk_has_what_the_client_gave_and_what_the_driver_made(house: StorageHouse, sr: str) -> None:
    disk = house.disk(sr, name_label="mine", virtual_size=str(9 * MEBIBYTE + 1), tags=["a"], xenstore_data={"x": "y"})
    record = house.client.VDI.get_record(disk)
    assert (record["name_label"], record["name_description"]) == ("mine", "of a test")
    assert int(record["virtual_size"]) >= 9 * MEBIBYTE + 1
    assert record["location"] == record["uuid"]
    assert (record["SR"], record["managed"], record["missing"]) == (sr, True, False)
    assert (record["other_config"], record["xenstore_data"]) == ({"key": "value"}, {"x": "y"})
    assert record["tags"] == ["a"]
    assert "destroy" in record["allowed_operations"]
    assert house.client.SR.get_virtual_allocation(sr) == record["virtual_size"]
    house.check_rows_follow_storage(sr)


def test_a_whole_record_may_be_given_back_to_create(house: StorageHouse, disk: str) -> None:
    record = house.client.VDI.get_record(disk)
    again = house.client.VDI.create(record)
    assert house.client.VDI.get_uuid(again) != record["uuid"]


def test_few_members_are_enough(house: StorageHouse, sr: str) -> None:
    disk = house.client.VDI.create({"SR": sr, "virtual_size": str(MEBIBYTE)})
    assert house.client.VDI.get_type(disk) == "user"


def test_disks_are_not_made_on_an_sr_that_is_not_there(house: StorageHouse) -> None:
    assert refusal(house.client.VDI.create, disk_record(DEAD)) == ["HANDLE_INVALID", "SR", DEAD]


def test_disks_are_not_made_on_an_sr_that_is_unplugged(house: StorageHouse, sr: str) -> None:
    house.client.PBD.unplug(house.pbd(sr))
    assert refusal(house.client.VDI.create, disk_record(sr)) == ["SR_HAS_NO_PBDS", sr]
    assert house.client.SR.get_current_operations(sr) == {}


@pytest.mark.parametrize("size", ["0", "-1", str(1 << 60)])
def test_sizes_that_cannot_be_had_are_refused(house: StorageHouse, sr: str, size: str) -> None:
    assert refusal(house.client.VDI.create, disk_record(sr, virtual_size=size))[0] == "SR_BACKEND_FAILURE_79"
    assert house.client.SR.get_VDIs(sr) == []


def test_an_sr_that_cannot_make_disks_says_so(house: StorageHouse) -> None:
    sr = next(ref for ref, row in house.client.SR.get_all_records().items() if row["is_tools_sr"])
    assert refusal(house.client.VDI.create, disk_record(sr)) == ["SR_OPERATION_NOT_SUPPORTED", sr]


def test_a_full_sr_has_the_code_that_clients_look_for(house: StorageHouse) -> None:
    sr = house.sr("dummy", **{"fault-create": "44"})
    assert refusal(house.client.VDI.create, disk_record(sr))[0] == "SR_BACKEND_FAILURE_44"
    house.check_rows_follow_storage(sr)


# Snapshots and clones


def test_a_snapshot_knows_its_original(house: StorageHouse, disk: str) -> None:
    house.write(disk, 0, b"before".ljust(512))
    snapshot = house.client.VDI.snapshot(disk, {})
    house.write(disk, 0, b"after".ljust(512))
    record = house.client.VDI.get_record(snapshot)
    assert (record["is_a_snapshot"], record["snapshot_of"]) == (True, disk)
    assert record["snapshot_time"].year > 2000
    assert house.client.VDI.get_snapshots(disk) == [snapshot]
    assert record["name_label"] == "disk"
    assert record["other_config"] == {"key": "value"}
    assert house.read(snapshot, 0, 6) == b"before"
    assert house.read(disk, 0, 5) == b"after"


def test_driver_parameters_may_be_left_out(house: StorageHouse, disk: str) -> None:
    assert house.client.VDI.get_is_a_snapshot(house.client.VDI.snapshot(disk))


def test_a_clone_is_a_disk_of_its_own(house: StorageHouse, sr: str, disk: str) -> None:
    house.write(disk, 4096, b"shared".ljust(512))
    clone = house.client.VDI.clone(disk, {})
    house.write(clone, 4096, b"its own".ljust(512))
    assert house.read(disk, 4096, 6) == b"shared"
    assert house.client.VDI.get_is_a_snapshot(clone) is False
    house.client.SR.scan(sr)  # what was written straight to the disks is not known before
    house.check_rows_follow_storage(sr)


def test_clones_of_snapshots_can_be_written(house: StorageHouse, disk: str) -> None:
    clone = house.client.VDI.clone(house.client.VDI.snapshot(disk, {}), {})
    house.write(clone, 0, bytes(512))
    assert house.client.VDI.get_read_only(clone) is False
    assert house.client.VDI.get_snapshot_of(clone) == NULL


def test_rows_follow_storage_after_each_operation(house: StorageHouse, sr: str, disk: str) -> None:
    clone = house.client.VDI.clone(disk, {})
    house.check_rows_follow_storage(sr)
    snapshot = house.client.VDI.snapshot(clone, {})
    house.check_rows_follow_storage(sr)
    house.client.VDI.resize(clone, str(20 * MEBIBYTE))
    house.check_rows_follow_storage(sr)
    for ref in (disk, clone, snapshot):
        house.client.VDI.destroy(ref)
        house.check_rows_follow_storage(sr)
    assert house.client.SR.get_VDIs(sr) == []
    assert house.client.SR.get_virtual_allocation(sr) == "0"


def test_inner_nodes_are_shown_and_cannot_be_used(house: StorageHouse, file_sr: str) -> None:
    disk = house.disk(file_sr)
    house.client.VDI.snapshot(disk, {})
    inner = [ref for ref in house.client.SR.get_VDIs(file_sr) if not house.client.VDI.get_managed(ref)]
    assert [house.client.VDI.get_name_label(ref) for ref in inner] == ["base copy"]
    for message in ("clone", "snapshot"):
        assert refusal(getattr(house.client.VDI, message), inner[0], {}) == ["VDI_NOT_MANAGED", inner[0]]
    assert refusal(house.client.VDI.destroy, inner[0]) == ["VDI_NOT_MANAGED", inner[0]]
    assert refusal(house.client.VDI.copy, inner[0], file_sr) == ["VDI_NOT_MANAGED", inner[0]]
    assert refusal(house.client.VDI.resize, inner[0], str(GIBIBYTE)) == ["VDI_NOT_MANAGED", inner[0]]


def test_a_sharable_disk_has_no_snapshots(house: StorageHouse, sr: str) -> None:
    disk = house.disk(sr, sharable=True)
    assert refusal(house.client.VDI.snapshot, disk, {})[0] == "VDI_IS_SHARABLE"


def test_a_raw_disk_is_cloned_and_has_snapshots(house: StorageHouse, file_sr: str) -> None:
    disk = house.disk(file_sr, sm_config={"type": "raw"})
    house.write(disk, MEBIBYTE, b"raw".ljust(512))
    clone = house.client.VDI.clone(disk, {})
    snapshot = house.client.VDI.snapshot(disk, {})
    house.write(disk, MEBIBYTE, b"new".ljust(512))
    assert [house.read(each, MEBIBYTE, 3) for each in (disk, clone, snapshot)] == [b"new", b"raw", b"raw"]
    assert house.client.VDI.get_snapshot_of(snapshot) == disk
    assert house.client.VDI.get_current_operations(disk) == {}
    house.client.SR.scan(file_sr)  # what was written straight to the disk is not known before
    house.check_rows_follow_storage(file_sr)


def test_clones_of_one_disk_follow_one_another_and_all_succeed(house: StorageHouse, sr: str, disk: str) -> None:
    with ThreadPoolExecutor(8) as pool:
        clones = list(pool.map(lambda _: house.client.VDI.clone(disk, {}), range(24)))
    assert len(set(clones)) == 24
    house.check_rows_follow_storage(sr)


def test_one_sr_takes_many_calls_side_by_side_and_scans_between_them(house: StorageHouse, sr: str) -> None:
    def cycle(number: int) -> None:
        made = house.disk(sr, name_label=str(number))
        if number % 3 == 0:
            house.client.SR.scan(sr)
        assert house.client.VDI.get_name_label(made) == str(number)
        copy = house.client.VDI.clone(made, {})
        house.client.VDI.destroy(made)
        assert house.client.VDI.get_SR(copy) == sr

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(cycle, range(24)))
    house.check_rows_follow_storage(sr)
    managed = [ref for ref in house.client.SR.get_VDIs(sr) if house.client.VDI.get_managed(ref)]
    assert len(managed) == 24


# Removing


def test_destroying_a_disk_takes_its_drives_along(house: StorageHouse, sr: str, disk: str) -> None:
    vm = halted(house.client)
    drive = house.drive(vm, disk)
    house.client.VDI.destroy(disk)
    assert refusal(house.client.VBD.get_record, drive) == ["HANDLE_INVALID", "VBD", drive]
    assert house.client.VM.get_VBDs(vm) == []
    assert refusal(house.client.VDI.destroy, disk) == ["HANDLE_INVALID", "VDI", disk]


def test_a_disk_whose_data_are_gone_already_can_be_destroyed(house: StorageHouse, sr: str, disk: str) -> None:
    handle, row = house.repositories.of_vdi(house.db, disk)
    handle.destroy(row.location)
    house.client.VDI.destroy(disk)
    assert house.client.SR.get_VDIs(sr) == []


def test_a_forgotten_disk_comes_back_with_the_next_scan(house: StorageHouse, sr: str, disk: str) -> None:
    uuid = house.client.VDI.get_uuid(disk)
    house.client.VDI.forget(disk)
    assert house.client.SR.get_VDIs(sr) == []
    assert house.client.SR.get_virtual_allocation(sr) == "0"
    house.client.SR.scan(sr)
    assert [house.client.VDI.get_uuid(ref) for ref in house.client.SR.get_VDIs(sr)] == [uuid]


def introduce(house: StorageHouse, uuid: str, sr: str, location: str, name: str = "") -> Any:
    return house.client.VDI.introduce(uuid, name, "", sr, "system", False, False, {"o": "c"}, location, {}, {})


def test_a_forgotten_disk_can_be_introduced(house: StorageHouse, sr: str, disk: str) -> None:
    record = house.client.VDI.get_record(disk)
    house.client.VDI.forget(disk)
    again = introduce(house, record["uuid"], sr, record["location"])
    found = house.client.VDI.get_record(again)
    assert (found["uuid"], found["name_label"]) == (record["uuid"], "disk")
    assert (found["type"], found["other_config"]) == ("system", {"o": "c"})
    assert found["virtual_size"] == record["virtual_size"]
    house.check_rows_follow_storage(sr)


def test_a_disk_is_not_introduced_twice(house: StorageHouse, sr: str, disk: str) -> None:
    uuid = house.client.VDI.get_uuid(disk)
    before = house.client.VDI.get_record(disk)
    assert introduce(house, uuid, sr, uuid, "another name") == disk
    assert house.client.VDI.get_record(disk) == before
    other = "00000000-0000-0000-0000-000000000001"
    assert refusal(introduce, house, other, sr, uuid) == ["LOCATION_NOT_UNIQUE", sr, uuid]
    house.check_rows_follow_storage(sr)
    assert house.client.SR.get_VDIs(sr) == [disk]


def test_what_the_sr_does_not_hold_is_not_introduced(house: StorageHouse, sr: str) -> None:
    missing = "00000000-0000-0000-0000-000000000001"
    assert refusal(introduce, house, missing, sr, missing) == ["VDI_MISSING", sr, missing]
    assert refusal(introduce, house, missing, DEAD, missing) == ["HANDLE_INVALID", "SR", DEAD]


# Growing


def test_a_disk_grows(house: StorageHouse, sr: str, disk: str) -> None:
    house.client.VDI.resize(disk, str(64 * MEBIBYTE))
    assert house.client.VDI.get_virtual_size(disk) == str(64 * MEBIBYTE)
    house.client.VDI.resize_online(disk, str(128 * MEBIBYTE))
    assert house.client.SR.get_virtual_allocation(sr) == str(128 * MEBIBYTE)
    house.check_rows_follow_storage(sr)


def test_a_disk_does_not_shrink(house: StorageHouse, disk: str) -> None:
    size = house.client.VDI.get_virtual_size(disk)
    assert refusal(house.client.VDI.resize, disk, str(2 * MEBIBYTE))[0] == "SR_BACKEND_FAILURE_79"
    assert house.client.VDI.get_virtual_size(disk) == size


# Fields


def test_names_are_kept_on_the_sr(house: StorageHouse, sr: str, disk: str) -> None:
    house.client.VDI.set_name_label(disk, "renamed")
    house.client.VDI.set_name_description(disk, "described")
    house.client.VDI.forget(disk)
    house.client.SR.scan(sr)
    record = house.client.VDI.get_record(house.client.SR.get_VDIs(sr)[0])
    assert (record["name_label"], record["name_description"]) == ("renamed", "described")


def test_a_disk_can_be_renamed_while_its_sr_is_away(house: StorageHouse, sr: str, disk: str) -> None:
    house.client.PBD.unplug(house.pbd(sr))
    house.client.VDI.set_name_label(disk, "renamed")
    assert house.client.VDI.get_name_label(disk) == "renamed"


def test_a_name_that_the_sr_refuses_is_not_recorded(house: StorageHouse) -> None:
    sr = house.sr("dummy", **{"fault-update": "47"})
    disk = house.disk(sr)
    assert refusal(house.client.VDI.set_name_label, disk, "renamed")[0] == "SR_BACKEND_FAILURE_47"
    assert house.client.VDI.get_name_label(disk) == "disk"


def test_plain_fields_are_set(house: StorageHouse, disk: str) -> None:
    house.client.VDI.set_read_only(disk, True)
    house.client.VDI.set_sharable(disk, True)
    house.client.VDI.set_allow_caching(disk, True)
    record = house.client.VDI.get_record(disk)
    assert (record["read_only"], record["sharable"], record["allow_caching"]) == (True, True, True)


def test_update_reads_what_the_driver_knows(house: StorageHouse, sr: str, disk: str) -> None:
    house.write(disk, 0, bytes(range(256)) * 16)
    house.client.VDI.update(disk)
    house.check_rows_follow_storage(sr)


@pytest.mark.parametrize(
    ("message", "value"),
    [
        ("set_managed", False),
        ("set_missing", True),
        ("set_virtual_size", "1"),
        ("set_physical_utilisation", "1"),
        ("set_is_a_snapshot", True),
        ("set_snapshot_of", NULL),
        ("set_metadata_of_pool", NULL),
        ("set_cbt_enabled", True),
    ],
)
def test_what_only_drivers_know_is_not_for_clients(house: StorageHouse, message: str, value: object) -> None:
    disk = house.disk(house.sr("dummy"))
    before = house.client.VDI.get_record(disk)
    assert refusal(getattr(house.client.VDI, message), disk, value) == ["PERMISSION_DENIED", ""]
    assert refusal(getattr(house.client.VDI, message), DEAD, value) == ["HANDLE_INVALID", "VDI", DEAD]
    assert house.client.VDI.get_record(disk) == before


def test_reset_on_boot_needs_a_driver_that_does_it(house: StorageHouse) -> None:
    sr = house.sr("dummy")
    disk = house.disk(sr)
    assert refusal(house.client.VDI.set_on_boot, disk, "reset") == ["SR_OPERATION_NOT_SUPPORTED", sr]


def test_old_messages_say_that_they_are_old(house: StorageHouse, disk: str) -> None:
    assert refusal(house.client.VDI.force_unlock, disk) == ["MESSAGE_DEPRECATED"]


def test_the_pool_of_a_database_is_asked_without_a_disk(house: StorageHouse, disk: str) -> None:
    assert house.client.VDI.read_database_pool_uuid(DEAD) == ""
    assert house.client.VDI.read_database_pool_uuid(disk) == ""


def test_a_configuration_for_attaching_is_made_by_the_host_that_is_named(house: StorageHouse, disk: str) -> None:
    assert house.client.VDI.get_uuid(disk) in house.client.VDI.generate_config(house.host, disk)
    assert refusal(house.client.VDI.generate_config, DEAD, disk) == ["HOST_OFFLINE", DEAD]
    assert refusal(house.client.VDI.generate_config, house.host, DEAD) == ["HANDLE_INVALID", "VDI", DEAD]


# Changed blocks


def test_changed_blocks_between_snapshots(house: StorageHouse, sr: str, disk: str) -> None:
    house.client.VDI.enable_cbt(disk)
    assert house.client.VDI.get_cbt_enabled(disk)
    first = house.client.VDI.snapshot(disk, {})
    house.write(disk, 3 * 65536, b"x" * 512)
    second = house.client.VDI.snapshot(disk, {})
    bitmap = base64.b64decode(house.client.VDI.list_changed_blocks(first, second))
    assert len(bitmap) * 8 >= int(house.client.VDI.get_virtual_size(disk)) // 65536
    assert bitmap[0] & 0b0001_0000
    house.client.VDI.disable_cbt(disk)
    assert not house.client.VDI.get_cbt_enabled(disk)


def test_tracking_twice_is_tracking(house: StorageHouse, disk: str) -> None:
    house.client.VDI.enable_cbt(disk)
    house.client.VDI.enable_cbt(disk)
    house.client.VDI.disable_cbt(disk)
    house.client.VDI.disable_cbt(disk)


def test_changes_that_were_not_recorded_are_not_made_up(house: StorageHouse, disk: str) -> None:
    other = house.client.VDI.clone(disk, {})
    assert refusal(house.client.VDI.list_changed_blocks, other, disk)[0] == "SR_BACKEND_FAILURE_460"


def test_destroying_data_leaves_the_record_of_changes(
    house: StorageHouse, disk: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(chains, "PATIENCE", 0.01)
    house.client.VDI.enable_cbt(disk)
    first = house.client.VDI.snapshot(disk, {})
    house.write(disk, 0, b"x" * 512)
    second = house.client.VDI.snapshot(disk, {})
    vm = halted(house.client)
    drive = house.drive(vm, first, mode="RO")
    assert refusal(house.client.VDI.data_destroy, first) == ["VDI_IN_USE", first, "data_destroy"]
    house.client.VBD.destroy(drive)
    house.client.VDI.data_destroy(first)
    assert house.client.VDI.get_type(first) == "cbt_metadata"
    house.client.VDI.data_destroy(first)
    assert base64.b64decode(house.client.VDI.list_changed_blocks(first, second))[0] & 0x80
    live = (disk, second)
    allocation = sum(int(house.client.VDI.get_virtual_size(ref)) for ref in live)
    assert int(house.client.SR.get_virtual_allocation(house.client.VDI.get_SR(disk))) == allocation
    assert refusal(house.client.VDI.get_nbd_info, first) == ["VDI_INCOMPATIBLE_TYPE", first, "CBT metadata"]
    assert refusal(house.client.VDI.data_destroy, disk)[0] == "OPERATION_NOT_ALLOWED"


# Failures leave rows and storage in agreement


@pytest.mark.parametrize("operation", ["snapshot", "clone", "resize", "enable_cbt", "destroy"])
def test_a_driver_that_fails_leaves_everything_as_it_was(house: StorageHouse, operation: str) -> None:
    sr = house.sr("dummy", **{f"fault-{operation}": "47:1"})
    disk = house.disk(sr)
    before = house.client.VDI.get_record(disk)
    parameters = {"snapshot": ({},), "clone": ({},), "resize": (str(GIBIBYTE),)}.get(operation, ())
    call = getattr(house.client.VDI, operation)
    assert refusal(call, disk, *parameters)[0] == "SR_BACKEND_FAILURE_47"
    assert house.client.VDI.get_record(disk) == before
    house.check_rows_follow_storage(sr)
    call(disk, *parameters)
    house.check_rows_follow_storage(sr)


class FullDisk(Exception):
    """The database cannot be written."""


def creations_fail(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let every transaction that makes a disk's row fail when it is to become durable."""
    queue = Database._queue_changes

    def refuse(self: Database, transaction: Any) -> Any:
        if any(entity is VDI and self.head(entity, ref) is None for entity, ref in transaction.changes):
            raise FullDisk
        return queue(self, transaction)

    monkeypatch.setattr(Database, "_queue_changes", refuse)


@pytest.mark.parametrize("operation", ["create", "snapshot", "clone"])
def test_a_disk_that_cannot_be_recorded_is_taken_back(
    house: StorageHouse, sr: str, disk: str, operation: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        creations_fail(patch)
        parameters = (disk_record(sr),) if operation == "create" else (disk, {})
        assert refusal(getattr(house.client.VDI, operation), *parameters)[0] == "INTERNAL_ERROR"
    assert len([ref for ref in house.client.SR.get_VDIs(sr) if house.client.VDI.get_managed(ref)]) == 1
    handle = house.repositories.get(house.db, sr)
    assert len([facts for facts in handle.scan().vdis if facts.managed]) == 1
    assert house.client.SR.get_current_operations(sr) == {}
    assert house.client.VDI.get_current_operations(disk) == {}
    house.client.SR.scan(sr)
    house.check_rows_follow_storage(sr)


class Watched:
    """An attached SR that tells what its records say while it works."""

    def __init__(self, handle: Any, look: Callable[[], None]) -> None:
        self._handle = handle
        self._look = look

    def __getattr__(self, name: str) -> Any:
        if name in ("create", "clone", "snapshot", "destroy", "resize"):
            self._look()
        return getattr(self._handle, name)


@pytest.mark.parametrize("operation", ["create", "clone", "snapshot", "destroy", "resize"])
def test_work_under_way_is_shown_on_the_sr_and_on_the_disk(house: StorageHouse, operation: str) -> None:
    sr = house.sr("dummy")
    disk = house.disk(sr)
    seen: list[tuple[list[str], list[str], list[str]]] = []

    def look() -> None:
        ours, theirs = house.client.VDI.get_record(disk), house.client.SR.get_record(sr)
        seen.append(
            (
                list(ours["current_operations"].values()),
                list(theirs["current_operations"].values()),
                theirs["allowed_operations"],
            )
        )

    house.repositories.adopt(Watched(house.repositories.get(house.db, sr), look))  # type: ignore[arg-type]
    parameters: dict[str, tuple[Any, ...]] = {"create": (disk_record(sr),), "resize": (disk, str(GIBIBYTE))}
    call = getattr(house.client.VDI, operation)
    call(*parameters.get(operation, (disk, {}) if operation in ("clone", "snapshot") else (disk,)))
    own = [] if operation == "create" else [operation]
    assert seen[0] == (own, [f"vdi_{operation}"], [])
    assert house.client.SR.get_current_operations(sr) == {}


def test_dead_references(house: StorageHouse) -> None:
    for message, parameters in {
        "snapshot": ({},),
        "clone": ({},),
        "copy": (DEAD,),
        "destroy": (),
        "forget": (),
        "update": (),
        "resize": ("1",),
        "resize_online": ("1",),
        "data_destroy": (),
        "enable_cbt": (),
        "disable_cbt": (),
        "checksum": (),
        "db_forget": (),
        "set_name_label": ("x",),
        "set_on_boot": ("reset",),
        "force_unlock": (),
        "pool_migrate": (DEAD, {}),
        "list_changed_blocks": (DEAD,),
        "get_nbd_info": (),
    }.items():
        assert refusal(getattr(house.client.VDI, message), DEAD, *parameters) == ["HANDLE_INVALID", "VDI", DEAD]
    with pytest.raises(Failure, match="PERMISSION_DENIED"):
        house.client.VDI.db_introduce("", "", "", DEAD, "user", False, False, {}, "", {}, {})
