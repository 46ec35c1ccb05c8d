import io
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.hypervisor.bench import SimulatorBench, config_of
from xapi.hypervisor.contract import running
from xapi.hypervisor.interface import (
    DeviceBusy,
    DeviceRefused,
    Disk,
    DiskKind,
    DomainConfig,
    DomainCrashed,
    DomainEvent,
    DomainShutdown,
    FileBackend,
    GuestAgentChanged,
    GuestLacksFeature,
    GuestPluginFailed,
    GuestTimeout,
    ImageDamaged,
    InjectedFault,
    InvalidConfiguration,
    LockingMode,
    Memory,
    Nic,
    NoSuchDomain,
    OperationCancelled,
    OutOfMemory,
    Power,
    Processors,
    ShutdownReason,
    StaticAddress,
    Unsupported,
    Vusb,
    WrongPower,
)
from xapi.hypervisor.simulator.driver import Simulator, open_driver
from xapi.hypervisor.simulator.settings import GIB, MIB, TIB, SimulatorConfig, parse_amount

UUID = config_of(1).uuid


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[SimulatorBench]:
    bench = SimulatorBench(tmp_path)
    yield bench
    bench.driver.close()


def shutdowns(driver: Simulator) -> list[ShutdownReason]:
    heard: list[ShutdownReason] = []

    def listen(event: DomainEvent) -> None:
        if isinstance(event, DomainShutdown):
            heard.append(event.reason)

    driver.watching.subscribe(listen)
    return heard


# ------------------------------------------------------------------------------------------------------ run-time keys


@pytest.mark.parametrize(
    ("wish", "reason"),
    [
        ("crash", ShutdownReason.CRASH),
        ("reboot", ShutdownReason.REBOOT),
        ("softreboot", ShutdownReason.SOFTREBOOT),
        ("halt", ShutdownReason.HALT),
    ],
)
def test_a_guest_stops_by_itself_when_told_and_only_once(
    bench: SimulatorBench, wish: str, reason: ShutdownReason
) -> None:
    running(bench, 1)
    heard = shutdowns(bench.driver)
    keys = {f"simulator:guest:{UUID}": wish, "other": "ignored"}
    bench.driver.configure(keys)
    assert heard == [reason]
    assert bench.driver.domains.get(UUID).shutdown_reason is reason
    bench.driver.domains.destroy(UUID)
    running(bench, 1)
    bench.driver.configure(keys)
    bench.reopen()
    heard = shutdowns(bench.driver)
    bench.driver.configure({**keys, "another": "key"})
    bench.driver.configure({**keys, "simulator:os": "ubuntu"})
    assert heard == []
    bench.driver.configure({})
    bench.driver.configure(keys)
    assert heard == [reason]


def test_a_hanging_guest_ignores_requests_until_the_key_goes(bench: SimulatorBench) -> None:
    running(bench, 1)
    bench.driver.configure({f"simulator:guest:{UUID}": "hang"})
    bench.driver.domains.request_shutdown(UUID, ShutdownReason.POWEROFF)
    with pytest.raises(GuestTimeout) as caught:
        bench.driver.domains.await_shutdown(UUID, 30)
    assert (caught.value.uuid, caught.value.seconds) == (UUID, 30)
    bench.driver.configure({})
    bench.driver.domains.request_shutdown(UUID, ShutdownReason.POWEROFF)
    assert bench.driver.domains.await_shutdown(UUID, 30) is ShutdownReason.POWEROFF


def test_a_guest_without_agent_reports_nothing_and_obeys_nothing(bench: SimulatorBench) -> None:
    running(bench, 1)
    heard: list[DomainEvent] = []
    bench.driver.watching.subscribe(heard.append)
    bench.driver.configure({f"simulator:guest:{UUID}": "no-agent"})
    assert [type(event) for event in heard] == [GuestAgentChanged]
    assert bench.driver.domains.get(UUID).agent is None
    with pytest.raises(GuestLacksFeature) as caught:
        bench.driver.domains.request_shutdown(UUID, ShutdownReason.SUSPEND)
    assert caught.value.feature == "feature-suspend"
    with pytest.raises(GuestLacksFeature):
        bench.driver.guest.call_plugin(UUID, "guest-agent-operation", "ping", {})
    bench.driver.configure({})
    assert bench.driver.domains.get(UUID).agent is not None


