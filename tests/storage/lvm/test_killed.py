"""A process that is killed at any command or write leaves the old state or the new, and nothing else."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path

import pytest

from xapi.storage.contract import GRANULE, MIB, bits, write
from xapi.storage.errors import StorageFailure
from xapi.storage.images.repository import ImagesSr
from xapi.storage.interface import CreateVdi
from xapi.storage.lvm.group import VolumeFile
from xapi.storage.lvm.metadata import Metadata
from xapi.storage.lvm.volumes import group_name
from xapi.storage.vhd.image import Vhd

from ..coalesce.farm import SR, Killed, LvmFarm, ThinLvmFarm, killed_after

PLAIN = "00000000-0000-4000-8000-000000000001"
TRACKED = "00000000-0000-4000-8000-000000000002"
OLDER = "00000000-0000-4000-8000-000000000003"
NEWER = "00000000-0000-4000-8000-000000000004"
CLONE = "00000000-0000-4000-8000-000000000005"
RAW = "00000000-0000-4000-8000-000000000006"
MADE = "00000000-0000-4000-8000-00000000000a"
State = dict[str, tuple[object, ...]]
Operation = Callable[[ImagesSr], object]


def filled(farm: LvmFarm) -> LvmFarm:
    sr = farm.sr
    sr.create(CreateVdi(PLAIN, 2 * MIB, name_label="plain", sm_config={"custom": "value"}))
    write(sr, PLAIN, 0, b"plain" * 1024 + bytes(512 - 5120 % 512))
    sr.create(CreateVdi(RAW, 2 * MIB, sm_config={"type": "raw"}))
    write(sr, RAW, MIB, b"raw!" * 128)
    sr.create(CreateVdi(TRACKED, 2 * MIB))
    sr.enable_cbt(TRACKED)
    write(sr, TRACKED, 0, b"1" * 512)
    sr.snapshot(TRACKED, OLDER)
    write(sr, TRACKED, 2 * GRANULE, b"2" * 512)
    sr.snapshot(TRACKED, NEWER)
    write(sr, TRACKED, 5 * GRANULE, b"3" * 512)
    sr.clone(PLAIN, CLONE)
    write(sr, PLAIN, MIB, b"more" * 128)
    return farm


@pytest.fixture(scope="module")
def thick(tmp_path_factory: pytest.TempPathFactory) -> LvmFarm:
    return filled(LvmFarm(tmp_path_factory.mktemp("thick") / "sr"))


@pytest.fixture(scope="module")
def thin(tmp_path_factory: pytest.TempPathFactory) -> LvmFarm:
    return filled(ThinLvmFarm(tmp_path_factory.mktemp("thin") / "sr"))


def state(farm: LvmFarm) -> State:
    """Attach, check that volumes, disks and metadata agree, and return what each disk is and holds."""
    farm.attach()
    found: State = {}
    for vdi in farm.sr.scan().vdis:
        assert not vdi.missing
        if not vdi.managed:
            continue
        told = (
            vdi.virtual_size,
            vdi.name_label,
            vdi.type,
            vdi.snapshot_of,
            vdi.cbt_enabled,
            vdi.sm_config.get("custom"),
        )
        found[vdi.location] = told
        if vdi.type != "cbt_metadata":
            with farm.sr.open_for_reading(vdi.location) as disk:
                found[vdi.location] = (*told, disk.pread(0, disk.size))
    kept = Metadata.parse(farm.lvm.groups[group_name(SR)].volumes["MGT"].file.read_bytes()).disks()
    assert kept.keys() == found.keys()
    farm.inspect_place(killed=True)
    return found


def killed_at(step: int, farm: LvmFarm, operation: Operation) -> bool:
    """Do it in a process that dies at a step; return whether it lived to do it all."""
    with suppress(Killed), killed_after(step, farm.lvm) as dead:
        operation(farm.sr)
    return not dead()


def ends_old_or_new(prepared: LvmFarm, tmp_path: Path, operation: Operation, stride: int = 1) -> None:
    old = state(prepared.copy(tmp_path / "old"))
    whole = prepared.copy(tmp_path / "whole")
    operation(whole.sr)
    new = state(whole)
    seen = []
    lived, step = False, 0
    while not lived:
        farm = prepared.copy(tmp_path / "sr")
        lived = killed_at(step, farm, operation)
        now = state(farm)
        assert now in (old, new), f"neither old nor new after step {step}"
        seen.append(now == new)
        if now == old and old != new:
            operation(farm.sr)
            assert state(farm) == new
        shutil.rmtree(farm.path)
        step += stride
    assert len(seen) > 1
    assert seen == sorted(seen), "new, and then old again"


def hold_for_writing(sr: ImagesSr) -> None:
    sr.attach(CLONE, False)
    sr.detach(CLONE)


OPERATIONS: dict[str, Operation] = {
    "create": lambda sr: sr.create(CreateVdi(MADE, 2 * MIB, name_label="new")),
    "create raw": lambda sr: sr.create(CreateVdi(MADE, 2 * MIB, sm_config={"type": "raw"})),
    "update": lambda sr: sr.update(PLAIN, "another name", "text"),
    "snapshot": lambda sr: sr.snapshot(PLAIN, MADE),
    "snapshot of a tracked disk": lambda sr: sr.snapshot(TRACKED, MADE),
    "clone": lambda sr: sr.clone(PLAIN, MADE),
    "clone of an unwritten child": lambda sr: sr.clone(CLONE, MADE),
    "destroy": lambda sr: sr.destroy(CLONE),
    "destroy raw": lambda sr: sr.destroy(RAW),
    "destroy with a change log": lambda sr: sr.destroy(NEWER),
    "destroy data": lambda sr: sr.destroy_data(OLDER),
    "resize": lambda sr: sr.resize(PLAIN, 10 * MIB),
    "resize raw": lambda sr: sr.resize(RAW, 10 * MIB),
    "attach": hold_for_writing,
    "enable CBT": lambda sr: sr.enable_cbt(PLAIN),
    "disable CBT": lambda sr: sr.disable_cbt(TRACKED),
}


@pytest.mark.parametrize("name", OPERATIONS)
def test_killed_now_and_then(thick: LvmFarm, tmp_path: Path, name: str) -> None:
    ends_old_or_new(thick, tmp_path, OPERATIONS[name], stride=17 if "snapshot" in name or "clone" in name else 7)


@pytest.mark.thorough
@pytest.mark.parametrize("kind", ["thick", "thin"])
@pytest.mark.parametrize("name", OPERATIONS)
def test_killed_at_every_step(request: pytest.FixtureRequest, tmp_path: Path, kind: str, name: str) -> None:
    ends_old_or_new(request.getfixturevalue(kind), tmp_path, OPERATIONS[name])


@pytest.mark.parametrize("name", OPERATIONS)
def test_some_command_that_fails(thick: LvmFarm, tmp_path: Path, name: str) -> None:
    is_settled_whichever_fails(thick, tmp_path, OPERATIONS[name], stride=9)


@pytest.mark.thorough
@pytest.mark.parametrize("kind", ["thick", "thin"])
@pytest.mark.parametrize("name", OPERATIONS)
def test_every_command_that_fails(request: pytest.FixtureRequest, tmp_path: Path, kind: str, name: str) -> None:
    is_settled_whichever_fails(request.getfixturevalue(kind), tmp_path, OPERATIONS[name])


def is_settled_whichever_fails(prepared: LvmFarm, tmp_path: Path, operation: Operation, stride: int = 1) -> None:
    """The process lives on, and its next operation finds everything settled."""
    old = state(prepared.copy(tmp_path / "old"))
    whole = prepared.copy(tmp_path / "whole")
    operation(whole.sr)
    new = state(whole)
    for number in range(1, 200, stride):
        farm = prepared.copy(tmp_path / "sr")
        calls = farm.lvm.calls
        farm.lvm.fail_at = len(calls) + number
        with suppress(StorageFailure):
            operation(farm.sr)
        came_to_it = len(calls) >= farm.lvm.fail_at
        farm.lvm.fail_at = -1
        farm.sr.scan()
        assert not [name for name in farm.volumes if name.startswith(("clone_", "inflate_", "new_"))]
        assert state(farm) in (old, new), f"neither old nor new after command {number} failed: {calls[number]}"
        shutil.rmtree(farm.path)
        if not came_to_it:
            return
    raise AssertionError("it takes more commands than was thought")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("operation", "last"),
    [(lambda sr: sr.snapshot(TRACKED, MADE), TRACKED), (lambda sr: sr.destroy(NEWER), TRACKED)],
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
        lived = killed_at(step, farm, lambda sr: sr.snapshot(PLAIN, MADE))
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
