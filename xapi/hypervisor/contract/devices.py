"""Checks of what a running domain has: drives, cards, memory, virtual CPUs."""

from __future__ import annotations

from dataclasses import replace

from xapi.hypervisor.contract.bench import Bench, contract_check, refusal, running
from xapi.hypervisor.interface import (
    DeviceRefused,
    Disk,
    DiskKind,
    DiskMode,
    EmptyDrive,
    Feature,
    InvalidConfiguration,
    LockingMode,
    NoSuchDevice,
    Power,
)


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
