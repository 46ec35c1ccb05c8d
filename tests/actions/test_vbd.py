from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import pytest

from tests.actions.storage_house import DEAD, NULL, StorageHouse, drive_record, refusal, storage_house
from tests.fakes.guests import halted, running
from xapi.actions.attach_disks import AttachDisks
from xapi.datamodel.classes import VBD, VM
from xapi.db.database import Database
from xapi.storage.interface import VdiInUse


@pytest.fixture(scope="module")
def house() -> Iterator[StorageHouse]:
    with storage_house() as opened:
        yield opened


@pytest.fixture(scope="module")
def sr(house: StorageHouse) -> str:
    return house.sr()


@pytest.fixture(scope="module")
def images(house: StorageHouse) -> list[str]:
    return house.iso_sr("one.iso", "two.iso")[1]


@pytest.fixture
def vm(house: StorageHouse) -> str:
    return halted(house.client)


@pytest.fixture
def live(house: StorageHouse) -> Iterator[str]:
    vm = running(house.client)
    yield vm
    if house.client.VM.get_power_state(vm) != "Halted":
        house.client.VM.hard_shutdown(vm)


@pytest.fixture
def disk(house: StorageHouse, sr: str) -> str:
    return house.disk(sr)


def cd(house: StorageHouse, vm: str, image: str = NULL, **values: Any) -> str:
    return house.drive(vm, image, type="CD", mode="RO", empty=image == NULL, **values)


def devices_of(house: StorageHouse, vm: str) -> dict[str, Any]:
    """The drives of a VM's domain by name, as the hypervisor has them."""
    state = house.house.toolstack.hypervisor.domains.get(house.client.VM.get_uuid(vm))
    return {disk.device: disk for disk in state.disks}


# Making


def test_a_new_drive_has_what_the_client_gave(house: StorageHouse, vm: str, disk: str) -> None:
    drive = house.drive(vm, disk, userdevice="3", bootable=True, other_config={"a": "b"}, qos_algorithm_type="ionice")
    record = house.client.VBD.get_record(drive)
    assert (record["VM"], record["VDI"], record["empty"]) == (vm, disk, False)
    assert (record["userdevice"], record["device"], record["bootable"]) == ("3", "", True)
    assert (record["mode"], record["type"], record["currently_attached"]) == ("RW", "Disk", False)
    assert (record["other_config"], record["qos_algorithm_type"]) == ({"a": "b"}, "ionice")
    assert house.client.VM.get_VBDs(vm) == [drive]
    assert house.client.VDI.get_VBDs(disk) == [drive]
    assert "attach" in record["allowed_operations"]


def test_places_are_found_by_themselves(house: StorageHouse, vm: str, disk: str) -> None:
    house.drive(vm, disk, userdevice="xvdb")
    house.drive(vm, disk, userdevice="hda")
    drive = house.drive(vm, disk, userdevice="autodetect")
    assert house.client.VBD.get_userdevice(drive) == "2"
    free = house.client.VM.get_allowed_VBD_devices(vm)
    assert free[:2] == ["3", "4"]
    assert (free[-1], len(free)) == ("254", 252)


@pytest.mark.parametrize(
    ("first", "second"), [("0", "0"), ("0", "xvda"), ("hdb", "1"), ("xvdc", "hdc"), ("sda", "xvda"), ("15", "xvdp")]
)
def test_a_place_is_taken_once_under_all_its_names(
    house: StorageHouse, vm: str, disk: str, first: str, second: str
) -> None:
    house.drive(vm, disk, userdevice=first)
    expected = ["DEVICE_ALREADY_EXISTS", second]
    assert refusal(house.client.VBD.create, drive_record(vm, disk, userdevice=second)) == expected


@pytest.mark.parametrize("name", ["", "-1", "256", "1000", "xvd", "vda", "hda!", "1.5", "fdc", "０"])
def test_places_that_do_not_exist_are_refused(house: StorageHouse, vm: str, disk: str, name: str) -> None:
    assert refusal(house.client.VBD.create, drive_record(vm, disk, userdevice=name)) == ["INVALID_DEVICE", name]
    assert house.client.VM.get_VBDs(vm) == []


