from __future__ import annotations

import pytest

from tests.fakes.eventually import eventually
from tests.fakes.guests import halted, running
from xapi.actions.vm.alerts import VmAlert
from xapi.actions.vm.domains import mark_halted, mark_running_again, mark_suspended
from xapi.datamodel.classes import VM
from xapi.datamodel.classes.vm import VmPowerState
from xapi.datamodel.failure import Failure
from xapi.hypervisor.interface import NoSuchDomain
from xapi.services.guest_watcher import system_context

NULL = "OpaqueRef:NULL"


def refusal(call, *params) -> list[str]:
    with pytest.raises(Failure) as caught:
        call(*params)
    return caught.value.description


def test_a_started_vm_has_a_domain_a_console_and_metrics(client):
    vm = halted(client)
    client.VM.start(vm, False, False)
    record = client.VM.get_record(vm)
    assert record["power_state"] == "Running"
    assert int(record["domid"]) > 0
    assert record["resident_on"] == client.host.get_all()[0]
    assert vm in client.host.get_resident_VMs(record["resident_on"])
    (console,) = record["consoles"]
    assert client.console.get_protocol(console) == "rfb"
    assert client.console.get_location(console).startswith("https://")
    assert record["current_operations"] == {}
    assert int(client.VM_metrics.get_memory_actual(record["metrics"])) == 128 << 20
    assert client.task.get_all() == []


def test_a_stopped_vm_has_nothing_left(client, toolstack):
    vm = running(client)
    client.VM.clean_shutdown(vm)
    record = client.VM.get_record(vm)
    assert (record["power_state"], record["domid"], record["resident_on"]) == ("Halted", "-1", NULL)
    assert (record["consoles"], record["guest_metrics"]) == ([], NULL)
    assert toolstack.hypervisor.domains.list() == ()


def test_the_guest_reports_after_it_has_booted(client):
    vm = running(client)
    metrics = eventually(lambda: client.VM.get_guest_metrics(vm), lambda ref: ref != NULL)
    record = client.VM_guest_metrics.get_record(metrics)
    assert record["live"] is True
    assert record["os_version"]["name"]
    assert record["PV_drivers_version"]["major"]


def test_states_in_turn(client):
    vm = halted(client)
    client.VM.start(vm, True, False)
    assert client.VM.get_power_state(vm) == "Paused"
    client.VM.unpause(vm)
    assert client.VM.get_power_state(vm) == "Running"
    client.VM.pause(vm)
    client.VM.unpause(vm)
    before = client.VM.get_domid(vm)
    client.VM.clean_reboot(vm)
    assert int(client.VM.get_domid(vm)) > int(before)
    client.VM.hard_reboot(vm)
    assert client.VM.get_power_state(vm) == "Running"
    client.VM.hard_shutdown(vm)
    assert client.VM.get_power_state(vm) == "Halted"


@pytest.mark.parametrize(
    ("message", "params", "expected"),
    [
        ("hard_shutdown", (), ["paused, suspended, running", "halted"]),
        ("suspend", (), ["running", "halted"]),
        ("resume", (False, False), ["suspended", "halted"]),
        ("clean_reboot", (), ["running", "halted"]),
        ("shutdown", (), ["paused, suspended, running", "halted"]),
        ("pause", (), ["running", "halted"]),
        ("unpause", (), ["paused", "halted"]),
    ],
)
def test_a_halted_vm_refuses_what_needs_a_domain(client, message, params, expected):
    vm = halted(client)
    assert refusal(getattr(client.VM, message), vm, *params) == ["VM_BAD_POWER_STATE", vm, *expected]


def test_templates_are_not_started(client):
    template = client.VM.get_by_name_label("Other install media")[0]
    assert refusal(client.VM.start, template, False, False) == ["VM_IS_TEMPLATE", template, "start"]


