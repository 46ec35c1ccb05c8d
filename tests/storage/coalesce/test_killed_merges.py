"""A collector that is killed at any write leaves every disk as it was, once; the next one finishes its work."""

from __future__ import annotations

import random
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xapi.storage.coalesce.collector import collect
from xapi.storage.coalesce.plan import Image, Wishes, plan

from .farm import BLOCK, FARMS, Farm, Killed, LvmFarm, ThinLvmFarm, killed_after


def collect_all(farm: Farm, small: int) -> None:
    chains = farm.sr.chains()
    chains.small = small
    found = collect(chains, Wishes())
    assert not found.failed and not found.skipped


def die_and_recover(farm: Farm, step: int, small: int) -> bool:
    """Collect in a process that dies at a write; return whether it lived to the end."""
    with killed_after(step, farm.lvm) as dead:
        try:
            collect_all(farm, small)
        except Killed:
            assert dead()
    died = dead()
    farm.attach()
    farm.inspect(killed=True)
    return not died


def finish(farm: Farm, small: int) -> None:
    collect_all(farm, small)
    farm.inspect()
    vdis = [Image(vdi.uuid, vdi.parent, not vdi.managed) for vdi in farm.sr.scan().vdis]
    assert plan(vdis, Wishes()) == []


def prepare(farm: Farm) -> Farm:
    """Two chains: one that becomes a single image, and one whose inner image has two children and a larger size."""
    disk = farm.create(BLOCK)
    farm.write(disk, 0, 1, count=9)
    farm.destroy(farm.snapshot(disk))
    farm.write(disk, 4, 2, count=9)
    other = farm.create(BLOCK)
    farm.write(other, 0, 1, count=20)
    farm.destroy(farm.snapshot(other))
    farm.grow(other, 2 * BLOCK)
    farm.write(other, 10, 2, count=20)
    farm.write(other, 5000, 3, count=20)
    farm.snapshot(other)
    farm.write(other, 20, 4)
    return farm


def killed_farms(origin: Farm, tmp_path: Path, small: int, stride: int, enough: int) -> Iterator[Farm]:
    """Yield copies that were killed at every so-many-th write, of more than `enough`, recovered and then collected."""
    stride *= 1 if origin.lvm is None or stride == 1 else 5
    step = 0
    lived = False
    while not lived:
        path = tmp_path / f"at-{step}"
        farm = origin.copy(path)
        lived = die_and_recover(farm, step, small)
        finish(farm, small)
        yield farm
        shutil.rmtree(path)
        step += stride
    assert step > enough


@pytest.mark.parametrize("stride", [5, pytest.param(1, marks=pytest.mark.slow)])
@pytest.mark.parametrize("small", [0, BLOCK], ids=["split first", "at once"])
@pytest.mark.parametrize("kind", FARMS)
def test_killed_at_every_write(tmp_path: Path, kind: type[Farm], small: int, stride: int) -> None:
    origin = prepare(kind(tmp_path / "origin"))
    for farm in killed_farms(origin, tmp_path, small, stride, enough=60):
        assert len(farm.images()) == 4


@pytest.mark.parametrize("stride", [7, pytest.param(1, marks=pytest.mark.slow)])
@pytest.mark.parametrize("small", [0, BLOCK], ids=["split first", "at once"])
@pytest.mark.parametrize("kind", FARMS)
def test_killed_while_a_disk_becomes_raw_again(tmp_path: Path, kind: type[Farm], small: int, stride: int) -> None:
    origin = kind(tmp_path / "origin")
    disk = origin.create(2 * BLOCK, type="raw")
    origin.write(disk, 0, 1, count=9)
    for value in (2, 3):
        origin.destroy(origin.snapshot(disk))
        origin.write(disk, 4 * value, value, count=20)
    origin.grow(disk, 3 * BLOCK)
    origin.write(disk, 5000, 4, count=20)
    for farm in killed_farms(origin, tmp_path, small, stride, enough=30):
        assert farm.images() == {disk}
        assert farm.sr.find(disk).sm_config["vdi_type"] == "raw"


