"""Disks that move to, from and between SRs on LVM, whose volumes have a device while somebody needs them."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import pytest

from tests.actions.killed_move import STEPS
from tests.actions.lvm_house import LvmHouse, lvm_house
from tests.actions.storage_house import MEBIBYTE, refusal
from tests.actions.test_vdi_moving import (
    check_nothing_is_left,
    content,
    disk_of,
    drives_in,
    filled,
    moved_by_a_killed_toolstack,
    served,
)
from tests.fakes.guests import halted
from xapi.datamodel.failure import Failure
from xapi.hypervisor.interface import FileBackend

WAYS = (("file", "lvm"), ("lvm", "file"), ("lvm", "thin"), ("thin", "lvm"))


@pytest.fixture(scope="module")
def house() -> Iterator[LvmHouse]:
    with lvm_house() as opened:
        yield opened


@pytest.fixture(scope="module")
def serving() -> Iterator[LvmHouse]:
    """A house whose guests get VHD disks through processes."""
    with lvm_house(vhd_files="false") as opened:
        yield opened


def check_at_rest(house: LvmHouse, sr: str, *disks: str) -> None:
    """The disks are all that there is, and nobody has them."""
    check_nothing_is_left(house, sr, *disks)
    if house.is_on_lvm(sr):
        assert house.active(sr) == set()
        assert not [name for name in house.volumes(sr) if not name.startswith(("VHD-", "LV-", "MGT"))]


@pytest.mark.parametrize(("first", "second"), WAYS)
def test_a_disk_moves_with_the_snapshots_of_its_vm(house: LvmHouse, first: str, second: str) -> None:
    sr, other = house.sr(first), house.sr(second)
    disk = filled(house, sr)
    vm = halted(house.client)
    house.drive(vm, disk)
    wanted, snapshots = [], []
    for number in range(2):
        house.write(disk, number * MEBIBYTE, bytes([number + 1]) * 512)
        snapshots.append(house.client.VM.snapshot(vm, f"snapshot {number}"))
        wanted.append(content(house, disk))
    house.write(disk, 3 * MEBIBYTE, b"later".ljust(512))
    wanted.append(content(house, disk))
    moved = house.client.VDI.pool_migrate(disk, other, {})
    taken = [disk_of(house, each) for each in snapshots]
    assert [content(house, each) for each in [*taken, moved]] == wanted
    check_at_rest(house, sr)
    check_at_rest(house, other, moved, *taken)
    assert house.client.VDI.get_sm_config(moved)["vhd-parent"]


@pytest.mark.parametrize(("first", "second"), WAYS)
def test_a_running_guest_gets_the_new_disk(house: LvmHouse, first: str, second: str) -> None:
    sr, other = house.sr(first), house.sr(second)
    disk = filled(house, sr)
    vm = halted(house.client)
    house.drive(vm, disk)
    before = content(house, disk)
    house.client.VM.start(vm, False, False)
    moved = house.client.VDI.pool_migrate(disk, other, {})
    (new,) = drives_in(house, vm)
    assert isinstance(new, FileBackend)
    check_nothing_is_left(house, other, moved)
    if house.is_on_lvm(other):
        uuid = house.client.VDI.get_uuid(moved)
        assert new.path == str(house.lvm.link(f"VG_XenStorage-{house.client.SR.get_uuid(other)}", f"VHD-{uuid}"))
        assert f"VHD-{uuid}" in house.active(other)
    check_at_rest(house, sr)
    house.client.VM.hard_shutdown(vm)
    assert content(house, moved) == before
    check_at_rest(house, other, moved)


def test_a_raw_disk_becomes_a_vhd_when_it_moves(house: LvmHouse) -> None:
    sr, other = house.sr("lvm"), house.sr("lvm")
    disk = filled(house, sr, sm_config={"type": "raw"})
    vm = halted(house.client)
    house.drive(vm, disk)
    before = content(house, disk)
    snapshot = house.client.VM.snapshot(vm, "a snapshot")
    moved = house.client.VDI.pool_migrate(disk, other, {})
    assert content(house, moved) == content(house, disk_of(house, snapshot)) == before
    check_at_rest(house, sr)


def test_a_raw_disk_in_use_is_not_split(house: LvmHouse) -> None:
    sr, other = house.sr("lvm"), house.sr("file")
    disk = filled(house, sr, sm_config={"type": "raw"})
    vm = halted(house.client)
    house.drive(vm, disk)
    house.client.VM.start(vm, False, False)
    assert refusal(house.client.VDI.snapshot, disk, {})[0] == "VDI_IN_USE"
    assert refusal(house.client.VDI.clone, disk, {})[0] == "VDI_IN_USE"
    assert refusal(house.client.VDI.pool_migrate, disk, other, {})[0] == "VDI_IN_USE"
    check_nothing_is_left(house, other)
    house.client.VM.hard_shutdown(vm)
    check_at_rest(house, sr, disk)


def test_a_raw_disk_that_is_only_read_is_cloned_by_a_copy(house: LvmHouse) -> None:
    sr = house.sr("lvm")
    disk = filled(house, sr, sm_config={"type": "raw"})
    vm = halted(house.client)
    house.drive(vm, disk, mode="RO")
    house.client.VM.start(vm, False, False)
    clone = house.client.VDI.clone(disk, {})
    house.client.VM.hard_shutdown(vm)
    assert content(house, clone) == content(house, disk)
    assert house.client.VDI.get_sm_config(disk)["vdi_type"] == "raw"
    check_at_rest(house, sr, disk, clone)


def test_whichever_command_fails_there_is_one_whole_disk(house: LvmHouse) -> None:
    told = set()
    for number in range(2, 400, 23):
        sr, other = house.sr("lvm"), house.sr("thin")
        disk = filled(house, sr)
        vm = halted(house.client)
        drive = house.drive(vm, disk)
        before = content(house, disk)
        house.client.VM.start(vm, False, False)
        house.lvm.fail_at = len(house.lvm.calls) + number
        try:
            house.client.VDI.pool_migrate(disk, other, {})
        except Failure as failure:
            told.add(failure.description[0])
        came_to_it = len(house.lvm.calls) >= house.lvm.fail_at
        house.lvm.fail_at = -1
        now = house.client.VBD.get_VDI(drive)
        (source,) = drives_in(house, vm)
        assert house.client.VDI.get_uuid(now) in source.path
        for each in (sr, other):
            house.client.SR.scan(each)
        house.client.VM.hard_shutdown(vm)
        assert content(house, now) == before
        if not came_to_it:
            assert number > 100
            assert all(code.startswith("SR_BACKEND_FAILURE_") for code in told)
            assert told
            return
    raise AssertionError("a move takes more commands than was thought")


@pytest.mark.parametrize(
    "places",
    [("file", "lvm", "thin", "file"), pytest.param(("lvm", "thin", "lvm", "dummy", "lvm"), marks=pytest.mark.slow)],
    ids="-".join,
)
def test_no_byte_of_a_guest_is_lost_that_writes_while_its_disk_moves(
    serving: LvmHouse, places: tuple[str, ...]
) -> None:
    house = serving
    srs = [house.sr(kind) for kind in places]
    vm, disk, guest = served(house, srs[0])
    guest.start()
    for before, sr in pairwise(srs):
        guest.wait_for_writes(20)
        disk = house.client.VDI.pool_migrate(disk, sr, {})
        assert disk_of(house, vm) == disk
        check_at_rest(house, before)
    guest.wait_for_writes(20)
    guest.stop()
    assert guest._client.read(0, len(guest.model)) == guest.model
    guest.close()
    house.client.VM.hard_shutdown(vm)
    assert content(house, disk)[: len(guest.model)] == bytes(guest.model)
    check_at_rest(house, srs[-1], disk)


NOW = {("true", "over"), ("false", "rounds"), ("false", "over")}  # the others take their time


@pytest.mark.parametrize(
    ("vhd_files", "step"),
    [
        pytest.param(vhd_files, step, marks=() if (vhd_files, step) in NOW else pytest.mark.slow)
        for vhd_files in ("true", "false")
        for step in STEPS
    ],
)
@pytest.mark.parametrize("kind", ["lvm", pytest.param("thin", marks=pytest.mark.slow)])
def test_a_killed_toolstack_leaves_one_whole_disk(vhd_files: str, step: str, kind: str) -> None:
    with lvm_house(vhd_files=vhd_files) as house:
        sr, other = house.sr("lvm"), house.sr(kind)
        disk, now = moved_by_a_killed_toolstack(house, sr, other, step)
        check_at_rest(house, other if now != disk else sr, now)
        check_at_rest(house, sr if now != disk else other)
