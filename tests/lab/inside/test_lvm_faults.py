"""Real devices that vanish, refuse or are read-only in the middle of operations, and toolstacks that are killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.lab.inside.shell import active_volumes, disk, eventually, sh
from tests.lab.inside.switch import HEALTHY, READ_ONLY, UNWRITABLE, VANISHED, Moment, Switched, switched
from tests.lab.inside.target import backstore, target
from xapi.storage.coalesce.collector import collect
from xapi.storage.coalesce.plan import Wishes
from xapi.storage.contract import MIB, content, new_uuid, refuses, write
from xapi.storage.errors import DataDamaged, SrReadOnly, SrUnavailable, StorageFailure, VdiUnavailable
from xapi.storage.interface import AttachedSr, CreateVdi
from xapi.storage.lvm.driver import LvmDriver
from xapi.storage.lvm.san import LvmOverIscsi
from xapi.storage.lvm.volumes import METADATA_VOLUME, VOLUME_NAME, group_name

SR = "5a000000-0000-4000-8000-00000000000f"
DISK = "5a000000-0000-4000-8000-0000000000f1"
CHAIN = "5a000000-0000-4000-8000-0000000000f2"
NAMED = (SrUnavailable, DataDamaged, VdiUnavailable)


class Place:
    """An SR with two disks, one of which has a chain to be collected."""

    def __init__(self, state: Path, *devices: str) -> None:
        self.moment = Moment()
        self.state = state
        self.driver = LvmDriver(str(state), self.moment)
        self.config = {"device": ",".join(devices)}
        self.driver.create(SR, self.config, 0, "user", {})
        self.sr = self.attach()
        self.sr.create(CreateVdi(DISK, 8 * MIB))
        write(self.sr, DISK, MIB, b"kept" * 1024)
        self.before = {DISK: content(self.sr, DISK)}

    def add_chain(self) -> None:
        """Add the second disk; what a clone of it shows is to be kept."""
        self.sr.create(CreateVdi(CHAIN, 8 * MIB))
        write(self.sr, CHAIN, MIB, b"base" * 1024)
        self.sr.destroy(self.sr.snapshot(CHAIN, new_uuid()).location)
        write(self.sr, CHAIN, 3 * MIB, b"leaf" * 1024)
        self.before[CHAIN] = content(self.sr, CHAIN)

    def attach(self) -> AttachedSr:
        self.sr = self.driver.attach(SR, self.config, {})
        return self.sr

    def check_contents(self) -> None:
        for location, before in self.before.items():
            assert content(self.sr, location)[: len(before)] == before

    def check(self) -> None:
        """Disks hold what they did, nothing is missing, active or left behind."""
        assert not any(vdi.missing for vdi in self.sr.scan().vdis)
        self.check_contents()
        names = sh("lvs", "--noheadings", "-o", "lv_name", group_name(SR)).split()
        assert all(VOLUME_NAME.fullmatch(name) or name == METADATA_VOLUME for name in names), names
        assert [name for name in active_volumes() if name.startswith("VG_")] == []


@pytest.fixture
def device(lvm_disk: str) -> Iterator[Switched]:
    with switched("lab", lvm_disk) as made:
        yield made


def copy(sr: AttachedSr) -> None:
    made = sr.create(CreateVdi(new_uuid(), 4 * MIB)).location
    with sr.open_for_reading(DISK) as source, sr.open_for_writing(made) as wanted:
        wanted.pwrite(0, source.pread(0, 4 * MIB))
        wanted.flush()


def coalesce(sr: Any) -> None:
    chains = sr.chains()
    chains.small = 0
    for failure in collect(chains, Wishes()).failed.values():
        raise failure


OPERATIONS: dict[str, Callable[[Any], object]] = {
    "create": lambda sr: sr.create(CreateVdi(new_uuid(), 4 * MIB)),
    "snapshot": lambda sr: sr.snapshot(DISK, new_uuid()),
    "resize": lambda sr: sr.resize(DISK, sr.find(DISK).virtual_size + 8 * MIB),
    "copy": copy,
    "coalesce": coalesce,
    "destroy": lambda sr: sr.destroy(sr.clone(DISK, new_uuid()).location),
}


def test_a_device_that_vanishes_beneath_a_disk_in_use(device: Switched, tmp_path: Path) -> None:
    place = Place(tmp_path / "state", device.path)
    with place.sr.open_for_writing(DISK) as writer:
        writer.pwrite(4 * MIB, b"last" * 1024)
        writer.flush()
        device.become(VANISHED)
        with pytest.raises(DataDamaged, match="Input/output error"):
            for offset in range(0, 8 * MIB, MIB):
                writer.pwrite(offset, os.urandom(MIB))
                writer.flush()
        refuses(StorageFailure, writer.close)
    refuses(SrUnavailable, lambda: place.sr.scan())
    refuses(SrUnavailable, lambda: place.driver.attach(SR, place.config, {}))
    device.become(HEALTHY)
    place.attach()
    assert not any(vdi.missing for vdi in place.sr.scan().vdis)
    assert content(place.sr, DISK)[MIB : MIB + 4096] == b"kept" * 1024
    assert content(place.sr, DISK)[4 * MIB : 4 * MIB + 4096] == b"last" * 1024
    write(place.sr, DISK, 0, b"new!" * 1024)


def test_an_sr_on_a_read_only_device_can_be_read(device: Switched, tmp_path: Path) -> None:
    place = Place(tmp_path / "state", device.path)
    place.sr.detach_sr()
    device.become(READ_ONLY)
    place.attach()
    place.check()
    for name in ("create", "snapshot", "resize"):
        failure = refuses(SrReadOnly, partial(OPERATIONS[name], place.sr))
        assert "cannot be written to" in failure.text
    place.check()
    place.sr.attach(DISK, True)
    place.sr.detach(DISK)
    place.sr.detach_sr()
    device.become(HEALTHY)
    place.attach()
    OPERATIONS["snapshot"](place.sr)
    place.check()


def test_a_volume_that_was_left_suspended_is_resumed(device: Switched, tmp_path: Path) -> None:
    place = Place(tmp_path / "state", device.path)
    place.sr.attach(DISK, False)
    (name,) = (each for each in active_volumes() if each.startswith("VG_"))
    sh("dmsetup", "suspend", name)
    place.attach()
    place.check()


def test_of_two_devices_one_is_away_and_comes_back(device: Switched, tmp_path: Path) -> None:
    with switched("lac", disk("ext")) as away:
        place = Place(tmp_path / "state", device.path, away.path)
        big = place.sr.create(CreateVdi(new_uuid(), 2100 * MIB)).location  # more than the rest of the first device
        away.become(VANISHED)
        place.attach()
        assert {vdi.location for vdi in place.sr.scan().vdis if vdi.missing} == {big}
        place.check_contents()
        refuses(SrUnavailable, lambda: OPERATIONS["snapshot"](place.sr))
        refuses(VdiUnavailable, lambda: place.sr.attach(big, True))
        away.become(HEALTHY)
        place.check()
        assert "m" not in "".join(sh("pvs", "--noheadings", "-o", "pv_attr").split())
        OPERATIONS["snapshot"](place.sr)
        write(place.sr, big, 0, b"x" * 512)
        place.sr.destroy(big)
        place.check()
        sh("vgremove", "--force", "--force", "--yes", group_name(SR))


IQN = "iqn.2026-11.lab:faults"


def test_a_session_that_ends_beneath_a_disk_in_use_and_comes_back(initiator: None, store: Path, tmp_path: Path) -> None:
    """The disk returns as another device; the volume's old device leads nowhere."""
    with ExitStack() as stack:
        stack.enter_context(target(IQN, [stack.enter_context(backstore("faults", store / "faults.img", 1 << 30))]))
        driver = LvmOverIscsi(str(tmp_path / "state"))
        config = dict(driver.probe_ext({"target": "127.0.0.1", "targetIQN": IQN}, {})[0].configuration)
        driver.create(SR, config, 0, "user", {})
        sr = driver.attach(SR, config, {})
        sr.create(CreateVdi(DISK, 8 * MIB))
        write(sr, DISK, MIB, b"kept" * 1024)
        before = content(sr, DISK)
        sr.attach(DISK, False)
        assert len(active_volumes()) == 1
        sh("iscsiadm", "-m", "session", "-u")
        for action in (sr.scan, lambda: sr.snapshot(DISK, new_uuid())):
            refuses(SrUnavailable, action)
        refuses(SrUnavailable, lambda: sr.detach(DISK))
        sr.detach_sr()
        assert len(active_volumes()) == 1
        again = driver.attach(SR, config, {})
        assert active_volumes() == []
        assert content(again, DISK) == before
        write(again, DISK, 0, b"new!" * 1024)
        again.destroy(DISK)
        again.destroy_sr()
        assert active_volumes() == []


