"""The smaller classes: pool, appliance, VUSB, VTPM, cluster, task, network."""

from __future__ import annotations

import pytest

from tests.lifecycle.rows import House, Rows, row
from xapi.datamodel.classes.cluster import Cluster, ClusterOperation
from xapi.datamodel.classes.cluster_host import ClusterHost, ClusterHostOperation
from xapi.datamodel.classes.console import Console
from xapi.datamodel.classes.network import Network, NetworkOperations
from xapi.datamodel.classes.pool import Pool, PoolAllowedOperations
from xapi.datamodel.classes.task import Task, TaskAllowedOperations, TaskStatusType
from xapi.datamodel.classes.vm import VM, VmOperations, VmPowerState
from xapi.datamodel.classes.vm_appliance import VMAppliance, VmApplianceOperation
from xapi.datamodel.classes.vtpm import VTPM, VtpmOperations
from xapi.datamodel.classes.vusb import VUSB, VusbOperations
from xapi.datamodel.model import Entity
from xapi.datamodel.types import WireEnum
from xapi.lifecycle import allowed_operations, why_not


def said(view: Rows, subject: Entity, operation: WireEnum, ignoring: str = "") -> list[str] | None:
    failure = why_not(view, subject, operation, ignoring=ignoring)
    return failure.description if failure is not None else None


def test_a_pool_does_one_thing_at_a_time_and_says_which() -> None:
    busy = {"task": PoolAllowedOperations.HA_ENABLE}
    pool = row(Pool, "pool", current_operations=busy)
    view = Rows([pool])
    assert allowed_operations(view, pool) == ()
    assert said(view, pool, PoolAllowedOperations.SYNC_UPDATES) == ["HA_ENABLE_IN_PROGRESS"]
    expected = ["OTHER_OPERATION_IN_PROGRESS", "pool", "pool", "ha_enable", "task"]
    assert said(view, pool, PoolAllowedOperations.EJECT) == expected
    assert said(view, pool, PoolAllowedOperations.EJECT, ignoring="task") is None


def test_a_short_operation_of_the_pool_is_waited_for() -> None:
    pool = row(Pool, "pool", current_operations={"task": PoolAllowedOperations.GET_UPDATES})
    expected = ["OTHER_OPERATION_IN_PROGRESS", "pool", "pool", "get_updates", "task"]
    assert said(Rows([pool]), pool, PoolAllowedOperations.HA_ENABLE) == expected


def test_high_availability_and_clusters() -> None:
    pool = row(Pool, "pool", ha_enabled=False)
    view = Rows([pool])
    assert said(view, pool, PoolAllowedOperations.HA_DISABLE) == ["HA_NOT_ENABLED"]
    assert said(view, pool, PoolAllowedOperations.CLUSTER_CREATE) is None
    view.put(row(Cluster, "cluster"))
    assert said(view, pool, PoolAllowedOperations.CLUSTER_CREATE) == ["CLUSTER_ALREADY_EXISTS"]
    pool = row(Pool, "pool", ha_enabled=True, ha_cluster_stack="xhad")
    view = Rows([pool])
    assert said(view, pool, PoolAllowedOperations.HA_ENABLE) == ["HA_IS_ENABLED"]
    assert said(view, pool, PoolAllowedOperations.TLS_VERIFICATION_ENABLE) == ["HA_IS_ENABLED"]
    assert said(view, pool, PoolAllowedOperations.CLUSTER_CREATE) == ["INCOMPATIBLE_CLUSTER_STACK_ACTIVE", "xhad"]


def test_an_unfinished_change_of_the_pool_secret_stops_the_pool() -> None:
    pool = row(Pool, "pool", is_psr_pending=True)
    assert allowed_operations(Rows([pool]), pool) == ()
    assert said(Rows([pool]), pool, PoolAllowedOperations.EJECT) == ["POOL_SECRET_ROTATION_PENDING"]


@pytest.mark.parametrize(
    ("states", "allowed"),
    [
        ((), set()),
        (("Halted",), {"start"}),
        (("Running",), {"clean_shutdown", "hard_shutdown", "shutdown"}),
        (("Suspended",), {"hard_shutdown", "shutdown"}),
        (("Halted", "Running"), {"start", "clean_shutdown", "hard_shutdown", "shutdown"}),
    ],
)
def test_an_appliance_does_what_one_of_its_vms_can(states: tuple[str, ...], allowed: set[str]) -> None:
    view = Rows(row(VM, f"vm {n}", power_state=VmPowerState(state)) for n, state in enumerate(states))
    appliance = view.put(row(VMAppliance, "appliance", VMs=tuple(f"vm {n}" for n in range(len(states)))))
    assert set(allowed_operations(view, appliance)) == allowed
    refused = said(view, appliance, VmApplianceOperation.START)
    if not states:
        assert refused == ["OPERATION_NOT_ALLOWED", "Appliance has no VMs."]
    elif "start" not in allowed:
        assert refused == ["OPERATION_NOT_ALLOWED", "There are no halted VMs in this appliance."]


