import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from tests.hypervisor.bench import SimulatorBench, config_of
from xapi.hypervisor.interface import (
    Disk,
    DiskKind,
    DiskMode,
    DomainState,
    EmptyDrive,
    FileBackend,
    LockingMode,
    NbdBackend,
    Nic,
    Power,
    PvBoot,
    ShutdownReason,
    StateUnusable,
    StaticAddress,
    Vgpu,
    Vtpm,
    Vusb,
)
from xapi.hypervisor.simulator.driver import Simulator
from xapi.hypervisor.simulator.journal import Journal


def eventful_life(bench: SimulatorBench, after_each: Callable[[], None]) -> None:
    driver, first, second = bench.driver, bench.config(1), bench.config(2)
    cd = Disk("xvdd", 3, EmptyDrive(), DiskMode.READ_ONLY, DiskKind.CD)
    second = replace(
        second,
        boot=PvBoot("/boot/vmlinuz", "/boot/initrd", "console=hvc0"),
        disks=(*second.disks, cd, Disk("xvdn", 9, NbdBackend("/run/nbd", "x"))),
        vusbs=(Vusb("1", "1", "2"),),
        vgpus=(Vgpu(0, "0000:00:02.0"),),
        vtpm=Vtpm("t"),
        vm_data={"vm-data/a": "1"},
    )
    acts: list[Callable[[], object]] = [
        lambda: driver.domains.create(first),
        lambda: driver.domains.unpause(first.uuid),
        lambda: driver.domains.create(second),
        lambda: bench.pass_time(30),
        lambda: driver.domains.unpause(second.uuid),
        lambda: driver.devices.insert_media(second.uuid, "xvdd", FileBackend("/x.iso")),
        lambda: driver.devices.plug_nic(first.uuid, Nic(4, "02:00:00:00:00:44", "b")),
        lambda: driver.devices.set_nic_locking(first.uuid, 4, LockingMode.LOCKED, ("10.1.1.1",), ()),
        lambda: driver.devices.set_nic_address(first.uuid, 4, StaticAddress("10.1.1.1/8", "10.0.0.1"), None),
        lambda: driver.resizing.set_memory_target(first.uuid, first.memory.dynamic_min),
        lambda: driver.resizing.set_vcpus(first.uuid, 2),
        lambda: driver.resizing.set_vcpu_sharing(first.uuid, 512, 50, (0, 1)),
        lambda: driver.guest.write_vm_data(first.uuid, {"vm-data/k": "v"}),
        lambda: driver.domains.request_shutdown(first.uuid, ShutdownReason.SUSPEND),
        lambda: driver.suspending.resume_in_place(first.uuid),
        lambda: driver.domains.pause(first.uuid),
        lambda: driver.domains.unpause(first.uuid),
        lambda: bench.pass_time(30),
        lambda: driver.configure({f"simulator:guest:{second.uuid}": "crash", "simulator:os": "ubuntu"}),
        lambda: driver.domains.request_shutdown(first.uuid, ShutdownReason.POWEROFF),
        lambda: bench.pass_time(30),
        lambda: driver.domains.destroy(first.uuid),
    ]
    for act in acts:
        act()
        after_each()


def seen(driver: Simulator) -> tuple[list[DomainState], int, int]:
    """What the outside sees, but for the moment at which an agent's report was rendered."""
    states = [
        replace(state, agent=replace(state.agent, updated=None) if state.agent else None)
        for state in driver.domains.list()
    ]
    return states, driver.host.memory_free(), driver.watching.sequence()


def test_killed_anywhere_it_comes_back_as_it_was(tmp_path: Path) -> None:
    bench = SimulatorBench(tmp_path, boot_seconds=20.0, shutdown_seconds=5.0)
    journal = bench.state / "journal"
    moments: list[tuple[bytes, object, str]] = []
    eventful_life(bench, lambda: moments.append((journal.read_bytes(), seen(bench.driver), str(bench.clock.now()))))
    for number, (data, before, _now) in enumerate(moments):
        state = tmp_path / f"killed-{number}"
        state.mkdir()
        (state / "journal").write_bytes(data + b'{"n": 7, "u": "torn')
        again = bench.open(state)
        assert seen(again) == before
        again.close()
        assert (state / "journal").read_bytes() == data


