from __future__ import annotations

from typing import Any

import pytest

from tests.lifecycle.rows import House, row
from xapi.datamodel.classes.pgpu import PGPU
from xapi.datamodel.classes.vdi import OnBoot
from xapi.datamodel.classes.vgpu import VGPU
from xapi.datamodel.classes.vgpu_type import VGPUType, VgpuTypeImplementation
from xapi.datamodel.classes.vm import VM, DomainType, VmPowerState
from xapi.datamodel.classes.vm import VmOperations as Op
from xapi.datamodel.classes.vm_appliance import VMAppliance
from xapi.datamodel.classes.vmpp import VMPP
from xapi.datamodel.classes.vmss import VMSS
from xapi.lifecycle import allowed_operations, why_not
from xapi.lifecycle.vm import LISTED, RULES, STATES

RUNNING, HALTED, SUSPENDED = VmPowerState.RUNNING, VmPowerState.HALTED, VmPowerState.SUSPENDED


def said(house: House, operation: Op, **options: Any) -> list[str] | None:
    failure = why_not(house.view, house.view.get(VM, "vm"), operation, **options)
    return failure.description if failure is not None else None


def busy(house: House, *operations: Op) -> House:
    house.view.change(house.vm, current_operations={f"task {n}": each for n, each in enumerate(operations, 1)})
    return house


def test_every_operation_has_its_states() -> None:
    assert set(STATES) == set(Op)
    assert set(LISTED) <= set(Op)


def test_a_blocked_operation_is_refused_with_the_reason_before_anything_else() -> None:
    house = House(HALTED, blocked_operations={Op.PAUSE: "NOT_TODAY", Op.START: "NO"})
    assert said(house, Op.PAUSE) == ["OPERATION_BLOCKED", "vm", "NOT_TODAY"]
    assert Op.START not in allowed_operations(house.view, house.vm)
    assert Op.START_ON in allowed_operations(house.view, house.vm)


def test_the_power_state_is_checked_before_what_goes_on() -> None:
    house = busy(House(HALTED), Op.CLONE)
    assert said(house, Op.PAUSE) == ["VM_BAD_POWER_STATE", "vm", "running", "halted"]
    assert said(house, Op.START) == ["OTHER_OPERATION_IN_PROGRESS", "VM", "vm", "clone", "task 1"]


def test_several_current_operations_are_named_together() -> None:
    house = busy(House(HALTED), Op.CLONE, Op.EXPORT)
    expected = ["OTHER_OPERATION_IN_PROGRESS", "VM", "vm", "{clone,export}", "{task 1,task 2}"]
    assert said(house, Op.START) == expected


def test_an_operation_that_has_no_name_is_called_so() -> None:
    house = busy(House(HALTED), Op.CHANGING_VCPUS)
    assert said(house, Op.START) == ["OTHER_OPERATION_IN_PROGRESS", "VM", "vm", "(unknown operation)", "task 1"]


def test_the_entry_of_ones_own_task_does_not_count() -> None:
    house = busy(House(HALTED), Op.START)
    assert said(house, Op.START) is not None
    assert said(house, Op.START, ignoring="task 1") is None
    assert said(busy(house, Op.START, Op.CLONE), Op.START, ignoring="task 1") == [
        "OTHER_OPERATION_IN_PROGRESS",
        "VM",
        "vm",
        "clone",
        "task 2",
    ]


