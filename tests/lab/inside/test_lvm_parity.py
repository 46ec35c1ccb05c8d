"""On real volumes what chains in files can: raw disks split and merged, disks reset, disks moved under their guests."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.actions.storage_house import MEBIBYTE, StorageHouse, storage_house
from tests.actions.test_vdi_moving import GONE_OVER, Guest, check_nothing_is_left, content, disk_of, drives_in, filled
from tests.fakes.guests import halted
from tests.lab.inside.shell import PATIENCE, active_volumes, disk, eventually, wipe
from tests.lab.inside.test_lvm_chains import RealFarm, changes
from tests.storage.coalesce.farm import BLOCK, SR
from tests.storage.coalesce.test_images import run
from tests.storage.datapath.client import Client
from xapi.cli.vhd_util import main
from xapi.storage.coalesce.plan import Image, Wishes, plan
from xapi.storage.lvm.volumes import group_name, whole_extents


@pytest.fixture(params=["thick", "thin"])
def allocation(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def farm(allocation: str, lvm_disk: str, tmp_path: Path) -> RealFarm:
    return RealFarm(tmp_path, lvm_disk, allocation)


def grown_on_raw(farm: RealFarm) -> str:
    """A disk that was raw, with two snapshots that were destroyed."""
    made = farm.create(type="raw")
    for number in range(2):
        farm.write(made, number * 7, number + 1, count=5)
        farm.destroy(farm.snapshot(made))
    farm.write(made, 3, 99)
    return made


def test_a_raw_disk_becomes_raw_again(farm: RealFarm) -> None:
    made = grown_on_raw(farm)
    assert farm.depth(made) == 3
    farm.inspect()
    farm.grow(made, 3 * BLOCK)
    farm.write(made, len(farm.model[made]) // 512 - 1, 7)
    run(farm)
    assert farm.sizes == {"MGT": 4 << 20, f"LV-{made}": whole_extents(3 * BLOCK)}
    farm.inspect()
    assert active_volumes() == []


def test_a_raw_parent_is_named_and_hidden(farm: RealFarm, capsys: pytest.CaptureFixture[str]) -> None:
    made = farm.create(type="raw")
    clone = farm.clone(made)
    parent = farm.parent(made)
    assert main(["scan", "-f", "-a", "-p", "-l", group_name(SR), "-m", "VHD-*"]) == 0
    first, *children = capsys.readouterr().out.splitlines()
    size = whole_extents(2 * BLOCK)
    assert first == f"vhd=LV-{parent} capacity={size} size={size} hidden=1 parent=none"
    assert sorted(line.split()[0] for line in children) == sorted(f"vhd=VHD-{one}" for one in (made, clone))
    assert all(f"capacity={size}" in line and line.endswith(f"hidden=0 parent=LV-{parent}") for line in children)


WORKER = """
import sys
from xapi.storage.coalesce.collector import collect
from xapi.storage.coalesce.plan import Wishes
from xapi.storage.contract import new_uuid
from xapi.storage.lvm.driver import LvmDriver
state, device, sr_uuid, disk = sys.argv[1:]
sr = LvmDriver(state).attach(sr_uuid, {"device": device}, {})
print("ready", flush=True)
while True:
    taken = sr.snapshot(disk, new_uuid()).location
    sr.attach(disk, False)
    sr.reset(disk)
    sr.detach(disk)
    sr.destroy(taken)
    collect(sr.chains(), Wishes())
"""


@pytest.mark.parametrize("steps", range(1, 45, 4))
def test_a_process_that_is_killed_leaves_the_disk_whole(lvm_disk: str, tmp_path: Path, steps: int) -> None:
    farm = RealFarm(tmp_path, lvm_disk, "thin" if steps % 3 else "thick")
    made = farm.create(type="raw")
    farm.write(made, 3, 99, count=20)
    farm.sr.detach_sr()
    argv = [sys.executable, "-c", WORKER, str(tmp_path / "state"), lvm_disk, SR, made]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True, start_new_session=True) as worker:
        assert worker.stdout is not None
        assert worker.stdout.readline() == "ready\n"
        start = changes()
        eventually(lambda: changes() >= start + steps)
        os.killpg(worker.pid, signal.SIGKILL)
    farm.attach()
    for vdi in farm.sr.scan().vdis:
        assert not vdi.missing
        if vdi.managed and vdi.location != made:
            farm.sr.destroy(vdi.location)
    farm.inspect(killed=True)
    run(farm)
    farm.inspect()
    images = [Image(vdi.uuid, vdi.parent, not vdi.managed) for vdi in farm.sr.scan().vdis]
    assert plan(images, Wishes()) == []
    assert set(farm.sizes) == {"MGT", f"LV-{made}"}
    assert active_volumes() == []


# Through the whole toolstack, with guests behind sockets


class CalmGuest(Guest):
    """Leaves the machine's one processor to the toolstack now and then, and has patience while that runs LVM."""

    def __init__(self, backend: Any, seed: int) -> None:
        super().__init__(backend, seed)
        self._client.sock.settimeout(PATIENCE * 5)

    def write_once(self) -> None:
        super().write_once()
        self._stop.wait(0.1)


