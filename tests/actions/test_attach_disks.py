from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.actions.storage_house import MEBIBYTE, NULL, StorageHouse, storage_house
from tests.fakes.eventually import eventually
from tests.fakes.guests import halted
from tests.storage.datapath.client import Client
from xapi.actions.attach_disks import AttachDisks
from xapi.datamodel.failure import Failure
from xapi.hypervisor.interface import DiskMode, FileBackend, NbdBackend, Volume
from xapi.storage.datapath.processes import DataPathProcesses
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


# Guests that get VHD disks through processes


CLIENTS: list[Client] = []


@pytest.fixture
def serving() -> Iterator[StorageHouse]:
    with storage_house(vhd_files="false") as opened:
        yield opened
        while CLIENTS:
            CLIENTS.pop().close()
        assert not list((opened.root / "state" / "datapath").glob("*.json")), "a process is left"


def socket_of(house: StorageHouse, vm: str) -> str:
    (disk,) = house.house.toolstack.hypervisor.domains.get(house.client.VM.get_uuid(vm)).disks
    assert isinstance(disk.source, NbdBackend)
    return disk.source.socket


def client_of(house: StorageHouse, vm: str) -> Client:
    CLIENTS.append(Client.unix(socket_of(house, vm)))
    return CLIENTS[-1]


def started(house: StorageHouse) -> tuple[str, str]:
    disk = house.disk(house.sr())
    vm = halted(house.client)
    house.drive(vm, disk)
    house.client.VM.start(vm, False, False)
    return vm, disk


def processes_of(house: StorageHouse) -> DataPathProcesses:
    found: DataPathProcesses = house.house.toolstack.part(DataPathProcesses)
    return found


def test_a_guest_writes_through_a_process_that_ends_with_it(serving: StorageHouse) -> None:
    vm, disk = started(serving)
    client = client_of(serving, vm)
    client.write(4096, b"by the guest")
    taken = serving.client.VDI.snapshot(disk, {})
    assert serving.read(taken, 4096, 12) == b"by the guest"
    serving.client.VM.hard_shutdown(vm)
    assert os.listdir(serving.root / "state" / "datapath") == ["datapath.log"]
    assert serving.read(disk, 4096, 12) == b"by the guest"
    assert is_free(serving, disk)


def test_raw_disks_and_images_need_no_process(serving: StorageHouse) -> None:
    sr = serving.sr()
    raw = serving.disk(sr, sm_config={"type": "raw"})
    simulated = serving.disk(serving.sr("dummy"))
    _, (image,) = serving.iso_sr("one.iso")
    vm = halted(serving.client)
    for disk in (raw, simulated):
        serving.drive(vm, disk)
    serving.drive(vm, image, type="CD", mode="RO")
    serving.client.VM.start(vm, False, False)
    domain = serving.house.toolstack.hypervisor.domains.get(serving.client.VM.get_uuid(vm))
    assert all(isinstance(disk.source, FileBackend) for disk in domain.disks)
    serving.client.VM.hard_shutdown(vm)


def test_a_process_is_found_again_after_a_restart(serving: StorageHouse) -> None:
    vm, disk = started(serving)
    client = client_of(serving, vm)
    client.write(0, b"before")
    serving.restart()
    assert client.read(0, 6) == b"before"
    client.write(0, b"after!")
    serving.client.VDI.resize_online(disk, str(20 * MEBIBYTE))
    assert client_of(serving, vm).read(0, 6) == b"after!"
    serving.client.VM.hard_shutdown(vm)
    assert serving.read(disk, 0, 6) == b"after!"


def test_a_process_whose_guest_has_gone_meanwhile_is_ended_at_a_restart(serving: StorageHouse) -> None:
    vm, disk = started(serving)
    socket = socket_of(serving, vm)
    serving.house.toolstack.hypervisor.domains.destroy(serving.client.VM.get_uuid(vm))
    serving.restart()
    assert serving.client.VM.get_power_state(vm) == "Halted"
    assert not Path(socket).exists()
    assert is_free(serving, disk)


def test_a_process_that_died_is_started_anew(serving: StorageHouse) -> None:
    vm, disk = started(serving)
    handle, row = serving.repositories.of_vdi(serving.db, disk)
    client = client_of(serving, vm)
    client.write(0, b"kept")
    client.flush()
    status = processes_of(serving).status(handle.uuid, row.location)
    assert status is not None
    os.kill(int(str(status["pid"])), signal.SIGKILL)
    assert eventually(processes_of(serving).revive, lambda revived: revived == (row.location,))
    assert client_of(serving, vm).read(0, 4) == b"kept"
    serving.client.VM.hard_shutdown(vm)


def test_drives_come_and_go_with_their_processes(serving: StorageHouse) -> None:
    vm, _ = started(serving)
    disk = serving.disk(serving.sr())
    drive = serving.drive(vm, disk)

    def files() -> set[str]:
        return set(os.listdir(serving.root / "state" / "datapath")) - {"datapath.log"}

    before = files()
    serving.client.VBD.plug(drive)
    assert len(files() - before) == 3
    serving.client.VBD.unplug(drive)
    assert files() == before
    serving.client.VM.hard_shutdown(vm)
