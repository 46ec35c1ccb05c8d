"""Checks of domains as a whole: built, paused, stopped, destroyed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from xapi.hypervisor.contract.bench import Bench, contract_check, refusal, running, stopped
from xapi.hypervisor.interface import (
    DeviceRefused,
    DomainExists,
    InvalidConfiguration,
    Memory,
    NoSuchDomain,
    OutOfMemory,
    Power,
    ShutdownReason,
    WrongPower,
)


@contract_check()
def a_new_domain_is_paused_and_listed(bench: Bench) -> None:
    """create answers what get and list answer, and has all devices."""
    config = bench.config(1)
    state = bench.driver.domains.create(config)
    assert state.power is Power.PAUSED
    assert state.uuid == config.uuid
    assert state.domid > 0
    assert [disk.device for disk in state.disks] == [disk.device for disk in config.disks]
    assert [nic.mac for nic in state.nics] == [nic.mac for nic in config.nics]
    assert state.vcpus_online == config.processors.at_startup
    assert state.agent is None
    assert bench.driver.domains.get(config.uuid) == state
    assert bench.driver.domains.list() == (state,)


@contract_check()
def a_second_domain_of_one_name_is_refused(bench: Bench) -> None:
    """DomainExists, and the first one is untouched."""
    state = bench.driver.domains.create(bench.config(1))
    assert refusal(DomainExists, lambda: bench.driver.domains.create(bench.config(1))).uuid == state.uuid
    assert bench.driver.domains.list() == (state,)


@contract_check()
def domids_grow(bench: Bench) -> None:
    """A domid is not used again."""
    first = bench.driver.domains.create(bench.config(1))
    bench.driver.domains.destroy(first.uuid)
    second = bench.driver.domains.create(bench.config(1))
    assert second.domid > first.domid


@contract_check()
def memory_is_taken_and_given_back(bench: Bench) -> None:
    """A domain costs its memory and its overhead; destroying it gives back exactly that."""
    before = bench.driver.host.memory_free()
    state = bench.driver.domains.create(bench.config(1))
    assert before - bench.driver.host.memory_free() >= state.memory_actual
    bench.driver.domains.destroy(state.uuid)
    assert bench.driver.host.memory_free() == before


@contract_check()
def a_domain_larger_than_the_host_is_refused(bench: Bench) -> None:
    """OutOfMemory tells what is needed and what is there; nothing remains."""
    free = bench.driver.host.memory_free()
    config = replace(bench.config(1), memory=Memory.fixed(free + 1))
    error = refusal(OutOfMemory, lambda: bench.driver.domains.create(config))
    assert error.needed > error.available
    assert bench.driver.domains.list() == ()
    assert bench.driver.host.memory_free() == free


@contract_check()
def nonsense_is_refused_before_anything_is_built(bench: Bench) -> None:
    """Contradictory memory, too many virtual CPUs, foreign vm-data, devices twice."""
    config, domains = bench.config(1), bench.driver.domains
    wrong_memory = replace(config.memory, dynamic_min=config.memory.dynamic_max + 1)
    refusal(InvalidConfiguration, lambda: domains.create(replace(config, memory=wrong_memory)))
    wrong_vcpus = replace(config.processors, at_startup=config.processors.maximum + 1)
    refusal(InvalidConfiguration, lambda: domains.create(replace(config, processors=wrong_vcpus)))
    refusal(InvalidConfiguration, lambda: domains.create(replace(config, vm_data={"data/x": "1"})))
    refusal(DeviceRefused, lambda: domains.create(replace(config, disks=(*config.disks, config.disks[0]))))
    refusal(DeviceRefused, lambda: domains.create(replace(config, nics=(*config.nics, config.nics[0]))))
    assert domains.list() == ()


@contract_check()
def an_unknown_domain_is_unknown_everywhere(bench: Bench) -> None:
    """NoSuchDomain names it."""
    driver, config = bench.driver, bench.config(1)
    acts: list[Callable[[], object]] = [
        lambda: driver.domains.get(config.uuid),
        lambda: driver.domains.destroy(config.uuid),
        lambda: driver.domains.pause(config.uuid),
        lambda: driver.domains.unpause(config.uuid),
        lambda: driver.domains.request_shutdown(config.uuid, ShutdownReason.POWEROFF),
        lambda: driver.domains.await_shutdown(config.uuid, 0),
        lambda: driver.devices.plug_nic(config.uuid, config.nics[0]),
        lambda: driver.resizing.set_vcpus(config.uuid, 1),
        lambda: driver.suspending.resume_in_place(config.uuid),
        lambda: driver.guest.write_vm_data(config.uuid, {}),
    ]
    for act in acts:
        assert refusal(NoSuchDomain, act).uuid == config.uuid


@contract_check()
def a_domain_pauses_and_goes_on(bench: Bench) -> None:
    """Pausing twice and unpausing twice do no harm."""
    state, domains = running(bench, 1), bench.driver.domains
    for act, power in ((domains.pause, Power.PAUSED), (domains.unpause, Power.RUNNING)):
        act(state.uuid)
        act(state.uuid)
        assert domains.get(state.uuid).power is power
    assert domains.get(state.uuid).domid == state.domid


@contract_check()
def a_guest_that_booted_reports(bench: Bench) -> None:
    """Its agent tells the operating system, drivers and addresses."""
    agent = running(bench, 1).agent
    assert agent is not None
    assert agent.live
    assert {"name", "distro", "major", "minor"} <= agent.os_version.keys()
    assert {"major", "minor", "micro"} <= agent.pv_drivers_version.keys()
    assert agent.networks["0/ip"] == agent.networks["0/ipv4/0"]
    assert "0/ipv6/0" in agent.networks


@contract_check()
def a_guest_powers_off_and_its_domain_stays_until_destroyed(bench: Bench) -> None:
    """A stopped domain holds its memory, reports no agent, and neither runs nor pauses."""
    state, domains = running(bench, 1), bench.driver.domains
    free = bench.driver.host.memory_free()
    assert stopped(bench, state.uuid, ShutdownReason.POWEROFF) is ShutdownReason.POWEROFF
    after = domains.get(state.uuid)
    assert (after.power, after.shutdown_reason, after.agent) == (Power.STOPPED, ShutdownReason.POWEROFF, None)
    assert bench.driver.host.memory_free() == free
    assert refusal(WrongPower, lambda: domains.unpause(state.uuid)).actual == Power.STOPPED
    refusal(WrongPower, lambda: domains.pause(state.uuid))
    domains.destroy(state.uuid)
    refusal(NoSuchDomain, lambda: domains.get(state.uuid))


@contract_check()
def a_guest_reboots_when_asked(bench: Bench) -> None:
    """It stops for the reason REBOOT."""
    state = running(bench, 1)
    assert stopped(bench, state.uuid, ShutdownReason.REBOOT) is ShutdownReason.REBOOT
    assert bench.driver.domains.get(state.uuid).power is Power.STOPPED


@contract_check()
def a_paused_domain_cannot_be_asked(bench: Bench) -> None:
    """WrongPower tells what it should be."""
    config = bench.config(1)
    bench.driver.domains.create(config)
    error = refusal(WrongPower, lambda: bench.driver.domains.request_shutdown(config.uuid, ShutdownReason.POWEROFF))
    assert (error.expected, error.actual) == (Power.RUNNING, Power.PAUSED)
