from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
from collections.abc import Iterator
from threading import Event, Thread
from typing import Any

import pytest

from tests.actions.killed_move import STEPS
from tests.actions.storage_house import MEBIBYTE, StorageHouse, refusal, storage_house
from tests.fakes.eventually import eventually
from tests.fakes.guests import halted, running
from tests.storage.datapath.client import Client
from xapi.actions.attach_disks import AttachDisks
from xapi.actions.vdi import moving
from xapi.actions.vdi.moving import StorageMoves
from xapi.actions.vdi.unfinished_moves import finish_moves
from xapi.datamodel.errors import TASK_CANCELLED
from xapi.dispatch.tasks import TaskInHand
from xapi.hypervisor.interface import FileBackend, NbdBackend, Volume
from xapi.storage.datapath.control import Control, ControlGone

SIZE = 10 * MEBIBYTE


@pytest.fixture(scope="module")
def house() -> Iterator[StorageHouse]:
    with storage_house() as opened:
        yield opened


@pytest.fixture(scope="module")
def serving() -> Iterator[StorageHouse]:
    """A house whose guests get VHD disks through processes."""
    with storage_house(vhd_files="false") as opened:
        yield opened
        for vm in opened.client.VM.get_all_records_where('field "power_state" = "Running"'):
            if not opened.client.VM.get_is_control_domain(vm):
                opened.client.VM.hard_shutdown(vm)


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
    house.write(disk, SIZE - 512, b"last".ljust(512))
    return disk


def content(house: StorageHouse, disk: str) -> bytes:
    return house.read(disk, 0, int(house.client.VDI.get_virtual_size(disk)))


def drives_in(house: StorageHouse, vm: str) -> tuple[Any, ...]:
    domain = house.house.toolstack.hypervisor.domains.get(house.client.VM.get_uuid(vm))
    return tuple(disk.source for disk in domain.disks)


def check_nothing_is_left(house: StorageHouse, sr: str, *disks: str) -> None:
    managed = [ref for ref in house.client.SR.get_VDIs(sr) if house.client.VDI.get_managed(ref)]
    assert sorted(managed) == sorted(disks)
    house.client.SR.scan(sr)
    house.check_rows_follow_storage(sr)
    for ref in disks:
        assert not moving.MARKS & set(house.client.VDI.get_other_config(ref))


# Disks whose VM does not run


def test_a_disk_moves_with_its_drives_and_snapshots(house: StorageHouse, sr: str, other_sr: str) -> None:
    disk = filled(house, sr, tags=["t"], xenstore_data={"a": "b"})
    vm = halted(house.client)
    drive = house.drive(vm, disk)
    alone = house.client.VDI.snapshot(disk, {})
    before = content(house, disk)
    old = house.client.VDI.get_record(disk)
    moved = house.client.VDI.pool_migrate(disk, other_sr, {})
    assert content(house, moved) == before
    assert house.client.VBD.get_VDI(drive) == moved
    assert house.client.VDI.get_snapshot_of(alone) == moved
    new = house.client.VDI.get_record(moved)
    for name in ("name_label", "name_description", "type", "other_config", "xenstore_data", "tags", "virtual_size"):
        assert new[name] == old[name]
    assert refusal(house.client.VDI.get_record, disk) == ["HANDLE_INVALID", "VDI", disk]
    assert house.client.VM.get_current_operations(vm) == {}
    check_nothing_is_left(house, sr, alone)
    check_nothing_is_left(house, other_sr, moved)


