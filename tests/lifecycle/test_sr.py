from __future__ import annotations

from typing import Any

import pytest

from tests.lifecycle.rows import DISK_FEATURES, House
from xapi.datamodel.classes.sr import SR
from xapi.datamodel.classes.sr import StorageOperations as Op
from xapi.datamodel.classes.vdi import VdiType
from xapi.lifecycle import allowed_operations, why_not
from xapi.lifecycle.sr import FEATURES


def said(house: House, operation: Op, **options: Any) -> list[str] | None:
    failure = why_not(house.view, house.view.get(SR, "sr"), operation, **options)
    return failure.description if failure is not None else None


@pytest.mark.parametrize("operation", FEATURES)
def test_the_driver_must_announce_what_it_is_asked_for(operation: Op) -> None:
    house = House()
    assert said(house, operation) is None
    house.view.change(house.driver, features={k: v for k, v in DISK_FEATURES.items() if k != FEATURES[operation]})
    assert said(house, operation) == ["SR_OPERATION_NOT_SUPPORTED", "sr"]


def test_nothing_is_put_into_the_tools() -> None:
    house = House()
    house.view.change(house.sr, is_tools_sr=True)
    assert said(house, Op.VDI_CREATE) == ["SR_OPERATION_NOT_SUPPORTED", "sr"]
    assert said(house, Op.VDI_DESTROY) == ["SR_OPERATION_NOT_SUPPORTED", "sr"]
    assert said(house, Op.SCAN) is None


def test_an_sr_goes_when_it_is_unplugged_and_is_destroyed_when_it_is_empty() -> None:
    house = House()
    assert said(house, Op.FORGET) == ["SR_HAS_PBD", "sr"]
    assert said(house, Op.DESTROY) == ["SR_HAS_PBD", "sr"]
    house.view.change(house.pbd, currently_attached=False)
    assert said(house, Op.FORGET) is None
    assert said(house, Op.DESTROY) == ["SR_NOT_EMPTY"]
    house.view.change(house.vdi, type=VdiType.RRD)
    assert said(house, Op.DESTROY) is None
    house.view.change(house.vdi, type=VdiType.USER, managed=False)
    assert said(house, Op.DESTROY) is None
    house.view.change(house.sr, PBDs=())
    assert said(house, Op.DESTROY) == ["SR_HAS_NO_PBDS", "sr"]
    assert said(house, Op.FORGET) is None


def test_one_thing_at_a_time_but_hosts_plug_together() -> None:
    house = House()
    busy = house.view.change(house.sr, current_operations={"task": Op.VDI_CREATE})
    assert allowed_operations(house.view, busy) == ()
    assert said(house, Op.SCAN) == ["OTHER_OPERATION_IN_PROGRESS", "SR", "sr", "VDI.create", "task"]
    assert said(house, Op.SCAN, ignoring="task") is None
    plugging = house.view.change(house.sr, current_operations={"task": Op.PLUG})
    assert set(allowed_operations(house.view, plugging)) == {Op.PLUG, Op.UNPLUG}
    house.view.change(house.sr, current_operations={"task": Op.PLUG, "other": Op.PBD_CREATE})
    assert said(house, Op.PLUG) is not None