def test_drives_made_at_once_have_different_places(house: StorageHouse, vm: str, disk: str) -> None:
    with ThreadPoolExecutor(8) as pool:
        drives = list(pool.map(lambda _: house.drive(vm, disk), range(16)))
    places = sorted(int(house.client.VBD.get_userdevice(drive)) for drive in drives)
    assert places == list(range(16))


def test_references_must_be_good(house: StorageHouse, vm: str, disk: str) -> None:
    assert refusal(house.client.VBD.create, drive_record(DEAD, disk)) == ["HANDLE_INVALID", "VM", DEAD]
    assert refusal(house.client.VBD.create, drive_record(vm, DEAD)) == ["HANDLE_INVALID", "VDI", DEAD]
    assert refusal(house.client.VBD.create, drive_record(vm, NULL)) == ["HANDLE_INVALID", "VDI", NULL]


def test_cd_drives_are_read_only_and_may_be_empty(house: StorageHouse, vm: str, disk: str, images: list[str]) -> None:
    assert refusal(house.client.VBD.create, drive_record(vm, images[0], type="CD")) == ["VBD_CDS_MUST_BE_READONLY"]
    sr = house.client.VDI.get_SR(disk)
    expected = ["VDI_IS_NOT_ISO", disk, house.client.SR.get_content_type(sr)]
    assert refusal(house.client.VBD.create, drive_record(vm, disk, type="CD", mode="RO")) == expected
    expected = ["VBD_NOT_REMOVABLE_MEDIA", "in constructor"]
    assert refusal(house.client.VBD.create, drive_record(vm, NULL, empty=True)) == expected
    full, empty = cd(house, vm, images[0]), cd(house, vm)
    assert house.client.VBD.get_VDI(full) == images[0]
    assert (house.client.VBD.get_empty(empty), house.client.VBD.get_VDI(empty)) == (True, NULL)


def test_a_read_only_disk_is_not_for_writing(house: StorageHouse, vm: str, sr: str) -> None:
    disk = house.disk(sr, read_only=True)
    assert refusal(house.client.VBD.create, drive_record(vm, disk)) == ["VDI_READONLY", disk]
    house.drive(vm, disk, mode="RO")


def test_disks_for_other_purposes_are_refused(house: StorageHouse, vm: str, sr: str) -> None:
    disk = house.disk(sr, type="ha_statefile")
    expected = ["VDI_INCOMPATIBLE_TYPE", disk, "HA statefile"]
    assert refusal(house.client.VBD.create, drive_record(vm, disk)) == expected


def test_floppies_have_two_places(house: StorageHouse, vm: str, disk: str) -> None:
    drives = [house.drive(vm, disk, type="Floppy") for _ in range(2)]
    assert [house.client.VBD.get_userdevice(drive) for drive in drives] == ["fda", "fdb"]
    assert refusal(house.client.VBD.create, drive_record(vm, disk, type="Floppy")) == ["INVALID_DEVICE", "autodetect"]
    expected = ["INVALID_DEVICE", "0"]
    assert refusal(house.client.VBD.create, drive_record(vm, disk, type="Floppy", userdevice="0")) == expected


def test_templates_have_drives_too(house: StorageHouse, disk: str) -> None:
    template = halted(house.client, is_a_template=True)
    drive = house.drive(template, disk)
    assert house.client.VM.get_VBDs(template) == [drive]
    house.client.VBD.destroy(drive)


def test_the_mode_is_set_while_the_vm_is_halted(house: StorageHouse, vm: str, live: str, disk: str) -> None:
    drive = house.drive(vm, disk)
    house.client.VBD.set_mode(drive, "RO")
    assert house.client.VBD.get_mode(drive) == "RO"
    empty = cd(house, vm)
    assert refusal(house.client.VBD.set_mode, empty, "RW") == ["VBD_CDS_MUST_BE_READONLY"]
    drive = house.drive(live, disk)
    assert refusal(house.client.VBD.set_mode, drive, "RO") == ["VM_BAD_POWER_STATE", live, "halted", "running"]


# Plugging


