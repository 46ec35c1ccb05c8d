from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator

import pytest

from tests.actions.storage_house import DEAD, MEBIBYTE, NULL, StorageHouse, disk_record, refusal, storage_house
from tests.fakes.guests import halted, running
from xapi.datamodel.classes import PBD, VM, Host, Secret
from xapi.datamodel.failure import Failure
from xapi.db.database import Database


@pytest.fixture(scope="module")
def house() -> Iterator[StorageHouse]:
    with storage_house() as opened:
        yield opened


# Making


def test_a_new_sr_is_plugged_here_and_has_figures(house: StorageHouse) -> None:
    sr = house.sr("dummy", size=str(1 << 40))
    record = house.client.SR.get_record(sr)
    assert (record["name_label"], record["name_description"]) == ("a dummy SR", "made by a test")
    assert (record["type"], record["content_type"], record["shared"]) == ("dummy", "user", False)
    assert record["physical_size"] == str(1 << 40)
    assert record["virtual_allocation"] == "0"
    pbd = house.client.PBD.get_record(house.pbd(sr))
    assert (pbd["host"], pbd["currently_attached"]) == (house.host, True)
    assert pbd["device_config"] == {"size": str(1 << 40)}
    assert "vdi_create" in record["allowed_operations"]


def test_an_sr_without_a_content_type_has_its_drivers(house: StorageHouse) -> None:
    place = house.place()
    place.mkdir()
    sr = house.sr("iso", "", location=str(place), legacy_mode="true")
    assert house.client.SR.get_content_type(sr) == "iso"


def test_the_type_of_an_sr_may_be_in_capitals(house: StorageHouse) -> None:
    assert house.client.SR.get_type(house.sr("DUMMY")) == "dummy"


def test_an_unknown_driver_is_named(house: StorageHouse) -> None:
    before = house.client.SR.get_all()
    for call in (
        lambda: house.client.SR.create(house.host, {}, "0", "n", "", "Strange", "", False, {}),
        lambda: house.client.SR.introduce("", "n", "", "Strange", "", False, {}),
        lambda: house.client.SR.probe(house.host, {}, "Strange", {}),
        lambda: house.client.SR.probe_ext(house.host, {}, "Strange", {}),
    ):
        assert refusal(call) == ["SR_UNKNOWN_DRIVER", "strange"]
    assert house.client.SR.get_all() == before


def test_a_host_that_is_not_there_makes_nothing(house: StorageHouse) -> None:
    assert refusal(house.client.SR.create, DEAD, {}, "0", "n", "", "dummy", "", False, {}) == ["HOST_OFFLINE", DEAD]
    assert refusal(house.client.SR.probe, DEAD, {}, "dummy", {}) == ["HOST_OFFLINE", DEAD]


@pytest.mark.parametrize("operation", ["create_sr", "attach_sr", "scan", "update_sr"])
def test_a_driver_that_fails_leaves_no_sr(house: StorageHouse, operation: str) -> None:
    srs, pbds = house.client.SR.get_all(), house.client.PBD.get_all()
    found = house.client.SR.probe_ext(house.host, {}, "dummy", {})
    with pytest.raises(Failure, match="SR_BACKEND_FAILURE_47"):
        house.sr("dummy", **{f"fault-{operation}": "47:1"})
    assert (house.client.SR.get_all(), house.client.PBD.get_all()) == (srs, pbds)
    if operation != "attach_sr":  # what cannot be attached cannot be destroyed
        assert house.client.SR.probe_ext(house.host, {}, "dummy", {}) == found


def test_an_sr_that_cannot_be_recorded_is_taken_back(house: StorageHouse, monkeypatch: pytest.MonkeyPatch) -> None:
    place = house.place()

    def refuse(*_: object) -> None:
        raise OSError("the disk is full")

    with monkeypatch.context() as patch:
        patch.setattr(Database, "_queue_changes", refuse)
        assert refusal(lambda: house.sr("file", location=str(place)))[0] == "INTERNAL_ERROR"
    assert not any(place.iterdir())
    house.sr("file", location=str(place))


def test_an_sr_may_be_shared_and_become_local_again(house: StorageHouse) -> None:
    sr = house.sr("dummy", shared=True)
    assert house.client.SR.get_shared(sr)
    house.client.SR.set_shared(sr, False)
    house.client.SR.set_shared(sr, True)
    with house.house.toolstack.db.transaction() as transaction:
        other = transaction.create(Host, name_label="another")
    house.client.PBD.create({"host": other, "SR": sr, "device_config": {}})
    links = house.client.SR.get_PBDs(sr)
    assert refusal(house.client.SR.set_shared, sr, False) == ["SR_HAS_MULTIPLE_PBDS", ",".join(links)]
    with house.house.toolstack.db.transaction() as transaction:
        for link in links[1:]:
            transaction.delete(PBD, link)
        transaction.delete(Host, other)


