"""Collection of chains on real volumes, with disks in use, and with a collector that is killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.lab.inside.shell import active_volumes, eventually, sh
from tests.storage.coalesce.farm import BLOCK, SR, Farm, Recorded
from tests.storage.coalesce.test_images import grown_chain, run
from xapi.storage.coalesce.collector import collect
from xapi.storage.coalesce.plan import Image, Wishes, plan
from xapi.storage.lvm.driver import LvmDriver
from xapi.storage.lvm.volumes import VOLUME_NAME, full_size, group_name


class RealFarm(Farm):
    """Disks on LVM and their model."""

    def __init__(self, root: Path, device: str, allocation: str = "thick") -> None:
        self.driver = LvmDriver(str(root / "state"))
        self.config = {"device": device, "allocation": allocation}
        super().__init__(root / "unused", Recorded())

    def make(self) -> None:
        self.driver.create(SR, self.config, 0, "user", {})

    def attach(self) -> None:
        self.sr = self.driver.attach(SR, self.config, {}, self.data_paths)

    @property
    def sizes(self) -> dict[str, int]:
        rows = sh("lvs", "--noheadings", "--units", "b", "--nosuffix", "-o", "lv_name,lv_size", group_name(SR))
        return {name: int(size) for name, size in map(str.split, rows.splitlines())}

    def images(self) -> set[str]:
        return {match[2] for name in self.sizes if (match := VOLUME_NAME.fullmatch(name))}

    def inspect_place(self, killed: bool) -> None:
        assert all(VOLUME_NAME.fullmatch(name) or name == "MGT" for name in self.sizes), self.sizes


@pytest.fixture(params=["thick", "thin"])
def farm(request: pytest.FixtureRequest, lvm_disk: str, tmp_path: Path) -> RealFarm:
    return RealFarm(tmp_path, lvm_disk, request.param)


def test_a_chain_becomes_one_volume(farm: RealFarm) -> None:
    disk = grown_chain(farm)
    assert len(farm.images()) == 4
    run(farm)
    assert farm.images() == {disk}
    farm.inspect()
    assert active_volumes() == []
    assert farm.sizes[f"VHD-{disk}"] <= full_size(2 * BLOCK)


def test_a_snapshot_keeps_its_base(farm: RealFarm) -> None:
    disk = grown_chain(farm)
    kept = farm.snapshot(disk)
    run(farm)
    assert farm.parent(disk) == farm.parent(kept) != ""
    assert len(farm.images()) == 3
    assert farm.sizes[f"VHD-{farm.parent(disk)}"] < full_size(2 * BLOCK)
    farm.inspect()


def test_a_disk_in_use_gets_a_new_chain_beneath_it(farm: RealFarm) -> None:
    disk = grown_chain(farm)
    farm.sr.attach(disk, False)
    assert len(active_volumes()) == 4
    run(farm)
    assert farm.images() == {disk}
    assert len(active_volumes()) == 1
    assert farm.sizes[f"VHD-{disk}"] == full_size(2 * BLOCK)
    farm.sr.detach(disk)
    farm.inspect()
    assert active_volumes() == []


def test_an_open_volume_is_left_until_it_is_closed(farm: RealFarm) -> None:
    disk = grown_chain(farm)
    clone = farm.clone(disk)
    with farm.sr.open_for_reading(clone) as reader:
        farm.destroy(disk)
        collect(farm.sr.chains(), Wishes())
        assert reader.pread(0, reader.size) == farm.model[clone]
    run(farm)
    assert farm.images() == {clone}
    farm.inspect()


WORKER = """
import sys
from xapi.storage.coalesce.collector import collect
from xapi.storage.coalesce.plan import Wishes
from xapi.storage.lvm.driver import LvmDriver
state, device, sr_uuid, small = sys.argv[1:]
sr = LvmDriver(state).attach(sr_uuid, {"device": device}, {})
chains = sr.chains()
chains.small = int(small)
print("ready", flush=True)
collect(chains, Wishes())
"""


def changes() -> int:
    """How often the group's metadata was written."""
    return int(sh("vgs", "--noheadings", "-o", "vg_seqno", group_name(SR)))


@pytest.mark.parametrize("small", [0, 16 << 20], ids=["split first", "at once"])
@pytest.mark.parametrize("steps", range(1, 17, 3))
def test_a_collector_that_is_killed_loses_nothing(lvm_disk: str, tmp_path: Path, steps: int, small: int) -> None:
    farm = RealFarm(tmp_path, lvm_disk)
    disk = grown_chain(farm, 3)
    clone = farm.clone(disk)
    farm.write(clone, 100, 55)
    farm.write(disk, 200, 56)
    farm.destroy(farm.snapshot(disk))
    farm.sr.detach_sr()
    argv = [sys.executable, "-c", WORKER, str(tmp_path / "state"), lvm_disk, SR, str(small)]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True, start_new_session=True) as worker:
        assert worker.stdout is not None
        assert worker.stdout.readline() == "ready\n"
        start = changes()
        eventually(lambda: changes() >= start + steps or worker.poll() is not None)
        if worker.poll() is None:
            os.killpg(worker.pid, signal.SIGKILL)
    farm.attach()
    farm.inspect(killed=True)
    run(farm)
    farm.inspect()
    images = [Image(vdi.uuid, vdi.parent, not vdi.managed) for vdi in farm.sr.scan().vdis]
    assert plan(images, Wishes()) == []
    assert len(farm.images()) == 3
    assert active_volumes() == []
