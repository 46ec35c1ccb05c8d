"""A process that is killed at any command or write leaves the old state or the new, and nothing else."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path

import pytest

from tests.storage.coalesce.farm import SR, Killed, LvmFarm, ThinLvmFarm, killed_after
from tests.storage.faults.operations import NEWER, OLDER, OPERATIONS, PLAIN, TRACKED, fresh, furnish
from tests.storage.faults.operations import Operation as Described
from tests.storage.faults.state import State, assert_clean_group, state, unnamed
from xapi.storage.contract import MIB, bits
from xapi.storage.images.repository import ImagesSr
from xapi.storage.lvm.group import VolumeFile
from xapi.storage.lvm.volumes import group_name
from xapi.storage.vhd.image import Vhd

Operation = Callable[[ImagesSr], object]
NOT_HERE = {"resize beyond its table", "resize online", "coalesce", "update SR"}
"""Those that LVM does not offer, one that has a sweep of its own, and one that is a single write."""
CHANGES = [
    one
    for one in OPERATIONS
    if (one.changes or one.name == "attach a disk") and not one.written and one.name not in NOT_HERE
]


def furnished(farm: LvmFarm) -> LvmFarm:
    furnish(farm.sr)
    return farm


@pytest.fixture(scope="module")
def thick(tmp_path_factory: pytest.TempPathFactory) -> LvmFarm:
    return furnished(LvmFarm(tmp_path_factory.mktemp("thick") / "sr"))


@pytest.fixture(scope="module")
def thin(tmp_path_factory: pytest.TempPathFactory) -> LvmFarm:
    return furnished(ThinLvmFarm(tmp_path_factory.mktemp("thin") / "sr"))


def found_in(farm: LvmFarm) -> State:
    """Attach, check that volumes, disks and metadata agree, and return what each disk is and holds."""
    farm.attach()
    found = state(farm.sr)
    assert_clean_group(farm, torn=True)
    return found


def killed_at(step: int, farm: LvmFarm, operation: Operation) -> bool:
    """Do it in a process that dies at a step; return whether it lived to do it all."""
    with suppress(Killed), killed_after(step, farm.lvm) as dead:
        operation(farm.sr)
    return not dead()


def ends_old_or_new(prepared: LvmFarm, tmp_path: Path, operation: Operation, stride: int = 1) -> None:
    old = unnamed(found_in(prepared.copy(tmp_path / "old")))
    whole = prepared.copy(tmp_path / "whole")
    operation(whole.sr)
    new = unnamed(found_in(whole))
    seen = []
    lived, step = False, 0
    while not lived:
        farm = prepared.copy(tmp_path / "sr")
        lived = killed_at(step, farm, operation)
        now = unnamed(found_in(farm))
        assert now in (old, new), f"neither old nor new after step {step}"
        seen.append(now == new)
        if now == old and old != new:
            operation(farm.sr)
            assert unnamed(found_in(farm)) == new
        shutil.rmtree(farm.path)
        step += stride
    assert len(seen) > 1
    assert seen == sorted(seen), "new, and then old again"


each = pytest.mark.parametrize("operation", CHANGES, ids=lambda one: one.name.replace(" ", "-"))


@each
def test_killed_now_and_then(thick: LvmFarm, tmp_path: Path, operation: Described) -> None:
    many = "snapshot" in operation.name or "clone" in operation.name
    ends_old_or_new(thick, tmp_path, operation.do, stride=17 if many else 7)


@pytest.mark.thorough
@pytest.mark.parametrize("kind", ["thick", "thin"])
@each
def test_killed_at_every_step(request: pytest.FixtureRequest, tmp_path: Path, kind: str, operation: Described) -> None:
    ends_old_or_new(request.getfixturevalue(kind), tmp_path, operation.do)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("operation", "last"),
    [(lambda sr: sr.snapshot(TRACKED, fresh()), TRACKED), (lambda sr: sr.destroy(NEWER), TRACKED)],
    ids=["snapshot", "destroy"],
)
def test_changes_stay_known(thick: LvmFarm, tmp_path: Path, operation: Operation, last: str) -> None:
    lived, step = False, 0
    while not lived:
        farm = thick.copy(tmp_path / "sr")
        lived = killed_at(step, farm, operation)
        farm.attach()
        assert bits(farm.sr.changed_blocks(OLDER, last)) >= {2, 5}
        if any(vdi.location == NEWER for vdi in farm.sr.scan().vdis):
            assert bits(farm.sr.changed_blocks(OLDER, NEWER)) == {2}
            assert bits(farm.sr.changed_blocks(NEWER, TRACKED)) == {5}
        shutil.rmtree(farm.path)
        step += 1


def test_a_disk_that_was_used_after_a_split_keeps_what_was_written(thick: LvmFarm, tmp_path: Path) -> None:
    """The datapath goes on when the toolstack dies: whatever its guest writes then must not be taken back."""
    for step in range(0, 200, 3):
        farm = thick.copy(tmp_path / "sr")
        lived = killed_at(step, farm, lambda sr: sr.snapshot(PLAIN, fresh()))
        volume = farm.lvm.groups[group_name(SR)].volumes.get(f"VHD-{PLAIN}")
        if volume is not None:
            with closing(VolumeFile.open_volume(str(volume.file), True)) as file:
                Vhd.open(file, writable=True).write(MIB + 512, b"late" * 128)
            farm.attach()
            with farm.sr.open_for_reading(PLAIN) as disk:
                assert disk.pread(MIB, 1024) == b"more" * 128 + b"late" * 128
        shutil.rmtree(farm.path)
        if lived:
            return
    raise AssertionError("a snapshot takes more steps than was thought")