@pytest.mark.parametrize(
    ("state", "current", "beside", "not_beside"),
    [
        (HALTED, (Op.CLONE, Op.EXPORT), {Op.CLONE, Op.COPY, Op.EXPORT}, {Op.SNAPSHOT, Op.DESTROY}),
        (RUNNING, (Op.SNAPSHOT,), {Op.SNAPSHOT, Op.CHECKPOINT, Op.HARD_SHUTDOWN}, {Op.SUSPEND, Op.CLEAN_SHUTDOWN}),
        (RUNNING, (Op.SNAPSHOT, Op.CLONE), {Op.HARD_SHUTDOWN}, {Op.SNAPSHOT, Op.CHECKPOINT}),
        (RUNNING, (Op.MIGRATE_SEND,), {Op.METADATA_EXPORT, Op.CLEAN_SHUTDOWN, Op.CLEAN_REBOOT}, {Op.SUSPEND}),
        (HALTED, (Op.MIGRATE_SEND,), {Op.START, Op.START_ON}, {Op.CLONE}),
        (RUNNING, (Op.MIGRATE_SEND, Op.CALL_PLUGIN), {Op.HARD_REBOOT}, {Op.METADATA_EXPORT}),
        (RUNNING, (Op.SNAPSHOT_WITH_QUIESCE,), {Op.SNAPSHOT}, {Op.CHECKPOINT}),
        (RUNNING, (Op.CLEAN_SHUTDOWN,), {Op.HARD_SHUTDOWN, Op.HARD_REBOOT}, {Op.PAUSE, Op.CLEAN_SHUTDOWN}),
        (RUNNING, (Op.HARD_REBOOT,), {Op.HARD_SHUTDOWN}, {Op.HARD_REBOOT}),
        (RUNNING, (Op.HARD_SHUTDOWN,), set(), {Op.HARD_SHUTDOWN, Op.HARD_REBOOT}),
        (RUNNING, (Op.GET_BOOT_RECORD,), {Op.GET_BOOT_RECORD}, {Op.PAUSE}),
    ],
)
def test_what_may_go_on_beside_what(
    state: VmPowerState, current: tuple[Op, ...], beside: set[Op], not_beside: set[Op]
) -> None:
    house = busy(House(state), *current)
    assert {operation for operation in beside if said(house, operation) is not None} == set()
    codes = {operation: said(house, operation) for operation in not_beside}
    assert all(answer is not None and answer[0] == "OTHER_OPERATION_IN_PROGRESS" for answer in codes.values()), codes


def test_a_default_template_is_neither_destroyed_nor_sent_away() -> None:
    for marks in ({"is_default_template": True}, {"other_config": {"default_template": "true"}}):
        house = House(HALTED, is_a_template=True, **marks)
        assert said(house, Op.DESTROY) == ["VM_IS_TEMPLATE", "vm", "destroy"]
        assert said(house, Op.MIGRATE_SEND) == ["VM_IS_TEMPLATE", "vm", "migrate_send"]
        assert Op.CLONE in allowed_operations(house.view, house.vm)
    assert said(House(HALTED, is_a_template=True), Op.DESTROY) is None


def test_a_suspended_vm_is_cloned_where_the_pool_says_so_and_a_checkpoint_always() -> None:
    house = House(SUSPENDED)
    assert said(house, Op.CLONE) == ["VM_BAD_POWER_STATE", "vm", "halted", "suspended"]
    house.view.change(house.pool, other_config={"allow_clone_suspended_vm": "true"})
    assert said(house, Op.CLONE) is None
    assert Op.CLONE in allowed_operations(house.view, house.vm)
    assert said(House(SUSPENDED, is_a_template=True, is_a_snapshot=True), Op.COPY) is None


@pytest.mark.parametrize("key", ["nomigrate", "nested-virt"])
def test_a_vm_that_cannot_move_does_so_only_for_those_who_insist(key: str) -> None:
    house = House(RUNNING, metrics="OpaqueRef:NULL", platform={key: "true"})
    assert said(house, Op.SUSPEND) == ["VM_IS_IMMOBILE", "vm"]
    assert said(house, Op.POOL_MIGRATE, insisting=True) is None


def test_how_the_vm_was_started_counts_for_moving_and_not_its_settings() -> None:
    house = House(RUNNING, platform={"nomigrate": "true"})
    assert said(house, Op.SUSPEND) is None
    house.view.change(house.metrics, nested_virt=True)
    assert said(house, Op.CHECKPOINT) == ["VM_IS_IMMOBILE", "vm"]
    assert said(house, Op.CHANGING_DYNAMIC_RANGE) == ["VM_IS_USING_NESTED_VIRT", "vm"]


