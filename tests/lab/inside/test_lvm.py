"""What only real volumes can show: full groups, devices that refuse, and a process that is killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.lab.inside.shell import active_volumes, eventually, sh
from xapi.storage.contract import MIB, content, new_uuid, refuses, write
from xapi.storage.errors import SrFull, VdiMissing
from xapi.storage.interface import AttachedSr, CreateVdi
from xapi.storage.lvm.driver import LvmDriver
from xapi.storage.lvm.volumes import group_name

SR = "5a000000-0000-4000-8000-00000000000c"
DISK = "5a000000-0000-4000-8000-0000000000d1"


class Place:
    def __init__(self, root: Path, device: str, **config: str) -> None:
        self.driver = LvmDriver(str(root / "state"))
        self.config = {"device": device, **config}

    def make(self) -> AttachedSr:
        self.driver.create(SR, self.config, 0, "user", {})
        return self.attach()

    def attach(self) -> AttachedSr:
        return self.driver.attach(SR, self.config, {})

    def volumes(self) -> list[str]:
        return sorted(sh("lvs", "--noheadings", "-o", "lv_name", group_name(SR)).split())


def test_a_file_system_that_was_there_gives_way(lvm_disk: str, tmp_path: Path) -> None:
    sh("mkfs.ext4", "-q", "-F", lvm_disk)
    place = Place(tmp_path, lvm_disk)
    place.make().detach_sr()
    (found,) = place.driver.probe_ext(place.config, {})
    assert found.sr is not None
    assert found.sr.uuid == SR


def test_an_sr_is_found_by_any_name_of_its_device(lvm_disk: str, tmp_path: Path) -> None:
    place = Place(tmp_path, lvm_disk)
    place.make().detach_sr()
    link = tmp_path / "disk"
    link.symlink_to(lvm_disk)
    assert SR in place.driver.probe({"device": str(link)}, {})


def test_a_host_that_boots_leaves_volumes_alone(lvm_disk: str, tmp_path: Path) -> None:
    sr = Place(tmp_path, lvm_disk).make()
    disk = sr.create(CreateVdi(new_uuid(), 4 * MIB)).location
    sh("vgchange", "-aay")
    assert active_volumes() == []
    sr.attach(disk, False)
    assert len(active_volumes()) == 1
    sr.detach(disk)
    assert active_volumes() == []


def beginning(sr: AttachedSr, location: str) -> bytes:
    """The first part of a disk: a user-mode Linux cannot have a hundred megabytes in one process."""
    with sr.open_for_reading(location) as disk:
        return disk.pread(0, 4 * MIB)


def test_a_full_group_refuses_and_leaves_nothing_behind(small_disk: str, tmp_path: Path) -> None:
    place = Place(tmp_path, small_disk)
    sr = place.make()
    disk = sr.create(CreateVdi(new_uuid(), 100 * MIB)).location
    write(sr, disk, MIB, b"kept" * 1024)
    before, volumes = beginning(sr, disk), place.volumes()
    for action in (
        lambda: sr.create(CreateVdi(new_uuid(), 200 * MIB)),
        lambda: sr.create(CreateVdi(new_uuid(), 200 * MIB, sm_config={"type": "raw"})),
        lambda: sr.clone(disk, new_uuid()),
        lambda: sr.resize(disk, 400 * MIB),
    ):
        refuses(SrFull, action)
        assert place.volumes() == volumes
    assert beginning(sr, disk) == before
    assert active_volumes() == []
    sr.destroy(disk)
    sr.destroy_sr()


WORKER = """
import sys
from xapi.storage.contract import new_uuid, write
from xapi.storage.lvm.driver import LvmDriver
state, device, sr_uuid, disk = sys.argv[1:]
sr = LvmDriver(state).attach(sr_uuid, {"device": device}, {})
print("ready", flush=True)
while True:
    taken = sr.snapshot(disk, new_uuid())
    sr.attach(disk, False)
    sr.detach(disk)
    sr.resize(disk, sr.find(disk).virtual_size + (4 << 20))
    sr.destroy(taken.location)
"""


@pytest.mark.parametrize("steps", [3, 8, 13])
def test_a_process_that_is_killed_leaves_disks_that_can_be_used(lvm_disk: str, tmp_path: Path, steps: int) -> None:
    place = Place(tmp_path, lvm_disk)
    sr = place.make()
    sr.create(CreateVdi(DISK, 8 * MIB))
    write(sr, DISK, 3 * MIB, b"kept" * 1024)
    before = content(sr, DISK)
    sr.detach_sr()
    argv = [sys.executable, "-c", WORKER, str(tmp_path / "state"), lvm_disk, SR, DISK]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True, start_new_session=True) as worker:
        assert worker.stdout is not None
        assert worker.stdout.readline() == "ready\n"
        start = changes()
        eventually(lambda: changes() >= start + steps)
        os.killpg(worker.pid, signal.SIGKILL)
    sr = place.attach()
    assert content(sr, DISK)[: len(before)] == before
    write(sr, DISK, MIB, b"more" * 128)
    vdis = sr.scan().vdis
    assert not any(vdi.missing for vdi in vdis)
    for vdi in vdis:
        if vdi.managed:
            sr.destroy(vdi.location)
    assert [vdi for vdi in sr.scan().vdis if vdi.managed] == []
    refuses(VdiMissing, lambda: sr.find(DISK))
    sr.destroy_sr()
    assert active_volumes() == []


def changes() -> int:
    """How often the group's metadata was written."""
    return int(sh("vgs", "--noheadings", "-o", "vg_seqno", group_name(SR)))