def test_old_messages_say_that_they_are_old(house: StorageHouse) -> None:
    assert refusal(house.client.SR.make, house.host, {}, "0", "n", "", "dummy", "", {}) == ["MESSAGE_DEPRECATED"]


# Introducing, forgetting, destroying


def test_an_sr_that_was_forgotten_comes_back_with_its_disks(house: StorageHouse) -> None:
    sr = house.sr()
    disk = house.disk(sr, name_label="precious")
    snapshot = house.client.VDI.snapshot(disk, {})
    uuids = {house.client.VDI.get_uuid(ref) for ref in (disk, snapshot)}
    uuid, config = house.client.SR.get_uuid(sr), house.client.PBD.get_device_config(house.pbd(sr))
    house.client.PBD.unplug(house.pbd(sr))
    house.client.SR.forget(sr)
    assert refusal(house.client.SR.get_record, sr) == ["HANDLE_INVALID", "SR", sr]
    assert refusal(house.client.VDI.get_record, disk) == ["HANDLE_INVALID", "VDI", disk]

    again = house.client.SR.introduce(uuid, "again", "", "file", "user", False, {})
    assert house.client.SR.get_physical_size(again) == "-1"
    pbd = house.client.PBD.create({"host": house.host, "SR": again, "device_config": config})
    house.client.PBD.plug(pbd)
    found = {house.client.VDI.get_uuid(ref): ref for ref in house.client.SR.get_VDIs(again)}
    assert uuids <= set(found)
    original = next(ref for ref in found.values() if house.client.VDI.get_snapshots(ref))
    assert house.client.VDI.get_name_label(original) == "precious"
    assert house.client.VDI.get_managed(original)
    assert int(house.client.SR.get_physical_size(again)) > 0
    house.check_rows_follow_storage(again)
    assert house.repositories.get(house.db, again).stat().name_label == "again"


def test_a_uuid_is_not_introduced_twice(house: StorageHouse) -> None:
    uuid = house.client.SR.get_uuid(house.sr("dummy"))
    assert refusal(house.client.SR.introduce, uuid, "n", "", "dummy", "", False, {}) == ["SR_UUID_EXISTS", uuid]


def test_a_uuid_is_made_up_for_who_gives_none(house: StorageHouse) -> None:
    sr = house.client.SR.introduce("", "n", "", "dummy", "", False, {"a": "b"})
    assert len(house.client.SR.get_uuid(sr)) == 36
    assert house.client.SR.get_sm_config(sr) == {"a": "b"}
    house.client.SR.forget(sr)


def test_a_plugged_sr_is_neither_forgotten_nor_destroyed(house: StorageHouse) -> None:
    sr = house.sr("dummy")
    assert refusal(house.client.SR.forget, sr) == ["SR_HAS_PBD", sr]
    assert refusal(house.client.SR.destroy, sr) == ["SR_HAS_PBD", sr]


def test_an_sr_is_destroyed_with_all_that_it_was(house: StorageHouse) -> None:
    place = house.place()
    sr = house.sr(location=str(place))
    pbd = house.pbd(sr)
    house.client.VDI.destroy(house.disk(sr))
    house.client.PBD.unplug(pbd)
    house.client.SR.destroy(sr)
    assert not place.exists() or not any(place.iterdir())
    assert refusal(house.client.PBD.get_record, pbd) == ["HANDLE_INVALID", "PBD", pbd]
    assert refusal(house.client.SR.destroy, sr) == ["HANDLE_INVALID", "SR", sr]


def test_an_sr_with_disks_is_not_destroyed(house: StorageHouse) -> None:
    sr = house.sr()
    disk = house.disk(sr)
    house.client.PBD.unplug(house.pbd(sr))
    assert refusal(house.client.SR.destroy, sr) == ["SR_NOT_EMPTY"]
    house.client.VDI.forget(disk)  # the disk is there all the same
    assert refusal(house.client.SR.destroy, sr) == ["SR_NOT_EMPTY"]
    house.client.PBD.plug(house.pbd(sr))
    house.check_rows_follow_storage(sr)
    assert len(house.client.SR.get_VDIs(sr)) == 1