@pytest.mark.parametrize(
    "keys",
    [
        {"simulator:fault:no_such_operation": "error"},
        {"simulator:fault:create": "no_such_kind"},
        {"simulator:fault:create": "error,often=3"},
        {"simulator:fault:create": "error,times=x"},
        {f"simulator:guest:{UUID}": "dance"},
        {"simulator:memory": "1 GiB"},
        {"simulator:boot-seconds": "-1"},
        {"simulator:boot-seconds": "soon"},
        {"simulator:colour": "red"},
        {"simulator:agent": "perhaps"},
    ],
)
def test_a_wrong_key_is_refused_and_nothing_of_it_taken(bench: SimulatorBench, keys: dict[str, str]) -> None:
    running(bench, 1)
    with pytest.raises(InvalidConfiguration):
        bench.driver.configure({f"simulator:guest:{UUID}x": "crash", "simulator:fault:destroy": "error", **keys})
    bench.driver.domains.destroy(UUID)


def test_settings_change_while_the_machine_runs(bench: SimulatorBench) -> None:
    bench.driver.configure({"simulator:boot-seconds": "9", "simulator:os": "windows"})
    config = config_of(1, os_hint="")
    bench.driver.domains.create(config)
    bench.driver.domains.unpause(UUID)
    assert bench.driver.domains.get(UUID).agent is None
    bench.pass_time(9)
    agent = bench.driver.domains.get(UUID).agent
    assert agent is not None
    assert agent.os_version["distro"] == "windows"
    bench.driver.configure({"simulator:os": "ubuntu"})
    agent = bench.driver.domains.get(UUID).agent
    assert agent is not None
    assert agent.os_version["distro"] == "ubuntu"


# ------------------------------------------------------------------------------------------------------------- faults


@pytest.mark.parametrize(
    ("kind", "error"),
    [
        ("out_of_memory", OutOfMemory),
        ("refused", DeviceRefused),
        ("busy", DeviceBusy),
        ("timeout", GuestTimeout),
        ("lacks_feature", GuestLacksFeature),
        ("unsupported", Unsupported),
        ("damaged", ImageDamaged),
        ("error", InjectedFault),
        ("crash", DomainCrashed),
    ],
)
@pytest.mark.parametrize("operation", ["create", "create.memory", "create.devices"])
def test_a_fault_strikes_and_leaves_nothing(
    bench: SimulatorBench, operation: str, kind: str, error: type[Exception]
) -> None:
    free = bench.driver.host.memory_free()
    bench.driver.configure({f"simulator:fault:{operation}": kind})
    with pytest.raises(error):
        bench.driver.domains.create(bench.config(1))
    assert bench.driver.domains.list() == ()
    assert bench.driver.host.memory_free() == free
    bench.driver.configure({})
    bench.driver.domains.create(bench.config(1))


def test_a_fault_is_counted_and_aimed(bench: SimulatorBench) -> None:
    running(bench, 1)
    running(bench, 2)
    bench.driver.configure({"simulator:fault:plug_disk": f"refused,times=2,after=1,vm={UUID}"})
    results = []
    for number in range(5):
        disk = Disk(f"xvd{number}", 10 + number, FileBackend("/x"))
        bench.driver.devices.plug_disk(config_of(2).uuid, disk)
        try:
            bench.driver.devices.plug_disk(UUID, disk)
            results.append("ok")
        except DeviceRefused as error:
            results.append(error.device)
    assert results == ["ok", "xvd1", "xvd2", "ok", "ok"]


