from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.actions.storage_house import NULL, StorageHouse, storage_house
from tests.fakes.guests import halted
from xapi.actions.attach_disks import AttachDisks
from xapi.datamodel.failure import Failure
from xapi.hypervisor.interface import DiskMode, FileBackend, Volume
from xapi.storage.interface import VdiInUse

ONE, OTHER = "00000000-0000-4000-8000-00000000000a", "00000000-0000-4000-8000-00000000000b"


@pytest.fixture(scope="module")
def house() -> Iterator[StorageHouse]:
    with storage_house() as opened:
        yield opened


@pytest.fixture(scope="module")
def sr(house: StorageHouse) -> str:
    return house.sr()


@pytest.fixture
def disks(house: StorageHouse) -> AttachDisks:
    return AttachDisks(house.db, house.repositories)


def is_free(house: StorageHouse, disk: str) -> bool:
    handle, row = house.repositories.of_vdi(house.db, disk)
    try:
        handle.open_for_writing(row.location).close()
    except VdiInUse:
        return False
    return True


def test_an_attached_disk_has_a_place_until_it_is_detached(house: StorageHouse, sr: str, disks: AttachDisks) -> None:
    volume = Volume(house.disk(sr))
    backend = disks.attach(ONE, volume, DiskMode.READ_WRITE)
    disks.activate(ONE, volume, DiskMode.READ_WRITE)
    assert isinstance(backend, FileBackend)
    assert disks.locate(ONE, volume) == backend
    assert disks.attach(ONE, volume, DiskMode.READ_WRITE) == backend
    assert not is_free(house, volume.key)
    disks.deactivate(ONE, volume)
    disks.detach(ONE, volume)
    assert is_free(house, volume.key)
    disks.detach(ONE, volume)
    disks.deactivate(ONE, volume)


def test_a_second_writer_is_refused_and_takes_nothing_away(house: StorageHouse, sr: str, disks: AttachDisks) -> None:
    volume = Volume(house.disk(sr))
    disks.attach(ONE, volume, DiskMode.READ_WRITE)
    with pytest.raises(VdiInUse):
        disks.attach(OTHER, volume, DiskMode.READ_WRITE)
    disks.detach(OTHER, volume)
    assert not is_free(house, volume.key)
    disks.detach(ONE, volume)
    assert is_free(house, volume.key)


def test_each_reader_gives_back_what_it_took(house: StorageHouse, sr: str, disks: AttachDisks) -> None:
    volume = Volume(house.disk(sr))
    for domain in (ONE, OTHER):
        disks.attach(domain, volume, DiskMode.READ_ONLY)
    disks.detach(ONE, volume)
    disks.detach(ONE, volume)
    assert not is_free(house, volume.key)
    disks.detach(OTHER, volume)
    assert is_free(house, volume.key)


def test_writers_share_a_sharable_disk_until_the_last_one_goes(
    house: StorageHouse, sr: str, disks: AttachDisks
) -> None:
    disk = house.disk(sr)
    house.client.VDI.set_sharable(disk, True)
    volume = Volume(disk)
    domains = [f"00000000-0000-4000-8000-{number:012}" for number in range(16)]

    def use(domain: str) -> None:
        for _ in range(20):
            disks.attach(domain, volume, DiskMode.READ_WRITE)
            disks.activate(domain, volume, DiskMode.READ_WRITE)
            assert not is_free(house, disk)
            disks.deactivate(domain, volume)
            disks.detach(domain, volume)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(use, domains))
    assert is_free(house, disk)


def test_a_disk_of_an_unplugged_sr_is_not_attached(house: StorageHouse, disks: AttachDisks) -> None:
    sr = house.sr("dummy")
    disk = house.disk(sr)
    house.client.PBD.unplug(house.pbd(sr))
    with pytest.raises(Failure, match="SR_HAS_NO_PBDS"):
        disks.attach(ONE, Volume(disk), DiskMode.READ_WRITE)


def test_a_disk_without_a_row_can_be_given_back(house: StorageHouse, sr: str, disks: AttachDisks) -> None:
    disk = house.disk(sr)
    disks.attach(ONE, Volume(disk), DiskMode.READ_WRITE)
    handle, row = house.repositories.of_vdi(house.db, disk)
    house.client.VDI.forget(disk)
    disks.detach(ONE, Volume(disk))
    handle.destroy(row.location)


def test_the_disks_of_running_vms_are_attached_anew_after_a_restart() -> None:
    with storage_house() as house:
        disk = house.disk(house.sr())
        _, (image,) = house.iso_sr("one.iso")
        vm = halted(house.client)
        house.drive(vm, disk)
        house.drive(vm, image, type="CD", mode="RO")
        house.drive(vm, NULL, type="CD", mode="RO", empty=True)
        house.client.VM.start(vm, False, False)
        house.restart()
        disks: AttachDisks = house.house.toolstack.parts[AttachDisks]
        disks.resume()
        assert not is_free(house, disk)
        uuid = house.client.VM.get_uuid(vm)
        assert isinstance(disks.locate(uuid, Volume(disk)), FileBackend)
        house.client.VM.hard_shutdown(vm)
        assert is_free(house, disk)


def test_a_disk_is_located_after_a_restart_even_before_it_was_resumed() -> None:
    with storage_house() as house:
        _, (image,) = house.iso_sr("one.iso")
        vm = halted(house.client)
        house.drive(vm, image, type="CD", mode="RO")
        house.client.VM.start(vm, False, False)
        house.restart()
        disks = AttachDisks(house.db, house.repositories)
        assert isinstance(disks.locate(house.client.VM.get_uuid(vm), Volume(image)), FileBackend)