def test_an_sr_without_pbds_is_not_destroyed(house: StorageHouse) -> None:
    sr = house.sr("dummy")
    house.client.PBD.unplug(house.pbd(sr))
    house.client.PBD.destroy(house.pbd(sr))
    assert refusal(house.client.SR.destroy, sr) == ["SR_HAS_NO_PBDS", sr]
    house.client.SR.forget(sr)


def test_an_indestructible_sr_is_not_destroyed(house: StorageHouse) -> None:
    sr = house.sr("dummy")
    house.client.SR.add_to_other_config(sr, "indestructible", "true")
    house.client.PBD.unplug(house.pbd(sr))
    assert refusal(house.client.SR.destroy, sr) == ["SR_INDESTRUCTIBLE", sr]
    assert house.client.SR.get_current_operations(sr) == {}


def test_the_memory_images_on_a_forgotten_sr_are_forgotten(house: StorageHouse) -> None:
    sr = house.sr("dummy")
    disk = house.disk(sr, type="suspend")
    vm = halted(house.client)
    with house.house.toolstack.db.transaction() as transaction:
        transaction.update(VM, vm, suspend_VDI=disk)
    house.client.PBD.unplug(house.pbd(sr))
    house.client.SR.forget(sr)
    assert house.client.VM.get_suspend_VDI(vm) == NULL


# Scanning


def test_a_scan_brings_what_appeared_and_drops_what_vanished(house: StorageHouse) -> None:
    sr, (first, second) = house.iso_sr("first.iso", "second.iso")
    place = house.client.PBD.get_device_config(house.pbd(sr))["location"]
    uuid = house.client.VDI.get_uuid(second)
    (house.root / place / "first.iso").unlink()
    (house.root / place / "third.iso").write_bytes(bytes(MEBIBYTE))
    (house.root / place / "second.iso").write_bytes(bytes(2 * MEBIBYTE))
    house.client.SR.scan(sr)
    found = {house.client.VDI.get_location(ref): ref for ref in house.client.SR.get_VDIs(sr)}
    assert set(found) == {"second.iso", "third.iso"}
    assert found["second.iso"] == second
    assert house.client.VDI.get_uuid(second) == uuid
    assert house.client.VDI.get_virtual_size(second) == str(2 * MEBIBYTE)
    assert refusal(house.client.VDI.get_record, first) == ["HANDLE_INVALID", "VDI", first]


def test_a_vanished_image_empties_the_drives_that_held_it(house: StorageHouse) -> None:
    sr, (image,) = house.iso_sr("only.iso")
    drive = house.drive(halted(house.client), image, type="CD", mode="RO")
    place = house.client.PBD.get_device_config(house.pbd(sr))["location"]
    (house.root / place / "only.iso").unlink()
    house.client.SR.scan(sr)
    assert house.client.VBD.get_empty(drive)
    assert house.client.VBD.get_VDI(drive) == NULL


def test_an_image_that_vanishes_while_it_is_attached_is_missing(house: StorageHouse) -> None:
    sr, (image,) = house.iso_sr("used.iso")
    drive = house.drive(halted(house.client), image, type="CD", mode="RO")
    house.client.VM.start(house.client.VBD.get_VM(drive), False, False)
    place = house.client.PBD.get_device_config(house.pbd(sr))["location"]
    (house.root / place / "used.iso").unlink()
    house.client.SR.scan(sr)
    assert house.client.VDI.get_missing(image)
    (house.root / place / "used.iso").write_bytes(bytes(64 << 10))
    house.client.SR.scan(sr)
    assert not house.client.VDI.get_missing(image)
    assert house.client.VBD.get_VDI(drive) == image


def test_a_scan_that_changes_nothing_writes_nothing(house: StorageHouse) -> None:
    sr = house.sr("dummy")
    disk = house.disk(sr)
    token = house.client("event.from", ["vdi"], "", 0.0)["token"]
    house.client.SR.scan(sr)
    assert house.client("event.from", ["vdi"], token, 0.0)["events"] == []
    assert house.client.SR.get_VDIs(sr) == [disk]


def test_a_copied_sr_does_not_take_the_disks_of_the_other(house: StorageHouse) -> None:
    place, twin = house.place(), house.place()
    sr = house.sr(location=str(place))
    disk = house.disk(sr)
    shutil.copytree(place, twin)
    other = house.client.SR.introduce("", "twin", "", "file", "user", False, {})
    config = {"host": house.host, "SR": other, "device_config": {"location": str(twin)}}
    pbd = house.client.PBD.create(config)
    with contextlib.suppress(Failure):  # a driver may know that the directory is another SR's
        house.client.PBD.plug(pbd)
    assert house.client.SR.get_VDIs(other) == []
    assert house.client.VDI.get_by_uuid(house.client.VDI.get_uuid(disk)) == disk
    house.check_rows_follow_storage(sr)