def test_snapshots_of_the_vm_move_and_share_what_they_shared(house: StorageHouse, sr: str, other_sr: str) -> None:
    disk = filled(house, sr)
    vm = halted(house.client)
    house.drive(vm, disk)
    wanted, snapshots = [], []
    for number in range(3):
        house.write(disk, number * MEBIBYTE, bytes([number + 1]) * 512)
        snapshots.append(house.client.VM.snapshot(vm, f"snapshot {number}"))
        wanted.append(content(house, disk))
    house.client.VDI.resize(disk, str(2 * SIZE))
    house.write(disk, SIZE + 4096, b"grown".ljust(512))
    wanted.append(content(house, disk))
    times = [house.client.VDI.get_snapshot_time(disk_of(house, each)) for each in snapshots]
    moved = house.client.VDI.pool_migrate(disk, other_sr, {})
    taken = [disk_of(house, each) for each in snapshots]
    assert [content(house, each) for each in [*taken, moved]] == wanted
    assert {house.client.VDI.get_SR(each) for each in taken} == {other_sr}
    assert {house.client.VDI.get_snapshot_of(each) for each in taken} == {moved}
    assert [house.client.VDI.get_snapshot_time(each) for each in taken] == times
    assert sorted(house.client.VDI.get_snapshots(moved)) == sorted(taken)
    check_nothing_is_left(house, sr)
    check_nothing_is_left(house, other_sr, moved, *taken)
    if house.client.SR.get_type(other_sr) == "file":
        assert house.client.VDI.get_sm_config(moved)["vhd-parent"]
    house.client.VM.revert(snapshots[1])
    (drive,) = house.client.VM.get_VBDs(vm)
    assert content(house, house.client.VBD.get_VDI(drive)) == wanted[1]


def disk_of(house: StorageHouse, vm: str) -> str:
    (drive,) = house.client.VM.get_VBDs(vm)
    found: str = house.client.VBD.get_VDI(drive)
    return found


def test_the_disk_of_a_suspended_vm_moves(house: StorageHouse, sr: str, other_sr: str) -> None:
    disk = filled(house, sr)
    vm = halted(house.client, suspend_SR=sr)
    house.drive(vm, disk)
    house.client.VM.set_suspend_SR(vm, sr)
    house.client.VM.start(vm, False, False)
    house.client.VM.suspend(vm)
    before = content(house, disk)
    moved = house.client.VDI.pool_migrate(disk, other_sr, {})
    assert content(house, moved) == before
    house.client.VM.resume(vm, False, False)
    assert disk_of(house, vm) == moved
    house.client.VM.hard_shutdown(vm)


def test_a_disk_that_is_there_already_stays(house: StorageHouse, sr: str) -> None:
    disk = house.disk(sr)
    house.drive(running(house.client), disk)
    assert house.client.VDI.pool_migrate(disk, sr, {}) == disk


# Refusals


def test_a_disk_of_no_vm_does_not_move(house: StorageHouse, sr: str, other_sr: str) -> None:
    disk = house.disk(sr)
    assert refusal(house.client.VDI.pool_migrate, disk, other_sr, {}) == ["VDI_NEEDS_VM_FOR_MIGRATE", disk]


def test_a_tracked_disk_does_not_move(house: StorageHouse, sr: str, other_sr: str) -> None:
    disk = house.disk(sr)
    house.drive(halted(house.client), disk)
    house.client.VDI.enable_cbt(disk)
    assert refusal(house.client.VDI.pool_migrate, disk, other_sr, {}) == ["VDI_CBT_ENABLED", disk]


def test_the_disk_of_a_snapshot_moves_with_its_vm_only(house: StorageHouse, sr: str, other_sr: str) -> None:
    disk = house.disk(sr)
    vm = halted(house.client)
    house.drive(vm, disk)
    taken = house.client.VM.snapshot(vm, "taken")
    found = refusal(house.client.VDI.pool_migrate, disk_of(house, taken), other_sr, {})
    assert found == ["VM_IS_SNAPSHOT", taken, "migrate_send"]


def test_a_shared_disk_with_a_writer_does_not_move(house: StorageHouse, sr: str, other_sr: str) -> None:
    disk = house.disk(sr, sharable=True)
    vm = halted(house.client)
    house.drive(vm, disk)
    house.client.VM.start(vm, False, False)
    assert refusal(house.client.VDI.pool_migrate, disk, other_sr, {}) == ["VDI_IS_SHARABLE", disk]
    assert house.client.VM.get_current_operations(vm) == {}


