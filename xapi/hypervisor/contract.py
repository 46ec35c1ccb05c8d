"""What every driver must satisfy, as plain checks: a driver's tests give each of them a bench with the driver on it.

A check fails with an AssertionError. It needs nothing but the interface, so that the same checks run on the simulator
always, and on real drivers wherever they can run. ``CHECKS`` lists them with the features that they need.
"""

import io
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol, TypeVar

from xapi.hypervisor.interface import (
    ChangeKind,
    ConsoleProtocol,
    DeviceRefused,
    Disk,
    DiskKind,
    DiskMode,
    DomainChanged,
    DomainConfig,
    DomainEvent,
    DomainExists,
    DomainShutdown,
    DomainState,
    EmptyDrive,
    Feature,
    Features,
    FileBackend,
    HypervisorDriver,
    HypervisorError,
    ImageDamaged,
    InvalidConfiguration,
    LockingMode,
    Memory,
    NoSuchDevice,
    NoSuchDomain,
    OutOfMemory,
    Power,
    ShutdownReason,
    Unsupported,
    WrongPower,
)

SECONDS = 120.0  # how long a guest may take; no check waits for longer than it must


class Bench(Protocol):
    """What a driver's tests lay ready for one check."""

    @property
    def driver(self) -> HypervisorDriver:
        """A driver without domains."""

    @property
    def directory(self) -> Path:
        """An empty directory for images."""

    def config(self, number: int) -> DomainConfig:
        """A configuration that this driver can build and whose guest boots and obeys; another for each number.

        It has one disk (number 0), one card (device 0), at least two virtual CPUs of which one is online, and memory
        that may shrink to half.
        """

    def spare_backend(self, number: int = 0) -> FileBackend:
        """A medium for drives that are plugged, not in use elsewhere; another for each number, all of one content."""

    def settle(self, condition: Callable[[], bool]) -> None:
        """Let time pass until this is true; fails when it does not become true."""


Check = Callable[[Bench], None]
Refusal = TypeVar("Refusal", bound=HypervisorError)


@dataclass(frozen=True, slots=True)
class ContractCheck:
    """One check and the features without which it makes no sense."""

    name: str
    perform: Check
    needs: Features


CHECKS: list[ContractCheck] = []


def contract_check(*needs: Feature) -> Callable[[Check], Check]:
    """Enter a check into ``CHECKS``."""

    def enter(perform: Check) -> Check:
        CHECKS.append(ContractCheck(perform.__name__, perform, frozenset(needs)))
        return perform

    return enter


def refusal(error: type[Refusal], act: Callable[[], object]) -> Refusal:
    """The error that the act raises, which must be of this type."""
    try:
        act()
    except error as raised:
        return raised
    raise AssertionError(f"nothing was refused; {error.__name__} was expected")


def running(bench: Bench, number: int) -> DomainState:
    """A domain whose guest has booted."""
    config = bench.config(number)
    bench.driver.domains.create(config)
    bench.driver.domains.unpause(config.uuid)
    bench.settle(lambda: bench.driver.domains.get(config.uuid).agent is not None)
    return bench.driver.domains.get(config.uuid)


def stopped(bench: Bench, uuid: str, reason: ShutdownReason) -> ShutdownReason:
    """Ask and wait; answers why the domain stopped."""
    bench.driver.domains.request_shutdown(uuid, reason)
    return bench.driver.domains.await_shutdown(uuid, SECONDS)


# --------------------------------------------------------------------------------------------------------- domains


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


# --------------------------------------------------------------------------------------------------------- devices


@contract_check(Feature.DISK_HOTPLUG)
def a_disk_comes_and_goes(bench: Bench) -> None:
    """Once plugged it is there; the same again is refused; once unplugged it is gone."""
    state, devices = running(bench, 1), bench.driver.devices
    disk = Disk("xvdx", 23, bench.spare_backend())
    devices.plug_disk(state.uuid, disk)
    assert disk in bench.driver.domains.get(state.uuid).disks
    assert refusal(DeviceRefused, lambda: devices.plug_disk(state.uuid, disk)).device == "xvdx"
    devices.unplug_disk(state.uuid, "xvdx")
    assert bench.driver.domains.get(state.uuid).disks == state.disks
    refusal(NoSuchDevice, lambda: devices.unplug_disk(state.uuid, "xvdx"))


class _Stop(Exception):
    """What a check raises to leave a block."""


