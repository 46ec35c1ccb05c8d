from __future__ import annotations

from tests.lifecycle.rows import House
from xapi.datamodel.classes.vif import VIF
from xapi.datamodel.classes.vif import VifOperations as Op
from xapi.datamodel.classes.vm import VmOperations, VmPowerState
from xapi.datamodel.classes.vm_guest_metrics import TristateType
from xapi.lifecycle import allowed_operations, why_not


def said(house: House, operation: Op, ignoring: str = "") -> list[str] | None:
    failure = why_not(house.view, house.view.get(VIF, "vif"), operation, ignoring=ignoring)
    return failure.description if failure is not None else None


def test_one_thing_at_a_time() -> None:
    house = House()
    vif = house.view.change(house.vif, current_operations={"task": Op.PLUG})
    assert allowed_operations(house.view, vif) == ()
    assert said(house, Op.ATTACH) == ["OTHER_OPERATION_IN_PROGRESS", "VIF", "vif", "plug", "task"]
    assert said(house, Op.ATTACH, ignoring="task") is None


def test_plugging_depends_on_the_vm_and_on_being_plugged() -> None:
    assert said(House(), Op.PLUG) == ["VM_BAD_POWER_STATE", "vm", "running", "halted"]
    house = House(VmPowerState.RUNNING)
    assert said(house, Op.PLUG) == ["DEVICE_ALREADY_ATTACHED", "vif"]
    assert said(house, Op.UNPLUG) is None
    house.view.change(house.vif, currently_attached=False)
    assert said(house, Op.UNPLUG) == ["DEVICE_ALREADY_DETACHED", "vif"]
    assert said(house, Op.PLUG) is None


def test_a_vm_on_its_way_down_gives_nothing_up() -> None:
    house = House(VmPowerState.RUNNING)
    house.view.change(house.vm, current_operations={"task": VmOperations.SUSPEND})
    assert said(house, Op.UNPLUG) == ["OPERATION_NOT_ALLOWED", "Current operation on VM:vm is suspend"]


def test_what_the_guest_says_of_hotplug_counts() -> None:
    house = House(VmPowerState.RUNNING)
    house.view.change(house.guest, can_use_hotplug_vif=TristateType.NO)
    assert said(house, Op.UNPLUG) == ["OPERATION_NOT_ALLOWED", "VM states it does not support VIF hotplug."]
    house.view.change(house.vm, guest_metrics="OpaqueRef:NULL")
    assert said(house, Op.UNPLUG) == ["VM_MISSING_PV_DRIVERS", "vm"]