def test_a_drive_is_plugged_and_unplugged(house: StorageHouse, live: str, disk: str) -> None:
    drive = house.drive(live, disk, userdevice="5")
    house.client.VBD.plug(drive)
    assert house.client.VBD.get_currently_attached(drive)
    device = house.client.VBD.get_device(drive)
    assert devices_of(house, live)[device].source.path.endswith(".vhd")
    assert refusal(house.client.VBD.plug, drive) == ["DEVICE_ALREADY_ATTACHED", drive]
    assert refusal(house.client.VBD.destroy, drive)[0] == "OPERATION_NOT_ALLOWED"
    assert refusal(house.client.VDI.destroy, disk) == ["VDI_IN_USE", disk, "destroy"]
    house.client.VBD.unplug(drive)
    assert devices_of(house, live) == {}
    assert refusal(house.client.VBD.unplug, drive) == ["DEVICE_ALREADY_DETACHED", drive]
    house.client.VBD.destroy(drive)
    house.client.VDI.destroy(disk)


def test_a_disk_has_one_writer(house: StorageHouse, live: str, disk: str) -> None:
    other = running(house.client)
    first, second = house.drive(live, disk), house.drive(other, disk)
    house.client.VBD.assert_attachable(second)
    house.client.VBD.plug(first)
    assert refusal(house.client.VBD.plug, second)[:2] == ["VDI_IN_USE", disk]
    assert refusal(house.client.VBD.assert_attachable, second)[:2] == ["VDI_IN_USE", disk]
    house.client.VBD.unplug_force(first)
    house.client.VBD.plug(second)
    house.client.VM.hard_shutdown(other)


def test_a_sharable_disk_has_many_writers(house: StorageHouse, live: str, disk: str) -> None:
    house.client.VDI.set_sharable(disk, True)
    other = running(house.client)
    first, second = house.drive(live, disk), house.drive(other, disk)
    house.client.VBD.plug(first)
    house.client.VBD.plug(second)
    house.client.VBD.unplug(first)
    location = house.client.VDI.get_location(disk)
    handle, _ = house.repositories.of_vdi(house.db, disk)
    assert refusal(house.client.VDI.destroy, disk) == ["VDI_IN_USE", disk, "destroy"]
    house.client.VM.hard_shutdown(other)
    handle.destroy(location)  # nobody holds it any more


def test_readers_share_a_disk(house: StorageHouse, live: str, disk: str) -> None:
    other = running(house.client)
    for vm in (live, other):
        house.client.VBD.plug(house.drive(vm, disk, mode="RO"))
    house.client.VM.hard_shutdown(other)


def test_a_halted_vm_has_nothing_to_plug_into(house: StorageHouse, vm: str, disk: str) -> None:
    drive = house.drive(vm, disk)
    for message in ("plug", "unplug", "unplug_force"):
        expected = ["VM_BAD_POWER_STATE", vm, "running", "halted"]
        assert refusal(getattr(house.client.VBD, message), drive) == expected


def test_a_drive_that_must_stay_stays(house: StorageHouse, live: str, disk: str) -> None:
    drive = house.drive(live, disk, unpluggable=False)
    house.client.VBD.plug(drive)
    assert refusal(house.client.VBD.unplug, drive) == ["VBD_NOT_UNPLUGGABLE", drive]


def test_a_disk_that_storage_holds_for_somebody_else_is_not_plugged(house: StorageHouse, live: str, disk: str) -> None:
    drive = house.drive(live, disk)
    handle, row = house.repositories.of_vdi(house.db, disk)
    handle.attach(row.location, False)
    assert refusal(house.client.VBD.plug, drive)[:2] == ["VDI_IN_USE", disk]
    handle.detach(row.location)
    house.client.VBD.plug(drive)


