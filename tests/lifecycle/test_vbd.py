from __future__ import annotations

from typing import Any

import pytest

from tests.lifecycle.rows import House, row
from xapi.datamodel.classes.vbd import VBD, VbdMode, VbdType
from xapi.datamodel.classes.vbd import VbdOperations as Op
from xapi.datamodel.classes.vdi import VdiOperations
from xapi.datamodel.classes.vm import VM, DomainType, VmOperations, VmPowerState
from xapi.datamodel.classes.vm_guest_metrics import TristateType
from xapi.lifecycle import allowed_operations, why_not

RUNNING, HALTED, PAUSED, SUSPENDED = (
    VmPowerState.RUNNING,
    VmPowerState.HALTED,
    VmPowerState.PAUSED,
    VmPowerState.SUSPENDED,
)


def said(house: House, operation: Op, ref: str = "disk", **options: Any) -> list[str] | None:
    failure = why_not(house.view, house.view.get(VBD, ref), operation, **options)
    return failure.description if failure is not None else None


@pytest.mark.parametrize(
    ("current", "allowed_beside"),
    [
        ({Op.PAUSE}, {Op.PAUSE, Op.UNPAUSE}),
        ({Op.UNPAUSE}, {Op.PAUSE, Op.UNPAUSE}),
        ({Op.ATTACH}, {Op.UNPAUSE}),
        ({Op.PLUG}, set()),
        ({Op.PAUSE, Op.UNPLUG}, set()),
    ],
)
def test_only_pausing_goes_on_beside_something(current: set[Op], allowed_beside: set[Op]) -> None:
    house = House(RUNNING)
    tasks = {f"task {operation}": operation for operation in sorted(current)}
    vbd = house.view.change(house.disk, current_operations=tasks)
    assert set(allowed_operations(house.view, vbd)) == allowed_beside
    first = min(current)
    assert said(house, Op.PLUG) == ["OTHER_OPERATION_IN_PROGRESS", "VBD", "disk", first, f"task {first}"]


def test_the_entry_of_ones_own_task_does_not_count() -> None:
    house = House(HALTED)
    house.view.change(house.disk, current_operations={"mine": Op.ATTACH})
    assert said(house, Op.ATTACH) is not None
    assert said(house, Op.ATTACH, ignoring="mine") is None


def test_some_drives_are_never_unplugged() -> None:
    house = House(RUNNING)
    house.view.change(house.disk, unpluggable=False)
    assert said(house, Op.UNPLUG) == ["VBD_NOT_UNPLUGGABLE", "disk"]


def test_only_cds_have_media() -> None:
    house = House(RUNNING)
    assert said(house, Op.EJECT) == ["VBD_NOT_REMOVABLE_MEDIA", "disk"]
    assert said(house, Op.INSERT, "cd") is None
    assert said(house, Op.EJECT, "cd") == ["VBD_IS_EMPTY", "cd"]
    house.view.change(house.cd, empty=False, VDI="vdi")
    assert said(house, Op.INSERT, "cd") == ["VBD_NOT_EMPTY", "cd"]


def test_a_suspended_vm_keeps_the_cd_that_it_has() -> None:
    house = House(SUSPENDED)
    assert said(house, Op.INSERT, "cd") == ["VM_BAD_POWER_STATE", "vm", "halted, running", "suspended"]
    assert said(house, Op.ATTACH, "cd") is None


def test_plugging_depends_on_the_vm_and_on_being_plugged() -> None:
    assert said(House(HALTED), Op.PLUG) == ["VM_BAD_POWER_STATE", "vm", "running", "halted"]
    assert said(House(PAUSED), Op.UNPLUG) == ["VM_BAD_POWER_STATE", "vm", "running", "paused"]
    assert said(House(PAUSED), Op.PAUSE) is None
    house = House(RUNNING)
    assert said(house, Op.PLUG) == ["DEVICE_ALREADY_ATTACHED", "disk"]
    house.view.change(house.disk, currently_attached=False)
    assert said(house, Op.UNPLUG_FORCE) == ["DEVICE_ALREADY_DETACHED", "disk"]
    house.view.change(house.disk, currently_attached=False, reserved=True)
    assert said(house, Op.PLUG) == ["DEVICE_ALREADY_ATTACHED", "disk"]


def test_a_vm_on_its_way_down_gives_nothing_up() -> None:
    house = House(RUNNING)
    house.view.change(house.vm, current_operations={"task": VmOperations.CLEAN_SHUTDOWN})
    assert said(house, Op.UNPLUG) == ["OPERATION_NOT_ALLOWED", "Current operation on VM:vm is clean_shutdown"]
    assert said(house, Op.UNPLUG, ignoring="task") is None
    assert said(house, Op.UNPLUG_FORCE) is None