def test_a_scan_that_fails_leaves_the_rows(house: StorageHouse) -> None:
    place = house.place()
    sr = house.sr(location=str(place))
    disk = house.disk(sr)
    place.rename(place.with_name("elsewhere"))
    try:
        assert refusal(house.client.SR.scan, sr)[0].startswith("SR_BACKEND_FAILURE_")
        assert house.client.SR.get_VDIs(sr) == [disk]
        assert house.client.SR.get_current_operations(sr) == {}
    finally:
        place.with_name("elsewhere").rename(place)


def test_an_unplugged_sr_is_not_scanned(house: StorageHouse) -> None:
    sr = house.sr("dummy")
    house.client.PBD.unplug(house.pbd(sr))
    assert refusal(house.client.SR.scan, sr) == ["SR_HAS_NO_PBDS", sr]
    assert refusal(house.client.SR.update, sr) == ["SR_HAS_NO_PBDS", sr]


# Names and figures


def test_names_are_kept_on_the_sr(house: StorageHouse) -> None:
    sr = house.sr()
    house.client.SR.set_name_label(sr, "renamed")
    house.client.SR.set_name_description(sr, "described")
    house.client.SR.update(sr)
    stat = house.repositories.get(house.db, sr).stat()
    assert (stat.name_label, stat.name_description) == ("renamed", "described")
    assert house.client.SR.get_name_label(sr) == "renamed"


def test_a_name_given_while_the_sr_was_away_reaches_it_later(house: StorageHouse) -> None:
    sr = house.sr()
    house.client.PBD.unplug(house.pbd(sr))
    house.client.SR.set_name_label(sr, "renamed")
    house.client.PBD.plug(house.pbd(sr))
    assert house.repositories.get(house.db, sr).stat().name_label == "renamed"


@pytest.mark.parametrize("message", ["set_physical_size", "set_virtual_allocation", "set_physical_utilisation"])
def test_figures_are_not_for_clients(house: StorageHouse, message: str) -> None:
    sr = house.sr("dummy")
    before = house.client.SR.get_record(sr)
    assert refusal(getattr(house.client.SR, message), sr, "1") == ["PERMISSION_DENIED", ""]
    assert refusal(getattr(house.client.SR, message), DEAD, "1") == ["PERMISSION_DENIED", ""]
    assert house.client.SR.get_record(sr) == before


# Enquiries


def test_the_types_are_those_of_the_drivers(house: StorageHouse) -> None:
    assert {"dummy", "ext", "file", "iso", "udev"} <= set(house.client.SR.get_supported_types())


def test_a_probe_finds_the_sr_that_is_there(house: StorageHouse) -> None:
    place = house.place()
    sr = house.sr(location=str(place))
    uuid = house.client.SR.get_uuid(sr)
    assert uuid in house.client.SR.probe(house.host, {"location": str(place)}, "file", {})
    (found,) = house.client.SR.probe_ext(house.host, {"location": str(place)}, "file", {})
    assert found["complete"] is True
    assert found["configuration"] == {"location": str(place)}
    assert found["sr"]["uuid"] == uuid
    assert found["sr"]["health"] == "healthy"
    assert found["sr"]["total_space"] == house.client.SR.get_physical_size(sr)


def test_a_probe_with_secrets_reads_them(house: StorageHouse) -> None:
    with house.house.toolstack.db.transaction() as transaction:
        secret = transaction.create(Secret, value="47")
    uuid = house.db.get(Secret, secret).uuid
    config = {"fault-probe_secret": uuid}
    assert refusal(house.client.SR.probe, house.host, config, "dummy", {})[0] == "SR_BACKEND_FAILURE_47"
    unknown = {"fault-probe_secret": "none such"}
    assert refusal(house.client.SR.probe, house.host, unknown, "dummy", {}) == ["UUID_INVALID", "secret", "none such"]