def test_memory_runs_out(client, toolstack):
    free = toolstack.hypervisor.host.memory_free()
    vm = halted(
        client,
        memory_static_max=str(2 * free),
        memory_dynamic_max=str(2 * free),
        memory_dynamic_min=str(2 * free),
    )
    code, needed, available = refusal(client.VM.start, vm, False, False)
    assert code == "HOST_NOT_ENOUGH_FREE_MEMORY"
    assert int(needed) > int(available)
    assert client.VM.get_power_state(vm) == "Halted"
    assert client.VM.get_current_operations(vm) == {}


def test_a_blocked_operation_is_refused(client):
    vm = halted(client)
    client.VM.add_to_blocked_operations(vm, "start", "not today")
    assert refusal(client.VM.start, vm, False, False) == ["OPERATION_BLOCKED", vm, "not today"]
    assert "start" not in client.VM.get_allowed_operations(vm)


def test_hosts(client):
    vm = halted(client)
    (host,) = client.host.get_all()
    assert client.VM.get_possible_hosts(vm) == [host]
    client.VM.assert_can_boot_here(vm, host)
    assert refusal(client.VM.assert_can_boot_here, vm, "OpaqueRef:none") == ["HOST_NOT_LIVE"]
    assert refusal(client.VM.start_on, vm, "OpaqueRef:none", False, False)[0] == "HANDLE_INVALID"
    client.VM.start_on(vm, host, False, False)
    assert client.VM.get_power_state(vm) == "Running"


@pytest.mark.parametrize(
    ("behaviour", "after", "state"),
    [
        ("halt", {"actions_after_shutdown": "destroy"}, "Halted"),
        ("halt", {"actions_after_shutdown": "restart"}, "Running"),
        ("reboot", {"actions_after_reboot": "restart"}, "Running"),
        ("reboot", {"actions_after_reboot": "destroy"}, "Halted"),
        ("crash", {"actions_after_crash": "destroy"}, "Halted"),
        ("crash", {"actions_after_crash": "restart"}, "Running"),
    ],
)
def test_a_guest_that_stops_by_itself_is_looked_after(client, toolstack, behaviour, after, state):
    vm = running(client, **after)
    uuid, domid = client.VM.get_uuid(vm), client.VM.get_domid(vm)
    toolstack.hypervisor.configure({f"simulator:guest:{uuid}": behaviour})
    eventually(lambda: client.VM.get_domid(vm), lambda now: now != domid)
    assert eventually(lambda: client.VM.get_power_state(vm), lambda now: now == state) == state
    assert eventually(lambda: client.VM.get_current_operations(vm), lambda now: now == {}) == {}


def test_power_state_reset(client, toolstack):
    vm = running(client)
    client.VM.power_state_reset(vm)
    assert client.VM.get_power_state(vm) == "Halted"
    assert toolstack.hypervisor.domains.list() == ()


def test_an_asynchronous_start(client):
    vm = halted(client)
    task = client("Async.VM.start", vm, False, False)
    assert eventually(lambda: client.task.get_status(task), lambda now: now != "pending") == "success"
    record = client.task.get_record(task)
    assert record["result"] == "<value></value>"
    assert record["progress"] == 1.0
    assert record["name_label"] == "Async.VM.start"
    assert client.VM.get_power_state(vm) == "Running"


def test_an_asynchronous_refusal(client):
    vm = halted(client)
    task = client("Async.VM.pause", vm)
    assert eventually(lambda: client.task.get_status(task), lambda now: now != "pending") == "failure"
    assert client.task.get_error_info(task) == ["VM_BAD_POWER_STATE", vm, "running", "halted"]