def test_a_crash_fault_crashes_the_domain(bench: SimulatorBench) -> None:
    running(bench, 1)
    heard = shutdowns(bench.driver)
    bench.driver.configure({"simulator:fault:set_vcpus": "crash"})
    with pytest.raises(DomainCrashed):
        bench.driver.resizing.set_vcpus(UUID, 2)
    assert heard == [ShutdownReason.CRASH]


def test_a_slow_fault_only_takes_time(bench: SimulatorBench) -> None:
    bench.driver.configure({"simulator:fault:create": "slow,seconds=40"})
    before = bench.clock.monotonic()
    running(bench, 1)
    assert bench.clock.monotonic() - before == 40


# ----------------------------------------------------------------------------------------------- what a VM's keys say


def test_a_vm_may_have_its_own_behaviour(bench: SimulatorBench) -> None:
    config = config_of(1, platform={"simulator-boot-seconds": "5"}, vm_data={"vm-data/simulator-shutdown-seconds": "7"})
    bench.driver.domains.create(config)
    bench.driver.domains.unpause(UUID)
    bench.pass_time(4)
    assert bench.driver.domains.get(UUID).agent is None
    bench.pass_time(1)
    assert bench.driver.domains.get(UUID).agent is not None
    bench.driver.domains.request_shutdown(UUID, ShutdownReason.POWEROFF)
    bench.pass_time(6)
    assert bench.driver.domains.get(UUID).power is Power.RUNNING
    bench.pass_time(1)
    assert bench.driver.domains.get(UUID).power is Power.STOPPED


def test_a_vm_may_stop_when_it_has_booted(bench: SimulatorBench) -> None:
    heard = shutdowns(bench.driver)
    bench.driver.domains.create(config_of(1, platform={"simulator-on-boot": "crash"}))
    bench.driver.domains.unpause(UUID)
    assert heard == [ShutdownReason.CRASH]


@pytest.mark.parametrize("key", ["boot-seconds", "shutdown-seconds", "agent", "guest", "on-boot"])
def test_a_senseless_behaviour_is_refused(bench: SimulatorBench, key: str) -> None:
    with pytest.raises(InvalidConfiguration):
        bench.driver.domains.create(config_of(1, platform={f"simulator-{key}": "perhaps"}))
    running(bench, 1)
    with pytest.raises(InvalidConfiguration):
        bench.driver.guest.write_vm_data(UUID, {f"vm-data/simulator-{key}": "perhaps"})


def test_a_busy_device_is_only_taken_by_force(bench: SimulatorBench) -> None:
    bench.driver.domains.create(config_of(1, platform={"simulator-busy-devices": "xvda,eth0"}))
    with pytest.raises(DeviceBusy):
        bench.driver.devices.unplug_disk(UUID, "xvda")
    with pytest.raises(DeviceBusy):
        bench.driver.devices.unplug_nic(UUID, 0)
    bench.driver.devices.unplug_disk(UUID, "xvda", force=True)
    bench.driver.devices.unplug_nic(UUID, 0, force=True)
    state = bench.driver.domains.get(UUID)
    assert (state.disks, state.nics) == ((), ())


# ------------------------------------------------------------------------------------------------------------- guests


@pytest.mark.parametrize(
    ("hint", "distro"),
    [
        ("Debian Bookworm 12", "debian"),
        ("Ubuntu Focal Fossa 20.04", "ubuntu"),
        ("Red Hat Enterprise Linux 9", "rhel"),
        ("RHEL 8", "rhel"),
        ("SUSE Linux Enterprise 15", "sles"),
        ("Windows Server 2022 (64-bit)", "windows"),
        ("Rocky Linux 9", "rocky"),
        ("Other install media", "debian"),
        ("", "debian"),
    ],
)
def test_the_operating_system_is_guessed(bench: SimulatorBench, hint: str, distro: str) -> None:
    bench.driver.domains.create(config_of(1, os_hint=hint))
    bench.driver.domains.unpause(UUID)
    agent = bench.driver.domains.get(UUID).agent
    assert agent is not None
    assert agent.os_version["distro"] == distro