def test_what_the_guest_says_of_hotplug_counts() -> None:
    house = House(RUNNING)
    house.view.change(house.guest, can_use_hotplug_vbd=TristateType.NO)
    assert said(house, Op.UNPLUG) == ["OPERATION_NOT_ALLOWED", "VM states it does not support VBD hotplug."]
    house.view.change(house.guest, can_use_hotplug_vbd=TristateType.UNSPECIFIED, PV_drivers_detected=False)
    assert said(house, Op.UNPLUG) == ["VM_MISSING_PV_DRIVERS", "vm"]
    house.view.change(house.guest, can_use_hotplug_vbd=TristateType.YES, PV_drivers_detected=False)
    assert said(house, Op.UNPLUG) is None
    house.view.change(house.cd, unpluggable=True)
    assert said(house, Op.UNPLUG, "cd") == [
        "OPERATION_NOT_ALLOWED",
        "HVM CDROMs cannot be hotplugged/unplugged, only inserted or ejected",
    ]
    house.view.change(house.metrics, current_domain_type=DomainType.PV)
    assert said(house, Op.UNPLUG, "cd") is None


def test_an_unmanaged_disk_is_left_alone() -> None:
    house = House(RUNNING)
    house.view.change(house.vdi, managed=False)
    assert allowed_operations(house.view, house.disk) == ()
    assert said(house, Op.PAUSE) == ["VDI_NOT_MANAGED", "disk"]


def test_a_busy_disk_is_not_taken_unless_it_is_only_read() -> None:
    house = House(HALTED)
    house.view.change(house.vdi, current_operations={"task": VdiOperations.COPY})
    assert said(house, Op.ATTACH) is None
    house.view.change(house.vdi, current_operations={"task": VdiOperations.RESIZE})
    assert said(house, Op.ATTACH) == ["OTHER_OPERATION_IN_PROGRESS", "VDI", "vdi", "resize", "task"]


def shared(mode: VbdMode, **user: Any) -> House:
    house = House(HALTED)
    house.view.put(row(VM, "other", power_state=RUNNING))
    values: dict[str, Any] = {"currently_attached": True, "mode": mode, "type": VbdType.DISK} | user
    house.view.put(row(VBD, "second", VM="other", VDI="vdi", **values))
    house.view.change(house.vdi, VBDs=("disk", "second"))
    return house


def test_two_do_not_write_to_one_disk() -> None:
    house = shared(VbdMode.RW)
    assert said(house, Op.ATTACH) == ["VDI_IN_USE", "vdi"]
    house.view.change(house.disk, mode=VbdMode.RO)
    assert said(house, Op.ATTACH) == ["VDI_IN_USE", "vdi"]
    house.view.change(house.vdi, sharable=True)
    assert said(house, Op.ATTACH) is None


def test_two_may_read_one_disk_but_one_may_not_write_then() -> None:
    house = shared(VbdMode.RO)
    assert said(house, Op.ATTACH) == ["VDI_IN_USE", "vdi"]
    house.view.change(house.disk, mode=VbdMode.RO)
    assert said(house, Op.ATTACH) is None


def test_a_vbd_that_is_busy_or_reserved_uses_its_disk_and_an_idle_one_does_not() -> None:
    assert said(shared(VbdMode.RW, currently_attached=False), Op.ATTACH) is None
    assert said(shared(VbdMode.RW, currently_attached=False, reserved=True), Op.ATTACH) == ["VDI_IN_USE", "vdi"]
    busy = {"task": Op.ATTACH}
    assert said(shared(VbdMode.RW, currently_attached=False, current_operations=busy), Op.ATTACH) is not None


def test_suspended_vms_and_system_domains_are_in_nobodys_way() -> None:
    house = shared(VbdMode.RW)
    house.view.change(house.view.get(VM, "other"), power_state=SUSPENDED)
    assert said(house, Op.ATTACH) is None
    house = shared(VbdMode.RW)
    house.view.change(house.view.get(VM, "other"), is_control_domain=True)
    assert said(house, Op.ATTACH) is None
    house = shared(VbdMode.RW)
    house.view.change(house.vm, other_config={"is_system_domain": "true"})
    assert said(house, Op.ATTACH) is None


def test_a_read_only_disk_is_not_written_to() -> None:
    house = House(HALTED)
    house.view.change(house.vdi, read_only=True)
    assert said(house, Op.ATTACH) == ["VDI_READONLY", "vdi"]
    house.view.change(house.disk, mode=VbdMode.RO)
    assert said(house, Op.ATTACH) is None


def test_a_vbd_whose_vm_is_gone_is_refused_everything() -> None:
    house = House(HALTED)
    house.view.change(house.disk, VM="gone")
    assert said(house, Op.ATTACH) == ["HANDLE_INVALID", "VM", "gone"]
