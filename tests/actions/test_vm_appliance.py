import pytest

from tests.actions.refusal import refused
from xapi.actions.vm_appliance import stages
from xapi.datamodel.classes import VM


def make_vm(client, name, order, **values):
    (template,) = client.VM.get_by_name_label("Other install media")
    vm = client.VM.clone(template, name)
    client.VM.set_is_a_template(vm, False)
    client.VM.set_order(vm, str(order))
    return vm


@pytest.fixture
def appliance(client):
    return client.VM_appliance.create({"name_label": "shop", "name_description": "web and database"})


@pytest.fixture
def vms(client, appliance):
    made = [make_vm(client, f"vm{order}", order) for order in (2, 1, 1)]
    for vm in made:
        client.VM.set_appliance(vm, appliance)
    return made


def states(client, vms):
    return {client.VM.get_power_state(vm) for vm in vms}


def test_an_appliance_is_made_and_removed(client, appliance):
    record = client.VM_appliance.get_record(appliance)
    assert (record["name_label"], record["VMs"], record["allowed_operations"]) == ("shop", [], [])
    assert refused(client.VM_appliance.start, appliance, False) == ("OPERATION_NOT_ALLOWED", "Appliance has no VMs.")
    client.VM_appliance.destroy(appliance)
    assert refused(client.VM_appliance.get_record, appliance)[0] == "HANDLE_INVALID"


def test_vms_stay_when_their_appliance_goes(client, appliance, vms):
    client.VM_appliance.destroy(appliance)
    assert {client.VM.get_appliance(vm) for vm in vms} == {"OpaqueRef:NULL"}


def test_low_orders_start_first_and_stop_last(client, appliance, vms):
    token = client("event.from", ["vm"], "", 0.0)["token"]
    client.VM_appliance.start(appliance, False)
    assert states(client, vms) == {"Running"}
    assert set(client.VM_appliance.get_allowed_operations(appliance)) == {"clean_shutdown", "hard_shutdown", "shutdown"}
    started = [client.VM_metrics.get_start_time(client.VM.get_metrics(vm)) for vm in vms]
    assert len(started) == 3
    assert client("event.from", ["vm"], token, 0.0)["events"]
    client.VM_appliance.clean_shutdown(appliance)
    assert states(client, vms) == {"Halted"}
    assert client.VM_appliance.get_current_operations(appliance) == {}


def test_paused_guests_wait(client, appliance, vms):
    client.VM_appliance.start(appliance, True)
    assert states(client, vms) == {"Paused"}
    client.VM_appliance.hard_shutdown(appliance)
    assert states(client, vms) == {"Halted"}


def test_shutdown_takes_the_power_from_what_does_not_stop_by_itself(client, appliance, vms):
    client.VM_appliance.start(appliance, True)  # a paused guest cannot shut itself down
    client.VM_appliance.shutdown(appliance)
    assert states(client, vms) == {"Halted"}


def test_vms_that_do_not_come_are_named_and_the_others_come(client, appliance, vms):
    client.VM.set_blocked_operations(vms[1], {"start": "not today"})
    assert refused(client.VM_appliance.start, appliance, False) == (
        "OPERATION_PARTIALLY_FAILED",
        "VM_appliance.start",
        vms[1],
    )
    assert [client.VM.get_power_state(vm) for vm in vms] == ["Running", "Halted", "Running"]


def wait_for(client, kind, happened):
    """Follow the events of a class until something has happened."""
    token = ""
    for _ in range(200):
        if happened():
            return
        token = client("event.from", [kind], token, 5.0)["token"]
    raise AssertionError("it never happened")


def test_a_start_can_be_cancelled_while_it_waits_for_the_next_order(client, appliance, vms):
    for vm in vms:
        client.VM.set_start_delay(vm, "86400")
    task = client("Async.VM_appliance.start", appliance, False)
    wait_for(client, "vm", lambda: client.VM.get_power_state(vms[1]) == client.VM.get_power_state(vms[2]) == "Running")
    assert client.VM_appliance.get_current_operations(appliance) == {task: "start"}
    client.task.cancel(task)
    wait_for(client, "task", lambda: client.task.get_status(task) == "cancelled")
    assert client.VM.get_power_state(vms[0]) == "Halted"
    assert client.VM_appliance.get_current_operations(appliance) == {}


def row(**values):
    made = [None] * (1 + len(VM.fields))
    for name, value in {"order": 0, "start_delay": 0, "shutdown_delay": 0, **values}.items():
        made[VM.field_named[name].index] = value
    return VM(made)


def test_stages_and_their_pauses():
    first, late, slow = row(order=1, start_delay=5), row(order=3, shutdown_delay=9), row(order=1, start_delay=7)
    up = stages([late, first, slow], starting=True)
    assert [(stage.vms, stage.pause) for stage in up] == [((first, slow), 7), ((late,), 0)]
    down = stages([late, first, slow], starting=False)
    assert [(stage.vms, stage.pause) for stage in down] == [((late,), 9), ((first, slow), 0)]
    assert stages([], starting=True) == []