def test_addresses_come_from_the_mac(bench: SimulatorBench) -> None:
    nics = (Nic(0, "02:16:3e:12:34:56", "b"), Nic(3, "02:16:3e:00:00:01", "b", locking=LockingMode.DISABLED))
    bench.driver.domains.create(config_of(1, nics=nics))
    bench.driver.domains.unpause(UUID)
    agent = bench.driver.domains.get(UUID).agent
    assert agent is not None
    assert agent.networks == {
        "0/ip": "10.18.52.86",
        "0/ipv4/0": "10.18.52.86",
        "0/ipv6/0": "fe80::16:3eff:fe12:3456",
        "0/ipv6/1": "fd00::16:3eff:fe12:3456",
    }
    bench.driver.devices.set_nic_address(UUID, 0, StaticAddress("192.168.1.7/24", "192.168.1.1"), None)
    agent = bench.driver.domains.get(UUID).agent
    assert agent is not None
    assert agent.networks["0/ip"] == "192.168.1.7"


def test_a_request_before_the_boot_is_over_is_obeyed_after_it(tmp_path: Path) -> None:
    bench = SimulatorBench(tmp_path, boot_seconds=20.0, shutdown_seconds=5.0)
    bench.driver.domains.create(bench.config(1))
    bench.driver.domains.unpause(UUID)
    heard = shutdowns(bench.driver)
    bench.driver.domains.request_shutdown(UUID, ShutdownReason.REBOOT)
    bench.pass_time(24)
    assert heard == []
    bench.pass_time(1)
    assert heard == [ShutdownReason.REBOOT]
    bench.driver.close()


def test_who_waits_is_woken_when_the_guest_stops_or_its_domain_goes(tmp_path: Path) -> None:
    bench = SimulatorBench(tmp_path, shutdown_seconds=5.0)
    running(bench, 1)
    before = bench.clock.monotonic()
    bench.driver.domains.request_shutdown(UUID, ShutdownReason.POWEROFF)
    assert bench.driver.domains.await_shutdown(UUID, 600) is ShutdownReason.POWEROFF
    assert bench.clock.monotonic() - before == 5
    bench.driver.domains.destroy(UUID)
    running(bench, 1)
    bench.driver.machine.timers.after(20, lambda: bench.driver.domains.destroy(UUID))
    with pytest.raises(NoSuchDomain):
        bench.driver.domains.await_shutdown(UUID, 600)
    assert bench.clock.monotonic() - before == 25
    bench.driver.close()


def test_a_paused_guest_neither_boots_nor_stops(tmp_path: Path) -> None:
    bench = SimulatorBench(tmp_path, boot_seconds=20.0)
    bench.driver.domains.create(bench.config(1))
    bench.driver.domains.unpause(UUID)
    bench.driver.domains.pause(UUID)
    bench.pass_time(60)
    assert bench.driver.domains.get(UUID).agent is None
    bench.driver.domains.unpause(UUID)
    bench.driver.run_due()
    assert bench.driver.domains.get(UUID).agent is not None
    bench.driver.close()


def test_a_timer_of_a_dead_domain_does_not_touch_its_successor(tmp_path: Path) -> None:
    bench = SimulatorBench(tmp_path, boot_seconds=20.0)
    bench.driver.domains.create(bench.config(1))
    bench.driver.domains.unpause(UUID)
    bench.pass_time(15)
    bench.driver.domains.destroy(UUID)
    bench.driver.domains.create(bench.config(1))
    bench.driver.domains.unpause(UUID)
    bench.pass_time(10)
    assert bench.driver.domains.get(UUID).agent is None
    bench.driver.close()