MOMENTS = [
    ("create", 4),
    ("resize", 6),
    ("snapshot", 20),
    ("snapshot", 8),
    ("copy", 12),
    ("coalesce", 5),
    ("destroy", 10),
]
"""Before the how-many-th program of an operation something happens. The second snapshot adds to what the first made."""


@pytest.mark.parametrize("fortune", [VANISHED, UNWRITABLE])
def test_a_device_that_fails_in_the_middle_loses_nothing(device: Switched, tmp_path: Path, fortune: str) -> None:
    place = Place(tmp_path / "state", device.path)
    place.add_chain()
    for name, number in MOMENTS:
        place.moment.at(number, partial(device.become, fortune))
        try:
            OPERATIONS[name](place.sr)
        except StorageFailure as failure:
            assert isinstance(failure, NAMED), (name, failure)
        assert place.moment.came, f"{name} was over before"
        device.become(HEALTHY)
        if number % 4:
            place.attach()
        place.check()
        OPERATIONS[name](place.sr)
    place.attach()
    place.check()


WORKER = """
import sys
from tests.lab.inside.test_lvm_faults import OPERATIONS, SR
from xapi.storage.lvm.driver import LvmDriver
state, device, name = sys.argv[1:]
sr = LvmDriver(state).attach(SR, {"device": device}, {})
print("ready", flush=True)
OPERATIONS[name](sr)
"""


def changes() -> int:
    """How often the group's metadata was written."""
    return int(sh("vgs", "--noheadings", "-o", "vg_seqno", group_name(SR)))


def kill(place: Place, name: str, steps: int) -> None:
    """Let a toolstack begin an operation, and kill it when so many changes were made."""
    argv = [sys.executable, "-c", WORKER, str(place.state), place.config["device"], name]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True, start_new_session=True) as worker:
        assert worker.stdout is not None
        assert worker.stdout.readline() == "ready\n"
        start = changes()
        eventually(lambda: changes() >= start + steps or worker.poll() is not None)
        if worker.poll() is None:
            os.killpg(worker.pid, signal.SIGKILL)


def test_a_toolstack_that_is_killed_loses_nothing(device: Switched, tmp_path: Path) -> None:
    place = Place(tmp_path / "state", device.path)
    place.add_chain()
    for name, steps in (("create", 1), ("resize", 2), ("snapshot", 4), ("copy", 1), ("coalesce", 3), ("destroy", 7)):
        place.sr.detach_sr()
        kill(place, name, steps)
        place.attach()
        place.check()
        OPERATIONS[name](place.sr)
    place.check()