def test_a_guest_does_not_go_over_to_an_sr_without_mirrors(house: StorageHouse, sr: str) -> None:
    images, _ = house.iso_sr()
    disk = house.disk(sr)
    vm = halted(house.client)
    house.drive(vm, disk)
    house.client.VM.start(vm, False, False)
    needed = "VDI_SNAPSHOT, VDI_MIRROR"
    assert refusal(house.client.VDI.pool_migrate, disk, images, {}) == [
        "SR_DOES_NOT_SUPPORT_MIGRATION",
        images,
        needed,
    ]


def test_an_sr_that_is_not_plugged_takes_no_disk(house: StorageHouse, sr: str, other_sr: str) -> None:
    disk = house.disk(sr)
    house.drive(halted(house.client), disk)
    house.client.PBD.unplug(house.pbd(other_sr))
    assert refusal(house.client.VDI.pool_migrate, disk, other_sr, {}) == ["SR_HAS_NO_PBDS", other_sr]


def test_an_sr_without_room_takes_no_disk(house: StorageHouse, sr: str) -> None:
    small = house.sr("dummy", size=str(MEBIBYTE))
    disk = house.disk(sr)
    vm = halted(house.client)
    house.drive(vm, disk)
    for _ in ("halted", "running"):
        assert refusal(house.client.VDI.pool_migrate, disk, small, {})[0] == "SR_BACKEND_FAILURE_44"
        check_nothing_is_left(house, small)
        if house.client.VM.get_power_state(vm) == "Halted":
            house.client.VM.start(vm, False, False)
    house.client.VM.hard_shutdown(vm)
    check_nothing_is_left(house, sr, disk)


def test_a_fourth_move_has_to_wait(house: StorageHouse, sr: str, other_sr: str) -> None:
    disk = house.disk(sr)
    house.drive(halted(house.client), disk)
    moves: StorageMoves = house.house.toolstack.part(StorageMoves)
    with moves.one_more(), moves.one_more(), moves.one_more():
        assert refusal(house.client.VDI.pool_migrate, disk, other_sr, {}) == ["TOO_MANY_STORAGE_MIGRATES", "3"]
    assert house.client.VDI.get_SR(house.client.VDI.pool_migrate(disk, other_sr, {})) == other_sr


# Disks whose VM runs


def test_a_running_guest_gets_the_new_disk(house: StorageHouse, sr: str, other_sr: str) -> None:
    disk = filled(house, sr)
    vm = halted(house.client)
    drive = house.drive(vm, disk)
    before = content(house, disk)
    house.client.VM.start(vm, False, False)
    (old,) = drives_in(house, vm)
    moved = house.client.VDI.pool_migrate(disk, other_sr, {})
    (new,) = drives_in(house, vm)
    assert isinstance(new, FileBackend)
    assert new != old
    assert moved != disk
    assert house.client.VBD.get_VDI(drive) == moved
    assert house.client.VBD.get_currently_attached(drive)
    assert house.client.VM.get_power_state(vm) == "Running"
    assert house.client.VM.get_current_operations(vm) == {}
    assert house.client.VM.get_domid(vm) != "-1"
    assert refusal(house.client.VDI.get_uuid, disk) == ["HANDLE_INVALID", "VDI", disk]
    disks: AttachDisks = house.house.toolstack.part(AttachDisks)
    assert disks.locate(house.client.VM.get_uuid(vm), Volume(moved)) == new
    again = house.client.VDI.pool_migrate(moved, sr, {})
    house.client.VM.hard_shutdown(vm)
    assert content(house, again) == before
    check_nothing_is_left(house, sr, again)
    check_nothing_is_left(house, other_sr)