def test_an_sr_is_fit_for_what_its_driver_and_its_pbds_allow(house: StorageHouse) -> None:
    sr = house.sr("dummy", size=str(1 << 30))
    house.client.SR.assert_can_host_ha_statefile(sr)
    assert refusal(house.client.SR.assert_supports_database_replication, sr) == ["SR_OPERATION_NOT_SUPPORTED", sr]
    iso, _ = house.iso_sr()
    assert refusal(house.client.SR.assert_can_host_ha_statefile, iso) == ["SR_OPERATION_NOT_SUPPORTED", iso]
    house.client.PBD.unplug(house.pbd(sr))
    for message in ("assert_can_host_ha_statefile", "assert_supports_database_replication"):
        assert refusal(getattr(house.client.SR, message), sr) == ["SR_HAS_NO_PBDS", sr]
    house.client.PBD.destroy(house.pbd(sr))
    assert refusal(house.client.SR.assert_can_host_ha_statefile, sr) == ["SR_HAS_NO_PBDS", sr]
    house.client.SR.forget(sr)


def test_a_statefile_and_a_redo_log_need_room_unless_they_are_there(house: StorageHouse) -> None:
    sr = house.sr("dummy", size=str(259 * MEBIBYTE))
    assert refusal(house.client.SR.assert_can_host_ha_statefile, sr) == ["SR_SOURCE_SPACE_INSUFFICIENT", sr]
    house.disk(sr, type="ha_statefile", virtual_size=str(MEBIBYTE))
    assert refusal(house.client.SR.assert_can_host_ha_statefile, sr) == ["SR_SOURCE_SPACE_INSUFFICIENT", sr]
    house.disk(sr, type="redo_log", virtual_size=str(256 * MEBIBYTE))
    house.client.SR.assert_can_host_ha_statefile(sr)


def test_nobody_keeps_an_sr_that_is_gone_as_a_choice(house: StorageHouse) -> None:
    for way in ("forget", "destroy"):
        sr, other = house.sr("dummy"), house.sr("dummy")
        (pool,) = house.client.pool.get_all()
        vm = halted(house.client)
        for choose in ("default_SR", "suspend_image_SR", "crash_dump_SR"):
            getattr(house.client.pool, f"set_{choose}")(pool, sr)
        house.client.host.set_suspend_image_sr(house.host, sr)
        house.client.host.set_crash_dump_sr(house.host, other)
        house.client.VM.set_suspend_SR(vm, sr)
        house.client.PBD.unplug(house.pbd(sr))
        getattr(house.client.SR, way)(sr)
        record = house.client.pool.get_record(pool)
        assert {record[name] for name in ("default_SR", "suspend_image_SR", "crash_dump_SR")} == {NULL}
        assert house.client.host.get_suspend_image_sr(house.host) == NULL
        assert house.client.host.get_crash_dump_sr(house.host) == other
        assert house.client.VM.get_suspend_SR(vm) == NULL


def test_a_scan_that_was_asked_for_by_a_key_takes_the_key_away(house: StorageHouse) -> None:
    sr = house.sr("dummy")
    house.client.SR.set_other_config(sr, {"dirty": "", "kept": "yes"})
    house.client.SR.scan(sr)
    assert house.client.SR.get_other_config(sr) == {"kept": "yes"}


def test_secrets_in_the_sm_config_go_with_the_sr(house: StorageHouse) -> None:
    sr = house.sr("dummy")
    secret = house.client.secret.create({"value": "hidden", "other_config": {}})
    uuid = house.client.secret.get_uuid(secret)
    house.client.SR.set_sm_config(sr, {"password_secret": uuid})
    house.client.PBD.unplug(house.pbd(sr))
    house.client.SR.destroy(sr)
    assert refusal(house.client.secret.get_by_uuid, uuid)[0] == "UUID_INVALID"


def test_live_hosts_are_those_that_have_it_attached(house: StorageHouse) -> None:
    sr = house.sr("dummy")
    assert house.client.SR.get_live_hosts(sr) == [house.host]
    house.client.PBD.unplug(house.pbd(sr))
    assert house.client.SR.get_live_hosts(sr) == []


def test_dead_references(house: StorageHouse) -> None:
    for message, parameters in {
        "scan": (),
        "update": (),
        "forget": (),
        "destroy": (),
        "set_shared": (True,),
        "set_name_label": ("x",),
        "set_name_description": ("x",),
        "assert_can_host_ha_statefile": (),
        "assert_supports_database_replication": (),
        "get_live_hosts": (),
    }.items():
        assert refusal(getattr(house.client.SR, message), DEAD, *parameters) == ["HANDLE_INVALID", "SR", DEAD]


def test_a_running_vm_survives_a_scan(house: StorageHouse) -> None:
    sr = house.sr()
    disk = house.client.VDI.create(disk_record(sr))
    vm = running(house.client)
    drive = house.drive(vm, disk)
    house.client.VBD.plug(drive)
    house.client.SR.scan(sr)
    assert house.client.VBD.get_currently_attached(drive)
