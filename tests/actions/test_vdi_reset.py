from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.actions.lvm_house import lvm_house
from tests.actions.storage_house import MEBIBYTE, StorageHouse, refusal
from tests.fakes.guests import halted
from tests.storage.datapath.client import Client
from xapi.hypervisor.interface import NbdBackend
from xapi.services.coalescer import Coalescer

SIZE = 10 * MEBIBYTE
KEPT, LOST = b"kept".ljust(512, b"k"), b"lost".ljust(512, b"l")


@pytest.fixture(scope="module", params=("true", "false"), ids=("by path", "by socket"))
def house(request: pytest.FixtureRequest) -> Iterator[StorageHouse]:
    with lvm_house(vhd_files=request.param) as opened:
        yield opened


@pytest.fixture(params=("file", "lvm", "thin"))
def sr(house: StorageHouse, request: pytest.FixtureRequest) -> str:
    return house.sr(request.param)


@pytest.fixture
def disk(house: StorageHouse, sr: str) -> str:
    made = house.disk(sr)
    house.write(made, MEBIBYTE, KEPT)
    house.client.VDI.set_on_boot(made, "reset")
    return made


@pytest.fixture
def vm(house: StorageHouse, disk: str) -> Iterator[str]:
    made = halted(house.client)
    house.drive(made, disk)
    yield made
    if house.client.VM.get_power_state(made) != "Halted":
        house.client.VM.hard_shutdown(made)


def dirty(house: StorageHouse, vm: str, disk: str) -> None:
    """What a guest writes that runs, or has run."""
    if house.client.VM.get_power_state(vm) == "Running":
        (drive,) = house.house.toolstack.hypervisor.domains.get(house.client.VM.get_uuid(vm)).disks
        if isinstance(drive.source, NbdBackend):
            client = Client.unix(drive.source.socket)
            client.write(MEBIBYTE, LOST)
            client.write(5 * MEBIBYTE, LOST)
            client.close()
            return
        house.client.VM.hard_shutdown(vm)
    house.write(disk, MEBIBYTE, LOST)
    house.write(disk, 5 * MEBIBYTE, LOST)


def content(house: StorageHouse, disk: str) -> tuple[bytes, bytes]:
    return house.read(disk, MEBIBYTE, 512), house.read(disk, 5 * MEBIBYTE, 512)


def test_each_start_drops_what_the_last_run_wrote(house: StorageHouse, sr: str, disk: str, vm: str) -> None:
    for _ in range(2):
        house.client.VM.start(vm, False, False)
        dirty(house, vm, disk)
        if house.client.VM.get_power_state(vm) == "Running":
            house.client.VM.hard_shutdown(vm)
        assert content(house, disk) == (LOST, LOST)
    house.client.VM.start(vm, False, False)
    house.client.VM.hard_shutdown(vm)
    assert content(house, disk) == (KEPT, bytes(512))
    house.client.SR.scan(sr)
    house.check_rows_follow_storage(sr)


def test_a_reboot_drops_it_too(house: StorageHouse, disk: str, vm: str) -> None:
    house.client.VM.start(vm, False, False)
    dirty(house, vm, disk)
    if house.client.VM.get_power_state(vm) == "Halted":
        house.client.VM.start(vm, False, False)
    house.client.VM.hard_reboot(vm)
    house.client.VM.hard_shutdown(vm)
    assert content(house, disk) == (KEPT, bytes(512))


def test_a_running_guest_may_not_leave_its_run(house: StorageHouse, sr: str, disk: str, vm: str) -> None:
    house.client.VM.set_suspend_SR(vm, sr)
    house.client.VM.start(vm, False, False)
    assert refusal(house.client.VM.suspend, vm) == ["VDI_ON_BOOT_MODE_INCOMPATIBLE_WITH_OPERATION"]
    assert refusal(house.client.VDI.snapshot, disk, {}) == ["VDI_ON_BOOT_MODE_INCOMPATIBLE_WITH_OPERATION"]


def test_a_disk_that_persists_again_keeps_what_is_written(house: StorageHouse, disk: str, vm: str) -> None:
    house.client.VDI.set_on_boot(disk, "persist")
    dirty(house, vm, disk)
    house.client.VM.start(vm, False, False)
    house.client.VM.hard_shutdown(vm)
    assert content(house, disk) == (LOST, LOST)
    house.client.VDI.set_on_boot(disk, "reset")
    house.write(disk, MEBIBYTE, KEPT)
    house.client.VM.start(vm, False, False)
    house.client.VM.hard_shutdown(vm)
    assert content(house, disk) == (LOST, LOST)


