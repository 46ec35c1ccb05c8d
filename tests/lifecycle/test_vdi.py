from __future__ import annotations

from typing import Any

import pytest

from tests.lifecycle.rows import DISK_FEATURES, House
from xapi.datamodel.classes.pool import PoolAllowedOperations
from xapi.datamodel.classes.vbd import VbdMode, VbdOperations
from xapi.datamodel.classes.vdi import VDI, OnBoot, VdiType
from xapi.datamodel.classes.vdi import VdiOperations as Op
from xapi.datamodel.classes.vm import VmPowerState
from xapi.lifecycle import allowed_operations, why_not
from xapi.lifecycle.vdi import FEATURES


def said(house: House, operation: Op, **options: Any) -> list[str] | None:
    failure = why_not(house.view, house.view.get(VDI, "vdi"), operation, **options)
    return failure.description if failure is not None else None


def disk(**values: Any) -> House:
    house = House()
    house.view.change(house.vdi, **values)
    return house


def test_something_going_on_stops_everything_else() -> None:
    house = disk(current_operations={"task": Op.RESIZE})
    assert allowed_operations(house.view, house.view.get(VDI, "vdi")) == ()
    assert said(house, Op.CLONE) == ["OTHER_OPERATION_IN_PROGRESS", "VDI", "vdi", "resize", "task"]
    assert said(house, Op.CLONE, ignoring="task") is None


def test_a_copy_lets_others_begin_but_no_snapshot() -> None:
    house = disk(current_operations={"task": Op.COPY})
    assert said(house, Op.DESTROY) is None
    assert said(house, Op.SNAPSHOT) == ["OPERATION_NOT_ALLOWED", "Snapshot operation not allowed during copy."]


def test_a_mirrored_disk_is_destroyed_by_the_migration() -> None:
    house = disk(current_operations={"task": Op.MIRROR})
    assert said(house, Op.DESTROY) is None
    assert said(house, Op.CLONE) == ["OTHER_OPERATION_IN_PROGRESS", "VDI", "vdi", "mirror", "task"]


def test_resizing_needs_the_sr_plugged_somewhere() -> None:
    house = House()
    house.view.change(house.pbd, currently_attached=False)
    assert said(house, Op.RESIZE) == ["SR_HAS_NO_PBDS", "sr"]


def test_a_disk_in_use_does_only_what_can_be_done_live() -> None:
    house = House(VmPowerState.RUNNING)
    assert said(house, Op.COPY) == ["VDI_IN_USE", "vdi", "copy"]
    assert said(house, Op.DESTROY) == ["VDI_IN_USE", "vdi", "destroy"]
    assert said(house, Op.SNAPSHOT) is None
    house.view.change(house.disk, mode=VbdMode.RO)
    assert said(house, Op.COPY) is None
    assert said(house, Op.DESTROY) == ["VDI_IN_USE", "vdi", "destroy"]


def test_the_disk_of_a_checkpoint_tells_its_changed_blocks() -> None:
    house = House(VmPowerState.RUNNING)
    assert said(house, Op.LIST_CHANGED_BLOCKS) == ["VDI_IN_USE", "vdi", "list_changed_blocks"]
    house.view.change(house.vm, is_a_snapshot=True)
    assert said(house, Op.LIST_CHANGED_BLOCKS) is None


def test_a_vbd_that_is_busy_stops_the_disk() -> None:
    house = House()
    house.view.change(house.disk, current_operations={"task": VbdOperations.ATTACH})
    assert said(house, Op.CLONE) == ["OTHER_OPERATION_IN_PROGRESS", "VDI", "vdi", "attach", "task"]
    assert said(house, Op.CLONE, ignoring="task") is None


@pytest.mark.parametrize("operation", FEATURES)
def test_the_driver_must_announce_what_it_is_asked_for(operation: Op) -> None:
    house = disk(is_a_snapshot=operation is Op.DATA_DESTROY, cbt_enabled=operation is Op.DATA_DESTROY)
    house.view.change(house.driver, features={**DISK_FEATURES, FEATURES[operation]: 1})
    assert said(house, operation) is None
    house.view.change(house.driver, features={k: v for k, v in DISK_FEATURES.items() if k != FEATURES[operation]})
    assert said(house, operation) == ["SR_OPERATION_NOT_SUPPORTED", "sr"]


def test_without_a_driver_nothing_is_supported() -> None:
    house = House()
    house.view.change(house.sr, type="unheard of")
    assert said(house, Op.CLONE) == ["SR_OPERATION_NOT_SUPPORTED", "sr"]
    assert said(house, Op.COPY) is None