def test_only_poweroff_reboot_and_suspend_can_be_asked_for(bench: SimulatorBench) -> None:
    running(bench, 1)
    with pytest.raises(InvalidConfiguration):
        bench.driver.domains.request_shutdown(UUID, ShutdownReason.CRASH)


@pytest.mark.parametrize(
    ("key", "reason"), [("b", ShutdownReason.REBOOT), ("c", ShutdownReason.CRASH), ("o", ShutdownReason.HALT)]
)
def test_magic_keys(bench: SimulatorBench, key: str, reason: ShutdownReason) -> None:
    running(bench, 1)
    bench.driver.guest.send_sysrq(UUID, "h")
    assert bench.driver.domains.get(UUID).power is Power.RUNNING
    bench.driver.guest.send_sysrq(UUID, key)
    assert bench.driver.domains.get(UUID).shutdown_reason is reason


def test_triggers_and_plugins(bench: SimulatorBench) -> None:
    running(bench, 1)
    assert bench.driver.guest.call_plugin(UUID, "guest-agent-operation", "ping", {}) == "pong"
    assert bench.driver.guest.call_plugin(UUID, "guest-agent-operation", "echo", {"text": "a"}) == "a"
    with pytest.raises(GuestPluginFailed):
        bench.driver.guest.call_plugin(UUID, "x", "y", {})
    bench.driver.guest.send_trigger(UUID, "reset")
    assert bench.driver.domains.get(UUID).shutdown_reason is ShutdownReason.REBOOT
    with pytest.raises(WrongPower):
        bench.driver.guest.send_trigger(UUID, "nmi")


# ------------------------------------------------------------------------------------------------------------- memory


def large(number: int, maximum: int, minimum: int) -> DomainConfig:
    return config_of(number, memory=Memory(maximum, maximum, minimum, maximum, MIB))


def test_domains_are_ballooned_down_for_a_new_one_and_grow_back(bench: SimulatorBench) -> None:
    free = bench.driver.host.memory_free()
    half = free // 2
    for number in (1, 2):
        bench.driver.domains.create(large(number, half - MIB, GIB))
        bench.driver.domains.unpause(config_of(number).uuid)
    assert bench.driver.host.memory_free() < MIB
    bench.driver.domains.create(large(3, 2 * GIB, 2 * GIB))
    assert bench.driver.host.memory_free() >= 0
    assert sum(state.memory_actual < state.memory_target for state in bench.driver.domains.list()) >= 1
    bench.reopen()
    bench.driver.domains.destroy(config_of(3).uuid)
    assert all(state.memory_actual == state.memory_target for state in bench.driver.domains.list())


def test_what_cannot_be_ballooned_is_refused_and_nobody_shrinks(bench: SimulatorBench) -> None:
    half = bench.driver.host.memory_free() // 2
    for number in (1, 2):
        bench.driver.domains.create(large(number, half - MIB, half - 2 * MIB))
        bench.driver.domains.unpause(config_of(number).uuid)
    before = bench.driver.domains.list()
    with pytest.raises(OutOfMemory) as caught:
        bench.driver.domains.create(large(3, 2 * GIB, 2 * GIB))
    assert caught.value.needed == 2 * GIB + MIB
    assert bench.driver.domains.list() == before


