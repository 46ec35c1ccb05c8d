"""What may be done to which disk, and how the rest is refused, is the same wherever images lie."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.storage.coalesce.farm import FARMS, Farm
from xapi.storage.coalesce.collector import collect
from xapi.storage.coalesce.plan import Wishes
from xapi.storage.contract import MIB, new_uuid, write
from xapi.storage.errors import StorageFailure
from xapi.storage.images.repository import ImagesSr
from xapi.storage.interface import CreateVdi


def plain(sr: ImagesSr, sharable: bool = False, **sm_config: str) -> str:
    disk = sr.create(CreateVdi(new_uuid(), 4 * MIB, sm_config=sm_config, sharable=sharable)).location
    write(sr, disk, 0, b"x" * 512)
    return disk


def raw(sr: ImagesSr) -> str:
    return plain(sr, type="raw")


def sharable(sr: ImagesSr) -> str:
    return plain(sr, sharable=True)


def only_child(sr: ImagesSr) -> str:
    disk = plain(sr)
    sr.destroy(sr.snapshot(disk, new_uuid()).location)
    return disk


def only_child_of_a_raw_one(sr: ImagesSr) -> str:
    disk = raw(sr)
    sr.destroy(sr.snapshot(disk, new_uuid()).location)
    return disk


def snapshot(sr: ImagesSr) -> str:
    return sr.snapshot(plain(sr), new_uuid()).location


def snapshot_of_a_raw_one(sr: ImagesSr) -> str:
    return sr.snapshot(raw(sr), new_uuid()).location


def tracked(sr: ImagesSr) -> str:
    disk = plain(sr)
    sr.enable_cbt(disk)
    sr.snapshot(disk, new_uuid())
    return disk


def tracked_snapshot(sr: ImagesSr) -> str:
    disk = plain(sr)
    sr.enable_cbt(disk)
    return sr.snapshot(disk, new_uuid()).location


def without_data(sr: ImagesSr) -> str:
    return sr.destroy_data(tracked_snapshot(sr)).location


KINDS = (
    plain,
    raw,
    sharable,
    only_child,
    only_child_of_a_raw_one,
    snapshot,
    snapshot_of_a_raw_one,
    tracked,
    tracked_snapshot,
    without_data,
)
USES: dict[str, Callable[[ImagesSr, str], object]] = {
    "free": lambda sr, disk: None,
    "written": lambda sr, disk: sr.attach(disk, False),
    "read": lambda sr, disk: sr.attach(disk, True),
    "open": lambda sr, disk: sr.open_for_reading(disk),
}
OPERATIONS: dict[str, Callable[[ImagesSr, str], object]] = {
    "find": lambda sr, disk: sr.find(disk),
    "snapshot": lambda sr, disk: sr.snapshot(disk, new_uuid()),
    "clone": lambda sr, disk: sr.clone(disk, new_uuid()),
    "resize": lambda sr, disk: sr.resize(disk, 12 * MIB),
    "update": lambda sr, disk: sr.update(disk, "name", "text"),
    "attach for writing": lambda sr, disk: sr.attach(disk, False),
    "attach for reading": lambda sr, disk: sr.attach(disk, True),
    "read": lambda sr, disk: sr.open_for_reading(disk).close(),
    "write": lambda sr, disk: sr.open_for_writing(disk).close(),
    "reset": lambda sr, disk: sr.reset(disk),
    "enable CBT": lambda sr, disk: sr.enable_cbt(disk),
    "disable CBT": lambda sr, disk: sr.disable_cbt(disk),
    "changed blocks": lambda sr, disk: sr.changed_blocks(disk, disk),
    "destroy data": lambda sr, disk: sr.destroy_data(disk),
    "generate config": lambda sr, disk: sr.generate_config(disk),
    "collect": lambda sr, disk: [type(step).__name__ for step in collect(sr.chains(), Wishes()).done],
    "destroy": lambda sr, disk: sr.destroy(disk),
}
"""Not among them: to grow what is in use, which volumes cannot do."""


def answer(sr: ImagesSr, disk: str, use: str, operation: str) -> str:
    held: object = None
    try:
        held = USES[use](sr, disk)
        found = OPERATIONS[operation](sr, disk)
        return str(found) if operation == "collect" else "done"
    except StorageFailure as failure:
        return type(failure).__name__
    finally:
        if use == "open" and hasattr(held, "close"):
            held.close()


@pytest.mark.parametrize("use", ["free", *(pytest.param(use, marks=pytest.mark.slow) for use in list(USES)[1:])])
@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_what_may_be_done(tmp_path: Path, kind: Callable[[ImagesSr], str], use: str) -> None:
    answers: dict[str, dict[str, str]] = {}
    for place in FARMS[:2]:
        origin: Farm = place(tmp_path / place.__name__)
        disk = kind(origin.sr)
        told = answers[place.__name__] = {}
        for operation in OPERATIONS:
            farm = origin.copy(tmp_path / f"{place.__name__} {operation}")
            told[operation] = answer(farm.sr, disk, use, operation)
    files, volumes = answers.values()
    assert files == volumes
    assert "done" in files.values() or kind is without_data