def test_an_appliance_does_one_thing_at_a_time() -> None:
    view = Rows([row(VM, "vm")])
    busy = {"task": VmApplianceOperation.START}
    appliance = view.put(row(VMAppliance, "appliance", VMs=("vm",), current_operations=busy))
    expected = ["OTHER_OPERATION_IN_PROGRESS", "VM_appliance", "appliance", "start", "task"]
    assert said(view, appliance, VmApplianceOperation.START) == expected
    assert said(view, appliance, VmApplianceOperation.START, ignoring="task") is None


def test_a_vusb_is_plugged_only_while_its_vm_runs() -> None:
    house = House()
    vusb = house.view.put(row(VUSB, "vusb", VM="vm"))
    expected = ["VM_BAD_POWER_STATE", "vm", "running", "halted"]
    assert said(house.view, vusb, VusbOperations.PLUG) == expected
    house = House(VmPowerState.RUNNING)
    vusb = house.view.put(row(VUSB, "vusb", VM="vm", currently_attached=True))
    assert said(house.view, vusb, VusbOperations.PLUG) == ["DEVICE_ALREADY_ATTACHED", "vusb"]
    assert said(house.view, vusb, VusbOperations.UNPLUG) is None
    house.view.change(house.vm, current_operations={"task": VmOperations.PAUSE})
    expected = ["OPERATION_NOT_ALLOWED", "Current operation on VM:vm is pause"]
    assert said(house.view, vusb, VusbOperations.UNPLUG) == expected
    vusb = house.view.change(vusb, currently_attached=False, current_operations={"task": VusbOperations.PLUG})
    expected = ["OTHER_OPERATION_IN_PROGRESS", "VUSB", "vusb", "{plug}", "{task}"]
    assert said(house.view, vusb, VusbOperations.ATTACH) == expected
    assert said(house.view, vusb, VusbOperations.UNPLUG, ignoring="task") == ["DEVICE_ALREADY_DETACHED", "vusb"]


def test_a_vtpm_is_destroyed_only_while_its_vm_is_halted() -> None:
    house = House()
    vtpm = house.view.put(row(VTPM, "vtpm", VM="vm"))
    assert allowed_operations(house.view, vtpm) == (VtpmOperations.DESTROY,)
    house.view.change(house.vm, power_state=VmPowerState.SUSPENDED)
    assert said(house.view, vtpm, VtpmOperations.DESTROY) == ["VM_BAD_POWER_STATE", "vm", "halted", "suspended"]


def test_a_cluster_and_its_members_do_one_thing_at_a_time() -> None:
    view = Rows()
    cluster = view.put(row(Cluster, "cluster", current_operations={"task": ClusterOperation.ADD}))
    expected = ["OTHER_OPERATION_IN_PROGRESS", "Cluster", "cluster", "add", "task"]
    assert said(view, cluster, ClusterOperation.ADD) == expected
    assert said(view, cluster, ClusterOperation.ADD, ignoring="task") is None
    member = view.put(row(ClusterHost, "member", current_operations={"task": ClusterHostOperation.ENABLE}))
    assert allowed_operations(view, member) == ()
    expected = ["OTHER_OPERATION_IN_PROGRESS", "Cluster_host", "member", "enable", "task"]
    assert said(view, member, ClusterHostOperation.DISABLE) == expected


def test_a_cluster_keeps_its_members_during_a_rolling_upgrade() -> None:
    view = Rows([row(Pool, "pool", other_config={"rolling_upgrade_in_progress": "true"})])
    cluster = view.put(row(Cluster, "cluster"))
    assert said(view, cluster, ClusterOperation.REMOVE) == ["NOT_SUPPORTED_DURING_UPGRADE"]
    assert said(view, cluster, ClusterOperation.ENABLE) is None


@pytest.mark.parametrize("status", TaskStatusType)
def test_a_task_is_cancelled_until_it_ends(status: TaskStatusType) -> None:
    task = row(Task, "task", status=status)
    unfinished = status in (TaskStatusType.PENDING, TaskStatusType.CANCELLING)
    assert (allowed_operations(Rows(), task) == (TaskAllowedOperations.CANCEL,)) is unfinished
    assert (said(Rows(), task, TaskAllowedOperations.CANCEL) is None) is unfinished
    assert said(Rows(), task, TaskAllowedOperations.DESTROY) is None


def test_a_network_lists_nothing_and_refuses_nothing() -> None:
    network = row(Network, "network", current_operations={"task": NetworkOperations.ATTACHING})
    assert allowed_operations(Rows(), network) == ()
    assert said(Rows(), network, NetworkOperations.ATTACHING) is None


def test_a_class_without_operations_lists_none() -> None:
    assert allowed_operations(Rows(), row(Console, "console")) == ()