@contract_check(Feature.DISK_SWITCH)
def a_drive_goes_over_to_another_backend(bench: Bench) -> None:
    """It does so when the block ends, whatever else the domain does, and not at all if the block fails."""
    state, devices = running(bench, 1), bench.driver.devices
    one, other = bench.spare_backend(), bench.spare_backend(1)
    devices.plug_disk(state.uuid, Disk("xvdx", 23, one))
    with devices.held_disk(state.uuid, "xvdx") as switch:
        switch(other)
    assert Disk("xvdx", 23, other) in bench.driver.domains.get(state.uuid).disks
    assert bench.driver.domains.get(state.uuid).power is Power.RUNNING

    def fail() -> None:
        with devices.held_disk(state.uuid, "xvdx") as switch:
            switch(one)
            raise _Stop

    try:
        fail()
    except _Stop:
        assert Disk("xvdx", 23, other) in bench.driver.domains.get(state.uuid).disks
    with devices.held_disk(state.uuid, "xvdx"):
        pass
    assert Disk("xvdx", 23, other) in bench.driver.domains.get(state.uuid).disks
    devices.unplug_disk(state.uuid, "xvdx")
    refusal(NoSuchDevice, lambda: devices.held_disk(state.uuid, "xvdx").__enter__())


@contract_check(Feature.MEDIA_CHANGE)
def media_come_and_go(bench: Bench) -> None:
    """A medium goes into an empty drive only, and out of a full one only; a disk has none."""
    config = bench.config(1)
    drive = Disk("xvdd", 3, EmptyDrive(), DiskMode.READ_ONLY, DiskKind.CD)
    bench.driver.domains.create(replace(config, disks=(*config.disks, drive)))
    devices, medium = bench.driver.devices, bench.spare_backend()
    refusal(DeviceRefused, lambda: devices.eject_media(config.uuid, "xvdd"))
    devices.insert_media(config.uuid, "xvdd", medium)
    assert replace(drive, source=medium) in bench.driver.domains.get(config.uuid).disks
    refusal(DeviceRefused, lambda: devices.insert_media(config.uuid, "xvdd", medium))
    refusal(DeviceRefused, lambda: devices.eject_media(config.uuid, config.disks[0].device))
    devices.eject_media(config.uuid, "xvdd")
    assert drive in bench.driver.domains.get(config.uuid).disks


@contract_check(Feature.NIC_HOTPLUG)
def a_card_comes_and_goes(bench: Bench) -> None:
    """Its addresses come and go with it."""
    state, devices, domains = running(bench, 1), bench.driver.devices, bench.driver.domains
    nic = replace(state.nics[0], device=3, mac="02:00:00:00:03:03")
    devices.plug_nic(state.uuid, nic)
    assert nic in domains.get(state.uuid).nics
    refusal(DeviceRefused, lambda: devices.plug_nic(state.uuid, nic))
    bench.settle(lambda: "3/ip" in _networks(bench, state.uuid))
    devices.unplug_nic(state.uuid, 3)
    assert domains.get(state.uuid).nics == state.nics
    bench.settle(lambda: "3/ip" not in _networks(bench, state.uuid))
    refusal(NoSuchDevice, lambda: devices.unplug_nic(state.uuid, 3))


def _networks(bench: Bench, uuid: str) -> frozenset[str]:
    agent = bench.driver.domains.get(uuid).agent
    return frozenset(agent.networks) if agent is not None else frozenset()


@contract_check(Feature.NIC_MOVE)
def a_card_moves(bench: Bench) -> None:
    """Only its bridge changes."""
    state = running(bench, 1)
    bench.driver.devices.move_nic(state.uuid, 0, "otherbr0")
    assert bench.driver.domains.get(state.uuid).nics == (replace(state.nics[0], bridge="otherbr0"),)
    refusal(NoSuchDevice, lambda: bench.driver.devices.move_nic(state.uuid, 9, "otherbr0"))


@contract_check(Feature.NIC_LOCKING)
def a_card_is_locked(bench: Bench) -> None:
    """Mode and addresses are kept."""
    state = running(bench, 1)
    bench.driver.devices.set_nic_locking(state.uuid, 0, LockingMode.LOCKED, ("10.0.0.1",), ("fd00::1",))
    nic = bench.driver.domains.get(state.uuid).nics[0]
    assert (nic.locking, nic.allowed_ipv4, nic.allowed_ipv6) == (LockingMode.LOCKED, ("10.0.0.1",), ("fd00::1",))


# -------------------------------------------------------------------------------------------------------- resizing


@contract_check(Feature.BALLOONING)
def memory_shrinks_and_grows_within_its_range(bench: Bench) -> None:
    """Free memory follows; beyond the range nothing moves."""
    state, memory = running(bench, 1), bench.config(1).memory
    resizing, free = bench.driver.resizing, bench.driver.host.memory_free()
    resizing.set_memory_target(state.uuid, memory.dynamic_min)
    bench.settle(lambda: bench.driver.domains.get(state.uuid).memory_actual == memory.dynamic_min)
    assert bench.driver.host.memory_free() - free == state.memory_actual - memory.dynamic_min
    refusal(InvalidConfiguration, lambda: resizing.set_memory_target(state.uuid, memory.dynamic_min - 1))
    refusal(InvalidConfiguration, lambda: resizing.set_memory_target(state.uuid, memory.static_max + 1))
    resizing.set_memory_target(state.uuid, state.memory_actual)
    bench.settle(lambda: bench.driver.host.memory_free() == free)