def test_a_target_beyond_what_is_free_is_refused(bench: SimulatorBench) -> None:
    free = bench.driver.host.memory_free()
    config = config_of(1, memory=Memory(free, free, GIB // 2, GIB))  # its own surplus is no room for itself
    bench.driver.domains.create(config)
    bench.driver.domains.unpause(UUID)
    with pytest.raises(OutOfMemory):
        bench.driver.resizing.set_memory_target(UUID, free)
    assert bench.driver.domains.get(UUID).memory_actual == GIB


def test_overhead_is_what_the_host_says(bench: SimulatorBench) -> None:
    config = bench.config(1)
    assert bench.driver.domains.create(config).memory_overhead == bench.driver.host.memory_overhead(config)
    assert bench.driver.domains.create(large(2, GIB, GIB)).memory_overhead == MIB


# ------------------------------------------------------------------------------------------------------- migration


def test_a_guest_moves_from_one_simulator_to_another(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    here, there = SimulatorBench(tmp_path / "a"), SimulatorBench(tmp_path / "b")
    running(here, 1)
    here.driver.resizing.set_vcpus(UUID, 3)
    stream = io.BytesIO()
    here.driver.migrating.send(UUID, stream)
    stream.seek(0)
    moved = replace(here.config(1), disks=(Disk("xvda", 0, FileBackend("/elsewhere")),))
    there.driver.migrating.receive(moved, stream)
    there.driver.domains.unpause(UUID)
    here.driver.domains.destroy(UUID)
    state = there.driver.domains.get(UUID)
    assert (state.vcpus_online, state.disks) == (3, moved.disks)
    assert state.agent is not None
    here.driver.close()
    there.driver.close()


def test_a_migration_is_cancelled_while_it_runs(tmp_path: Path) -> None:
    bench = SimulatorBench(tmp_path, migrate_seconds=100.0)
    running(bench, 1)
    with pytest.raises(OperationCancelled):
        bench.driver.migrating.send(UUID, io.BytesIO(), lambda: bench.clock.monotonic() > 1050)
    assert bench.driver.domains.get(UUID).power is Power.RUNNING
    bench.driver.close()


def test_an_image_of_something_else_is_refused(bench: SimulatorBench) -> None:
    running(bench, 1)
    bench.driver.domains.request_shutdown(UUID, ShutdownReason.SUSPEND)
    image = bench.directory / "image"
    bench.driver.suspending.save(UUID, image)
    for wrong in (
        config_of(2, memory=Memory.fixed(GIB)),
        config_of(2, kind="pv"),
        config_of(2, processors=replace(bench.config(1).processors, maximum=1)),
    ):
        if wrong.processors.maximum == 1:
            bench.driver.suspending.resume_in_place(UUID)
            bench.driver.resizing.set_vcpus(UUID, 2)
            bench.driver.domains.request_shutdown(UUID, ShutdownReason.SUSPEND)
            bench.driver.suspending.save(UUID, image)
        with pytest.raises(ImageDamaged):
            bench.driver.suspending.restore(wrong, image)
    bench.driver.suspending.restore(config_of(2, processors=Processors(4, 2)), image)


# ----------------------------------------------------------------------------------------------------- devices, events


def test_a_device_is_refused_for_what_it_is(bench: SimulatorBench) -> None:
    running(bench, 1)
    devices = bench.driver.devices
    for disk in (
        Disk("xvdf", 0, FileBackend("/x")),
        Disk("fd0", 7, FileBackend("/x"), kind=DiskKind.FLOPPY),
        Disk("xvdf", 7, FileBackend("/x"), kind=DiskKind.CD),
        Disk("xvdf", 7),
    ):
        with pytest.raises(DeviceRefused):
            devices.plug_disk(UUID, disk)
    for nic in (Nic(7, "nonsense", "b"), Nic(7, "02:00:00:00:00:01", ""), Nic(7, "02:00:00:00:00:01", "b", mtu=1)):
        with pytest.raises(DeviceRefused):
            devices.plug_nic(UUID, nic)
    for number in range(1, 16):
        devices.plug_nic(UUID, Nic(number, "02:00:00:00:00:01", "b"))
    with pytest.raises(DeviceRefused, match="at most"):
        devices.plug_nic(UUID, Nic(16, "02:00:00:00:00:01", "b"))


def test_a_disk_that_is_not_unpluggable_stays_unless_forced(bench: SimulatorBench) -> None:
    bench.driver.domains.create(config_of(1, disks=(Disk("xvda", 0, FileBackend("/x"), unpluggable=False),)))
    with pytest.raises(DeviceRefused):
        bench.driver.devices.unplug_disk(UUID, "xvda")
    bench.driver.devices.unplug_disk(UUID, "xvda", force=True)


def test_a_usb_device_has_one_owner(bench: SimulatorBench) -> None:
    running(bench, 1)
    running(bench, 2)
    stick = Vusb("0", "1", "1")
    bench.driver.devices.plug_vusb(UUID, stick)
    assert bench.driver.domains.get(UUID).vusbs == (stick,)
    with pytest.raises(DeviceRefused):
        bench.driver.devices.plug_vusb(config_of(2).uuid, stick)
    bench.driver.devices.unplug_vusb(UUID, "0")
    bench.driver.devices.plug_vusb(config_of(2).uuid, stick)


def test_a_subscriber_may_act_and_a_failing_one_harms_nobody(
    bench: SimulatorBench, caplog: pytest.LogCaptureFixture
) -> None:
    order: list[int] = []

    def restart(event: DomainEvent) -> None:
        order.append(event.sequence)
        if isinstance(event, DomainShutdown):
            bench.driver.domains.destroy(event.uuid)
            bench.driver.domains.create(bench.config(1))
            bench.driver.domains.unpause(event.uuid)

    def fail(_event: DomainEvent) -> None:
        raise ValueError("mine")

    bench.driver.watching.subscribe(fail)
    bench.driver.watching.subscribe(restart)
    first = running(bench, 1)
    bench.driver.guest.send_trigger(UUID, "reset")
    second = bench.driver.domains.get(UUID)
    assert (second.power, second.domid) == (Power.RUNNING, first.domid + 1)
    assert order == sorted(order)
    assert order[-1] == bench.driver.watching.sequence()
    assert "ValueError: mine" in caplog.text


def test_counters_grow_only_while_a_guest_runs(bench: SimulatorBench) -> None:
    running(bench, 1)

    def read() -> tuple[float, int]:
        (counters,) = bench.driver.metering.domain_counters()
        return counters.cpu_seconds[0], counters.nic_receive_bytes[0]

    bench.pass_time(100)
    first = read()
    assert first[0] > 0 and first[1] > 0
    bench.driver.domains.pause(UUID)
    bench.pass_time(100)
    assert read() == first
    bench.driver.domains.unpause(UUID)
    bench.pass_time(100)
    assert read()[0] == pytest.approx(2 * first[0])


# ------------------------------------------------------------------------------------------------------------ settings


def test_settings_are_read_from_strings(tmp_path: Path) -> None:
    driver = open_driver(tmp_path, {"memory": "96 GiB", "cpus": "12", "sockets": "3", "boot-seconds": "1.5"})
    facts = driver.host.facts()
    assert facts.memory_total == 96 * GIB
    assert len(facts.cpus) == 12
    assert (facts.cpu_info["socket_count"], facts.cpu_info["cpu_count"]) == ("3", "12")
    driver.close()


def test_the_default_machine_is_generous() -> None:
    assert (SimulatorConfig().memory, SimulatorConfig().cpus) == (TIB, 64)


@pytest.mark.parametrize(
    "settings",
    [
        {"memory": "much"},
        {"memory": "1 GB"},
        {"memory": "4 GiB"},
        {"cpus": "7"},
        {"cpus": "0"},
        {"sockets": "x"},
        {"boot_seconds": "nan"},
        {"colour": "red"},
    ],
)
def test_wrong_settings_are_refused_by_name(tmp_path: Path, settings: dict[str, str]) -> None:
    with pytest.raises(InvalidConfiguration) as caught:
        open_driver(tmp_path, settings)
    assert caught.value.field in settings


@pytest.mark.parametrize(("text", "amount"), [("1 KiB", 1024), ("64GiB", 64 * GIB), ("1000", 1000)])
def test_amounts_of_memory(text: str, amount: int) -> None:
    assert parse_amount("memory", text) == amount