def test_a_disk_that_has_grown_stays_as_large(house: StorageHouse, sr: str, disk: str, vm: str) -> None:
    house.client.VDI.resize(disk, str(2 * SIZE))
    house.write(disk, SIZE + MEBIBYTE, LOST)
    house.client.VM.start(vm, False, False)
    house.client.VM.hard_shutdown(vm)
    assert house.client.VDI.get_virtual_size(disk) == str(2 * SIZE)
    assert house.read(disk, SIZE + MEBIBYTE, 512) == bytes(512)
    house.check_rows_follow_storage(sr)


def test_clones_are_of_what_the_disk_holds_now(house: StorageHouse, disk: str, vm: str) -> None:
    dirty(house, vm, disk)
    clone = house.client.VDI.clone(disk, {})
    house.client.VM.start(vm, False, False)
    house.client.VM.hard_shutdown(vm)
    assert content(house, clone) == (LOST, LOST)


def test_a_disk_in_use_is_not_set(house: StorageHouse, disk: str, vm: str) -> None:
    house.client.VM.start(vm, False, False)
    assert refusal(house.client.VDI.set_on_boot, disk, "persist") == ["VDI_IN_USE", disk, "set_on_boot"]


def test_a_tracked_disk_is_not_reset(house: StorageHouse, sr: str) -> None:
    disk = house.disk(sr)
    house.client.VDI.enable_cbt(disk)
    assert refusal(house.client.VDI.set_on_boot, disk, "reset") == ["VDI_CBT_ENABLED", disk]


def test_chains_are_collected_without_touching_what_the_disk_starts_with(
    house: StorageHouse, sr: str, disk: str, vm: str
) -> None:
    dirty(house, vm, disk)
    Coalescer(house.house.toolstack, settle=0).look_after(sr)
    house.client.VM.start(vm, False, False)
    house.client.VM.hard_shutdown(vm)
    assert content(house, disk) == (KEPT, bytes(512))
    house.client.VDI.set_on_boot(disk, "persist")
    Coalescer(house.house.toolstack, settle=0).look_after(sr)
    assert [house.client.VDI.get_managed(ref) for ref in house.client.SR.get_VDIs(sr)] == [True]
    assert content(house, disk) == (KEPT, bytes(512))


def test_a_raw_disk_is_reset_once_it_has_a_parent(house: StorageHouse, sr: str) -> None:
    raw = house.disk(sr, sm_config={"type": "raw"})
    house.write(raw, MEBIBYTE, KEPT)
    house.client.VDI.set_on_boot(raw, "reset")
    vm = halted(house.client)
    house.drive(vm, raw)
    house.client.VM.start(vm, False, False)
    dirty(house, vm, raw)
    for _ in range(2):
        if house.client.VM.get_power_state(vm) == "Running":
            house.client.VM.hard_shutdown(vm)
        house.client.VM.start(vm, False, False)
    house.client.VM.hard_shutdown(vm)
    assert content(house, raw) == (KEPT, bytes(512))
    house.client.VDI.set_on_boot(raw, "persist")
    Coalescer(house.house.toolstack, settle=0).look_after(sr)
    assert house.client.VDI.get_sm_config(raw)["vdi_type"] == "raw"
    assert content(house, raw) == (KEPT, bytes(512))
    house.check_rows_follow_storage(sr)


@pytest.mark.parametrize("live", (False, True))
def test_a_disk_that_moves_is_reset_to_what_it_held_then(
    house: StorageHouse, sr: str, disk: str, vm: str, live: bool
) -> None:
    other = house.sr()
    if live:
        house.client.VM.start(vm, False, False)
    moved = house.client.VDI.pool_migrate(disk, other, {})
    assert house.client.VDI.get_on_boot(moved) == "reset"
    dirty(house, vm, moved)
    if house.client.VM.get_power_state(vm) == "Running":
        house.client.VM.hard_shutdown(vm)
    house.client.VM.start(vm, False, False)
    house.client.VM.hard_shutdown(vm)
    assert content(house, moved) == (KEPT, bytes(512))
    house.check_rows_follow_storage(other)


def test_a_copy_is_reset_where_its_driver_can(house: StorageHouse, sr: str, disk: str, vm: str) -> None:
    there, plain = house.client.VDI.copy(disk, sr), house.client.VDI.copy(disk, house.sr("dummy"))
    assert [house.client.VDI.get_on_boot(made) for made in (there, plain)] == ["reset", "persist"]
    house.write(there, MEBIBYTE, LOST)
    other = halted(house.client)
    house.drive(other, there)
    house.client.VM.start(other, False, False)
    house.client.VM.hard_shutdown(other)
    assert content(house, there) == content(house, plain) == (KEPT, bytes(512))
