import pytest

from xapi.actions.host.machine import Agent, Machine
from xapi.datamodel.classes import VM, Host
from xapi.datamodel.classes.vm import VmPowerState
from xapi.datamodel.failure import Failure


def refused(call, *params):
    with pytest.raises(Failure) as caught:
        call(*params)
    return (caught.value.code, *caught.value.params)


def live(client, host):
    return client.host_metrics.get_live(client.host.get_metrics(host))


def guest_on(toolstack, host):
    with toolstack.db.transaction() as transaction:
        return transaction.create(VM, name_label="guest", power_state=VmPowerState.RUNNING, resident_on=host)


def test_a_host_is_disabled_and_enabled(client, host):
    client.host.disable(host)
    assert client.host.get_enabled(host) is False
    assert "shutdown" in client.host.get_allowed_operations(host)
    client.host.enable(host)
    assert client.host.get_enabled(host) is True
    assert "shutdown" not in client.host.get_allowed_operations(host)


@pytest.mark.parametrize("message", ["shutdown", "reboot"])
def test_an_enabled_host_is_not_switched_off(client, host, message):
    assert refused(getattr(client.host, message), host) == ("HOST_NOT_DISABLED",)
    assert live(client, host)


@pytest.mark.parametrize("message", ["shutdown", "reboot"])
def test_a_host_with_a_guest_is_not_switched_off(client, toolstack, host, message):
    guest = guest_on(toolstack, host)
    client.host.disable(host)
    assert refused(getattr(client.host, message), host) == ("HOST_IN_USE", host, "vm", guest)
    assert live(client, host)
    assert client.host.get_current_operations(host) == {}


def test_a_host_goes_off_and_comes_back(client, host):
    client.host.set_power_on_mode(host, "simulated", {})
    client.host.disable(host)
    assert refused(client.host.power_on, host) == ("HOST_IS_LIVE", host)
    client.host.shutdown(host)
    assert not live(client, host)
    assert refused(client.host.enable, host) == ("HOST_OFFLINE", host)
    client.host.power_on(host)
    assert live(client, host)
    assert client.host.get_enabled(host)


def test_a_host_without_a_power_on_mode_stays_off(client, host):
    client.host.disable(host)
    client.host.shutdown(host)
    assert refused(client.host.power_on, host) == ("HOST_POWER_ON_MODE_DISABLED",)


def test_a_reboot_enables_the_host_again_and_tells_when_it_was(client, clock, host):
    client.host.disable(host)
    clock.advance(3600)
    client.host.reboot(host)
    assert client.host.get_enabled(host)
    assert client.host.get_other_config(host)["boot_time"] == f"{clock.now().timestamp():.0f}."


def test_a_host_that_was_to_stay_disabled_does_over_a_reboot(client, host):
    client.host.disable(host, False)
    client.host.reboot(host)
    assert client.host.get_enabled(host) is False
    client.host.enable(host)
    client.host.disable(host)
    client.host.reboot(host)
    assert client.host.get_enabled(host) is True


def test_without_a_machine_to_control_nothing_is_pretended(client, toolstack, host):
    toolstack.parts.pop(Machine)
    client.host.disable(host)
    assert refused(client.host.reboot, host) == ("NOT_IMPLEMENTED", "host.reboot")


def test_the_coordinator_is_neither_forgotten_nor_declared_dead(client, host):
    assert refused(client.host.destroy, host) == ("HOST_IS_LIVE", host)
    assert refused(client.host.declare_dead, host) == ("HOST_IS_LIVE", host)


def test_a_dead_member_is_forgotten_with_its_control_domain(client, toolstack):
    with toolstack.db.transaction() as transaction:
        dead = transaction.create(Host, name_label="gone")
        domain = transaction.create(VM, is_control_domain=True, resident_on=dead)
    guest = guest_on(toolstack, dead)
    assert refused(client.host.destroy, dead) == ("HOST_HAS_RESIDENT_VMS", dead)
    with toolstack.db.transaction() as transaction:
        transaction.delete(VM, guest)
    client.host.destroy(dead)
    assert refused(client.host.get_record, dead)[0] == "HANDLE_INVALID"
    assert refused(client.VM.get_record, domain)[0] == "HANDLE_INVALID"


def test_the_agent_restarts_and_stops(client, toolstack, host):
    class Recorder:
        def __init__(self):
            self.told = []

        def restart(self):
            self.told.append("restart")

        def stop(self):
            self.told.append("stop")

    toolstack.parts.pop(Agent, None)
    assert refused(client.host.restart_agent, host) == ("NOT_IMPLEMENTED", "host.restart_agent")
    agent = toolstack.parts[Agent] = Recorder()
    client.host.restart_agent(host)
    client.host.shutdown_agent()
    assert agent.told == ["restart", "stop"]