@pytest.mark.parametrize(
    ("values", "operation", "expected"),
    [
        ({"type": VdiType.CBT_METADATA}, Op.CLONE, ["VDI_INCOMPATIBLE_TYPE", "vdi", "CBT metadata"]),
        ({"type": VdiType.CBT_METADATA}, Op.DESTROY, None),
        ({"cbt_enabled": True}, Op.MIRROR, ["VDI_CBT_ENABLED", "vdi"]),
        ({"cbt_enabled": True}, Op.SET_ON_BOOT, ["VDI_CBT_ENABLED", "vdi"]),
        ({}, Op.DATA_DESTROY, ["OPERATION_NOT_ALLOWED", "VDI is not a snapshot: vdi"]),
        ({"is_a_snapshot": True}, Op.DATA_DESTROY, ["VDI_NO_CBT_METADATA", "vdi"]),
        ({"is_a_snapshot": True, "cbt_enabled": True}, Op.DATA_DESTROY, None),
        ({"is_a_snapshot": True}, Op.ENABLE_CBT, ["OPERATION_NOT_ALLOWED", "VDI is a snapshot: vdi"]),
        ({"type": VdiType.SUSPEND}, Op.DISABLE_CBT, ["VDI_INCOMPATIBLE_TYPE", "vdi", "Suspend"]),
        ({"type": VdiType.RRD}, Op.DESTROY, ["VDI_HAS_RRDS", "vdi"]),
        ({"type": VdiType.RRD}, Op.FORGET, ["VDI_HAS_RRDS", "vdi"]),
        ({"sharable": True}, Op.SNAPSHOT, ["VDI_IS_SHARABLE", "vdi"]),
        ({"on_boot": OnBoot.RESET}, Op.SNAPSHOT, ["VDI_ON_BOOT_MODE_INCOMPATIBLE_WITH_OPERATION"]),
        ({"on_boot": OnBoot.RESET}, Op.ENABLE_CBT, ["VDI_ON_BOOT_MODE_INCOMPATIBLE_WITH_OPERATION"]),
        ({"on_boot": OnBoot.RESET}, Op.CLONE, None),
    ],
)
def test_the_kind_of_disk_decides(values: dict[str, Any], operation: Op, expected: list[str] | None) -> None:
    assert said(disk(**({"type": VdiType.USER} | values)), operation) == expected


def test_physical_drives_and_the_tools_are_not_destroyed() -> None:
    house = House()
    house.view.change(house.sr, is_tools_sr=True)
    assert said(house, Op.DESTROY) == ["SR_OPERATION_NOT_SUPPORTED", "sr"]
    house = House()
    house.view.change(house.sr, type="udev")
    house.view.change(house.driver, type="udev")
    assert said(house, Op.DESTROY) == ["VDI_IS_A_PHYSICAL_DEVICE", "vdi"]


@pytest.mark.parametrize("kind", [VdiType.HA_STATEFILE, VdiType.REDO_LOG])
def test_high_availability_keeps_its_disks(kind: VdiType) -> None:
    house = disk(type=kind)
    assert said(house, Op.DESTROY) is None
    assert said(house, Op.COPY) is not None
    house.view.change(house.pool, ha_enabled=True)
    for operation in (Op.DESTROY, Op.FORGET, Op.RESIZE, Op.RESIZE_ONLINE):
        assert said(house, operation) == ["HA_IS_ENABLED"]
    assert said(house, Op.CLONE) is None


@pytest.mark.parametrize("kind", [VdiType.HA_STATEFILE, VdiType.METADATA])
def test_disks_are_not_destroyed_while_high_availability_changes(kind: VdiType) -> None:
    house = disk(type=kind)
    house.view.change(house.pool, current_operations={"task": PoolAllowedOperations.HA_ENABLE})
    assert said(house, Op.DESTROY) == ["HA_ENABLE_IN_PROGRESS"]
    house.view.change(house.pool, current_operations={"task": PoolAllowedOperations.HA_DISABLE})
    assert said(house, Op.DESTROY) == ["HA_DISABLE_IN_PROGRESS"]


def test_during_a_rolling_upgrade_only_old_operations_are_allowed() -> None:
    house = House()
    house.view.change(house.pool, other_config={"rolling_upgrade_in_progress": "true"})
    assert said(house, Op.ENABLE_CBT) == ["NOT_SUPPORTED_DURING_UPGRADE"]
    assert said(house, Op.CLONE) is None