@contract_check(Feature.BALLOONING)
def a_dynamic_range_moves_the_target_into_itself(bench: Bench) -> None:
    """A range above static_max is refused."""
    state, memory = running(bench, 1), bench.config(1).memory
    resizing = bench.driver.resizing
    resizing.set_memory_dynamic_range(state.uuid, memory.dynamic_min, memory.dynamic_min)
    assert bench.driver.domains.get(state.uuid).memory_target == memory.dynamic_min
    refusal(
        InvalidConfiguration,
        lambda: resizing.set_memory_dynamic_range(state.uuid, memory.dynamic_min, memory.static_max + 1),
    )
    resizing.set_memory_dynamic_range(state.uuid, memory.dynamic_min, memory.dynamic_max, memory.dynamic_max)
    assert bench.driver.domains.get(state.uuid).memory_target == memory.dynamic_max


@contract_check(Feature.VCPU_HOTPLUG)
def virtual_cpus_come_and_go(bench: Bench) -> None:
    """From one to the maximum, and not beyond."""
    state, maximum = running(bench, 1), bench.config(1).processors.maximum
    for online in (maximum, 1):
        bench.driver.resizing.set_vcpus(state.uuid, online)
        bench.settle(lambda: bench.driver.domains.get(state.uuid).vcpus_online == online)  # noqa: B023 - used at once
    for wrong in (0, maximum + 1):
        refusal(InvalidConfiguration, lambda: bench.driver.resizing.set_vcpus(state.uuid, wrong))  # noqa: B023


# ----------------------------------------------------------------------------------------- images and migrations


@contract_check(Feature.SUSPEND)
def a_guest_is_saved_and_restored(bench: Bench) -> None:
    """It goes on where it was, under a new domid, without booting again."""
    state, image = running(bench, 1), bench.directory / "image"
    assert stopped(bench, state.uuid, ShutdownReason.SUSPEND) is ShutdownReason.SUSPEND
    assert bench.driver.domains.get(state.uuid).power is Power.SUSPENDED
    assert bench.driver.suspending.save(state.uuid, image) > 0
    bench.driver.domains.destroy(state.uuid)
    restored = bench.driver.suspending.restore(bench.config(1), image)
    assert restored.power is Power.PAUSED
    assert restored.domid > state.domid
    bench.driver.domains.unpause(state.uuid)
    bench.settle(lambda: bench.driver.domains.get(state.uuid).agent is not None)
    assert bench.driver.domains.get(state.uuid).vcpus_online == state.vcpus_online


@contract_check(Feature.SUSPEND)
def a_suspended_guest_goes_on_in_place(bench: Bench) -> None:
    """The domid stays; a running guest cannot be saved."""
    state, image = running(bench, 1), bench.directory / "image"
    refusal(WrongPower, lambda: bench.driver.suspending.save(state.uuid, image))
    refusal(WrongPower, lambda: bench.driver.suspending.resume_in_place(state.uuid))
    stopped(bench, state.uuid, ShutdownReason.SUSPEND)
    bench.driver.suspending.resume_in_place(state.uuid)
    after = bench.driver.domains.get(state.uuid)
    assert (after.power, after.domid, after.shutdown_reason) == (Power.RUNNING, state.domid, None)


@contract_check(Feature.SUSPEND)
def a_damaged_image_is_refused(bench: Bench) -> None:
    """Empty, missing, torn and foreign ones; nothing is built."""
    state, image = running(bench, 1), bench.directory / "image"
    stopped(bench, state.uuid, ShutdownReason.SUSPEND)
    bench.driver.suspending.save(state.uuid, image)
    bench.driver.domains.destroy(state.uuid)
    whole, wrong = image.read_bytes(), bench.directory / "wrong"
    refusal(ImageDamaged, lambda: bench.driver.suspending.restore(bench.config(1), wrong))
    for data in (b"", whole[: len(whole) // 2], b"x" * len(whole)):
        wrong.write_bytes(data)
        refusal(ImageDamaged, lambda: bench.driver.suspending.restore(bench.config(1), wrong))
    assert bench.driver.domains.list() == ()


@contract_check(Feature.MIGRATE)
def a_guest_migrates_through_a_stream(bench: Bench) -> None:
    """The sender's domain ends suspended; the receiver's begins paused and goes on; the stream is read to its end."""
    state, stream = running(bench, 1), io.BytesIO()
    bench.driver.migrating.send(state.uuid, stream)
    assert bench.driver.domains.get(state.uuid).power is Power.SUSPENDED
    bench.driver.domains.destroy(state.uuid)
    stream.write(b"next")
    stream.seek(0)
    assert bench.driver.migrating.receive(bench.config(1), stream).power is Power.PAUSED
    assert stream.read() == b"next"
    bench.driver.domains.unpause(state.uuid)
    bench.settle(lambda: bench.driver.domains.get(state.uuid).agent is not None)


# -------------------------------------------------------------------------------------- guest, consoles, news


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
