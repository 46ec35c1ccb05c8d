"""Checks of what is around a guest: its data, consoles, news, counters, the host."""

from __future__ import annotations

from xapi.hypervisor.contract.bench import Bench, contract_check, refusal, running, stopped
from xapi.hypervisor.interface import (
    ChangeKind,
    ConsoleProtocol,
    DomainChanged,
    DomainEvent,
    DomainShutdown,
    Feature,
    InvalidConfiguration,
    Power,
    ShutdownReason,
    Unsupported,
)


@contract_check()
def vm_data_is_replaced_as_a_whole(bench: Bench) -> None:
    """Only keys below vm-data/ reach the guest."""
    state, guest = running(bench, 1), bench.driver.guest
    guest.write_vm_data(state.uuid, {"vm-data/a": "1", "vm-data/b": "2"})
    guest.write_vm_data(state.uuid, {"vm-data/b": "3"})
    assert bench.driver.domains.get(state.uuid).vm_data == {"vm-data/b": "3"}
    refusal(InvalidConfiguration, lambda: guest.write_vm_data(state.uuid, {"control/shutdown": "halt"}))
    assert bench.driver.domains.get(state.uuid).vm_data == {"vm-data/b": "3"}


@contract_check(Feature.TRIGGERS)
def an_unknown_trigger_is_refused(bench: Bench) -> None:
    """A known one that asks for nothing leaves the guest running."""
    state = running(bench, 1)
    refusal(Unsupported, lambda: bench.driver.guest.send_trigger(state.uuid, "no such trigger"))
    bench.driver.guest.send_trigger(state.uuid, "nmi")
    assert bench.driver.domains.get(state.uuid).power is Power.RUNNING


@contract_check(Feature.RFB_CONSOLE)
def a_console_has_a_socket(bench: Bench) -> None:
    """The same one each time."""
    state = running(bench, 1)
    endpoint = bench.driver.consoles.endpoint(state.uuid, ConsoleProtocol.RFB)
    assert endpoint.path.is_socket()
    assert bench.driver.consoles.endpoint(state.uuid, ConsoleProtocol.RFB) == endpoint


@contract_check()
def news_come_in_order_until_nobody_listens(bench: Bench) -> None:
    """Sequence numbers grow by one; a stop is told once; after the subscription ended nothing comes."""
    heard: list[DomainEvent] = []
    before = bench.driver.watching.sequence()
    unsubscribe = bench.driver.watching.subscribe(heard.append)
    state = running(bench, 1)
    stopped(bench, state.uuid, ShutdownReason.POWEROFF)
    bench.driver.domains.destroy(state.uuid)
    bench.settle(lambda: bool(heard) and heard[-1].sequence == bench.driver.watching.sequence())
    assert [event.sequence for event in heard] == list(range(before + 1, before + 1 + len(heard)))
    assert {(event.uuid, event.domid) for event in heard} == {(state.uuid, state.domid)}
    kinds = [event.what for event in heard if isinstance(event, DomainChanged)]
    assert (kinds[0], kinds[-1]) == (ChangeKind.CREATED, ChangeKind.DESTROYED)
    assert [event.reason for event in heard if isinstance(event, DomainShutdown)] == [ShutdownReason.POWEROFF]
    unsubscribe()
    bench.driver.domains.create(bench.config(2))
    assert all(event.uuid == state.uuid for event in heard)


@contract_check()
def counters_name_every_domain(bench: Bench) -> None:
    """And never go back."""
    state, config = running(bench, 1), bench.config(1)
    (first,) = bench.driver.metering.domain_counters()
    (second,) = bench.driver.metering.domain_counters()
    assert (first.uuid, first.domid, first.memory) == (state.uuid, state.domid, state.memory_actual)
    assert len(first.cpu_seconds) == state.vcpus_online
    assert first.disk_read_bytes.keys() == {disk.device for disk in config.disks}
    assert not first.disk_requests or first.disk_requests.keys() == first.disk_read_bytes.keys()
    assert first.nic_receive_bytes.keys() == {nic.device for nic in config.nics}
    assert all(later >= earlier for earlier, later in zip(first.cpu_seconds, second.cpu_seconds, strict=True))
    host = bench.driver.metering.host_counters()
    assert host.memory_free == bench.driver.host.memory_free()
    assert len(host.cpu_seconds) == len(bench.driver.host.facts().cpus)


@contract_check()
def the_host_is_described(bench: Bench) -> None:
    """cpu_info has the keys that XenAPI's host.cpu_info has."""
    facts = bench.driver.host.facts()
    assert int(facts.cpu_info["cpu_count"]) == len(facts.cpus) > 0
    wanted = {"socket_count", "threads_per_core", "vendor", "speed", "modelname", "family", "model", "stepping"}
    assert wanted | {"flags", "features", "features_pv", "features_hvm"} <= facts.cpu_info.keys()
    assert 0 < bench.driver.host.memory_free() <= facts.memory_total
    assert facts.boot_time.tzinfo is not None
    assert facts.capabilities