OPERATIONS = ("write", "write", "write", "snapshot", "clone", "destroy", "destroy", "grow", "create", "collect")


def play(farm: Farm, actions: list[tuple[str, int, int]]) -> None:
    for name, which, number in actions:
        disks = sorted(farm.model)
        if not disks or name == "create":
            farm.create(BLOCK, **({"type": "raw"} if number % 3 == 1 else {}))
            continue
        disk = disks[which % len(disks)]
        match name:
            case "write":
                farm.write(disk, number, number % 255 + 1, count=number % 40 + 1)
            case "snapshot" if len(disks) < 7:
                farm.snapshot(disk)
            case "clone" if len(disks) < 7:
                farm.clone(disk)
            case "destroy":
                farm.destroy(disk)
            case "grow" if len(farm.model[disk]) < 3 * BLOCK:
                farm.grow(disk, len(farm.model[disk]) + BLOCK)
            case "collect":
                collect_all(farm, small=number % 2 * BLOCK)


histories = given(
    actions=st.lists(
        st.tuples(st.sampled_from(OPERATIONS), st.integers(0, 9), st.integers(0, 8000)), min_size=8, max_size=30
    ),
    moments=st.lists(st.integers(0, 150), min_size=1, max_size=3),
    small=st.sampled_from([0, BLOCK]),
)


def live_and_die(actions: list[tuple[str, int, int]], moments: list[int], small: int, kind: type[Farm] = Farm) -> None:
    with tempfile.TemporaryDirectory() as directory:
        farm = kind(Path(directory) / "sr")
        farm.create(BLOCK)
        play(farm, actions)
        for moment in moments:  # killed, and killed again while it recovers or goes on
            die_and_recover(farm, moment, small)
            play(farm, actions[:2])
        finish(farm, small)


@settings(deadline=None, max_examples=20)
@histories
def test_killed_in_any_tree(actions: list[tuple[str, int, int]], moments: list[int], small: int) -> None:
    live_and_die(actions, moments, small)


@pytest.mark.slow
@settings(deadline=None, max_examples=100)
@histories
def test_killed_in_very_many_trees(actions: list[tuple[str, int, int]], moments: list[int], small: int) -> None:
    live_and_die(actions, moments, small)


@pytest.mark.slow
@settings(deadline=None, max_examples=20)
@histories
def test_killed_in_many_trees_of_volumes(actions: list[tuple[str, int, int]], moments: list[int], small: int) -> None:
    live_and_die(actions, moments, small, ThinLvmFarm if small else LvmFarm)


@pytest.mark.parametrize("kind", [Farm, *(pytest.param(kind, marks=pytest.mark.slow) for kind in FARMS[1:])])
@pytest.mark.parametrize("seed", range(3))
def test_a_long_life_with_many_deaths(tmp_path: Path, seed: int, kind: type[Farm]) -> None:
    dice = random.Random(seed)
    farm = kind(tmp_path / "sr")
    farm.create(BLOCK)
    for _ in range(12):
        play(farm, [(dice.choice(OPERATIONS), dice.randrange(10), dice.randrange(8000)) for _ in range(8)])
        die_and_recover(farm, dice.randrange(120), dice.choice((0, BLOCK)))
    finish(farm, 0)


@pytest.mark.slow
@pytest.mark.parametrize("kind", FARMS)
def test_killed_while_it_recovers(tmp_path: Path, kind: type[Farm]) -> None:
    origin = prepare(kind(tmp_path / "origin"))
    for step in range(0, 90, 3):
        for again in range(0, 12, 2):
            path = tmp_path / "sr"
            farm = origin.copy(path)
            with suppress(Killed), killed_after(step, farm.lvm):
                collect_all(farm, 0)
            with suppress(Killed), killed_after(again, farm.lvm):
                farm.attach()
            farm.attach()
            finish(farm, 0)
            shutil.rmtree(path)