def test_a_cd_in_a_running_guest_moves_without_rounds(house: StorageHouse, sr: str, other_sr: str) -> None:
    disk = filled(house, sr)
    vm = halted(house.client)
    drive = house.drive(vm, disk, mode="RO")
    before = content(house, disk)
    house.client.VM.start(vm, False, False)
    moved = house.client.VDI.pool_migrate(disk, other_sr, {})
    assert house.client.VBD.get_VDI(drive) == moved
    assert content(house, moved) == before
    house.client.VM.hard_shutdown(vm)


def test_a_move_is_part_of_a_vms_move(house: StorageHouse, sr: str, other_sr: str) -> None:
    disk = filled(house, sr)
    vm = halted(house.client)
    house.drive(vm, disk)
    house.client.VM.start(vm, False, False)
    (network,) = house.client.network.get_all()[:1]
    dest = house.client.host.migrate_receive(house.host, network, {})
    house.client.VM.migrate_send(vm, dest, True, {disk: other_sr}, {}, {})
    assert house.client.VDI.get_SR(disk_of(house, vm)) == other_sr
    assert house.client.VM.get_current_operations(vm) == {}
    house.client.VM.hard_shutdown(vm)


def test_a_cancelled_move_leaves_nothing(
    house: StorageHouse, sr: str, other_sr: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk = filled(house, sr)
    vm = halted(house.client)
    house.drive(vm, disk)
    house.client.VM.start(vm, False, False)
    drives = drives_in(house, vm)

    def stop(task: TaskInHand, share: float) -> None:
        if share > 0.4:
            task.cancel()

    monkeypatch.setattr(TaskInHand, "progress", stop)
    assert refusal(house.client.VDI.pool_migrate, disk, other_sr, {})[0] == TASK_CANCELLED.code
    assert drives_in(house, vm) == drives
    check_nothing_is_left(house, sr, disk)
    check_nothing_is_left(house, other_sr)
    house.client.VM.hard_shutdown(vm)


FAULTS = ("create", "open_for_writing", "find", "attach", "activate")


@pytest.mark.parametrize("operation", FAULTS)
def test_a_failed_move_leaves_all_as_it_was(house: StorageHouse, sr: str, operation: str) -> None:
    other = house.sr("dummy", **{f"fault-{operation}": "47:1"})
    disk = filled(house, sr)
    vm = halted(house.client)
    drive = house.drive(vm, disk)
    house.client.VM.start(vm, False, False)
    drives, before = drives_in(house, vm), house.client.VDI.get_record(disk)
    assert refusal(house.client.VDI.pool_migrate, disk, other, {})[0] == "SR_BACKEND_FAILURE_47"
    assert drives_in(house, vm) == drives
    assert house.client.VBD.get_VDI(drive) == disk
    after = house.client.VDI.get_record(disk)
    assert (after["other_config"], after["current_operations"]) == (before["other_config"], {})
    check_nothing_is_left(house, sr, disk)
    check_nothing_is_left(house, other)
    moved = house.client.VDI.pool_migrate(disk, other, {})
    assert house.client.VBD.get_VDI(drive) == moved
    house.client.VM.hard_shutdown(vm)


def test_a_driver_that_does_not_switch_leaves_all_as_it_was(house: StorageHouse, sr: str, other_sr: str) -> None:
    disk = filled(house, sr)
    vm = halted(house.client)
    drive = house.drive(vm, disk)
    house.client.VM.start(vm, False, False)
    house.client.host.add_to_other_config(house.host, "simulator:fault:held_disk", "unsupported")
    try:
        assert refusal(house.client.VDI.pool_migrate, disk, other_sr, {})
    finally:
        house.client.host.remove_from_other_config(house.host, "simulator:fault:held_disk")
    assert house.client.VBD.get_VDI(drive) == disk
    check_nothing_is_left(house, sr, disk)
    check_nothing_is_left(house, other_sr)
    house.client.VM.hard_shutdown(vm)


# Guests behind a socket, which write all the time


class Guest:
    """Writes to its disk until it is told to stop, and knows what has to be there."""

    def __init__(self, backend: Any, seed: int, size: int = SIZE) -> None:
        assert isinstance(backend, NbdBackend)
        self._client = Client.unix(backend.socket)
        self._random = random.Random(seed)
        self.model = bytearray(self._client.read(0, size))
        self._stop = Event()
        self.writes = 0
        self.failed: list[Exception] = []
        self._thread = Thread(target=self._run)

    def start(self) -> None:
        self._thread.start()

    def _run(self) -> None:
        try:
            while not self._stop.is_set():
                self.write_once()
        except (OSError, EOFError, AssertionError) as error:
            self.failed.append(error)

    def write_once(self) -> None:
        length = self._random.choice((512, 1024, 4096, 65536))
        offset = self._random.randrange((len(self.model) - length) // 512) * 512
        if self._random.random() < 0.2:
            assert self._client.read(offset, length) == self.model[offset : offset + length]
            return
        data = self._random.randbytes(length)
        self._client.write(offset, data)
        self.model[offset : offset + length] = data
        self.writes += 1
        if self._random.random() < 0.05:
            self._client.flush()

    def wait_for_writes(self, count: int) -> None:
        wanted = self.writes + count
        while self.writes < wanted and self._thread.is_alive():
            self._thread.join(0.001)

    def stop(self) -> None:
        self._stop.set()
        self._thread.join()
        assert not self.failed, self.failed

    def close(self) -> None:
        self._client.close()


def served(house: StorageHouse, sr: str) -> tuple[str, str, Guest]:
    disk = filled(house, sr)
    vm = halted(house.client)
    house.drive(vm, disk)
    house.client.VM.start(vm, False, False)
    (backend,) = drives_in(house, vm)
    return vm, disk, Guest(backend, len(disk) + sum(disk.encode()))


@pytest.mark.parametrize("kind", ("file", "dummy"))
def test_no_byte_of_a_guest_is_lost_that_writes_while_its_disk_moves(serving: StorageHouse, kind: str) -> None:
    house = serving
    places = [house.sr(), house.sr(kind), house.sr()]
    vm, disk, guest = served(house, places[0])
    guest.start()
    guest.wait_for_writes(20)
    (backend,) = drives_in(house, vm)
    for place in (places[1], places[2], places[0]):
        disk = house.client.VDI.pool_migrate(disk, place, {})
        guest.wait_for_writes(20)
        assert disk_of(house, vm) == disk
        assert drives_in(house, vm) == (backend,)
    guest.stop()
    assert guest._client.read(0, SIZE) == guest.model
    guest.close()
    house.client.VM.hard_shutdown(vm)
    assert content(house, disk) == bytes(guest.model)
    check_nothing_is_left(house, places[0], disk)
    for place in places[1:]:
        check_nothing_is_left(house, place)


def test_a_guest_behind_a_socket_goes_on_after_a_failed_move(serving: StorageHouse) -> None:
    house = serving
    sr, other = house.sr(), house.sr("dummy", **{"fault-activate": "47:1"})
    vm, disk, guest = served(house, sr)
    guest.start()
    guest.wait_for_writes(5)
    assert refusal(house.client.VDI.pool_migrate, disk, other, {})[0] == "SR_BACKEND_FAILURE_47"
    guest.wait_for_writes(20)
    guest.stop()
    guest.close()
    house.client.VM.hard_shutdown(vm)
    assert content(house, disk) == bytes(guest.model)
    check_nothing_is_left(house, sr, disk)
    check_nothing_is_left(house, other)


# Toolstacks that are killed

NOW = {("false", "over"), ("true", "frozen")}  # the others take their time
GONE_OVER = ("over", "followed", "committed", "left")


def moved_by_a_killed_toolstack(house: StorageHouse, sr: str, other: str, step: str) -> tuple[str, str]:
    """Return the disk that was to move, and the one that its VM has after the restart: nothing in it is lost."""
    disk = filled(house, sr)
    vm = halted(house.client)
    drive = house.drive(vm, disk)
    house.client.VM.start(vm, False, False)
    (backend,) = drives_in(house, vm)
    before = content_of_running(house, disk)
    guest = Guest(backend, 7) if isinstance(backend, NbdBackend) else None
    if guest is not None:
        guest.start()
        guest.wait_for_writes(5)
    house.house.close()
    killed = subprocess.run(
        [sys.executable, "-m", "tests.actions.killed_move", str(house.root), disk, other, step], timeout=60
    )
    assert killed.returncode == -signal.SIGKILL
    if guest is not None:
        guest.wait_for_writes(5)  # nobody but its process serves it now
    house.restart()
    if guest is not None:
        guest.wait_for_writes(5)
        guest.stop()
        guest.close()
        before = bytes(guest.model)
    now = house.client.VBD.get_VDI(drive)
    assert (now != disk) == (step in GONE_OVER)
    house.client.VM.hard_shutdown(vm)
    assert content(house, now) == before
    return disk, now


@pytest.mark.parametrize(
    ("vhd_files", "step"),
    [
        pytest.param(vhd_files, step, marks=() if (vhd_files, step) in NOW else pytest.mark.slow)
        for vhd_files in ("true", "false")
        for step in STEPS
    ],
)
def test_a_killed_toolstack_leaves_one_whole_disk(vhd_files: str, step: str) -> None:
    with storage_house(vhd_files=vhd_files) as house:
        sr, other = house.sr(), house.sr("file")
        disk, now = moved_by_a_killed_toolstack(house, sr, other, step)
        check_nothing_is_left(house, other if now != disk else sr, now)
        check_nothing_is_left(house, sr if now != disk else other)


def content_of_running(house: StorageHouse, disk: str) -> bytes:
    """What a disk holds that a guest has attached, by a snapshot."""
    taken = house.client.VDI.snapshot(disk, {})
    found = content(house, taken)
    house.client.VDI.destroy(taken)
    return found


def test_a_move_is_completed_though_the_process_has_died_as_well() -> None:
    with storage_house(vhd_files="false") as house:
        sr, other = house.sr(), house.sr()
        vm, disk, guest = served(house, sr)
        guest.start()
        guest.wait_for_writes(5)
        house.house.close()
        subprocess.run(
            [sys.executable, "-m", "tests.actions.killed_move", str(house.root), disk, other, "over"], timeout=60
        )
        guest.wait_for_writes(5)
        guest.stop()
        guest._client.flush()
        guest.close()
        (control,) = (house.root / "state" / "datapath").glob("*.control")
        with Control(str(control)) as process:
            os.kill(process.call("status")["pid"], signal.SIGKILL)
        assert eventually(lambda: is_gone(str(control)), bool)
        house.restart()
        moved = disk_of(house, vm)
        assert house.client.VDI.get_SR(moved) == other
        client = Client.unix(drives_in(house, vm)[0].socket)
        assert client.read(0, SIZE) == guest.model
        client.close()
        house.client.VM.hard_shutdown(vm)
        check_nothing_is_left(house, sr)
        check_nothing_is_left(house, other, moved)


def is_gone(control: str) -> bool:
    try:
        Control(control).close()
    except ControlGone:
        return True
    return False


def test_a_clone_of_a_marked_disk_is_no_part_of_a_move(house: StorageHouse, sr: str) -> None:
    other = house.disk(sr)
    making = f"x {house.client.SR.get_uuid(sr)}/{house.client.VDI.get_uuid(other)}"
    disk = house.disk(sr, other_config={moving.MOVED_FROM: "x y z", moving.LEFT_BEHIND: "x", moving.MAKING: making})
    clone = house.client.VDI.clone(disk, {})
    assert finish_moves(house.house.toolstack) == 0
    assert {disk, clone, other} <= set(house.client.SR.get_VDIs(sr))