def test_killed_within_an_operation_it_comes_back_whole(tmp_path: Path) -> None:
    bench = SimulatorBench(tmp_path, boot_seconds=20.0)
    eventful_life(bench, lambda: None)
    lines = (bench.state / "journal").read_bytes().splitlines(keepends=True)
    for count in range(len(lines) + 1):
        state = tmp_path / f"killed-{count}"
        state.mkdir()
        (state / "journal").write_bytes(b"".join(lines[:count]))
        again = bench.open(state)
        used = sum(domain.memory_actual + domain.memory_overhead for domain in again.domains.list())
        assert again.host.memory_free() + used == again.machine.capacity
        for domain in again.domains.list():
            again.domains.destroy(domain.uuid)
        assert again.host.memory_free() == again.machine.capacity
        again.close()


def test_a_boot_and_a_shutdown_go_on_after_a_restart(tmp_path: Path) -> None:
    bench = SimulatorBench(tmp_path, boot_seconds=20.0, shutdown_seconds=5.0)
    config = bench.config(1)
    bench.driver.domains.create(config)
    bench.driver.domains.unpause(config.uuid)
    bench.pass_time(15)
    bench.reopen()
    bench.pass_time(4)
    assert bench.driver.domains.get(config.uuid).agent is None
    bench.pass_time(2)
    assert bench.driver.domains.get(config.uuid).agent is not None
    bench.driver.domains.request_shutdown(config.uuid, ShutdownReason.POWEROFF)
    bench.reopen()
    bench.pass_time(6)
    assert bench.driver.domains.get(config.uuid).power is Power.STOPPED


def test_what_came_due_while_nobody_was_there_happens_at_once(tmp_path: Path) -> None:
    bench = SimulatorBench(tmp_path, boot_seconds=20.0)
    config = bench.config(1)
    bench.driver.domains.create(config)
    bench.driver.domains.unpause(config.uuid)
    bench.driver.close()
    bench.clock.advance(3600)
    bench.driver = bench.open()
    bench.driver.run_due()
    assert bench.driver.domains.get(config.uuid).agent is not None


def test_domids_and_sequence_numbers_go_on_after_a_restart_and_a_rewrite(tmp_path: Path) -> None:
    bench = SimulatorBench(tmp_path)
    for _ in range(3):
        domid = bench.driver.domains.create(config_of(1)).domid
        bench.driver.domains.destroy(config_of(1).uuid)
    sequence = bench.driver.watching.sequence()
    bench.driver.machine._journal.rewrite(bench.driver.machine._lines())
    bench.reopen()
    assert bench.driver.watching.sequence() == sequence
    assert bench.driver.domains.create(config_of(1)).domid == domid + 1


def test_the_journal_is_rewritten_when_it_grows(tmp_path: Path) -> None:
    bench = SimulatorBench(tmp_path)
    bench.driver.close()
    driver = Simulator(bench.state, bench.settings, bench.clock, bench.clock.advance, journal_limit=20_000)
    keep = driver.domains.create(config_of(1))
    for number in range(2, 300):
        driver.domains.create(config_of(number))
        driver.domains.unpause(config_of(number).uuid)
        driver.domains.destroy(config_of(number).uuid)
    assert (bench.state / "journal").stat().st_size < 25_000
    driver.close()
    again = bench.open()
    assert again.domains.list() == (keep,)
    again.close()


def test_a_directory_serves_one_simulator_at_a_time(tmp_path: Path) -> None:
    bench = SimulatorBench(tmp_path)
    with pytest.raises(StateUnusable, match="another process"):
        bench.open()
    bench.reopen().close()


def test_damage_before_the_last_line_is_not_overlooked(tmp_path: Path) -> None:
    bench = SimulatorBench(tmp_path)
    bench.driver.domains.create(config_of(1))
    bench.driver.close()
    journal = bench.state / "journal"
    lines = journal.read_bytes().splitlines(keepends=True)
    for damaged in (b"{nonsense\n", b'{"n": 1}\n', b'{"n": 1, "new": {"domid": "x"}}\n', b'{"format": 99}\n'):
        journal.write_bytes(lines[0] + damaged + b"".join(lines[1:]))
        with pytest.raises(StateUnusable):
            bench.open()
    journal.write_bytes(b"".join(lines))
    bench.open().close()


def test_a_line_is_written_wholly_or_not_at_all(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    journal.read()
    journal.append({"a": 1})
    with pytest.raises(TypeError):
        journal.append({"a": object()})
    journal.append({"b": 2})
    assert journal.read() == [{"a": 1}, {"b": 2}]
    journal.close()
    assert [json.loads(line) for line in (tmp_path / "journal").read_text().splitlines()] == [{"a": 1}, {"b": 2}]


def test_an_unusable_directory_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StateUnusable, match="file"):
        Journal(tmp_path / "file" / "below")