def test_domain_zero_and_other_control_domains() -> None:
    zero = House(RUNNING, is_control_domain=True, resident_on="host")
    zero.view.change(zero.host, control_domain="vm")
    assert said(zero, Op.CHANGING_VCPUS) == ["OPERATION_NOT_ALLOWED", "This operation is not allowed on dom0"]
    assert said(zero, Op.PAUSE) == ["OPERATION_NOT_ALLOWED", "This operation is not allowed on a control domain"]
    assert set(allowed_operations(zero.view, zero.vm)) == {
        Op.METADATA_EXPORT,
        Op.CHANGING_DYNAMIC_RANGE,
        Op.CHANGING_STATIC_RANGE,
    }
    driver = House(RUNNING, is_control_domain=True, resident_on="host")
    assert said(driver, Op.CHANGING_VCPUS) is None
    assert said(driver, Op.DESTROY) == ["VM_BAD_POWER_STATE", "vm", "halted, suspended", "running"]


@pytest.mark.parametrize(
    ("operation", "feature"),
    [
        (Op.CLEAN_SHUTDOWN, "feature-shutdown"),
        (Op.CLEAN_SHUTDOWN, "feature-poweroff"),
        (Op.CLEAN_REBOOT, "feature-shutdown"),
        (Op.CLEAN_REBOOT, "feature-reboot"),
        (Op.CHANGING_VCPUS_LIVE, "feature-vcpu-hotplug"),
        (Op.SUSPEND, "feature-suspend"),
        (Op.CHECKPOINT, "feature-suspend"),
        (Op.POOL_MIGRATE, "feature-suspend"),
        (Op.MIGRATE_SEND, "feature-suspend"),
    ],
)
def test_a_guest_without_drivers_must_announce_the_feature(operation: Op, feature: str) -> None:
    house = House(RUNNING)
    assert said(house, operation) is None
    house.view.change(house.guest, PV_drivers_detected=False)
    assert said(house, operation) == ["VM_LACKS_FEATURE", "vm"]
    house.view.change(house.guest, other={feature: "0"})
    assert said(house, operation) == ["VM_LACKS_FEATURE", "vm"]
    house.view.change(house.guest, other={feature: "1"})
    assert said(house, operation) is None


def test_without_drivers_nobody_insists_on_more_processors() -> None:
    house = House(RUNNING, guest_metrics="OpaqueRef:NULL")
    assert said(house, Op.CHANGING_VCPUS_LIVE, insisting=True) == ["VM_LACKS_FEATURE", "vm"]
    assert said(house, Op.CLEAN_SHUTDOWN, insisting=True) is None


def test_a_paravirtual_guest_can_do_everything() -> None:
    house = House(RUNNING, guest_metrics="OpaqueRef:NULL", domain_type=DomainType.PV)
    house.view.change(house.metrics, hvm=False, current_domain_type=DomainType.PV)
    assert said(house, Op.SUSPEND) is None
    assert said(house, Op.CHANGING_VCPUS_LIVE) is None


def test_a_driver_version_shows_drivers() -> None:
    house = House(RUNNING)
    house.view.change(house.guest, PV_drivers_detected=False, PV_drivers_version={"major": "9", "minor": "3"})
    assert said(house, Op.SUSPEND) is None


def test_quiescing_needs_an_agent_that_can() -> None:
    house = House(RUNNING)
    assert said(house, Op.SNAPSHOT_WITH_QUIESCE) == ["VM_SNAPSHOT_WITH_QUIESCE_NOT_SUPPORTED", "vm"]
    house.view.change(house.guest, other={"feature-quiesce": "1"})
    assert said(house, Op.SNAPSHOT_WITH_QUIESCE) is None