@pytest.fixture
def house() -> Iterator[StorageHouse]:
    with storage_house(vhd_files="false") as opened:
        yield opened
        for vm in opened.client.VM.get_all_records_where('field "power_state" = "Running"'):
            if not opened.client.VM.get_is_control_domain(vm):
                opened.client.VM.hard_shutdown(vm)


@pytest.fixture
def other_disk() -> Iterator[str]:
    device = disk("ext")
    wipe(device)
    yield device
    wipe(device)


def test_a_disk_is_reset_at_each_boot(lvm_disk: str, allocation: str, house: StorageHouse) -> None:
    sr = house.sr("lvm", device=lvm_disk, allocation=allocation)
    for config in ({}, {"type": "raw"}):
        made = house.disk(sr, sm_config=config)
        house.write(made, MEBIBYTE, b"kept".ljust(512))
        house.client.VDI.set_on_boot(made, "reset")
        vm = halted(house.client)
        house.drive(vm, made)
        for _ in range(2):
            house.client.VM.start(vm, False, False)
            (backend,) = drives_in(house, vm)
            client = Client.unix(backend.socket)
            assert client.read(MEBIBYTE, 512) == b"kept".ljust(512)
            assert client.read(5 * MEBIBYTE, 512) == bytes(512)
            for at in (MEBIBYTE, 5 * MEBIBYTE):
                client.write(at, b"lost".ljust(512))
            client.close()
            house.client.VM.hard_shutdown(vm)
        assert house.read(made, MEBIBYTE, 512) == b"lost".ljust(512)
    house.client.SR.scan(sr)
    house.check_rows_follow_storage(sr)
    assert active_volumes() == []


def test_no_byte_is_lost_while_a_disk_moves(
    lvm_disk: str, other_disk: str, allocation: str, house: StorageHouse
) -> None:
    places = [
        house.sr("lvm", device=lvm_disk, allocation=allocation),
        house.sr("lvm", device=other_disk, allocation="thick"),
        house.sr("file"),
    ]
    moved = filled(house, places[0])
    vm = halted(house.client)
    house.drive(vm, moved)
    house.client.VM.start(vm, False, False)
    (backend,) = drives_in(house, vm)
    guest = CalmGuest(backend, 7)
    guest.start()
    for place in (places[1], places[2], places[0]):
        guest.wait_for_writes(5)
        moved = house.client.VDI.pool_migrate(moved, place, {})
    guest.wait_for_writes(5)
    assert len(active_volumes()) == 1
    guest.stop()
    assert guest._client.read(0, len(guest.model)) == guest.model
    guest.close()
    house.client.VM.hard_shutdown(vm)
    assert content(house, moved)[: len(guest.model)] == bytes(guest.model)
    assert active_volumes() == []
    check_nothing_is_left(house, places[0], moved)
    for place in places[1:]:
        check_nothing_is_left(house, place)


@pytest.mark.parametrize("step", ["target", "frozen", "rounds", "path noted", "over", "committed"])
def test_a_killed_toolstack_leaves_one_whole_disk(
    lvm_disk: str, other_disk: str, step: str, house: StorageHouse
) -> None:
    sr, other = house.sr("lvm", device=lvm_disk), house.sr("lvm", device=other_disk, allocation="thin")
    made = filled(house, sr)
    vm = halted(house.client)
    house.drive(vm, made)
    house.client.VM.start(vm, False, False)
    (backend,) = drives_in(house, vm)
    guest = CalmGuest(backend, 7)
    guest.start()
    guest.wait_for_writes(5)
    house.house.close()
    killed = subprocess.run(
        [sys.executable, "-m", "tests.actions.killed_move", str(house.root), made, other, step], timeout=120
    )
    assert killed.returncode == -signal.SIGKILL
    guest.wait_for_writes(5)
    house.restart()
    guest.wait_for_writes(5)
    guest.stop()
    guest.close()
    now = disk_of(house, vm)
    assert (now != made) == (step in GONE_OVER)
    house.client.VM.hard_shutdown(vm)
    assert content(house, now) == bytes(guest.model)
    assert active_volumes() == []
    check_nothing_is_left(house, other if now != made else sr, now)
    check_nothing_is_left(house, sr if now != made else other)
