"""What guests do by themselves, also while nobody listens or while a call is under way."""

from __future__ import annotations

import pytest

from tests.fakes.eventually import eventually
from tests.fakes.guests import halted, running
from tests.fakes.house import House
from xapi.datamodel.failure import Failure
from xapi.hypervisor.simulator.driver import open_driver


def alerts(client, vm) -> list[str]:
    found = client.message.get("VM", client.VM.get_uuid(vm), "19700101T00:00:00Z").values()
    return sorted(record["name"] for record in found)


@pytest.mark.parametrize(
    ("trigger", "state", "alert"), [("reset", "Running", "VM_REBOOTED"), ("poweroff", "Halted", "VM_SHUTDOWN")]
)
def test_a_guest_that_stopped_while_nobody_listened_gets_what_it_wants(short_path, trigger, state, alert):
    first = House(short_path)
    vm = running(first.client)
    uuid, domid = first.client.VM.get_uuid(vm), first.client.VM.get_domid(vm)
    eventually(lambda: first.toolstack.hypervisor.domains.get(uuid).agent, lambda agent: agent is not None)
    directory = first.toolstack.hypervisor.machine.directory
    first.close()
    driver = open_driver(directory, {})
    driver.guest.send_trigger(uuid, trigger)
    driver.close()
    second = House(short_path)
    eventually(lambda: second.client.VM.get_domid(vm), lambda now: now != domid)
    assert eventually(lambda: second.client.VM.get_power_state(vm), lambda now: now == state) == state
    assert eventually(lambda: alert in alerts(second.client, vm), bool)
    second.close()


def test_a_lost_vm_is_halted_and_that_is_told(short_path):
    first = House(short_path)
    vm = running(first.client)
    first.toolstack.hypervisor.domains.destroy(first.client.VM.get_uuid(vm))
    assert first.client.VM.get_power_state(vm) == "Running"  # the toolstack has not taken it away
    first.close()
    second = House(short_path)
    assert second.client.VM.get_power_state(vm) == "Halted"
    assert alerts(second.client, vm) == ["VM_SHUTDOWN", "VM_STARTED"]
    second.close()


def test_a_guest_that_obeys_a_call_which_then_fails_is_looked_after(client, toolstack):
    vm = running(client)
    host = client.host.get_all()[0]
    client.host.add_to_other_config(host, "simulator:fault:await_shutdown", "error,times=1")
    with pytest.raises(Failure):
        client.VM.clean_shutdown(vm)
    assert eventually(lambda: client.VM.get_power_state(vm), lambda now: now == "Halted") == "Halted"
    assert eventually(toolstack.hypervisor.domains.list, lambda domains: domains == ()) == ()
    assert eventually(lambda: client.VM.get_current_operations(vm), lambda now: now == {}) == {}


def test_a_crashed_domain_that_is_to_be_kept_is_kept(client, toolstack):
    vm = running(client, actions_after_crash="preserve")
    uuid = client.VM.get_uuid(vm)
    toolstack.hypervisor.configure({f"simulator:guest:{uuid}": "crash"})
    assert eventually(lambda: "VM_CRASHED" in alerts(client, vm), bool)
    assert toolstack.hypervisor.domains.get(uuid).power == "stopped"
    client.VM.hard_shutdown(vm)
    assert toolstack.hypervisor.domains.list() == ()


def test_a_guest_that_crashes_while_it_is_started_is_looked_after(client, toolstack):
    vm = halted(client, actions_after_crash="destroy", xenstore_data={"vm-data/simulator-on-boot": "crash"})
    client.VM.start(vm, False, False)
    assert eventually(lambda: client.VM.get_power_state(vm), lambda now: now == "Halted") == "Halted"
    assert toolstack.hypervisor.domains.list() == ()


def test_a_soft_reboot(client, toolstack):
    vm = running(client, actions_after_softreboot="restart")
    uuid, domid = client.VM.get_uuid(vm), client.VM.get_domid(vm)
    toolstack.hypervisor.configure({f"simulator:guest:{uuid}": "softreboot"})
    assert eventually(lambda: client.VM.get_domid(vm), lambda now: now not in (domid, "-1")) != domid
    assert client.VM.get_power_state(vm) == "Running"