def test_a_waiting_shutdown_can_be_cancelled(client, toolstack):
    vm = running(client)
    toolstack.hypervisor.configure({f"simulator:guest:{client.VM.get_uuid(vm)}": "hang"})
    task = client("Async.VM.clean_shutdown", vm)
    eventually(lambda: client.VM.get_current_operations(vm), lambda now: now == {task: "clean_shutdown"})
    client.task.cancel(task)
    assert eventually(lambda: client.task.get_status(task), lambda now: now != "pending") == "cancelled"
    assert client.task.get_error_info(task)[0] == "TASK_CANCELLED"
    assert client.VM.get_current_operations(vm) == {}
    assert client.VM.get_power_state(vm) == "Running"


def test_a_hard_shutdown_ends_a_clean_one_that_hangs(client, toolstack):
    vm = running(client)
    toolstack.hypervisor.configure({f"simulator:guest:{client.VM.get_uuid(vm)}": "hang"})
    task = client("Async.VM.clean_shutdown", vm)
    eventually(lambda: client.VM.get_current_operations(vm), lambda now: now == {task: "clean_shutdown"})
    client.VM.hard_shutdown(vm)
    assert client.VM.get_power_state(vm) == "Halted"
    assert eventually(lambda: client.task.get_status(task), lambda now: now != "pending") in ("cancelled", "failure")


@pytest.mark.parametrize(
    ("message", "params"),
    [("suspend", ()), ("clean_reboot", ()), ("hard_reboot", ()), ("pool_migrate", ({"live": "true"},))],
)
def test_what_was_stopped_the_hard_way_stays_stopped(client, toolstack, message, params):
    host = client.host.get_all()[0]
    disks = set(client.VDI.get_all())
    vm = halted(client)
    for _ in range(15):
        client.VM.start(vm, False, False)
        task = client(f"Async.VM.{message}", vm, *((host, *params) if params else ()))
        client.VM.hard_shutdown(vm)
        eventually(lambda ref=task: client.task.get_status(ref), lambda now: now != "pending")
        assert client.VM.get_power_state(vm) == "Halted"
        with pytest.raises(NoSuchDomain):
            toolstack.hypervisor.domains.get(client.VM.get_uuid(vm))
        assert set(client.VDI.get_all()) == disks


def test_a_suspend_that_somebody_overtook_leaves_the_vm_as_it_is(client, toolstack):
    vm = running(client)
    ctx = system_context(toolstack, "a suspend that takes its time")
    was = toolstack.db.get(VM, vm)
    image = client.VDI.create({"SR": client.SR.get_by_name_label("Local storage")[0], "virtual_size": "4194304"})
    client.VM.hard_reboot(vm)
    with pytest.raises(Failure) as caught:
        mark_suspended(ctx, was, image)
    assert caught.value.code == "TASK_CANCELLED"
    assert client.VM.get_power_state(vm) == "Running"
    assert image not in client.VDI.get_all()


def test_a_reboot_that_somebody_overtook_leaves_the_vm_halted(client, toolstack):
    vm = running(client)
    ctx = system_context(toolstack, "a reboot that takes its time")
    uuid = client.VM.get_uuid(vm)
    mark_halted(ctx, vm)
    with pytest.raises(Failure) as caught:
        mark_running_again(ctx, vm, VmPowerState.RUNNING, VmAlert.REBOOTED)
    assert caught.value.code == "TASK_CANCELLED"
    assert client.VM.get_power_state(vm) == "Halted"
    with pytest.raises(NoSuchDomain):
        toolstack.hypervisor.domains.get(uuid)


def test_guests_outlive_the_toolstack(short_path):
    from tests.fakes.house import House

    first = House(short_path)
    vm = running(first.client)
    uuid, domid = first.client.VM.get_uuid(vm), first.client.VM.get_domid(vm)
    first.close()
    second = House(short_path)
    again = second.client.VM.get_by_uuid(uuid)
    record = second.client.VM.get_record(again)
    assert (record["power_state"], record["domid"], len(record["consoles"])) == ("Running", domid, 1)
    second.toolstack.hypervisor.domains.destroy(uuid)
    second.close()
    third = House(short_path)
    assert third.client.VM.get_power_state(again) == "Halted"
    third.close()