def test_a_disk_that_forgets_forbids_keeping_its_state() -> None:
    house = House(RUNNING)
    house.view.change(house.vdi, on_boot=OnBoot.RESET)
    for operation in (Op.SNAPSHOT, Op.CHECKPOINT, Op.SUSPEND):
        assert said(house, operation) == ["VDI_ON_BOOT_MODE_INCOMPATIBLE_WITH_OPERATION"]
    assert said(house, Op.POOL_MIGRATE) is None
    house.view.change(house.vdi, allow_caching=True)
    assert said(house, Op.POOL_MIGRATE) == ["VDI_ON_BOOT_MODE_INCOMPATIBLE_WITH_OPERATION"]
    house.view.change(house.vdi, on_boot=OnBoot.PERSIST, allow_caching=False)
    house.view.change(house.vdi, sm_config={"on_boot": "reset"})
    assert said(house, Op.SNAPSHOT) == ["VDI_ON_BOOT_MODE_INCOMPATIBLE_WITH_OPERATION"]


@pytest.mark.parametrize(
    ("having", "code", "stops_a_snapshot"),
    [
        ({"attached_PCIs": ("pci",)}, "VM_HAS_PCI_ATTACHED", False),
        ({"VGPUs": ("vgpu",)}, "VM_HAS_VGPU", False),
        ({"VUSBs": ("vusb",)}, "VM_HAS_VUSBS", True),
    ],
)
def test_devices_of_the_host_tie_the_vm_to_it(having: dict[str, Any], code: str, stops_a_snapshot: bool) -> None:
    house = House(RUNNING, **having)
    for operation in (Op.SUSPEND, Op.CHECKPOINT, Op.POOL_MIGRATE, Op.MIGRATE_SEND):
        assert said(house, operation) == [code, "vm"]
    assert said(house, Op.SNAPSHOT) == ([code, "vm"] if stops_a_snapshot else None)
    assert said(house, Op.PAUSE) is None


def test_a_halted_vm_leaves_its_virtual_gpu_behind() -> None:
    assert said(House(HALTED, VGPUs=("vgpu",)), Op.MIGRATE_SEND) is None


def test_some_virtual_gpus_can_move() -> None:
    house = House(RUNNING, VGPUs=("vgpu",))
    house.view.put(row(VGPU, "vgpu", VM="vm", type="kind", resident_on="card"))
    house.view.put(row(VGPUType, "kind", implementation=VgpuTypeImplementation.NVIDIA))
    card = house.view.put(row(PGPU, "card", compatibility_metadata={"driver": "1"}))
    assert said(house, Op.SUSPEND) == ["VM_HAS_VGPU", "vm"]
    house.view.change(house.pool, restrictions={"restrict_vgpu_migration": "false"})
    assert said(house, Op.SUSPEND) is None
    house.view.change(card, compatibility_metadata={})
    assert said(house, Op.SUSPEND) == ["VM_HAS_VGPU", "vm"]


@pytest.mark.parametrize(
    ("field", "entity", "code"),
    [
        ("appliance", VMAppliance, "VM_IS_PART_OF_AN_APPLIANCE"),
        ("protection_policy", VMPP, "VM_ASSIGNED_TO_PROTECTION_POLICY"),
        ("snapshot_schedule", VMSS, "VM_ASSIGNED_TO_SNAPSHOT_SCHEDULE"),
    ],
)
def test_a_member_does_not_become_a_template(field: str, entity: Any, code: str) -> None:
    house = House(HALTED, **{field: "group"})
    assert said(house, Op.MAKE_INTO_TEMPLATE) is None  # the group is gone
    house.view.put(row(entity, "group"))
    assert said(house, Op.MAKE_INTO_TEMPLATE) == [code, "vm", "group"]


def test_only_a_system_domain_is_asked_for_services() -> None:
    assert said(House(RUNNING), Op.QUERY_SERVICES) == ["NOT_SYSTEM_DOMAIN", "vm"]
    assert said(House(RUNNING, other_config={"is_system_domain": "true"}), Op.QUERY_SERVICES) is None


def test_during_a_rolling_upgrade_only_old_operations_are_allowed() -> None:
    house = House(HALTED)
    house.view.change(house.pool, other_config={"rolling_upgrade_in_progress": "true"})
    assert said(house, Op.SNAPSHOT) == ["NOT_SUPPORTED_DURING_UPGRADE"]
    assert said(house, Op.START) is None


def test_every_rule_concerns_something() -> None:
    assert all(rule.operations for rule in RULES)