def test_a_plug_that_cannot_be_recorded_is_undone(
    house: StorageHouse, live: str, disk: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    drive = house.drive(live, disk)
    queue = Database._queue_changes

    def refuse(self: Database, transaction: Any) -> Any:
        row = transaction.changes.get((VBD, drive))
        if row is not None and row.currently_attached:
            raise OSError("the disk is full")
        return queue(self, transaction)

    with monkeypatch.context() as patch:
        patch.setattr(Database, "_queue_changes", refuse)
        assert refusal(house.client.VBD.plug, drive)[0] == "INTERNAL_ERROR"
    assert devices_of(house, live) == {}
    assert not house.client.VBD.get_currently_attached(drive)
    house.client.VBD.plug(drive)


def test_the_disks_of_a_vm_that_starts_are_given_back_when_it_stops(
    house: StorageHouse, vm: str, disk: str, images: list[str]
) -> None:
    drives = [house.drive(vm, disk), cd(house, vm, images[0]), cd(house, vm)]
    house.client.VM.start(vm, False, False)
    assert all(house.client.VBD.get_currently_attached(drive) for drive in drives)
    house.client.VM.hard_shutdown(vm)
    assert not any(house.client.VBD.get_currently_attached(drive) for drive in drives)
    handle, row = house.repositories.of_vdi(house.db, disk)
    handle.destroy(row.location)


@contextmanager
def fault(house: StorageHouse, operation: str, kind: str) -> Iterator[None]:
    """Let the simulated hypervisor fail once."""
    driver = house.house.toolstack.hypervisor
    driver.configure({f"simulator:fault:{operation}": f"{kind},times=1"})
    yield
    driver.configure({})


def test_a_drive_that_the_hypervisor_refuses_leaves_its_disk_free(house: StorageHouse, live: str, disk: str) -> None:
    drive = house.drive(live, disk)
    with fault(house, "plug_disk", "refused"):
        assert refusal(house.client.VBD.plug, drive)[0] == "OPERATION_NOT_ALLOWED"
    assert not house.client.VBD.get_currently_attached(drive)
    assert house.client.VBD.get_current_operations(drive) == {}
    house.client.VDI.destroy(disk)


def test_a_guest_may_keep_its_drive_until_it_is_forced(house: StorageHouse, live: str, disk: str) -> None:
    drive = house.drive(live, disk)
    house.client.VBD.plug(drive)
    with fault(house, "unplug_disk", "busy"):
        assert refusal(house.client.VBD.unplug, drive)[:3] == ["DEVICE_DETACH_REJECTED", "VBD", drive]
    assert house.client.VBD.get_currently_attached(drive)
    assert refusal(house.client.VDI.destroy, disk) == ["VDI_IN_USE", disk, "destroy"]
    house.client.VBD.unplug_force(drive)
    house.client.VBD.destroy(drive)
    house.client.VDI.destroy(disk)


def test_a_drive_that_the_guest_lost_is_unplugged_all_the_same(house: StorageHouse, live: str, disk: str) -> None:
    drive = house.drive(live, disk)
    house.client.VBD.plug(drive)
    devices = house.house.toolstack.hypervisor.devices
    devices.unplug_disk(house.client.VM.get_uuid(live), house.client.VBD.get_device(drive), True)
    house.client.VBD.unplug(drive)
    house.client.VDI.destroy(disk)


@pytest.mark.parametrize("operation", ["insert_media", "eject_media"])
def test_a_medium_that_cannot_be_changed_stays(house: StorageHouse, vm: str, images: list[str], operation: str) -> None:
    drive = cd(house, vm, images[0] if operation == "eject_media" else NULL)
    house.client.VM.start(vm, False, False)
    before = house.client.VBD.get_record(drive)
    call = house.client.VBD.eject if operation == "eject_media" else house.client.VBD.insert
    with fault(house, operation, "refused"):
        assert refusal(call, drive, *((images[0],) if operation == "insert_media" else ()))[0] != ""
    assert house.client.VBD.get_record(drive) == before
    house.client.VM.hard_shutdown(vm)


# Control domains


def control_domain(house: StorageHouse) -> str:
    return next(row.ref for row in house.db.all(VM) if row.is_control_domain)


def test_a_drive_of_the_control_domain_attaches_the_disk_here(house: StorageHouse, disk: str) -> None:
    drive = house.drive(control_domain(house), disk)
    house.client.VBD.plug(drive)
    assert house.client.VBD.get_currently_attached(drive)
    assert house.client.VBD.get_device(drive)
    handle, row = house.repositories.of_vdi(house.db, disk)
    assert refusal(lambda: house.client.VDI.copy(disk, house.client.VDI.get_SR(disk)))[:2] == ["VDI_IN_USE", disk]
    house.client.VBD.unplug(drive)
    house.client.VBD.destroy(drive)
    handle.destroy(row.location)


# Media


def test_media_change_in_a_halted_vm(house: StorageHouse, vm: str, images: list[str]) -> None:
    drive = cd(house, vm)
    assert refusal(house.client.VBD.eject, drive) == ["VBD_IS_EMPTY", drive]
    house.client.VBD.insert(drive, images[0])
    assert (house.client.VBD.get_VDI(drive), house.client.VBD.get_empty(drive)) == (images[0], False)
    assert refusal(house.client.VBD.insert, drive, images[1]) == ["VBD_NOT_EMPTY", drive]
    house.client.VBD.eject(drive)
    assert (house.client.VBD.get_VDI(drive), house.client.VBD.get_empty(drive)) == (NULL, True)


def test_media_change_in_a_running_vm(house: StorageHouse, vm: str, images: list[str]) -> None:
    drive = cd(house, vm, images[0])
    house.client.VM.start(vm, False, False)
    (device,) = devices_of(house, vm)
    assert devices_of(house, vm)[device].source.path.endswith("one.iso")
    house.client.VBD.eject(drive)
    assert not hasattr(devices_of(house, vm)[device].source, "path")
    house.client.VBD.insert(drive, images[1])
    assert devices_of(house, vm)[device].source.path.endswith("two.iso")
    assert house.client.VBD.get_VDI(drive) == images[1]
    house.client.VM.hard_shutdown(vm)
    disks = house.house.toolstack.parts[AttachDisks]
    assert disks._find(house.client.VM.get_uuid(vm), images[1]) is None


def test_two_drives_of_a_vm_hold_the_same_image(house: StorageHouse, vm: str, images: list[str]) -> None:
    first, second = cd(house, vm, images[0]), cd(house, vm)
    house.client.VM.start(vm, False, False)
    house.client.VBD.insert(second, images[0])
    house.client.VBD.eject(first)
    disks = house.house.toolstack.parts[AttachDisks]
    uuid = house.client.VM.get_uuid(vm)
    assert disks._find(uuid, images[0]) is not None
    house.client.VBD.eject(second)
    assert disks._find(uuid, images[0]) is None
    house.client.VM.hard_shutdown(vm)


def test_two_drives_of_a_vm_read_the_same_disk(house: StorageHouse, live: str, disk: str) -> None:
    first, second = (house.drive(live, disk, mode="RO") for _ in range(2))
    house.client.VBD.plug(first)
    house.client.VBD.plug(second)
    house.client.VBD.unplug(first)
    assert len(devices_of(house, live)) == 1
    handle, row = house.repositories.of_vdi(house.db, disk)
    with pytest.raises(VdiInUse):
        handle.destroy(row.location)
    house.client.VBD.unplug(second)
    handle.destroy(row.location)


def test_only_images_go_into_cd_drives(house: StorageHouse, vm: str, disk: str, images: list[str]) -> None:
    drive = cd(house, vm)
    assert refusal(house.client.VBD.insert, drive, disk) == ["VDI_IS_NOT_ISO", disk, "user"]
    assert refusal(house.client.VBD.insert, drive, DEAD) == ["HANDLE_INVALID", "VDI", DEAD]
    fixed = house.drive(vm, disk)
    assert refusal(house.client.VBD.insert, fixed, images[0]) == ["VBD_NOT_REMOVABLE_MEDIA", fixed]
    assert refusal(house.client.VBD.eject, fixed) == ["VBD_NOT_REMOVABLE_MEDIA", fixed]
    assert house.client.VBD.get_current_operations(drive) == {}


def test_pausing_is_left_to_the_drivers(house: StorageHouse, vm: str, disk: str) -> None:
    drive = house.drive(vm, disk)
    sr = house.client.VDI.get_SR(disk)
    assert refusal(house.client.VBD.pause, drive) == ["SR_OPERATION_NOT_SUPPORTED", sr]
    assert refusal(house.client.VBD.unpause, drive, "token") == ["SR_OPERATION_NOT_SUPPORTED", sr]


def test_dead_references(house: StorageHouse, images: list[str]) -> None:
    for message, parameters in {
        "destroy": (),
        "plug": (),
        "unplug": (),
        "unplug_force": (),
        "unplug_force_no_safety_check": (),
        "insert": (images[0],),
        "eject": (),
        "set_mode": ("RO",),
        "assert_attachable": (),
        "pause": (),
        "unpause": (),
    }.items():
        assert refusal(getattr(house.client.VBD, message), DEAD, *parameters) == ["HANDLE_INVALID", "VBD", DEAD]
    assert refusal(house.client.VM.get_allowed_VBD_devices, DEAD) == ["HANDLE_INVALID", "VM", DEAD]
