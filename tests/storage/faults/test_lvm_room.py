"""The operations on LVM, in a volume group without room."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.storage.coalesce.farm import SR, LvmFarm
from tests.storage.faults.operations import OPERATIONS, PLAIN, Operation, furnish, furnish_chain
from tests.storage.faults.state import state
from xapi.storage.interface import SrFull, StorageFailure
from xapi.storage.lvm.volumes import group_name

EXTENT = 4 << 20
SAMPLE = {"create", "snapshot", "resize"}
NOT_ON_LVM = {"resize beyond its table", "resize online"}
CALLS = [operation for operation in OPERATIONS if operation.name not in NOT_ON_LVM]


@pytest.fixture(scope="module")
def furnished(tmp_path_factory: pytest.TempPathFactory) -> LvmFarm:
    farm = LvmFarm(tmp_path_factory.mktemp("lvm") / "sr")
    furnish(farm.sr)
    furnish_chain(farm.sr)
    return farm


@pytest.mark.parametrize(
    "operation",
    [pytest.param(one, marks=() if one.name in SAMPLE else pytest.mark.slow) for one in CALLS],
    ids=[one.name.replace(" ", "-") for one in CALLS],
)
@pytest.mark.parametrize("extents", [0, 1, 2, 5])
def test_group_without_room(operation: Operation, extents: int, furnished: LvmFarm, tmp_path: Path) -> None:
    """Nothing is lost, and room makes the operation work."""
    farm = furnished.copy(tmp_path / "sr")
    before = state(farm.sr)
    group = farm.lvm.groups[group_name(SR)]
    whole = group.size
    group.size = whole - group.free + extents * EXTENT
    try:
        operation.do(farm.sr)
    except StorageFailure as failure:
        assert isinstance(failure, SrFull), repr(failure)
        group.size = whole
        if operation.written != PLAIN:
            assert state(farm.sr)[1].items() >= before[1].items()
        operation.do(farm.sr)
    group.size = whole
    state(farm.sr)
    farm.attach()
    farm.inspect_place(killed=False)
